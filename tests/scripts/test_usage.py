"""What a script does not know is said, and nothing is done."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "argument"),
    [
        ("schema.py", "--chek"),
        ("crash_test.py", "many"),
        ("trail_figures.py", "many"),
        ("pictures.py", "nothing"),
    ],
)
def test_wrong_usage_is_said(script: str, argument: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), argument],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert argument in done.stderr
    assert "Traceback" not in done.stderr
