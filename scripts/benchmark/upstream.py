"""The gateway of the benchmark: says the same to everybody, in the leanest way that asyncio has.

A call with `"stream":true` gets events at a steady pace, each with the moment in which it was
sent, on the clock that all processes of a machine share. Others get 2 KB of JSON.
"""

import asyncio
import json
import re
import sys
import time

PATH = "/v1/chat/completions"
CHUNKS = 40
PACE_SECONDS = 0.02
_TEXT = "It is a long way to go. "
_AROUND_TEXT = 272
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_STREAM = re.compile(rb'"stream": ?true')


def answer_of(size: int) -> bytes:
    """A whole answer whose body has about so many bytes, 300 at the least."""
    body = _completion((size - _AROUND_TEXT) // len(_TEXT))
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def _completion(repeats: int) -> bytes:
    usage = {"prompt_tokens": 420, "completion_tokens": 380, "total_tokens": 800}
    message = {"role": "assistant", "content": _TEXT * repeats}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(answer).encode()


ANSWER = answer_of(2_000)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,'
    b'"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"t%d "},'
    b'"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,'
    b'"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


class Upstream(asyncio.Protocol):
    """One connection of a proxy's; requests come one after the other.

    `pace` is how many seconds apart the events of a stream are.
    """

    def __init__(self, pace: float = PACE_SECONDS) -> None:
        self._pace = pace
        self._data = b""
        self._streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as it is named
        if self._streaming is not None:
            self._streaming.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self._data, 0, end)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self._data) < whole:
            return
        request, self._data = self._data[:whole], self._data[whole:]
        if _STREAM.search(request):
            self._streaming = asyncio.get_running_loop().create_task(self._stream())
        else:
            self._transport.write(ANSWER)

    async def _stream(self) -> None:
        self._transport.write(STREAM_HEAD)
        for _ in range(CHUNKS):
            self._send(EVENT % time.monotonic_ns())
            await asyncio.sleep(self._pace)
        self._send(LAST)
        self._transport.write(b"0\r\n\r\n")

    def _send(self, event: bytes) -> None:
        self._transport.write(b"%x\r\n%s\r\n" % (len(event), event))


async def main(port: int, pace: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(pace), "127.0.0.1", port, backlog=2_048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) if sys.argv[2:] else PACE_SECONDS))
