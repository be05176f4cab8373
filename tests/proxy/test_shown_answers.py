"""What streams have said is put into their flows, as they go and in the end."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from mitmproxy import http
from mitmproxy.net import encoding
from mitmproxy.test import taddons

from foxora_addon.proxy.shown_answers import OpenStream, ShownAnswers, SoFar
from foxora_addon.shown import Shown
from tests.proxy.test_flow_list import a_flow
from tests.test_tally import an_ending


@pytest.fixture(autouse=True)
def _host() -> Iterator[None]:
    with taddons.context():
        yield


def a_streamed_flow(**headers: str) -> http.HTTPFlow:
    flow = a_flow()
    flow.response = http.Response.make(200, b"", headers)
    flow.response.raw_content = None
    return flow


def body_of(flow: http.HTTPFlow) -> bytes | None:
    assert flow.response is not None
    return flow.response.raw_content


def look(answers: ShownAnswers, flow: http.HTTPFlow, size: int, answer: bytes | None) -> None:
    answers.show_open([OpenStream(flow, size, lambda: Shown("{}", answer))])


def test_an_open_stream_has_its_newest_answer_and_its_end_the_last() -> None:
    answers, flow = ShownAnswers(), a_streamed_flow()
    for size, said in ((1, b"one"), (2, b"two")):
        look(answers, flow, size, said)
        assert body_of(flow) == said
    answers.show(flow, an_ending(shown=lambda: Shown("{}", b"all of it")))
    assert body_of(flow) == b"all of it"


def test_what_may_not_be_seen_in_the_end_goes() -> None:
    answers, flow = ShownAnswers(), a_streamed_flow()
    look(answers, flow, 1, b"one")
    answers.show(flow, an_ending(shown=lambda: Shown("{}", None)))
    assert body_of(flow) is None


def test_a_body_that_is_not_ours_stays() -> None:
    answers, flow = ShownAnswers(), a_streamed_flow()
    look(answers, flow, 1, b"one")
    assert flow.response is not None
    flow.response.raw_content = b"kept by mitmproxy: store_streamed_bodies"
    look(answers, flow, 2, b"two")
    answers.show(flow, an_ending(shown=lambda: Shown("{}", b"all of it")))
    assert body_of(flow) == b"kept by mitmproxy: store_streamed_bodies"


def test_it_is_shown_in_the_encoding_that_the_headers_name() -> None:
    flow = a_streamed_flow(**{"content-encoding": "gzip"})
    look(ShownAnswers(), flow, 1, b"one")
    assert encoding.decode(body_of(flow), "gzip") == b"one"


def test_nothing_is_looked_at_anew_where_nothing_came() -> None:
    answers, flow, looks = ShownAnswers(), a_streamed_flow(), []

    def shown() -> Shown:
        looks.append(1)
        return Shown("{}", b"one")

    for _ in range(3):
        answers.show_open([OpenStream(flow, 5, shown)])
    assert len(looks) == 1


def test_looking_at_a_large_stream_costs_no_more_than_a_few_times_its_size() -> None:
    looks = [0]
    for size in range(0, 10_000_000, 10_000):
        if SoFar(looks[-1]).is_old(size):
            looks.append(size)
    large = [size for size in looks if size > 100_000]
    assert all(after > before * 1.1 for before, after in pairwise(large))
    assert sum(large) < 10 * 10_000_000
