"""Who trusts the authority: what can be told without one. Real runtimes are tried end to end."""

from pathlib import Path

import pytest

from foxora_addon.app.doctor import trust


def test_without_an_authority_the_first_start_is_advised(tmp_path: Path) -> None:
    (finding,) = trust.look(tmp_path / "mitmproxy-ca-cert.pem", {})
    assert finding.verdict == "warn"
    assert list(tmp_path.iterdir()) == []


def test_an_authority_that_can_not_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("")
    (finding,) = trust.look(tmp_path / "no-folder" / "mitmproxy-ca-cert.pem", {})
    assert finding.verdict == "fail"
    assert "can't be made in" in finding.text


def test_an_authority_that_is_broken_fails(tmp_path: Path) -> None:
    for name in ("mitmproxy-ca-cert.pem", "mitmproxy-ca.pem"):
        (tmp_path / name).write_text("no certificate")
    told = [each for each in trust.look(tmp_path / "mitmproxy-ca-cert.pem", {}) if each.remedy]
    assert (told[0].check, told[0].verdict) == ("CA", "fail")
    assert "can't be loaded" in told[0].text


def test_a_bundle_that_run_could_not_make_fails(tmp_path: Path) -> None:
    ca = tmp_path / "mitmproxy-ca-cert.pem"
    ca.write_text("")
    findings = list(trust.look(ca, {"SSL_CERT_FILE": str(tmp_path / "gone.pem")}))
    (told,) = [finding for finding in findings if "gone.pem" in finding.text]
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
