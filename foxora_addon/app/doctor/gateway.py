"""Looks at the gateway: can it be reached, does it take the keys, what does it say of the account.

One `GET /v1/me` for each account, with its key and no other content. Nothing of an answer is shown
but status, plan and figures.
"""

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tornado.httpclient import HTTPClient, HTTPClientError

from foxora_addon.app.ceilings import asks, ceilings_of, plan_words, unknown_in, words_of
from foxora_addon.app.doctor.finding import Finding, fail, ok, warn
from foxora_addon.config import Account, Config
from foxora_addon.policy.payers import LimitRules, Payers
from foxora_addon.policy.plans import OF_ANOTHER_API, Me, parse_me
from foxora_addon.policy.sharing import sharing_of
from foxora_addon.rules import account_rules_of

_TIMEOUT_SECONDS = 10.0
_WORST_SKEW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the gateway. `at` is when it came, on our clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: datetime


class Unreachable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """There was no answer; `is_tls` where a certificate or TLS itself is why. No key in `str`."""

    def __init__(self, words: str, *, is_tls: bool) -> None:
        super().__init__(words)
        self.is_tls = is_tls


def look(config: Config) -> Iterator[Finding]:
    """Findings about the gateway and, by its word, about each account."""
    if config.gateway.is_mock:
        yield ok("gateway", "the embedded mock gateway: any key is taken")
        yield from _ceilings(config, {})
        return
    answers: dict[str, Told] = {}
    for account in config.accounts:
        try:
            answers[account.name] = ask_me(
                config.gateway.base_url,
                account.key.get_secret_value(),
                validates=not config.gateway.allow_insecure_tls,
            )
        except Unreachable as error:
            yield _unreachable(config.gateway.base_url, error)
            break
    if answers:
        yield from about_gateway(config.gateway.base_url, next(iter(answers.values())))
    for account in config.accounts:
        if account.name in answers:
            yield about_key(account, answers[account.name])
    mes = {name: _me_of(told) for name, told in answers.items()}
    yield from _ceilings(config, mes)
    yield from about_sharing(config, mes)


def ask_me(base_url: str, key: str, *, validates: bool = True) -> Told:
    """`GET /v1/me` with a key; raises `Unreachable`."""
    client = HTTPClient()
    try:
        answer = client.fetch(
            f"{base_url}/me",
            headers={"authorization": f"Bearer {key}", "accept": "application/json"},
            raise_error=False,
            follow_redirects=False,  # they would take the key elsewhere
            connect_timeout=_TIMEOUT_SECONDS,
            request_timeout=_TIMEOUT_SECONDS,
            validate_cert=validates,
        )
    except ssl.SSLError as error:
        raise Unreachable(f"TLS: {error.reason or error}", is_tls=True) from None
    except socket.gaierror:
        raise Unreachable("its name can't be resolved", is_tls=False) from None
    except HTTPClientError as error:
        raise Unreachable(error.message, is_tls=False) from None
    except OSError as error:
        raise Unreachable(error.strerror or type(error).__name__, is_tls=False) from None
    finally:
        client.close()
    if answer.code == 599:
        raise Unreachable("no answer in time", is_tls=False)
    headers = {name.lower(): value for name, value in answer.headers.get_all()}
    return Told(answer.code, headers, answer.body, datetime.now(UTC))


def _unreachable(base_url: str, error: Unreachable) -> Finding:
    remedy = (
        "check this machine's clock and certificate authorities; a TLS proxy of your network may "
        "stand between"
        if error.is_tls
        else "check the network and gateway.base_url; where only a proxy leads out, start ours "
        "with --mode upstream:URL, and name each account's plan or limits: questions go directly"
    )
    return fail("gateway", f"{base_url} can't be reached: {error}", remedy)


def about_gateway(base_url: str, told: Told) -> Iterator[Finding]:
    """Whether it is there, and whether its clock and ours agree."""
    if told.status >= 500:
        remedy = "try again later; if it stays so, check gateway.base_url"
        yield fail("gateway", f"{base_url}/me answers {told.status}", remedy)
    elif 300 <= told.status < 400:
        yield fail("gateway", f"{base_url}/me answers {told.status}", "check gateway.base_url")
    else:
        by = "TLS" if base_url.startswith("https:") else "no TLS"
        yield ok("gateway", f"{base_url} answers ({by})")
    yield from about_clock(told)


def about_clock(told: Told) -> Iterator[Finding]:
    """Compare our clock with the answer's Date; nothing where there is none to read."""
    try:
        date = parsedate_to_datetime(told.headers.get("date", ""))
    except ValueError:
        return
    skew = abs((told.at - date.astimezone(UTC)).total_seconds())
    if skew > _WORST_SKEW_SECONDS:
        text = f"this machine's clock and the gateway's differ by {skew:,.0f} s"
        yield warn("clock", text, "set this one by NTP: the trail's times and JWTs depend on it")
    else:
        yield ok("clock", "agrees with the gateway's")


def about_key(account: Account, told: Told) -> Finding:
    """Whether the gateway takes an account's key."""
    check = f"key {account.name}"
    if told.status in {401, 403}:
        text = f"the gateway does not accept it ({told.status})"
        return fail(
            check, text, "make a new one at the gateway, and put it where accounts[].key is"
        )
    if told.status in OF_ANOTHER_API:
        remedy = "check gateway.base_url: as a rule it ends in /v1, and something else may be there"
        return fail(check, f"/me answers {told.status}, so this is not Foxora's API", remedy)
    if told.status != 200:
        return warn(check, f"/me answers {told.status}, so it is not known", "try again later")
    if _me_of(told) is None:
        remedy = "check gateway.base_url: something else may answer there"
        return fail(check, "/me gives no account, so this is not Foxora", remedy)
    return ok(check, "accepted")


def _ceilings(config: Config, told: Mapping[str, Me | None]) -> Iterator[Finding]:
    for account in config.accounts:
        yield from about_ceilings(account, told.get(account.name))


def about_ceilings(account: Account, me: Me | None) -> Iterator[Finding]:
    """Which ceilings hold for an account, and which are not known and so not enforced."""
    check = f"limits {account.name}"
    held = ceilings_of(account, me)
    missing = unknown_in(held)
    plan = plan_words(account, me)
    if missing:
        plans = "free, pro, team" if asks(account) else "auto asks the gateway; free, pro, team"
        yield warn(
            check,
            f"{plan}: {', '.join(missing)} not known, so not enforced",
            f"set plan ({plans}), or limits: {{{missing[0]}: N}}, for account {account.name}",
        )
    else:
        yield ok(check, f"{plan}: {', '.join(words_of(held))}")
    if account.plan != "auto" and me is not None and me.plan not in {None, account.plan}:
        text = f"the configuration says plan {account.plan}, the gateway says {me.plan}"
        yield warn(check, text, "set plan: auto, or correct it")


def about_sharing(config: Config, told: Mapping[str, Me | None]) -> Iterator[Finding]:
    """Which accounts are one account at the gateway, and what they are held to together."""
    payers = Payers(LimitRules({each.name: account_rules_of(each) for each in config.accounts}))
    for name, me in told.items():
        if me is not None:
            payers.standings.take(name, me, is_configured=True)
    for account in config.accounts:
        if (sharing := sharing_of(payers, account.name)) is None:
            continue
        if sharing.differs:
            remedy = "give them the same figures, or make them clients of one account"
            yield warn("limits", sharing.words, remedy)
        else:
            yield ok("limits", sharing.words)


def _me_of(told: Told) -> Me | None:
    if told.status != 200:
        return None
    try:
        value: Any = json.loads(told.body)
    except (ValueError, RecursionError):
        return None
    return parse_me(value)
