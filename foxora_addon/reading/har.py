"""Shapes an exchange as an entry of an HTTP Archive (HAR 1.2), which browsers' tools open.

Headers are not in the trail, so there are none here either; the archive says so. A streamed answer
is there as the message that it was folded into, or as all that it said where that is on record.
"""

import json
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from foxora_addon.api.json_values import mapping_of, moment_of
from foxora_addon.reading.bodies import folded_body_of, is_folded
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.records import Record, number_of, text_of
from foxora_addon.reading.times import iso_or_none

COMMENT: Final = (
    "From an audit trail, which holds no headers: all lists of headers and cookies are empty. "
    "Content types are told by the bodies. Secrets are redacted."
)
_UNKNOWN: Final = -1
_ONLY_ITS_BEGINNING: Final = "only the beginning of the body was kept"


def archive_head(version: str) -> str:
    """The beginning of an archive, up to its entries."""
    creator = json.dumps({"name": "foxora-addon", "version": version})
    return (
        f'{{"log":{{"version":"1.2","creator":{creator},"comment":{json.dumps(COMMENT)},"entries":['
    )


ARCHIVE_TAIL: Final = "]}}"


def entry_of(recorded: Recorded) -> dict[str, Any]:
    """One entry. An exchange without an end has status 0, as a browser gives a failed request."""
    request, response = recorded.request or {}, recorded.response or {}
    http = mapping_of(request.get("http"))
    duration = recorded.duration_ms or 0.0
    return {
        "startedDateTime": _started(recorded),
        "time": duration,
        "request": _request(http, request),
        "response": _response(recorded, response),
        "cache": {},
        "timings": _timings(recorded, duration),
        "comment": f"{recorded.outcome}; exchange {recorded.id}",
        "_exchange": recorded.id,
        "_account": recorded.account,
        "_outcome": recorded.outcome,
        "_model": recorded.model,
        "_usage": response.get("usage"),
        "_cost_usd": recorded.cost_usd,
    }


def _started(recorded: Recorded) -> str:
    """When the request's head came: the end less the duration, else when it was recorded."""
    ended = moment_of((recorded.response or {}).get("time"))
    if ended is None or recorded.duration_ms is None:
        return recorded.time
    return iso_or_none(ended - recorded.duration_ms / 1000) or recorded.time


def _request(http: Record, request: Record) -> dict[str, Any]:
    url = text_of(http.get("url")) or text_of(request.get("gateway_url")) or "about:blank"
    entry: dict[str, Any] = {
        "method": text_of(http.get("method")) or "GET",
        "url": url,
        "httpVersion": text_of(http.get("version")) or "unknown",
        "cookies": [],
        "headers": [],
        "queryString": [{"name": name, "value": value} for name, value in _query_of(url)],
        "headersSize": _UNKNOWN,
        "bodySize": _size_of(request),
    }
    body = text_of(request.get("body"))
    if body is not None:
        entry["postData"] = {"mimeType": _type_of(body, request), "text": body, "params": []}
        if remark := _remark_of(request):
            entry["postData"]["comment"] = remark
    return entry


def _response(recorded: Recorded, response: Record) -> dict[str, Any]:
    status = recorded.status or 0
    return {
        "status": status,
        "statusText": _phrase_of(status),
        "httpVersion": "unknown",
        "cookies": [],
        "headers": [],
        "content": _content(response),
        "redirectURL": "",
        "headersSize": _UNKNOWN,
        "bodySize": _size_of(response),
    }


def _content(response: Record) -> dict[str, Any]:
    size = max(_size_of(response), 0)
    if is_folded(response):
        folded = folded_body_of(response)
        text = json.dumps(folded or {"message": response.get("message")}, ensure_ascii=False)
        what = "message" if folded is None else "answer"
        comment = f"{response.get('chunks')} events of a stream, folded into one {what}"
        if folded is None and response.get("body_truncated"):
            comment += f"; {_ONLY_ITS_BEGINNING}"
        return {"size": size, "mimeType": "application/json", "text": text, "comment": comment}
    body = text_of(response.get("body"))
    if body is None:
        return {"size": size, "mimeType": "x-unknown"}
    content = {"size": size, "mimeType": _type_of(body, response), "text": body}
    if response.get("body_encoding") == "base64":
        content["encoding"] = "base64"
    if remark := _remark_of(response):
        content["comment"] = remark
    return content


def _timings(recorded: Recorded, duration: float) -> dict[str, float]:
    """Waiting for the ceilings is `blocked`; the three that are required add up with it."""
    waited = min(recorded.waited_ms or 0.0, duration)
    first = recorded.first_byte_ms
    first = duration if first is None else min(max(first, waited), duration)
    return {
        "blocked": waited,
        "dns": _UNKNOWN,
        "connect": _UNKNOWN,
        "ssl": _UNKNOWN,
        "send": 0,
        "wait": round(first - waited, 3),
        "receive": round(duration - first, 3),
    }


def _type_of(body: str, record: Record) -> str:
    if record.get("body_encoding") == "base64":
        return "application/octet-stream"
    start = body.lstrip()[:1]
    return "application/json" if start in {"{", "["} else "text/plain"


def _remark_of(record: Record) -> str | None:
    if record.get("body_truncated"):
        return _ONLY_ITS_BEGINNING
    return "in base64" if record.get("body_encoding") == "base64" else None


def _size_of(record: Record) -> int:
    size = number_of(record.get("body_bytes"))
    return _UNKNOWN if size is None else int(size)


def _query_of(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:
        return []


def _phrase_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
