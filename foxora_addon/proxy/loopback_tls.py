"""A certificate for this machine under mitmproxy's authority, to try out who trusts that."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mitmproxy import certs

from foxora_addon.confdir import AUTHORITY


def certificate_for(name: str, confdir: Path, passphrase: bytes | None, empty: Path) -> bytes:
    """Key and certificate chain for a host name, as PEM, made by the authority in a folder.

    It must be there, and whole (`require_authority`). `empty` is a folder for what mitmproxy would
    write beside it. Raises OSError.
    """
    parameters = empty / "mitmproxy-dhparam.pem"
    store = certs.CertStore.from_files(confdir / AUTHORITY, parameters, passphrase)
    entry = store.get_cert(name, [x509.DNSName(name)])
    key = entry.privatekey.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return key + b"".join(cert.to_pem() for cert in (entry.cert, *entry.chain_certs))
