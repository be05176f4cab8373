"""Shapes an exchange as a row of a table for spreadsheets and data frames."""

from typing import Any, Final

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.texts import visible

COLUMNS: Final = (
    *("exchange", "time", "account", "client_name", "client_address", "client_key", "user_agent"),
    "tags",
    *("operation", "model", "answered_by", "stream", "verdict", "reason", "status", "outcome"),
    *("source", "estimated_tokens", "input_tokens", "output_tokens", "total_tokens", "cost_usd"),
    *("first_byte_ms", "duration_ms", "waited_ms", "shadow_code", "error_code", "error_message"),
    *("request_bytes", "response_bytes", "gateway_request_id"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def row_of(recorded: Recorded) -> list[Any]:
    """A cell for each of `COLUMNS`; empty where nothing is known."""
    request, response = recorded.request or {}, recorded.response or {}
    client, decision = mapping_of(request.get("client")), mapping_of(request.get("decision"))
    error = mapping_of(response.get("error"))
    cells = (
        *(recorded.id, recorded.time, recorded.account, client.get("name"), client.get("address")),
        *(client.get("key"), client.get("user_agent"), ";".join(recorded.tags)),
        *(recorded.operation, recorded.model),
        *(response.get("model"), request.get("stream"), decision.get("verdict")),
        *(decision.get("reason"), recorded.status, recorded.outcome, response.get("source")),
        *(recorded.estimated_tokens, recorded.input_tokens, recorded.output_tokens),
        *(recorded.total_tokens, recorded.cost_usd, recorded.first_byte_ms, recorded.duration_ms),
        *(recorded.waited_ms, recorded.shadow.get("code")),
        *(error.get("code"), error.get("message")),
        *(
            request.get("body_bytes"),
            response.get("body_bytes"),
            response.get("gateway_request_id"),
        ),
    )
    return [safe_cell(cell) for cell in cells]


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, and no terminal for a command.

    Clients choose some of these texts.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value
