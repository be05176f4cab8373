"""Forms as clients send them, and odd ones: what their fields say, and one of them set."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.forms import Form, boundary_of, read_form, texts_of, with_field

MODEL = b'Content-Disposition: form-data; name="model"\r\n\r\n'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'


def form(*parts: bytes, end: bytes = b"--edge--\r\n") -> bytes:
    return b"".join(b"--edge\r\n%b\r\n" % part for part in parts) + end


def read(body: bytes, boundary: bytes = b"edge") -> Form:
    found = read_form(body, boundary)
    assert found is not None
    return found


def models(body: bytes, boundary: bytes = b"edge") -> list[str] | None:
    return texts_of(read(body, boundary), body, "model")


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=edge", b"edge"),
        ('Multipart/Form-Data; charset=utf-8; Boundary="an edge; of sorts"', b"an edge; of sorts"),
        (r'multipart/form-data; boundary="a\"b"', b'a"b'),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\udcff", b""),
        ("multipart/form-data; boundary=edge; boundary=other", b""),
        ("multipart/form-data; boundary=edge; BOUNDARY=edge", b"edge"),
        ("multipart/form-data; boundary=edge; boundary*=utf-8''other", b""),
        ("multipart/form-data; boundary=edge, multipart/form-data; boundary=other", b""),
        ("multipart/form-data; boundary*0=edge; boundary*=other", b""),
        ("multipart/mixed; boundary=edge", b"edge"),
        ("multipart/form-data, multipart/form-data; boundary=edge", b""),
        ("multipart/form-data; boundary=edge, application/json", b""),
        ('multipart/form-data; boundary="edge", application/json', b""),
        ('multipart/form-data; boundary="edge, application/json', b""),
        ("application/json, multipart/form-data; boundary=edge", b""),
        ('multipart/form-data; boundary="edge, of sorts"', b"edge, of sorts"),
        ('multipart/form-data; boundary=edge; a="' + r"\"" * 1_000_000, b""),
        ("application/json; boundary=edge", None),
        ("", None),
        (None, None),
    ],
)
def test_the_boundary_stands_in_the_content_type(
    content_type: str | None, boundary: bytes | None
) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "body",
    [
        form(MODEL + b"m"),
        form(FILE + b"\x00\xff", MODEL + b"m"),
        b"A preamble,\r\n--edg\r\nof lines.\r\n" + form(MODEL + b"m"),
        b"\r\n" + form(MODEL + b"m"),
        form(MODEL + b"m") + b"and an epilogue\r\n",
        b"--edge--\r\n" + form(MODEL + b"m"),
        form(MODEL + b"m", end=b"--edge--"),
        form(MODEL + b"m", end=b"--edge-- \t"),
        form(MODEL + b"m", FILE + b"cut of", end=b""),
        form(MODEL + b"m", FILE + b"x").replace(b"\r\n", b"\n"),
        form(MODEL + b"m").replace(b"--edge\r\n", b"--edge \t\r\n"),
        form(
            FILE + b"\r\n--edg\r\n--edgeless\r\n--edge-\r\n--edge--!\r\n x--edge\r\n", MODEL + b"m"
        ),
        form(FILE + b"\r\n--edge", MODEL + b"m").replace(b"\r\n--edge\r\n--edge", b"\r\n--edge"),
        form(b"no head", MODEL + b"m"),
        form(b"\r\nno name", MODEL + b"m"),
        form(b"", MODEL + b"m"),
        form(b"content-disposition:form-data ;NAME=model\r\nContent-Type: text/plain\r\n\r\nm"),
        form(b"Content-Disposition: form-data;\r\n name=model\r\n\r\nm"),
        form(b'Content-Disposition: attachment; name="model"\r\n\r\nm'),
        form(b'X : y\r\nContent-Disposition : form-data; name="model"\r\n\r\nm'),
        form(b'Content-Disposition: form-data; name="model"; filename=""\r\n\r\nm'),
        form(b"Content-Transfer-Encoding: 8BIT\r\n" + MODEL + b"m"),
    ],
)
def test_a_field_is_found(body: bytes) -> None:
    assert models(body) == ["m"]


@pytest.mark.parametrize(
    "body",
    [
        form(b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\nm'),
        form(b'Content-Disposition: form-data; name="mo\r\ndel"\r\n\r\nm'),
        form(b'Content-Disposition: form-data; name="model%0D%0A"\r\n\r\nm'),
        form(b'Content-Type: text/plain; name="model"\r\n\r\nm'),
        form(MODEL + b"m", end=b""),
        form(FILE + b"\r\n" + MODEL + b"m"),
        form(MODEL.removesuffix(b"\r\n")),
        form(),
    ],
)
def test_what_is_no_field_of_that_name_is_not_taken_for_one(body: bytes) -> None:
    assert models(body) == []


@pytest.mark.parametrize("body", [b"", b"--", b"edge", b"--edg\r\n", b" --edge\r\n", b"{}"])
def test_a_body_without_the_boundary_is_no_form(body: bytes) -> None:
    assert read_form(body, b"edge") is None


@pytest.mark.parametrize(
    "parameters",
    [
        b"name*0=x; name*=y",
        b"name=x; a*=y; a*0=z",
        b"name*" + b"9" * 5_000 + b"=x",
        b"name*=a\x00b''x",
        b"name*=undefined''x",
        b"name=x" + b";" * 1_001,
    ],
)
def test_a_form_with_a_head_that_cant_be_read_is_not_read_whole(parameters: bytes) -> None:
    head = b"Content-Disposition: form-data; " + parameters
    assert not read(form(MODEL + b"m", head + b"\r\n\r\n")).is_whole


def test_no_body_is_a_form_of_an_empty_boundary() -> None:
    assert read_form(b"--\r\n" + MODEL + b"m\r\n----\r\n", b"") is None


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Transfer-Encoding: base64\r\n" + MODEL + b"bQ==",
        b"content-transfer-encoding :\tBase64\r\n" + MODEL + b"bQ==",
        b"Content-Disposition: form-data; name*=utf-8''mod%65l\r\n\r\nm",
        b"Content-Disposition: form-data; name=x; name*=utf-8''model\r\n\r\nm",
        b"Content-Disposition: form-data; name=model; name=x\r\n\r\nm",
        b"Content-Disposition: form-data; name=x; name=model\r\n\r\nm",
        b"Content-Disposition: form-data; name=x\r\n" + MODEL + b"m",
        b'Content-Disposition: form-data; name=x; filename="a\r\n' + MODEL + b"m",
        b"Content-Disposition: form-data; name=model; filename*=utf-8''%e2%82%ac\r\n\r\nm",
        b"Content-Disposition: form-data; name=model; filename=a; filename=\r\n\r\nm",
        FILE.removesuffix(b"\r\n") + MODEL + b"m",
        MODEL + b"\xff",
        MODEL + b"m" * 4_097,
    ],
)
def test_what_a_field_says_may_not_be_clear(part: bytes) -> None:
    assert models(form(part)) is None
    assert models(form(MODEL + b"m", part)) is None


def test_each_field_of_a_name_counts() -> None:
    assert models(form(MODEL + b"m") + form(MODEL + b"after the end")) == ["m", "after the end"]
    assert models(form(MODEL + b"one", FILE, MODEL + b"", MODEL + b"\xe2\x82\xac")) == [
        *("one", "", "€"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        form(*[FILE] * 1_000),
        form(FILE + b"\n--edge of nothing" * 1_000),
        form(b"X: %b\r\n" % (b"x" * 16_384) + MODEL + b"m"),
        form(*[b"X: %b\r\n" % (b"x" * 8_192) + FILE] * 33),
    ],
    ids=["parts", "lines like boundaries", "a head", "heads"],
)
def test_too_much_is_said_to_be_too_much(body: bytes) -> None:
    assert not read(body).is_whole
    assert read(form(*[FILE] * 999)).is_whole


def test_a_value_is_set_in_its_place_alone() -> None:
    body = b"before\r\n" + form(FILE + b"m", MODEL + b"m", b"odd", MODEL, FILE) + b"after"
    changed = with_field(read(body), body, "model", "modèle")

    expected = form(FILE + b"m", MODEL + "modèle".encode(), b"odd", MODEL + "modèle".encode(), FILE)
    assert changed == b"before\r\n" + expected + b"after"


@pytest.mark.parametrize("body", [b"before\r\n" + form(FILE + b"x"), form(), form(FILE, end=b"")])
def test_a_field_that_is_absent_is_added(body: bytes) -> None:
    changed = with_field(read(body), body, "model", "m")

    assert models(changed) == ["m"]
    assert changed.replace(b"--edge\r\n" + MODEL + b"m\r\n", b"", 1) == body


@given(
    st.lists(st.sampled_from([b"--edge", b"--", b"\r\n", b"\n", b"\r", b" ", MODEL, FILE, b"m"])),
    st.sampled_from([b"edge", b"e", b"-"]),
)
def test_any_body_is_read_and_a_field_set_in_it(pieces: list[bytes], boundary: bytes) -> None:
    body = b"".join(pieces)
    found = read_form(body, boundary)
    if found is None:
        return
    places = [place for each in found.fields.values() for place in each]
    assert all(found.start < start <= end <= len(body) for start, end, _ in places)
    changed = with_field(found, body, "model", "set")
    set_to = models(changed, boundary)
    assert set_to == ["set"] * max(1, len(found.fields.get("model", ())))


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_what_a_client_sends_is_read(file: bytes, model: str, prompt: str) -> None:
    request = httpx.Request(
        "POST",
        "http://mock",
        data={"model": model, "prompt": prompt},
        files={"file": ("\r\nCafé.mp3", file)},
    )
    body, boundary = request.read(), boundary_of(request.headers["content-type"])
    assert boundary is not None
    found = read(body, boundary)
    assert set(found.fields) == {"model", "prompt"}
    assert texts_of(found, body, "model") == [model]
    assert texts_of(found, body, "prompt") == [prompt]
