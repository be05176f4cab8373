"""Where mitmproxy keeps its authority, and whether it can."""

import pwd
from pathlib import Path

import pytest

from foxora_addon.confdir import NoConfdir, confdir_of, require, why_not_writable


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
