"""Turns the members of a record into its line: redacted, numbered, dated and sealed.

The one way from a record to bytes, so nothing meets the file that redaction has not seen.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final

from foxora_addon.api import quick_json
from foxora_addon.audit.chain import seal
from foxora_addon.audit.pieces import events_scrubbed, messages_scrubbed
from foxora_addon.audit.probable import may_spell, text_without_spelt, without_spelt
from foxora_addon.audit.record import VERSION
from foxora_addon.audit.redaction import Scrub

_OURS: Final = frozenset(
    {
        *("event", "exchange", "account", "level", "operation", "decision", "outcome", "source"),
        *("body_encoding", "body_sha256", "usage"),
    }
)
"""Members whose values are words or numbers of our own, which no client can choose."""

_BROKEN_OFF: Final = frozenset(
    {
        *("gateway_unreachable", "timeout", "stream_broken"),
        *("client_disconnected", "aborted", "internal_error"),
    }
)
"""Outcomes under which an answer may have ended anywhere."""

_FOLDED: Final = frozenset({"message", "folded"})
"""Members that say what a stream adds up to."""

_UNUSUAL: Final = ("body_truncated", "chunks", "folded", "websocket")
"""Members of which a plain record has none."""

_MICROSECONDS: Final = 1_000_000
"""Of a second."""

_RECORD: Final = b'{"v":%d,"seq":%d,"time":"%b",%b,"recovered":%b,"prev":"%b"}'

_OURS_WITHIN: Final = {"client": frozenset({"address", "key"}), "http": frozenset({"version"})}


def line_of(  # what a line has besides the record's own members
    fields: Mapping[str, Any],
    scrub: Callable[[str], str],
    *,
    seq: int,
    unix_seconds: float,
    recovered: int,
    prev: str,
) -> tuple[bytes, str]:
    """A record's line, with its line break, and its hash.

    `fields` is a record without v, seq, time, prev and hash; `scrub` redacts each text in it, so
    that what it takes out can't change what the record is.
    """
    is_plain = _is_plain(fields)
    if not is_plain:
        fields = _joined_scrubbed(fields, scrub)
    members = quick_json.bytes_of(fields)
    if (members is None or may_spell(members)) and (body := fields.get("body")):
        fields = {**fields, "body": text_without_spelt(body, scrub)}
        members = quick_json.bytes_of(fields)
    if (
        members is None
        or not (is_plain or _shows_all(fields))
        or not (isinstance(scrub, Scrub) and scrub.spares(members))
    ):
        # It is seldom so far: as a rule one look at all of it will do.
        members = _encoded(quick_json.text_of(scrubbed(fields, scrub)))
    told = b"%d" % recovered if recovered else b"null"
    time = _iso(unix_seconds).encode()
    return seal(_RECORD % (VERSION, seq, time, members[1:-1], told, prev.encode()))


def _is_plain(fields: Mapping[str, Any]) -> bool:
    """Whether all texts are whole, and surely none is spread over several, or encoded."""
    is_whole = fields.get("outcome") not in _BROKEN_OFF and not any(map(fields.get, _UNUSUAL))
    return is_whole and fields.get("body_encoding") != "base64"


def _joined_scrubbed(fields: Mapping[str, Any], scrub: Callable[[str], str]) -> Mapping[str, Any]:
    """The members without what is spread over a WebSocket's messages, or a stream's events.

    The events of a stream are its body where what they add up to is not on record, or not all.
    """
    found = dict(fields)
    if socket := fields.get("websocket"):
        messages = socket["messages"]
        has_more = len(messages) < socket.get("count", 0)
        of_cut = _of_cut(scrub, is_cut=has_more or is_cut(fields))
        found["websocket"] = {**socket, "messages": _senders_scrubbed(messages, scrub, of_cut)}
    if fields.get("chunks") and (body := fields.get("body")):
        of_cut = _of_cut(scrub, is_cut=is_cut(fields))
        joined = partial(events_scrubbed, scrub=scrub, of_cut=of_cut)
        found["body"] = _text_scrubbed(body, fields["body_encoding"], joined)
    if folded := fields.get("folded"):
        found["folded"] = without_spelt(folded, _taking(scrub, is_cut=is_cut(fields)))
    return found


def _senders_scrubbed(
    messages: Sequence[Mapping[str, Any]],
    scrub: Callable[[str], str],
    of_cut: Callable[[str], str] | None,
) -> list[Mapping[str, Any]]:
    """The messages of both senders, without what is spread over several of one's."""
    found = list(messages)
    for sender in ("client", "gateway"):
        places = [
            place
            for place, each in enumerate(messages)
            if each["sender"] == sender and each["encoding"] == "utf-8"
        ]
        texts = messages_scrubbed([messages[place]["text"] for place in places], scrub, of_cut)
        for place, text in zip(places, texts, strict=True):
            found[place] = {**messages[place], "text": text}
    return found


def _shows_all(fields: Mapping[str, Any]) -> bool:
    """Whether a look at the line shows all that its texts are: none of them is base64, or cut."""
    if fields.get("body_encoding") == "base64" or is_cut(fields):
        return False
    messages = (fields.get("websocket") or {}).get("messages", ())
    return all(each["encoding"] != "base64" for each in messages)


def is_cut(fields: Mapping[str, Any]) -> bool:
    """Whether a record may have but the beginning of what was said, whoever has cut it."""
    return bool(fields.get("body_truncated")) or fields.get("outcome") in _BROKEN_OFF


def cut_scrubbed(value: Any, scrub: Callable[[str], str]) -> Any:
    """A JSON value that was cut off, each of its texts without half a secret at its end too."""
    return _texts_scrubbed(value, _taking(scrub, is_cut=True), names=False)


def scrubbed(fields: Mapping[str, Any], scrub: Callable[[str], str]) -> dict[str, Any]:
    """The members with their texts redacted; of the names, only those in what was folded."""
    found = dict(fields)
    for name, value in fields.items():
        if name in _OURS:
            continue
        if isinstance(value, str):
            found[name] = _body_scrubbed(fields, scrub) if name == "body" else scrub(value)
        elif name == "websocket" and value is not None:
            found[name] = {**value, "messages": _messages_scrubbed(value["messages"], scrub)}
        elif value is not None and not isinstance(value, int | float):
            is_folded = name in _FOLDED
            take = _taking(scrub, is_cut=is_folded and is_cut(fields))
            found[name] = _texts_scrubbed(
                value, take, _OURS_WITHIN.get(name, frozenset()), names=is_folded
            )
    return found


def _body_scrubbed(fields: Mapping[str, Any], scrub: Callable[[str], str]) -> str:
    take = _taking(scrub, is_cut=is_cut(fields))
    return _text_scrubbed(fields["body"], fields.get("body_encoding"), take)


def _taking(scrub: Callable[[str], str], *, is_cut: bool) -> Callable[[str], str]:
    """What redacts a text; if that was cut off, half a secret at its end too."""
    return _of_cut(scrub, is_cut=is_cut) or scrub


def _of_cut(scrub: Callable[[str], str], *, is_cut: bool) -> Callable[[str], str] | None:
    return scrub.of_beginning if is_cut and isinstance(scrub, Scrub) else None


def _messages_scrubbed(
    messages: Sequence[Mapping[str, Any]], scrub: Callable[[str], str]
) -> list[dict[str, Any]]:
    return [
        {**each, "text": _text_scrubbed(each["text"], each["encoding"], scrub)} for each in messages
    ]


def _text_scrubbed(text: str, encoding: str | None, scrub: Callable[[str], str]) -> str:
    return _base64_scrubbed(text, scrub) if encoding == "base64" else scrub(text)


def _base64_scrubbed(encoded: str, scrub: Callable[[str], str]) -> str:
    """Bytes in base64 with what is text in them redacted, all else as it is."""
    text = base64.b64decode(encoded).decode("utf-8", "surrogateescape")
    kept = scrub(text)
    if kept == text:
        return encoded
    return base64.b64encode(kept.encode("utf-8", "surrogateescape")).decode("ascii")


def _texts_scrubbed(
    value: Any, scrub: Callable[[str], str], ours: frozenset[str] = frozenset(), *, names: bool
) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {
            scrub(name) if names else name: item
            if name in ours
            else _texts_scrubbed(item, scrub, names=names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_texts_scrubbed(item, scrub, names=names) for item in value]
    return value


def _encoded(text: str) -> bytes:
    """The text in UTF-8, with surrogates that are a pair put together, and U+FFFD for lone ones.

    Strict readers refuse those even as an escape.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return paired.encode("utf-8")


def _iso(unix_seconds: float) -> str:
    """The moment, before 1970 too: a clock that is set wrong keeps no record from being written."""
    seconds, microseconds = divmod(round(unix_seconds * _MICROSECONDS), _MICROSECONDS)
    return f"{_to_the_second(seconds)}.{microseconds:06}Z"


@lru_cache(maxsize=2)
def _to_the_second(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()[:-6]
