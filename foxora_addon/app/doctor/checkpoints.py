"""Looks at what signs the trail: the key's file, and where checkpoints go."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from foxora_addon.app.doctor.finding import Finding, fail, ok, warn
from foxora_addon.audit.keys import private_key_of, public_key_of, public_path
from foxora_addon.audit.signing import heads_in
from foxora_addon.config import Audit


def look(audit: Audit) -> Iterator[Finding]:
    """What is wrong with the signing of checkpoints, if they are signed; nothing is changed."""
    if audit.checkpoint_key is None:
        return
    file, key = audit.checkpoint_file, audit.checkpoint_key
    problems = [*_about_key(key), *_about_file(file, key)]
    yield from problems
    if not problems:
        yield ok("checkpoints", f"the trail is signed in {file}")


def _about_key(key: Path) -> Iterator[Finding]:
    mode = key.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"others than its owner may use the key {key} (mode {stat.S_IMODE(mode):o})"
        yield warn("checkpoints", text, f"chmod 600 {key}")
    beside = public_path(key)
    try:
        is_pair = public_key_of(beside) == private_key_of(key).public_key()
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        is_pair = False
    if not is_pair:
        text = f"{beside} is not the public key of {key}, and verify will take it for that"
        yield fail("checkpoints", text, "put the right one there, or take it away")


def _about_file(file: Path, key: Path) -> Iterator[Finding]:
    remedy = "make it so, or give audit.checkpoint_path another place"
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        text = f"{file} can't be written: {file.parent} is no folder that this user may write in"
        yield fail("checkpoints", text, remedy)
    elif file.exists():
        try:
            heads_in(file, private_key_of(key).public_key())
        except OSError as error:
            yield fail("checkpoints", f"{file} can't be read: {error.strerror}", remedy)
        except ValueError as error:
            remedy = "move it away if the key was changed; else ask who changed it"
            yield fail("checkpoints", f"{error}; the proxy will not start", remedy)
