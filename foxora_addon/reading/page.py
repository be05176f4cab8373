"""Lays an exchange out for a person: the conversation, then timings, limits, cost and errors.

Lines carry the name of a style, never a colour: how they look is the terminal's business.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.bodies import body_json_of
from foxora_addon.reading.conversation import answered, asked, told_in_turns
from foxora_addon.reading.exchanges import Recorded, shadow_text
from foxora_addon.reading.items import Turn
from foxora_addon.reading.parts import Part
from foxora_addon.reading.records import Record, count_of, number_of, text_of
from foxora_addon.reading.remedies import remedy_of
from foxora_addon.reading.texts import (
    cost_text,
    count_text,
    duration_text,
    one_line,
    size_text,
    visible,
)
from foxora_addon.reading.tools import parameters_of, tools_of

type Style = Literal["heading", "role", "text", "call", "result", "note", "fact", "error"]

_INDENT: Final = "  "
_OF_ANSWER: Final = frozenset(
    {"account", "model", "stream", "outcome", "ended by", "timings", "limits", "tokens", "cost"}
    | {"shadow", "tries", "gateway id"}
)


class Line(NamedTuple):
    """A line of a page; `label` stands before its text."""

    style: Style
    text: str = ""
    label: str = ""


def page_of(recorded: Recorded) -> Iterator[Line]:
    """The whole page of one exchange."""
    yield Line("heading", one_line(recorded.id))
    yield from request_lines(recorded)
    yield from _answer_turns(recorded)
    yield Line("text")
    yield from (Line("fact", one_line(text), label) for label, text in _facts_of(recorded) if text)
    yield from _error_lines(recorded)


def request_lines(recorded: Recorded) -> Iterator[Line]:
    """What was asked: the call's parameters, its tools in a line each, and the conversation."""
    body = mapping_of(body_json_of(recorded.request))
    if told_in_turns(body):
        yield from (Line("fact", text, label) for label, text in parameters_of(body))
        if tools := list(tools_of(body)):
            yield Line("text")
            yield Line("role", f"tools ({len(tools)})")
            yield from (Line("note", f"{_INDENT}{tool}") for tool in tools)
    for turn in asked(recorded):
        yield from lines_of_turn(turn)


def answer_lines(recorded: Recorded) -> Iterator[Line]:
    """What came of it: the figures first, once there are any, then the answer."""
    is_told = recorded.response is not None and recorded.response.get("outcome")
    for label, text in _facts_of(recorded) if is_told else ():
        if text and label in _OF_ANSWER:
            yield Line("fact", one_line(text), label)
    yield from _error_lines(recorded)
    yield from _answer_turns(recorded)


def _answer_turns(recorded: Recorded) -> Iterator[Line]:
    answers = answered(recorded)
    for number, turn in enumerate(answers, 1):
        yield from lines_of_turn(turn, f" (choice {number})" if _are_choices(answers) else "")


def label_text(label: str) -> str:
    """A label as it stands before its text; a long one never touches it. Nothing for none."""
    return f"{label:14}  " if label else ""


def text_of_line(line: Line) -> str:
    """A line as plain text, where there are no styles."""
    text = f"{label_text(line.label)}{line.text}"
    return (
        text.rstrip() if line.label else text
    ) or " "  # mitmweb gives a line without any character no height


def lines_of_turn(turn: Turn, suffix: str = "") -> Iterator[Line]:
    """A turn: its role, then its parts, indented."""
    yield Line("text")
    yield Line("role", f"{one_line(turn.role)}{suffix}")
    for part in turn.parts:
        yield from lines_of_part(part)


def _are_choices(answers: list[Turn]) -> bool:
    """Whether several turns are answers to choose from, and not the items of one."""
    return len(answers) > 1 and all(turn.parts and turn.parts[0].kind == "text" for turn in answers)


def lines_of_part(part: Part) -> Iterator[Line]:
    """A part of a turn, indented below its role."""
    lines = visible(part.text).split("\n") or [""]
    name = one_line(part.name) if part.name else ""
    if part.kind == "call":
        yield from _labelled("call", f"calls {name}", lines)
    elif part.kind == "result":
        yield from _labelled("result", f"result of {name}" if name else "result", lines)
    elif part.kind == "media":
        yield Line("note", f"{_INDENT}[{one_line(part.text)}]")
    else:
        style: Style = "note" if part.kind == "note" else "text"
        yield from (Line(style, f"{_INDENT}{line}".rstrip()) for line in lines)


def _labelled(style: Style, label: str, lines: list[str]) -> Iterator[Line]:
    """On one line if it is one, else the label and the lines below it."""
    if len(lines) == 1:
        yield Line(style, f"{_INDENT}{label}: {lines[0]}")
        return
    yield Line(style, f"{_INDENT}{label}:")
    yield from (Line(style, f"{_INDENT}{_INDENT}{line}") for line in lines)


def _facts_of(recorded: Recorded) -> Iterator[tuple[str, str]]:
    request, response = recorded.request or {}, recorded.response or {}
    http, client = mapping_of(request.get("http")), mapping_of(request.get("client"))
    yield "time", recorded.time
    yield "account", recorded.account or "none"
    yield "client", ", ".join(_client_facts(client))
    yield "tags", ", ".join(recorded.tags)
    yield "request", f"{text_of(http.get('method')) or ''} {text_of(http.get('url')) or ''}".strip()
    yield "gateway", text_of(request.get("gateway_url")) or ""
    yield "model", _model_fact(recorded)
    yield "stream", _stream_fact(recorded)
    yield "outcome", _outcome_fact(recorded)
    yield "ended by", ", ".join(_reasons_of(response))
    yield "timings", _timings_fact(recorded)
    yield "limits", _limits_fact(recorded)
    yield "shadow", shadow_text(recorded)
    yield "tokens", _tokens_fact(recorded)
    yield "cost", "" if recorded.cost_usd is None else cost_text(recorded.cost_usd)
    yield "sizes", _sizes_fact(recorded)
    yield "on record", text_of(request.get("level")) or text_of(response.get("level")) or ""
    yield "trace", text_of(request.get("traceparent")) or ""
    yield "tries", ", ".join(_tries_of(response))
    yield "files", ", ".join(_files_of(request))
    yield "gateway id", text_of(response.get("gateway_request_id")) or ""


def _reasons_of(response: Record) -> Iterator[str]:
    reasons = response.get("finish_reasons")
    yield from (str(each) for each in (reasons if isinstance(reasons, list) else ()) if each)


def _client_facts(client: dict[str, object]) -> Iterator[str]:
    for name in ("name", "address", "key", "user_agent"):
        if text := text_of(client.get(name)):
            yield text
    if client.get("retry"):
        yield f"retry {client['retry']}"


def _model_fact(recorded: Recorded) -> str:
    asked_for, told = (
        text_of((record or {}).get("model")) for record in (recorded.request, recorded.response)
    )
    if asked_for and told and asked_for != told:
        return f"{asked_for}, answered by {told}"
    return asked_for or told or ""


def _stream_fact(recorded: Recorded) -> str:
    chunks = count_of((recorded.response or {}).get("chunks"))
    if chunks is not None:
        so_far = " so far" if recorded.outcome == "open" else ""
        return f"{count_text(chunks)} events{so_far}, folded into one message"
    return "asked for" if (recorded.request or {}).get("stream") else ""


def _outcome_fact(recorded: Recorded) -> str:
    if recorded.response is None:
        return "open: the trail has no end of it"
    if recorded.outcome == "open":
        hidden = "; its text is shown once all is there that may have to be redacted"
        return f"open: the answer is still coming{hidden if _is_withheld(recorded) else ''}"
    source = text_of(recorded.response.get("source"))
    status = "no status" if recorded.status is None else f"status {recorded.status}"
    return f"{recorded.outcome}, {status}" + (f", from {source}" if source else "")


def _is_withheld(recorded: Recorded) -> bool:
    return (recorded.response or {}).get("is_withheld") is True


def _timings_fact(recorded: Recorded) -> str:
    if recorded.duration_ms is None:
        return ""
    first, waited = recorded.first_byte_ms, recorded.waited_ms
    before = "" if first is None else f"first byte after {duration_text(first)}, "
    wait = f", of it waited {duration_text(waited)}" if waited else ""
    return f"{before}whole {duration_text(recorded.duration_ms)}{wait}"


def _limits_fact(recorded: Recorded) -> str:
    decision = mapping_of((recorded.request or {}).get("decision"))
    if not decision:
        return ""
    verdict, reason = text_of(decision.get("verdict")) or "?", text_of(decision.get("reason"))
    estimate = recorded.estimated_tokens
    reserved = "" if estimate is None else f", {count_text(estimate)} tokens estimated"
    return f"{verdict}{f' ({reason})' if reason else ''}{reserved}"


def _tokens_fact(recorded: Recorded) -> str:
    usage = mapping_of((recorded.response or {}).get("usage"))
    if not usage:
        return ""
    ins, outs = count_text(recorded.input_tokens), count_text(recorded.output_tokens)
    return f"{ins} in, {outs} out, {count_text(recorded.total_tokens)} in all" + (
        f" ({usage['source']})" if text_of(usage.get("source")) else ""
    )


def _sizes_fact(recorded: Recorded) -> str:
    pairs = (("request", recorded.request), ("answer", recorded.response))
    sizes = ((name, count_of((record or {}).get("body_bytes"))) for name, record in pairs)
    return ", ".join(f"{name} {size_text(size)}" for name, size in sizes if size is not None)


def _tries_of(response: Record) -> Iterator[str]:
    tries = response.get("tries")
    for told in map(mapping_of, tries if isinstance(tries, list) else ()):
        status, after = told.get("status"), number_of(told.get("after_ms"))
        yield f"{status or 'no status'} ({told.get('code')}) after {duration_text(after)}"


def _files_of(request: Record) -> Iterator[str]:
    files = request.get("files")
    for file in map(mapping_of, files if isinstance(files, list) else ()):
        yield f"{file.get('filename')} ({size_text(count_of(file.get('bytes')) or 0)})"


def _error_lines(recorded: Recorded) -> Iterator[Line]:
    error = mapping_of((recorded.response or {}).get("error"))
    if error:
        param = f" (param {error['param']})" if error.get("param") else ""
        words = f"{text_of(error.get('code')) or 'unknown'}{param}"
        if message := text_of(error.get("message")):
            words += f": {message}"
        yield Line("error", one_line(words), "error")
    response = recorded.response or {}
    outcome, source = text_of(response.get("outcome")), text_of(response.get("source"))
    if remedy := remedy_of(text_of(error.get("code")), recorded.status, outcome, source):
        yield Line("error", remedy, "to do")
