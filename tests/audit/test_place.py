"""A trail whose name is a link: its files stand where it leads, and it is found by either name."""

from pathlib import Path

import pytest

from foxora_addon.app import cli
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.keeping import Keeping
from foxora_addon.audit.place import place_of
from foxora_addon.config import load
from tests.builders import NOON, a_request_of, a_response_of, as_it_is

SMALL = Keeping(rotate_bytes=3_000)
ENVIRON = {"FOXORA_BASE_URL": "mock"}


@pytest.fixture
def link(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "trail.jsonl"
    path.symlink_to("../disk/kept.jsonl")
    return path


def test_what_is_no_link_stays_as_it_is_named(tmp_path: Path, link: Path) -> None:
    assert place_of(Path("trail.jsonl")) == Path("trail.jsonl")
    assert place_of(link) == tmp_path / "disk" / "kept.jsonl"
    again = tmp_path / "again"
    again.symlink_to(link)
    assert place_of(again) == tmp_path / "disk" / "kept.jsonl"


def test_a_name_that_can_not_be_is_no_crash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("x" * 300)
    assert load({"foxora_audit": str(path)}, ENVIRON, tmp_path).audit.path == path
    assert cli.main(["audit", "verify", str(path)]) == 1
    assert "File name too long" in capsys.readouterr().err


def test_a_link_to_itself_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    path.symlink_to(path)
    assert place_of(path).is_symlink()


def test_a_trail_is_kept_where_its_name_leads_and_found_by_either(
    tmp_path: Path, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = load({"foxora_audit": str(link)}, ENVIRON, tmp_path).audit
    for start in range(2):
        journal = Journal.open(audit.path, sync="none", wall_clock=lambda: NOON, keeping=SMALL)
        for number in range(10):
            journal.append(a_request_of(f"{start}x{number}", b"a" * 300), as_it_is)
            journal.append(a_response_of(f"{start}x{number}"), as_it_is)
        journal.close()
    assert link.is_symlink()
    assert list(link.parent.iterdir()) == [link]
    assert audit.checkpoint_file.parent == tmp_path / "disk"

    said = []
    for name in (link, tmp_path / "disk" / "kept.jsonl"):
        for command in (["verify"], ["stats", "--json"]):
            assert cli.main(["audit", *command, str(name)]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert " segments" in said[0]
