"""mitmproxy reads its authority once, where its options have led to, and says what is wrong."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import certs
from mitmproxy.exceptions import OptionsError
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from foxora_addon.proxy.ca_reading import CaReading


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that mitmproxy reads an authority from, in their order."""
    files: list[Path] = []
    from_files = certs.CertStore.from_files

    def noted(file: Path, *rest: Any) -> certs.CertStore:
        files.append(file)
        return from_files(file, *rest)

    monkeypatch.setattr(certs.CertStore, "from_files", noted)
    return files


def with_reading(act: Callable[[CaReading, DumpMaster], None]) -> None:
    async def main() -> None:
        master = DumpMaster(Options(), with_termlog=False, with_dumper=False)
        act(CaReading(master), master)

    asyncio.run(main())


def test_it_is_read_once_however_many_options_lead_to_it(tmp_path: Path, read: list[Path]) -> None:
    def act(reading: CaReading, master: DumpMaster) -> None:
        master.options.update(confdir=str(tmp_path / "first"))
        master.options.update(confdir=str(tmp_path / "second"), cert_passphrase="of ours")
        assert read == []
        reading.settle()
        master.addons.get("tlsconfig").running()
        assert read == [tmp_path / "second" / "mitmproxy-ca.pem"]
        assert not (tmp_path / "first").exists()

    with_reading(act)


def test_while_it_runs_another_is_read_and_one_that_will_not_do_is_refused(
    tmp_path: Path, read: list[Path]
) -> None:
    def act(reading: CaReading, master: DumpMaster) -> None:
        master.options.update(confdir=str(tmp_path / "first"))
        reading.settle()
        master.options.update(confdir=str(tmp_path / "second"))
        assert read[-1] == tmp_path / "second" / "mitmproxy-ca.pem"
        (tmp_path / "third").mkdir()
        (tmp_path / "third" / "mitmproxy-ca.pem").write_text("no certificate")
        with pytest.raises(OptionsError, match="is broken: it has no whole private key; put an"):
            master.options.update(confdir=str(tmp_path / "third"))
        assert master.options.confdir == str(tmp_path / "second")
        assert read[-1] == tmp_path / "second" / "mitmproxy-ca.pem"

    with_reading(act)


def test_other_options_of_tls_are_heeded_before(tmp_path: Path, read: list[Path]) -> None:
    def act(_: CaReading, master: DumpMaster) -> None:
        with pytest.raises(OptionsError, match="Invalid ECDH curve"):
            master.options.update(confdir=str(tmp_path), tls_ecdh_curve_client="nonsense")

    with_reading(act)
    assert read == []


def test_a_file_of_the_option_certs_that_is_unfit_is_told_in_one_line(tmp_path: Path) -> None:
    certs.CertStore.create_store(tmp_path / "one", "mitmproxy", 2048)
    certs.CertStore.create_store(tmp_path / "two", "mitmproxy", 2048)
    key = (tmp_path / "one" / "mitmproxy-ca.pem").read_text().partition("-----BEGIN CERT")[0]
    file = tmp_path / "unfit.pem"
    file.write_text(key + (tmp_path / "two" / "mitmproxy-ca-cert.pem").read_text())

    def act(reading: CaReading, master: DumpMaster) -> None:
        master.options.update(confdir=str(tmp_path / "one"))
        reading.settle()
        for content in (file.read_text(), "junk", key):
            file.write_text(content)
            with pytest.raises(OptionsError) as raised:
                master.options.update(certs=[str(file)])
            (line,) = str(raised.value).splitlines()
            assert line.startswith(f"Invalid certificate format for {file}: ")
            assert "object at" not in line
            assert not line.endswith(":")

    with_reading(act)


def test_a_certificate_of_another_key_is_refused_although_mitmproxy_takes_it(
    tmp_path: Path,
) -> None:
    certs.CertStore.create_store(tmp_path / "one", "mitmproxy", 2048)
    certs.CertStore.create_store(tmp_path / "two", "mitmproxy", 2048)
    key = (tmp_path / "one" / "mitmproxy-ca.pem").read_text().partition("-----BEGIN CERT")[0]
    mixed = key + (tmp_path / "two" / "mitmproxy-ca-cert.pem").read_text()
    (tmp_path / "two" / "mitmproxy-ca.pem").write_text(mixed)

    def act(reading: CaReading, master: DumpMaster) -> None:
        master.options.update(confdir=str(tmp_path / "two"))
        with pytest.raises(OptionsError, match="its certificate belongs to another key"):
            reading.settle()

    with_reading(act)


def test_a_file_of_the_option_certs_is_not_taken_for_the_authority(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").mkdir()

    def act(reading: CaReading, master: DumpMaster) -> None:
        master.options.update(confdir=str(tmp_path), certs=[f"*={tmp_path / 'leaf.pem'}"])
        with pytest.raises(OptionsError, match=r"the option certs can't be read.*leaf\.pem"):
            reading.settle()

    with_reading(act)
