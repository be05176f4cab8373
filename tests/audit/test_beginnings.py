from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.audit.beginnings import Beginnings

LETTERS = st.text("ab", max_size=20)


@given(st.lists(LETTERS, max_size=4), LETTERS, LETTERS)
def test_it_finds_the_longest_beginning_of_any_text(
    texts: list[str], before: str, chosen: str
) -> None:
    for text in (before + chosen, *(before + each[:size] for each in texts for size in (8, 9, 12))):
        sizes = (size for size in range(8, len(text) + 1) if begins_one(text[-size:], texts))
        assert Beginnings(texts).at_end_of(text) == max(sizes, default=0)


def begins_one(part: str, texts: list[str]) -> bool:
    return any(text.startswith(part) for text in texts)


def test_of_ten_thousand_texts_that_begin_alike_few_are_looked_at() -> None:
    looked_at: list[str] = []

    class Text(str):
        __slots__ = ()

        def __lt__(self, other: str) -> bool:
            looked_at.append(other)
            return str(self) < other

        def startswith(self, *arguments: object) -> bool:
            looked_at.append(self)
            return str(self).startswith(*arguments)  # type: ignore[arg-type]

    alike = Beginnings(Text(f"key_of_account_{number:05}" + "x" * 80) for number in range(10_000))
    assert alike.at_end_of("") == 0
    alike.at_end_of("key_of_a")
    looked_at.clear()
    assert alike.at_end_of("key_of_account_" * 8 + "key_of_account_01") == len("key_of_account_01")
    assert 8 <= len(looked_at) <= 9 * 15
