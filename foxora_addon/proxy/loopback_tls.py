"""A certificate for this machine under mitmproxy's authority, to try out who trusts that."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mitmproxy import certs

_KEY_BITS = 2048  # of an authority that is not there yet; the caller sees to it that it is


def certificate_for(name: str, confdir: Path) -> bytes:
    """Key and certificate chain for a host name, as PEM, made by the authority in a folder.

    The authority must be there: else mitmproxy would make one. Raises OSError or ValueError.
    """
    if not (confdir / "mitmproxy-ca.pem").is_file():
        raise FileNotFoundError(f"{confdir} has no authority of mitmproxy's")
    store = certs.CertStore.from_store(confdir, "mitmproxy", _KEY_BITS)
    entry = store.get_cert(name, [x509.DNSName(name)])
    key = entry.privatekey.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return key + b"".join(cert.to_pem() for cert in (entry.cert, *entry.chain_certs))
