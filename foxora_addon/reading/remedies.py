"""Says what whoever reads an error can do about it: by its code, else by who failed."""

from typing import Final

_REMEDIES: Final = {
    "invalid_request": "Change the field that the message names; the same call fails again.",
    "invalid_json": "Have the client send a JSON object; the same call fails again.",
    "request_rejected": "Change the call: the gateway does not take it as it is.",
    "missing_api_key": "Have the client send any key: OPENAI_API_KEY=anything will do.",
    "invalid_api_key": "Name the client's key under accounts[].clients in foxora.yaml; if the "
    "gateway says so, check FOXORA_API_KEY with foxora-proxy doctor.",
    "spend_limit_reached": "Raise accounts[].limits.monthly_spend_cap_usd, or wait for the month.",
    "payment_required": "Add a payment method, or raise the cap, at the gateway.",
    "forbidden": "Ask for access: the account's key may not do this.",
    "forbidden_origin": "Call from a program; of web pages, name those that may under listen.",
    "not_found": "Check the path and the model's name; /v1/models lists the models.",
    "request_too_large": "Send less, or raise intercept.max_request_bytes.",
    "rate_limit_exceeded": "Try again once Retry-After has passed; limits.on_limit: wait has calls "
    "wait instead. `audit why`, or `foxora.why` in a window, tells the balances.",
    "internal_error": "Look into the proxy's log: this is a mistake of foxora-addon's.",
    "answered_by_addon": "Look at mitmproxy's options (block_list, map_local, proxyauth, ...) and "
    "at its other scripts: one of them answers such calls itself.",
    "gateway_error": "Try again: the gateway, or the provider behind it, has failed.",
    "gateway_unreachable": "Check gateway.base_url and the network with foxora-proxy doctor.",
    "bad_gateway_answer": "Try again; if it stays so, tell the gateway's people its request id.",
    "unavailable": "Try again in a moment: the message says what the proxy waits for.",
    "gateway_timeout": "Try again; gateway.response_timeout_seconds says how long is waited.",
}
_OF_STATUSES: Final = {
    400: _REMEDIES["invalid_request"],
    401: _REMEDIES["invalid_api_key"],
    402: _REMEDIES["payment_required"],
    403: _REMEDIES["forbidden"],
    404: _REMEDIES["not_found"],
    413: _REMEDIES["request_too_large"],
    429: _REMEDIES["rate_limit_exceeded"],
}
_AT_GATEWAY: Final = {
    "internal_error": "gateway_error",
    "unavailable": "gateway_error",
    "spend_limit_reached": "payment_required",
    "request_too_large": "request_rejected",
}
"""Codes that mean something else where they are not ours, but the gateway's own."""
_OF_OUTCOMES: Final = {
    "client_disconnected": "The client left; its own timeout may be shorter than the answer.",
    "aborted": "The proxy ended before the answer did, or the call was killed in its window. "
    "Call again.",
    "stream_broken": "Call again: the answer is cut short, and has been paid for so far.",
    "timeout": _REMEDIES["gateway_timeout"],
}


def remedy_of(
    code: str | None, status: int | None, outcome: str | None, source: str | None = None
) -> str | None:
    """What can be done; None where nothing is known, or nothing is wrong.

    A gateway's own codes are not known here (foxora-api.md, Errors): then the status says it.
    `source` is who failed, as records have it.
    """
    if source == "gateway":
        code = _AT_GATEWAY.get(code or "", code)
    if (found := _REMEDIES.get(code or "") or _OF_OUTCOMES.get(outcome or "")) is not None:
        return found
    if status is None or status < 400:
        return None
    return _REMEDIES["gateway_error"] if status >= 500 else _OF_STATUSES.get(status)
