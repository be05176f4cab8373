"""What a record's line is spared has nothing in it that redaction would take out."""

import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxora_addon.audit.chain import GENESIS
from foxora_addon.audit.line import line_of
from foxora_addon.audit.redaction import Redactor, Scrub

KNOWN = "foxora_sk_fake_known-0123456789"
OWN = 'own "key" of \\ a client'
PLAIN_OWN = "own-key-of-a-client-0123"
LOOKS = (
    "sk-abcdefghijklmnop1234",
    "Bearer abcdefgh12345678",
    "AKIAABCDEFGHIJKLMNOP",
    "?key=abcdefgh1",
)
PIECES = st.sampled_from(
    (
        *LOOKS,
        KNOWN,
        OWN,
        PLAIN_OWN,
        json.dumps(OWN),
        " ",
        '"',
        "\\",
        "\n",
        "\x01",
        "é",
        "hello world",
    )
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=5).map("".join)
REDACTORS = (
    Redactor([KNOWN]),
    Redactor([KNOWN], presets=("secrets", "pii")),
    Redactor([KNOWN], presets=()),
    Redactor([KNOWN], patterns=[("name", "hello w")]),
)


def a_record(text: str) -> dict[str, Any]:
    return {
        "event": "response",
        "exchange": "ex_1",
        "model": text,
        "message": {"role": "assistant", text: [text, {"content": text}]},
    }


def the_line(fields: dict[str, Any], scrub: Any) -> bytes:
    return line_of(fields, scrub, seq=1, unix_seconds=0.0, recovered=0, prev=GENESIS)[0]


@pytest.mark.parametrize("redactor", REDACTORS)
@pytest.mark.parametrize("also", [(), (OWN,), (PLAIN_OWN,)])
@given(text=TEXTS)
@example(text=OWN)
@example(text=json.dumps(OWN))
def test_a_line_is_the_same_as_if_each_of_its_texts_were_looked_through(
    redactor: Redactor, also: tuple[str, ...], text: str
) -> None:
    each = the_line(a_record(text), lambda found: redactor.scrub(found, also))
    assert the_line(a_record(text), Scrub(redactor, also)) == each


def test_a_line_without_anything_like_a_secret_is_spared() -> None:
    line = json.dumps(a_record("plain words, as most are"), ensure_ascii=False)
    assert Scrub(REDACTORS[0], (PLAIN_OWN,)).spares(line.encode())


@pytest.mark.parametrize("secret", [*LOOKS, KNOWN, PLAIN_OWN])
def test_a_line_with_a_secret_is_not(secret: str) -> None:
    line = json.dumps(a_record(f"so it is {secret}"), ensure_ascii=False)
    assert not Scrub(REDACTORS[0], (PLAIN_OWN,)).spares(line.encode())


def keys_of(letters: str) -> st.SearchStrategy[str]:
    begins = st.sampled_from(["foxora_sk_", "sk-", "aaaaaaaa"])
    return st.builds("{}{}".format, begins, st.text(st.sampled_from(letters), min_size=5))


PLAIN, ODD = keys_of("abAB01-_"), keys_of("ab01/+~=%\"\\ '*()é€😀")
WAYS = (
    *(str, json.dumps, quote),
    lambda key: b64encode(key.encode()).decode(),
    lambda key: key[:-1],
    lambda key: quote(key).replace("a", "%61"),
    lambda key: quote(key).replace("a", "%2561"),
)


@given(
    keys=st.lists(PLAIN, min_size=1, max_size=20) | st.lists(PLAIN | ODD, min_size=1, max_size=4),
    own=st.lists(PLAIN | ODD, max_size=2).map(tuple),
    pieces=st.lists(st.tuples(st.integers(0, 21), st.sampled_from(WAYS)), max_size=3),
    presets=st.sampled_from([(), ("secrets",)]),
)
def test_what_is_spared_is_left_as_it_is_whatever_the_keys(
    keys: list[str], own: tuple[str, ...], pieces: list[Any], presets: tuple[str, ...]
) -> None:
    every = [*keys, *own]
    text = " and ".join(way(every[place % len(every)]) for place, way in pieces)
    redactor = Redactor(keys, presets=presets)
    line = json.dumps({"body": text}, ensure_ascii=False)
    scrubbed = redactor.scrub(text, own)
    assert not any(key in scrubbed for key in every)
    if redactor.spares(line.encode(), own):
        assert scrubbed == text
    if redactor.knows_nothing_in(text.encode(), own):
        assert redactor.without_known(text, own) == text
