"""Makes the file of certificate authorities that a client needs: those it had, and mitmproxy's.

One file for all runtimes, since most of their variables replace the usual authorities instead of
adding to them. It is named by its content, so that it never changes under a program that uses it.
"""

import contextlib
import hashlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import certifi

from foxora_addon.confdir import AUTHORITY

ADDING: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables whose file comes on top of the authorities that the runtime brings along."""
REPLACING: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
)
"""Variables whose file takes the place of the usual authorities."""

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----"  # and so never a key
)


class NoBundle(Exception):  # noqa: N818  # reads as what it says where it is raised
    """The bundle can't be made; `str` is one line for the user."""


def bundle_of(ca: Path, environ: Mapping[str, str], folder: Path | None = None) -> Path:
    """Write the bundle beside mitmproxy's CA, or in a folder, unless it is there.

    Raises `NoBundle`. In it: what the user's own variables name, else the system's authorities,
    and then `ca`.
    """
    try:
        files = [*(path.read_bytes() for path in _roots(environ)), _authority(ca)]
    except OSError as error:
        named = next((n for n in REPLACING if environ.get(n) == str(error.filename)), None)
        where = f"{error.filename}, as {named} says" if named else f"{error.filename}"
        raise NoBundle(f"{where}: can't be read: {error.strerror}") from None
    # One by one and each once: a bundle of ours may be among the files.
    certificates = dict.fromkeys(c for file in files for c in _CERTIFICATE.findall(file))
    data = b"".join(certificate + b"\n" for certificate in certificates)
    bundle = (folder or ca.parent) / f"foxora-bundle-{hashlib.sha256(data).hexdigest()[:12]}.pem"
    if not bundle.is_file():
        _write(bundle, data)
    return bundle


def is_of(ca: Path, authority: Path) -> bool:
    """Whether a file's certificate is one of those in another; raises OSError."""
    given, own = (set(map(_bare, _CERTIFICATE.findall(p.read_bytes()))) for p in (ca, authority))
    return not given.isdisjoint(own)


def _bare(certificate: bytes) -> bytes:
    """Without its line breaks, which are of many kinds."""
    return b"".join(certificate.split())


def _authority(ca: Path) -> bytes:
    """What has the certificates of the authority at `ca`; raises OSError.

    They are taken from beside their key, as mitmproxy does: an own authority may have no other
    file. Where that may not be read, there is mitmproxy's copy for clients.
    """
    with contextlib.suppress(OSError):
        own = ca.with_name(AUTHORITY).read_bytes()
        if _CERTIFICATE.search(own):
            return own
    return ca.read_bytes()


def _roots(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that a client of this environment trusts today, the system's first."""
    given = [Path(environ[name]).expanduser() for name in REPLACING if environ.get(name)]
    if not environ.get("SSL_CERT_FILE"):
        yield system_roots()
    yield from (path for path in given if not path.is_dir())
    more = [Path(environ[name]).expanduser() for name in ADDING if environ.get(name)]
    yield from (path for path in more if path.is_file())  # those are ignored where they are not


def system_roots() -> Path:
    """The system's authorities as OpenSSL was built to find them; certifi's where there are none.

    Not `ssl.get_default_verify_paths().cafile`, which heeds SSL_CERT_FILE.
    """
    built_in = Path(ssl.get_default_verify_paths().openssl_cafile)
    usual = (built_in, Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/ssl/cert.pem"))
    return next((path for path in usual if path.is_file()), Path(certifi.where()))


def _write(bundle: Path, data: bytes) -> None:
    """Write it whole or not at all; everybody may read what is public anyway."""
    try:
        descriptor, name = tempfile.mkstemp(dir=bundle.parent, prefix=".foxora-bundle-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(bundle)
    except OSError as error:
        remedy = "start the proxy with --set confdir=PATH, a folder that this user may write in"
        raise NoBundle(f"{bundle}: can't be written: {error.strerror}; {remedy}") from None
