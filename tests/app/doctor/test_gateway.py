"""Findings about the gateway and the accounts, by what it answers to GET /v1/me."""

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from foxora_addon.app.doctor import gateway
from foxora_addon.app.doctor.finding import Finding
from foxora_addon.app.doctor.gateway import Told, Unreachable
from foxora_addon.config import Account, Config, load
from foxora_addon.policy.plans import parse_me
from tests.app.test_running_proxy import answering

KEY = "foxora_sk_live_obviously-fake-0123"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ME = {
    "id": "usr_1",
    "plan": {"id": "pro"},
    "limits": {"requests_per_minute": 300, "tokens_per_minute": 400_000},
}


def a_config(base_url: str, folder: Path, **account: Any) -> Config:
    text = {"accounts": [{"name": "acme", "key": {"env": "KEY"}, **account}]}
    (folder / "foxora.yaml").write_text(json.dumps(text))
    return load({}, {"KEY": KEY, "FOXORA_BASE_URL": base_url}, folder)


def an_account(folder: Path, **more: Any) -> Account:
    return a_config("mock", folder, **more).accounts[0]


def told(body: Any = ME, status: int = 200, date: datetime = NOW) -> Told:
    return Told(
        status, {"date": format_datetime(date, usegmt=True)}, json.dumps(body).encode(), NOW
    )


def told_me(body: Any = ME) -> Any:
    return parse_me(body)


@pytest.mark.parametrize(("status", "remedy"), [(503, "try again later"), (302, "check gateway")])
def test_a_gateway_that_is_down_is_not_taken_for_a_wrong_address(status: int, remedy: str) -> None:
    finding = next(gateway.about_gateway("https://gateway/v1", told({}, status)))
    assert finding.verdict == "fail"
    assert finding.remedy is not None
    assert finding.remedy.startswith(remedy)


@pytest.mark.parametrize(("figure", "verdicts"), [(9, ["warn"]), (7, ["ok"])])
def test_accounts_that_are_one_are_told_of(
    tmp_path: Path, figure: int, verdicts: list[str]
) -> None:
    accounts = [
        {"name": name, "key": {"env": name.upper()}, "limits": {"requests_per_minute": count}}
        for name, count in (("acme", 7), ("lab", figure), ("other", 5))
    ]
    (tmp_path / "foxora.yaml").write_text(json.dumps({"accounts": accounts}))
    keys = {name: f"{KEY}-{name}" for name in ("ACME", "LAB", "OTHER")}
    config = load({}, {**keys, "FOXORA_BASE_URL": "mock"}, tmp_path)
    mes = {"acme": told_me(), "lab": told_me(), "other": told_me({**ME, "id": "usr_2"})}
    findings = [*gateway.about_sharing(config, mes)]
    assert [finding.verdict for finding in findings] == verdicts
    assert "'acme' and 'lab' are one account" in findings[0].text
    assert [*gateway.about_sharing(config, {**mes, "lab": None})] == []


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (told(), "ok"),
        (told({"error": {"code": "invalid_api_key"}}, 401), "fail"),
        (told({}, 403), "fail"),
        (told({}, 404), "fail"),
        (told({}, 429), "warn"),
        (told({"hello": "world"}), "fail"),
        (told([]), "fail"),
    ],
)
def test_a_key_is_judged_by_the_answer(tmp_path: Path, answer: Told, verdict: str) -> None:
    assert gateway.about_key(an_account(tmp_path), answer).verdict == verdict


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, "ok"), (29, "ok"), (90, "warn"), (-90, "warn")]
)
def test_a_clock_that_is_off_is_warned_of(seconds: int, verdict: str) -> None:
    answer = told(date=NOW + timedelta(seconds=seconds))
    assert [finding.verdict for finding in gateway.about_clock(answer)] == [verdict]


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_without_a_date_nothing_is_said_of_the_clock(date: str) -> None:
    assert not list(gateway.about_clock(Told(200, {"date": date}, b"", NOW)))


def test_the_plan_auto_has_what_the_gateway_says(tmp_path: Path) -> None:
    (finding,) = gateway.about_ceilings(an_account(tmp_path), told_me())
    assert finding.verdict == "ok"
    assert "auto (pro): 300 requests a minute, 400,000 tokens a minute" in finding.text


def test_ceilings_that_nobody_knows_are_warned_of_with_what_to_set(tmp_path: Path) -> None:
    account = an_account(tmp_path, limits={"requests_per_minute": 20})
    (finding,) = gateway.about_ceilings(account, None)
    assert finding.verdict == "warn"
    assert finding.text == "figures alone: tokens_per_minute not known, so not enforced"
    assert finding.remedy is not None
    assert "plan (auto asks the gateway; " in finding.remedy
    assert "limits: {tokens_per_minute: N}" in finding.remedy


def test_figures_are_alone_unless_the_gateway_is_asked_for_the_others(tmp_path: Path) -> None:
    figures = {"requests_per_minute": 20, "tokens_per_minute": 500}
    alone = an_account(tmp_path, limits=figures)
    asked = an_account(tmp_path, limits=figures, plan="auto")
    (finding,) = gateway.about_ceilings(alone, told_me())
    assert finding.text.startswith("figures alone: 20 requests a minute")
    (finding,) = gateway.about_ceilings(asked, told_me())
    assert finding.text.startswith("plan auto (pro): 20 requests a minute")


def test_a_plan_that_differs_from_the_gateways_is_warned_of(tmp_path: Path) -> None:
    findings = list(gateway.about_ceilings(an_account(tmp_path, plan="team"), told_me()))
    assert [finding.verdict for finding in findings] == ["ok", "warn"]
    assert "the gateway says pro" in findings[1].text


def texts_of(findings: list[Finding]) -> str:
    return " ".join(f"{each.text} {each.remedy}" for each in findings)


def test_a_gateway_is_asked_once_for_each_account_and_its_key_is_never_shown(
    tmp_path: Path,
) -> None:
    with answering({"/v1/me": ME}) as port:
        findings = list(gateway.look(a_config(f"http://127.0.0.1:{port}/v1", tmp_path)))
    assert [finding.check for finding in findings] == [
        "gateway",
        "clock",
        "key acme",
        "limits acme",
    ]
    assert all(finding.verdict == "ok" for finding in findings)
    assert KEY not in texts_of(findings)


def test_a_gateway_that_is_not_there_fails_in_one_line(tmp_path: Path) -> None:
    with answering({}) as port:
        pass
    findings = list(gateway.look(a_config(f"http://127.0.0.1:{port}/v1", tmp_path)))
    assert findings[0].verdict == "fail"
    assert "can't be reached: " in findings[0].text
    assert KEY not in texts_of(findings)


def test_a_gateway_whose_tls_is_wrong_is_told_as_such() -> None:
    with answering({}) as port, pytest.raises(Unreachable) as caught:
        gateway.ask_me(f"https://127.0.0.1:{port}/v1", KEY)
    assert caught.value.is_tls
    assert KEY not in str(caught.value)


def test_a_gateway_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(Unreachable):
        gateway.ask_me(f"http://127.0.0.1:{mute.getsockname()[1]}/v1", KEY)


def test_the_mock_gateway_needs_no_asking(tmp_path: Path) -> None:
    findings = list(gateway.look(a_config("mock", tmp_path, plan="free")))
    assert [finding.verdict for finding in findings] == ["ok", "ok"]
