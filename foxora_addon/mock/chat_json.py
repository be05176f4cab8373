"""Tells a chat completion in OpenAI's shape: as one object, or as a stream of events."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from foxora_addon.mock.answers import DONE, event_of
from foxora_addon.mock.chat import Completion
from foxora_addon.mock.fields import Json
from foxora_addon.mock.task import Choice
from foxora_addon.mock.tools import ToolCall
from foxora_addon.mock.wording import words_of

_ARGUMENT_FRAGMENT = 12


def completion_json(completion: Completion, head: Json) -> Json:
    """The completion as one object; `head` is its id, time and model."""
    return {
        **_headed(head, "chat.completion"),
        "choices": [
            {
                "index": index,
                "message": _message(choice, is_older=completion.is_older),
                "logprobs": None,
                "finish_reason": _reason(choice, is_older=completion.is_older),
            }
            for index, choice in enumerate(completion.choices)
        ],
        "usage": usage_json(completion.input_tokens, completion.output_tokens),
    }


def completion_events(completion: Completion, head: Json, *, with_usage: bool) -> list[bytes]:
    """The completion as events, a word or a fragment of arguments each, `[DONE]` last.

    Several choices take turns. With usage, every chunk has the field, null but in the last one.
    """
    tail: Json = {"usage": None} if with_usage else {}
    chunk = _headed(head, "chat.completion.chunk")
    older = completion.is_older
    streams = [
        _deltas(index, choice, is_older=older) for index, choice in enumerate(completion.choices)
    ]
    events = [
        event_of({**chunk, "choices": [delta], **tail})
        for turn in zip_longest(*streams)
        for delta in turn
        if delta is not None
    ]
    if with_usage:
        usage = usage_json(completion.input_tokens, completion.output_tokens)
        events.append(event_of({**chunk, "choices": [], "usage": usage}))
    return [*events, DONE]


def usage_json(input_tokens: int, output_tokens: int) -> Json:
    """The usage object of chat and legacy completions."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


def _headed(head: Json, kind: str) -> Json:
    return {"id": head["id"], "object": kind, "created": head["created"], "model": head["model"]}


def _reason(choice: Choice, *, is_older: bool) -> str:
    is_call = choice.finish_reason == "tool_calls"
    return "function_call" if is_call and is_older else choice.finish_reason


def _message(choice: Choice, *, is_older: bool) -> Json:
    message: Json = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.tool_calls:
        message["content"] = None
        calls = [_call_json(call) for call in choice.tool_calls]
        message |= {"function_call": calls[0]["function"]} if is_older else {"tool_calls": calls}
    return message


def _call_json(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _deltas(index: int, choice: Choice, *, is_older: bool) -> Iterator[Json]:
    opening = {"role": "assistant", "content": None if choice.tool_calls else ""}
    yield _delta(index, opening)
    for word in words_of(choice.text):
        yield _delta(index, {"content": word})
    for place, call in enumerate(choice.tool_calls):
        for part in _call_parts(place, call):
            told = {"function_call": part["function"]} if is_older else {"tool_calls": [part]}
            yield _delta(index, told)
    yield _delta(index, {}, _reason(choice, is_older=is_older))


def _call_parts(place: int, call: ToolCall) -> Iterator[Json]:
    begun = {"index": place, **_call_json(call)}
    begun["function"] = {"name": call.name, "arguments": ""}
    yield begun
    for fragment in fragments_of(call.arguments):
        yield {"index": place, "function": {"arguments": fragment}}


def _delta(index: int, delta: Json, finish_reason: str | None = None) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def fragments_of(text: str) -> Sequence[str]:
    """The text of a call's arguments in the pieces in which a stream tells it."""
    return [text[at : at + _ARGUMENT_FRAGMENT] for at in range(0, len(text), _ARGUMENT_FRAGMENT)]
