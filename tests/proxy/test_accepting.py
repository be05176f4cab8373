"""How clients are taken in while files are scarce: with real sockets, in a loop of its own."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.proxy import accepting as accepting_module
from foxora_addon.proxy.accepting import Accepting
from foxora_addon.proxy.files import FileBook, Shares

pytestmark = pytest.mark.usefixtures("limit_as_it_is")

OUT_OF_FILES = OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def limit_as_it_is() -> Iterator[None]:
    """Raising the limit is meant for a program of its own."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def a_listener(stack: ExitStack) -> socket.socket:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
    listener.setblocking(False)
    return listener


def clients_of(listener: socket.socket, count: int, stack: ExitStack) -> list[socket.socket]:
    address = listener.getsockname()
    return [
        stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(count)
    ]


def has_ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_no_more_are_taken_in_one_go_than_there_is_room_for() -> None:
    async def run(*, is_bound: bool) -> list[int]:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # as mitmproxy has it
        book = FileBook()
        book.share(64, Shares(3, 1))
        if is_bound:
            Accepting(book).bound(loop)
        seen: list[int] = []
        writers: list[asyncio.StreamWriter] = []
        all_came = asyncio.Event()

        def came(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(open_files() - before)
            writers.append(writer)
            if not book.client_came(str(len(seen))):
                writer.close()
            if len(seen) == 40:
                all_came.set()

        with ExitStack() as stack:
            listener = a_listener(stack)
            clients = clients_of(listener, 40, stack)
            before = open_files()
            server = await asyncio.start_server(came, sock=listener)
            async with asyncio.timeout(30):
                await all_came.wait()
            server.close()
            for writer in writers:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            assert len(clients) == 40
        return seen

    assert max(asyncio.run(run(is_bound=False))) >= 40, "or this test shows nothing"
    seen = asyncio.run(run(is_bound=True))
    # From Python 3.14 on asyncio takes one more than it is told to; that one is closed at once.
    assert seen[0] <= 4
    assert max(seen) <= 8, "those that are closed take their time"


def test_a_listener_that_was_closed_meanwhile_is_not_tried_again() -> None:
    async def run() -> None:
        loop: Any = asyncio.get_running_loop()
        Accepting(FileBook()).bound(loop)
        with ExitStack() as stack:
            listener = a_listener(stack)
            loop._start_serving(asyncio.Protocol, listener)
            assert loop.remove_reader(listener)
        loop._start_serving(asyncio.Protocol, listener)

    asyncio.run(run())


def test_clients_that_wait_are_closed_and_told_of_where_the_system_has_no_file() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []

        def before(_: object, context: dict[str, Any]) -> None:
            told.append(context)

        loop.set_exception_handler(before)
        book = FileBook()
        accepting = Accepting(book)
        files = open_files()
        accepting.begin(1, is_mock=False)
        accepting.begin(1, is_mock=False)
        with ExitStack() as stack:
            listener = a_listener(stack)
            clients = clients_of(listener, 5, stack)
            context = {"message": "", "exception": OUT_OF_FILES, "socket": listener}
            loop.call_exception_handler(context)
            assert [has_ended(client) for client in clients] == [True] * 5
            assert listener.fileno() >= 0, "it goes on listening"
            news = book.news(0.0)
            assert news is not None
            assert news.endswith(
                "5 connections closed, the system had none left (Too many open files)"
            )
            assert told == []
            for other in (
                {"message": "no socket", "exception": OUT_OF_FILES},
                {"message": "", "exception": OSError(errno.EBADF, "bad"), "socket": listener},
                {"message": "no exception"},
            ):
                loop.call_exception_handler(other)
                assert told.pop() is other
            accepting.end()
            assert loop.get_exception_handler() is before
            loop.call_exception_handler(context)
            assert told == [context]
        accepting.end()
        assert open_files() == files, "the spare one is closed"

    asyncio.run(run())


def test_a_limit_that_is_too_low_is_told_of_again_where_more_calls_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting_module, "widen_files", lambda _: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))

    async def run() -> list[str | None]:
        accepting = Accepting(FileBook())
        said = [accepting.begin(50, is_mock=False)]
        said += [accepting.share(calls, is_mock=False) for calls in (500, 500, 900, 50, 900)]
        said += [accepting.share(900, is_mock=True)]
        accepting.end()
        return said

    few, *said = asyncio.run(run())
    assert few is None
    told = [None if line is None else line.partition("not for ")[2][:11] for line in said]
    assert told == ["the 500 of ", None, "the 900 of ", None, "the 900 of ", "the 900 of "]


def test_a_handler_that_came_later_stays_and_what_it_passes_on_is_passed_on() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        accepting = Accepting(FileBook())
        accepting.begin(1, is_mock=False)
        ours = loop.get_exception_handler()
        assert ours is not None

        def later(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            ours(loop, context)

        loop.set_exception_handler(later)
        accepting.end()
        assert loop.get_exception_handler() is later
        with ExitStack() as stack:
            listener = a_listener(stack)
            loop.call_exception_handler({"exception": OUT_OF_FILES, "socket": listener})
        assert len(told) == 1

    asyncio.run(run())
