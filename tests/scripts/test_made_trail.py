"""The trail that figures are measured on is a trail like any other."""

import json
from pathlib import Path

from foxora_addon.audit.schema import RECORD
from foxora_addon.audit.verification import verify
from scripts.made_trail import lines


def test_a_made_trail_verifies_and_its_records_are_of_the_schema(tmp_path: Path) -> None:
    made = list(lines(400, seed=1))
    for line in made:
        RECORD.validate_python(json.loads(line))
    path = tmp_path / "trail.jsonl"
    path.write_bytes(b"".join(made))
    report = verify(path)
    assert (report.problem, report.records) == (None, 400)


def test_the_same_seed_makes_the_same_trail() -> None:
    assert list(lines(50, seed=7)) == list(lines(50, seed=7)) != list(lines(50, seed=8))
