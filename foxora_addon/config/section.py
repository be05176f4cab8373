"""What all sections of the configuration have in common."""

from collections.abc import Mapping
from typing import Final

from pydantic import AfterValidator, BaseModel, ConfigDict

from foxora_addon.config.problems import Problem


class Section(BaseModel):
    """A frozen mapping that takes no unknown key and converts no type (`"yes"` is not true)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def _without_patterns[T](by_model: Mapping[str, T]) -> Mapping[str, T]:
    for name in by_model:
        if "*" in name:
            raise Problem("a * stands for nothing else here; write each model's whole name", name)
    return by_model


BY_MODEL: Final = AfterValidator(_without_patterns)
"""For what is given for each model: their names are compared, and no patterns."""
