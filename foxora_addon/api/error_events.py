"""The event that ends a stream which broke, as those read it who wait for an event there.

It knows the shapes of such events, and refuses to know how a stream broke or where it may be ended.
"""

from typing import Final

from foxora_addon.api.errors import ApiError, json_of

OF_RESPONSES: Final = frozenset({"responses", "stored_responses"})
"""The operations whose errors are told as the Responses API tells them."""


def error_event(error: ApiError, operation: str, sequence_number: int) -> bytes:
    """Return a whole event for an operation of `endpoints`, fit to follow a blank line.

    It always has the member `error` of the documented body, on which OpenAI's clients raise.
    `sequence_number` is what the event is numbered where the events of a stream are.
    """
    if operation in OF_RESPONSES:
        return _event_of_responses(error, sequence_number)
    return b"data: " + error.body() + b"\n\n"


def _event_of_responses(error: ApiError, sequence_number: int) -> bytes:
    """The `error` event of OpenAI's API reference (Responses, Streaming events), and our `error`.

    The Vercel AI SDK tells an error by `type` and `sequence_number`. Its older and newest versions
    read the rest beside these, those between below `error`, where they want a `type` as well: the
    documented event is none to them, and a stream that it ends is taken for whole.
    """
    told = error.told()
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    event = {
        "type": "error",
        **told,
        "sequence_number": sequence_number,
        "error": {"type": kind, **told},
    }
    return b"event: error\ndata: " + json_of(event) + b"\n\n"
