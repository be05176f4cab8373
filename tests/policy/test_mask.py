import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.mask import Mask, mask_forms_of, masked

KEY = "foxora_sk_live_fake7Hq2"
FORMS = mask_forms_of(KEY)
WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
PIECES = st.lists(
    st.sampled_from(
        [KEY.encode(), b"foxora_sk_", b"f", b"\n\n", b"*", b"data: {}", KEY[:-1].encode()]
    )
    | st.builds(
        str.encode,
        st.sampled_from([KEY, KEY[:3], KEY[3:], "f", "\0", "é"]),
        st.sampled_from(WIDE),
    )
    | st.binary(max_size=8),
    max_size=8,
)


def test_a_key_has_one_form_unless_json_writes_it_otherwise() -> None:
    assert mask_forms_of(KEY) == (KEY.encode(),)
    assert set(mask_forms_of('foxora/"é')) == {
        'foxora/"é'.encode(),
        b'foxora/\\"\\u00e9',
        'foxora/\\"é'.encode(),
        b'foxora\\/\\"\\u00e9',
    }


@pytest.mark.parametrize("key", [None, "", "short"])
def test_what_is_too_short_to_be_told_from_speech_is_not_looked_for(key: str | None) -> None:
    assert mask_forms_of(key) == ()


def test_a_key_makes_room_for_as_many_asterisks() -> None:
    body = json.dumps({"echo": f"Bearer {KEY}", "again": KEY}).encode()
    clean = masked(body, FORMS)
    assert KEY.encode() not in clean
    assert len(clean) == len(body)
    assert json.loads(clean) == {"echo": f"Bearer {'*' * len(KEY)}", "again": "*" * len(KEY)}


@pytest.mark.parametrize("codec", [*WIDE, "utf-16", "utf-32"])
@pytest.mark.parametrize("key", [KEY, 'foxora/"key"'])
def test_a_key_is_masked_in_the_encodings_that_take_more_bytes(codec: str, key: str) -> None:
    echo = f"é Bearer {key}, {json.dumps(key)}"
    clean = masked(echo.encode(codec), mask_forms_of(key)).decode(codec)
    written = json.dumps(key)[1:-1]
    assert clean == f'é Bearer {"*" * len(key)}, "{"*" * len(written)}"'


def test_a_body_without_it_is_the_very_same() -> None:
    body = b'{"content": "foxora_sk_live_other"}'
    assert masked(body, FORMS) is body
    assert Mask(FORMS).feed(body) is body
    wide = body.decode().encode("utf-16")
    assert masked(wide, FORMS) is wide


def test_whole_events_are_never_held_back() -> None:
    mask = Mask(FORMS)
    event = b'data: {"content":"f"}\n\n'
    assert mask.feed(event) is event
    assert mask.end() == b""


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("key", [KEY, 'fox/"é漢_key'])
def test_a_key_is_masked_wherever_an_answer_is_cut_or_breaks_off(codec: str, key: str) -> None:
    forms = mask_forms_of(key)
    body = f"漢{key}".encode(codec)
    clean = masked(body, forms)
    for cut in range(len(body)):
        mask = Mask(forms)
        assert mask.feed(body[:cut]) + mask.feed(body[cut:]) + mask.end() == clean
    whole = len(body.rstrip(b"\0"))  # the NULs of the last letter say nothing
    mask = Mask(forms)
    assert mask.feed(body[:whole]) + mask.end() == clean[:whole]


@given(PIECES, st.data())
def test_where_a_body_is_cut_makes_no_difference(pieces: list[bytes], data: st.DataObject) -> None:
    body = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    mask = Mask(FORMS)
    passed = bytearray()
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        passed += mask.feed(body[start:end])
        longest = len(KEY) * (4 if b"\0" in body else 1)
        assert len(body[:end]) - len(passed) < longest, "it holds back less than a key"
    assert bytes(passed) + mask.end() == masked(body, FORMS)
