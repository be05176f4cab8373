"""Keeps the accounts: what each may still do, what a call is charged, and what it came to.

Pure: time is an argument. It refuses to know how a call reached us and what its record looks like.
What holds for whom is `payers`' business, how ceilings are kept that of `allowances`, who goes
first that of `waiting`, and what outlives a restart that of `recollection`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from foxora_addon.api.errors import ApiError
from foxora_addon.api.output_tokens import output_cap
from foxora_addon.api.ratelimit_headers import headers_of, parse_balance, tighter
from foxora_addon.api.token_text import TextCounter
from foxora_addon.api.tokens import COUNT_DOUBT, ESTIMATE_DOUBT, estimated_input_tokens
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange
from foxora_addon.policy.allowances import Allowances, Reserved
from foxora_addon.policy.learned import Charge, Learned, charge
from foxora_addon.policy.limit_hold import UNTOLD_WAIT_SECONDS
from foxora_addon.policy.limits import DEFAULT_GUARD_SECONDS
from foxora_addon.policy.line import Ticket
from foxora_addon.policy.payers import LimitRules, Payers, Terms
from foxora_addon.policy.places import Caller
from foxora_addon.policy.plans import parse_me
from foxora_addon.policy.questions import ME, Questions
from foxora_addon.policy.recollection import Recollection
from foxora_addon.policy.scopes import Refusal, Scope, error_of, too_large
from foxora_addon.policy.spending import Spending
from foxora_addon.policy.standing import Standings, is_nobodys
from foxora_addon.policy.talks import Talks
from foxora_addon.policy.turns import Called
from foxora_addon.policy.unreported import Unreported
from foxora_addon.policy.used import (
    bytes_before_look,
    counted,
    counted_output,
    held_for,
)
from foxora_addon.policy.waiting import Bounds, WaitingLines

_KNOWN_BY_BYTES: Final = 65_536


class Accounting:
    """The books of all accounts. Times are seconds of one monotonic clock.

    `room_freed` is called with an account's name where somebody in its line may go now: whoever
    makes calls wait then calls `wake`. `wall_offset` is what the wall clock, in Unix seconds, is
    ahead of that clock: the month's spend goes by it. `counter` counts the tokens of texts; None:
    they are estimated.
    """

    def __init__(
        self,
        rules: LimitRules,
        *,
        guard_seconds: float = DEFAULT_GUARD_SECONDS,
        counter: TextCounter | None = None,
        room_freed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.payers = Payers(rules)
        self.room_freed = room_freed
        self._allowances = Allowances(guard_seconds=guard_seconds)
        self._lines = WaitingLines(self._allowances, rules.bounds or Bounds(0, 0.0))
        self.wall_offset = 0.0
        self.spending = Spending(rules.prices)
        self.learned = Learned()
        self.unreported = Unreported()
        self.counter = counter
        self.wants_counter = False  # a call was estimated that counts against a ceiling of tokens
        self.talks = Talks(self, self._allowances, self._lines)
        self._questions = Questions(self.payers, self._allowances)
        self._renamed: dict[str, str] = {}  # the new names of accounts by the old
        self._parted: set[str] = set()  # names that meant other accounts before
        self.recollection = Recollection(
            self.payers, self._allowances, self._questions, self.learned
        )

    def take_rules(self, rules: LimitRules, now: float) -> None:
        """Work by other rules from now on; what is counted stays counted, and who waits may go."""
        self._rename(self.payers.take_rules(rules), now)
        self._lines.bounds = rules.bounds or Bounds(0, 0.0)
        self._lines.is_shadow = rules.is_shadow
        self.spending.take_rules(rules.prices)
        for payer in rules.accounts:
            scopes = [self.payers.account_scope(payer), *self.payers.scopes_below(payer)]
            self._allowances.enforce(scopes, now)
        for account in self._lines.accounts:
            self.room_freed(account)

    def _rename(self, renamed: Mapping[str, str], now: float) -> None:
        """Go on counting under the new names; an old one that is back is itself again."""
        for name in self._renamed.keys() & self.rules.accounts.keys():
            heir = self._renamed.pop(name)
            self._part(name, heir, now)
        for old, name in renamed.items():
            account = self.standings.canonical(name)
            self._lines.unify(account, old, now)
            self.spending.unify(account, old, self.wall(now))
        self._renamed.update(renamed)

    def _part(self, leaver: str, heir: str, now: float) -> None:
        self._lines.part(leaver, heir, now)
        self.spending.part(leaver, heir, self.wall(now))
        self._parted.add(leaver)

    @property
    def rules(self) -> LimitRules:
        """The rules in force."""
        return self.payers.rules

    @property
    def standings(self) -> Standings:
        """What is known of payers."""
        return self.payers.standings

    # What is known of an account.

    def scopes_on_record(
        self, account: str, model: str | None, client: str | None
    ) -> tuple[Scope, ...]:
        """What a call counts against now, by the names that are on record.

        Two names under which the same is counted are one.
        """
        scopes = self.payers.scopes_of(account, model, client)
        return tuple(replace(each, name=self._allowances.name_of(each.name)) for each in scopes)

    def take_me(self, payer: str, body: bytes, now: float) -> bool:
        """Take an answer of GET /v1/me; whether it is one."""
        try:
            me = parse_me(json.loads(body))
        except (ValueError, RecursionError):
            return False
        if me is None:
            return False
        is_configured = payer in self.rules.accounts
        heir = self.standings.left(payer, me) if is_configured else None
        if heir is not None:
            self._part(payer, heir, now)
            self.room_may_be_free(heir)
        self.spending.reconcile(payer, body, self.wall(now))
        other = self.standings.take(payer, me, is_configured=is_configured)
        account = self.standings.canonical(payer)
        if other is not None:
            self._lines.unify(account, other, now)
            if not is_nobodys(other):
                self.spending.unify(account, other, self.wall(now))
        self.spending.meet(account, body, self.wall(now))
        changed = [heir, payer] if heir and self.payers.is_configured(heir) else [payer]
        self._allowances.enforce([self.payers.account_scope(each) for each in changed], now)
        self.room_may_be_free(account)
        return True

    def ask(self, payer: str, path: str, now: float) -> float:
        """Count a question of our own that is sent now; 0, or the seconds that it has to wait."""
        wait = self._questions.ask(payer, path, now)
        account = self.standings.canonical(payer)
        if not wait and path == ME and not is_nobodys(account):
            self.spending.ask(payer, account, self.wall(now))
        return wait

    # One call.

    def estimate(
        self, exchange: Exchange, operation: str, parsed: Mapping[str, Any] | None, size: int
    ) -> None:
        """Estimate what a call puts in and may put out; `size` is that of its body, in bytes."""
        exchange.input_tokens = estimated_input_tokens(
            operation, parsed, size, exchange.model, self.counter
        )
        exchange.output_cap = output_cap(operation, parsed)

    def reserve(self, exchange: Exchange, now: float) -> ApiError | None:
        """Take a request and the tokens of a call from its account, or say why there is no room.

        Where calls may wait, `exchange.ticket` may be its place in line instead: then `wake` ends
        its wait, and `admitted` gives it what it waited for.
        """
        payer = exchange.payer
        if payer is None:
            return None
        rules = self.payers.rules
        terms = self.payers.terms_of(payer, exchange.model, exchange.client.name)
        scopes = exchange.scopes = terms.scopes
        charged = self.charge_for(
            terms.scopes,
            terms.lowest_tokens,
            exchange.model,
            exchange.input_tokens,
            exchange.output_cap,
        )
        tokens = exchange.estimated_tokens = charged.tokens
        misfit = None if charged.can_fit else too_large(scopes, charged.input_tokens)
        if misfit is not None and not rules.is_shadow:
            return error_of(misfit)
        if (over := self._budget(exchange, terms, charged, now)) is not None:
            return over
        if rules.is_shadow:
            self._shadow(exchange, misfit, now)
        elif rules.bounds is None:
            caller_of = partial(_caller_of, exchange)
            answer = self._allowances.reserve_in_turn(scopes, tokens, now, caller_of)
            return self.admitted(exchange, answer, now)
        else:
            taken = self._lines.join(scopes, tokens, now, charged, exchange.arrived_at)
            if not isinstance(taken, Ticket):
                return self.admitted(exchange, taken, now)
            exchange.ticket = taken
            self.room_freed(scopes[0].name)
        return None

    def _shadow(self, exchange: Exchange, misfit: Refusal | None, now: float) -> None:
        """Take a call as it comes, and note what would have been said to it, if anything."""
        scopes, tokens = exchange.scopes, exchange.estimated_tokens or 0
        self._allowances.enforce(scopes, now)
        if misfit is not None:
            exchange.shadow = error_of(misfit)
        elif exchange.shadow is None:
            refusal = self._allowances.refusal(scopes, tokens, now)
            exchange.shadow = None if refusal is None else error_of(refusal)
        exchange.reservation = self._allowances.take(scopes, tokens, now)

    def admitted(
        self, exchange: Exchange, answer: Reserved | Refusal, now: float
    ) -> ApiError | None:
        """Give a call what it asked or waited for; an error if that is a refusal.

        In shadow mode, which may have begun while it waited, that is noted and it goes on.
        """
        if exchange.ticket is not None:  # what it asks for may have changed with the ceilings
            exchange.estimated_tokens, exchange.ticket = exchange.ticket.tokens, None
        if isinstance(answer, Refusal):
            if not self.rules.is_shadow:
                self.spending.release(exchange)
                return error_of(answer)
            exchange.shadow = exchange.shadow or error_of(answer)
            answer = self._allowances.take(exchange.scopes, exchange.estimated_tokens or 0, now)
        exchange.reservation = answer
        return None

    def mark_sent(self, exchange: Exchange, now: float) -> None:
        """The call is sent at this moment, which is the one that it belongs to."""
        if exchange.reservation is not None:
            self._allowances.mark_sent(exchange.reservation, now)

    def streams(self, exchange: Exchange) -> None:
        """An answer comes as a stream: what it has said can be counted before it is over."""
        if exchange.reservation is not None and exchange.output_cap != 0:
            output = exchange.reservation.tokens - exchange.input_tokens
            exchange.counts_at = bytes_before_look(output, 0)

    def streamed_so_far(
        self,
        exchange: Exchange,
        answer: dict[str, Any],
        content_bytes: int,
        now: float,
        unkept_bytes: int = 0,
    ) -> None:
        """Hold more for a stream that has outgrown its charge.

        `answer` is what it has said, but for `unkept_bytes` of the `content_bytes`.
        """
        if exchange.reservation is None:
            return
        output = counted_output(exchange, answer, self.counter, unkept_bytes)
        held = exchange.reservation.tokens - exchange.input_tokens
        held = held_for(output, held, exchange.output_cap)
        self._allowances.grow(exchange.reservation, exchange.input_tokens + held, now)
        exchange.counts_at = content_bytes + bytes_before_look(held - output, output)

    def counted(
        self, exchange: Exchange, answer: dict[str, Any], unkept_bytes: int = 0
    ) -> Usage | None:
        """Count the usage of an answer that reports none (see `used`)."""
        return counted(exchange, answer, self.counter, unkept_bytes)

    def settle(
        self,
        exchange: Exchange,
        usage: Usage | None,
        now: float,
        told_model: str | None = None,
        *,
        is_free: bool = False,
    ) -> None:
        """The exchange is over: charge what it used, nothing if `usage` is None.

        A call that never reached the gateway gives all back. `told_model` is the one that the
        answer names. `is_free`: it was answered, and nothing of the answer is to be charged.
        """
        if exchange.ticket is not None:
            self._lines.leave(exchange.ticket)
        held, scopes = exchange.reservation, exchange.scopes
        if held is not None and exchange.was_sent:
            self._allowances.settle(held, usage.tokens if usage else 0, now)
        elif held is not None:
            self._allowances.release(held, now)
        self._spend(exchange, usage, now, told_model, is_free=is_free)
        if scopes:
            account = scopes[0].name
            if usage is not None:
                self._learn(account, exchange, usage)
            self.room_may_be_free(account)

    def _budget(
        self, exchange: Exchange, terms: Terms, charged: Charge, now: float
    ) -> ApiError | None:
        """Take the estimated cost of a call from its account's cap, or refuse the call.

        Of a key that passes through and is nobody's that we know, the cap is the gateway's to keep.
        """
        name = terms.scopes[0].name
        if is_nobodys(name):
            return None
        cap_usd = terms.in_force.cap_usd
        if terms.in_force.is_told_cap_kept:
            cap_usd = self.cap_of_config(exchange.payer or "", name, now)
        return self.spending.reserve(exchange, name, cap_usd, charged, now + self.wall_offset)

    def cap_of_config(self, payer: str, account: str, now: float) -> Decimal | None:
        """The month's cap by the configuration; None: the gateway's own holds, if it has one."""
        held_to = self.payers.in_force(payer)
        if not held_to.is_told_cap_kept or held_to.cap_usd is None:
            return held_to.cap_usd
        told = self.spending.told_cap(account, self.wall(now))
        return held_to.cap_usd if told is None else min(held_to.cap_usd, told)

    def _spend(
        self,
        exchange: Exchange,
        usage: Usage | None,
        now: float,
        told_model: str | None,
        *,
        is_free: bool,
    ) -> None:
        """Settle the cost of a call; one that the gateway refused, or never got, costs nothing."""
        if exchange.spending is None:
            return
        is_refused = usage is None and exchange.estimated_tokens and not is_free
        if is_refused or not exchange.was_sent:
            self.spending.release(exchange)
        else:
            self.spending.settle(exchange, usage, now + self.wall_offset, told_model)

    def wall(self, now: float) -> float:
        """What the wall clock shows at a moment, in Unix seconds."""
        return now + self.wall_offset

    def _learn(self, account: str, exchange: Exchange, usage: Usage) -> None:
        """Have answers to come expected to be as long; one in which nothing was found is no answer.

        Such as that of a 204: it tells nothing of those in which a model speaks.
        """
        output_tokens, source = usage.output_tokens, usage.source
        if output_tokens is None or source == "estimated" or exchange.output_cap == 0:
            return
        if output_tokens > 0 or source != "counted":
            self.learned.observe(account, exchange.model, output_tokens)

    def again(self, exchange: Exchange, usage: Usage | None, now: float) -> None:
        """Settle a try of a call, after which there is another."""
        self.settle(exchange, usage, now)
        exchange.reservation = None

    def renew(self, exchange: Exchange, now: float) -> ApiError | None:
        """Reserve what a further try of a call takes, or say why there is no room for it now.

        It does not stand in line, but asks again (`policy.retrying`); where nobody stands in one,
        its turn is kept as for a client that comes back.
        """
        if exchange.reservation is not None or not exchange.scopes:
            return None
        if exchange.payer is not None:
            # The ceilings may have changed since the first try.
            payer, model, client = exchange.payer, exchange.model, exchange.client.name
            terms = self.payers.terms_of(payer, model, client)
            exchange.scopes = terms.scopes
            charged = self.charge_for(
                terms.scopes,
                terms.lowest_tokens,
                exchange.model,
                exchange.input_tokens,
                exchange.output_cap,
            )
            exchange.estimated_tokens = charged.tokens
            if not (charged.can_fit or self.rules.is_shadow):
                return error_of(too_large(terms.scopes, charged.input_tokens))
            if (over := self._budget(exchange, terms, charged, now)) is not None:
                return over
        return self.admitted(exchange, self._taken_again(exchange, now), now)

    def _taken_again(self, exchange: Exchange, now: float) -> Reserved | Refusal:
        scopes, tokens = exchange.scopes, exchange.estimated_tokens or 0
        if self.rules.is_shadow:
            return self._allowances.admit(scopes, tokens, now)
        if self.rules.bounds is not None:
            return self._allowances.reserve(scopes, tokens, now)
        caller_of = partial(_caller_of, exchange)
        return self._allowances.reserve_in_turn(scopes, tokens, now, caller_of)

    def obey(self, payer: str, retry_after_seconds: float | None, now: float) -> None:
        """The gateway's own 429 closes the account, for all its clients, for so long.

        None: it did not say for how long. One that names no time to wait closes nothing.
        """
        wait = UNTOLD_WAIT_SECONDS if retry_after_seconds is None else retry_after_seconds
        if wait:
            self._allowances.obey(self.standings.canonical(payer), wait, now)

    def headers(
        self, exchange: Exchange, gateways: Sequence[tuple[str, str]], now: float
    ) -> list[tuple[bytes, bytes]]:
        """The `x-ratelimit-*` headers of an answer: the tighter of ours and the gateway's."""
        scopes = exchange.scopes
        if not scopes and exchange.payer is not None:  # refused before anything was reserved
            scopes = (self.payers.account_scope(exchange.payer),)
        if not scopes:
            return headers_of(parse_balance(gateways))
        ours = self._allowances.balance(scopes, now)
        return headers_of(tighter(ours, parse_balance(gateways)) if gateways else ours)

    def wake(self, account: str, now: float) -> Called:
        """Say whose wait in an account's line is over, and when to ask again."""
        return self._lines.wake(account, now)

    def balances(self, now: float) -> list[dict[str, Any]]:
        """How each configured account stands, as JSON has it; no secret."""
        return [self._balance_of(payer, now) for payer in self.rules.accounts]

    def _balance_of(self, payer: str, now: float) -> dict[str, Any]:
        scope = self.payers.account_scope(payer)
        return {
            "account": payer,
            **self._allowances.standing(scope, now),
            "waiting": self._lines.waiting(scope.name),
            "spend": self.spending.balance(
                scope.name, self.cap_of_config(payer, scope.name, now), self.wall(now)
            ),
        }

    def tick(self, now: float) -> None:
        """Forget what counts no more; to be called about once a second."""
        self._allowances.forget_idle(now)
        self.payers.forget_gone(self._allowances.is_counted)

    def charge_for(
        self,
        scopes: Sequence[Scope],
        ceiling: int | None,
        model: str | None,
        input_tokens: int,
        output_cap: int | None,
    ) -> Charge:
        """What to reserve for an answer, below the lowest of its scopes' ceilings of tokens."""
        if ceiling is not None and input_tokens:
            self.wants_counter = True
        expected = 0  # where the call names a limit itself, it is not looked at
        if output_cap is None:
            open_calls = self._allowances.open_exchanges(scopes[0])
            expected = self.learned.expected(scopes[0].name, model, open_calls)
        doubt = ESTIMATE_DOUBT if self.counter is None else COUNT_DOUBT
        return charge(input_tokens, output_cap, expected, ceiling, input_doubt=doubt)

    def room_may_be_free(self, account: str) -> None:
        """Have whoever makes calls wait look at an account's line, if there is one.

        What is over may have begun while its name meant another account: then at all lines.
        """
        for name in self._lines.accounts if account in self._parted else (account,):
            if self._lines.waiting(name):
                self.room_freed(name)


def _caller_of(exchange: Exchange) -> Caller:
    """What a call is known by when it comes back: of a long body, how it begins."""
    client, port, body = exchange.client, exchange.client_port, exchange.sent_body
    call = hash((client.address, client.key, len(body), body[:_KNOWN_BY_BYTES]))
    connection = None if port is None else (client.address, port)
    return Caller(call, connection)
