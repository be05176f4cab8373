"""Where mitmproxy keeps its authority, and whether it can."""

import asyncio
import errno
import pwd
import threading
from pathlib import Path

import pytest

from foxora_addon.confdir import FirstStart, NoConfdir, confdir_of, require, why_not_writable


def test_it_lies_in_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert confdir_of() == tmp_path / ".mitmproxy"


def test_a_user_without_a_home_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(NoConfdir, match="no home folder"):
        confdir_of()
    assert confdir_of(str(tmp_path)) == tmp_path


def test_it_is_made_as_the_proxy_starts(tmp_path: Path) -> None:
    folder = tmp_path / "new" / ".mitmproxy"
    assert why_not_writable(folder) is None
    assert not folder.parent.exists()
    require(folder)
    assert folder.is_dir()


def test_one_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / ".mitmproxy"
    assert why_not_writable(folder) is not None
    with pytest.raises(NoConfdir, match="can't be made"):
        require(folder)


def test_one_that_may_not_be_written_will_do_with_an_authority_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(NoConfdir, match="may not write there"):
        require(tmp_path)
    (tmp_path / "mitmproxy-ca.pem").write_text("")
    require(tmp_path)


AUTHORITY = "-----BEGIN PRIVATE KEY-----\n...\n-----END CERTIFICATE-----\n"
SECONDS = 60


def test_those_that_start_at_once_wait_for_the_one_that_makes_the_authority(tmp_path: Path) -> None:
    first, second, third = FirstStart(), FirstStart(), FirstStart()
    order: list[str] = []

    def start_second() -> None:
        second.begin(tmp_path)
        order.append("begins")

    waiting = threading.Thread(target=start_second)
    first.begin(tmp_path)
    waiting.start()
    waiting.join(0.1)
    (tmp_path / "mitmproxy-ca.pem").write_text(AUTHORITY)
    order.append("made")
    first.running()
    first.running()  # again: nothing
    waiting.join(SECONDS)
    third.begin(tmp_path)  # the second holds nothing, for the authority is there
    assert order == ["made", "begins"]


def test_a_start_that_hangs_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foxora_addon.confdir._MOST_SECONDS", 0.1)
    first = FirstStart()
    first.begin(tmp_path)
    FirstStart().begin(tmp_path)
    first.running()


def test_ctrl_c_ends_the_wait_for_another_start(tmp_path: Path) -> None:
    first = FirstStart()
    first.begin(tmp_path)

    async def interrupted() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(KeyboardInterrupt):
            FirstStart().begin(tmp_path)
        task.uncancel()

    asyncio.run(interrupted())
    first.running()


def test_a_folder_that_can_not_be_entered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Path, **_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", refuses)
    with pytest.raises(NoConfdir, match="can't be entered: Permission denied"):
        require(tmp_path)


@pytest.mark.parametrize("text", ["", "no certificate", AUTHORITY[:20], AUTHORITY[30:]])
def test_an_authority_that_is_broken_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "mitmproxy-ca.pem").write_text(text)
    with pytest.raises(NoConfdir, match="is broken: it must have a private key") as told:
        FirstStart().begin(tmp_path)
    assert told.value.remedy.startswith("move mitmproxy-ca* of that folder elsewhere")


def test_an_authority_that_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "mitmproxy-ca.pem").mkdir()
    with pytest.raises(NoConfdir, match="can't be read: Is a directory"):
        FirstStart().begin(tmp_path)
