"""What the head of a request comes to: whose call it is, what of it may travel on, and where to.

    recognise -> resolve the account

Pure, and a function of the head and the rules alone. A client sends the same head again and again,
but for the length of the body, so what it came to is remembered for some hundred heads.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from urllib.parse import unquote

from foxora_addon.api.endpoints import OTHER
from foxora_addon.api.errors import ApiError, invalid_request
from foxora_addon.api.forms import boundary_of
from foxora_addon.config import Account
from foxora_addon.config.accounts import Level
from foxora_addon.exchange import Client, GivenHead, RequestLine
from foxora_addon.field_lines import listed, single, unbroken
from foxora_addon.framing import FRAMES, framing_of, is_plain_length, names_of, written
from foxora_addon.policy.accounts import Chosen
from foxora_addon.policy.keys import key_digest
from foxora_addon.policy.levels import asked_level, tags_of, traceparent_of
from foxora_addon.policy.recognise import Head, Recognised, recognise
from foxora_addon.policy.rewrite import MOST_SECRETS, Cleaned, Fields, clean, turned
from foxora_addon.policy.standing import payer_of_key
from foxora_addon.policy.validation import read_query
from foxora_addon.rules import Rules, gateway_origin, gateway_path

_MOST_HEADS: Final = 256
_LONGEST_HEAD: Final = 16_384
_FIELD: Final = 64
"""Bytes, about, that a field takes besides its name and value."""

_LENGTH: Final = b"content-length"
_RETRY: Final = re.compile("[0-9]{1,9}")


class Arrival(NamedTuple):
    """The head of a request, as the client sent it. `url` is whole, with its query.

    `port` is the connection's and no part of what the head comes to. `alike` is the same object for
    arrivals that differ in the port and the body's length alone, where that is known. `length_at`
    is the place of that among the fields; None: it is not known, or there is not one.
    """

    head: Head
    fields: Fields
    url: str
    version: str
    address: str | None
    port: int | None = None
    alike: object = None
    length_at: int | None = None


@dataclass(slots=True)
class Received:
    """What a head came to. `length_at` is the place of the body's length among the fields.

    `written` are all fields but the last as HTTP/1 has them, up to that length and from there on.
    `encoding` and `is_framed` are those of a `GivenHead`; so is `framing`, for a plain length.

    `fields` and `target` (path and query) take the place of those that the client sent; where the
    call was refused before it had a target, that is the client's, without its secrets. `origin` is
    that of a web page which may call.
    """

    client: Client
    line: RequestLine
    fields: tuple[tuple[bytes, bytes], ...]
    written: tuple[bytes, bytes]
    target: str
    secrets: tuple[str, ...] = field(repr=False)
    tags: tuple[str, ...]
    traceparent: str | None
    origin: str | None = None
    level: Level = "minimal"
    call: Recognised | None = None
    refusal: ApiError | None = None
    account: Account | None = None
    account_name: str | None = None
    payer: str | None = None
    credential: str | None = field(default=None, repr=False)
    gateway_url: str | None = None
    length_at: int | None = None
    encoding: str | None = None
    is_framed: bool = False
    framing: bool | None = None


class Reception:
    """Receives heads by the rules in force, for as long as those are in force."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[object, Received | None] = {}

    def receive(self, arrival: Arrival) -> Received | None:
        """What a head comes to; None if it is not ours. It may be shared, and is not to change.

        The fields are those of the head: see `given_head`.
        """
        alike = arrival.alike
        if alike is not None and alike in self._known:
            return self._known[alike]
        fields, _ = without_length(arrival.fields)
        key = alike or (arrival.head, fields, arrival.url, arrival.version, arrival.address)
        try:
            return self._known[key]
        except KeyError:
            pass
        received = self._received(arrival, fields)
        if is_short(arrival.url, fields):
            if len(self._known) >= _MOST_HEADS:
                self._known.clear()  # it costs less than to know which came last
            self._known[key] = received
        return received

    def _received(self, arrival: Arrival, fields: Fields) -> Received | None:
        found = recognise(arrival.head, self._rules.territory)
        if found is None:
            return None
        fields = unbroken(fields)
        arrival = arrival._replace(fields=fields)
        cleaned = clean(fields, arrival.head.target, self._rules.own_keys)
        received = self._begun(arrival, cleaned)
        if cleaned.is_crowded:
            return _crowded(received)
        if isinstance(found, ApiError):
            received.refusal = self._without_key(found, cleaned)
            self._choose_level(received, arrival, cleaned)
            received.target = self._rules.redactor.scrub(cleaned.target, cleaned.secrets)
            return received
        received.call = found
        if found.operation.has_form:
            boundary = boundary_of(_listed(received.fields, b"content-type"))
            received.call = found = found._replace(boundary=boundary)
        self._resolve(received, found, cleaned)
        self._choose_level(received, arrival, cleaned)
        self._find_target(received, found, cleaned)
        return received

    def _without_key(self, refusal: ApiError, cleaned: Cleaned) -> ApiError:
        """The refusal, whose words may quote a path, or a host, which is in small letters then."""
        secrets = (*cleaned.secrets, *(secret.lower() for secret in cleaned.secrets))
        return replace(refusal, message=self._rules.redactor.scrub(refusal.message, secrets))

    def _begun(self, arrival: Arrival, cleaned: Cleaned) -> Received:
        retry = single(_lines_in(arrival.fields, b"x-stainless-retry-count")) or ""
        key, origin = cleaned.key, arrival.head.origin
        fields = turned(
            cleaned.fields,
            self._rules.gateway.authority,
            needs_host=arrival.version.startswith("HTTP/1."),
        )
        length_at = next((at for at in _lengths_in(fields) if not fields[at][1]), None)
        client = Client(
            address=arrival.address,
            key=None if key is None else self._rules.redactor.fingerprint(key),
            user_agent=single(_lines_in(arrival.fields, b"user-agent")),
            retry=int(retry) if _RETRY.fullmatch(retry) else None,
        )
        return Received(
            client=client,
            line=RequestLine(arrival.head.method, arrival.url, arrival.version),
            fields=fields,
            written=_written(fields, length_at),
            target=cleaned.target,
            secrets=cleaned.secrets,
            tags=tags_of(listed(_lines_in(arrival.fields, b"x-foxora-tag"))),
            traceparent=traceparent_of(single(_lines_in(arrival.fields, b"traceparent"))),
            origin=origin if origin in self._rules.territory.origins else None,
            length_at=length_at,
            encoding=_listed(fields, b"content-encoding"),
            is_framed=any(name.lower() in FRAMES for name, _ in fields),
            framing=framing_of(_with_length(fields, length_at, b"0")),
        )

    def _choose_level(self, received: Received, arrival: Arrival, cleaned: Cleaned) -> None:
        """How much of it is kept. Until that is known a refused call is kept at the least."""
        account = received.account.name if received.account else None
        operation = received.call.operation.name if received.call else OTHER.name
        given = self._rules.levels.level_of(account, operation, cleaned.key, arrival.address)
        header = listed(_lines_in(arrival.fields, b"x-foxora-audit"))
        asked = asked_level(header, given)
        if isinstance(asked, ApiError):
            received.refusal = received.refusal or asked
        else:
            received.level = asked

    def _resolve(self, received: Received, call: Recognised, cleaned: Cleaned) -> None:
        """Find who pays. A preflight carries no key by definition, and is sent without one."""
        if call.preflight:
            return
        resolved = self._rules.accounts.resolve(cleaned.key, received.client.address)
        if isinstance(resolved, ApiError):
            received.refusal = resolved
        elif isinstance(resolved, Chosen):
            received.account = resolved.account
            received.credential = resolved.account.key.get_secret_value()
            received.payer = received.account_name = resolved.account.name
            received.client = _named(received.client, resolved.client_name)
        else:
            received.credential = resolved.key.get_secret_value()
            received.payer = payer_of_key(key_digest(received.credential))

    def _find_target(self, received: Received, call: Recognised, cleaned: Cleaned) -> None:
        gateway, query = self._rules.gateway, cleaned.target.partition("?")[2]
        if call.operation.name == "realtime":
            query, model = read_query(call, query, self._rules.models)
            received.call = call._replace(query=query, deployment=None, model=model)
        target = gateway_path(gateway, call.path, query)
        received.gateway_url = gateway_origin(gateway) + target
        received.target = target
        if cleaned.repeats_key(target):
            received.target = self._rules.redactor.scrub(unquote(target), cleaned.secrets)
            received.refusal = received.refusal or invalid_request(
                "The request's path has a key in it; it is not forwarded."
            )


def _crowded(received: Received) -> Received:
    """What a head comes to that has more credentials than are looked for.

    Nobody can take them out of what else it says. So it is refused, whosever it is, and nothing of
    that is kept.
    """
    received.refusal = invalid_request(
        f"The request's head has more than {MOST_SECRETS} keys or other credentials, or words that "
        "look like some; it is not forwarded."
    )
    received.tags, received.traceparent = (), None
    return received


def given_head(received: Received, arrival: Arrival) -> GivenHead:
    """The fields that take the place of a head's own, with the length that this one has."""
    at, framing, (before, after) = received.length_at, received.framing, received.written
    encoding, is_framed = received.encoding, received.is_framed
    if at is None:
        return GivenHead(received.fields, encoding, is_framed, framing, before)
    place = arrival.length_at
    length = arrival.fields[_lengths_in(arrival.fields)[0] if place is None else place][1]
    fields = _with_length(received.fields, at, length)
    if not is_plain_length(length):
        framing = None
    return GivenHead(fields, encoding, is_framed, framing, before + length + after)


def _with_length(
    fields: tuple[tuple[bytes, bytes], ...], at: int | None, length: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    """The fields, with a length at its place; None: it has none."""
    return fields if at is None else (*fields[:at], (fields[at][0], length), *fields[at + 1 :])


def _written(fields: tuple[tuple[bytes, bytes], ...], at: int | None) -> tuple[bytes, bytes]:
    """All fields but the last as HTTP/1 has them, in two parts: with a length at `at` between."""
    if at is None:
        return written(fields[:-1]), b""
    before = written(fields[: at + 1]).removesuffix(b"\r\n")
    return before, b"\r\n" + written(fields[at + 1 : -1])


def is_short(url: str, fields: Fields) -> bool:
    """Whether a head may be remembered; a longer one is looked at each time that it comes."""
    size = len(url) + sum(len(name) + len(value) + _FIELD for name, value in fields)
    return size < _LONGEST_HEAD


def without_length(fields: Fields) -> tuple[Fields, int | None]:
    """The fields, with nothing for the length, and its place; as they are if there is not one."""
    names = names_of(fields)
    if names.count(_LENGTH) != 1:
        return tuple(fields), None
    at = names.index(_LENGTH)
    return (*fields[:at], (fields[at][0], b""), *fields[at + 1 :]), at


def _lengths_in(fields: Fields) -> list[int]:
    """The places of the headers that give a body's length."""
    return [at for at, name in enumerate(names_of(fields)) if name == _LENGTH]


def _listed(fields: Fields, name: bytes) -> str | None:
    """The values of a header, as one, in which bytes that are no UTF-8 are surrogates."""
    return listed(_lines_in(fields, name, "surrogateescape"))


def _lines_in(fields: Fields, name: bytes, errors: str = "replace") -> list[str]:
    return [value.decode("utf-8", errors) for known, value in fields if known.lower() == name]


def _named(client: Client, name: str | None) -> Client:
    return Client(client.address, client.key, client.user_agent, client.retry, name)
