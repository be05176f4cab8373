"""What mitmproxy's own files of options say, for commands that run beside a proxy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from foxora_addon.confdir import OPTIONS, USUAL, NoConfdir, confdir_of
from foxora_addon.presence import is_regular

_TEXTS: Final = {"confdir": str, "cert_passphrase": str | None}
_REMEDY: Final = "correct it: mitmproxy will not start"


class BadOptions(NoConfdir):
    """A file that is none of mitmproxy's."""


def options_in(folder: Path) -> dict[str, Any]:
    """The options that mitmproxy, begun with that folder, takes from its files.

    Raises `BadOptions`, and OSError where the folder can't be entered.
    """
    options: dict[str, Any] = {}
    for path in (folder / name for name in OPTIONS):
        if is_regular(path):
            options.update(_read(path))
    return options


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = YAML(typ="safe", pure=True).load(path) or {}
    except (YAMLError, OSError, UnicodeDecodeError):
        value = None
    if not isinstance(value, Mapping):
        raise BadOptions(f"{path} can't be read", _REMEDY)
    if odd := [name for name in value if not isinstance(name, str)]:
        raise BadOptions(f"{path} names an option {odd[0]!r}, which is no text", _REMEDY)
    for name, kinds in _TEXTS.items():
        if not isinstance(value.get(name, ""), kinds):
            raise BadOptions(f"{name} in {path} is no text: write it in quotes", _REMEDY)
    return value


def settled_confdir() -> Path:
    """Where a proxy that is told no other has its authority: a file in the usual folder may say.

    mitmproxy looks for its options in the folder that it is begun with, and for nothing more of it
    where they name another. Raises `NoConfdir`, and as `options_in` does.
    """
    return confdir_of(options_in(confdir_of()).get("confdir", USUAL))


def passphrase_in(folder: Path) -> bytes | None:
    """What opens the authority's key, as far as the files tell; raises as `options_in` does."""
    passphrase: str | None = options_in(folder).get("cert_passphrase")
    return passphrase.encode() if passphrase else None
