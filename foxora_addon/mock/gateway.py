"""The gateway without its sockets: state over time, from a request received to an answer.

In this order: a fault that hides the gateway, the token, the route, the account's ceilings, a
fault that spoils. The clock is injected.
"""

import math
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from foxora_addon.mock.accounts import Account, Refusal, charge_of
from foxora_addon.mock.answers import Answer, Pairs, error_answer
from foxora_addon.mock.call import Call, Reply
from foxora_addon.mock.faults import Fault, parse_header, take
from foxora_addon.mock.received import Fate, Log, Received
from foxora_addon.mock.routes import reply_to_call
from foxora_addon.mock.settings import DEFAULT_ACCOUNT, AccountSettings, MockSettings
from foxora_addon.mock.shelf import Shelf
from foxora_addon.mock.spoiling import spoiled, stand_in, without_forbidden_body

Clock = Callable[[], float]

_API = "/v1/"
_FAULT_HEADER = "x-mock-fault"
_PROTOCOL_KEY = "openai-insecure-api-key."
_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-headers", "*"),
    ("access-control-max-age", "600"),
)
_UNAUTHORIZED = error_answer(
    401, "The bearer token is missing or invalid.", headers=(("www-authenticate", "Bearer"),)
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request on its way: what to answer, and what was charged to whom, if anything."""

    received: Received
    answer: Answer
    started: float
    account: Account | None = None
    reply: Reply | None = None


class Gateway:
    """Accounts, faults in waiting and the log. All of it is open to tests."""

    def __init__(self, settings: MockSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.faults: deque[Fault] = deque()
        self.log = Log(settings.log_size, settings.log_bytes)
        self._accounts: dict[str, Account] = {}
        self._shelves: dict[str, Shelf] = {}
        self._account_of_key: dict[str, Account] = {}
        self.reset()

    def reset(self) -> None:
        """As new: no log, no faults, nothing used or stored."""
        self.faults.clear()
        self.log.clear()
        named = {each.name: each for each in self.settings.accounts}
        named.setdefault(DEFAULT_ACCOUNT, AccountSettings(name=DEFAULT_ACCOUNT))
        self._accounts = {name: self._account(each) for name, each in named.items()}
        self._shelves = {name: Shelf() for name in named}
        self._account_of_key = {
            key: self._accounts[each.name] for each in named.values() for key in each.keys
        }

    def receive(self, received: Received) -> Exchange:
        """Log a request and decide what to answer; `finish` must follow."""
        self.log.add(received)
        token = secrets.token_hex(12)
        exchange = self._decide(received, token)
        answer = exchange.answer
        if not answer.raw and answer.status != 101:
            headers = (*answer.headers, ("x-request-id", f"req_{token}"))
            answer = without_forbidden_body(replace(answer, headers=headers))
        return replace(exchange, answer=answer)

    def finish(self, exchange: Exchange, fate: Fate, sent_pieces: int) -> None:
        """Write down what became of it; an answer not delivered whole is charged in part."""
        exchange.received.fate = fate
        account, reply = exchange.account, exchange.reply
        if account is None or reply is None or reply.model is None:
            return
        used = reply.charge
        if fate != "answered":
            share = min(sent_pieces / max(len(reply.answer.pieces), 1), 1.0)
            output_tokens = math.ceil(used.output_tokens * share)
            used = charge_of(reply.model, used.input_tokens, output_tokens)
        account.settle(exchange.started, self.clock(), reply.charge, used)

    def _decide(self, received: Received, token: str) -> Exchange:
        now = self.clock()
        account = self._find_account(received)
        received.account = None if account is None else account.settings.name
        if received.method == "OPTIONS":
            return Exchange(received, Answer(204, _CORS), now)
        if not received.path.startswith(_API):
            return Exchange(received, error_answer(404, f"Nothing is at {received.path}."), now)
        try:
            fault = self._fault(received)
        except ValueError as error:
            refusal = error_answer(400, str(error), param=_FAULT_HEADER)
            return Exchange(received, refusal, now)
        if fault is not None and fault.hides_gateway():
            return Exchange(received, spoiled(stand_in(fault), fault), now)
        if account is None:
            exchange = Exchange(received, _UNAUTHORIZED, now)
        else:
            words = None if fault is None else fault.words
            shelf = self._shelves[account.settings.name]
            exchange = self._served(
                Call(received, account, shelf, self.settings, now, token, words)
            )
        if fault is None or exchange.answer.status == 101:
            return exchange
        return replace(exchange, answer=spoiled(exchange.answer, fault))

    def _served(self, call: Call) -> Exchange:
        """The exchange as the contract has it."""
        reply = reply_to_call(call)
        refusal = call.account.admit(call.now, reply.charge)
        limits = call.account.headers(call.now)
        if refusal is not None:
            return Exchange(call.received, _refusal_answer(refusal, limits), call.now)
        if reply.change is not None:
            reply.change()
        answer = replace(reply.answer, headers=(*reply.answer.headers, *limits))
        return Exchange(call.received, answer, call.now, call.account, reply)

    def _fault(self, received: Received) -> Fault | None:
        text = received.header(_FAULT_HEADER)
        return take(self.faults, received.path) if text is None else parse_header(text)

    def _find_account(self, received: Received) -> Account | None:
        token = _token_of(received)
        if not token:
            return None
        account = self._account_of_key.get(token)
        if account is None and self.settings.accept_any_key:
            return self._accounts[DEFAULT_ACCOUNT]
        return account

    def _account(self, settings: AccountSettings) -> Account:
        return Account(
            settings,
            window=self.settings.window,
            tokens_counted=self.settings.tokens_counted,
        )


def _token_of(received: Received) -> str:
    """The bearer token, or what a browser's WebSocket, which can't set headers, offers instead."""
    scheme, _, token = (received.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    offers = (received.header("sec-websocket-protocol") or "").split(",")
    keys = (each.strip() for each in offers)
    return next((k[len(_PROTOCOL_KEY) :] for k in keys if k.startswith(_PROTOCOL_KEY)), "")


def _refusal_answer(refusal: Refusal, limits: Pairs) -> Answer:
    wait = refusal.retry_after_seconds
    headers = limits if wait is None else (*limits, ("retry-after", str(max(math.ceil(wait), 1))))
    return error_answer(refusal.status, refusal.message, headers=headers)
