"""Questions of our own to a real mock gateway on loopback."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from foxora_addon.gateway.client import GatewayClient, NoReply, Reply
from foxora_addon.gateway.inquiry import Inquiry
from foxora_addon.mock.faults import parse_fault
from foxora_addon.policy.questions import ME, MODELS
from tests.mock.builders import KEY, an_account, run, running, settings_of, until


@dataclass
class Noted:
    """Books that count nothing, and note what was answered."""

    room_after: int = 0
    wait_seconds: float = 0.001
    asked: int = 0
    answers: list[tuple[str, str, Reply | NoReply]] = field(default_factory=list)

    def ask(self, payer: str, path: str, now: float) -> float:
        self.asked += 1
        return 0.0 if self.asked > self.room_after else self.wait_seconds

    def answered(self, payer: str, path: str, answer: Reply | NoReply, now: float) -> bool:
        self.answers.append((payer, path, answer))
        return isinstance(answer, Reply) and answer.status == 200


def an_inquiry(base_url: str, books: Noted, **more: float) -> Inquiry:
    now = asyncio.get_running_loop().time
    given = {"refresh_seconds": 300.0, **more}
    return Inquiry(GatewayClient(base_url, timeout_seconds=5), books, now, **given)


def test_a_followed_account_is_asked_for_itself_and_its_prices() -> None:
    books = Noted()

    async def scenario() -> None:
        async with running(settings_of(an_account(plan="pro"))) as (gateway, _):
            inquiry = an_inquiry(gateway.base_url, books)
            inquiry.follow({"acme": KEY})
            await inquiry.settled("acme", 5)
            await until(lambda: len(books.answers) == 2)
            inquiry.close()
            assert [entry.header("user-agent") for entry in gateway.received] == [
                "foxora-addon/0.1.0"
            ] * 2

    run(scenario)
    assert [(payer, path) for payer, path, _ in books.answers] == [("acme", ME), ("acme", MODELS)]
    answer = books.answers[0][2]
    assert isinstance(answer, Reply)
    assert json.loads(answer.body)["plan"]["id"] == "pro"


def test_a_question_waits_for_its_account_to_have_room() -> None:
    books = Noted(room_after=3)

    async def scenario() -> None:
        async with running() as (gateway, _):
            inquiry = an_inquiry(gateway.base_url, books)
            inquiry.follow({"acme": KEY})
            await until(lambda: bool(books.answers))
            inquiry.close()

    run(scenario)
    assert books.asked >= 4
    assert books.answers[0][1] == ME


def test_strangers_whose_accounts_have_no_room_keep_no_others_from_being_asked_for() -> None:
    books = Noted(room_after=200, wait_seconds=3_600)

    async def scenario() -> None:
        async with running() as (gateway, _):
            inquiry = an_inquiry(gateway.base_url, books)
            for number in range(200):
                await inquiry.meet(f"key {number}", KEY, 0.01)
            await inquiry.meet("key 200", KEY, 5)
            inquiry.close()

    run(scenario)
    assert [payer for payer, _, _ in books.answers] == ["key 200"]


def test_a_stranger_is_asked_for_once_in_a_while() -> None:
    books = Noted()

    async def scenario() -> None:
        async with running() as (gateway, _):
            inquiry = an_inquiry(gateway.base_url, books)
            for _turn in range(3):
                await inquiry.meet("key 1", KEY, 5)
            inquiry.close()

    run(scenario)
    assert len(books.answers) == 1


def test_a_stranger_of_whom_nothing_was_told_is_asked_for_again_ever_more_seldom() -> None:
    books, now = Noted(), [0.0]
    asked: list[int] = []

    async def scenario() -> None:
        async with running() as (gateway, _):
            gateway.faults.extend([parse_fault("status=503")] * 2)
            client = GatewayClient(gateway.base_url, timeout_seconds=5)
            inquiry = Inquiry(client, books, lambda: now[0], refresh_seconds=300.0)
            for now[0] in (0.0, 4.9, 5.1, 15.0, 15.2, 300.0, 316.0):
                await inquiry.meet("key 1", KEY, 5)
                for known in inquiry._strangers.values():
                    assert known.task is not None
                    await known.task  # for which only the first call waits
                asked.append(books.asked)
            inquiry.close()

    run(scenario)
    assert asked == [1, 1, 2, 2, 3, 3, 4]


class AwayUntil(GatewayClient):
    """A client to which nothing is told until a moment, and all from then on."""

    def __init__(self, moment: float, now: Callable[[], float]) -> None:
        super().__init__("http://127.0.0.1:1/v1")
        self._moment, self._now = moment, now

    async def get(self, path: str, key: str) -> Reply | NoReply:
        return NoReply("away") if self._now() < self._moment else Reply(200, (), b"{}")


def test_a_followed_account_is_asked_for_again_ever_more_seldom_until_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    asked: list[int] = []

    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
        books = Noted()
        client = AwayUntil(60.0, lambda: now[0])
        inquiry = Inquiry(client, books, lambda: now[0], refresh_seconds=30.0)
        inquiry.follow({"acme": KEY})
        for now[0] in (0.0, 4.9, 5.1, 15.0, 15.2, 35.1, 35.3, 65.2, 65.4, 95.3, 95.5):
            for _turn in range(10):
                await asyncio.sleep(0)
            asked.append(len([path for _, path, _ in books.answers if path == ME]))
        inquiry.close()

    asyncio.run(scenario())
    assert asked == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_a_mute_gateway_keeps_a_call_no_longer_than_it_said() -> None:
    books = Noted()

    async def scenario() -> None:
        async with running() as (gateway, _):
            gateway.faults.append(parse_fault("mute"))
            inquiry = an_inquiry(gateway.base_url, books)
            inquiry.follow({"acme": KEY})
            await inquiry.settled("acme", 0.05)
            inquiry.close()
            await inquiry.settled("nobody", 5)

    run(scenario)
    assert not books.answers


@pytest.mark.parametrize(
    ("fault", "why"),
    [("close-before-head", "the connection was closed"), ("mute", "did not answer in time")],
)
def test_a_failure_is_told_in_words(fault: str, why: str) -> None:
    async def scenario() -> Reply | NoReply:
        async with running() as (gateway, _):
            gateway.faults.append(parse_fault(fault))
            client = GatewayClient(gateway.base_url, timeout_seconds=0.3)
            answer = await client.get(ME, KEY)
            client.close()
            return answer

    answer = run(scenario)
    assert isinstance(answer, NoReply)
    assert why in answer.why
    assert KEY not in answer.why


def test_a_gateway_that_is_away_is_told_in_words() -> None:
    async def scenario() -> Reply | NoReply:
        client = GatewayClient("http://127.0.0.1:1/v1")
        answer = await client.get(ME, KEY)
        client.close()
        return answer

    assert run(scenario) == NoReply("the connection was refused")


def test_a_client_that_is_closed_asks_no_more() -> None:
    async def scenario() -> tuple[list[Reply | NoReply], int]:
        async with running() as (gateway, _):
            gateway.faults.extend(parse_fault("mute") for _ in range(10))
            client = GatewayClient(gateway.base_url, timeout_seconds=5)
            asking = [asyncio.create_task(client.get(ME, KEY)) for _ in range(11)]
            await until(lambda: len(gateway.received) == 10)
            client.close()
            answers = [*await asyncio.gather(*asking), await client.get(ME, KEY)]
            return answers, len(gateway.received)

    answers, received = run(scenario)
    open_then, after = answers[:10], answers[10:]
    assert {"the connection was closed" in each.why for each in untold(open_then)} == {True}
    assert untold(after) == [NoReply("no more is asked")] * 2
    assert received == 10


def test_a_client_that_is_closed_while_it_connects_sends_nothing() -> None:
    async def scenario() -> tuple[Reply | NoReply, int]:
        async with running() as (gateway, _):
            client = GatewayClient(gateway.base_url, timeout_seconds=5)
            asking = asyncio.create_task(client.get(ME, KEY))
            await asyncio.sleep(0)
            client.close()
            return await asking, len(gateway.received)

    assert run(scenario) == (NoReply("no more is asked"), 0)


def untold(answers: list[Reply | NoReply]) -> list[NoReply]:
    assert all(isinstance(each, NoReply) for each in answers)
    return [each for each in answers if isinstance(each, NoReply)]


def test_a_redirect_is_not_followed() -> None:
    async def scenario() -> tuple[Reply | NoReply, int]:
        async with running() as (gateway, _):
            gateway.faults.append(parse_fault("redirect=/v1/models"))
            client = GatewayClient(gateway.base_url)
            answer = await client.get(ME, KEY)
            client.close()
            return answer, len(gateway.received)

    answer, received = run(scenario)
    assert isinstance(answer, Reply)
    assert (answer.status, received) == (307, 1)


def test_an_answer_that_repeats_the_key_has_asterisks_there() -> None:
    async def scenario() -> Reply | NoReply:
        async with running() as (gateway, _):
            gateway.faults.append(parse_fault(f'body={{"id": "{KEY}", "plan": "pro"}}'))
            client = GatewayClient(gateway.base_url)
            answer = await client.get(ME, KEY)
            client.close()
            return answer

    answer = run(scenario)
    assert isinstance(answer, Reply)
    assert json.loads(answer.body) == {"id": "*" * len(KEY), "plan": "pro"}


def test_an_answer_is_undone_by_the_encodings_of_all_lines() -> None:
    body = gzip.compress(zlib.compress(b'{"id": "usr_1"}'))
    lines = b"Content-Encoding: deflate\r\ncontent-encoding: gzip\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: %d\r\n\r\n" % len(body)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reply = await GatewayClient(f"http://127.0.0.1:{port}/v1").get(ME, KEY)
            assert isinstance(reply, Reply)
            assert reply.body == b'{"id": "usr_1"}'

    run(scenario)
