"""The benchmark's clients know where an answer ends."""

import asyncio

from scripts.benchmark.load import Connection

_HEAD = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-ratelimit-remaining-requests: 10\r\n\r\n"
)


class _Transport(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take a request."""


def _asking() -> tuple[Connection, asyncio.Future[bytes]]:
    connection = Connection()
    connection.connection_made(_Transport())
    return connection, connection.ask(b"", stream=True)


def test_a_head_that_ends_in_a_zero_is_no_whole_answer() -> None:
    async def asked() -> None:
        connection, answer = _asking()
        connection.data_received(_HEAD)
        assert not answer.done()
        connection.data_received(b"3\r\nabc\r\n")
        assert not answer.done()
        connection.data_received(b"0\r\n\r\n")
        assert answer.done()
        assert answer.result() == _HEAD + b"3\r\nabc\r\n0\r\n\r\n"

    asyncio.run(asked())


def test_an_answer_with_a_length_is_whole_once_all_of_it_is_there() -> None:
    async def asked() -> None:
        connection, answer = _asking()
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab")
        assert not answer.done()
        connection.data_received(b"c")
        assert answer.done()

    asyncio.run(asked())
