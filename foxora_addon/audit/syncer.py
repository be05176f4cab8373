"""Forces the trail to the disk on a thread of its own, many records in one call.

The event loop never waits for a disk. Who asks while a call is under way is served by the next one
together with all others that asked since: a group commit.
"""

import contextlib
import os
import threading
from concurrent.futures import Future
from pathlib import Path

from foxora_addon.audit.disk import Disk


class Syncer:
    """Syncs one file at a time: the one that is in use, after those that were before it."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.failure: OSError | None = None
        """Why the last call failed; None if it did not."""
        self._disk = disk
        self._folder = folder
        self._fd = -1
        self._retired: list[int] = []
        self._has_new_name = False
        self._asked: Future[bool] | None = None
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def use(self, fd: int) -> None:
        """Sync this descriptor from now on; the one before is synced once more, and closed."""
        with self._wake:
            if self._fd >= 0:
                self._retired.append(self._fd)
            self._fd = fd
            self._has_new_name = True  # a file whose name is lost is lost

    def ask(self) -> Future[bool]:
        """Ask for a sync of all that is written by now; tells whether it worked."""
        with self._wake:
            if self._asked is None:
                self._asked = Future()
                self._asked.set_running_or_notify_cancel()  # shared: one waiter can't cancel it
                self._wake.notify()
            if self._thread is None and not self._is_over:
                thread = threading.Thread(target=self._run, name="foxora-sync", daemon=True)
                with contextlib.suppress(RuntimeError):  # the program ends: `close` will serve it
                    thread.start()
                    self._thread = thread
            return self._asked

    def close(self, *, syncs: bool) -> None:
        """End the thread, sync what is left if `syncs`, and close all descriptors."""
        with self._wake:
            self._is_over = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        if syncs:
            self._serve()
        with self._wake:
            for fd in (*self._retired, self._fd):
                if fd >= 0:
                    os.close(fd)
            self._retired, self._fd = [], -1

    def let_go_in_child(self) -> None:
        """Close all descriptors in a forked process, which has none of our threads, and no part."""
        for fd in (*self._retired, self._fd):
            if fd >= 0:
                os.close(fd)
        self._retired, self._fd, self._is_over = [], -1, True

    def let_go(self) -> None:
        """Close what is retired without a sync, where none is wanted."""
        with self._wake:
            retired, self._retired = self._retired, []
        for fd in retired:
            os.close(fd)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._asked is not None or self._is_over)
                if self._is_over:
                    return
            self._serve()

    def _serve(self) -> None:
        with self._wake:
            asked, self._asked = self._asked, None
            retired, self._retired = self._retired, []
            fd, names, self._has_new_name = self._fd, self._has_new_name, False
        try:
            for file in (*retired, fd):
                if file >= 0:
                    self._disk.force(file)
            if names:
                self._disk.force_folder(self._folder)
            self.failure = None
        except OSError as error:
            self.failure = error
            self._has_new_name = self._has_new_name or names
        for file in retired:
            with contextlib.suppress(OSError):
                os.close(file)
        if asked is not None:
            asked.set_result(self.failure is None)
