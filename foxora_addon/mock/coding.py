"""Takes the content coding off a request's body, as HTTP has it (RFC 9110, 8.4)."""

import zlib

from foxora_addon.mock.fields import RequestError

_MOST_OCTETS = 1 << 28
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def decoded(body: bytes, coding: str | None) -> bytes:
    """The body as it was before its coding; None: it has none.

    Raises RequestError: 415 for a coding that is not known, 400 for a body that is not so coded,
    413 past 256 MiB.
    """
    for name in reversed([each.strip().lower() for each in (coding or "").split(",")]):
        if name not in ("", "identity"):
            body = _inflated(body, name)
    return body


def _inflated(body: bytes, name: str) -> bytes:
    if name not in _WINDOWS:
        raise RequestError(f"The content encoding {name!r} is not supported.", status=415)
    coder = zlib.decompressobj(wbits=_WINDOWS[name])
    try:
        plain = coder.decompress(body, _MOST_OCTETS)
    except zlib.error:
        raise RequestError(f"The request body is not valid {name}.") from None
    if coder.unconsumed_tail:
        raise RequestError("The request body is too large.", status=413)
    if not coder.eof:
        raise RequestError(f"The request body is not valid {name}.")
    return plain
