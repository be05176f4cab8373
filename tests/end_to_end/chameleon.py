"""A gateway that fails in the ways that no web server can: before TLS, in it, and on HTTP/2.

It listens on one port, in threads; what it does to the next connection is told by its behaviour.
"""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANSWER = b'{"id":"x","object":"chat.completion","choices":[]}'
_HTTP_1 = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)
_EVENT = b'data: {"id":"x","object":"chat.completion.chunk","choices":[]}\n\n'
TRAILER = "said-behind-the-answer"
CERTIFICATES = ("good", "untrusted", "expired", "wrong-name")


class Chameleon:
    """The server. `behaviour`: `mute`, `close`, `reset`, `tls:CERTIFICATE`, or `h2:FAULT`."""

    def __init__(self, folder: Path) -> None:
        self.behaviour = "tls:good"
        self.trusted = folder / "trusted.pem"
        self._contexts = {name: _context(folder, name, self.trusted) for name in CERTIFICATES}
        self._http_2 = _context(folder, "good", self.trusted)
        self._http_2.set_alpn_protocols(["h2"])
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    @property
    def base_url(self) -> str:
        return f"https://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def run(self) -> None:
        """Take connections until it is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        kind, _, detail = self.behaviour.partition(":")
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            match kind:
                case "close":
                    connection.close()
                case "reset":
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()
                case "tls":
                    with self._contexts[detail].wrap_socket(connection, server_side=True) as secure:
                        _speak_http_1(secure)
                case "h2":
                    with self._http_2.wrap_socket(connection, server_side=True) as secure:
                        _speak_http_2(secure, detail)


def _speak_http_1(secure: ssl.SSLSocket) -> None:
    while secure.recv(65_536):
        secure.sendall(_HTTP_1)


def _speak_http_2(secure: ssl.SSLSocket, fault: str) -> None:
    config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    secure.sendall(connection.data_to_send())
    while data := secure.recv(65_536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                _answer_http_2(connection, event.stream_id, fault)
        secure.sendall(connection.data_to_send())
        if fault == "goaway":
            return


def _answer_http_2(connection: h2.connection.H2Connection, stream: int, fault: str) -> None:
    match fault:
        case "mute":
            return
        case "reset":
            connection.reset_stream(stream, 2)
        case "cancel":
            connection.reset_stream(stream, 8)
        case "goaway":
            connection.close_connection(2)
        case "broken":
            head = [(":status", "200"), ("content-type", "text/event-stream")]
            connection.send_headers(stream, head)
            connection.send_data(stream, _EVENT + b'data: {"id":"x","obj')
            connection.reset_stream(stream, 2)
        case "broken error":
            head = [(":status", "503"), ("content-type", "application/json")]
            connection.send_headers(stream, [*head, ("retry-after", "7")])
            connection.send_data(stream, b'{"err')
            connection.reset_stream(stream, 2)
        case "trailers" | "trailers of a stream":
            is_stream = fault.endswith("stream")
            kind = "text/event-stream" if is_stream else "application/json"
            connection.send_headers(stream, [(":status", "200"), ("content-type", kind)])
            connection.send_data(stream, _EVENT + b"data: [DONE]\n\n" if is_stream else ANSWER)
            connection.send_headers(stream, [("x-trailer", TRAILER)], end_stream=True)
        case _:
            connection.send_headers(
                stream, [(":status", "200"), ("content-type", "application/json")]
            )
            connection.send_data(stream, ANSWER, end_stream=True)


@contextlib.contextmanager
def running_chameleon(folder: Path) -> Iterator[Chameleon]:
    """The server in a thread."""
    chameleon = Chameleon(folder)
    thread = Thread(target=chameleon.run, daemon=True)
    thread.start()
    try:
        yield chameleon
    finally:
        chameleon.close()
        thread.join(5)


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def _context(folder: Path, name: str, trusted: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate of that kind."""
    authority = _authority()
    if name == "untrusted":
        pass
    elif trusted.exists():
        authority = _loaded(folder)
    else:
        _store(folder, authority, trusted)
    pem = folder / f"{name}.pem"
    pem.write_bytes(_leaf(authority, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def _authority() -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Authority(key, certificate)


def _store(folder: Path, authority: _Authority, trusted: Path) -> None:
    trusted.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "authority.key").write_bytes(_pem_of(authority.key))


def _loaded(folder: Path) -> _Authority:
    key = serialization.load_pem_private_key((folder / "authority.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate((folder / "trusted.pem").read_bytes())
    return _Authority(key, certificate)


def _leaf(authority: _Authority, name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    ends = now + dt.timedelta(days=-1 if name == "expired" else 20)
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    if name == "wrong-name":
        names = [x509.DNSName("elsewhere.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test gateway")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=20))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + _pem_of(key)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
