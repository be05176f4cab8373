"""Options that are asked for at each call: mitmproxy copies what it gives, twice for each look."""

from collections.abc import Callable

from mitmproxy.optmanager import OptManager


class FromOptions[T]:
    """What `read` makes of the options, which are asked again once one of them has changed."""

    __slots__ = ("__weakref__", "_followed", "_known", "_read")

    def __init__(self, read: Callable[[OptManager], T]) -> None:
        self._read = read
        self._known: tuple[OptManager, T] | tuple[None, None] = None, None
        self._followed: OptManager | None = None

    def of(self, options: OptManager) -> T:
        """The same as `read(options)`."""
        of, known = self._known
        return known if of is options else self._anew(options)  # type: ignore[return-value]  # where options are known, so is it

    def _anew(self, options: OptManager) -> T:
        if options is not self._followed:  # there is one set of options in a process
            options.changed.connect(self._forget)
            self._followed = options
        found = self._read(options)
        self._known = options, found
        return found

    def _forget(self, updated: set[str]) -> None:  # noqa: ARG002  # as it is called
        self._known = None, None
