"""What the streams of pictures and sounds add up to (OpenAI's API reference, Images and Audio)."""

from typing import Any, Final

from foxora_addon.api.folding import fold_field, put, whole

_PICTURE: Final = frozenset({"image_generation.completed", "image_edit.completed"})
_LAST: Final = _PICTURE | {"speech.audio.done", "transcript.text.done"}
_NO_WORDS: Final = ("image_generation.", "image_edit.", "speech.audio.")
_ENDING: Final = (*_NO_WORDS, "transcript.text.")


class MediaTranscript:
    """What such a stream has said so far, or any other of events that name their type.

    `done`: its last event was one that ends a stream, as no `[DONE]` does; `pictures` counts those
    that are complete, each of which has such an event. `tells_end`: it is of a kind that has one.
    `is_wordless`: pictures or sound came, whose tokens can't be counted. `truncated`: not all of
    the text that was heard is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.done = False
        self.pictures = 0
        self.tells_end = False
        self.is_wordless = False
        self.truncated = False
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answer: dict[str, Any] = {}

    def add(self, kind: str, value: dict[str, Any], size: int) -> int:
        """Take the next event, of so many characters of data; how many more bytes are kept."""
        before = self._bytes
        self.done = kind in _LAST
        self.pictures += kind in _PICTURE
        self.tells_end = self.tells_end or kind.startswith(_ENDING)
        self.is_wordless = self.is_wordless or kind.startswith(_NO_WORDS)
        if kind == "transcript.text.delta":
            self._hear(value.get("delta"), size)
        elif kind == "transcript.text.done":
            self._hear_all(value.get("text"), size)
        return self._bytes - before

    def answer(self) -> dict[str, Any] | None:
        """The text that was heard, as an answer that is not streamed has it; None if none was."""
        return whole(self._answer) or None

    def _hear(self, text: object, size: int) -> None:
        self.truncated = self.truncated or self._bytes + size > self._max_bytes
        if isinstance(text, str) and text and not self.truncated:
            self._bytes += fold_field(self._answer, "text", text)

    def _hear_all(self, text: object, size: int) -> None:
        """Take the whole text, which stands for its pieces."""
        if isinstance(text, str) and text and size <= self._max_bytes:
            self._bytes += put(self._answer, "text", text)
            self.truncated = False
