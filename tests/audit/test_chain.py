import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.audit.chain import hash_of_line, seal

RECORDS = st.dictionaries(st.text(max_size=5), st.text(max_size=20), min_size=1, max_size=4)


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_the_byte_rule_in_words_is_the_one_in_force() -> None:
    line, digest = seal(b'{"seq":1}')

    assert digest == hashlib.sha256(b'{"seq":1}').hexdigest()
    assert line == b'{"seq":1,"hash":"' + digest.encode() + b'"}\n'


@given(RECORDS)
def test_a_sealed_line_is_the_record_with_its_hash_as_the_last_member(
    record: dict[str, str],
) -> None:
    record.pop("hash", None)
    line, digest = seal(compact(record or {"a": 1}))

    assert list(json.loads(line).items())[-1] == ("hash", digest)
    assert hash_of_line(line[:-1]) == digest


@given(RECORDS, st.data())
def test_no_changed_bit_keeps_the_hash(record: dict[str, str], data: st.DataObject) -> None:
    line = seal(compact(record))[0][:-1]
    bit = data.draw(st.integers(0, 8 * len(line) - 1))
    changed = bytearray(line)
    changed[bit // 8] ^= 1 << bit % 8

    assert hash_of_line(bytes(changed)) is None


@given(st.binary(max_size=200))
def test_what_was_never_sealed_has_no_hash(line: bytes) -> None:
    assert hash_of_line(line) is None


@pytest.mark.parametrize("length", range(0, 90, 7))
def test_a_torn_line_has_no_hash(length: int) -> None:
    line = seal(b'{"seq":1,"event":"x"}')[0][:-1]

    assert hash_of_line(line[:length]) is None
