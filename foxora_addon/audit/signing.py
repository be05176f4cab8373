"""Signs how far a trail has come, so that a later cut or rewriting shows.

A signed head is a line of JSON: `seq` and `hash` of the trail's last record then, `time`, and an
Ed25519 `signature` (base64) over the text `foxora-addon head 1 SEQ HASH TIME`. It proves that who
had the key saw that record in that place; keep key and lines where the trail's writer can't reach.
"""

import base64
import binascii
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from foxora_addon.audit.recovery import end_of
from foxora_addon.audit.verification import Kept


def make_key(file: Path) -> Path:
    """Write a new private key, for its owner only, and its public key beside it, whose path it is.

    Raises FileExistsError rather than replace a key, and OSError.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    beside = file.with_name(f"{file.name}.pub")
    for path, data, mode in ((file, private, 0o600), (beside, public, 0o644)):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb") as stream:  # noqa: PTH123  # a descriptor has no Path
            stream.write(data)
    return beside


def signed_head(trail: Path, key_file: Path, time: str) -> str:
    """The signed head of a trail as it is now, a line without its break; `time` is ISO 8601.

    Only the trail's end is read: verify it to know that what is before it is whole. Raises
    ValueError where the file holds no such key, OSError, and `recovery.NoTrail`.
    """
    key = _private_key_of(key_file)
    end = end_of(trail)
    if not end.seq:
        raise ValueError(f"{trail}: has no record yet, and so no head")
    signature = base64.b64encode(key.sign(_message(end.seq, end.hash, time))).decode()
    return json.dumps({"seq": end.seq, "hash": end.hash, "time": time, "signature": signature})


def signed_heads(file: Path, public_key_file: Path) -> list[Kept]:
    """The heads on a file's lines, each with a right signature; raises ValueError, and OSError."""
    key = _public_key_of(public_key_file)
    heads = []
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                heads.append(_head_of(line, key, f"{file}, line {number}"))
    return heads


def _head_of(line: bytes, key: Ed25519PublicKey, place: str) -> Kept:
    try:
        data = json.loads(line)
        seq, digest, time = int(data["seq"]), str(data["hash"]), str(data["time"])
        key.verify(base64.b64decode(data["signature"], validate=True), _message(seq, digest, time))
    except InvalidSignature:
        raise ValueError(f"{place}: changed, or signed with another key") from None
    except (KeyError, TypeError, ValueError, RecursionError, binascii.Error):
        raise ValueError(f"{place}: no signed head, as `audit sign` prints them") from None
    return Kept(seq, digest)


def _message(seq: int, digest: str, time: str) -> bytes:
    return f"foxora-addon head 1 {seq} {digest} {time}".encode()


def _private_key_of(file: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ValueError(f"{file}: no Ed25519 private key in PEM, as `audit keygen` writes it")


def _public_key_of(file: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except ValueError:
        key = None
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError(f"{file}: no Ed25519 public key in PEM, as `audit keygen` writes it")
