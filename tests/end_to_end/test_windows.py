"""What mitmweb shows of exchanges: its list, its views, its command line."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.calls import SEA, app_of, make_calls
from tests.end_to_end.proxies import BIN, run_to_its_end, running_decoy, wait_until
from tests.end_to_end.windows import Web, is_over, running_web

pytestmark = pytest.mark.real_server


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with running_web(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture(scope="module")
def made(web: Web) -> dict[str, str]:
    return make_calls(web.proxy)


def text_of(web: Web, exchange: str, part: str) -> str:
    shown = web.content(exchange, part)
    assert shown["view_name"] == "Foxora"
    return str(shown["text"])


def words_of(text: str) -> str:
    return " ".join(text.split())


def test_a_request_is_a_conversation_with_its_tools_and_parameters_folded(
    web: Web, made: dict[str, str]
) -> None:
    text = words_of(text_of(web, made["a chat with tools"], "request"))
    assert text.startswith("model gpt-4o-mini temperature 0.2")
    assert "get_weather(city: string, unit?: celsius|fahrenheit) Current weather" in text
    assert "system You are a travel assistant. Answer briefly. user Where is this" in text
    assert "[image png, 3.6 kB]" in text
    assert "base64" not in text


@pytest.mark.parametrize("name", ["a chat", "a stream", "a response", "a streamed response"])
def test_an_answer_has_its_figures_and_its_words(web: Web, made: dict[str, str], name: str) -> None:
    text = words_of(text_of(web, made[name], "response"))
    for told in ("account default", "model gpt-4o", "first byte after", "whole", "cost $0.0"):
        assert told in text
    assert "(reported)" in text
    assert "ended by stop" in text or "ended by completed" in text
    assert "assistant" in text
    assert "mock gateway" in text


@pytest.mark.parametrize("name", ["a chat with tools", "a stream with tools"])
def test_the_calls_of_tools_stand_in_the_answer(web: Web, made: dict[str, str], name: str) -> None:
    assert "calls get_weather: {" in text_of(web, made[name], "response")


def test_a_streams_answer_is_one_choice_away_as_json(web: Web, made: dict[str, str]) -> None:
    shown = web.content(made["a stream"], "response", "json")
    assert shown["view_name"] == "JSON"
    answer = json.loads(shown["text"])
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_an_open_streams_answer_is_read_as_far_as_it_has_come(web: Web) -> None:
    slow = {"x-mock-fault": "mute-after=9"}
    with (
        app_of(web.proxy) as app,
        app.stream("POST", "/chat/completions", json={**SEA, "stream": True}, headers=slow) as said,
    ):
        exchange = said.headers["x-foxora-exchange"]
        pieces = said.iter_bytes()  # kept, since its end would close the connection
        next(pieces)
        wait_until(lambda: "assistant" in web.text_of_open(exchange))
        text = words_of(web.text_of_open(exchange))
        assert "9 events so far" in text
        assert "open: the answer is still coming" in text
        flow = next(flow for flow in web.flows() if exchange in str(flow.get("response")))
        assert flow["comment"] == "open · gpt-4o-mini · default"
    assert "client_disconnected" in web.flow_of(exchange)["comment"]
    assert "so far" not in text_of(web, exchange, "response")


def test_models_are_a_table_and_embeddings_are_counted(web: Web, made: dict[str, str]) -> None:
    assert "gpt-4o-mini" in text_of(web, made["models"], "response")
    assert "chat, tools, vision" in text_of(web, made["models"], "response")
    assert "2 embeddings of" in text_of(web, made["embeddings"], "response")


@pytest.mark.parametrize("name", ["no model", "no such model"])
def test_an_error_says_what_to_do(web: Web, made: dict[str, str], name: str) -> None:
    text = text_of(web, made[name], "response")
    assert "error" in text
    assert "to do" in text


def test_what_is_not_ours_is_left_to_mitmproxys_own_views(web: Web, tmp_path: Path) -> None:
    other = web.get("/flows")  # mitmweb's own page asks no proxy: make it go through
    answer = httpx.get(
        f"http://127.0.0.1:{web.port}/nothing", proxy=web.proxy.url, trust_env=False, timeout=20
    )
    assert other.is_success
    flow = next(flow for flow in web.flows() if flow["request"]["path"] == "/nothing")
    shown = web.get(f"/flows/{flow['id']}/response/content/auto.json").json()
    assert shown["view_name"] != "Foxora"
    assert flow["comment"] == ""
    assert answer.status_code in {403, 404}


def test_a_websockets_messages_are_events_and_no_bare_json(web: Web) -> None:
    sound = base64.b64encode(b"x" * 4_800).decode()
    said = [
        {"type": "response.output_text.delta", "item_id": "item_1", "delta": " sea"},
        {"type": "input_audio_buffer.append", "audio": sound},
    ]
    target = f"ws://127.0.0.1:{web.proxy.port}/v1/realtime?model=gpt-4o-mini"
    asyncio.run(talk(target, [json.dumps(each) for each in said]))
    flow = web.flow_with("/realtime")
    shown = web.get(f"/flows/{flow['id']}/messages/content/auto.json").json()
    assert {each["view_name"] for each in shown} == {"Foxora"}
    texts = [each["text"] for each in shown if each["from_client"]]
    assert texts == [
        'response.output_text.delta  " sea"',
        "input_audio_buffer.append  [audio, 4.8 kB]",
    ]
    wait_until(lambda: is_over(web.flow_with("/realtime")))


async def talk(target: str, messages: list[str]) -> None:
    """Say something over a WebSocket, hear an answer to each, and leave."""
    request = HTTPRequest(target, headers={"Authorization": "Bearer sk-fake"})
    socket = await websocket_connect(request)
    for message in messages:
        await socket.write_message(message)
        assert await socket.read_message()
    socket.close()
    while await socket.read_message() is not None:
        pass  # what it still had to tell


def test_the_list_says_cost_tokens_model_and_account(web: Web, made: dict[str, str]) -> None:
    flow = web.flow_of(made["a stream"])
    figures, model, account = flow["comment"].split(" · ")
    assert (model, account) == ("gpt-4o-mini", "default")
    assert re.fullmatch(r"\$0\.0000\d+ \d+\+\d+ tok", figures)
    assert flow["marked"] == ""


def test_refusals_and_failures_are_marked_and_come_first(web: Web, made: dict[str, str]) -> None:
    refused, failed = web.flow_of(made["no model"]), web.flow_of(made["no such model"])
    assert refused["comment"].startswith("invalid_request (refused) · ")
    assert "(gateway_error) · " in failed["comment"]
    assert refused["marked"]
    assert failed["marked"]
    assert refused["marked"] != failed["marked"]


def test_a_filter_finds_comments(web: Web, made: dict[str, str]) -> None:
    found = web.command("view.filter.set", "~comment refused")
    try:
        assert found.get("error") is None
        assert [flow["comment"].split()[1] for flow in web.flows()] == ["(refused)"]
    finally:
        web.command("view.filter.set", "")


def test_the_comment_column_is_shown_unless_the_user_chose_columns(web: Web) -> None:
    assert web.get("/options").json()["web_columns"]["value"][-1] == "comment"


def test_a_private_calls_stream_is_not_kept_in_the_flow(web: Web) -> None:
    with app_of(web.proxy) as app:
        headers = {"x-foxora-audit": "metadata"}
        answer = app.post("/chat/completions", json={**SEA, "stream": True}, headers=headers)
    flow = web.flow_of(answer.headers["x-foxora-exchange"])
    assert flow["response"]["contentLength"] is None


def test_the_commands_tell_limits_balances_reasons_and_records(
    web: Web, made: dict[str, str]
) -> None:
    (line,) = web.command("foxora.limits")["value"]
    assert line.startswith("default: ")
    assert "tokens a minute" in line
    assert web.command("foxora.account.options")["value"] == ["default"]
    assert "requests a minute: " in web.command("foxora.account", "default")["value"][0]
    assert "Invalid choice" in web.command("foxora.account", "acme")["error"]
    flow = f"@{web.flow_of(made['a stream'])['id']}"
    assert "decision: forwarded" in web.command("foxora.why", flow)["value"]
    assert any("mock gateway" in line for line in web.command("foxora.trail", flow)["value"])


def test_a_replay_is_a_new_exchange(web: Web, made: dict[str, str]) -> None:
    flow = web.flow_of(made["a stream"])
    before = len(web.flows())
    assert web.command("foxora.replay", f"@{flow['id']}") == {"value": None}
    wait_until(lambda: len(web.flows()) == before + 1)
    wait_until(lambda: is_over(web.flows()[-1]))
    assert " tok · " in web.flows()[-1]["comment"]
    assert web.flows()[-1]["response"]["status_code"] == 200


def test_a_replay_that_was_turned_elsewhere_is_no_exchange(web: Web, made: dict[str, str]) -> None:
    flow = web.send("POST", f"/flows/{web.flow_of(made['no such model'])['id']}/duplicate").text
    with running_decoy() as decoy:
        edit = {"request": {"host": "127.0.0.1", "port": decoy.port}, "comment": "look here"}
        web.send("PUT", f"/flows/{flow}", edit).raise_for_status()
        web.send("POST", f"/flows/{flow}/replay").raise_for_status()
        wait_until(lambda: b"decoy" in web.get(f"/flows/{flow}/response/content.data").content)
    shown = next(each for each in web.flows() if each["id"] == flow)
    assert (shown["comment"], shown["marked"]) == ("look here", "")
    assert web.get(f"/flows/{flow}/response/content/auto.json").json()["view_name"] != "Foxora"
    assert "no exchange" in web.command("foxora.why", f"@{flow}")["error"]


WAITING = """
accounts:
  - {name: acme, key: {env: FOXORA_API_KEY}, limits: {concurrent_requests: 1}}
limits: {on_limit: wait}
"""


def test_a_call_that_waits_for_its_limit_says_so_until_it_is_over(tmp_path: Path) -> None:
    file = tmp_path / "waiting.yaml"
    file.write_text(WAITING)
    slow = {"x-mock-fault": "mute-after=1"}
    with (
        running_web(
            tmp_path / "web",
            ("--set", f"foxora_config={file}"),
            {"FOXORA_API_KEY": "foxora_sk_live_obviously-fake-0123"},
        ) as web,
        app_of(web.proxy) as app,
        app_of(web.proxy) as other,
        ThreadPoolExecutor() as pool,
    ):
        with app.stream("POST", "/chat/completions", json={**SEA, "stream": True}, headers=slow):
            waiter = pool.submit(other.post, "/chat/completions", json=SEA)
            comments: list[str] = []

            def is_told() -> bool:
                comments[:] = [flow["comment"] for flow in web.flows()]
                return [comment.split()[0] for comment in comments if comment] == [
                    "open",
                    "waiting",
                ]

            wait_until(is_told, lambda: f"{comments}")
            assert re.fullmatch(r"waiting [\d.]+m?s · gpt-4o-mini · acme", comments[-1])
            assert web.flows()[-1]["marked"] == "⌛"
            told = web.command("foxora.why", "~comment waiting")
            assert "a call that waits is there once its wait is over" in str(told)
        assert waiter.result(30).is_success
        wait_until(lambda: all(is_over(flow) for flow in web.flows()))
        assert web.flows()[-1]["comment"].startswith("waited ")


BELOW = """
accounts:
  - name: acme
    key: {env: FOXORA_API_KEY}
    limits: {requests_per_minute: 9, models: {gpt-4o-mini: {requests_per_minute: 1}}}
"""


def test_why_rebuilds_what_a_calls_model_had_used_as_the_command_line_does(tmp_path: Path) -> None:
    file = tmp_path / "foxora.yaml"
    file.write_text(BELOW)
    keys = {"FOXORA_API_KEY": "foxora_sk_live_obviously-fake-0123"}
    with running_web(tmp_path / "web", ("--set", f"foxora_config={file}"), keys) as web:
        with app_of(web.proxy) as app:
            calls = [app.post("/chat/completions", json=SEA) for _ in range(2)]
        refused = calls[1].headers["x-foxora-exchange"]
        wait_until(lambda: is_over(web.flow_of(refused)))
        shown = web.command("foxora.why", f"@{web.flow_of(refused)['id']}")["value"]
        command = [str(BIN / "foxora-proxy"), "audit", "why", refused, str(web.proxy.trail)]
        told = run_to_its_end(command, tmp_path).stdout
    assert [call.status_code for call in calls] == [200, 429]
    assert "model: 'gpt-4o-mini': requests 1 of 1 used, 1 more asked <- over" in shown
    assert [line.split() for line in told.splitlines()] == [
        line.replace(": ", " ", 1).split() for line in shown
    ]


def test_the_oldest_flows_go_and_those_that_the_user_marked_stay(tmp_path: Path) -> None:
    with running_web(tmp_path, ("--set", "foxora_keep_flows=5")) as web:
        with app_of(web.proxy) as app:
            first = app.post("/chat/completions", json=SEA).headers["x-foxora-exchange"]
            kept = web.flow_of(first)
            web.command("flow.mark", f"@{kept['id']}", ":star:")
            last = [app.get("/models").headers["x-foxora-exchange"] for _ in range(12)][-1]
        wait_until(lambda: len(web.flows()) == 5)
        assert web.flow_of(first)["id"] == kept["id"]
        assert web.flow_of(last)
