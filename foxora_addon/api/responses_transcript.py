"""Folds the events of a Responses API stream into its `response` object.

The last event carries the whole object. Until it has come, the finished items and the text that was
seen stand in for it, so that a stream that was cut still says what it said; and so they do where it
has no output, as that of `response.failed` may have none.
"""

from typing import Any, Final

from foxora_addon.api.folding import Text, size_of, text_bytes, whole
from foxora_addon.api.responses_message import is_more_than_message, message_in

_LAST: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
_ITEMS: Final = frozenset({"response.output_item.added", "response.output_item.done"})
_MESSAGE: Final = {"type": "message", "role": "assistant"}
_REASONING: Final = {"type": "reasoning"}
# What an item is of which no more was seen than deltas, where their text stands in it, and as which
# kind of part; None: it is no part of a list, but the whole.
_DELTAS: Final = {
    "response.output_text.delta": (_MESSAGE, "content", "output_text"),
    "response.refusal.delta": (_MESSAGE, "content", "refusal"),
    "response.reasoning_summary_text.delta": (_REASONING, "summary", "summary_text"),
    "response.reasoning_text.delta": (_REASONING, "content", "reasoning_text"),
    "response.function_call_arguments.delta": ({"type": "function_call"}, "arguments", None),
    "response.custom_tool_call_input.delta": ({"type": "custom_tool_call"}, "input", None),
}
# What is kept of a `response` object that is too large to be kept.
_SMALL: Final = ("id", "object", "created_at", "status", "model", "incomplete_details")


class ResponsesTranscript:
    """What a stream has said so far.

    Bounded by about `max_bytes`; beyond it `truncated`, and only small fields are kept.
    `unkept_bytes` is how many bytes of text came beyond it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.done = False
        self.truncated = False
        self.unkept_bytes = 0
        self.usage: Any = None
        self.error: Any = None
        self._max_bytes = max_bytes
        self._bytes = 0
        self._response: dict[str, Any] | None = None
        self._items: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, dict[str, Text]] = {}

    def add(self, kind: str, value: dict[str, Any], size: int) -> None:
        """Take one event: its type, its JSON object and how long that was as text."""
        self.done = kind in _LAST
        response = value.get("response")
        if isinstance(response, dict):
            self.usage = response.get("usage") or self.usage
            self.error = response.get("error") or self.error
            self._take_response(response, size)
        else:
            self._take_part(kind, value, size)

    @property
    def content_bytes(self) -> int:
        """About how many bytes are kept: of a whole response no fewer than its texts have."""
        return self._bytes

    def response(self) -> dict[str, Any] | None:
        """Return the `response` object, or as much as is known of it; None if nothing is."""
        parts = self._parts()
        if self._response is None and not parts:
            return None
        known = self._response or {"object": "response"}
        response: dict[str, Any] = whole({**known, "output": parts} if parts else known)
        return response

    def member(self, name: str) -> Any:
        """Return a member of the `response` object, as it came; None if it is not known."""
        return None if self._response is None else self._response.get(name)

    def message(self) -> dict[str, Any] | None:
        """Return the message that the output adds up to."""
        message: dict[str, Any] | None = whole(message_in(self._output()))
        return message

    @property
    def says_more(self) -> bool:
        """Whether the output has more in it than `message` holds."""
        return is_more_than_message(self._output())

    def finish_reasons(self) -> list[str]:
        """Return why it is incomplete, else its status; nothing until it has ended."""
        return reasons_of(self._response) if self.done and self._response else []

    def _output(self) -> list[Any]:
        output = self._parts() or (self._response or {}).get("output")
        return output if isinstance(output, list) else []

    def _parts(self) -> list[dict[str, Any]]:
        return [self._item(place) for place in sorted(self._items.keys() | self._texts.keys())]

    def _forget_parts(self) -> None:
        self._items.clear()
        self._texts.clear()
        self._bytes = self.unkept_bytes = 0
        self.truncated = False

    def _take_response(self, response: dict[str, Any], size: int) -> None:
        if size > self._max_bytes:
            self.truncated = True
            response = {name: response[name] for name in _SMALL if name in response}
        self._response = response
        if self.done and response.get("output"):
            self._forget_parts()
            self._bytes = 4 * size  # the most that so many characters have in UTF-8

    def _take_part(self, kind: str, value: dict[str, Any], size: int) -> None:
        place, item, delta = value.get("output_index"), value.get("item"), value.get("delta")
        if not isinstance(place, int):
            return
        if kind in _ITEMS and isinstance(item, dict) and self._has_room(size):
            self._items[place] = item
            self._texts.pop(place, None)
        elif kind in _DELTAS and isinstance(delta, str):
            if not self._has_room(size_of(delta)):
                self.unkept_bytes += text_bytes(delta)
                return
            texts = self._texts.setdefault(place, {})
            texts.setdefault(kind, Text()).add(delta)

    def _has_room(self, size: int) -> bool:
        self.truncated = self.truncated or self._bytes + size > self._max_bytes
        if self.truncated:
            return False
        self._bytes += size
        return True

    def _item(self, place: int) -> dict[str, Any]:
        """Return an item as it was seen last, with what deltas have said of it since."""
        texts = self._texts.get(place, {})
        said: dict[str, Any] = {}
        item: dict[str, Any] = self._items.get(place, {})
        for delta, text in texts.items():
            frame, member, part = _DELTAS[delta]
            item = item or frame
            if part is None:
                said[member] = text
            else:
                name = "refusal" if part == "refusal" else "text"
                said.setdefault(member, []).append({"type": part, name: text})
        return {**item, **said}


def reasons_of(response: dict[str, Any]) -> list[str]:
    """Return why a whole `response` object is incomplete, else its status; at most one text."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return [text for text in (reason, response.get("status")) if isinstance(text, str)][:1]
