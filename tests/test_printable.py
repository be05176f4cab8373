"""Standard output of an encoding that lacks letters takes every text all the same."""

import io
import json
import sys
from pathlib import Path

import pytest

from foxora_addon.printable import AS_IT_CAME, ESCAPED, print_everything


def printed(text: str, errors: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    print_everything(errors)
    sys.stdout.write(text)
    sys.stdout.flush()
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_json(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "é ✓ 😀 \udcff"
    line = printed(json.dumps(text, ensure_ascii=False), ESCAPED, encoding, monkeypatch)
    assert json.loads(line.decode(encoding)) == text


def test_a_file_of_any_name_is_named_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    path = b"d\xffir/\xc3\xa9.pem"
    for encoding in ("ascii", "utf-8"):
        text = path.decode(encoding, "surrogateescape")
        assert printed(text, AS_IT_CAME, encoding, monkeypatch) == path


def test_an_output_that_is_no_text_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    print_everything()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_an_output_that_is_full_keeps_nothing_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = open("/dev/full", "w", encoding="ascii")  # noqa: SIM115, PTH123
    monkeypatch.setattr(sys, "stdout", out)
    out.write("buffered")
    print_everything()
    with pytest.raises(OSError, match="No space"):
        out.close()
