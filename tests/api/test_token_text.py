"""How near the estimate comes to real counts, on texts of many kinds, and what it never does."""

import json
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.token_text import (
    MOST_COUNTED,
    Encoding,
    TextCounter,
    encoding_of,
    text_tokens,
)
from foxora_addon.bpe import load_counter

SAMPLES: dict[str, str] = json.loads(
    Path(__file__).with_name("token_samples.json").read_text("utf-8")
)
MODELS: dict[Encoding, str] = {"o200k_base": "gpt-4o", "cl100k_base": "gpt-4"}
COUNTER = load_counter()


def errors_of(encoding: Encoding) -> dict[str, float]:
    """By which part the estimate of each sample is off: -0.1 is a tenth too low."""
    assert COUNTER is not None, "the tests need the extra 'tokens'"
    return {
        kind: text_tokens([text], MODELS[encoding], None) / COUNTER(text, encoding) - 1
        for kind, text in SAMPLES.items()
    }


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_no_kind_of_text_is_estimated_a_quarter_wrong(encoding: Encoding) -> None:
    wrong = {kind: error for kind, error in errors_of(encoding).items() if abs(error) > 0.25}
    assert not wrong


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_estimates_are_near_on_average_and_lean_to_no_side(encoding: Encoding) -> None:
    errors = errors_of(encoding).values()
    assert mean(map(abs, errors)) < 0.09
    assert abs(mean(errors)) < 0.05


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        *((name, "o200k_base") for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1-nano", "gpt-5")),
        *((name, "o200k_base") for name in ("o1", "o3-mini", "openai/gpt-oss-120b", "x", "", None)),
        *((name, "o200k_base") for name in ("chatgpt-4o-latest", "gpt-4.5-preview", "my-gpt-4")),
        *((name, "cl100k_base") for name in ("gpt-4", "gpt-4-turbo", "gpt-4-0613", "openai/gpt-4")),
        *(
            (name, "cl100k_base")
            for name in ("gpt-3.5-turbo", "gpt-35-turbo", "ft:gpt-3.5-turbo:a")
        ),
        *((name, "cl100k_base") for name in ("text-embedding-3-large", "davinci-002")),
    ],
)
def test_a_model_s_name_tells_its_encoding(model: str | None, encoding: Encoding) -> None:
    assert encoding_of(model) == encoding


def test_nothing_is_no_token() -> None:
    assert text_tokens([], "gpt-4o", None) == 0
    assert text_tokens([""], "gpt-4o", COUNTER) == 0


@given(st.lists(st.text(st.characters(codec=None))), st.sampled_from(["gpt-4o", "gpt-4"]))
def test_any_text_has_an_estimate_of_at_most_three_tokens_a_byte(
    texts: list[str], model: str
) -> None:
    size = sum(len(text.encode("utf-8", "replace")) + 1 for text in texts)
    assert 0 <= text_tokens(texts, model, None) <= 3 * size


@given(st.text(), st.text())
def test_more_text_is_never_estimated_at_fewer_tokens_but_for_where_both_touch(
    one: str, other: str
) -> None:
    both = text_tokens([one, other], "gpt-4o", None)
    # Accents of one text may be taken for Vietnamese because of the other: a token for each.
    slack = 2 + 2 * len(other)
    assert both + slack >= text_tokens([one], "gpt-4o", None)


@pytest.mark.parametrize("many", [4, 4_000])  # estimated one by one, or by a sample of them all
def test_messages_are_estimated_as_one_text_would_be(many: int) -> None:
    texts = ["How far is it, and who told you so? " * 20, "There and back."] * many
    apart = text_tokens(texts, "gpt-4o", None)
    assert apart == pytest.approx(text_tokens([" ".join(texts)], "gpt-4o", None), rel=0.02)


def counts(log: list[str]) -> TextCounter:
    """A counter of one token a character, which keeps what it was asked."""

    def count(text: str, encoding: Encoding) -> int:
        log.append(text)
        return len(text)

    return count


def test_each_text_is_counted_by_itself() -> None:
    log: list[str] = []
    assert text_tokens(["ab", "", "cde"], "gpt-4o", counts(log)) == 5
    assert log == ["ab", "cde"]


@given(st.lists(st.integers(0, MOST_COUNTED + 9).map(lambda length: "word " * (length // 5))))
def test_no_more_than_a_bound_is_counted_and_the_rest_is_in_proportion(texts: list[str]) -> None:
    log: list[str] = []
    tokens = text_tokens(texts, "gpt-4o", counts(log))
    size = sum(map(len, texts))
    assert "".join(log) == "".join(texts)[: sum(map(len, log))]
    assert min(size, MOST_COUNTED - 64 * len(texts)) <= sum(map(len, log)) <= MOST_COUNTED
    # a token a character is what the counter says, so that is what the rest is taken for
    assert tokens == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("text", ["", "a"])
def test_the_tokenizer_is_not_asked_for_each_of_a_million_little_texts(text: str) -> None:
    log: list[str] = []
    assert text_tokens([text] * 1_000_000, "gpt-4o", counts(log)) >= 1_000_000 * len(text)
    assert len(log) <= 1_100


def test_empty_texts_do_not_hide_what_follows_them() -> None:
    text = SAMPLES["english"]
    alone = text_tokens([text * 2_000], "gpt-4o", COUNTER)
    assert text_tokens([""] * 5_000 + [text * 2_000], "gpt-4o", COUNTER) == alone


def test_a_very_long_text_is_told_from_all_over_it() -> None:
    english, chinese = SAMPLES["english"] * 5_000, SAMPLES["chinese"] * 8_000
    apart = text_tokens([english], "gpt-4o", None) + text_tokens([chinese], "gpt-4o", None)
    assert text_tokens([english + chinese], "gpt-4o", None) == pytest.approx(apart, rel=0.05)


def test_a_text_that_changes_its_kind_is_still_told_well() -> None:
    assert COUNTER is not None
    text = SAMPLES["english"] * 200 + SAMPLES["chinese"] * 500
    assert text_tokens([text], "gpt-4o", COUNTER) == pytest.approx(
        COUNTER(text, "o200k_base"), rel=0.15
    )


@pytest.mark.parametrize("counter", [None, COUNTER], ids=["estimated", "counted"])
@pytest.mark.parametrize("piece", ["a", " ", "\n", "9", "!", "aB", "漢", "\U00012000", "\ud800"])
def test_the_cost_of_a_text_grows_with_its_length_alone(
    piece: str, counter: TextCounter | None
) -> None:
    """No timed bound: anything quadratic would need hours, and the test's own limit ends it."""
    assert text_tokens([piece * 2_000_000], "gpt-4o", counter) > 0
