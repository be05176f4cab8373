"""Follows what a configuration refers to: keys in the environment or in files, and paths.

A reference is `{env: NAME}` or `{file: PATH}`. What it refers to is never quoted in a message, and
what stands in its place may be the key itself, so neither is that.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationInfo

from foxora_addon.config.contents import beginning_of
from foxora_addon.config.problems import Problem, may_be_shown
from foxora_addon.placeholder import PLACEHOLDER_KEY
from foxora_addon.policy.keys import is_sendable

_MAX_KEY_FILE_BYTES: Final = 65_536
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Sources:
    """What references are followed in.

    `folder` is the configuration file's own, for key files; `cwd` is where all other paths begin.
    `opens_keys`: whether who asks needs any key of those that calls bring or are sent with; else
    what leads to a key stands for it. `opens_signing_keys`: those that checkpoints are signed with.
    `is_live`: calls are open, which no file may hold up.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path = field(default_factory=Path)
    cwd: Path = field(default_factory=Path)
    is_mock: bool = False
    opens_keys: bool = True
    opens_signing_keys: bool = True
    is_live: bool = False


def sources_of(info: ValidationInfo) -> Sources:
    """Those that a field is validated with."""
    return info.context if isinstance(info.context, Sources) else Sources()


def path_of(text: str, base: Path, environ: Mapping[str, str]) -> Path:
    """Return the path that a text means: `~` is HOME, a relative one begins at `base`.

    Raises ValueError for a text that names no file.
    """
    if not _names_a_file(text):
        raise ValueError("is not a path")
    first, _, rest = text.partition("/")
    try:
        if first == "~":
            return Path(environ["HOME"]) / rest.lstrip("/")
        return base / Path(text).expanduser()
    except (KeyError, RuntimeError):
        raise ValueError("names a home folder that is not known") from None


def _names_a_file(text: str) -> bool:
    try:
        return bool(os.fsencode(text)) and not any(c < " " for c in text)
    except UnicodeEncodeError:
        return False


def key_of(reference: object, sources: Sources, placeholder: str | None = None) -> str:
    """Return the key that a reference leads to.

    `placeholder` stands in for an environment variable that is not set. Raises Problem.
    """
    match reference:
        case {"env": str(name), **rest} if not rest:
            return _key_in_environment(name, sources, placeholder)
        case {"file": str(path), **rest} if not rest:
            return _key_in_file(path, sources)
        case str():
            raise Problem(
                "a key is never written in clear; put it into an environment variable and write "
                f"{{env: {_variable_meant(reference)}}}, or into a file and write {{file: PATH}}"
            )
        case _:
            raise Problem("must be {env: NAME} or {file: PATH}")


def _variable_meant(text: str) -> str:
    match = re.fullmatch(r"\$\{?([A-Z_][A-Z0-9_]{0,40})\}?", text)
    return match[1] if match else "NAME"


def _key_in_environment(name: str, sources: Sources, placeholder: str | None) -> str:
    if not _VARIABLE.fullmatch(name) or not may_be_shown(name):
        raise Problem("env must be the name of an environment variable, and never the key itself")
    if not sources.opens_keys:
        return f"env {name}"
    key = sources.environ.get(name, "")
    if key == PLACEHOLDER_KEY and placeholder is None:
        raise Problem(
            f"the environment variable {name} holds the placeholder that `foxora-proxy run` gives "
            "its command: there is a proxy around this one, so leave this one out"
        )
    if key:
        return _usable(key, f"the environment variable {name}")
    if placeholder is not None:
        return placeholder
    raise Problem(
        f"the environment variable {name} is not set; export it, or write {{file: PATH}} instead"
    )


def _key_in_file(text: str, sources: Sources) -> str:
    if not sources.opens_keys:
        return f"file {text}"
    subject = f"the file '{text}'" if may_be_shown(text) else "the given file"
    try:
        file = path_of(text, sources.folder, sources.environ)
        raw = beginning_of(file, _MAX_KEY_FILE_BYTES, is_live=sources.is_live)
    except OSError as error:
        raise Problem(f"{subject} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Problem(f"{subject} {error}") from None
    # One line break at the end is an editor's, not the key's.
    key = raw.decode("latin-1").removesuffix("\n").removesuffix("\r")
    if not key:
        raise Problem(f"{subject} is empty; write the key into it")
    return _usable(key, subject)


def signing_key_file_of(reference: object, sources: Sources) -> Path:
    """Return the file of a private key that a reference leads to, once the key in it is a good one.

    Never one in the environment, which every program that the proxy starts has. Raises Problem.
    """
    match reference:
        case {"file": str(text), **rest} if not rest:
            subject = f"the file '{text}'" if may_be_shown(text) else "the given file"
        case _:
            raise Problem(
                "must be {file: PATH}, a private key that `foxora-proxy audit keygen PATH` has made"
            )
    try:
        file = path_of(text, sources.folder, sources.environ)
    except ValueError as error:
        raise Problem(f"{subject} {error}") from None
    if sources.opens_signing_keys:
        _look_at_signing_key(file, subject)
    return file


def _look_at_signing_key(file: Path, subject: str) -> None:
    from foxora_addon.audit.keys import private_key_of  # noqa: PLC0415  # seldom used, and costly

    try:
        is_pipe = file.is_fifo()
        if not is_pipe:
            private_key_of(file)
    except OSError as error:
        raise Problem(f"{subject} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Problem(f"{subject} is no use: {str(error).removeprefix(f'{file}: ')}") from None
    if is_pipe:
        raise Problem(f"{subject} is no use: a pipe is read but once")


def _usable(key: str, subject: str) -> str:
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        raise Problem(f"{subject} holds its key in quotes; it must hold the key alone")
    if is_sendable(key):
        return key
    if any(c.isspace() for c in key):
        raise Problem(f"{subject} holds white space or a line break; it must hold the key alone")
    raise Problem(f"{subject} holds characters that no key has; it must hold the key alone")
