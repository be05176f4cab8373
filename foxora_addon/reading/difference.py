"""Says what changed between two calls: parameters, tools, messages, answer and figures.

A conversation grows: messages that both calls begin with are the same and only counted. Two values
differ as they are, and not as they are shown: that is cut, or tells of data by its size.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher, unified_diff
from typing import Any, Final, Literal

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.bodies import body_json_of, folded_body_of, is_folded
from foxora_addon.reading.conversation import answered, asked, told_in_turns
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.items import Turn
from foxora_addon.reading.page import lines_of_turn
from foxora_addon.reading.records import Record, count_of, text_of
from foxora_addon.reading.texts import cost_text, count_text, duration_text, one_line, visible

type Change = Literal["same", "added", "removed", "changed"]

_LONGEST: Final = 60
_DIGITS: Final = 12
_OF_ONE_ANSWER: Final = frozenset(
    {
        *("id", "call_id", "created", "created_at", "completed_at", "expires_at"),
        *("usage", "system_fingerprint", "service_tier"),
    }
)
"""Members of an answer that differ though it says the same, or that are among the figures."""


@dataclass(frozen=True, slots=True)
class Step:
    """A run of turns that are the same, or turns of one or both sides that are not."""

    change: Change
    before: Sequence[Turn]
    after: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Difference:
    """All that changed. `fields` are parameters and figures: name, before, after."""

    fields: list[tuple[str, str, str]]
    steps: list[Step]
    answers: list[Step]

    @property
    def is_nothing(self) -> bool:
        """Whether the two calls said the same, whatever their figures."""
        return all(step.change == "same" for step in (*self.steps, *self.answers))


def difference_of(before: Recorded, after: Recorded) -> Difference:
    """What changed from one exchange to another."""
    steps = _steps(asked(before), asked(after))
    answers = _steps(answered(before), answered(after))
    parameters = list(_parameters(before, after))
    told = frozenset(name for name, *_ in parameters)
    requests = _untold_in_request(before), _untold_in_request(after)
    responses = _untold_in_answer(before, told), _untold_in_answer(after, told)
    fields = [
        *parameters,
        *_bodies("request", before.request, after.request, steps, requests),
        *_bodies("answer", before.response, after.response, answers, responses),
        *_figures(before, after),
    ]
    return Difference(fields, steps, answers)


def _bodies(
    what: str,
    old: Record | None,
    new: Record | None,
    steps: list[Step],
    untold: tuple[str | None, str | None],
) -> Iterator[tuple[str, str, str]]:
    """Whether bodies differ in what is not shown elsewhere, or may; `untold` is that of each."""
    if old is None or new is None or any(step.change != "same" for step in steps):
        return
    if untold[0] is not None and untold[0] == untold[1]:
        return
    digests = [text_of(record.get("body_sha256")) for record in (old, new)]
    if None not in digests and digests[0] != digests[1]:
        before, after = (f"sha256 {(digest or '')[:_DIGITS]}" for digest in digests)
        yield f"{what} body", before, after
    elif _is_unknown(old) or _is_unknown(new):
        yield f"{what} body", "not kept", "not kept: whether it differs is not known"


def _untold_in_request(recorded: Recorded) -> str | None:
    """What a request says in its turns, shown or not; None where it is not on record as JSON."""
    body = body_json_of(recorded.request)
    if not isinstance(body, dict):
        return None
    return _untold_text_of({name: body.get(name) for name in told_in_turns(body)})


def _untold_in_answer(recorded: Recorded, told: frozenset[str]) -> str | None:
    """What an answer says but for parameters that are `told`, which some repeat, and its own ids.

    None where it is not on record whole.
    """
    response = recorded.response or {}
    if response.get("body_truncated"):
        return None
    if is_folded(response):
        value = folded_body_of(response) or response.get("message")
    else:
        value = body_json_of(response)
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if name not in told}
    return None if value is None else _untold_text_of(value, _OF_ONE_ANSWER)


def _untold_text_of(value: Any, names: frozenset[str] = frozenset()) -> str | None:
    """A value without such members, as JSON; None where it is nested too deeply for that."""
    try:
        return json.dumps(_without(value, names) if names else value, sort_keys=True)
    except RecursionError:
        return None


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(each, names) for name, each in value.items() if name not in names}
    return [_without(each, names) for each in value] if isinstance(value, list) else value


def _is_unknown(record: Record) -> bool:
    """Whether nothing is on record of a body but its size."""
    says = any(record.get(name) for name in ("body", "body_sha256", "message", "folded"))
    return not says and bool(count_of(record.get("body_bytes")))


def _steps(before: list[Turn], after: list[Turn]) -> list[Step]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    names: dict[str, Change] = {
        "equal": "same",
        "insert": "added",
        "delete": "removed",
        "replace": "changed",
    }
    return [Step(names[tag], before[i:j], after[k:m]) for tag, i, j, k, m in matcher.get_opcodes()]


def _parameters(before: Recorded, after: Recorded) -> Iterator[tuple[str, str, str]]:
    old, new = (_parameters_of(recorded) for recorded in (before, after))
    for name in sorted(old.keys() | new.keys()):
        texts = [_text_of(side[name]) if name in side else "-" for side in (old, new)]
        if texts[0] == texts[1]:
            continue
        names = [_tool_names(side.get(name)) for side in (old, new)]
        if name == "tools" and names[0] != names[1]:
            yield name, names[0], names[1]
        yield name, *_told_apart(texts[0], texts[1])


def _parameters_of(recorded: Recorded) -> dict[str, Any]:
    body = mapping_of(body_json_of(recorded.request))
    told = told_in_turns(body)
    return {name: value for name, value in body.items() if name not in told}


def _tool_names(tools: Any) -> str:
    names = (
        text_of((mapping_of(mapping_of(tool).get("function")) or mapping_of(tool)).get("name"))
        for tool in (tools if isinstance(tools, list) else ())
    )
    return ", ".join(name or "?" for name in names) or "-"


def _text_of(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return "nested too deeply to be shown"


def _told_apart(old: str, new: str) -> tuple[str, str]:
    """Two texts, short; where they begin the same, from near the first place that differs."""
    short = one_line(old, _LONGEST), one_line(new, _LONGEST)
    if short[0] != short[1]:
        return short
    differing = (at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
    same = next(differing, min(len(old), len(new)))
    start = max(same - _LONGEST // 2, 0)
    return _window(old, start), _window(new, start)


def _window(text: str, start: int) -> str:
    end = start + _LONGEST
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return f"{before}{visible(text[start:end])}{after}"


def _figures(before: Recorded, after: Recorded) -> Iterator[tuple[str, str, str]]:
    for (name, old), (_, new) in zip(_figures_of(before), _figures_of(after), strict=True):
        if old != new:
            yield name, old, new


def _figures_of(recorded: Recorded) -> Iterator[tuple[str, str]]:
    yield "account", recorded.account or "-"
    yield "status", str(recorded.status or "-")
    yield "outcome", recorded.outcome
    yield "input tokens", count_text(recorded.input_tokens)
    yield "output tokens", count_text(recorded.output_tokens)
    yield "cost", cost_text(recorded.cost_usd)
    yield "first byte", duration_text(recorded.first_byte_ms)
    yield "duration", duration_text(recorded.duration_ms)


def lines_of_step(step: Step) -> Iterator[tuple[str, str]]:
    """A step as lines, each with its sign: " " as it was, "-" before, "+" after."""
    if step.change == "same":
        count = len(step.before)
        yield " ", f"{count} turn{'' if count == 1 else 's'} the same"
        return
    old, new = _plain(step.before), _plain(step.after)
    if step.change != "changed":
        yield from (("+" if step.change == "added" else "-", line) for line in (*old, *new))
        return
    for number, line in enumerate(list(unified_diff(old, new, lineterm="", n=2))[2:]):
        if not line.startswith("@@"):
            yield line[:1], line[1:]
        elif number:
            yield " ", "…"


def _plain(turns: Sequence[Turn]) -> list[str]:
    return [line.text for turn in turns for line in list(lines_of_turn(_marked(turn)))[1:]]


def _marked(turn: Turn) -> Turn:
    """A turn whose digests can be seen, where these are what has changed."""
    parts = (
        replace(part, text=f"{part.text}, digest {part.digest[:_DIGITS]}") if part.digest else part
        for part in turn.parts
    )
    return replace(turn, parts=tuple(parts))
