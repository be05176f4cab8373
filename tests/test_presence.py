"""What is told of a path, in any version of Python."""

from pathlib import Path

import pytest

from foxora_addon.presence import is_regular, is_there


def test_a_file_a_folder_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    paths = [tmp_path, *(tmp_path / name for name in ("file", "link", "dangling", "none"))]
    assert [is_there(path) for path in paths] == [True, True, True, False, False]
    assert [is_regular(path) for path in paths] == [False, True, True, False, False]


@pytest.mark.parametrize("name", ["file/below", "nul\0", "loop", "loop/below"])
def test_what_can_not_be_there_is_not(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert not is_there(tmp_path / name)
    assert not is_regular(tmp_path / name)


@pytest.mark.parametrize("asks", [is_there, is_regular])
def test_what_can_not_be_told_is_raised(tmp_path: Path, asks: object) -> None:
    assert callable(asks)
    with pytest.raises(OSError, match="too long"):
        asks(tmp_path / ("x" * 300))
