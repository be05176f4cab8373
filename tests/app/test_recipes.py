"""README's recipes for other programs, run on a trail and on what stands beside one."""

import re
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from foxora_addon.audit.segments import segment_name
from tests.builders import a_trail

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a trail of two files, and all that a proxy puts beside it."""
    trail = a_trail(tmp_path / "foxora-audit.jsonl")
    shutil.copy(trail, segment_name(trail, 1))
    for ending in ("state.json", "head", "checkpoint"):
        (tmp_path / f"{trail.name}.{ending}").write_text('{\n "v": 1\n}\n')
    return tmp_path


def test_duckdb_reads_the_files_of_a_trail_and_no_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    recipe = re.search(r'duckdb -c "(SELECT .*?)"\n', README, re.DOTALL)
    assert recipe is not None
    rows = duckdb.execute(recipe[1]).fetchall()
    assert [row[1:3] for row in rows] == [("completed", 4)]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not here")
def test_jq_sums_a_trail_up(folder: Path) -> None:
    recipe = re.search(r"^(jq -s .*?foxora-audit\.jsonl)$", README, re.DOTALL | re.MULTILINE)
    assert recipe is not None
    found = subprocess.run(
        recipe[1], shell=True, cwd=folder, capture_output=True, text=True, timeout=30, check=True
    )
    assert '"calls":2' in found.stdout
