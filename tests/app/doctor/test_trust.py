"""Who trusts the authority: what can be told without one. Real runtimes are tried end to end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from mitmproxy import certs

from foxora_addon.app.doctor import trust
from foxora_addon.app.doctor.finding import Finding
from foxora_addon.authority import BROKEN_REMEDY


def test_without_an_authority_the_first_start_is_advised(tmp_path: Path) -> None:
    (finding,) = trust.look(tmp_path / "mitmproxy-ca-cert.pem", {})
    assert finding.verdict == "warn"
    assert list(tmp_path.iterdir()) == []


def test_an_authority_that_can_not_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("")
    (finding,) = trust.look(tmp_path / "no-folder" / "mitmproxy-ca-cert.pem", {})
    assert finding.verdict == "fail"
    assert "can't be made in" in finding.text


def told_of(folder: Path, environ: Mapping[str, str] = {}, **how: Any) -> list[Finding]:
    """What is said of an authority, but not of those who trust it."""
    found = trust.look(folder / "mitmproxy-ca-cert.pem", environ, **how)
    return [finding for finding in found if finding.check == "CA"]


def test_an_authority_that_is_broken_fails(tmp_path: Path) -> None:
    for name in ("mitmproxy-ca-cert.pem", "mitmproxy-ca.pem"):
        (tmp_path / name).write_text("no certificate")
    (told,) = told_of(tmp_path)
    assert told.verdict == "fail"
    assert told.text.endswith("is broken: it has no whole private key; the proxy does not start")
    assert told.remedy == BROKEN_REMEDY
    (told,) = told_of(tmp_path, runs=True)
    assert told.verdict == "warn"
    assert told.text.endswith("so who trusts it can't be tried out")


def an_authority(folder: Path, name: str = "own") -> tuple[bytes, bytes]:
    """Put one there without anything else, as its owner would; its key and certificate."""
    key, ca = certs.create_ca(name, name, 2048)
    parts = (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ca.public_bytes(Encoding.PEM),
    )
    (folder / "mitmproxy-ca.pem").write_bytes(b"".join(parts))
    return parts


def test_an_own_authority_is_tried_out_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    an_authority(tmp_path)
    found = list(trust.look(tmp_path / "mitmproxy-ca-cert.pem", {}))
    told = {finding.check: finding for finding in found}
    assert told["CA"].verdict == "ok"
    assert told["CA"].text == f"{tmp_path / 'mitmproxy-ca.pem'}"
    assert told["CA Python"].text.startswith("trusts it under")
    assert [path.name for path in tmp_path.iterdir()] == ["mitmproxy-ca.pem"]


def test_a_copy_of_another_authority_is_warned_of(tmp_path: Path) -> None:
    _, other = an_authority(tmp_path, "other")
    copy = tmp_path / "mitmproxy-ca-cert.pem"
    copy.write_bytes(other)
    assert [told.verdict for told in told_of(tmp_path)] == ["ok"]
    an_authority(tmp_path)
    (told,) = told_of(tmp_path)
    assert told.verdict == "warn"
    assert told.text.startswith(f"{copy} is not the certificate in mitmproxy-ca.pem")


def test_a_key_with_a_passphrase_is_opened_by_that_of_mitmproxys_options(tmp_path: Path) -> None:
    key, ca = certs.create_ca("own", "own", 2048)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
    )
    (tmp_path / "mitmproxy-ca.pem").write_bytes(locked + ca.public_bytes(Encoding.PEM))
    assert [told.verdict for told in told_of(tmp_path)] == ["fail"]
    assert [told.verdict for told in told_of(tmp_path, passphrase=b"a passphrase")] == ["ok"]


def test_a_bundle_that_run_could_not_make_fails(tmp_path: Path) -> None:
    an_authority(tmp_path)
    _, told = told_of(tmp_path, {"SSL_CERT_FILE": str(tmp_path / "gone.pem")})
    assert "gone.pem" in told.text
    assert told.verdict == "fail"
    assert told.remedy is not None


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((22, 20, 0), "warn"), ((22, 21, 0), "ok"), ((23, 9, 0), "warn"), ((24, 0, 0), "ok")],
)
def test_a_node_that_heeds_no_proxy_is_told(version: tuple[int, ...], verdict: str) -> None:
    (finding,) = trust.about_node(version)
    assert finding.verdict == verdict
    assert not list(trust.about_node(None))
