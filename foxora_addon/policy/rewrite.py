"""Takes every credential of the app out of a request's head.

It works on header pairs and targets as bytes and strings, finds the app's key, and says what may
travel on. What is put in instead, and where the request goes, is decided elsewhere.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from string import whitespace
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from foxora_addon.policy.key_forms import SHORTEST, forms_of
from foxora_addon.policy.keys import looks_like_key
from foxora_addon.policy.presets import PRESETS

Fields = Sequence[tuple[bytes, bytes]]

_USUAL_KEY_HEADERS = ("authorization", "api-key", "x-api-key")
_OTHER_KEY_HEADERS = (
    "x-functions-key",
    "openai-api-key",
    "x-openai-api-key",
    "x-litellm-api-key",
    "x-portkey-api-key",
    *("apikey", "api_key"),  # Supabase's and Kong's; a parameter's name, as a header
)
_PRESETS_KEY_HEADERS = [name for each in PRESETS.values() for name in each.credential_headers]
KEY_HEADERS = tuple(
    name.encode()
    for name in dict.fromkeys((*_USUAL_KEY_HEADERS, *_PRESETS_KEY_HEADERS, *_OTHER_KEY_HEADERS))
)
"""Where OpenAI clients, the presets' and those of other gateways put a key, the usual first."""

PLACEHOLDER = "Bearer foxora-addon-puts-the-key-on-as-it-sends"
"""What stands in a flow where the key will be: no secret may stand in one."""

KEY_PARAMETERS = frozenset(
    {
        *(name for each in PRESETS.values() for name in each.credential_parameters),
        *("access_token", "token"),
        *("subscription-key", "code"),  # Azure's API Management and Functions
        *(name.decode() for name in KEY_HEADERS),
        *("x-auth-token", "x-access-token", "client_secret"),
    }
)

MOST_SECRETS = 100
"""Of one head. Each is looked for in two dozen forms, in all that is kept of a call: of thousands,
which have room in 40 KB, that takes half a minute, in which all other calls stand still."""

_SCHEMES = frozenset({"bearer", "basic", "token"})
_AROUND = whitespace + "\"'"
_WORD = re.compile(r"[^\s,;\"']+")
_PART_OF_WORD = re.compile("[^:=]+={0,2}")
_SECRET_NAME = re.compile("(?i)session|token|secret|auth|(?:sid|key)(?![a-z])")
_SOCKET_KEY_PREFIX = b"openai-insecure-api-key."
_SOCKET_DROPPED = (_SOCKET_KEY_PREFIX, b"openai-organization.", b"openai-project.")
_SMALLEST_WINDOW = re.compile(rb'(?i)_max_window_bits\s*+=\s*+"?+\s*+8\s*+"?+\s*+(?:[;,]|$)')
"""RFC 7692, 7.1.2: valid, and what the proxy, which reads what is said, can't do."""

_DROPPED = frozenset(
    {
        *KEY_HEADERS,
        b"accept-encoding",  # answers are asked for as they are: they have to be read on the way
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-auth-token",
        b"x-access-token",
        b"helicone-auth",
        b"cf-aig-authorization",
        b"cf-access-client-secret",
        b"http2-settings",  # of the connection to us (RFC 7540, 3.2.1), with the Upgrade below
    }
)
_DROPPED_PREFIXES = (b"proxy-", b"x-forwarded-", b"x-foxora-")
_OF_UPGRADES = frozenset({b"upgrade", b"http2-settings"})
"""The options by which a connection names what asks for another protocol (RFC 9110, 7.8)."""

_NEEDED = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""Names that stay whatever a key is, since a head without them would say something else."""

_OF_FRAME = frozenset({(b"connection", b"close"), (b"expect", b"100-continue")})
"""What else stays of a head of which next to nothing does: who expects that sends no body first."""


class Cleaned(NamedTuple):
    """A head without the app's credentials.

    `keys` are the app's keys, which may stand nowhere in what travels on; `secrets` are these and
    the app's other credentials, for redaction, all in the forms they came in. `key` is the one that
    identifies the client, or None where it sent none. None of them is ever shown.

    `is_crowded`: it had more than `MOST_SECRETS`. Then nothing of it is here but what says where
    its body and its connection end, and if that body is waited for, and it can't travel on.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    target: str
    key: str | None
    keys: tuple[str, ...]
    secrets: tuple[str, ...]
    is_crowded: bool = False

    def __repr__(self) -> str:
        return f"Cleaned({len(self.fields)} fields)"

    def repeats_key(self, target: str) -> bool:
        """Whether a target still has a key in it, as a segment of its path may."""
        plain = unquote(target)
        return any(form in target or form in plain for form in forms_of(self.keys))


class OwnKeys:
    """The accounts' keys, which no app has any business to send: one look for all of them."""

    def __init__(self, keys: Iterable[str]) -> None:
        encoded = [_bytes(key) for key in keys if len(key) >= SHORTEST]
        self._pattern = re.compile(b"|".join(map(re.escape, encoded))) if encoded else None

    def __repr__(self) -> str:
        return "OwnKeys(...)"

    def found_in(self, fields: Fields, target: str) -> list[str]:
        """Those that stand in a head; as a rule none."""
        if self._pattern is None:
            return []
        text = b"\n".join([part for field in fields for part in field])
        text += _bytes(f"\n{target}\n{unquote(target)}" if "%" in target else f"\n{target}")
        return [_text(found) for found in self._pattern.findall(text)]


def clean(fields: Fields, target: str, own: OwnKeys | None = None) -> Cleaned:
    """Split a head into what may travel and what must not.

    Taken out: the headers that carry keys, cookies, proxy headers, organisation and project, what
    `Sec-WebSocket-Protocol` has of these, `?api-key=` and its like, our own control headers, offers
    to compress a WebSocket as the proxy can't, an upgrade to anything but a WebSocket, and any
    header or query value that repeats the app's key, or one of `own`, by its name or its value, in
    whichever form (`key_forms`). Everything else keeps its order and bytes.
    """
    values = _by_name(fields)
    of_client = list(_client_keys(values, target))
    key = of_client[0] if of_client else None
    found = own.found_in(fields, target) if own else ()
    keys = tuple(dict.fromkeys((*of_client, *_keys_for_proxies(values), *found)))
    secrets = tuple(dict.fromkeys((*keys, *_secrets_in_cookies(values))))
    if len(secrets) > MOST_SECRETS:
        return Cleaned(_frame_of(fields), "/", None, (), (), is_crowded=True)
    is_socket = any(map(_is_websocket, values.get(b"upgrade", ())))
    travelling = tuple(_kept_fields(fields, is_socket=is_socket))
    kept = _without_forms(travelling, _encoded_forms_of(keys))
    return Cleaned(
        (*kept, (b"accept-encoding", b"identity")),
        _kept_target(target, forms_of(keys)),
        key,
        keys,
        secrets,
    )


def turned(
    fields: Fields, authority: str, *, needs_host: bool = False
) -> tuple[tuple[bytes, bytes], ...]:
    """A head without credentials, turned to the gateway: with its host, and a placeholder.

    `needs_host`: a Host header is added where there is none, as on HTTP/1.1 there must be.
    """
    kept: list[tuple[bytes, bytes]] = []
    has_host = False
    for name, value in fields:
        lower = name.lower()
        if lower == b"host":
            if not has_host:
                kept.append((name, authority.encode()))
            has_host = True
        elif lower != b"authorization":
            kept.append((name, value))
    if needs_host and not has_host:
        kept.insert(0, (b"Host", authority.encode()))
    return (*kept, (b"authorization", PLACEHOLDER.encode()))


def _by_name(fields: Fields) -> dict[bytes, list[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    return values


def _client_keys(values: dict[bytes, list[bytes]], target: str) -> Iterable[str]:
    """Every key by which a head may identify its client, the surest first."""
    for name in KEY_HEADERS:
        for value in values.get(name, ()):
            yield from _keys_in(_text(value))
    for value in values.get(b"sec-websocket-protocol", ()):
        for item in value.split(b","):
            name = item.strip()
            if name.startswith(_SOCKET_KEY_PREFIX) and name != _SOCKET_KEY_PREFIX:
                yield _text(name[len(_SOCKET_KEY_PREFIX) :])
    for parameter, text in _parameters(target):
        if parameter.lower() in KEY_PARAMETERS:
            yield from _keys_in(text)


def _keys_for_proxies(values: dict[bytes, list[bytes]]) -> Iterable[str]:
    for value in values.get(b"proxy-authorization", ()):
        yield from _keys_in(_text(value))


def _secrets_in_cookies(values: dict[bytes, list[bytes]]) -> Iterable[str]:
    """The values of cookies that are secrets, by their names or looks: others may be any words."""
    for value in values.get(b"cookie", ()):
        for cookie in _text(value).split(";"):
            name, _, quoted = cookie.partition("=")
            text = quoted.strip(_AROUND)
            if looks_like_key(text) or (text and _SECRET_NAME.search(name)):
                yield text


@lru_cache(maxsize=256)  # clients send the same few again and again
def _keys_in(text: str) -> tuple[str, ...]:
    """The credential in a header or parameter, if there is one; then what else of it may be one.

    Of more than `MOST_SECRETS`, no more than tells that there are.
    """
    found = tuple(_credential_in(text))
    if not found:
        return ()
    return (*found, *islice(dict.fromkeys(_keys_among_words(text)), MOST_SECRETS + 1))


def _credential_in(text: str) -> Iterable[str]:
    """The token after its scheme, or what Basic encodes; without quotes around them.

    A scheme alone is what clients with an empty key send, and is none.
    """
    match text.strip(_AROUND).split(maxsplit=1):
        case [scheme, rest]:
            token = rest.strip(_AROUND)
            if scheme.lower() == "basic":
                yield from _encoded_by_basic(token)
        case [token] if token.lower() not in _SCHEMES:
            pass
        case _:
            return
    if token:
        yield token


def _encoded_by_basic(token: str) -> Iterable[str]:
    """The password, and the user where that may be the key: else it may be any word."""
    try:
        user, _, password = _text(base64.b64decode(token, validate=True)).partition(":")
    except ValueError:
        return
    if password:
        yield password
    if user and (len(password) < SHORTEST or looks_like_key(user)):
        yield user


def _keys_among_words(text: str) -> Iterable[str]:
    """The keys in an odd spelling: behind a colon, or several, as where headers were joined.

    They follow a scheme, or look like keys: what else stands there may be any word.
    """
    for before, word in pairwise(("", *_WORD.findall(text))):
        if before.lower() in _SCHEMES:
            yield word
        yield from filter(looks_like_key, _PART_OF_WORD.findall(word))


def _kept_fields(fields: Fields, *, is_socket: bool) -> Iterable[tuple[bytes, bytes]]:
    for name, value in fields:
        lower = name.lower()
        if lower in _DROPPED or lower.startswith(_DROPPED_PREFIXES):
            continue
        if lower == b"upgrade" and not _is_websocket(value):
            continue
        if lower == b"connection" and not is_socket:
            value = _without_upgrade(value)  # noqa: PLW2901  # there is none that travels on
            if not value:
                continue
        if lower == b"sec-websocket-protocol":
            value = _without_credentials(value)  # noqa: PLW2901  # the rest of the list travels on
            if not value:
                continue
        if lower == b"sec-websocket-extensions" and _SMALLEST_WINDOW.search(value):
            value = _without_smallest_window(value)  # noqa: PLW2901  # as well
            if not value:
                continue
        yield name, value


def _frame_of(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    """What says where a body and its connection end, whose they are, and if it is waited for."""
    pairs = ((field, (field[0].lower(), field[1].strip().lower())) for field in fields)
    return tuple(field for field, pair in pairs if pair[0] in _NEEDED or pair in _OF_FRAME)


def _without_forms(
    fields: tuple[tuple[bytes, bytes], ...], forms: Sequence[bytes]
) -> Iterable[tuple[bytes, bytes]]:
    """The headers in which no form of a secret stands; as a rule it is in none."""
    text = b"\n".join([part for name, value in fields for part in (name.lower(), value)])
    there = [form for form in forms if text.find(form) >= 0]
    if not there:
        return fields
    return [field for field in fields if not _has_one_of(there, *field)]


@lru_cache(maxsize=256)
def _encoded_forms_of(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """The forms of secrets, and what HTTP/2 makes of each in a header's name: small letters."""
    encoded = [_bytes(form) for form in forms_of(secrets)]
    return tuple(dict.fromkeys((*encoded, *(form.lower() for form in encoded))))


def _has_one_of(forms: Sequence[bytes], name: bytes, value: bytes) -> bool:
    lower = name.lower()
    return any(form in value or (form in lower and lower not in _NEEDED) for form in forms)


def _is_websocket(protocol: bytes) -> bool:
    return protocol.strip().lower() == b"websocket"


def _without_upgrade(value: bytes) -> bytes:
    """The options of a connection without those of an upgrade; as they are if none is there.

    Some servers take no body from who says that it upgrades, whether or not it says to what.
    """
    options = [option.strip() for option in value.split(b",")]
    kept = [option for option in options if option.lower() not in _OF_UPGRADES]
    return value if len(kept) == len(options) else b", ".join(kept)


def _without_credentials(value: bytes) -> bytes:
    """A list of WebSocket protocols without those by which browsers send key and organisation."""
    items = [item.strip() for item in value.split(b",")]
    return b", ".join(item for item in items if item and not item.startswith(_SOCKET_DROPPED))


def _without_smallest_window(value: bytes) -> bytes:
    """The offers to compress that the proxy can keep to."""
    offers = [offer.strip() for offer in value.split(b",")]
    return b", ".join(offer for offer in offers if offer and not _SMALLEST_WINDOW.search(offer))


def _kept_target(target: str, forms: Sequence[str]) -> str:
    path, mark, query = target.partition("?")
    if not mark:
        return target
    texts = (query, unquote(query), unquote_plus(query))
    there = [form for form in forms if any(form in text for text in texts)]  # as a rule none is
    kept = [part for part in query.split("&") if not _is_secret_parameter(part, there)]
    return f"{path}?{'&'.join(kept)}" if kept else path


def _is_secret_parameter(part: str, forms: Sequence[str]) -> bool:
    name, _, value = part.partition("=")
    if unquote_plus(name).lower() in KEY_PARAMETERS:
        return True
    texts = (part, unquote(part), unquote_plus(value))
    return any(form in text for form in forms for text in texts)


def _parameters(target: str) -> Iterable[tuple[str, str]]:
    for part in target.partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        yield unquote_plus(name), unquote_plus(value)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
