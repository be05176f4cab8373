import base64
import hashlib
import json
import re
from itertools import product
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foxora_addon.audit.looks import REDACTED, Rule, compiled, is_card_number, is_iban, rules_of
from foxora_addon.audit.redaction import Redactor
from foxora_addon.audit.screen import Heads, Screen
from tests.builders import ACCOUNT_KEY, APP_KEY

REDACTOR = Redactor([ACCOUNT_KEY])
ODD_KEY = 'fake "quoted" key\\with/ünusual\tparts'
SECRETS = st.sampled_from([ACCOUNT_KEY, APP_KEY, ODD_KEY])
TEXTS = st.text(max_size=30)


def forms_of(secret: str) -> list[str]:
    return [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(b":" + secret.encode()).decode(),
        base64.b64encode(secret.encode() + b":").decode(),
    ]


@pytest.mark.parametrize("place", range(len(APP_KEY)))
def test_an_escape_of_json_that_is_not_needed_hides_no_secret(place: int) -> None:
    written = f"{APP_KEY[:place]}\\u{ord(APP_KEY[place]):04x}{APP_KEY[place + 1 :]}"
    text = f'{{"a": "\\u0022 \\u005c {written}"}}'
    assert json.loads(REDACTOR.scrub(text, (APP_KEY,))) == {"a": f'" \\ {REDACTED}'}
    assert not REDACTOR.spares(json.dumps({"body": text}, ensure_ascii=False).encode(), (APP_KEY,))
    untouched = '{"a": "\\u0066oxora \\u0022"}'
    assert REDACTOR.scrub(untouched, (APP_KEY,)) == untouched


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Bearer abcdefghij\\u002Bklmnopqrst", "Bearer [redacted]"),  # as .NET writes a plus
        ("Bearer abcdefghij\\/klmnopqrst", "Bearer [redacted]"),  # as PHP writes a slash
        ("Bearer abcdefghij\\\\u002Bklmnopqrst", "Bearer [redacted]"),  # in JSON within JSON
        ("sk\\u002dproj-of-somebody-0123456789", "[redacted]"),
        ("me\\u002Btag@example.com", "[redacted:email]"),
        ("\\u002B49 171 123 45678", "[redacted:phone]"),
        ("no \\u002B, no \\/ and no \\\\u0041", "no \\u002B, no \\/ and no \\\\u0041"),
    ],
)
def test_an_escape_that_is_not_needed_hides_no_part_of_what_looks_like_a_secret(
    text: str, kept: str
) -> None:
    redactor = Redactor([ACCOUNT_KEY], presets=("secrets", "pii"))
    assert redactor.scrub(f'{{"a": "{text}"}}') == f'{{"a": "{kept}"}}'
    line = json.dumps({"body": f'{{"a": "{text}"}}'}, ensure_ascii=False).encode()
    assert kept == text or not redactor.spares(line)


@pytest.mark.parametrize("secret", [ACCOUNT_KEY, APP_KEY])
def test_a_secret_that_stands_there_plainly_hides_no_other_that_is_escaped(secret: str) -> None:
    written = f"{secret[:3]}\\u{ord(secret[3]):04x}{secret[4:]}"
    redactor = Redactor([ACCOUNT_KEY], presets=())
    for text in (f"{secret} {written}", f"{written} {secret}"):
        assert redactor.scrub(text, (APP_KEY,)) == f"{REDACTED} {REDACTED}"


@pytest.mark.parametrize("presets", [(), ("secrets",), ("secrets", "pii")])
@pytest.mark.parametrize(
    "own", ["sk-fake-client-0123", "my-API-KEY-fake-0123", "fake\u212aey=0123", "fake-client-0123"]
)
def test_no_form_of_a_clients_key_is_spared_whatever_the_screen_looks_for(
    own: str, presets: tuple[str, ...]
) -> None:
    redactor = Redactor([ACCOUNT_KEY], presets=presets)
    for form in forms_of(own):
        line = json.dumps({"body": f"it is {form}."}, ensure_ascii=False)
        assert not redactor.spares(line.encode(), (own,)), form


def test_a_slash_that_is_escaped_hides_no_secret() -> None:
    text = "my fake\\/app\\/key"
    assert REDACTOR.scrub(text, ("fake/app/key",)) == f"my {REDACTED}"
    assert not REDACTOR.spares(json.dumps({"body": text}).encode(), ("fake/app/key",))


@pytest.mark.parametrize(
    "written",
    [
        "foxora_sk_%2fa%2bb(c)~~~%3d",
        "foxora_sk_%2Fa%2Bb(c)~~~%3D",
        "foxora_sk_%2fa%2bb%28c%29~~~%3d",
        "foxora_sk_/a%2Bb%28c%29~~~%3D",
        base64.urlsafe_b64encode(b"id:foxora_sk_/a+b(c)~~~=").decode(),
    ],
    ids=["small hex", "as browsers do", "all in small hex", "in a path", "base64 for URLs"],
)
def test_no_way_to_write_a_secret_in_a_url_hides_it(written: str) -> None:
    redactor = Redactor(["foxora_sk_/a+b(c)~~~="], presets=())
    scrubbed = redactor.scrub(f"at {written}.")
    assert REDACTED in scrubbed
    assert written[8:-4] not in scrubbed


def in_hex(text: str, percent: str, form: str) -> str:
    return "".join(f"{percent}{ord(letter):{form}}" for letter in text)


@pytest.mark.parametrize("secret", [ACCOUNT_KEY, APP_KEY])
@pytest.mark.parametrize("percent", ["%", "%25", "%2525", "\\u0025"])
@pytest.mark.parametrize("form", ["02x", "02X"])
@pytest.mark.parametrize("size", [1, 5, 99])
def test_an_escape_of_a_url_that_is_not_needed_hides_no_secret(
    secret: str, size: int, form: str, percent: str
) -> None:
    written = in_hex(secret[:size], percent, form) + secret[size:]
    text = f"https://a.b/c%20d?e={written}&f=%26%2522"
    scrubbed = f"https://a.b/c%20d?e={REDACTED}&f=%26%22"
    assert REDACTOR.scrub(text, (APP_KEY,)) == scrubbed
    for member in (text, text * 100):
        line = json.dumps({"url": member}, ensure_ascii=False).encode()
        assert not REDACTOR.spares(line, (APP_KEY,))
        assert secret not in REDACTOR.scrub(member, (APP_KEY,))


@pytest.mark.parametrize("percent", ["%25", "%2525"])
def test_a_secret_that_a_url_must_escape_is_found_in_a_url_within_a_url(percent: str) -> None:
    redactor = Redactor(["foxora_sk_/a+b(c)~~~="], presets=())
    for written in ("foxora_sk_%2fa%2bb(c)~~~%3d", "foxora_sk_%2Fa%2Bb%28c%29~~~%3D"):
        assert redactor.scrub(f"?a={written.replace('%', percent)}") == f"?a={REDACTED}"


def test_an_escape_of_a_url_that_is_not_needed_hides_nothing_that_looks_like_a_secret() -> None:
    redactor = Redactor([ACCOUNT_KEY], presets=("secrets", "pii"))
    for written in ("sk%2Dproj-of-somebody-0123", "%73k%2dproj-of-somebody-0123"):
        assert redactor.scrub(f"?a={written}") == f"?a={REDACTED}"
    for written in ("jane@ex%61mple.com", "jane.doe%40example.com", "jane%252btag%2540a.com"):
        assert redactor.scrub(f"?a={written}&b=%20") == "?a=[redacted:email]&b=%20"
    assert redactor.scrub("?a=%2B491711234567&b=%26") == "?a=[redacted:phone]&b=%26"


def test_a_secret_that_a_url_must_escape_is_found_whatever_else_of_it_is_escaped() -> None:
    redactor = Redactor(["foxora_sk_/a+b@~~~="], presets=())
    for written in ("foxora_sk_%2Fa%2Bb%40~~~%3D", "%66oxora%5fsk_%2fa%2bb%40~~~%3d"):
        assert redactor.scrub(f"?a={written}") == f"?a={REDACTED}"


@pytest.mark.parametrize("hidden", ["", "sk%2Dproj-of-somebody-0123", in_hex(APP_KEY, "%", "x")])
def test_what_shows_only_with_the_escapes_of_a_url_goes_whatever_shows_without(hidden: str) -> None:
    """Behind a dot, digits are no card number."""
    redactor = Redactor(["a-key-with%41in-it"], presets=("secrets", "pii"))
    scrubbed = redactor.scrub(f"%2E4111 1111 1111 1111 a-key-with%41in-it {hidden}", (APP_KEY,))
    assert scrubbed.lstrip("%2E.") == f"[redacted:card] {REDACTED} {REDACTED if hidden else ''}"


def test_of_escapes_of_a_url_that_hide_nothing_none_is_undone() -> None:
    text = f"%41 %2541 %2520 {APP_KEY} %7e"
    assert REDACTOR.scrub(text, (APP_KEY,)) == text.replace(APP_KEY, REDACTED)
    assert REDACTOR.spares(b'{"url": "/a%20b%2Fc%C3%A9?d=%3D%22%25", "body": "50 % of it, %s"}')


@given(SECRETS, TEXTS, TEXTS, st.integers(0, 6))
def test_a_known_secret_survives_in_no_form(
    secret: str, before: str, after: str, form: int
) -> None:
    written = forms_of(secret)[form]
    scrubbed = REDACTOR.scrub(before + written + after, (APP_KEY, ODD_KEY))

    assert not [form for form in forms_of(secret) if form in scrubbed]
    assert REDACTED in scrubbed


def many_keys(prefix: str) -> list[str]:
    return [prefix + hashlib.sha256(b"%d" % number).hexdigest() for number in range(300)]


@pytest.mark.parametrize("prefix", ["foxora_sk_fake_", ""])
def test_of_many_accounts_each_ones_key_is_found_and_plain_words_are_spared(prefix: str) -> None:
    keys = many_keys(prefix)
    redactor = Redactor(keys, presets=())
    plain = json.dumps(
        {"body": "The quick brown fox jumps over the lazy dog, 0123456789."}
    ).encode()
    assert redactor.spares(plain)
    assert redactor.knows_nothing_in(plain)
    for key in keys:
        for form in forms_of(key):
            line = json.dumps({"body": f"It is {form}."}).encode()
            assert not redactor.spares(line)
            assert not redactor.knows_nothing_in(line)
            assert redactor.scrub(f"It is {form}.") == f"It is {REDACTED}."
        escaped = f"{key[:3]}\\u{ord(key[3]):04x}{key[4:]}"
        assert redactor.scrub(f"It is '{escaped}'.").endswith(f"{REDACTED}'.")


@pytest.mark.parametrize("prefix", ["foxora_sk_fake_", ""])
def test_of_many_accounts_only_the_keys_that_are_there_are_looked_for(prefix: str) -> None:
    keys = many_keys(prefix)
    redactor = Redactor(keys, presets=())
    cut = f"{keys[0][:-1]} {keys[1][:20]}"
    assert not redactor._known_to_look_for(cut)
    for form in forms_of(keys[7]):
        text = f"{cut}{form} é{cut}"
        assert redactor.scrub(text) == f"{cut}{REDACTED} é{cut}"
        assert set(forms_of(keys[7])) < set(redactor._known_to_look_for(text))
        assert len(redactor._known_to_look_for(text)) < 30


@given(
    st.lists(st.text("ab", min_size=8, max_size=12), min_size=1, max_size=30),
    st.text("ab", max_size=60),
)
def test_keys_that_overlap_are_all_told(keys: list[str], text: str) -> None:
    forms = Redactor(keys, presets=())._known_to_look_for(text)
    assert {key for key in keys if key in text} <= set(forms)


@pytest.mark.parametrize(
    ("known", "own"), [("key-of-ours", "key-of-ours-longer"), ("its-key-2", "its-key-")]
)
def test_of_two_keys_that_begin_alike_nothing_is_left(known: str, own: str) -> None:
    redactor = Redactor([known])
    for key in (known, own):
        assert redactor.scrub(f"It is {key}.", (own,)) == f"It is {REDACTED}."


def test_a_key_that_json_may_escape_does_not_have_every_text_looked_through() -> None:
    key = "foxora_sk_0123/4567"
    redactor = Redactor([key])
    assert redactor.spares(b'{"body":"plain words"}')
    for written in (key, key.replace("/", "\\/"), quote(key, safe="")):
        line = json.dumps({"body": f"It is {written}."}).encode()
        assert not redactor.spares(line)
        assert not redactor.knows_nothing_in(f"It is {written}.".encode())


def test_of_keys_that_begin_alike_only_their_beginning_is_looked_for() -> None:
    assert Heads(many_keys("foxora_sk_")).texts == ("foxora_sk_",)
    assert Heads(["a-long-key-of-its-own", "another-one"]).texts == (
        "a-long-key-of-it",
        "another-one",
    )
    assert not Heads([]).needles.is_in(b"any")


class CountedKey(str):
    """Counts what is looked for in it."""

    __slots__ = ()
    looks = 0

    def __contains__(self, text: object, /) -> bool:
        CountedKey.looks += 1
        return str(text) in str(self)


def test_what_a_start_costs_grows_no_faster_than_the_number_of_accounts() -> None:
    keys = [CountedKey(key) for key in many_keys("foxora_sk_fake_")]
    Redactor(keys)
    assert 0 < CountedKey.looks <= 12 * len(keys)


@given(SECRETS, st.binary(max_size=12), st.binary(max_size=12))
def test_a_known_secret_does_not_survive_inside_of_base64(
    secret: str, before: bytes, after: bytes
) -> None:
    text = base64.b64encode(before + secret.encode() + after).decode()
    scrubbed = REDACTOR.scrub(text, (APP_KEY, ODD_KEY))

    assert REDACTED in scrubbed
    assert len(scrubbed) < len(text)


@given(st.lists(st.one_of(TEXTS, SECRETS, st.sampled_from(["Bearer ", "?key=", "api-key: "]))))
def test_to_scrub_twice_is_to_scrub_once(pieces: list[str]) -> None:
    once = REDACTOR.scrub("".join(pieces), (APP_KEY, ODD_KEY))

    assert REDACTOR.scrub(once, (APP_KEY, ODD_KEY)) == once


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-obviously-fake-0123456789",
        "ek_" + "fake" * 7 + "0123",
        "foxora_pk_obviously-fake",
        "eyJmYWtlZmFrZQ.eyJmYWtlZmFrZQ.ZmFrZQ",
        "AKIAFAKEFAKEFAKEFAKE",
        "ghp_" + "fake" * 8,
        "AIza" + "fake" * 9,
        "xoxb-1234-fakefakefake",
        "gsk_" + "fake" * 6,
        "hf_" + "fake" * 6,
    ],
)
def test_what_looks_like_a_credential_goes(text: str) -> None:
    assert REDACTOR.scrub(f"it is {text}.").startswith(f"it is {REDACTED}")
    assert text not in REDACTOR.scrub(json.dumps({"a": text}))


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("Authorization: Bearer abcdefgh12", f"Authorization: Bearer {REDACTED}"),
        ("authorization: Basic Zm9vOmJhcg==", f"authorization: Basic {REDACTED}"),
        ("/v1?api-key=abcdefgh12&a=b", f"/v1?api-key={REDACTED}&a=b"),
        ('{"api-key": "abcdefgh12"}', f'{{"api-key": "{REDACTED}"}}'),
        ('"api_key":"abcdefgh"', f'"api_key":"{REDACTED}"'),
        ("{'x-api-key': 'abcdefgh'}", f"{{'x-api-key': '{REDACTED}'}}"),
        ('apiKey: "abcdefgh"', f'apiKey: "{REDACTED}"'),
        ('{\\"api-key\\": \\"0123abcd4567efgh\\"}', f'{{\\"api-key\\": \\"{REDACTED}\\"}}'),
        ('\\\\\\"api_key\\\\\\":\\\\\\"abcdefgh', f'\\\\\\"api_key\\\\\\":\\\\\\"{REDACTED}'),
        ('\\"Authorization\\": \\"abcdefgh\\"', f'\\"Authorization\\": \\"{REDACTED}\\"'),
        ("authorization: bearer abcdefgh", f"authorization: bearer {REDACTED}"),
        ("?access_token=abcdefgh1", f"?access_token={REDACTED}"),
        ("?Access_Token=abcdefgh", f"?Access_Token={REDACTED}"),
        ("&api_key=abcdefgh", f"&api_key={REDACTED}"),
        ("X-Api-Key: ABCDEFGHIJKLMNOP", f"X-Api-Key: {REDACTED}"),
        ("x-api-key: correcthorse", f"x-api-key: {REDACTED}"),
        ("Basic dXNlcjpwYXNz", f"Basic {REDACTED}"),
        ("bearer abcd_efgh", f"bearer {REDACTED}"),
        ("bearer " + "abcde" * 4, f"bearer {REDACTED}"),
    ],
)
def test_what_follows_the_name_of_a_credential_goes(text: str, scrubbed: str) -> None:
    assert REDACTOR.scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "The key to success is a bearer of good news.",
        "task-oriented risk-averse desk-bound",
        "the basic idea",
        "I have a basic understanding of it, of basic input/output and basic principles.",
        "Visual Basic programming, basic JavaScript and Basic PostgreSQL",
        "Bearer instruments",
        "Authorization: required",
        "See https://foxora.ai/plans?key=comparison",
        "apiKey: process.env.OPENAI_API_KEY",
        '<div class="sk-toggleable__content sk-estimator-doc-link">',
        "sk-fading-circle-container pk-constraint-on-table-users",
        "week_0123456789abcdef0123456789abcdef ek_number_of_all_samples",
        "sk-short",
        "skeleton key=1",
    ],
)
def test_plain_speech_stays(text: str) -> None:
    assert REDACTOR.scrub(text) == text


@pytest.mark.parametrize("header", ["", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"])
def test_a_private_key_goes_whole(header: str) -> None:
    begin, end = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    text = f"before\n{begin}\n{header}ZmFrZQ+/=\nZmFrZQ==\n{end}\nafter"

    assert REDACTOR.scrub(text) == f"before\n{REDACTED}\nafter"


@given(st.lists(st.one_of(TEXTS, SECRETS, st.just("-----BEGIN PRIVATE KEY-----")), max_size=4))
@settings(max_examples=100)
def test_json_text_of_ordinary_keys_stays_json(texts: list[str]) -> None:
    body = json.dumps({"outer": texts, "inner": json.dumps(texts), "end": "utf-8"})

    scrubbed = json.loads(REDACTOR.scrub(body, (APP_KEY,)))

    assert list(scrubbed) == ["outer", "inner", "end"]
    assert len(scrubbed["outer"]) == len(texts)


@pytest.mark.parametrize(
    "written",
    [
        *forms_of(ACCOUNT_KEY),
        *forms_of(APP_KEY),
        "sk-proj-of-somebody-0123456789",
        "sk\\u002dproj-of-somebody-0123456789",
        "Bearer abcdefghij\\/klmnopqrst",
        "\0".join("sk-proj-of-somebody-0123456789"),
        "\0\0\0".join(APP_KEY),
        "\udcff" + APP_KEY,
        in_hex(APP_KEY, "%", "02x"),
    ],
)
def test_a_long_text_hides_no_secret(written: str) -> None:
    long = "lorem ipsum " * 1_000
    scrubbed = REDACTOR.scrub(f"{long}{written} {long}", (APP_KEY,))
    assert REDACTED in scrubbed
    assert written not in scrubbed


def test_of_a_long_text_without_a_secret_no_rule_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Screen, "rules_for", lambda *_: pytest.fail("it was"))
    for text in ("lorem ipsum ", "\0\xe9\udcff", "a\0b\0"):
        assert REDACTOR.scrub(text * 2_000, (APP_KEY,)) == text * 2_000


def test_short_secrets_are_not_looked_for() -> None:
    assert REDACTOR.scrub("a test of tests", ("test",)) == "a test of tests"


def test_hostile_text_costs_linear_time() -> None:
    for text in (
        *("-----BEGIN PRIVATE KEY-----" * 4_000, "eyJ" * 30_000, "?key=" * 20_000),
        *("\\/" + "\\" * 1_000_000, "\\u0041" + "\\" * 1_000_000),
        *("%25" * 300_000, "%" * 1_000_000 + "25" * 300_000, "%41" * 300_000),
    ):
        assert REDACTOR.scrub(text + "-----!").endswith("-----!")


def test_a_run_in_which_a_jwt_could_begin_anywhere_is_read_once() -> None:
    """As in `-eyJ-eyJ-eyJ`: each match takes all of a run, be it a JWT or none."""
    (rule,) = (rule for rule in rules_of(["secrets"]) if "eyJ" in rule.needles)
    for text in ("-eyJ" * 5_000, "-eyJaaaaaaaa" * 2_000, "eyJ-" * 5_000):
        read = re.findall(rule.pattern, f"{text}.{text}")
        assert len(read) == 2


@given(st.lists(st.sampled_from(["eyJ", "-", ".", "a" * 8, "_", " ", "é", "\n"]), max_size=14))
@example(["-", "eyJ", "-", "eyJ", "a" * 8, ".", "eyJ", "a" * 8, ".", "-", "eyJ"])
def test_a_jwt_is_found_wherever_it_may_begin(pieces: list[str]) -> None:
    text, part = "".join(pieces), "[A-Za-z0-9_-]{8,}"
    found = re.sub(rf"(?<![A-Za-z0-9_])eyJ{part}\.{part}\.[A-Za-z0-9_-]*", REDACTED, text)
    assert Redactor([]).scrub(text) == found


ALL_RULES = rules_of(["secrets", "pii"])
BEGINNINGS = sorted(
    {needle for rule in ALL_RULES for needle in rule.needles}
    | {"-----BEGIN ", "Basic aaaa", "&key=a", "x-api-key: ", "AA11", "4", "+1", "a@b", "a@b.c"}
)
BETWEEN = ("", "-", "-aaaaaaaa", "aaaaaaaa.-")


def seconds_of(rule: Rule, text: str) -> float:
    """What a look at a text takes of the processor's time."""
    begun = process_time()
    rule.applied(text)
    return process_time() - begun


def runs_of(beginnings: str, length: int) -> str:
    """Text that is full of beginnings, in so long pieces without a space."""
    run = (beginnings * (length // len(beginnings) + 1))[:length]
    return f"{run} " * (16_384 // length)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: str(rule.needles[:1]))
def test_no_run_of_beginnings_is_read_again_for_each_of_them(rule: Rule) -> None:
    """Or a look at long runs would take as many times as long as one at as much in short ones."""
    for beginning, between in product(BEGINNINGS, BETWEEN):
        short, long = (runs_of(beginning + between, length) for length in (128, 4_096))
        if seconds_of(rule, long) > 0.002:
            bound = 8 * max(seconds_of(rule, short), 0.0005)
            assert any(seconds_of(rule, long) < bound for _ in range(5)), (beginning, between)


def test_fingerprints_match_for_equal_keys_and_under_equal_accounts_only() -> None:
    again, other = Redactor([ACCOUNT_KEY]), Redactor(["foxora_sk_test_another-fake"])

    assert REDACTOR.fingerprint(APP_KEY) == again.fingerprint(APP_KEY)
    assert REDACTOR.fingerprint(APP_KEY) != REDACTOR.fingerprint(APP_KEY + "x")
    assert REDACTOR.fingerprint(APP_KEY) != other.fingerprint(APP_KEY)
    assert APP_KEY not in REDACTOR.fingerprint(APP_KEY)


def test_a_redactor_shows_no_secret() -> None:
    assert ACCOUNT_KEY not in repr(REDACTOR)


@pytest.mark.parametrize(
    "before", ["\n", "\t", "\\n", "\\r", "\\u000a", "你好", "é", '"', "=", "/"]
)
@pytest.mark.parametrize("text", ["sk-proj-obviously-fake-0123456789", "Bearer fake1fake2fake"])
def test_a_credential_begins_behind_whatever_is_no_part_of_a_word(before: str, text: str) -> None:
    assert REDACTED in REDACTOR.scrub(f"a{before}{text}")


PII = Redactor([], presets=["pii"])
LONG = "lorem ipsum " * 1_000


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("jane.doe+tag@mail.example.co.uk", "email"),
        ("GB82 WEST 1234 5698 7654 32", "iban"),
        ("DE89370400440532013000", "iban"),
        ("4111 1111 1111 1111", "card"),
        ("378282246310005", "card"),
        ("+49 (170) 123-4567", "phone"),
        ("+14155552671", "phone"),
        ("(415) 555-2671", "phone"),
        ("415-555-2671", "phone"),
        ("1-800-555-1234", "phone"),
        ("1 (800) 555-1234", "phone"),
        ("4111\u00a01111\u00a01111\u00a01111", "card"),
        ("GB82\u00a0WEST 1234 5698 7654 32", "iban"),
        ("jane@münchen.de", "email"),
    ],
)
def test_personal_data_goes_and_what_it_was_stands_in_its_place(text: str, kind: str) -> None:
    assert PII.scrub(f"it is {text}, you see") == f"it is [redacted:{kind}], you see"
    body = json.dumps({"a": f"line\n{text}"})
    assert json.loads(PII.scrub(body)) == {"a": f"line\n[redacted:{kind}]"}
    assert REDACTOR.scrub(text) == text
    for long in (LONG, LONG + "é"):
        for before, after in ((long, ""), ("", long), (long, long)):
            found = PII.scrub(f"{before} {text} {after}")
            assert found == f"{before} [redacted:{kind}] {after}"


def test_what_one_rule_takes_out_of_a_long_text_is_no_cover_for_the_next() -> None:
    assert PII.scrub(f"{LONG} 4111 1111 1111 1111(415) 555-2671").endswith(
        " [redacted:card][redacted:phone]"
    )


def test_of_a_long_text_without_personal_data_no_pattern_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redactor = Redactor([], presets=["secrets", "pii"])
    figures = "[-0.0123456789012345, 0.75, 2026-11-23] and 12 345 of them; 555-1234. "
    texts = (
        LONG,
        f"{LONG} eyJpZCI6ICJub25lIn0= sk-fading-circle-container",
        figures * 200,
        '{"id": "chatcmpl-0123456789abcdef", "created": 1795435200}' * 200,
    )
    applied = Rule.applied

    def of_words_alone(rule: Rule, text: str) -> str:
        assert rule.needles in (("eyJ",), ("sk-",))
        return applied(rule, text)

    monkeypatch.setattr(Rule, "applied", of_words_alone)
    for text in texts:
        assert redactor.scrub(text) == text


def test_what_stands_behind_an_address_stays() -> None:
    assert PII.scrub("写信给jane@example.com谢谢") == "写信给[redacted:email]谢谢"


ADDRESSES = st.lists(
    st.sampled_from(
        ["@", "a", "b.c", "@d.e", "jane", "+", ".", "\\n", "\\", " ", "é", "x" * 60, "1", "\\u00e9"]
    ),
    max_size=12,
).map("".join)


@given(ADDRESSES)
@example("a" * 64 + "@b.c " + LONG)
@example("a" * 65 + "@b.c " + LONG)
@example("\\n" + "a" * 64 + "@b.c")
@example("a@b.c@d.e+f@g.h")
def test_an_address_is_found_whether_there_are_few_or_many_in_a_text(text: str) -> None:
    few, many = text + "\n" + " " * 20_000, text + "\n" + " @" * 200
    assert PII.scrub(few)[:-20_000] == PII.scrub(many)[:-400]


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # its digits don't add up
        "GB82 WEST 1234 5698 7654 33",
        "2026-11-23T12:00:00.000000Z",
        "chatcmpl-0123456789abcdef",
        '"created":1795435200,"id":17954352001795',
        "3.14159265358979",
        "@mention and a@b",
        "lodash@4.17.21 and react@18.2.0-beta.1",
        "1.2.3.4",
        "555-1234",
        "0123456789012345678901234567890123456789",
    ],
)
def test_what_is_no_personal_data_stays(text: str) -> None:
    assert PII.scrub(text) == text


@given(st.text("0123456789", min_size=13, max_size=19))
def test_a_card_number_is_one_by_its_last_digit_alone(digits: str) -> None:
    assert [is_card_number(digits[:-1] + last) for last in "0123456789"].count(True) == 1


@given(st.text("0123456789", min_size=12, max_size=18))
def test_an_iban_is_one_by_its_check_digits(account: str) -> None:
    texts = [f"DE{check:02}{account}" for check in range(2, 99)]
    assert [is_iban(text) for text in texts].count(True) == 1


def test_own_patterns_go_by_their_names() -> None:
    redactor = Redactor([], presets=[], patterns=[("ticket", r"TICKET-\d+"), ("name", "(?i)jane")])
    assert redactor.scrub("Jane has TICKET-42.") == "[redacted:name] has [redacted:ticket]."


@pytest.mark.parametrize(
    ("pattern", "words"),
    [(r"(a)\1", "no pattern of RE2: invalid escape"), ("(", "missing )"), ("a*", "empty text")],
)
def test_a_pattern_that_will_not_do_is_told(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        compiled(pattern)


def test_hostile_text_costs_linear_time_with_every_preset() -> None:
    redactor = Redactor([], presets=["secrets", "pii"], patterns=[("x", "(a+)+$")])
    for text in (
        "a" * 50_000,
        "1 " * 30_000,
        "a.b-" * 20_000 + "@",
        "+1" * 30_000,
        "AA11" * 20_000,
    ):
        assert redactor.scrub(text + "!").endswith("!")


SOME = st.lists(
    st.one_of(
        TEXTS,
        st.sampled_from(
            [needle for rule in rules_of(["secrets", "pii"]) for needle in rule.needles]
        ),
        st.sampled_from(
            ["Bearer ", "KEY=", "Api-Key: ", "AUTHORIZATION: ", "apiKey':'", "0123456789abcdefghij"]
        ),
    ),
    max_size=8,
)


@given(SOME)
@settings(max_examples=300)
def test_the_screen_leaves_out_no_rule_that_would_find_something(pieces: list[str]) -> None:
    text = "".join(pieces)
    rules = rules_of(["secrets", "pii"])
    for padded in (text, text + " " * 20_000):
        chosen = Screen(rules).rules_for(padded)
        for rule in rules:
            if rule.applied(padded) != padded:
                assert rule in chosen


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_own_patterns_take_any_text(text: str) -> None:
    redactor = Redactor([], presets=(), patterns=[("ticket", "TICKET-[0-9]+")])
    assert redactor.scrub(text) == text
    found = redactor.scrub(f"{text} TICKET-12")
    assert found.endswith(" [redacted:ticket]")
