"""What is kept of contents that are no single text: the messages of a WebSocket, and uploads.

Pure, and bounded: a session of hours keeps its first messages and counts the rest.
"""

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from foxora_addon.audit.record import text_of
from foxora_addon.config.accounts import Level
from foxora_addon.policy.talk import Talk

_MOST_MESSAGES: Final = 10_000
_MOST_PARTS: Final = 64
_BOUNDARY: Final = re.compile(rb"--([^\r\n]{1,70})\r\n")
_DISPOSITION: Final = re.compile(rb"(?i)content-disposition:[ \t]*form-data([^\r\n]{0,2000})")
_PARAMETER: Final = re.compile(
    rb"""(?i);[ \t]*(name|filename)(?:"""
    rb"""="((?:[^"\\]|\\.){0,1000})"|=([^\s;"]{1,1000})|\*=utf-8'[\w-]*'([^\s;"]{1,1000}))"""
)
"""RFC 6266, 4.1: in quotes, as a token, or extended, as older `requests` write `Zürich.png`."""
_TYPE: Final = re.compile(rb"(?i)(?:^|\n)content-type:[ \t]*([^\r\n]{0,200})")


class SocketLog:
    """The messages of one WebSocket, at most `max_bytes` of them by their contents.

    `talk` is what they are charged, `words` what of our own the client is yet to be told. `size` is
    that of all contents, kept or not, in bytes.
    """

    def __init__(self, max_bytes: int, model: str | None = None) -> None:
        self.talk = Talk(model)
        self.words: list[bytes] = []
        self._left = max_bytes
        self._count = 0
        self.size = 0
        self._kept: list[dict[str, Any]] = []

    def add(self, content: bytes, *, is_clients: bool, at_ms: float) -> None:
        """Take the next message; `at_ms` counts from the request's head."""
        self._count += 1
        self.size += len(content)
        if self._left < len(content) or len(self._kept) == _MOST_MESSAGES:
            self._left = -1  # from here on all is left out: a log with holes would mislead
            return
        self._left -= len(content)
        text, encoding = text_of(content, is_cut=False)
        self._kept.append(
            {
                "sender": "client" if is_clients else "gateway",
                "at_ms": at_ms,
                "text": text,
                "encoding": encoding,
            }
        )

    def fields(self, level: Level) -> dict[str, Any]:
        """What a response record of this level says of them."""
        kept = {"full": {"client", "gateway"}, "request": {"client"}}.get(level, set())
        messages = [message for message in self._kept if message["sender"] in kept]
        return {"count": self._count, "bytes": self.size, "messages": messages}


def files_of(body: bytes) -> list[dict[str, Any]]:
    """The parts of a multipart form that are files, up to 64 parts; [] for any other body.

    A form is told by its first line and that of its first part (RFC 7578), so that nothing else
    has to be known of the request.
    """
    boundary = _BOUNDARY.match(body)
    if boundary is None or _DISPOSITION.search(body, 0, 4096) is None:
        return []
    parts = body.split(b"\r\n--" + boundary[1], _MOST_PARTS)
    parts[0] = parts[0][len(boundary[0]) - 2 :]
    found = (_file_of(part) for part in parts)
    return [file for file in found if file is not None]


def _file_of(part: bytes) -> dict[str, Any] | None:
    head, _, content = part.partition(b"\r\n\r\n")
    disposition = _DISPOSITION.search(head[:4096])
    if disposition is None:
        return None
    names = {
        name.lower(): quoted or token or unquote_to_bytes(extended)
        for name, quoted, token, extended in _PARAMETER.findall(disposition[1])
    }
    if b"filename" not in names:
        return None
    kind = _TYPE.search(head[:4096])
    return {
        "field": _text(names.get(b"name", b"")),
        "filename": _text(names[b"filename"]),
        "content_type": None if kind is None else _text(kind[1]),
        "bytes": len(content),
    }


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
