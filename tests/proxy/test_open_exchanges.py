"""The desk's books forget what is over, and nothing else."""

import asyncio
import gc
import weakref

import pytest
from mitmproxy.test import tflow

from foxora_addon.exchange import Client, Exchange, RequestLine
from foxora_addon.proxy import failed_flows, failures
from foxora_addon.proxy.failed_flows import FailedFlows
from foxora_addon.proxy.open_exchanges import OpenExchanges

LINE = RequestLine("POST", "http://127.0.0.1/v1/chat/completions", "HTTP/1.1")


def an_exchange(name: str) -> Exchange:
    return Exchange(name, 0.0, Client("127.0.0.1", None, None, None), LINE)


def test_an_exchange_that_has_ended_is_known_until_it_is_told_of() -> None:
    book, flow = OpenExchanges(), tflow.tflow()
    book.add(flow, exchange := an_exchange("x1"))
    assert (book.flow(flow.id), book.of(flow.client_conn), len(book)) == (flow, [flow.id], 1)
    assert book.end(flow.id) is exchange
    assert (book.flow(flow.id), book.of(flow.client_conn), len(book)) == (None, [], 0)
    assert book.end(flow.id) is None
    assert book.flow_told_of("x1") is flow
    assert book.flow_told_of("x1") is None


def test_the_flow_of_an_exchange_is_kept_by_nobody_once_it_is_told_of() -> None:
    book, flow = OpenExchanges(), tflow.tflow()
    seen = weakref.ref(flow)
    book.add(flow, an_exchange("x1"))
    assert book.flow_told_of("x1") is flow
    book.end(flow.id)
    assert book.flow_told_of("x1") is None
    del flow
    gc.collect()
    assert seen() is None


def test_the_newest_comes_first() -> None:
    book, came = OpenExchanges(), [tflow.tflow() for _ in range(3)]
    for number, flow in enumerate(came):
        book.add(flow, an_exchange(f"x{number}"))
    book.end(came[1].id)
    assert [(flow, each.id) for flow, each in book.newest_first()] == [
        (came[2], "x2"),
        (came[0], "x0"),
    ]
    assert book.flows() == [came[0], came[2]]


async def _waits_for(book: OpenExchanges, *, ends: list[str]) -> bool:
    waiting = asyncio.ensure_future(book.all_ended())
    await asyncio.sleep(0)
    for flow_id in ends:
        book.end(flow_id)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    is_over = waiting.done()
    waiting.cancel()
    return is_over


@pytest.mark.parametrize(("ended", "is_over"), [(0, False), (1, False), (2, True)])
def test_it_is_waited_for_the_last_of_them(ended: int, is_over: bool) -> None:
    book, came = OpenExchanges(), [tflow.tflow() for _ in range(2)]
    for number, flow in enumerate(came):
        book.add(flow, an_exchange(f"x{number}"))
    ends = [flow.id for flow in came[:ended]]
    assert asyncio.run(_waits_for(book, ends=ends)) is is_over


def test_nobody_is_waited_for_where_none_is_open() -> None:
    assert asyncio.run(_waits_for(OpenExchanges(), ends=[]))


def test_a_failure_is_told_once_under_its_exchanges_name() -> None:
    failed, flow = FailedFlows(), tflow.tflow()
    failed.put(flow.id, failures.ABORTED)
    failed.name(flow.id, "ex_1", [(b"x-foxora-retries", b"2")])
    assert flow.id in failed
    answer = failed.answer_for(flow)
    assert answer is not None
    assert (answer.status_code, answer.headers["x-foxora-exchange"]) == (503, "ex_1")
    assert answer.headers["x-foxora-retries"] == "2"
    assert flow.id not in failed
    assert failed.answer_for(flow) is None


def test_nothing_is_said_to_whom_nobody_is_there_for() -> None:
    failed, flow = FailedFlows(), tflow.tflow(resp=True)
    failed.put(flow.id, failures.Worded("client_disconnected", None))
    assert failed.answer_for(flow) is None
    failed.put(flow.id, failures.ABORTED)
    failed.forget(flow.id)
    assert failed.last_words(flow) is None


def test_of_what_nobody_fetches_the_oldest_goes() -> None:
    failed = FailedFlows()
    most = failed_flows._MOST_UNFETCHED
    for number in range(most + 1):
        failed.put(f"f{number}", failures.ABORTED)
    assert ("f0" in failed, "f1" in failed, f"f{most}" in failed) == (False, True, True)
    assert most > 30_000  # of listen.max_exchanges
