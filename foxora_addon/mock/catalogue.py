"""Which model a name means: a row of the list, or one that stands for a name without a row.

Only the default list is stretched so, since apps name more of OpenAI's models than it can hold;
a configured list is taken at its word.
"""

import re
from dataclasses import dataclass

from foxora_addon.mock.settings import MockSettings, ModelSettings

_TUNED = re.compile(r"ft:([^:]+)(:[\w.-]*)+", re.ASCII)
"""OpenAI's name of a fine-tuned model: `ft:gpt-4o-mini-2024-07-18:acme::abc`."""

_DATE = re.compile(r"-\d{4}(-?\d\d-?\d\d)?", re.ASCII)
"""The end of a snapshot's name: `gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`, `gpt-4-0613`."""


@dataclass(frozen=True, slots=True)
class _Family:
    """OpenAI's names of one kind, and the id of the row that stands for them."""

    names: re.Pattern[str]
    row: str


def _family(names: str, row: str) -> _Family:
    return _Family(re.compile(names, re.ASCII), row)


_FAMILIES = (
    _family(r"(chat)?gpt-image-[\w.-]+", "gpt-image-1"),
    _family(r"gpt-[\w.-]+-tts(-[\w.-]+)?", "gpt-4o-mini-tts"),
    _family(r"gpt-[\w.-]+-transcribe(-[\w.-]+)?", "gpt-4o-transcribe"),
    # No generation is numbered 0, so that a wrong name can be tried: gpt-0.
    _family(r"(chat)?gpt-[a-z1-9][\w.-]*", "gpt-4o-mini"),
    _family(r"o[1-9]\d*(-[\w.-]+)?", "gpt-4o-mini"),
    _family(r"text-embedding-[\w.-]+", "text-embedding-3-small"),
    _family(r"dall-e-[\w.-]+", "dall-e-3"),
    _family(r"tts-[\w.-]+", "tts-1"),
    _family(r"whisper-[\w.-]+", "whisper-1"),
    _family(r"(omni|text)-moderation-[\w.-]+", "omni-moderation-latest"),
    _family(r"(babbage|davinci)-002|(codex|computer-use)-[\w.-]+", "gpt-4o-mini"),
)
"""The first that fits counts."""


def find_model(name: str, settings: MockSettings) -> ModelSettings | None:
    """The model of that name, with the figures of the row it stands for; None if there is none."""
    rows = {each.id: each for each in settings.models}
    if name in rows or "models" in settings.model_fields_set:
        return rows.get(name)
    tuned = _TUNED.fullmatch(name)
    base = name if tuned is None else tuned[1]
    row = rows.get(base) or _stand_in(base, rows)
    return None if row is None else row.model_copy(update={"id": name})


def _stand_in(name: str, rows: dict[str, ModelSettings]) -> ModelSettings | None:
    """The row that a name is a snapshot of, else that of its family."""
    family = next((each.row for each in _FAMILIES if each.names.fullmatch(name)), "")
    return next((row for row in rows.values() if _is_snapshot(name, row)), rows.get(family))


def _is_snapshot(name: str, row: ModelSettings) -> bool:
    return name.startswith(row.id) and _DATE.fullmatch(name, len(row.id)) is not None
