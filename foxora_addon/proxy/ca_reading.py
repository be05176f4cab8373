"""Has mitmproxy read its authority at one place, once its options are settled.

mitmproxy reads it whenever one of the options that say how has changed: by the command line before
its own files are looked at, by these, and once more as it runs. Only the last one counts, an RSA
key takes 27 ms each time, and what is raised there would be a traceback in the log. So the method
of its addon that does so is replaced. The folder is the one that mitmproxy has settled on, wherever
that was said.
"""

import sys
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

from mitmproxy import ctx
from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master

from foxora_addon.authority import belongs, why_not_read
from foxora_addon.confdir import NoConfdir, confdir_of, require
from foxora_addon.first_start import alone_at_first_start

_OPTIONS: Final = frozenset({"certs", "confdir", "key_size", "cert_passphrase"})


class CaReading:
    """Stands before mitmproxy's own reading; what can't be read is an `OptionsError` of one line.

    Where nothing starts, as with --version, nothing is settled, and no authority is needed.
    """

    def __init__(self, master: Master) -> None:
        self._is_settled = False
        self._host: Any = master.addons.get("tlsconfig")
        self._configure = self._host.configure
        self._host.configure = self._take

    def settle(self) -> None:
        """All options are known: read the authority, or make it."""
        folder = _folder()
        with alone_at_first_start(folder, _say):
            self._read(folder, {"confdir"})
        self._is_settled = True

    def _take(self, updated: AbstractSet[str] | str) -> None:
        if isinstance(updated, str):  # "confdir", as mitmproxy runs: it has been read
            return
        if _OPTIONS.isdisjoint(updated):
            self._configure(updated)
        elif self._is_settled:
            self._read(_folder(), updated)
        else:
            self._configure(updated - _OPTIONS)

    def _read(self, folder: Path, updated: AbstractSet[str]) -> None:
        before = self._host.certstore
        try:
            self._configure(updated)
        except OptionsError as error:  # one of the other options, in mitmproxy's words
            first, *others = str(error).splitlines() or [""]
            if others:  # of keys that do not match: Python's words for both
                raise OptionsError(first.rstrip(" :")) from error
            raise
        except Exception as error:
            if self._host.certstore is not before:  # then it is a file that `certs` names
                raise OptionsError(f"A file of the option certs can't be read: {error}") from error
            raise _worded(folder, error) from error
        store = self._host.certstore
        if not belongs(store.default_ca.to_cryptography(), store.default_privatekey):
            raise _worded(folder, ValueError("mitmproxy does not look"))


def _folder() -> Path:
    """Where the authority is to be; it is made if need be."""
    try:
        folder = confdir_of(ctx.options.confdir)
        require(folder)
    except NoConfdir as error:
        raise OptionsError(f"{error}; {error.remedy}") from error
    return folder


def _worded(folder: Path, error: Exception) -> OptionsError:
    passphrase: str | None = ctx.options.cert_passphrase
    why = why_not_read(folder, error, passphrase.encode() if passphrase else None)
    return OptionsError(f"{why}; {why.remedy}")


def _say(words: str) -> None:
    sys.stderr.write(f"{sys.argv[0]}: {words}\n")
    sys.stderr.flush()
