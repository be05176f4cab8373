"""What is wrong with an authority that mitmproxy can't read, in one line.

It is asked for once mitmproxy has failed, or by `doctor`: to read an RSA key takes long enough to
be felt at a start. Words of the libraries are not passed on, for they may quote from the key.
"""

import os
import re
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from foxora_addon.confdir import AUTHORITY, NoConfdir

BROKEN_REMEDY: Final = (
    "put an RSA or EC private key and its certificate there, in PEM, or move mitmproxy-ca* of that "
    "folder elsewhere: new ones are made at the next start"
)
_LOCKED_REMEDY: Final = (
    "write the right one as cert_passphrase into mitmproxy's config.yaml, or put a key without one "
    "there"
)
_MAKING_REMEDY: Final = "leave its option key_size as it is, or put an authority of your own there"
_PARAMETERS: Final = "mitmproxy-dhparam.pem"
_PARAMETERS_REMEDY: Final = (
    "copy that file there from another folder of mitmproxy's, or let this user write there once, "
    "or start the proxy with --set confdir=PATH"
)
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[^-]*(?:-[^-]+)*-----END \1-----")


def require_authority(folder: Path, passphrase: bytes | None) -> None:
    """Raise `NoConfdir` unless the authority there is one that mitmproxy can use.

    `passphrase` is mitmproxy's option `cert_passphrase`; a key that is not encrypted needs none.
    """
    path = folder / AUTHORITY
    text = _text_of(path)
    blocks = [(match[1], match[0]) for match in _BLOCK.finditer(text)]
    key = _key_in(
        path, [block for name, block in blocks if name.endswith(b"PRIVATE KEY")], passphrase
    )
    certificates = [block for name, block in blocks if name == b"CERTIFICATE"]
    if not belongs(_certificate_in(path, certificates, text), key):
        raise _broken(path, "its certificate belongs to another key")
    parameters = folder / _PARAMETERS
    if not parameters.exists() and not os.access(folder, os.W_OK):
        why = f"{parameters} is missing, and this user may not make it"
        raise NoConfdir(why, _PARAMETERS_REMEDY)


def belongs(certificate: x509.Certificate, key: RSAPrivateKey | EllipticCurvePrivateKey) -> bool:
    """Whether a certificate is of a key; mitmproxy does not ask, and no client trusts it then."""
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _text_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            why = f"{path} is a link to {path.readlink()}, which is not there"
            raise NoConfdir(why, BROKEN_REMEDY) from None
        raise NoConfdir(f"{path} is not there") from None
    except OSError as error:
        raise NoConfdir(f"{path} can't be read: {error.strerror}", BROKEN_REMEDY) from None


def _key_in(
    path: Path, blocks: list[bytes], passphrase: bytes | None
) -> RSAPrivateKey | EllipticCurvePrivateKey:
    """The first one, which mitmproxy signs by."""
    if not blocks:
        raise _broken(path, "it has no whole private key")
    block = blocks[0]
    is_encrypted = b"ENCRYPTED" in block
    if is_encrypted and passphrase is None:
        raise _locked(path, "has a passphrase, and none is given")
    try:
        key = load_pem_private_key(block, passphrase if is_encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if is_encrypted:
            raise _locked(path, "does not open with the passphrase that is given") from None
        raise _broken(path, "its private key can't be read") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise _broken(path, "its private key is neither RSA nor EC, so mitmproxy can't sign by it")
    return key


def _certificate_in(path: Path, blocks: list[bytes], text: bytes) -> x509.Certificate:
    """The first one, which mitmproxy signs as; the others are those above it."""
    if not blocks:
        raise _broken(path, "it has no whole certificate")
    try:
        x509.load_pem_x509_certificates(b"\n".join(blocks))
    except ValueError:
        raise _broken(path, "its certificate can't be read") from None
    try:
        return x509.load_pem_x509_certificates(text)[0]
    except ValueError:
        raise _broken(path, "there is something in it that is not PEM") from None


def _broken(path: Path, why: str) -> NoConfdir:
    return NoConfdir(f"{path} is broken: {why}", BROKEN_REMEDY)


def _locked(path: Path, why: str) -> NoConfdir:
    return NoConfdir(f"the private key in {path} {why}", _LOCKED_REMEDY)


def why_not_read(folder: Path, error: Exception, passphrase: bytes | None) -> NoConfdir:
    """Words for what mitmproxy has raised, reading or making the authority there."""
    is_there = (folder / AUTHORITY).exists(follow_symlinks=False)
    if is_there:
        try:
            require_authority(folder, passphrase)
        except NoConfdir as found:
            return found
    if isinstance(error, OSError):
        where = error.filename or f"mitmproxy's authority in {folder}"
        return NoConfdir(f"{where} can't be read or made: {error.strerror}")
    what = "can't use the authority" if is_there else "can't make an authority"
    return NoConfdir(f"mitmproxy {what} in {folder}: {type(error).__name__}", _MAKING_REMEDY)
