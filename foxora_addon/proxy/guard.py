"""The guard around whatever we do with a flow: what raises has the flow fail closed."""

from collections.abc import Callable

from mitmproxy.http import HTTPFlow


class Guard:
    """Tells `fail_closed` of what is raised within it. A class: a generator takes twice as long."""

    __slots__ = ("_fail_closed", "_flow")

    def __init__(self, fail_closed: Callable[[HTTPFlow, Exception], None], flow: HTTPFlow) -> None:
        self._fail_closed = fail_closed
        self._flow = flow

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        """Whether the exception ends here, as all do but those that end the program."""
        if not isinstance(error, Exception):
            return False
        self._fail_closed(self._flow, error)
        return True
