"""Legacy completions: words after a prompt, as one object or as a stream.

Not documented as served by the gateway (foxora-api.md, Routes).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foxora_addon.mock import fields
from foxora_addon.mock.answers import DONE, event_of
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.texts import Text, parse_texts
from foxora_addon.mock.wording import reply_to, shortened, stretched, tokens_of, words_of

_KIND = "text_completion"
_DEFAULT_TOKENS = 16
_MOST_CHOICES = 2_048


@dataclass(frozen=True, slots=True)
class LegacyRequest:
    """A valid request. Each prompt gets `choices` answers."""

    model: str
    prompts: list[Text]
    choices: int
    most_tokens: int
    stream: bool
    stream_usage: bool

    @property
    def input_tokens(self) -> int:
        """The tokens of all prompts."""
        return sum(prompt.tokens for prompt in self.prompts)


@dataclass(frozen=True, slots=True)
class LegacyChoice:
    """One answer. `is_cut`: the limit of tokens ended it."""

    text: str
    is_cut: bool


def parse_legacy(body: bytes) -> LegacyRequest:
    """The request in a body; raises RequestError."""
    json = fields.object_of(body)
    fields.number(json, "temperature", 0, 2)
    request = LegacyRequest(
        model=fields.required_text(json, "model"),
        prompts=parse_texts(json, "prompt"),
        choices=fields.whole_number(json, "n") or 1,
        most_tokens=fields.whole_number(json, "max_tokens") or _DEFAULT_TOKENS,
        stream=fields.flag(json, "stream"),
        stream_usage=fields.flag(fields.mapping(json, "stream_options"), "include_usage"),
    )
    if request.choices * len(request.prompts) > _MOST_CHOICES:
        raise RequestError(f"At most {_MOST_CHOICES} answers can be asked for at once.", "n")
    return request


def continue_texts(request: LegacyRequest, words: int | None = None) -> list[LegacyChoice]:
    """The answers, those to the first prompt first; with `words`, in so many of them."""
    return [
        _choice(prompt, number, request.most_tokens, words)
        for prompt in request.prompts
        for number in range(request.choices)
    ]


def output_tokens(choices: Sequence[LegacyChoice]) -> int:
    """The tokens of all answers."""
    return sum(tokens_of(choice.text) for choice in choices)


def legacy_json(choices: Sequence[LegacyChoice], head: Json, usage: Json) -> Json:
    """The answers as one object; `head` is its id, time and model."""
    finished = [_choice_json(at, each.text, _reason(each)) for at, each in enumerate(choices)]
    return {**head, "object": _KIND, "choices": finished, "usage": usage}


def legacy_events(choices: Sequence[LegacyChoice], head: Json, usage: Json | None) -> list[bytes]:
    """The answers as events, one after another, `[DONE]` last; usage None: not told."""
    chunk = {**head, "object": _KIND}
    events = [
        event_of({**chunk, "choices": [part]})
        for at, choice in enumerate(choices)
        for part in _parts(at, choice)
    ]
    if usage is not None:
        events.append(event_of({**chunk, "choices": [], "usage": usage}))
    return [*events, DONE]


def _choice(prompt: Text, number: int, most_tokens: int, words: int | None) -> LegacyChoice:
    text = reply_to(prompt.words, number)
    if words is not None:
        text = stretched(text, words)
    return LegacyChoice(*shortened(text, most_tokens))


def _parts(index: int, choice: LegacyChoice) -> Iterator[Json]:
    for word in words_of(choice.text):
        yield _choice_json(index, word, None)
    yield _choice_json(index, "", _reason(choice))


def _reason(choice: LegacyChoice) -> str:
    return "length" if choice.is_cut else "stop"


def _choice_json(index: int, text: str, finish_reason: str | None) -> Json:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
