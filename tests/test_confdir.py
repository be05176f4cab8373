"""Where mitmproxy keeps its authority, and whether it can."""

import errno
import os
import pwd
from pathlib import Path

import pytest

from foxora_addon.confdir import NoConfdir, confdir_of, require, require_options, why_not_writable


def test_it_lies_in_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert confdir_of() == tmp_path / ".mitmproxy"


def test_a_user_without_a_home_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(NoConfdir, match="no home folder"):
        confdir_of()
    assert confdir_of(str(tmp_path)) == tmp_path


def test_a_name_that_is_not_in_utf_8_is_told() -> None:
    with pytest.raises(NoConfdir, match=r"^caf\\xe9 is not in UTF-8"):
        confdir_of(os.fsdecode(b"caf\xe9"))


def test_a_name_that_no_folder_can_have_is_told() -> None:
    with pytest.raises(NoConfdir, match="can't have a NUL in it"):
        confdir_of("a\0b")


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


def test_one_that_is_no_folder_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NoConfdir, match=r"file is no folder$"):
        require(file)
    assert str(why_not_writable(file)).endswith(f"{file} is no folder")


def test_one_that_may_not_be_written_will_do_with_an_authority_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(NoConfdir, match="may not write there"):
        require(tmp_path)
    (tmp_path / "mitmproxy-ca.pem").write_text("")
    require(tmp_path)


def refuses(path: Path, *_: object, **__: object) -> bool:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_a_folder_that_can_not_be_entered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "stat", refuses)
    assert why_not_writable(tmp_path) == f"{tmp_path} can't be entered: Permission denied"


def test_options_that_mitmproxy_can_not_look_for_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_options(tmp_path / "none")
    (tmp_path / "config.yml").write_text("")
    require_options(tmp_path)
    monkeypatch.setattr(Path, "open", refuses)
    with pytest.raises(NoConfdir, match=r"config\.yml can't be read: Permission denied"):
        require_options(tmp_path)
    monkeypatch.setattr(Path, "stat", refuses)
    with pytest.raises(NoConfdir, match="can't be entered: Permission denied"):
        require_options(tmp_path)
