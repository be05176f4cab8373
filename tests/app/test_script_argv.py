"""Which arguments of which programs come to mean the packaged script."""

import sys
from pathlib import Path

import pytest

from foxora_addon import first_start, starting
from foxora_addon.app import late_imports, script_argv
from foxora_addon.app.script_argv import PACKAGE, SCRIPT, rewrite_argv, rewritten

PTH = Path(script_argv.__file__).with_name("foxora_addon_script.pth")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(late_imports, "promise", lambda: None)  # this process is no proxy
    monkeypatch.setattr(starting, "begins", lambda: None)
    monkeypatch.setattr(first_start, "begins", lambda _: None)


@pytest.mark.parametrize(
    ("shape", "is_ours"),
    [
        (f"-s|{SCRIPT}", True),
        (f"--set|scripts={PACKAGE / '__init__.py'}", True),
        (f"-qs{PACKAGE}", True),
        ("-s|other.py", False),
        (f"-w|{SCRIPT}", False),
        ("-s", False),
        ("-s|~nobody-of-this-name/x", False),
        ("-p|1", False),
    ],
)
def test_a_start_begins_whichever_way_the_script_is_named(
    monkeypatch: pytest.MonkeyPatch, shape: str, is_ours: bool
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(first_start, "begins", begun.append)
    monkeypatch.setattr(sys, "argv", ["/bin/mitmdump", *shape.split("|")])
    rewrite_argv()
    assert begun == [sys.argv[1:]] * is_ours


@pytest.mark.parametrize(
    "name", ["foxora_addon", "./foxora_addon", "foxora_addon/", "'foxora_addon'", str(PACKAGE)]
)
@pytest.mark.parametrize(
    "shape",
    [
        "-s|{}",
        "-s{}",
        "-s={}",
        "-qs|{}",
        "--scripts|{}",
        "--scripts={}",
        "--script={}",
        "--set|scripts={}",
        "--set=scripts={}",
    ],
)
def test_the_package_as_a_script_becomes_its_script(shape: str, name: str) -> None:
    expected = ["-p", "1", *shape.format(SCRIPT).split("|"), "--set", "a=b"]
    assert rewritten(["-p", "1", *shape.format(name).split("|"), "--set", "a=b"]) == expected


def test_the_package_folder_in_the_working_directory_is_no_script_of_its_own() -> None:
    Path("foxora_addon").mkdir()
    assert rewritten(["-s", "foxora_addon"]) == ["-s", str(SCRIPT)]


def test_a_file_of_the_packages_name_is_somebodys_own_script() -> None:
    Path("foxora_addon").write_text("", "utf-8")
    assert rewritten(["-s", "foxora_addon"]) == ["-s", "foxora_addon"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-s"],
        ["foxora_addon"],
        ["-w", "foxora_addon"],
        ["--set", "foxora_addon"],
        ["--set", "foxora_audit=foxora_addon"],
        ["-s", "other.py", "foxora_addon"],
        ["-s", "somewhere/foxora_addon"],
        ["-s", str(SCRIPT)],
        ["-s", ""],
        ["-s", "~nobody-of-this-name/foxora_addon"],
        ["-s", "foxora_addon\0"],
        ["--showhost", "foxora_addon"],
    ],
)
def test_whatever_means_something_else_stays_as_it_is(arguments: list[str]) -> None:
    assert rewritten(arguments) == arguments


@pytest.mark.parametrize("program", ["mitmdump", "/a b/mitmweb", "mitmproxy", "mitmdump.exe"])
def test_mitmproxys_programs_are_rewritten_however_often(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "-s", "foxora_addon"])
    rewrite_argv()
    rewrite_argv()
    assert sys.argv == [program, "-s", str(SCRIPT)]


@pytest.mark.parametrize("argv", [[], [""], ["-c"], ["pytest", "-s", "foxora_addon"]])
def test_other_programs_are_left_alone(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(argv)
    monkeypatch.setattr(sys, "argv", argv)
    rewrite_argv()
    assert sys.argv == before


def test_an_interpreter_without_arguments_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "argv")
    rewrite_argv()
    run_start_up_line()
    assert not hasattr(sys, "argv")


def test_the_start_up_line_rewrites_mitmproxys_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bin/mitmdump", "-s", "foxora_addon"])
    run_start_up_line()
    assert sys.argv == ["bin/mitmdump", "-s", str(SCRIPT)]


def test_the_start_up_line_imports_nothing_of_ours_into_other_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["bin/pip", "-s", "foxora_addon"])
    monkeypatch.delitem(sys.modules, "foxora_addon.app.script_argv")
    run_start_up_line()
    assert "foxora_addon.app.script_argv" not in sys.modules


def run_start_up_line() -> None:
    """Runs the `.pth` as `site` does: its one line, which begins with `import`."""
    (line,) = PTH.read_text("utf-8").splitlines()
    assert line.startswith("import ")
    exec(line, {})
