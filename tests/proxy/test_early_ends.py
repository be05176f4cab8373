"""Who is told when exchanges end before their time, and who is closed for nobody."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from mitmproxy.connection import Client as Connection
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow
from mitmproxy.utils import asyncio_utils

from foxora_addon.exchange import Client, Exchange, Outcome, RequestLine
from foxora_addon.proxy import early_ends, failures, hold
from foxora_addon.proxy.early_ends import EarlyEnds
from foxora_addon.proxy.failed_flows import FailedFlows
from foxora_addon.proxy.open_exchanges import OpenExchanges

LINE = RequestLine("POST", "http://127.0.0.1/v1/chat/completions", "HTTP/1.1")


class Handler:
    """A client's connection, as far as ends care for it."""

    def __init__(self, client: Connection) -> None:
        self.client = client
        self.transports: dict[Connection, object] = {client: object()}
        self.closed = 0

    def close_connection(self, client: Connection) -> None:
        del self.transports[client]
        self.closed += 1


class Room:
    """Open exchanges, and what became of them."""

    def __init__(self) -> None:
        self.open = OpenExchanges()
        self.failed = FailedFlows()
        self.told: list[str] = []
        self.lost: list[tuple[str, Outcome]] = []
        self.handlers: dict[str, Handler] = {}
        self.ends = EarlyEnds(self.open, self.failed, self._lose)

    def _lose(self, flow_id: str, outcome: Outcome) -> None:
        self.lost.append((flow_id, outcome))
        self.open.end(flow_id)

    def arrives(self, moment: float, *, is_whole: bool = False) -> HTTPFlow:
        flow = tflow.tflow()
        flow.request.timestamp_end = moment if is_whole else None
        who = Client("127.0.0.1", None, None, None)
        self.open.add(flow, Exchange(f"x{len(self.open)}", moment, who, LINE))
        self.handlers[flow.client_conn.id] = Handler(flow.client_conn)
        return flow

    def handler_of(self, client: Connection) -> Handler | None:
        return self.handlers.get(client.id)

    async def give_up(self, flow: HTTPFlow, handler: Handler) -> None:
        assert handler.client is flow.client_conn
        assert flow.id in self.failed, "there are no words for it yet"
        self.told.append(flow.id)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()
    monkeypatch.setattr(early_ends, "handler_of", room.handler_of)
    monkeypatch.setattr(hold, "give_up", room.give_up)
    return room


def _run(what: Callable[[], Awaitable[None] | None]) -> None:
    """Do it within a loop, and what it left to be done."""

    async def do() -> None:
        awaited = what()
        if awaited is not None:
            await awaited
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(do())


def test_a_late_upload_ends_and_what_is_whole_or_came_later_does_not(room: Room) -> None:
    late, _, _ = room.arrives(10.0), room.arrives(10.0, is_whole=True), room.arrives(50.1)
    _run(lambda: room.ends.end_late_uploads(110.0, 60.0))
    assert room.told == [late.id]
    _run(lambda: room.ends.end_late_uploads(110.05, 60.0))
    assert room.told == [late.id], "it is told once"


def test_all_late_uploads_end_at_one_look_where_tasks_run_as_they_are_made(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_up(flow: HTTPFlow, handler: Handler) -> None:
        await room.give_up(flow, handler)
        room.open.end(flow.id)

    async def look() -> None:
        with asyncio_utils.set_eager_task_factory():
            room.ends.end_late_uploads(110.0, 60.0)

    monkeypatch.setattr(hold, "give_up", give_up)
    late, later, in_time = (room.arrives(moment) for moment in (10.0, 11.0, 50.1))
    asyncio.run(look())
    assert room.told == [late.id, later.id]
    assert list(room.open) == [in_time.id]


def test_a_client_whose_connection_crashed_is_told_once_and_closed(room: Room) -> None:
    flow, other = room.arrives(10.0), room.arrives(10.0)
    for _ in range(2):
        _run(lambda: room.ends.end_crashed(flow.client_conn))
    assert room.told == [flow.id]
    assert room.lost == [(flow.id, "internal_error")]
    assert room.handlers[flow.client_conn.id].closed == 1
    assert list(room.open) == [other.id]


def test_what_is_held_by_a_user_goes_on_with_words_for_its_end(room: Room) -> None:
    held, other = room.arrives(10.0), room.arrives(10.0)
    held.intercept()
    _run(room.ends.end_held)
    assert not held.intercepted
    assert (held.id in room.failed, other.id in room.failed) == (True, False)


def test_who_waits_to_be_decided_on_is_cut_short_at_the_end_of_the_program(room: Room) -> None:
    flow = room.arrives(10.0)
    seen: list[bool] = []

    async def decide() -> None:
        try:
            with room.ends.deciding(flow.id):
                seen.append(room.ends.is_deciding(flow.id))
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.extend((room.ends.is_deciding(flow.id), room.ends.is_last))

    async def end() -> None:
        task = asyncio.ensure_future(decide())
        await asyncio.sleep(0)
        await room.ends.end_all()
        assert task.done(), "it was not waited for"

    _run(end)
    assert seen == [True, False, True]
    assert room.told == [flow.id]


def test_who_is_lost_with_a_connection_left_unless_the_program_ends(room: Room) -> None:
    first, second, third = (room.arrives(10.0) for _ in range(3))
    room.ends.lose_client(first.client_conn)
    assert room.lost == [(first.id, "client_disconnected")]
    _run(room.ends.end_all)
    room.ends.lose_client(second.client_conn)
    room.ends.lose_all()
    assert room.lost[1:] == [(second.id, "aborted"), (third.id, "aborted")]


def test_an_end_in_given_words_is_told_with_these(room: Room) -> None:
    flow = room.arrives(10.0)
    _run(lambda: room.ends.end(flow, failures.SLOW_READER, room.handlers[flow.client_conn.id]))  # type: ignore[arg-type]  # a stand-in
    assert room.told == [flow.id]
