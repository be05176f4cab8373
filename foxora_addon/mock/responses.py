"""The responses route: plain words or JSON, as one object or as a stream of typed events.

Not documented as served by the gateway (foxora-api.md, Routes); here so that clients of the newer
OpenAI API have something to talk to. No tools, no stored state.
"""

from dataclasses import dataclass
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.answers import event_of
from foxora_addon.mock.chat import json_answer_text
from foxora_addon.mock.chat_request import content_tokens, schema_of_format, text_of
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.wording import reply_to, shortened, stretched, tokens_of, words_of


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A valid request; `most_tokens` None: no limit."""

    model: str
    asked: str
    input_tokens: int
    stream: bool
    most_tokens: int | None
    json_schema: Json | None


def parse_responses(body: bytes) -> ResponsesRequest:
    """The request in a body; raises RequestError."""
    json = fields.object_of(body)
    model = fields.required_text(json, "model")
    given = fields.required(json, "input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RequestError("The 'input' field must be a string or a list of objects.", "input")
    fields.number(json, "temperature", 0, 2)
    asked = [text_of(item.get("content")) for item in items if item.get("role") == "user"]
    instructions = content_tokens(json.get("instructions"))
    return ResponsesRequest(
        model=model,
        asked=asked[-1] if asked else "",
        input_tokens=instructions + sum(content_tokens(item.get("content")) for item in items),
        stream=fields.flag(json, "stream"),
        most_tokens=fields.whole_number(json, "max_output_tokens"),
        json_schema=schema_of_format(
            fields.mapping(fields.mapping(json, "text"), "format"), "text.format"
        ),
    )


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered. `is_cut`: the limit of tokens ended it."""

    request: ResponsesRequest
    id: str
    created: int
    text: str
    is_cut: bool

    @property
    def output_tokens(self) -> int:
        """The tokens of the answer's text."""
        return tokens_of(self.text)


def respond(
    request: ResponsesRequest, response_id: str, created: int, words: int | None = None
) -> Response:
    """What the mock says; with `words`, in so many of them, unless it says JSON."""
    if request.json_schema is not None:
        text = json_answer_text(request.json_schema, request.asked)
    elif words is not None:
        text = stretched(reply_to(request.asked), words)
    else:
        text = reply_to(request.asked)
    text, is_cut = shortened(text, request.most_tokens)
    return Response(request, response_id, created, text, is_cut)


def response_json(response: Response) -> Json:
    """The finished response as one object."""
    status = "incomplete" if response.is_cut else "completed"
    usage = {
        "input_tokens": response.request.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": response.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": response.request.input_tokens + response.output_tokens,
    }
    item = _item(response, status, [_part(response.text)])
    return {**_outline(response, status), "output": [item], "usage": usage}


def response_events(response: Response) -> list[bytes]:
    """The response as OpenAI's typed events; the last one carries the whole of it."""
    place = {"item_id": _item_id(response), "output_index": 0, "content_index": 0}
    running = {**_outline(response, "in_progress"), "output": [], "usage": None}
    whole = response_json(response)
    item = whole["output"][0]
    last = f"response.{whole['status']}"
    return _numbered(
        [
            ("response.created", {"response": running}),
            ("response.in_progress", {"response": running}),
            (
                "response.output_item.added",
                {"output_index": 0, "item": _item(response, "in_progress", [])},
            ),
            ("response.content_part.added", {**place, "part": _part("")}),
            *(
                ("response.output_text.delta", {**place, "delta": word, "logprobs": []})
                for word in words_of(response.text)
            ),
            ("response.output_text.done", {**place, "text": response.text, "logprobs": []}),
            ("response.content_part.done", {**place, "part": _part(response.text)}),
            ("response.output_item.done", {"output_index": 0, "item": item}),
            (last, {"response": whole}),
        ]
    )


def _numbered(events: list[tuple[str, Json]]) -> list[bytes]:
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
        "instructions": None,
        "metadata": {},
        "model": response.request.model,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def _item_id(response: Response) -> str:
    return f"msg_{response.id.rpartition('_')[2]}"


def _item(response: Response, status: str, content: list[Any]) -> Json:
    return {
        "id": _item_id(response),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
