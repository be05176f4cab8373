"""What a script does not know is said, and nothing is done."""

import os
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


@pytest.mark.parametrize(
    "script",
    sorted(
        each.name for each in (ROOT / "scripts").glob("[!_]*") if each.is_file() and not each.suffix
    ),
)
def test_help_is_the_scripts_own_first_words_and_nothing_is_set_up(script: str) -> None:
    file = ROOT / "scripts" / script
    done = subprocess.run(
        [file, "--help"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, *_ = file.read_text("utf-8").splitlines()[1:]
    assert (done.returncode, done.stderr) == (0, "")
    assert f"# {done.stdout.splitlines()[0]}" == first
