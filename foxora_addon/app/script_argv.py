"""Lets `mitmdump -s foxora_addon` mean the packaged script, although mitmproxy takes only files.

`foxora_addon_script.pth` calls it as the interpreter starts, when `sys.argv` is set and nothing has
read it (mitmproxy-facts.md row 2). It knows mitmproxy by its command line alone, and lets no
exception out.
"""

import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePath

NAME = "foxora_addon"
PACKAGE = Path(__file__).resolve().parents[1]
SCRIPT = PACKAGE / "proxy" / "script.py"
FILES = (SCRIPT, PACKAGE / "__init__.py")
_NO_FILE = (OSError, RuntimeError, ValueError)
"""Not there, no home, no path: mitmproxy says so itself."""
PROGRAMS = frozenset({"mitmdump", "mitmweb", "mitmproxy"})

# argparse takes short flags bundled (-qs) and long ones shortened (--script).
_FLAG = re.compile(r"-[nqv]*s|--sc[ripts]*")
_FLAG_AND_SCRIPT = re.compile(r"(-[nqv]*s=?|--sc[ripts]*=|--set=scripts=)(.+)", re.DOTALL)


def rewrite_argv() -> None:
    """Changes `sys.argv` in place if the program is one of mitmproxy's; safe to repeat.

    If it is to load us, it is made to start sooner, too.
    """
    program, *arguments = getattr(sys, "argv", None) or [""]
    if PurePath(program).name.removesuffix(".exe") not in PROGRAMS:
        return
    changed = rewritten(arguments)
    if changed != arguments:
        sys.argv[1:] = changed
        # Only now, for whoever runs mitmproxy without us pays for nothing of ours.
        from foxora_addon import starting  # noqa: PLC0415
        from foxora_addon.app import late_imports  # noqa: PLC0415

        starting.begins()
        late_imports.promise()
    if _loads_us(changed):
        from foxora_addon import first_start  # noqa: PLC0415

        first_start.begins(changed)


def _loads_us(arguments: Sequence[str]) -> bool:
    """Whether one of the scripts is a file of ours."""
    scripts = (_split(*pair)[1] for pair in pairwise(["", *arguments]))
    return any(_is_same(script, file) for script in scripts if script for file in FILES)


def rewritten(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the packaged script's absolute path for each script that means us."""
    pairs = pairwise(["", *arguments])
    return [_rewritten(previous, argument) for previous, argument in pairs]


def _rewritten(previous: str, argument: str) -> str:
    kept, script = _split(previous, argument)
    return f"{kept}{SCRIPT}" if _means_us(script) else argument


def _split(previous: str, argument: str) -> tuple[str, str]:
    """What stays of an argument, and the script that it names: "" if it names none."""
    if _FLAG.fullmatch(previous):
        return "", argument
    if previous == "--set" and argument.startswith("scripts="):
        return "scripts=", argument.removeprefix("scripts=")
    if match := _FLAG_AND_SCRIPT.fullmatch(argument):
        return match[1], match[2]
    return argument, ""


def _means_us(script: str) -> bool:
    """Whether it is the package's name or folder; a file of that name is somebody's own script."""
    try:
        path = _path_of(script)
        return not path.is_file() and (path == Path(NAME) or path.samefile(PACKAGE))
    except _NO_FILE:
        return False


def _is_same(script: str, file: Path) -> bool:
    try:
        return _path_of(script).samefile(file)
    except _NO_FILE:
        return False


def _path_of(script: str) -> Path:
    """The path that mitmproxy reads."""
    return Path(script.strip("'\" ")).expanduser()
