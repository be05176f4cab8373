"""Sends an answer, a value, through tornado: head, pieces, the gaps between them, the ending."""

import asyncio

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import RequestHandler

from foxora_addon.mock.answers import Answer


class Delivery:
    """One answer on its way. Its fields tell how far it came, also after a failure."""

    def __init__(self, handler: RequestHandler, answer: Answer) -> None:
        self.sent_pieces = 0
        self.head_is_out = False
        self._handler = handler
        self._answer = answer
        self._gone = asyncio.Event()
        self._ended = asyncio.Event()
        self._detached: IOStream | None = None

    async def run(self) -> None:
        """Send the answer to its end; raises StreamClosedError if the client leaves before."""
        try:
            await self._pause(self._answer.delay_seconds)
            await (self._send_raw() if self._answer.raw else self._send())
        finally:
            self._ended.set()

    def abandon(self) -> None:
        """Wake a waiting `run`, for nobody is there to be answered any more."""
        self._gone.set()
        if self._detached is not None:
            self._detached.close()

    async def ended(self) -> None:
        """Return once `run` has."""
        await self._ended.wait()

    async def _send(self) -> None:
        handler, answer = self._handler, self._answer
        handler.set_status(answer.status)
        for name, value in answer.headers:
            handler.add_header(name, value)
        if answer.length is not None:
            handler.set_header("Content-Length", str(answer.length))
        await self._send_pieces()
        if answer.ending == "whole":
            await handler.finish()
        else:
            await self._break_off(handler.detach())

    async def _send_pieces(self) -> None:
        connection = self._handler.request.connection
        if len(self._answer.pieces) > 1 and isinstance(connection, HTTP1Connection):
            # Small pieces must not wait for each other's acknowledgement.
            connection.stream.set_nodelay(True)
        if not self._answer.pieces:
            await self._flush()
        for piece in self._answer.pieces:
            await self._gap()
            self._handler.write(piece)
            await self._flush()
            self.sent_pieces += 1

    async def _flush(self) -> None:
        self.head_is_out = True
        await self._handler.flush()
        # tornado takes a write for done when the client left in the middle of it.
        if self._gone.is_set():
            raise StreamClosedError

    async def _send_raw(self) -> None:
        stream = self._handler.detach()
        if stream.closed():
            raise StreamClosedError
        self._detached = stream
        stream.set_close_callback(self._gone.set)
        for piece in self._answer.pieces:
            await self._gap()
            await stream.write(piece)
            self.sent_pieces += 1
        await self._break_off(stream)

    async def _break_off(self, stream: IOStream) -> None:
        try:
            if self._answer.ending == "mute":
                stream.set_close_callback(self._gone.set)
                await self._until_gone()
        finally:
            stream.close()

    async def _gap(self) -> None:
        """What stands between two pieces: the asked-for time, or a turn of the loop for others."""
        if self.sent_pieces:
            await self._pause(self._answer.piece_delay_seconds)
            await asyncio.sleep(0)

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._until_gone()
        except TimeoutError:
            return

    async def _until_gone(self) -> None:
        await self._gone.wait()
        raise StreamClosedError
