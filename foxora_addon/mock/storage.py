"""The routes of files and batches, in OpenAI's shapes.

Not documented as served by the gateway (foxora-api.md, Routes). A batch is carried out as it is
made, free of charge; it is told as `validating` first, and from then on as `completed`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import parse_qs

from foxora_addon.mock import fields
from foxora_addon.mock.answers import Answer, json_answer, json_bytes, plain_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.forms import parse_form
from foxora_addon.mock.listing import list_json
from foxora_addon.mock.received import Received
from foxora_addon.mock.shelf import StoredFile

_MOST_LINES = 50_000
_A_DAY = 86_400
_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")

Carry = Callable[[Call], Reply]


def add_file(call: Call) -> Reply:
    """`POST /v1/files`: a form with a file and its purpose."""
    form = parse_form(call.body, call.received.header("content-type"))
    given = form.file("file")
    purpose = form.text("purpose")
    return _told(_file_json(_stored(call, given.filename, purpose, given.body)))


def list_files(call: Call) -> Reply:
    """`GET /v1/files`, newest first, all of them on one page."""
    purpose = parse_qs(call.received.query).get("purpose", [None])[-1]
    files = [file for file in call.shelf.files.values() if purpose in (None, file.purpose)]
    return _page([_file_json(file) for file in reversed(files)])


def tell_file(call: Call) -> Reply:
    """`GET /v1/files/{id}`."""
    return _told(_file_json(call.shelf.file(call.name)))


def give_file(call: Call) -> Reply:
    """`GET /v1/files/{id}/content`."""
    head = (("content-type", "application/octet-stream"),)
    return Reply(plain_answer(200, head, call.shelf.file(call.name).content))


def remove_file(call: Call) -> Reply:
    """`DELETE /v1/files/{id}`."""
    file = call.shelf.file(call.name)
    del call.shelf.files[file.id]
    return _told({"id": file.id, "object": "file", "deleted": True})


def add_batch(call: Call, carry: Carry) -> Reply:
    """`POST /v1/batches`; `carry` answers each call of it."""
    given = fields.object_of(call.body)
    source = call.shelf.file(fields.required_text(given, "input_file_id"))
    endpoint = fields.required_text(given, "endpoint")
    if endpoint not in _ENDPOINTS:
        raise RequestError(
            f"The 'endpoint' field must be one of {', '.join(_ENDPOINTS)}.", "endpoint"
        )
    window = fields.required_text(given, "completion_window")
    lines = [line for line in source.content.splitlines() if line.strip()][:_MOST_LINES]
    asked = [fields.object_of(line) for line in lines]
    calls = [_line_call(call, endpoint, each, at) for at, each in enumerate(asked)]
    replies = [carry(each) for each in calls]
    told = [_line_json(*each) for each in zip(asked, calls, replies, strict=True)]
    output = b"".join(json_bytes(each) + b"\n" for each in told)
    failed = sum(each["response"]["status_code"] != 200 for each in told)
    done = {"total": len(told), "completed": len(told) - failed, "failed": failed}
    name = f"batch_{call.token}"
    result = _stored(call, f"{name}_output.jsonl", "batch_output", output)
    now = int(call.now)
    begun = {
        "id": name,
        "object": "batch",
        "endpoint": endpoint,
        "errors": None,
        "input_file_id": source.id,
        "completion_window": window,
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "in_progress_at": None,
        "expires_at": now + _A_DAY,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": given.get("metadata"),
    }
    times = dict.fromkeys(("in_progress_at", "finalizing_at", "completed_at"), now)
    ended = {"status": "completed", "output_file_id": result.id, "request_counts": done}
    call.shelf.batches[name] = {**begun, **times, **ended}
    return replace(_told(begun), change=lambda: _change_all(replies))


def list_batches(call: Call) -> Reply:
    """`GET /v1/batches`, newest first, all of them on one page."""
    return _page(list(reversed(call.shelf.batches.values())))


def tell_batch(call: Call) -> Reply:
    """`GET /v1/batches/{id}`."""
    return _told(call.shelf.batch(call.name))


def cancel_batch(call: Call) -> Reply:
    """`POST /v1/batches/{id}/cancel`: too late, always."""
    status = call.shelf.batch(call.name)["status"]
    raise RequestError(f"Cannot cancel a batch with status '{status}'.", status=409)


def _line_call(call: Call, endpoint: str, asked: Json, at: int) -> Call:
    """The call of a line of the input; its answer is waited for, so it is in no stream."""
    headers = tuple(p for p in call.received.headers if p[0].lower() != "content-encoding")
    at_once = {"stream": False, "background": False}
    body = json_bytes({**fields.mapping(asked, "body"), **at_once})
    received = Received(call.now, "POST", endpoint, headers, body)
    return replace(call, received=received, token=f"{call.token}{at:05d}")


def _line_json(asked: Json, call: Call, reply: Reply) -> Json:
    """A line of the output: what the call of a line of the input was answered."""
    response = {
        "status_code": reply.answer.status,
        "request_id": f"req_{call.token}",
        "body": json.loads(_whole(reply.answer)),
    }
    name = asked.get("custom_id")
    return {"id": f"batch_req_{call.token}", "custom_id": name, "response": response, "error": None}


def _change_all(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if reply.change is not None:
            reply.change()


def _whole(answer: Answer) -> bytes:
    return b"".join(answer.pieces)


def _stored(call: Call, name: str, purpose: str, content: bytes) -> StoredFile:
    place = len(call.shelf.files)
    file = StoredFile(f"file-{call.token}{place}", name, purpose, int(call.now), content)
    call.shelf.put(file)
    return file


def _file_json(file: StoredFile) -> Json:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created,
        "expires_at": None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _page(rows: Sequence[Json]) -> Reply:
    return _told(list_json(rows))


def _told(json_of_it: Json) -> Reply:
    return Reply(json_answer(json_of_it))
