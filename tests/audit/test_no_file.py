"""A trail's path that leads to something else than a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foxora_addon.app import cli
from foxora_addon.audit.journal import Journal
from foxora_addon.audit.running_file import TrailUnavailable


def refused(path: Path) -> str:
    with pytest.raises(TrailUnavailable) as caught:
        Journal.open(path, wall_clock=lambda: 0.0)
    return str(caught.value)


def test_a_device_is_no_trail_and_is_not_read_for_ever() -> None:
    words = "/dev/zero is no regular file; give the trail another path with foxora_audit=PATH"
    assert refused(Path("/dev/zero")) == words


def test_a_named_pipe_is_no_trail(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in refused(tmp_path / "pipe")


def test_what_the_program_prints_to_is_no_trail(tmp_path: Path) -> None:
    path = tmp_path / "output"
    opens = (
        "import sys; from pathlib import Path; from foxora_addon.audit.journal import Journal\n"
        "from foxora_addon.audit.place import place_of\n"
        "Journal.open(place_of(Path(sys.argv[1])), wall_clock=lambda: 0.0)"
    )
    for name in (str(path), "/dev/stdout"):
        with path.open("wb") as output:
            command = [sys.executable, "-c", opens, name]
            done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)
        assert f"{path} is what we print to; give the trail another path" in done.stderr.decode()
    done = subprocess.run([*command[:-1], "/dev/stdout"], capture_output=True, check=False)
    assert b"/dev/stdout is no regular file" in done.stderr


@pytest.mark.parametrize("command", [["verify"], ["tail"], ["stats"], ["query", "select 1"]])
def test_neither_is_read(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        assert cli.main(["audit", *command, path]) == 1
        assert f"{path}: can't be read: it is no regular file" in capsys.readouterr().err
