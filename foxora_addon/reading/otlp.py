"""Shapes exchanges as OTLP traces in JSON, a span each.

Names are those of OpenTelemetry's semantic conventions for generative AI, as far as they have any.
A line is a whole ExportTraceServiceRequest: what an OTLP/HTTP collector takes at /v1/traces.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from foxora_addon.api.json_values import mapping_of, moment_of
from foxora_addon.audit.schema import OTEL
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.records import Record, text_of

_CLIENT: Final = 3  # SPAN_KIND_CLIENT
_ERROR: Final = 2  # STATUS_CODE_ERROR
_OK_OUTCOMES: Final = frozenset({"completed", "client_disconnected", "open"})
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}.*")
_OPERATIONS: Final = {"completions": "text_completion", "responses": "chat"}
"""Operations that the conventions call otherwise."""
_OF_RESPONSE: Final = ("response_id", "finish_reasons", "status", "error.code")


def request_of(spans: Sequence[dict[str, Any]], version: str) -> dict[str, Any]:
    """What a collector takes at once."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [_attribute("service.name", "foxora-addon")]},
                "scopeSpans": [
                    {"scope": {"name": "foxora_addon", "version": version}, "spans": list(spans)}
                ],
            }
        ]
    }


def span_of(recorded: Recorded) -> dict[str, Any]:
    """The span of an exchange; its ids come of the exchange's, unless the client traced it."""
    trace, parent = _trace_of(recorded)
    start, end = _moments_of(recorded)
    operation = recorded.operation or "other"
    span: dict[str, Any] = {
        "traceId": trace,
        "spanId": _digest(recorded.id)[32:48],
        "name": " ".join(filter(None, (_OPERATIONS.get(operation, operation), recorded.model))),
        "kind": _CLIENT,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": [_attribute(name, value) for name, value in _facts_of(recorded)],
        "status": _status_of(recorded),
    }
    if parent is not None:
        span["parentSpanId"] = parent
    return span


def _trace_of(recorded: Recorded) -> tuple[str, str | None]:
    request = recorded.request or {}
    given = text_of(request.get("traceparent")) or ""
    if (match := _TRACEPARENT.fullmatch(given)) and int(match[1], 16) and int(match[2], 16):
        return match[1], match[2]
    return _digest(recorded.id)[:32], None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _moments_of(recorded: Recorded) -> tuple[int, int]:
    """Start and end in Unix nanoseconds; an open exchange ends as it starts.

    One that was cut off ends as that was noticed, by the next start of the proxy.
    """
    end = _nanoseconds((recorded.response or recorded.request or {}).get("time")) or 0
    if recorded.duration_ms is None:
        return min(_nanoseconds(recorded.time) or end, end), end
    return end - round(recorded.duration_ms * 1e6), end


def _nanoseconds(time: object) -> int | None:
    seconds = moment_of(time)
    return None if seconds is None else round(seconds * 1e6) * 1_000


def _facts_of(recorded: Recorded) -> Iterator[tuple[str, Any]]:
    request, response = recorded.request or {}, recorded.response or {}
    operation = recorded.operation or ""
    found = [
        (OTEL["operation"], _OPERATIONS.get(operation, operation) or None),
        (OTEL["client.address"], _path(request, "client.address")),
        (OTEL["request.model"], recorded.model),
        (OTEL["response.model"], response.get("model")),
        *((OTEL[name], _path(response, name)) for name in _OF_RESPONSE),
        (OTEL["usage.input_tokens"], recorded.input_tokens),
        (OTEL["usage.output_tokens"], recorded.output_tokens),
        ("gen_ai.provider.name", "foxora"),
        *_addresses_of(text_of(request.get("gateway_url"))),
        ("http.request.method", mapping_of(request.get("http")).get("method")),
        ("user_agent.original", mapping_of(request.get("client")).get("user_agent")),
        ("foxora.exchange", recorded.id),
        ("foxora.account", recorded.account),
        ("foxora.client", recorded.client),
        ("foxora.outcome", recorded.outcome),
        ("foxora.cost_usd", recorded.cost_usd),
        ("foxora.first_byte_ms", recorded.first_byte_ms),
        ("foxora.waited_ms", recorded.waited_ms),
        ("foxora.estimated_tokens", recorded.estimated_tokens),
        ("foxora.tags", recorded.tags),
    ]
    for name, value in found:
        if value is not None and value != []:
            yield name, value


def _path(record: Record, path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = mapping_of(value).get(name)
    return value


def _addresses_of(url: str | None) -> Iterator[tuple[str, Any]]:
    try:
        parts = urlsplit(url or "")
        yield "server.address", parts.hostname
        yield "server.port", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return


def _attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": _value_of(value)}


def _value_of(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}  # 64-bit integers are texts in proto3's JSON
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value_of(item) for item in value]}}
        case _:
            return {"stringValue": str(value)}


def _status_of(recorded: Recorded) -> dict[str, Any]:
    if recorded.outcome in _OK_OUTCOMES:
        return {}
    message = text_of(mapping_of((recorded.response or {}).get("error")).get("message"))
    return {"code": _ERROR, "message": message or recorded.outcome}
