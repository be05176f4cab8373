"""Passes a stream on as it comes, while an observation looks at a copy.

A callable for `flow.response.stream` (mitmproxy-facts.md row 15). Whatever goes wrong in looking,
the bytes pass: a callable that raises would crash the connection (row 11).
"""

from collections.abc import Callable

from foxora_addon.observation import Observation


class Tee:
    """Gives back every chunk unchanged; `arrived` is called at each, before anything else."""

    def __init__(
        self,
        observation: Observation,
        arrived: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._observation = observation
        self._arrived = arrived
        self._failed = failed
        self._looking = True

    def __call__(self, chunk: bytes) -> bytes:
        """Pass a chunk on; `b""` is the clean end."""
        if chunk and self._looking:
            self._look(chunk)
        return chunk

    def _look(self, chunk: bytes) -> None:
        try:
            self._arrived()
            self._observation.feed(chunk)
        except Exception as error:  # noqa: BLE001  # promise 6: the client's stream comes first
            self._looking = False
            self._failed(error)
