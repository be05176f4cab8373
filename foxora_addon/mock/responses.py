"""Tells a response of the Responses API: as one object, or as a stream of typed events.

Not documented as served by the gateway (foxora-api.md, Routes); here so that clients of the newer
OpenAI API have something to talk to. Words, JSON and calls of functions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foxora_addon.mock.answers import event_of
from foxora_addon.mock.chat_json import fragments_of
from foxora_addon.mock.fields import Json
from foxora_addon.mock.responses_request import ResponsesRequest
from foxora_addon.mock.task import Choice, choice_of
from foxora_addon.mock.tools import ToolCall
from foxora_addon.mock.wording import words_of

_Event = tuple[str, Json]


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered to which request."""

    request: ResponsesRequest
    id: str
    created: int
    choice: Choice

    @property
    def status(self) -> str:
        """Whether the limit of tokens ended it, as OpenAI says it."""
        return "incomplete" if self.choice.finish_reason == "length" else "completed"

    @property
    def token(self) -> str:
        """What the ids of its items are made of."""
        return self.id.rpartition("_")[2]


def respond(
    request: ResponsesRequest, response_id: str, created: int, words: int | None = None
) -> Response:
    """What the mock says; with `words`, in so many of them, unless it says JSON."""
    choice = choice_of(request.task, response_id.rpartition("_")[2], words=words)
    return Response(request, response_id, created, choice)


def response_json(response: Response) -> Json:
    """The finished response as one object."""
    usage = usage_json(response.request.input_tokens, response.choice.tokens)
    outline = _outline(response, response.status)
    return {**outline, "output": _output(response), "usage": usage}


def unfinished_json(response: Response, status: str) -> Json:
    """The response as it is told while there is nothing of it yet, or never will be."""
    return {**_outline(response, status), "output": [], "usage": None}


def usage_json(input_tokens: int, output_tokens: int) -> Json:
    """The usage object of responses."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def response_events(response: Response, whole: Json) -> list[bytes]:
    """The response as OpenAI's typed events; the last one carries the `whole` of it, in JSON."""
    running = unfinished_json(response, "in_progress")
    events: list[_Event] = [
        ("response.created", {"response": running}),
        ("response.in_progress", {"response": running}),
        *_item_events(response),
        (f"response.{response.status}", {"response": whole}),
    ]
    return [
        event_of({"type": kind, "sequence_number": number, **content}, kind)
        for number, (kind, content) in enumerate(events)
    ]


def _outline(response: Response, status: str) -> Json:
    return {
        "id": response.id,
        "object": "response",
        "created_at": response.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": response.request.model,
        **response.request.echo,
    }


def _output(response: Response) -> list[Json]:
    calls = response.choice.tool_calls
    if not calls:
        return [_message(response, response.status, [_part(response.choice.text)])]
    return [_call(response, place, call, response.status) for place, call in enumerate(calls)]


def _item_events(response: Response) -> Iterator[_Event]:
    """Each item from its beginning to its end, one after another."""
    calls = response.choice.tool_calls
    told = enumerate(calls) if calls else [(0, None)]
    for (place, call), item in zip(told, _output(response), strict=True):
        nothing: Json = {"content": []} if call is None else {"arguments": ""}
        begun = {**item, "status": "in_progress", **nothing}
        yield "response.output_item.added", {"output_index": place, "item": begun}
        if call is None:
            yield from _text_events(item["id"], response.choice.text)
        else:
            yield from _call_events({"item_id": item["id"], "output_index": place}, call)
        yield "response.output_item.done", {"output_index": place, "item": item}


def _text_events(item_id: str, text: str) -> Iterator[_Event]:
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield "response.content_part.added", {**place, "part": _part("")}
    for word in words_of(text):
        yield "response.output_text.delta", {**place, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**place, "text": text, "logprobs": []}
    yield "response.content_part.done", {**place, "part": _part(text)}


def _call_events(place: Json, call: ToolCall) -> Iterator[_Event]:
    for fragment in fragments_of(call.arguments):
        yield "response.function_call_arguments.delta", {**place, "delta": fragment}
    done = {**place, "name": call.name, "arguments": call.arguments}
    yield "response.function_call_arguments.done", done


def _message(response: Response, status: str, content: list[Any]) -> Json:
    return {
        "id": f"msg_{response.token}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _call(response: Response, place: int, call: ToolCall, status: str) -> Json:
    return {
        "id": f"fc_{response.token}_{place}",
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
