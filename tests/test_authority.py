"""Each way in which an authority is broken is told in one line, and none is quoted from it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from mitmproxy import certs

from foxora_addon.authority import require_authority, why_not_read
from foxora_addon.confdir import NoConfdir

PASSPHRASE = b"a passphrase of ours"


def pem_of(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


KEY_OF_CA, CA = certs.create_ca("ours", "ours", 2048)
KEY, CERTIFICATE = pem_of(KEY_OF_CA), CA.public_bytes(Encoding.PEM)
LOCKED = pem_of(KEY_OF_CA, BestAvailableEncryption(PASSPHRASE))


def an_authority(folder: Path, data: bytes) -> Path:
    (folder / "mitmproxy-ca.pem").write_bytes(data)
    return folder


def amid(data: bytes, junk: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[:4], junk, *lines[4:]])


@pytest.mark.parametrize("data", [KEY + CERTIFICATE, CERTIFICATE + KEY, LOCKED + CERTIFICATE])
def test_one_that_mitmproxy_reads_will_do(tmp_path: Path, data: bytes) -> None:
    require_authority(an_authority(tmp_path, data), PASSPHRASE)
    certs.CertStore.from_store(tmp_path, "mitmproxy", 2048, PASSPHRASE)


BROKEN = [
    (b"", "it has no whole private key"),
    (CERTIFICATE, "it has no whole private key"),
    (KEY[: len(KEY) // 2] + b"\n" + CERTIFICATE, "it has no whole private key"),
    (amid(KEY, b"%%\n") + CERTIFICATE, "its private key can't be read"),
    (amid(KEY, b"\xff\n") + CERTIFICATE, "its private key can't be read"),
    (KEY, "it has no whole certificate"),
    (KEY + CERTIFICATE[:300], "it has no whole certificate"),
    (KEY + amid(CERTIFICATE, b"%%\n"), "its certificate can't be read"),
    (KEY + b"-----BEGIN X-----\n" + CERTIFICATE, "there is something in it that is not PEM"),
    (pem_of(ed25519.Ed25519PrivateKey.generate()) + CERTIFICATE, "neither RSA nor EC"),
]


@pytest.mark.parametrize(("data", "words"), BROKEN)
def test_one_that_is_broken_is_told_and_mitmproxy_can_not_read_it(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        certs.CertStore.from_store(an_authority(tmp_path, data), "mitmproxy", 2048)
    told = why_not_read(tmp_path, raised.value, None)
    assert str(told).startswith(f"{tmp_path / 'mitmproxy-ca.pem'} is broken: ")
    assert words in str(told)
    assert "in PEM, or move mitmproxy-ca* of that folder elsewhere" in told.remedy


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    key = pem_of(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(NoConfdir, match="its certificate belongs to another key"):
        require_authority(an_authority(tmp_path, key + CERTIFICATE), None)


@pytest.mark.parametrize(
    ("passphrase", "words"),
    [(None, "has a passphrase, and none is given"), (b"no", "does not open with the passphrase")],
)
def test_a_key_that_does_not_open_is_told_and_what_to_do(
    tmp_path: Path, passphrase: bytes | None, words: str
) -> None:
    with pytest.raises(NoConfdir, match=words) as told:
        require_authority(an_authority(tmp_path, LOCKED + CERTIFICATE), passphrase)
    assert "cert_passphrase" in told.value.remedy


def dangles(path: Path) -> None:
    path.symlink_to("gone/ca.pem")


def turns_round(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (dangles, "is a link to gone/ca.pem, which is not there"),
        (turns_round, "can't be read: Too many levels of symbolic links"),
        (Path.mkdir, "can't be read: Is a directory"),
    ],
)
def test_one_that_is_no_file_is_told(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    make(tmp_path / "mitmproxy-ca.pem")
    with pytest.raises(OSError, match=r"mitmproxy-ca\.pem") as raised:
        certs.CertStore.from_store(tmp_path, "mitmproxy", 2048)
    assert words in str(why_not_read(tmp_path, raised.value, None))


def test_parameters_that_can_not_be_made_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_authority(tmp_path, KEY + CERTIFICATE)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(NoConfdir, match=r"mitmproxy-dhparam\.pem is missing") as told:
        require_authority(tmp_path, None)
    assert told.value.remedy.startswith("copy that file there from another folder")
    (tmp_path / "mitmproxy-dhparam.pem").write_text("")
    require_authority(tmp_path, None)


def test_what_else_is_refused_is_told_with_its_place(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied", f"{tmp_path}/mitmproxy-ca.pem")
    words = f"{tmp_path}/mitmproxy-ca.pem can't be read or made: Permission denied"
    assert str(why_not_read(tmp_path, error, None)) == words
    full = OSError(28, "No space left on device")
    assert str(why_not_read(tmp_path, full, None)).endswith(
        "be read or made: No space left on device"
    )


def test_what_nobody_foresaw_is_told_by_its_kind(tmp_path: Path) -> None:
    an_authority(tmp_path, KEY + CERTIFICATE)
    told = why_not_read(tmp_path, RuntimeError("Error loading DH Params."), None)
    assert str(told) == f"mitmproxy can't use the authority in {tmp_path}: RuntimeError"
