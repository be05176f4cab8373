import base64
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.rewrite import KEY_HEADERS, KEY_PARAMETERS, OwnKeys, clean, turned
from tests.builders import APP_KEY

KEY = APP_KEY.encode()
RANDOM = "fake-9z8y7x6w5v4u"
IDENTITY = (b"accept-encoding", b"identity")


@pytest.mark.parametrize("name", KEY_HEADERS)
@pytest.mark.parametrize("value", [KEY, b"Bearer " + KEY, b"bearer   " + KEY, b" Token " + KEY])
def test_a_key_is_found_in_each_header_and_taken_out(name: bytes, value: bytes) -> None:
    cleaned = clean([(name.title(), value), (b"x-other", b"1")], "/v1/models")

    assert cleaned.key == APP_KEY
    assert cleaned.fields == ((b"x-other", b"1"), IDENTITY)


@pytest.mark.parametrize("name", KEY_HEADERS)
@pytest.mark.parametrize(
    "value", [b"", b" ", b"Bearer", b"Bearer ", b"bearer  ", b"Basic", b"Token"]
)
def test_a_scheme_without_a_key_is_none_and_is_taken_out(name: bytes, value: bytes) -> None:
    cleaned = clean([(name.title(), value), (b"x-other", b"1")], "/v1/models")

    assert (cleaned.key, cleaned.secrets) == (None, ())
    assert cleaned.fields == ((b"x-other", b"1"), IDENTITY)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer\t" + KEY,
        b'Bearer "' + KEY + b'"',
        b'"Bearer ' + KEY + b'"',
        b"'" + KEY + b"'",
        b'Basic "' + base64.b64encode(b":" + KEY) + b'"',
    ],
)
def test_a_key_is_found_behind_any_white_space_and_in_quotes(value: bytes) -> None:
    assert clean([(b"authorization", value)], "/").key == APP_KEY


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {RANDOM}, Bearer fake-other-key",
        f"Bearer fake-other-key, Bearer {RANDOM}",
        f"Bearer Bearer {RANDOM}",
        f"ApiKey:{RANDOM}",
        f'Token token="{RANDOM}"',
        f"fake-other-key, {RANDOM}",
    ],
)
def test_a_key_among_other_words_is_a_secret_too(value: str) -> None:
    copies = [(b"x-copy", RANDOM.encode()), (b"x-a", b"1")]
    cleaned = clean([(b"authorization", value.encode()), *copies], f"/?a={RANDOM}&b=2")

    assert cleaned.fields == ((b"x-a", b"1"), IDENTITY)
    assert cleaned.target == "/?b=2"


def test_a_word_that_is_part_of_a_key_is_no_secret_by_itself() -> None:
    fields = [(b"authorization", b"Bearer engineering:gpt-4o-mini-2024-07-18")]

    assert clean(fields, "/").secrets == ("engineering:gpt-4o-mini-2024-07-18",)


def test_a_socket_without_a_key_in_its_protocols_has_none() -> None:
    protocols = b"realtime, openai-insecure-api-key."
    cleaned = clean([(b"sec-websocket-protocol", protocols)], "/v1/realtime")

    assert cleaned.key is None
    assert cleaned.fields == ((b"sec-websocket-protocol", b"realtime"), IDENTITY)


@pytest.mark.parametrize("name", sorted(KEY_PARAMETERS))
def test_a_key_is_found_in_the_query_and_taken_out(name: str) -> None:
    cleaned = clean([], f"/v1/models?a=1&{name.upper()}={quote(APP_KEY)}&b=%20")

    assert cleaned.key == APP_KEY
    assert cleaned.target == "/v1/models?a=1&b=%20"


@pytest.mark.parametrize(
    "name", [*(name.decode() for name in KEY_HEADERS), "x-auth-token", "client_secret"]
)
def test_a_headers_name_is_a_parameters_too_and_has_its_scheme_there(name: str) -> None:
    cleaned = clean([], f"/v1/models?{name}=Bearer%20{quote(APP_KEY)}&b=1")

    assert (cleaned.key, cleaned.secrets) == (APP_KEY, (APP_KEY,))
    assert cleaned.target == "/v1/models?b=1"


def crowd(size: int) -> list[str]:
    return [f"fake-{number:06d}-1a2b3c4d" for number in range(size)]


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ([(b"x-api-key", ", ".join(crowd(101)).encode())], "/v1/models"),
        ([(b"Cookie", "; ".join(f"sid={each}" for each in crowd(101)).encode())], "/v1/models"),
        ([(b"api-key", each.encode()) for each in crowd(101)], "/v1/models"),
        ([], "/v1/models?api-key=" + "%20".join(crowd(101))),
        ([], "/v1/models?" + "&".join(f"token={each}" for each in crowd(101))),
    ],
)
def test_of_a_head_with_more_credentials_than_are_looked_for_nothing_is_left(
    fields: list[tuple[bytes, bytes]], target: str
) -> None:
    """But what says how its body is read, for which some clients wait to be asked."""
    frame = ((b"Content-Length", b"2"), (b"Connection", b"close"), (b"Expect", b"100-Continue"))
    others = ((name, crowd(1)[0].encode()) for name in (b"Connection", b"Expect"))

    cleaned = clean([*fields, *others, *frame], target)

    assert cleaned.is_crowded
    assert tuple(cleaned)[:5] == (frame, "/", None, (), ())


def test_as_many_credentials_as_are_looked_for_are_all_taken_out() -> None:
    keys = crowd(99)  # and all of them together
    copies = [(b"x-copy", key.encode()) for key in keys]
    parameters = "&".join(f"a={key}&b=1" for key in keys)

    cleaned = clean([(b"x-api-key", ", ".join(keys * 2).encode()), *copies], f"/?{parameters}")

    assert not cleaned.is_crowded
    assert len(cleaned.secrets) == 100
    assert set(cleaned.secrets) > set(keys)
    assert cleaned.fields == (IDENTITY,)
    assert cleaned.target == "/?" + "&".join(["b=1"] * 99)


@pytest.mark.parametrize("name", [b"apikey", b"api_key"])
def test_a_parameters_name_is_a_headers_too(name: bytes) -> None:
    assert clean([(name, KEY)], "/").key == APP_KEY


@pytest.mark.parametrize(
    ("pair", "key"),
    [
        (f"user:{APP_KEY}", APP_KEY),
        (f":{APP_KEY}", APP_KEY),
        (f"{APP_KEY}:", APP_KEY),
    ],
)
def test_a_key_is_found_in_what_basic_encodes(pair: str, key: str) -> None:
    token = base64.b64encode(pair.encode())
    cleaned = clean([(b"authorization", b"Basic " + token)], "/")

    assert cleaned.key == key
    assert token.decode() in cleaned.secrets


def test_basic_that_is_no_base64_is_a_key_itself() -> None:
    assert clean([(b"authorization", b"Basic !!fake-key")], "/").key == "!!fake-key"


@pytest.mark.parametrize(
    ("upgrade", "said", "left"),
    [
        (b"h2c", b"Upgrade, HTTP2-Settings", b""),
        (b"h2c", b"keep-alive,upgrade, http2-settings", b"keep-alive"),
        (b"h2c", b"Keep-Alive , TE", b"Keep-Alive , TE"),
        (b"WebSocket", b"keep-alive,Upgrade", b"keep-alive,Upgrade"),
    ],
)
def test_a_connection_names_no_upgrade_that_does_not_travel(
    upgrade: bytes, said: bytes, left: bytes
) -> None:
    fields = [(b"Connection", said), (b"HTTP2-Settings", b"AAMAAABk"), (b"Upgrade", upgrade)]
    kept = clean(fields, "/v1/models").fields

    assert [value for name, value in kept if name == b"Connection"] == ([left] if left else [])


def test_a_key_is_found_in_the_protocols_of_a_web_socket() -> None:
    protocols = b"realtime, openai-insecure-api-key." + KEY + b", openai-beta.realtime-v1"
    protocols += b", openai-organization.org-fake, openai-project.proj_fake"
    cleaned = clean([(b"Sec-WebSocket-Protocol", protocols)], "/v1/realtime")

    assert cleaned.key == APP_KEY
    assert cleaned.fields[0][1] == b"realtime, openai-beta.realtime-v1"


@pytest.mark.parametrize(
    ("offered", "left"),
    [
        (b"permessage-deflate;  client_max_window_bits", None),
        (b"permessage-deflate; server_max_window_bits=15,x", None),
        (b"permessage-deflate; server_max_window_bits=8", b""),
        (b'permessage-deflate; client_max_window_bits = "8" ; x', b""),
        (b"x, permessage-deflate;server_max_window_bits=8,y", b"x, y"),
    ],
)
def test_no_compression_is_offered_that_the_proxy_could_not_read(
    offered: bytes, left: bytes | None
) -> None:
    cleaned = clean([(b"Sec-WebSocket-Extensions", offered)], "/v1/realtime")
    values = [value for name, value in cleaned.fields if name == b"Sec-WebSocket-Extensions"]
    assert b"".join(values) == (offered if left is None else left)
    assert len(values) == (left != b"")


@pytest.mark.parametrize("value", [b"=%b9", b"=8%b9", b'=%b"%b'])
def test_a_long_offer_to_compress_is_looked_through_once(value: bytes) -> None:
    """No timed bound: anything quadratic would need hours, and the test's own limit ends it."""
    spaces = b" " * 1_000_000
    offered = b"x; client_max_window_bits" + value.replace(b"%b", spaces)
    fields = [(b"Sec-WebSocket-Extensions", offered)]
    assert clean(fields, "/").fields == (*fields, IDENTITY)


def test_protocols_that_are_only_a_key_go_whole() -> None:
    fields = [(b"sec-websocket-protocol", b"openai-insecure-api-key." + KEY)]

    assert clean(fields, "/").fields == (IDENTITY,)


@pytest.mark.parametrize(
    "name",
    [
        b"Cookie",
        b"Proxy-Authorization",
        b"Proxy-Connection",
        b"X-Forwarded-For",
        b"Forwarded",
        b"Via",
        b"X-Foxora-Account",
        b"OpenAI-Organization",
        b"OpenAI-Project",
        b"Accept-Encoding",
    ],
)
def test_headers_that_must_not_travel_are_dropped(name: bytes) -> None:
    assert clean([(name, b"gzip")], "/").fields == (IDENTITY,)


def test_all_else_keeps_its_order_and_bytes() -> None:
    fields = [(b"X-B", b"\xff 1"), (b"accept", b"*/*"), (b"X-b", b""), (b"openai-beta", b"a=b")]

    assert clean(fields, "/p%20?x=%2f&x").fields == (*fields, IDENTITY)
    assert clean(fields, "/p%20?x=%2f&x").target == "/p%20?x=%2f&x"


def test_the_surest_key_identifies_and_all_are_secrets() -> None:
    fields = [
        (b"api-key", b"fake-second-key"),
        (b"authorization", b"Bearer " + KEY),
        (b"cookie", b"session=fake-cookie-value; b"),
        (b"proxy-authorization", b"Bearer fake-proxy-key"),
    ]
    cleaned = clean(fields, "/?key=fake-third-key")

    assert cleaned.key == APP_KEY
    assert cleaned.secrets == (
        APP_KEY,
        "fake-second-key",
        "fake-third-key",
        "fake-proxy-key",
        "fake-cookie-value",
    )
    assert cleaned.keys == cleaned.secrets[:-1]


def test_without_a_credential_there_is_no_key() -> None:
    cleaned = clean([(b"authorization", b""), (b"api-key", b"  ")], "/v1/models?key=")

    assert cleaned.key is None
    assert cleaned.secrets == ()


def test_a_short_key_blacks_out_nothing_else() -> None:
    cleaned = clean([(b"authorization", b"Bearer test"), (b"x-a", b"a test")], "/?q=test")

    assert cleaned.key == "test"
    assert (cleaned.fields[0], cleaned.target) == ((b"x-a", b"a test"), "/?q=test")


@pytest.mark.parametrize(
    "field",
    [
        (KEY, b"1"),
        (KEY.lower(), b"1"),
        (b"X-" + KEY + b"-Of", b""),
        (base64.b64encode(KEY), b"1"),
        (b"X-Auth", base64.b64encode(KEY)),
        (b"X-Auth", base64.b64encode(b"user:" + KEY)),
        (b"X-Auth", base64.urlsafe_b64encode(b"1:" + KEY + b":2")),
        (b"X-Auth", quote(APP_KEY, safe="").replace("-", "%2D").encode() + b", " + KEY),
    ],
)
def test_a_header_that_repeats_the_key_in_any_form_is_dropped(field: tuple[bytes, bytes]) -> None:
    cleaned = clean([(b"authorization", b"Bearer " + KEY), (b"x-a", b"1"), field], "/v1/models")

    assert cleaned.fields == ((b"x-a", b"1"), IDENTITY)


def test_a_query_that_repeats_the_key_in_base64_is_dropped_and_such_a_path_is_told() -> None:
    written = base64.b64encode(b"12" + KEY).decode()
    target = f"/v1/models?a=1&b={quote(written, safe='')}"
    cleaned = clean([(b"authorization", b"Bearer " + KEY)], target)

    assert cleaned.target == "/v1/models?a=1"
    assert cleaned.repeats_key(f"/v1/{quote(written)}")


@pytest.mark.parametrize("key", [b"content-length", b"transfer-encoding"])
def test_a_name_that_http_needs_stays_even_if_a_key_is_called_so(key: bytes) -> None:
    needed = ((b"Host", b"x"), (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"))
    cleaned = clean([*needed, (b"authorization", b"Bearer " + key)], "/v1/models")

    assert cleaned.fields == (*needed, IDENTITY)


def test_what_repeats_a_cookie_stays_and_only_a_secret_one_is_redacted() -> None:
    fields = (
        (b"content-type", b"application/json"),
        (b"x-request-id", b"file-abc12345"),
        (b"x-session", RANDOM.encode()),
    )
    cookies = (
        "model=gpt-4o-mini; last=file-abc12345; t=application/json; sidebar=collapsed; "
        f'seen="{RANDOM}"; PHPSESSID=fake-cookie; x-token=fake-token'
    )
    target = f"/v1/files?after=file-abc12345&a={RANDOM}"
    cleaned = clean([*fields, (b"cookie", cookies.encode())], target)

    assert (cleaned.fields, cleaned.target) == ((*fields, IDENTITY), target)
    assert (cleaned.key, cleaned.keys) == (None, ())
    assert cleaned.secrets == (RANDOM, "fake-cookie", "fake-token")
    assert not cleaned.repeats_key(f"/v1/files/{RANDOM}")


@pytest.mark.parametrize(
    ("pair", "keys"),
    [
        ("assistant:fake-password", ["fake-password"]),
        (f"{RANDOM}:fake-password", ["fake-password", RANDOM]),
        ("fake-user-key:x", ["x", "fake-user-key"]),
        ("fake-user-key", ["fake-user-key"]),
    ],
)
def test_the_user_of_basic_is_a_key_where_it_may_be_one(pair: str, keys: list[str]) -> None:
    token = base64.b64encode(pair.encode())
    cleaned = clean([(b"authorization", b"Basic " + token)], "/")

    assert cleaned.keys == (*keys, token.decode())


def test_an_accounts_key_is_found_in_a_headers_name() -> None:
    cleaned = clean([(KEY, b"1"), (b"x-a", b"1")], "/v1/models", OwnKeys([APP_KEY]))

    assert cleaned.fields == ((b"x-a", b"1"), IDENTITY)
    assert cleaned.secrets == (APP_KEY,)


@pytest.mark.parametrize("target", [f"/v1/{APP_KEY}", "/v1/" + APP_KEY.replace("-", "%2D")])
def test_a_path_that_repeats_the_key_is_told(target: str) -> None:
    cleaned = clean([(b"authorization", b"Bearer " + KEY)], target)

    assert cleaned.repeats_key(target)
    assert not cleaned.repeats_key("/v1/models")


def test_a_cleaned_head_shows_no_secret() -> None:
    assert APP_KEY not in repr(clean([(b"authorization", b"Bearer " + KEY)], "/"))


TEXTS = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=8)
PLACES = st.sampled_from([KEY, b"Bearer " + KEY, b"a" + KEY + b"b", b"plain"])
NAMES = st.sampled_from([*KEY_HEADERS, b"X-Other", b"Cookie", b"X-Foxora-Key", b"sec-x"])


@given(
    st.lists(st.tuples(NAMES, PLACES), max_size=6),
    st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from([quote, quote_plus, str])), max_size=4),
)
def test_the_key_travels_nowhere(
    fields: list[tuple[bytes, bytes]], parts: list[tuple[str, str, type[str]]]
) -> None:
    query = "&".join(f"{name}={before}{enc(APP_KEY)}" for name, before, enc in parts)
    cleaned = clean([(b"authorization", b"Bearer " + KEY), *fields], f"/v1/models?{query}")

    assert not [value for _, value in cleaned.fields if KEY in value]
    assert APP_KEY not in cleaned.target
    assert cleaned.fields[-1] == IDENTITY


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=30)), max_size=5), st.text())
def test_any_head_can_be_cleaned(fields: list[tuple[bytes, bytes]], target: str) -> None:
    once = clean(fields, target)

    assert clean(once.fields, once.target).fields == once.fields


def test_a_head_is_turned_to_the_gateway_by_one_host() -> None:
    named = [(b"HOST", b"api.openai.com"), (b"x", b"1"), (b"host", b"other")]
    *fields, (name, _) = turned(named, "gw:9")
    assert fields == [(b"HOST", b"gw:9"), (b"x", b"1")]
    assert name == b"authorization"


@pytest.mark.parametrize("needs_host", [True, False])
def test_a_head_without_a_host_gets_one_where_it_needs_one(needs_host: bool) -> None:
    *fields, _ = turned([(b"x", b"1")], "gw:9", needs_host=needs_host)
    assert fields == [(b"Host", b"gw:9")] * needs_host + [(b"x", b"1")]
