"""Findings about this machine: each reason to fail is made, and found."""

import errno
import resource
import socket
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foxora_addon.app.doctor import machine
from foxora_addon.audit.journal import Journal
from foxora_addon.config import Config, load
from tests.app.test_running_proxy import answering
from tests.builders import a_trail


def a_config(folder: Path) -> Config:
    return load({}, {"FOXORA_BASE_URL": "mock"}, folder)


def test_the_supported_versions_are_the_ones_that_are_required() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    (required,) = (text for text in project["dependencies"] if text.startswith("mitmproxy"))
    lowest, above = (".".join(map(str, numbers)) for numbers in machine.SUPPORTED)
    assert required == f"mitmproxy>={lowest},<{above}"
    assert machine.about_mitmproxy().verdict == "ok"


@pytest.mark.parametrize("version", ["12.1.9", "13.0.0", "11"])
def test_another_version_fails(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: version)
    assert machine.about_mitmproxy().verdict == "fail"


def test_a_free_port_is_fine_and_a_taken_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        assert machine.about_port(port)[0].verdict == "ok"
    with answering({}, is_ours=False) as port:
        finding, status = machine.about_port(port)
    assert (finding.verdict, status) == ("fail", None)
    assert finding.remedy is not None
    assert f"-p {port + 1}" in finding.remedy


def test_a_port_that_may_not_be_taken_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", forbidden)
    finding, status = machine.about_port(80)
    assert (finding.verdict, status) == ("fail", None)
    assert "Permission denied" in finding.text


def test_a_port_with_our_proxy_is_fine_and_tells_of_it() -> None:
    told = {"version": "0.1.0", "gateway": "https://api.foxora.ai/v1"}
    with answering({"status": told}) as port:
        finding, status = machine.about_port(port)
    assert finding.verdict == "ok"
    assert "our proxy 0.1.0" in finding.text
    assert status == told


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("", ["ok"]),
        ("stream_large_bodies: 1m\nssl_insecure: true\n", ["fail", "fail"]),
        ("proxy_debug: true\n", ["fail"]),
        ("listen_host: 0.0.0.0\n", ["fail"]),
        ("connection_strategy: eager\n", ["warn"]),
        ("a: [", ["fail"]),
        ("just a text", ["fail"]),
    ],
)
def test_options_of_mitmproxys_own_file_are_looked_through(
    tmp_path: Path, text: str, verdicts: list[str]
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert [finding.verdict for finding in machine.about_options(tmp_path)] == verdicts


def test_both_files_are_looked_through_and_the_later_one_wins(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("ssl_insecure: true\nlisten_host: 0.0.0.0\n")
    (tmp_path / "config.yml").write_text("ssl_insecure: false\n")
    (found,) = machine.about_options(tmp_path)
    assert found.text.startswith("listen_host in ")


def test_without_such_a_file_nothing_stands_against_us(tmp_path: Path) -> None:
    assert [finding.verdict for finding in machine.about_options(tmp_path)] == ["ok"]


def test_options_in_a_folder_that_can_not_be_entered_are_left_to_what_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Path, **_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuses)
    assert list(machine.about_options(tmp_path)) == []


def test_a_proxy_of_the_environment_is_warned_of_but_not_our_own() -> None:
    given = {"HTTPS_PROXY": "http://corp.example:3128"}
    (finding,) = machine.about_environment(given, None)
    assert finding.verdict == "warn"
    ours: dict[str, Any] = {"url": "http://127.0.0.1:8080"}
    (finding,) = machine.about_environment({"HTTPS_PROXY": ours["url"]}, ours)
    assert finding.verdict == "ok"


def test_a_trail_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    assert machine.about_trail(config, None).verdict == "ok"
    assert not config.audit.path.exists()


def test_a_trail_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    config = a_config(tmp_path)
    for name in ("null", "."):
        audit = config.audit.model_copy(update={"path": tmp_path / name})
        found = machine.about_trail(config.model_copy(update={"audit": audit}), None)
        assert (found.verdict, "no regular file" in found.text) == ("fail", True)


def test_a_trail_of_a_name_that_can_not_be_fails(tmp_path: Path) -> None:
    config = load({"foxora_audit": "x" * 300}, {"FOXORA_BASE_URL": "mock"}, tmp_path)
    found = machine.about_trail(config, None)
    assert (found.verdict, "File name too long" in found.text) == ("fail", True)
    assert len(list(machine.about_room(config))) == 0


def test_a_trail_without_a_folder_fails(tmp_path: Path) -> None:
    assert machine.about_trail(a_config(tmp_path / "nowhere"), None).verdict == "fail"


def test_a_trail_that_is_a_folder_fails(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    config.audit.path.mkdir()
    assert machine.about_trail(config, None).verdict == "fail"


@pytest.mark.parametrize("content", [b'{"hello": 1}\n', b"\x7fELF\0\0" * 100, b"no line break"])
def test_a_file_of_another_program_is_no_trail(tmp_path: Path, content: bytes) -> None:
    config = a_config(tmp_path)
    config.audit.path.write_bytes(content)
    found = machine.about_trail(config, None)
    assert (found.verdict, "no trail" in found.text) == ("fail", True)
    assert config.audit.path.read_bytes() == content


def test_an_empty_trail_and_a_torn_one_will_do(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    config.audit.path.touch()
    assert machine.about_trail(config, None).verdict == "ok"
    whole = a_trail(config.audit.path).read_bytes()
    config.audit.path.write_bytes(whole[:-100])
    assert machine.about_trail(config, None).verdict == "ok"


def test_a_trail_whose_closed_files_can_not_be_read_fails(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    config.audit.path.touch()
    config.audit.path.with_name(f"{config.audit.path.name}.000000000001").mkdir()
    found = machine.about_trail(config, None)
    assert (found.verdict, "can't be read" in found.text) == ("fail", True)


def test_a_trail_that_another_proxy_writes_fails_and_the_running_ones_is_fine(
    tmp_path: Path,
) -> None:
    config = a_config(tmp_path)
    journal = Journal.open(config.audit.path, wall_clock=lambda: 0.0)
    try:
        assert machine.about_trail(config, None).verdict == "fail"
        (tmp_path / "link").symlink_to(tmp_path)
        for named in (config.audit.path, tmp_path / "link" / config.audit.path.name):
            assert machine.about_trail(config, {"trail": str(named)}).verdict == "ok"
        assert machine.about_trail(config, {"trail": None}).verdict == "fail"
    finally:
        journal.close()
    assert machine.about_trail(config, None).verdict == "ok"


@pytest.mark.parametrize(
    ("free", "verdicts"),
    [(0, ["fail"]), (999_999, ["fail"]), (50_000_000, ["warn"]), (10**12, [])],
)
def test_a_full_disk_fails(tmp_path: Path, free: int, verdicts: list[str]) -> None:
    looked_at: list[Path] = []

    def usage_of(path: Path) -> SimpleNamespace:
        looked_at.append(path)
        return SimpleNamespace(free=free)

    findings = machine.about_room(a_config(tmp_path), usage_of)
    assert [finding.verdict for finding in findings] == verdicts
    assert looked_at == [tmp_path]


def test_room_that_can_not_be_told_is_not_told(tmp_path: Path) -> None:
    assert list(machine.about_room(a_config(tmp_path / "nowhere"))) == []


def test_too_few_open_files_are_told_of_with_a_remedy(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    (finding,) = machine.about_files(config, (64, 256))
    assert finding.verdict == "warn"
    assert "256 open files are enough for" in finding.text
    assert finding.remedy is not None
    assert "ulimit -n 6100" in finding.remedy
    assert list(machine.about_files(config, (64, 6_100))) == [], "the proxy raises it by itself"
    assert list(machine.about_files(config, (-1, -1))) == []


def test_the_limit_of_this_process_is_the_one_that_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    assert [finding.check for finding in machine.about_files(a_config(tmp_path))] == ["files"]
