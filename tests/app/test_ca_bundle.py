"""The bundle: what a program trusted before, and mitmproxy's authority, each once."""

import ssl
import stat
from pathlib import Path

import certifi
import pytest

from foxora_addon.app.ca_bundle import NoBundle, bundle_of, is_of, system_roots

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def certificate(name: str) -> str:
    return f"{BEGIN}\n{name}\n{END}\n"


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    folder = tmp_path / "confdir"
    folder.mkdir()
    file = folder / "mitmproxy-ca-cert.pem"
    file.write_text(certificate("ours"))
    return file


def a_file(folder: Path, *names: str) -> str:
    file = folder / "-".join(names)
    file.write_text("# a remark\n" + "".join(certificate(name) for name in names))
    return str(file)


def test_the_systems_roots_come_first_and_ours_last(ca: Path) -> None:
    text = bundle_of(ca, {}).read_text()
    assert text.count(BEGIN) == system_roots().read_text("utf-8", "replace").count(BEGIN) + 1
    assert text.endswith(certificate("ours"))


def test_what_the_user_trusts_stays_trusted_each_certificate_once(ca: Path, tmp_path: Path) -> None:
    environ = {
        "SSL_CERT_FILE": a_file(tmp_path, "corp", "root"),
        "REQUESTS_CA_BUNDLE": a_file(tmp_path, "root"),
        "NODE_EXTRA_CA_CERTS": a_file(tmp_path, "extra"),
    }
    expected = "".join(certificate(name) for name in ("corp", "root", "extra", "ours"))
    assert bundle_of(ca, environ).read_text() == expected


def test_a_bundle_of_ours_is_not_wrapped_again(ca: Path, tmp_path: Path) -> None:
    once = bundle_of(ca, {"SSL_CERT_FILE": a_file(tmp_path, "corp")})
    environ = dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "DENO_CERT"), str(once))
    assert bundle_of(ca, environ) == once


def test_it_lies_beside_the_authority_readable_and_never_changes(ca: Path, tmp_path: Path) -> None:
    first = bundle_of(ca, {"SSL_CERT_FILE": a_file(tmp_path, "one")})
    before = first.read_bytes()
    second = bundle_of(ca, {"SSL_CERT_FILE": a_file(tmp_path, "two")})
    assert first != second
    assert first.read_bytes() == before
    assert stat.S_IMODE(first.stat().st_mode) == 0o644
    assert sorted(path.name for path in ca.parent.iterdir()) == sorted(
        [first.name, second.name, ca.name]
    )


def test_python_can_load_it(tmp_path: Path) -> None:
    one = certifi.contents().partition(END)[0] + END
    file = tmp_path / "mitmproxy-ca-cert.pem"
    file.write_text(one)
    context = ssl.create_default_context(cafile=str(bundle_of(file, {})))
    assert context.get_ca_certs()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_a_file_that_is_not_there_is_said_in_one_line(ca: Path, name: str) -> None:
    with pytest.raises(NoBundle, match=f"/nowhere.pem, as {name} says: can't be read"):
        bundle_of(ca, {name: "/nowhere.pem"})


KEY = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"


def test_an_own_authority_is_taken_from_beside_its_key_and_the_key_never(tmp_path: Path) -> None:
    chain = certificate("own") + certificate("root")
    (tmp_path / "mitmproxy-ca.pem").write_text(KEY + chain)
    environ = {"SSL_CERT_FILE": a_file(tmp_path, "corp")}
    ca = tmp_path / "mitmproxy-ca-cert.pem"
    assert bundle_of(ca, environ).read_text() == certificate("corp") + chain
    ca.write_text(certificate("of another one"))
    assert bundle_of(ca, environ).read_text() == certificate("corp") + chain


def test_a_key_amid_a_certificate_that_is_cut_off_is_not_taken_either(tmp_path: Path) -> None:
    broken = f"{BEGIN}\ncut off\n{KEY}{certificate('own')}"
    (tmp_path / "mitmproxy-ca.pem").write_text(broken)
    environ = {"SSL_CERT_FILE": a_file(tmp_path, "corp")}
    text = bundle_of(tmp_path / "mitmproxy-ca-cert.pem", environ).read_text()
    assert text == certificate("corp") + certificate("own")


def test_where_the_key_may_not_be_read_the_copy_for_clients_is_taken(
    ca: Path, tmp_path: Path
) -> None:
    ca.with_name("mitmproxy-ca.pem").mkdir()
    environ = {"SSL_CERT_FILE": a_file(tmp_path, "corp")}
    assert bundle_of(ca, environ).read_text() == certificate("corp") + certificate("ours")


def test_a_copy_is_of_an_authority_whatever_its_lines_end_with(ca: Path, tmp_path: Path) -> None:
    authority = tmp_path / "mitmproxy-ca.pem"
    authority.write_text(KEY + certificate("ours").replace("\n", "\r\n"), newline="")
    assert is_of(ca, authority)
    authority.write_text(KEY + certificate("another"))
    assert not is_of(ca, authority)
