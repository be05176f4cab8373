"""Counts tokens exactly with the `tokens` extra: OpenAI's two encodings, their vocabulary on disk.

The only importer of the tokenizer. Loading it takes about a second and 200 MB, so it is done where
the caller chooses, once; a call is then counted in microseconds.
"""

from typing import Final

from foxora_addon.api.remembered_text import remembering
from foxora_addon.api.token_text import Encoding, TextCounter

# The library gives up at 200,000 tokens in one go; rare characters have up to four each.
_CHARACTERS_AT_ONCE: Final = 32_768
_LEAST_REMEMBERED: Final = 32


def load_counter() -> TextCounter | None:
    """Return a counter that is ready; None where the `tokens` extra is not installed."""
    try:
        import bpe_openai  # noqa: PLC0415 - an extra, and slow to load
    except ModuleNotFoundError as error:
        if error.name != "bpe_openai":
            raise
        return None
    names: tuple[Encoding, ...] = ("o200k_base", "cl100k_base")
    encodings = {name: bpe_openai.get_encoding(name) for name in names}

    def count(text: str, encoding: Encoding) -> int:
        # "ordinary": a text that looks like a control token is text, and no error
        encode = encodings[encoding].encode_ordinary
        starts = range(0, len(text), _CHARACTERS_AT_ONCE)
        return sum(len(encode(text[start : start + _CHARACTERS_AT_ONCE])) for start in starts)

    return remembering(count, _LEAST_REMEMBERED)
