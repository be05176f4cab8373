"""Has the proxy itself sign how far its trail has come, now and then, in a file of its own.

The file holds signed heads (`signing`), the newest last; it is replaced as a whole, so there is a
good one at every moment, and readable by its owner only. A head that the trail contradicts when it
is signed again stays before the newest for good, so that nothing which the proxy writes later
covers up that the trail was rewritten. Signing and writing are done on a thread of their own.
"""

import contextlib
import math
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from foxora_addon.audit.chain import GENESIS
from foxora_addon.audit.disk import Disk
from foxora_addon.audit.keys import private_key_of
from foxora_addon.audit.recent import recent_lines
from foxora_addon.audit.recovery import sealed
from foxora_addon.audit.signing import heads_in, signed_line
from foxora_addon.audit.verification import Kept

_MOST_REFUTED: Final = 100
_SEARCHED_BYTES: Final = 1 << 28
_SEQ: Final = re.compile(rb'\{"v":\d{1,3},"seq":(\d{1,18}),')


class CheckpointUnusable(Exception):  # noqa: N818  # reads as what it says where it is raised
    """No checkpoint can be signed, or the file is none; `str` is one line for the operator."""


class CheckpointRules(NamedTuple):
    """Where checkpoints go, what signs them, and after how many seconds or records they are due."""

    file: Path
    key_file: Path
    seconds: float = 60.0
    records: int | None = None


class Checkpoints:
    """The checkpoints of one trail.

    `last` is the newest one that the file had, None without one. `wall_clock` gives Unix seconds.
    """

    def __init__(
        self,
        rules: CheckpointRules,
        key: Ed25519PrivateKey,
        wall_clock: Callable[[], float],
        disk: Disk,
    ) -> None:
        self.rules = rules
        self.last: Kept | None = None
        self.failure: str | None = None
        """Why the last one could not be written; None if it could."""
        self._key = key
        self._wall_clock = wall_clock
        self._disk = disk
        self._refuted: list[str] = []
        self._last_line = ""
        self._signed = 0
        self._began = -math.inf
        self._thread: threading.Thread | None = None

    @classmethod
    def open(
        cls, rules: CheckpointRules, wall_clock: Callable[[], float], disk: Disk | None = None
    ) -> Self:
        """Read key and file; raises `CheckpointUnusable`.

        A file that holds anything but heads signed with this key is never replaced.
        """
        try:
            found = cls(rules, private_key_of(rules.key_file), wall_clock, disk or Disk())
            found._read()
        except OSError as error:
            name = error.filename or rules.file
            raise CheckpointUnusable(f"{name}: can't be read: {error.strerror}") from error
        except ValueError as error:
            raise CheckpointUnusable(str(error)) from error
        return found

    @property
    def known(self) -> tuple[int, str]:
        """`seq` and hash of the record that the newest checkpoint was signed for; 0 without one."""
        if self.last is None or self.last.seq is None or self.last.hash is None:
            return 0, GENESIS
        return self.last.seq, self.last.hash

    def _read(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            heads = self._heads()
            if heads:
                self._refuted = [line for _, line in heads[:-1]]
                self.last, self._last_line = heads[-1]

    def _heads(self) -> list[tuple[Kept, str]]:
        try:
            return heads_in(self.rules.file, self._key.public_key())
        except ValueError as error:
            raise ValueError(
                f"{error}; no checkpoint is written over it: move it away, if the key was changed, "
                "or give audit.checkpoint_path"
            ) from error

    def compare(self, trail: Path, last_seq: int) -> str | None:
        """What is wrong if the trail lacks the record that the last checkpoint was signed for.

        That checkpoint then stays for good. `last_seq` is the number that the trail has come to: a
        writer that went on behind the checkpoint has left a gap, which tells by itself. Raises
        `CheckpointUnusable`.
        """
        seq = self.known[0]
        if seq > last_seq:
            wrong = f"ends with record {last_seq}, but {self.rules.file} was signed for {seq}"
        elif self._is_rewritten(trail):
            wrong = (
                f"was rewritten: its record {seq} is not the one that {self.rules.file} was signed "
                "for"
            )
        else:
            return None
        self._refuted = [*self._refuted, self._last_line][-_MOST_REFUTED:]
        return f"the trail {trail} {wrong}; verify will say so"

    def _is_rewritten(self, trail: Path) -> bool:
        """Whether the trail has another record where the last checkpoint was signed."""
        seq = self.known[0]
        try:
            for line in recent_lines(trail, _SEARCHED_BYTES) if seq else ():
                if (later := _SEQ.match(line)) is not None and int(later[1]) > seq:
                    continue
                record = sealed(line)
                if record is not None and record[0] <= seq:
                    return record[0] == seq and record != self.known
        except OSError as error:
            name = error.filename or trail
            raise CheckpointUnusable(f"{name}: can't be read: {error.strerror}") from error
        return False

    def look(self, seq: int, digest: str, now: float) -> None:
        """Sign the trail's last record, if that is due; `now` is of a monotonic clock."""
        if self._thread is not None and self._thread.is_alive():
            return
        is_due = self.failure is not None or now - self._began >= self.rules.seconds
        if self.rules.records is not None:
            is_due = is_due or seq - self._signed >= self.rules.records
        if is_due and seq != self._signed:
            self._began = now
            thread = threading.Thread(
                target=self._sign, args=(seq, digest), name="foxora-checkpoint", daemon=True
            )
            with contextlib.suppress(RuntimeError):  # the program ends: `close` signs
                thread.start()
                self._thread = thread

    def close(self, seq: int, digest: str) -> None:
        """Sign the trail's last record, at its end."""
        if self._thread is not None:
            self._thread.join()
        if seq != self._signed:
            self._sign(seq, digest)

    def _sign(self, seq: int, digest: str) -> None:
        time = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="seconds")
        line = signed_line(self._key, seq, digest, time)
        try:
            self._write([*self._refuted, line])
        except OSError as error:
            self.failure = f"the checkpoint {self.rules.file} can't be written: {error.strerror}"
        else:
            self._signed, self.failure = seq, None

    def _write(self, lines: list[str]) -> None:
        name = str(self.rules.file)
        fd = self._disk.open(f"{name}.part", os.O_TRUNC | os.O_NOFOLLOW)
        with open(fd, "wb") as stream:  # noqa: PTH123  # a descriptor has no Path
            stream.write("".join(f"{line}\n" for line in lines).encode())
            stream.flush()
            self._disk.force(stream.fileno())
        self._disk.rename(f"{name}.part", name)
        self._disk.force_folder(self.rules.file.parent)
