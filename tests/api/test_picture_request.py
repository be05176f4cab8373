"""How many pictures a call asks for, read off JSON and forms; one where that can't be read."""

import pytest

from foxora_addon.api.picture_request import pictures_asked


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"prompt":"a fox","n":3}', 3),
        (b'{"prompt":"a fox","n":null}', 1),
        (b'{"prompt":"a fox"}', 1),
        (b'{"n":0}', 1),
        (b'{"n":true}', 1),
        (b'{"n":"3"}', 1),
        (b'{"n":99999}', 10),
        (b"[3]", 1),
        (b'{"n":', 1),
        (b"", 1),
    ],
)
def test_json(body: bytes, count: int) -> None:
    assert pictures_asked(body, "application/json") == count


def form(*fields: tuple[bytes, bytes]) -> bytes:
    parts = (
        b"--edge\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % field for field in fields
    )
    return b"".join(parts) + b"--edge--\r\n"


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ([(b'name="prompt"', b"a fox"), (b'name="n"', b"3")], 3),
        ([(b"name=n", b"3")], 3),
        ([(b'name="n"\r\nContent-Type: text/plain', b"3")], 3),
        ([(b'name="n"', b"99")], 10),
        ([(b'name="n"', b"three")], 1),
        ([(b'name="no"', b"3")], 1),
        ([(b'name="image"; filename="n"', b"3")], 1),
    ],
)
def test_forms(fields: list[tuple[bytes, bytes]], count: int) -> None:
    assert pictures_asked(form(*fields), "multipart/form-data; boundary=edge") == count


def test_what_looks_like_a_field_in_a_file_is_none() -> None:
    disposition = b"Content-Disposition: form-data; name="
    file = disposition + b'"image"; filename="a"\r\n\r\n--x\r\n' + disposition + b'"n"\r\n\r\n3\r\n'
    body = b"--edge\r\n" + file + b"--edge--\r\n"
    assert pictures_asked(body, 'multipart/form-data; boundary="edge"') == 1
