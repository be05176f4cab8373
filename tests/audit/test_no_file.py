"""A trail's path that leads to something else than a file."""

import os
from pathlib import Path

import pytest

from foxora_addon.audit.journal import Journal, TrailUnavailable


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
