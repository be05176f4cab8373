from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from foxora_addon.config import Config, load

type LoadYaml = Callable[..., Config]

KEYS = {
    "FOXORA_API_KEY": "foxora_sk_test_0000000000000000",
    "APP_KEY": "sk-app-fake-1111111111111111",
    "OTHER_KEY": "foxora_sk_test_2222222222222222",
}


@pytest.fixture
def load_yaml(tmp_path: Path) -> LoadYaml:
    """Load a text as the foxora.yaml of an empty working directory, with test keys in the
    environment."""

    def load_text(
        text: str,
        environ: Mapping[str, str] = KEYS,
        options: Mapping[str, str | None] | None = None,
    ) -> Config:
        (tmp_path / "foxora.yaml").write_text(text, encoding="utf-8")
        return load(options or {}, environ, tmp_path)

    return load_text
