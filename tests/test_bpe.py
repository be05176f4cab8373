"""The tokenizer of the `tokens` extra, as the rest of the program uses it."""

import builtins
import subprocess
import sys
from typing import Any

import pytest

from foxora_addon.bpe import load_counter

COUNTER = load_counter()


def test_texts_are_counted_as_openai_s_models_do() -> None:
    assert COUNTER is not None
    assert COUNTER("hello world", "o200k_base") == 2
    assert COUNTER("hello world", "cl100k_base") == 2
    # the figures differ where it matters: the newer vocabulary knows more languages
    assert COUNTER("नमस्ते दुनिया", "o200k_base") < COUNTER("नमस्ते दुनिया", "cl100k_base")


def test_what_looks_like_a_control_token_is_text() -> None:
    assert COUNTER is not None
    assert COUNTER("<|endoftext|>", "o200k_base") > 1


def test_half_a_character_is_counted() -> None:
    assert COUNTER is not None
    assert COUNTER("a\ud83d", "o200k_base") >= 1


def test_texts_of_more_tokens_than_the_library_takes_at_once_are_counted() -> None:
    assert COUNTER is not None
    assert COUNTER("\U00012000" * 100_000, "o200k_base") >= 200_000


def test_without_the_extra_there_is_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name == "bpe_openai":
            raise ModuleNotFoundError("No module named 'bpe_openai'", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    assert load_counter() is None


def test_a_broken_tokenizer_is_not_taken_for_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name == "bpe_openai":
            raise ModuleNotFoundError("No module named 'bpe_openai.data'", name="bpe_openai.data")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ModuleNotFoundError, match="data"):
        load_counter()


def test_the_tokenizer_is_not_loaded_before_it_is_asked_for() -> None:
    code = "import sys, foxora_addon.bpe; sys.exit('bpe_openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
