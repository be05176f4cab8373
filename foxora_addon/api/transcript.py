"""Folds the events of a streamed answer into the one completion that they add up to.

Reads Chat Completions, the legacy Completions, and (by `responses_transcript`, `media_transcript`)
Responses and what was heard; how values are added up is `folding`'s business. It equals what
openai-python's own accumulation gives, except where `folding` says so, and that usage, service tier
and other fields around the choices are the last ones that were not null, which need not stand in
the last or first chunk.
"""

from collections.abc import Callable
from typing import Any, Final

from foxora_addon.api import quick_json
from foxora_addon.api.chunk_media import cut_media
from foxora_addon.api.folding import fold, fold_field, put, text_bytes, whole
from foxora_addon.api.media_transcript import MediaTranscript
from foxora_addon.api.output_tokens import written_in
from foxora_addon.api.responses_transcript import ResponsesTranscript
from foxora_addon.api.sse import Event

DEFAULT_MAX_BYTES: Final = 1_048_576

# Deeper JSON is taken for malformed, so that whoever reads a completion may do so by recursion.
_DEEPEST: Final = 64
_CHOICE_BYTES: Final = 512
_MOST_EVENTS: Final = 2**53 - 1  # no number beyond it is exact for a client in JavaScript

# Around the choices: what the first chunk that has it decides, and what is no part of a completion.
_SETTLED_FIRST: Final = frozenset({"id", "created", "model"})
_NOT_KEPT: Final = frozenset({"choices", "error", "object", "obfuscation", "usage"})
# Of a run of an assistant, whose events add up to nothing here.
_OF_A_RUN: Final = ("id", "model")
# Of a choice: what is joined, and what else is not simply kept.
_LOGPROBS: Final = "logprobs"
_JOINED: Final = (_LOGPROBS, "text")
_SILENT: Final = frozenset({"id", "name", "role", "type"})
_SPOKEN: Final = frozenset({"content", "role"})
_CHOICE_PARTS: Final = frozenset({"delta", "finish_reason", "index", "message", *_JOINED})


class Transcript:
    """What a stream has said so far. No event raises.

    `chunks` counts its data events but `[DONE]`, `done` tells whether the stream said that it is
    over: what follows is not read, as no client reads it, but where a picture was the last, since
    another may follow. `error` is the first error among the events, as `{"error": ...}`.
    `is_usage_of_all`: nothing was said after the usage that was reported last.

    Memory is bounded by about `max_bytes`, beyond which content stops being kept and `truncated` is
    True, while usage, finish reasons, errors and the end are still observed, and how many bytes of
    text are not kept is counted. The sounds and pictures of a chat may take half of it, so that
    text behind them is kept.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.chunks = 0
        self.done = False
        self._may_go_on = False
        self.error: dict[str, Any] | None = None
        self._max_bytes = max_bytes
        self._max_media_bytes = max_bytes // 2
        self._bytes = 0
        self._logprobs_bytes = 0  # of these
        self._is_full = False
        self._is_media_cut = False
        self._unkept_bytes = 0
        self.is_usage_of_all = True
        self._told_usage_at = 0
        self._usage: dict[str, Any] | None = None
        self._object = ""
        self._fields: dict[str, Any] = {}
        self._run: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._responses: ResponsesTranscript | None = None
        self._media: MediaTranscript | None = None
        self._is_run = False
        self._last: dict[str, Any] = {}

    @property
    def truncated(self) -> bool:
        """Whether not all that came is kept."""
        return self._is_full or self._is_media_cut

    @property
    def usage(self) -> dict[str, Any] | None:
        """The last usage that was reported, in the stream's own names; None if none was."""
        usage: dict[str, Any] | None = whole(self._usage)
        return usage

    @property
    def content_bytes(self) -> int:
        """About how many bytes it has said so far, no fewer than the text has.

        Without logprobs, of which there are twenty times as many: whoever counts its tokens as it
        grows would count anew at each event.
        """
        said = self._bytes - self._logprobs_bytes
        kept = said if self._responses is None else self._responses.content_bytes
        return kept + self.unkept_bytes

    @property
    def unkept_bytes(self) -> int:
        """How many bytes of text came that are not kept."""
        responses = self._responses
        return self._unkept_bytes if responses is None else responses.unkept_bytes

    @property
    def tells_end(self) -> bool:
        """Whether it is of a kind whose streams tell when they are over, or says that it failed."""
        of_chat = bool(self._fields or self._choices)
        of_others = self._is_run or self._responses is not None or self.error is not None
        return of_chat or of_others or (self._media is not None and self._media.tells_end)

    def has_said_all(self, pictures_asked: Callable[[], int]) -> bool:
        """Whether its last event has come; of pictures there is one for each that was asked for."""
        media = self._media
        if media is None or not media.pictures:
            return self.done
        return self.done and media.pictures >= pictures_asked()

    @property
    def is_wordless(self) -> bool:
        """Whether pictures or sound came, whose tokens can't be counted."""
        return self._media is not None and self._media.is_wordless

    @property
    def id(self) -> str | None:
        """The completion's id; None while none was named."""
        return self._named("id")

    @property
    def model(self) -> str | None:
        """The model that answers, as the stream names it; None while it has not."""
        return self._named("model")

    @property
    def next_number(self) -> int:
        """The number of an event that follows, in a stream whose events are numbered from 0."""
        last = self._last.get("sequence_number")
        return last + 1 if type(last) is int and 0 <= last < _MOST_EVENTS else self.chunks

    def add(self, event: Event) -> None:
        """Take the next event of the stream."""
        if self.done and not self._may_go_on:
            return
        if event.data.startswith("[DONE]"):
            self.done, self._may_go_on = True, False
            return
        self.chunks += 1
        value = _object_of(event.data)
        self._last = value or {}
        if value is None:
            return
        self._observe(value, event.event)
        kind = value.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            self._add_response(kind, value, len(event.data))
        elif isinstance(value.get("choices"), list):
            size = len(event.data)
            if self._bytes + size > self._max_media_bytes:
                size -= self._cut_media(value["choices"])
            self._is_full = self._is_full or self._bytes + size > self._max_bytes
            self._add_chunk(value)
        elif isinstance(kind, str):
            self._add_media(kind, value, len(event.data))
        elif _text_of(value.get("object")).startswith("thread."):
            self._add_of_run(value)
        if self._told_usage_at == self.chunks:
            self.is_usage_of_all = True

    def speaker(self) -> dict[str, Any] | None:
        """What `say` takes if the last event did nothing but add to one choice's text.

        None if it did anything else: such an event, come again, is more than its text.
        """
        if self.done or not _only_says(self._last):
            return None
        choice = self._last["choices"][0]
        index = choice.get("index")
        so_far = self._choices.get(index if type(index) is int else 0)
        role = choice["delta"].get("role")
        if so_far is None or role not in (None, so_far["message"].get("role")):
            return None
        message: dict[str, Any] = so_far["message"]
        return message

    def say(self, speaker: dict[str, Any], text: str, size: int) -> None:
        """Take the last event once more, with another text and so many characters of data."""
        self.chunks += 1
        if text:
            self.is_usage_of_all = False
        self._is_full = self._is_full or self._bytes + size > self._max_bytes
        if self._is_full:
            self._unkept_bytes += text_bytes(text)
        else:
            self._bytes += fold_field(speaker, "content", text)

    def completion(self) -> dict[str, Any] | None:
        """Return the completion as an answer that is not streamed would hold it.

        A `chat.completion`, `text_completion` or `response` object, or one with a heard `text`; of
        what was seen, if the stream was cut. None if nothing could be folded.
        """
        if self._responses:
            return self._responses.response()
        if self._media and (heard := self._media.answer()):
            return heard
        if not self._fields and not self._choices:
            return None
        completion = {"id": None, "object": self._object or "chat.completion"} | self._fields
        choices = [_choice_of(index, self._choices[index]) for index in sorted(self._choices)]
        usage = {"usage": self._usage} if self._usage else {}
        return {**whole(completion), "choices": choices, **whole(usage)}

    def message(self) -> dict[str, Any] | None:
        """Return the first choice's assistant message, or the response's; None if there is none."""
        if self._responses is not None:
            return self._responses.message()
        if not self._choices:
            return None
        first = min(self._choices)
        choice = _choice_of(first, self._choices[first])
        message: dict[str, Any] | None = choice.get("message")
        return message or {"role": "assistant", "content": choice.get("text")}

    @property
    def says_more(self) -> bool:
        """Whether more was said than `message` holds: further choices, logprobs, or other items."""
        if self._responses is not None:
            return self._responses.says_more
        return len(self._choices) > 1 or any(map(_has_logprobs, self._choices.values()))

    def finish_reasons(self) -> list[str]:
        """Return why the choices ended, in their order; those that have not are left out."""
        if self._responses is not None:
            return self._responses.finish_reasons()
        reasons = [choice["finish_reason"] for _, choice in sorted(self._choices.items())]
        return [whole(reason) for reason in reasons if reason]

    def _named(self, name: str) -> str | None:
        responses = self._responses
        fields = self._fields or self._run
        value = fields.get(name) if responses is None else responses.member(name)
        return _text_of(whole(value)) or None

    def _observe(self, value: dict[str, Any], kind: str) -> None:
        """Note what is noted however long the stream is."""
        if isinstance(value.get("usage"), dict) and value["usage"]:
            self._take_usage(value["usage"])
        if self.error is None and value.get("error"):
            self.error = whole({"error": value["error"]})
        elif self.error is None and "error" in {kind, _text_of(value.get("type"))}:
            self.error = whole({"error": value})

    def _take_usage(self, usage: dict[str, Any]) -> None:
        self._usage, self._told_usage_at = usage, self.chunks

    def _add_response(self, kind: str, value: dict[str, Any], size: int) -> None:
        self._responses = responses = self._responses or ResponsesTranscript(self._max_bytes)
        responses.add(kind, value, size)
        if kind.endswith(".delta"):
            self.is_usage_of_all = False
        self.done = responses.done
        self._is_full = responses.truncated
        if isinstance(responses.usage, dict) and responses.usage is not self._usage:
            self._take_usage(responses.usage)
        if self.error is None and responses.error:
            self.error = whole({"error": responses.error})

    def _add_of_run(self, value: dict[str, Any]) -> None:
        self._is_run = True
        if value["object"] == "thread.run":
            self._run = {name: value.get(name) for name in _OF_A_RUN}

    def _add_media(self, kind: str, value: dict[str, Any], size: int) -> None:
        self._media = media = self._media or MediaTranscript(self._max_bytes)
        self._bytes += media.add(kind, value, size)
        self.done = self._may_go_on = media.done
        self._is_full = self._is_full or media.truncated

    def _cut_media(self, choices: list[Any]) -> int:
        """Leave of sounds and pictures what there is room for; how many characters went."""
        taken = cut_media(choices, max(self._max_media_bytes - self._bytes, 0))
        self._is_media_cut = self._is_media_cut or taken > 0
        return taken

    def _add_chunk(self, chunk: dict[str, Any]) -> None:
        if not self._is_full:
            self._object = self._object or _text_of(chunk.get("object")).removesuffix(".chunk")
            self._keep(self._fields, chunk, _NOT_KEPT)
        for position, choice in enumerate(chunk["choices"]):
            if isinstance(choice, dict):
                index = choice.get("index")
                self._add_choice(index if type(index) is int else position, choice)

    def _add_choice(self, index: int, choice: dict[str, Any]) -> None:
        delta = choice.get("delta", choice.get("message"))
        if self._is_full or self._usage is not None:
            text = choice.get("text")
            self.is_usage_of_all = self.is_usage_of_all and not any(_words_in(delta, text))
            self._unkept_bytes += text_bytes(written_in([delta, text])) if self._is_full else 0
        if index not in self._choices:
            # Asked anew at each but the first, for one event may have any number of them.
            if self._choices and self._bytes + _CHOICE_BYTES > self._max_bytes:
                self._is_full = True
            if self._is_full:
                return
            self._choices[index] = {"message": {}, "finish_reason": None}
            self._bytes += _CHOICE_BYTES
        so_far = self._choices[index]
        so_far["finish_reason"] = _text_of(choice.get("finish_reason")) or so_far["finish_reason"]
        if self._is_full:
            return
        if isinstance(delta, dict):
            self._bytes += fold(so_far["message"], delta)
        for name in _JOINED:
            if name in choice:
                taken = fold_field(so_far, name, choice[name])
                self._bytes += taken
                self._logprobs_bytes += taken if name == _LOGPROBS else 0
        self._keep(so_far, choice, _CHOICE_PARTS)

    def _keep(self, fields: dict[str, Any], seen: dict[str, Any], others: frozenset[str]) -> None:
        """Keep the last value of each field that is not empty, the first of those settled by it."""
        for name, value in seen.items():
            so_far = fields.get(name)
            if name in others or value == so_far:
                continue
            if not so_far or (value not in (None, "") and name not in _SETTLED_FIRST):
                self._bytes += put(fields, name, value)


def _object_of(data: str) -> dict[str, Any] | None:
    """Return the JSON object that `data` is; None if it is none, or nested beyond reason."""
    if not data.lstrip(" \t\n\r").startswith("{"):
        return None  # to find that out as JSON takes ten times as long
    try:
        value = quick_json.read(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return None if data.count("{") + data.count("[") > _DEEPEST and _is_deep(value) else value


def _only_says(chunk: dict[str, Any]) -> bool:
    """Tell whether a chunk, if it came twice, would change nothing the second time but a text."""
    choices = chunk.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return False
    delta = choices[0].get("delta")
    if not isinstance(delta, dict) or not isinstance(delta.get("content"), str):
        return False
    if any(value is not None and name not in _SPOKEN for name, value in delta.items()):
        return False
    is_more = any(choices[0].get(name) for name in ("finish_reason", *_JOINED))
    return not (is_more or any(chunk.get(name) for name in ("error", "type", "usage")))


def _words_in(delta: object, text: object) -> list[Any]:
    """What a choice's part says, which role and names do not."""
    fields = delta if isinstance(delta, dict) else {}
    return [text, *(value for name, value in fields.items() if name not in _SILENT)]


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for parent in level for child in _children_of(parent)]
        if not level:
            return False
    return True


def _children_of(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
        case _:
            return []


def _choice_of(index: int, folded: dict[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index} | whole(folded)
    message = choice.pop("message")
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            call.pop("index", None)  # is the delta's only, not the message's
    if message or "text" not in choice:
        choice["message"] = {"role": "assistant", "content": None} | message
    return choice


def _has_logprobs(choice: dict[str, Any]) -> bool:
    """Tell whether a choice has any: of a call that asks for none they are null, or empty lists."""
    logprobs = choice.get(_LOGPROBS)
    return any(logprobs.values()) if isinstance(logprobs, dict) else bool(logprobs)


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""
