"""Records that an earlier version wrote are read, verified and valid for as long as `v` is 1."""

import json
import shutil
from pathlib import Path

import pytest

from foxora_addon.app import cli
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.schema import RECORD, RequestRecord, ResponseRecord
from foxora_addon.audit.verification import verify
from tests.builders import NOON, a_request_of, as_it_is

EARLIER = Path(__file__).parent / "earlier" / "trail.jsonl"


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return Path(shutil.copy(EARLIER, tmp_path / "trail.jsonl"))


def test_they_are_valid_and_what_they_lack_is_null(trail: Path) -> None:
    lines = trail.read_bytes().splitlines()
    request, response, _ = (RECORD.validate_python(json.loads(line)) for line in lines)
    assert isinstance(request, RequestRecord)
    assert request.decision.shadow is None
    assert isinstance(response, ResponseRecord)
    assert response.error is not None
    assert response.cost_source is None
    assert (response.error.retry_after_ms, response.tries[0].retry_after_ms) == (None, None)


def test_they_verify_and_the_trail_goes_on(trail: Path) -> None:
    assert (verify(trail).problem, verify(trail).records) == (None, 3)
    journal = Journal.open(trail, wall_clock=lambda: NOON)
    assert list(journal.left_open) == ["ex_0002"]
    assert journal.append(a_request_of("ex_0003"), as_it_is) == 4
    journal.close()
    assert verify(trail).problem is None


@pytest.mark.parametrize(
    "command",
    [
        ["tail"],
        ["stats"],
        ["show", "ex_0001"],
        ["why", "ex_0001"],
        ["show", "ex_0002"],
        ["export", "--format", "csv"],
        ["export", "--format", "har"],
        ["simulate", "--requests-per-minute", "5"],
        ["query", "SELECT model, shadow_code FROM exchanges"],
    ],
)
def test_each_command_reads_them(
    trail: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", *command, str(trail)]) == 0
    shown = capsys.readouterr()
    assert shown.out
    skips = command[0] == "query"  # DuckDB reads no half of a letter, which these may hold
    assert ("skipped" in shown.err) is skips
