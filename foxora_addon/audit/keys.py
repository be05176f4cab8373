"""The files of the keys that sign how far a trail has come: Ed25519, in PEM, without a passphrase.

No message tells what is in a file.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MOST_BYTES: Final = 65_536


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
    beside = public_path(file)
    for path, data, mode in ((file, private, 0o600), (beside, public, 0o644)):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb") as stream:  # noqa: PTH123  # a descriptor has no Path
            stream.write(data)
    return beside


def public_path(file: Path) -> Path:
    """Where the public key of a private one is."""
    return file.with_name(f"{file.name}.pub")


def private_key_of(file: Path) -> Ed25519PrivateKey:
    """The private key in a file; raises ValueError where it holds none, and OSError."""
    try:
        key = serialization.load_pem_private_key(_content_of(file), password=None)
    except TypeError:
        raise ValueError(f"{file}: has a passphrase; make a key with `audit keygen`") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ValueError(f"{file}: no Ed25519 private key in PEM, as `audit keygen` writes it")


def public_key_of(file: Path) -> Ed25519PublicKey:
    """The public key in a file; raises ValueError where it holds none, and OSError."""
    try:
        key = serialization.load_pem_public_key(_content_of(file))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError(f"{file}: no Ed25519 public key in PEM, as `audit keygen` writes it")


def _content_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_MOST_BYTES)
