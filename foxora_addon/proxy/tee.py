"""Passes a stream on as it comes, while an observation looks at a copy.

A callable for `flow.response.stream` (mitmproxy-facts.md row 15). Whatever goes wrong in looking,
the bytes pass: a callable that raises would crash the connection (row 11).
"""

from collections.abc import Callable

from foxora_addon.observation import Observation


class Tee:
    """Gives back every chunk unchanged; `first_byte` is called once, at the first one."""

    def __init__(
        self,
        observation: Observation,
        first_byte: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._observation = observation
        self._first_byte = first_byte
        self._failed = failed
        self._looking = True
        self._started = False

    def __call__(self, chunk: bytes) -> bytes:
        """Pass a chunk on; `b""` is the clean end."""
        if chunk and self._looking:
            self._look(chunk)
        return chunk

    def _look(self, chunk: bytes) -> None:
        try:
            if not self._started:
                self._started = True
                self._first_byte()
            self._observation.feed(chunk)
        except Exception as error:  # noqa: BLE001  # promise 6: the client's stream comes first
            self._looking = False
            self._failed(error)
