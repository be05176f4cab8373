import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.mask import Mask, forms_of, masked

KEY = "foxora_sk_live_fake7Hq2"
FORMS = forms_of(KEY)
PIECES = st.lists(
    st.sampled_from(
        [KEY.encode(), b"foxora_sk_", b"f", b"\n\n", b"*", b"data: {}", KEY[:-1].encode()]
    )
    | st.binary(max_size=8),
    max_size=8,
)


def test_a_key_has_one_form_unless_json_writes_it_otherwise() -> None:
    assert forms_of(KEY) == (KEY.encode(),)
    assert set(forms_of('foxora/"é')) == {
        'foxora/"é'.encode(),
        b'foxora/\\"\\u00e9',
        'foxora/\\"é'.encode(),
        b'foxora\\/\\"\\u00e9',
    }


@pytest.mark.parametrize("key", [None, "", "short"])
def test_what_is_too_short_to_be_told_from_speech_is_not_looked_for(key: str | None) -> None:
    assert forms_of(key) == ()


def test_a_key_makes_room_for_as_many_asterisks() -> None:
    body = json.dumps({"echo": f"Bearer {KEY}", "again": KEY}).encode()
    clean = masked(body, FORMS)
    assert KEY.encode() not in clean
    assert len(clean) == len(body)
    assert json.loads(clean) == {"echo": f"Bearer {'*' * len(KEY)}", "again": "*" * len(KEY)}


def test_a_body_without_it_is_the_very_same() -> None:
    body = b'{"content": "foxora_sk_live_other"}'
    assert masked(body, FORMS) is body
    assert Mask(FORMS).feed(body) is body


def test_whole_events_are_never_held_back() -> None:
    mask = Mask(FORMS)
    event = b'data: {"content":"f"}\n\n'
    assert mask.feed(event) is event
    assert mask.end() == b""


@given(PIECES, st.data())
def test_where_a_body_is_cut_makes_no_difference(pieces: list[bytes], data: st.DataObject) -> None:
    body = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    mask = Mask(FORMS)
    passed = bytearray()
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        passed += mask.feed(body[start:end])
        assert len(body[:end]) - len(passed) < len(KEY), "it holds back less than a key"
    assert bytes(passed) + mask.end() == masked(body, FORMS)
