"""Finds exchanges by what their ids begin with, and says in one line why one can't be told."""

import json
from typing import Final

from foxora_addon.reading.exchanges import Pairing, Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.grep import Grep
from foxora_addon.reading.records import record_of

_MOST: Final = 8


class Unknown(Exception):  # noqa: N818  # reads as what it says where it is raised
    """A prefix names no exchange, or several; `str` is one line for the operator."""


class Search:
    """Looks for one exchange by a prefix of its id; fed the trail's lines in their order.

    Holds the records of a few candidates; an id that is the prefix itself wins over longer ones.
    One that the filters don't want makes way as it ends.
    """

    def __init__(self, prefix: str, filters: Filters) -> None:
        self._prefix = prefix
        self._filters = filters
        self._grep = Grep(filters.grep) if filters.grep else None
        self._needle = json.dumps(prefix)[:-1].encode()
        self._pairing = Pairing()
        self._wanted: list[Recorded] = []
        self._are_more = self._are_unwanted = False

    def take(self, line: bytes) -> None:
        """Take the next line; only one that holds the prefix is read."""
        if self._needle not in line or (record := record_of(line)) is None:
            return
        if record["exchange"].startswith(self._prefix):
            found = self._grep is None or self._grep.finds(record)
            if (ended := self._pairing.take(record, found=found)) is not None:
                self._keep(ended)

    def _keep(self, recorded: Recorded) -> None:
        if not self._filters.want(recorded):
            self._are_unwanted = True
        elif recorded.id == self._prefix or len(self._wanted) < _MOST:
            self._wanted.append(recorded)
        else:
            self._are_more = True

    def found(self, trail: str) -> Recorded:
        """The exchange. Raises `Unknown` where it can't be told which, or there is none."""
        for still_open in self._pairing.rest():
            self._keep(still_open)
        wanted = self._wanted
        exact = [recorded for recorded in wanted if recorded.id == self._prefix]
        if len(exact or wanted) == 1:
            return (exact or wanted)[0]
        if not wanted and self._are_unwanted:
            raise Unknown(
                f"no exchange of {trail} that begins with '{self._prefix}' is wanted by these "
                "filters: without them it is there"
            )
        if not wanted:
            raise Unknown(
                f"no exchange of {trail} begins with '{self._prefix}': give an id, or its "
                "beginning, as `foxora-proxy audit tail` and the header x-foxora-exchange tell it"
            )
        named = ", ".join(sorted(recorded.id for recorded in wanted)[:3])
        more = "" if len(wanted) <= 3 and not self._are_more else ", ..."
        raise Unknown(f"'{self._prefix}' begins several ids: {named}{more}; give more of one")
