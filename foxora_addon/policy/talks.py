"""Charges what is said over a WebSocket: each answer by itself, while the exchange goes on.

An answer that a client asks for is taken from the ceilings of tokens and the month's cap as a call
is, before it is asked of the gateway; what the gateway reports of it is charged as it does. It is
no request: that is the opening alone. Pure; time is an argument.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal, Protocol

from foxora_addon.api.errors import ApiError
from foxora_addon.api.output_tokens import output_cap
from foxora_addon.api.socket_messages import Asked, Told, asked_in, error_message, told_in
from foxora_addon.api.token_text import TextCounter
from foxora_addon.api.tokens import estimated_input_tokens
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange
from foxora_addon.policy.allowances import Allowances
from foxora_addon.policy.learned import Charge, Learned
from foxora_addon.policy.payers import Payers
from foxora_addon.policy.places import Caller
from foxora_addon.policy.remembered import Spoken
from foxora_addon.policy.scopes import Refusal, Scope, error_of, lowest_tokens, too_large
from foxora_addon.policy.spending import Spending
from foxora_addon.policy.standing import is_nobodys
from foxora_addon.policy.talk import Pending, Talk, guessed
from foxora_addon.policy.waiting import WaitingLines

_AS: Final = "responses"
"""The operation as which the fields of a message are read: both protocols name them as it does."""

_MOST_PENDING: Final = 1_000

type _Want = Literal["answer", "sound", "transcript"]
_WANTS: Final[tuple[_Want, ...]] = ("answer", "sound", "transcript")
"""What a WebSocket wants room for: each is refused, and has its turn, by itself.

Sound comes all the time; by one place for all, it would take that of an answer that was refused.
"""


class Books(Protocol):
    """The books that it writes in: those of `Accounting`."""

    payers: Payers
    spending: Spending
    learned: Learned
    counter: TextCounter | None

    def cap_of_config(self, payer: str, account: str, now: float) -> Decimal | None:
        """The month's cap by the configuration; None: the gateway's own holds."""

    def charge_for(
        self,
        scopes: Sequence[Scope],
        ceiling: int | None,
        model: str | None,
        input_tokens: int,
        output_cap: int | None,
    ) -> Charge:
        """What to hold for an answer, below the lowest of its scopes' ceilings of tokens."""

    def wall(self, now: float) -> float:
        """The wall clock's time at that moment."""

    def room_may_be_free(self, account: str) -> None:
        """Somebody in that account's line may go now."""


class Talks:
    """The WebSockets of all accounts. Times are seconds of the books' clock."""

    def __init__(self, books: Books, allowances: Allowances, lines: WaitingLines) -> None:
        self._books = books
        self._allowances = allowances
        self._lines = lines
        self._charged: dict[str, tuple[Exchange, Talk]] = {}  # of those open, or over just now

    def spoken(self, now: float) -> dict[str, Spoken]:
        """What WebSockets that are open, or were in the last minute, were charged, and hold."""
        found: dict[str, Spoken] = {}
        for exchange, talk in list(self._charged.values()):
            talk.forget_old(now)
            if talk.is_over and not talk.lately:
                del self._charged[exchange.id]
                continue
            model = talk.main_model
            has_ceilings = model in self._books.payers.rules_of(exchange.payer or "").models
            found[exchange.id] = Spoken(
                exchange.account_name or "",
                model if has_ceilings else None,
                exchange.client.name,
                0 if talk.usage is None else talk.usage.tokens,
                talk.cost_usd or Decimal(0),
                tuple(talk.lately),
                sum(pending.held.tokens for pending in talk.pending),
            )
        return found

    def client_said(
        self, exchange: Exchange, talk: Talk, content: bytes, now: float
    ) -> bytes | None:
        """Take a client's message; None: it passes on.

        Else it must not, and this is what the client is told; empty where it was told before.
        """
        asked = None if exchange.payer is None else asked_in(content)
        if asked is None:
            return None
        if asked.wish == "item":
            talk.context_tokens += self._estimated(asked, asked.model or talk.model)
            return None
        if asked.wish == "session":  # until the gateway says what it is
            talk.transcription_model = talk.transcription_model or asked.model
            return None
        error = self._ask(exchange, talk, asked, now)
        if error is None:
            talk.is_warned = False
            return None
        was_warned, talk.is_warned = talk.is_warned, asked.wish == "sound"
        if was_warned and talk.is_warned:
            return b""
        talk.errors += 1
        operation = exchange.call.operation.name if exchange.call else ""
        return error_message(error, operation, asked.names, talk.errors)

    def gateway_said(self, exchange: Exchange, talk: Talk, content: bytes, now: float) -> None:
        """Take a message of the gateway's: charge what it reports."""
        told = None if exchange.payer is None or talk.is_over else told_in(content)
        if told is None:
            return
        talk.told_model = told.model or talk.told_model
        if told.news == "session":
            talk.model = talk.model or told.model
            talk.transcription_model = told.transcription_model or talk.transcription_model
        elif told.news == "begun":
            if talk.begins(_MOST_PENDING):
                self._charged[exchange.id] = exchange, talk
                scopes = self._scopes(exchange, talk.model)
                charged = self._books.charge_for(
                    scopes, lowest_tokens(scopes), talk.model, talk.context_tokens, None
                )
                talk.pending.append(self._hold_anyway(exchange, scopes, talk.model, charged, now))
        elif told.news == "aside":
            if told.usage is None:  # seconds, whose price is not known
                talk.is_cost_certain = False
            else:
                model = talk.transcription_model or talk.model
                pending = self._nothing(exchange, model, now)
                self._count(exchange, talk, pending, told.usage, now, model)
        elif not talk.is_over_already(told):
            self._one_is_over(exchange, talk, told, now)

    def end(self, exchange: Exchange, talk: Talk, now: float) -> None:
        """The WebSocket is over; what was asked for and not answered may have been used.

        The opening is settled too, and `exchange.cost_usd` is what all has cost. A second time
        changes nothing.
        """
        if talk.is_over:
            return
        while talk.pending:
            self._count(exchange, talk, *talk.oldest(), now)
        if exchange.reservation is not None:
            self._allowances.settle(exchange.reservation, exchange.estimated_tokens or 0, now)
        self._books.spending.release(exchange)
        for want in _WANTS:
            self._lines.forget((exchange.id, want))
        exchange.cost_usd, exchange.is_cost_certain = talk.cost_usd, talk.is_cost_certain
        talk.is_over = True
        if exchange.id in self._charged:  # for as long as its record counts as new
            talk.lately.append((now, 0))

    def _ask(self, exchange: Exchange, talk: Talk, asked: Asked, now: float) -> ApiError | None:
        """Take an answer from the ceilings and the cap, or say why there is no room for it.

        For one that sound may bring nothing is held until it begins.
        """
        is_sound = asked.wish == "sound"
        model = asked.model or (talk.main_model if is_sound else talk.model)
        scopes = self._scopes(exchange, model)
        context = talk.context_tokens if asked.has_context else 0
        input_tokens = context if is_sound else context + self._estimated(asked, model)
        cap = None if is_sound else output_cap(_AS, asked.body)
        charged = self._books.charge_for(scopes, lowest_tokens(scopes), model, input_tokens, cap)
        if not self._books.payers.rules.is_shadow:
            if not charged.can_fit:
                return error_of(too_large(scopes, charged.input_tokens))
            want: _Want = "sound" if is_sound else "answer"
            refusal = self._no_room(exchange, want, scopes, charged.tokens, now)
            if refusal is None and is_sound:
                refusal = self._no_room_to_write(exchange, talk, scopes, now)
            if refusal is not None:
                return error_of(refusal)
        taken = self._hold(exchange, scopes, model, charged, now)
        if isinstance(taken, ApiError):
            return taken
        if is_sound:
            self._let_go(taken, now)
        else:
            self._charged[exchange.id] = exchange, talk
            if len(talk.pending) >= _MOST_PENDING:  # no gateway will tell of it any more
                self._count(exchange, talk, *talk.oldest(), now)
            talk.pending.append(taken)
            talk.model = model
        return None

    def _no_room(
        self, exchange: Exchange, want: _Want, scopes: Sequence[Scope], tokens: int, now: float
    ) -> Refusal | None:
        """Say why there is no room for what is wanted now, also since others were before it."""
        asker = exchange.id, want
        if self._books.payers.rules.bounds is not None:
            return self._lines.ask(asker, scopes, tokens, now)
        caller = Caller(asker, exchange.id)
        return self._allowances.no_room_in_turn(scopes, tokens, now, lambda: caller)

    def _no_room_to_write(
        self, exchange: Exchange, talk: Talk, answers: Sequence[Scope], now: float
    ) -> Refusal | None:
        """Say why what is heard may not be written down now, by ceilings that no answer counts to.

        `answers` are the scopes of an answer, which has room.
        """
        model = talk.transcription_model
        scopes = self._scopes(exchange, model)
        if all(scope in answers for scope in scopes):
            return None
        charged = self._books.charge_for(scopes, lowest_tokens(scopes), model, 0, None)
        return self._no_room(exchange, "transcript", scopes, charged.tokens, now)

    def _hold(
        self,
        exchange: Exchange,
        scopes: Sequence[Scope],
        model: str | None,
        charged: Charge,
        now: float,
    ) -> Pending | ApiError:
        books, account, spending = self._books, scopes[0].name, None
        if not is_nobodys(account):
            cap_usd = books.cap_of_config(exchange.payer or "", account, now)
            taken = books.spending.hold(account, cap_usd, model, charged, books.wall(now))
            if isinstance(taken, ApiError):
                return taken
            spending = taken
        held = self._allowances.hold(scopes, charged.tokens, now)
        return Pending(scopes, held, spending, model, charged)

    def _hold_anyway(
        self,
        exchange: Exchange,
        scopes: Sequence[Scope],
        model: str | None,
        charged: Charge,
        now: float,
    ) -> Pending:
        """Hold what is used whether or not there is room: nobody asks us."""
        taken = self._hold(exchange, scopes, model, charged, now)
        if not isinstance(taken, ApiError):
            return taken
        spending = self._books.spending.hold_nothing(scopes[0].name, self._books.wall(now))
        held = self._allowances.hold(scopes, charged.tokens, now)
        return Pending(scopes, held, spending, model, charged)

    def _nothing(self, exchange: Exchange, model: str | None, now: float) -> Pending:
        charged = Charge(0, True, 0, 0, 0)  # noqa: FBT003  # `can_fit`
        scopes = self._scopes(exchange, model)
        return self._hold_anyway(exchange, scopes, model, charged, now)

    def _one_is_over(self, exchange: Exchange, talk: Talk, told: Told, now: float) -> None:
        pending, usage = talk.ended(told), told.usage
        if usage is None and pending and told.news == "over" and not told.has_failed:
            usage = guessed(pending)
        if usage is not None:
            pending = pending or self._nothing(exchange, talk.model, now)
            self._count(exchange, talk, pending, usage, now)
            talk.context_tokens = usage.tokens
        elif pending is not None:
            self._let_go(pending, now)

    def _let_go(self, pending: Pending, now: float) -> None:
        self._allowances.use(pending.held, 0, now)
        if pending.spending is not None:
            self._books.spending.let_go(pending.spending)
        self._books.room_may_be_free(pending.scopes[0].name)

    def _count(
        self,
        exchange: Exchange,
        talk: Talk,
        pending: Pending,
        usage: Usage,
        now: float,
        model: str | None = None,
    ) -> None:
        """Charge what an answer has used, in place of what it holds.

        By the price of `model`; where it has none, of the one that the gateway named last.
        """
        self._charged[exchange.id] = exchange, talk
        books, account = self._books, pending.scopes[0].name
        self._allowances.use(pending.held, usage.tokens, now)
        cost_usd, is_certain = None, True
        if pending.spending is not None:
            models = (model, talk.told_model, pending.model)
            cost_usd, is_certain = books.spending.use(
                pending.spending, usage, models, books.wall(now)
            )
        talk.add(usage, cost_usd, now, is_certain=is_certain)
        if usage.source == "reported" and usage.output_tokens is not None:
            books.learned.observe(account, pending.model, usage.output_tokens)
        books.room_may_be_free(account)

    def _scopes(self, exchange: Exchange, model: str | None) -> Sequence[Scope]:
        return self._books.payers.scopes_of(exchange.payer or "", model, exchange.client.name)

    def _estimated(self, asked: Asked, model: str | None) -> int:
        return estimated_input_tokens(_AS, asked.body, 0, model, self._books.counter)
