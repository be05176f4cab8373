"""What HTTP/1 may wait for on a connection has an end."""

from types import SimpleNamespace

import h11
import pytest
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.proxy import commands, events
from mitmproxy.test import tflow

from foxora_addon.proxy import host_reading

MOST = 65_536


@pytest.mark.parametrize(
    "begun", [b"5;", b"0\r\nx-a: ", b"5\r\nhello\r\n5;a=", b"5\r\nhello\r\n0\r\nx-a: 1\r\nx-b: "]
)
def test_no_more_waits_for_the_end_of_a_line_around_chunks_than_of_a_head(begun: bytes) -> None:
    reader, buffer = host_reading.WithoutTrailers(), ReceiveBuffer()
    buffer += begun
    while reader(buffer) is not None:
        pass
    buffer += b"x" * (MOST - len(buffer))
    assert reader(buffer) is None
    buffer += b"x"
    with pytest.raises(h11.RemoteProtocolError):
        reader(buffer)


def test_a_head_in_pieces_is_copied_once() -> None:
    copied: list[int] = []

    class Counting(ReceiveBuffer):
        def __bytes__(self) -> bytes:
            copied.append(len(self))
            return super().__bytes__()

    connection = tflow.tclient_conn()
    reading = SimpleNamespace(buf=Counting(), conn=connection, state=0, read_headers=0, done=1)
    pieces = [b"\r\n", b"GET / HTTP/1.1\r\n", *[b"x-a: " + b"a" * 65_000] * 5]
    said: list[commands.Command] = []
    for piece in pieces:
        reading.buf += piece
        event = events.DataReceived(connection, piece)
        said += host_reading._read_request_headers(reading, event)
    assert sum(copied) < 100
    assert [type(each) for each in said] == [commands.SendData, commands.CloseConnection]
    assert reading.state == reading.done
