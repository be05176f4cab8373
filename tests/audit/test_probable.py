"""No secret is spelt by the tokens that `logprobs` name, be it in letters or in bytes."""

import json
from typing import Any

import pytest

from foxora_addon.audit.chain import GENESIS
from foxora_addon.audit.line import line_of
from foxora_addon.audit.record import body_fields
from foxora_addon.audit.redaction import Redactor, Scrub
from tests.builders import NOON, a_response_of

SECRET = "foxora_sk_test_0123456789"
LOOK = "sk-proj-of-somebody-0123456789"
SCRUB = Scrub(Redactor([SECRET], presets=("secrets", "pii")), ())


def written(**fields: Any) -> dict[str, Any]:
    record = {**a_response_of("x1"), **fields}
    line, _ = line_of(record, SCRUB, seq=1, unix_seconds=NOON, recovered=0, prev=GENESIS)
    found: dict[str, Any] = json.loads(line)
    return found


def in_pieces(text: str, size: int = 4) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def a_token(text: str, *others: str) -> dict[str, Any]:
    told = {"token": text, "logprob": -0.1, "bytes": list(text.encode())}
    return {**told, "top_logprobs": [a_token(other) for other in others]} if others else told


def a_choice(logprobs: Any, index: int = 0) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Well."}
    return {"index": index, "message": message, "logprobs": logprobs}


def kept_of(logprobs: Any, **more: Any) -> list[Any]:
    """What is kept of the logprobs of a chat: in `folded`, and in an answer that is a body."""
    answer = {"choices": [a_choice(logprobs)]}
    folded = written(folded=answer, chunks=3, **more)["folded"]
    body = json.loads(written(**body_fields(json.dumps(answer).encode(), 100_000))["body"])
    return [each["choices"][0]["logprobs"] for each in (folded, body)]


SPELT: dict[str, Any] = {
    "letters": {"content": [{"token": piece} for piece in in_pieces(SECRET)]},
    "bytes": {"content": [{**a_token(piece), "token": "?"} for piece in in_pieces(SECRET)]},
    "one token": {"content": [a_token("My "), a_token(LOOK)]},
    "a refusal": {"content": None, "refusal": [a_token(piece) for piece in in_pieces(LOOK)]},
    "an alternative": {"content": [a_token("a", "b", LOOK)]},
    "the bytes of one": {
        "content": [{"token": "a", "top_logprobs": [{**a_token(LOOK, ""), "token": ""}]}]
    },
    "older completions": {"tokens": in_pieces(SECRET), "token_logprobs": [-0.1]},
    "their alternatives": {"tokens": ["a"], "top_logprobs": [{"a": -0.1, LOOK: -2.0}]},
    "responses": [a_token(piece) for piece in in_pieces(SECRET)],
}


@pytest.mark.parametrize("logprobs", SPELT.values(), ids=SPELT)
def test_logprobs_that_spell_a_secret_are_left_out(logprobs: Any) -> None:
    assert kept_of(logprobs) == [None, None]


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [a_token("é", "e", "E"), a_token("sk-", "proj")], "refusal": None},
        {"content": [a_token("1", *("4111", "1111", "1111", "1111"))]},
        {"tokens": ["a", "b"], "top_logprobs": [{"a": -0.1}, None]},
        {"content": [{"token": 1}, None, {"token": "a", "bytes": [-1, "x", 256]}], "x": 1},
        [a_token("a")],
        [],
        True,
        None,
    ],
)
def test_logprobs_that_spell_none_stay_as_they_are(logprobs: Any) -> None:
    assert kept_of(logprobs) == [logprobs, logprobs]


def test_the_logprobs_of_one_choice_alone_are_left_out() -> None:
    harmless = {"content": [a_token("a")]}
    folded = {"choices": [a_choice(SPELT["letters"]), a_choice(harmless, 1)]}
    kept = written(folded=folded, chunks=3)["folded"]["choices"]
    assert [each["logprobs"] for each in kept] == [None, harmless]
    assert [each["message"]["content"] for each in kept] == ["Well.", "Well."]


def test_logprobs_end_with_no_half_of_a_secret_where_a_stream_broke_off() -> None:
    half = {"content": [a_token(piece) for piece in in_pieces(SECRET)[:4]]}
    folded = {"choices": [a_choice(half)]}
    kept = written(folded=folded, chunks=3, outcome="stream_broken")["folded"]
    assert kept["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("pieces", [in_pieces(SECRET), [LOOK], ["My ", LOOK, "."]])
def test_nor_is_a_secret_spelt_by_the_tokens_of_a_stream_that_is_kept(pieces: list[str]) -> None:
    events = [{"index": 0, "logprobs": [a_token(piece, piece, "no")]} for piece in pieces]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    body = written(chunks=len(events), **body_fields(stream.encode(), 100_000))["body"]
    told = [json.loads(event[6:])["logprobs"] for event in body.splitlines()[::2]]
    tokens = [token for each in told for token in each or ()]
    alternatives = [other for token in tokens for other in token["top_logprobs"] or ()]
    for each in (tokens, alternatives):
        said = bytes(n for token in each for n in token["bytes"] or ()).decode()
        for text in (said, "".join(token["token"] for token in each)):
            assert SECRET not in text.replace("no", "")
            assert LOOK not in text


def test_a_body_that_spells_no_secret_is_kept_byte_for_byte() -> None:
    body = json.dumps({"choices": [a_choice({"content": [a_token("a")]})]}, indent=3)
    assert written(**body_fields(body.encode(), 100_000))["body"] == body
    assert written(**body_fields(body[:-9].encode(), 100_000))["body"] == body[:-9]
