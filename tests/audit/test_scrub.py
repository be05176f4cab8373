"""What a record's line is spared has nothing in it that redaction would take out."""

import json
from typing import Any

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
