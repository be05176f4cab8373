"""`audit replay`: sends a recorded call again, through the proxy, and prints what comes back.

The client's key is in no trail, so another one is sent in its place; which account pays is the
proxy's to say. The call is a new exchange, with records of its own.
"""

import codecs
import http.client
import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from string import punctuation
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from foxora_addon.api.json_values import mapping_of
from foxora_addon.app.printing import is_terminal, json_text, write
from foxora_addon.app.say import FINDING, say
from foxora_addon.reading.bodies import body_bytes_of
from foxora_addon.reading.exchanges import Recorded
from foxora_addon.reading.records import count_of, text_of
from foxora_addon.reading.texts import visible

_TIMEOUT_SECONDS: Final = 600.0
_CHUNK_BYTES: Final = 1 << 16
_PLACEHOLDER: Final = "replayed-by-foxora-proxy"
_REDACTED: Final = "[redacted]"
_BOUNDARY: Final = re.compile(rb"--([\w'()+,./:=? -]{1,70}?)[ \t]*\r?\n")
_PATH: Final = re.compile(r"/[!-~]*")
_SAFE_METHOD: Final = re.compile(r"[A-Z]{1,16}")


class NotReplayable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The records don't hold the call whole; `str` says why in one line."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to send: `target` is path and query."""

    method: str
    target: str
    body: bytes
    content_type: str | None
    is_redacted: bool


def call_of(recorded: Recorded) -> Call:
    """The call that an exchange began with. Raises `NotReplayable`."""
    request = recorded.request
    if request is None:
        raise NotReplayable(f"{recorded.id} can't be replayed: its request record is not there")
    line = mapping_of(request.get("http"))
    method, url = text_of(line.get("method")) or "", text_of(line.get("url")) or ""
    if not _SAFE_METHOD.fullmatch(method) or not url:
        raise NotReplayable(
            f"{recorded.id} can't be replayed: its record names no URL; audit.level: full does"
        )
    if mapping_of(recorded.response).get("status") == HTTPStatus.SWITCHING_PROTOCOLS:
        raise NotReplayable(f"{recorded.id} can't be replayed: it is the session of a WebSocket")
    body = _body_of(recorded.id, request)
    try:
        target = _target_of(url)
    except ValueError:
        raise NotReplayable(
            f"{recorded.id} can't be replayed: what its record has is no URL"
        ) from None
    return Call(method, target, body, _type_of(body), _REDACTED.encode() in body)


def _body_of(exchange: str, request: dict[str, object]) -> bytes:
    if not count_of(request.get("body_bytes")):
        return b""
    if request.get("body_truncated"):
        raise NotReplayable(
            f"{exchange} can't be replayed: only the beginning of its body was kept; a larger "
            "audit.max_body_bytes keeps more"
        )
    body = body_bytes_of(request)
    if body is None:
        raise NotReplayable(
            f"{exchange} can't be replayed: its body was not kept; audit.level: full keeps bodies"
        )
    return body


def _target_of(url: str) -> str:
    """Path and query as the app sent them, without what was redacted. Raises ValueError."""
    parts = urlsplit(url)
    query = "&".join(part for part in parts.query.split("&") if _REDACTED not in unquote(part))
    path = parts.path or "/"
    if not _PATH.fullmatch(path):
        raise ValueError(path)
    return path + (f"?{quote(query, safe=punctuation, errors='replace')}" if query else "")


def _type_of(body: bytes) -> str | None:
    """The content type, which is not on record, as the body has it."""
    if not body:
        return None
    if match := _BOUNDARY.match(body):
        return f'multipart/form-data; boundary="{match[1].decode()}"'
    return "application/json"


def parse_proxy(url: str) -> SplitResult:
    """The proxy's address; a number alone is a port of this machine. Raises ValueError with words.

    As a host a number is an address, `http://18081` that of 0.0.70.161, which would get the call.
    """
    if url.isascii() and url.isdigit():
        url = f"http://127.0.0.1:{url}"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        is_fine = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_fine = is_fine and not str(parts.hostname).isdigit()
    except ValueError:
        is_fine = False
    if not is_fine:
        raise ValueError(
            f"'{url}' is no proxy: give a URL such as http://127.0.0.1:8080, or a port"
        )
    return parts


def replay(recorded: Recorded, proxy: SplitResult, *, as_json: bool) -> int:
    """Send it again; 0 if the answer is no error. Its body goes to standard output as it comes."""
    try:
        call = call_of(recorded)
    except NotReplayable as error:
        say(str(error))
        return FINDING
    if call.is_redacted:
        say("the body was redacted on record: what is sent is not all that was")
    try:
        return _send(call, proxy, as_json=as_json)
    except _NoAnswer as error:
        say(
            f"no answer from the proxy at {proxy.netloc}: {error}; "
            "start one with foxora-proxy run, or give another with --proxy URL"
        )
        return FINDING


class _NoAnswer(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The proxy, as opposed to our own output, has gone; `str` says how."""


@contextmanager
def _towards_the_proxy() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise _NoAnswer(str(error) or type(error).__name__) from error


def _send(call: Call, proxy: SplitResult, *, as_json: bool) -> int:
    connect = http.client.HTTPSConnection if proxy.scheme == "https" else http.client.HTTPConnection
    headers = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY') or _PLACEHOLDER}"}
    if call.content_type:
        headers["content-type"] = call.content_type
    with closing(connect(proxy.hostname or "", proxy.port, timeout=_TIMEOUT_SECONDS)) as connection:
        with _towards_the_proxy():
            connection.request(call.method, call.target, call.body or None, headers)
            answer = connection.getresponse()
        exchange = answer.getheader("x-foxora-exchange")
        if as_json:
            text = b"".join(_pieces_of(answer)).decode("utf-8", "backslashreplace")
        else:
            (_show if is_terminal() else _pass_on)(answer)
    if as_json:
        write(json_text({"exchange": exchange, "status": answer.status, "body": text}))
    else:
        say(f"status {answer.status}, exchange {exchange or 'unknown: no foxora proxy answered'}")
    return 0 if answer.status < 400 else FINDING


def _pass_on(answer: http.client.HTTPResponse) -> None:
    """Copy the body to standard output as it comes, byte for byte."""
    for piece in _pieces_of(answer):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _show(answer: http.client.HTTPResponse) -> None:
    """Print the body as it comes, for a terminal that nothing in it can command."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    text = "\n"
    for piece in _pieces_of(answer):
        if text_now := decoder.decode(piece):
            text = visible(text_now)
            sys.stdout.write(text)
            sys.stdout.flush()
    rest = decoder.decode(b"", final=True)
    if rest or not text.endswith("\n"):
        write(rest)


def _pieces_of(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := _next_piece(answer):
        yield piece


def _next_piece(answer: http.client.HTTPResponse) -> bytes:
    with _towards_the_proxy():
        return answer.read1(_CHUNK_BYTES)
