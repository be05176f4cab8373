"""The benchmark of the limits leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.proxies import ROOT, wait_until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/cwd").exists(), reason="what runs where is read off /proc"
)


def processes_in(folder: Path) -> list[int]:
    """Those that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_its_gateway_and_its_proxy_when_it_is_interrupted(
    tmp_path: Path, ending: signal.Signals
) -> None:
    script = str(ROOT / "scripts" / "bench_limits.py")
    command = [sys.executable, script, "--quick", "--only", "foxora-addon requests sliding"]
    output = tmp_path / "output.log"
    with output.open("wb") as file:
        bench = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: len(processes_in(tmp_path)) > 1, output.read_text)  # both are started
        bench.send_signal(ending)
        assert bench.wait(60) == 130
    finally:
        bench.kill()
        left = processes_in(tmp_path)
        for number in left:
            os.kill(number, signal.SIGKILL)
    assert left == []
    assert "interrupted" in output.read_text()
