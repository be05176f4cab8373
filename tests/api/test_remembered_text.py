"""Figures of texts that come again."""

from foxora_addon.api.remembered_text import remembering
from foxora_addon.api.token_text import Encoding


def test_a_text_that_comes_again_is_not_counted_again_but_in_another_encoding() -> None:
    counted: list[tuple[str, Encoding]] = []

    def count(text: str, encoding: Encoding) -> int:
        counted.append((text, encoding))
        return len(text)

    remembered, texts = remembering(count, 32), ["a" * 40, "b" * 40, "short"]
    for _ in range(3):
        assert [remembered(text, "o200k_base") for text in texts] == [40, 40, 5]
    assert remembered(texts[0], "cl100k_base") == 40
    assert [call for call in counted if call[0] != "short"] == [
        (texts[0], "o200k_base"),
        (texts[1], "o200k_base"),
        (texts[0], "cl100k_base"),
    ]


def test_it_remembers_a_bounded_number_of_texts() -> None:
    counted: list[str] = []

    def count(text: str, _: Encoding) -> int:
        counted.append(text)
        return len(text)

    remembered = remembering(count, 1)
    for number in range(20_000):
        remembered(str(number), "o200k_base")
    assert remembered("0", "o200k_base") == 1
    assert remembered("19999", "o200k_base") == 5
    assert counted[20_000:] == ["0"]
