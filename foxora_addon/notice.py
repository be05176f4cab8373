"""Says which proxy writes a trail, so that another `run` of the same user can join it.

A file for each trail, beside mitmproxy's CA, that its user alone may read. It is a hint: who reads
it asks that proxy, since a `kill -9` leaves the file behind.
"""

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from foxora_addon.config import Config


class Notice(NamedTuple):
    """A proxy that runs: its port, and how one joins it.

    `tie_port` is where it is held, with `token` as the first line, by those who want it to stay;
    None for a proxy that nobody's command owns. `likeness` is a digest of its configuration and
    keys, under a `salt` of its own.
    """

    trail: str
    port: int
    tie_port: int | None
    token: str
    salt: str
    likeness: str

    def is_like(self, config: Config) -> bool:
        """Whether a proxy of this configuration would do the same."""
        return hmac.compare_digest(self.likeness, _likeness(config, self.salt))


def notice_of(config: Config, trail: Path, port: int, tie_port: int | None, token: str) -> Notice:
    """Make the notice of a proxy."""
    salt = secrets.token_hex(16)
    return Notice(str(trail), port, tie_port, token, salt, _likeness(config, salt))


def _likeness(config: Config, salt: str) -> str:
    keys = [account.key_digest for account in config.accounts]  # the dump masks them
    values = config.model_dump(
        exclude={"file", "is_blank", "lists_accounts", "warnings", "origin_base_url"}
    )
    values["audit"]["path"] = os.path.realpath(config.audit.path)  # however it is spelled
    text = json.dumps(values, default=str)  # by pydantic, a path that is no text could not be told
    return hmac.new(salt.encode(), "\n".join([text, *keys]).encode(), hashlib.sha256).hexdigest()


def place_of(confdir: Path, trail: Path) -> Path:
    """Where the notice of the proxy lies that writes a trail, however that is named."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(trail))).hexdigest()[:16]
    return confdir / f"foxora-proxy-{digest}.json"


def write_notice(place: Path, notice: Notice) -> None:
    """Write it whole or not at all; raises OSError."""
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(notice._asdict(), file)
    draft.replace(place)


def read_notice(place: Path) -> Notice | None:
    """What lies there; None if it is nothing that we have written."""
    try:
        return Notice(**json.loads(place.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
