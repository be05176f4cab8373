"""Host names, host patterns and base URLs as values, each in one spelling, so that they compare.

It decides what counts as the same host. It resolves no name and opens no connection. Texts of the
`ValueError`s raised here are predicates ("is not a host name; ..."): the caller knows the subject.
"""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# `127.1`, `2130706433` and `0x7f.1` are IPv4 addresses to some resolvers and names to others
# (WHATWG URL, "ends in a number"): neither reading is safe, so such a text is no host at all.
_NUMERIC_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
# No `%`: an encoded slash or dot segment in a prefix could leave it again.
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")


@lru_cache(maxsize=1024)
def canonical_host(text: str) -> str | None:
    """Return the host in the one spelling that is compared; None where the text is no host.

    Lower case, IDNA as ASCII, one trailing dot removed; an IP address as `ipaddress` writes it,
    without brackets. The `idna` codec is the one that mitmproxy itself uses.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _is_address(bare):
        return str(ip_address(bare))
    if len(bare) > 254:
        return None
    try:
        name = bare.removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    is_name = _NAME.fullmatch(name) and len(name) <= 253 and not _NUMERIC_END.fullmatch(name)
    return name if is_name else None


def is_loopback(host: str) -> bool:
    """Say whether a host, in any spelling, can only be this machine."""
    name = canonical_host(host)
    if name is None:
        return False
    if _is_address(name):
        return ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")  # RFC 6761, 6.3


class HostPattern(NamedTuple):
    """A host in canonical spelling, or `*.` and one, for every name below it; port None is any."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = _bracketed(self.host)
        return host if self.port is None else f"{host}:{self.port}"


def parse_host_pattern(text: str) -> HostPattern:
    """Read `host`, `host:port`, `[::1]:port`, or a name behind `*.`; raises ValueError."""
    if "/" in text:
        raise ValueError("is a URL; write the host alone, as in api.example.com or localhost:8000")
    host, port = _split_port(text)
    star = "*." if host.startswith("*.") else ""
    name = canonical_host(host.removeprefix(star))
    if name is None or (star and _is_address(name)):
        raise ValueError("is not a host; write api.example.com, localhost:8000 or *.example.com")
    return HostPattern(star + name, port)


class BaseUrl(NamedTuple):
    """Where an API lies. `host` is canonical, `path` is "" or "/..." without a last "/"."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Its host, and its port unless it is the scheme's own: what a Host header names it by."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{_bracketed(self.host)}{port}"


def parse_base_url(text: str) -> BaseUrl:
    """Read an http(s) URL without user, query or fragment; raises ValueError."""
    scheme, host, port, path = _split_url(text)
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("is not an http or https URL; write https://HOST/v1")
    path = path.rstrip("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError("has a path with characters or dot segments that a base URL can't have")
    return BaseUrl(scheme, host, port or _DEFAULT_PORTS[scheme], path)


def parse_origin(text: str) -> str:
    """Read a web origin and return it as a browser writes it (RFC 6454, 6.2); raises ValueError.

    Any scheme is accepted, since editors and desktop apps have their own (`app://obsidian.md`).
    """
    scheme, host, port, path = _split_url(text)
    if path:
        raise ValueError("is more than an origin; write scheme, host and port: https://app.example")
    is_default = port is None or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{_bracketed(host)}" + ("" if is_default else f":{port}")


def _split_url(text: str) -> tuple[str, str, int | None, str]:
    """Return scheme, canonical host, port and path; raises ValueError for all that is more."""
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme.lower()):
        raise ValueError("is not a URL; write https:// and the host")
    if not text.isascii() or not text.isprintable() or {" ", "\\"} & set(text):
        # Parsers differ in what they drop silently: what was checked must be what is used.
        raise ValueError("has characters that a URL can't have; write host names as xn--...")
    if "?" in rest or "#" in rest:
        raise ValueError("has a query or a fragment; write it without")
    if "@" in rest.partition("/")[0]:
        raise ValueError("has a user name or password; write it without")
    authority, slash, path = rest.partition("/")
    host, port = _split_port(authority)
    name = canonical_host(host)
    if name is None or (":" in name and not host.startswith("[")):
        raise ValueError("has no valid host; write https:// and the host")
    return scheme.lower(), name, port, slash + path


def _split_port(text: str) -> tuple[str, int | None]:
    """Split `host:port`; more than one colon without brackets is an IPv6 address without a port."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.endswith("]")):
        return text, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("has a port that is not a number from 1 to 65535")
    return host, int(port)


def _is_address(text: str) -> bool:
    """Say whether a text is an IP address; one with a zone (`fe80::1%eth0`) is no host of a URL."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
