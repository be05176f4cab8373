"""Those that start at once make one authority, and nobody waits in silence or for ever."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foxora_addon import first_start
from foxora_addon.first_start import alone_at_first_start

SECONDS = 60
# Where the tests run under `nohup`, or behind a shell's `&`, it would be ignored.
_HEEDS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def silent(words: str) -> None:
    raise AssertionError(words)


def test_those_that_start_at_once_wait_for_the_one_that_makes_the_authority(tmp_path: Path) -> None:
    order: list[str] = []

    def start_second() -> None:
        with alone_at_first_start(tmp_path, silent):
            order.append("begins")
            # It holds nothing, for the authority is there.
            with alone_at_first_start(tmp_path, silent):
                order.append("so does a third")

    waiting = threading.Thread(target=start_second)
    with alone_at_first_start(tmp_path, silent):
        waiting.start()
        waiting.join(0.1)
        (tmp_path / "mitmproxy-ca.pem").write_text("")
        order.append("made")
    waiting.join(SECONDS)
    assert order == ["made", "begins", "so does a third"]


def test_a_start_that_fails_lets_others_in(tmp_path: Path) -> None:
    def fails() -> None:
        with alone_at_first_start(tmp_path, silent):
            raise ValueError("a start that fails")

    with pytest.raises(ValueError, match="a start that fails"):
        fails()
    with alone_at_first_start(tmp_path, silent):
        pass


def waits(monkeypatch: pytest.MonkeyPatch, silent_seconds: float) -> None:
    monkeypatch.setattr("foxora_addon.first_start._MOST_SECONDS", 0.2)
    monkeypatch.setattr("foxora_addon.first_start._SILENT_SECONDS", silent_seconds)


@pytest.mark.parametrize(("silent_seconds", "count"), [(0.0, 1), (1.0, 0)])
def test_a_start_that_hangs_is_told_once_and_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_seconds: float, count: int
) -> None:
    waits(monkeypatch, silent_seconds)
    said: list[str] = []
    with alone_at_first_start(tmp_path, silent), alone_at_first_start(tmp_path, said.append):
        pass
    assert said == [f"waiting for another start, which makes an authority in {tmp_path}"] * count


def test_ctrl_c_ends_the_wait_for_another_start(tmp_path: Path) -> None:
    def begin(say: Callable[[str], None]) -> None:
        with alone_at_first_start(tmp_path, say):
            pass

    async def interrupted() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(KeyboardInterrupt):
            begin(silent)
        task.uncancel()
        with contextlib.suppress(asyncio.CancelledError):  # 3.12 goes through with it all the same
            await asyncio.sleep(0)

    with alone_at_first_start(tmp_path, silent):
        asyncio.run(interrupted())


def test_ctrl_c_ends_the_wait_of_a_start_by_the_script_without_a_traceback(tmp_path: Path) -> None:
    begins = "import sys; from foxora_addon.first_start import begins; begins(sys.argv)"
    with alone_at_first_start(tmp_path, silent):
        waiting = subprocess.Popen(
            [sys.executable, "-c", _HEEDS_CTRL_C + begins, f"confdir={tmp_path}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        with waiting:
            assert waiting.stderr is not None
            assert "waiting for another start" in waiting.stderr.readline()
            waiting.send_signal(signal.SIGINT)
            assert waiting.stderr.read() == ""
    assert waiting.returncode == -signal.SIGINT


@pytest.mark.parametrize("shape", ["--set|confdir={}", "--set=confdir={}", "HOME"])
def test_a_start_by_the_script_lets_others_in_once_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    folder = tmp_path / ".mitmproxy"
    monkeypatch.setenv("HOME", str(tmp_path))
    order: list[str] = []

    def start_second() -> None:
        with alone_at_first_start(folder, silent):
            order.append("begins")

    waiting = threading.Thread(target=start_second)
    named = [] if shape == "HOME" else shape.format(folder).split("|")
    for _ in range(2):  # as where the interpreter reads our line twice
        first_start.begins(["-s", "script.py", *named, "--set", "a=b"])
    waiting.start()
    waiting.join(0.1)
    order.append("made")
    first_start.is_over()
    waiting.join(SECONDS)
    assert order == ["made", "begins"]


_MITMDUMP = Path(sys.executable).parent / "mitmdump"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--bogus"],
        ["--mode", "bogus"],
        ["-s", "none.py"],
        ["~bogus(("],
        ["--set", "confdir=a/b", "--bogus"],
    ],
)
def test_a_command_line_that_starts_nothing_leaves_nothing(
    tmp_path: Path, wrong: list[str]
) -> None:
    asked = subprocess.run(
        [_MITMDUMP, "-s", "foxora_addon", *wrong],
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert asked.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_what_stood_there_before_stays(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    begins = "import sys; from foxora_addon.first_start import begins; begins(sys.argv)"
    for name in ("kept", "kept/new", "kept/new"):
        subprocess.run(
            [sys.executable, "-c", begins, f"confdir={tmp_path / name}"],
            timeout=SECONDS,
            check=True,
        )
    assert list(tmp_path.rglob("*")) == [folder]


def test_where_nothing_starts_or_an_authority_is_there_nobody_is_kept_out(tmp_path: Path) -> None:
    first_start.begins(["--version", "--set", f"confdir={tmp_path / 'new'}"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "mitmproxy-ca.pem").write_text("")
    first_start.begins(["--set", f"confdir={tmp_path}"])
    (tmp_path / "mitmproxy-ca.pem").unlink()
    with alone_at_first_start(tmp_path, silent):
        pass
    (tmp_path / "file").write_text("")
    first_start.begins(["--set", f"confdir={tmp_path / 'file'}"])  # mitmproxy says it
