"""What is said where a port is taken, and that mitmproxy's words are still what is listened for."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from foxora_addon.proxy.taken_port import TakenPort, advice_on, why_no_page

WORDS = "HTTP(S) proxy failed to listen on {host}:{port} with [Errno {number}] error"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken, as is the second after it, which mitmproxy would advise."""
    with ExitStack() as stack:
        port: int = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        for near in (port + 1, port + 2):
            try:
                stack.enter_context(socket.create_server(("127.0.0.1", near)))
            except OSError:
                continue  # it is another's
        yield port


def test_one_is_advised_that_is_free(taken: int) -> None:
    advice = advice_on(
        WORDS.format(host="127.0.0.1", port=taken, number=errno.EADDRINUSE) + "\nTry `--mode x`"
    )
    assert advice is not None
    assert advice.startswith(f"port {taken} is taken by another program; give the proxy another, ")
    free = int(advice.partition("as -p ")[2].partition(",")[0])
    assert free > taken + 2
    assert f"run --use {taken} -- CMD" in advice


def test_a_port_of_a_modes_own_is_not_given_by_p(taken: int) -> None:
    advice = advice_on(WORDS.format(host="*", port=taken, number=errno.EADDRINUSE))
    assert advice is not None
    assert "-p " not in advice


@pytest.mark.parametrize("number", [13, 99])
def test_other_failures_are_none_of_its_business(number: int) -> None:
    assert advice_on(WORDS.format(host="127.0.0.1", port=80, number=number)) is None
    assert advice_on("something else") is None


def no_page(host: str, port: int, number: int) -> OSError:
    """What mitmweb raises where it can't serve its page (`tools/web/master.py`)."""
    words = f"[Errno {number}] {os.strerror(number)}"
    return OSError(number, f"Web server failed to listen on {host}:{port} with {words}")


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_a_page_is_advised_a_port_that_is_free(taken: int, host: str) -> None:
    line = why_no_page(no_page(host, taken, errno.EADDRINUSE))
    assert line is not None
    assert line.startswith(f"port {taken} is taken by another program; give mitmweb's page another")
    assert int(line.partition("web_port=")[2].partition(",")[0]) > taken


def test_a_page_that_may_not_be_served_says_why() -> None:
    line = why_no_page(no_page("127.0.0.1", 80, errno.EACCES))
    assert line == "mitmweb's page can't be served at 127.0.0.1:80: Permission denied"


def test_another_failure_is_none_of_the_pages() -> None:
    assert why_no_page(OSError(errno.ENOENT, "No such file")) is None


def test_it_is_what_mitmproxy_says(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        options = Options(listen_host="127.0.0.1", listen_port=taken)
        master = DumpMaster(options, with_termlog=False, with_dumper=False)
        assert not await master.addons.get("proxyserver").setup_servers()

    handler = TakenPort()
    logging.getLogger().addHandler(handler)
    try:
        asyncio.run(main())
    finally:
        logging.getLogger().removeHandler(handler)
    said = [record for record in caplog.records if "is taken by" in record.getMessage()]
    assert [record.levelname for record in said] == ["ERROR"]
