"""Finds exchanges by what their ids begin with, and says in one line why one can't be told."""

import json
from typing import Final

from foxora_addon.reading.exchanges import Pairing, Recorded
from foxora_addon.reading.filters import Filters
from foxora_addon.reading.records import Record, record_of

_MOST: Final = 8


class Unknown(Exception):  # noqa: N818  # reads as what it says where it is raised
    """A prefix names no exchange, or several; `str` is one line for the operator."""


class Search:
    """Looks for one exchange by a prefix of its id; fed the trail's lines in their order.

    Holds the records of a few candidates; an id that is the prefix itself wins over longer ones.
    """

    def __init__(self, prefix: str, filters: Filters) -> None:
        self._prefix = prefix
        self._filters = filters
        self._needle = json.dumps(prefix)[:-1].encode()
        self._records: dict[str, list[Record]] = {}
        self._are_more = False

    def take(self, line: bytes) -> None:
        """Take the next line; only one that holds the prefix is read."""
        if self._needle not in line or (record := record_of(line)) is None:
            return
        exchange = record["exchange"]
        if not exchange.startswith(self._prefix):
            return
        if exchange in self._records:
            self._records[exchange].append(record)
        elif exchange == self._prefix or len(self._records) < _MOST:
            self._records[exchange] = [record]
        else:
            self._are_more = True

    def found(self, trail: str) -> Recorded:
        """The exchange. Raises `Unknown` where it can't be told which, or there is none."""
        known = [recorded for records in self._records.values() for recorded in _paired(records)]
        wanted = [recorded for recorded in known if self._filters.want(recorded)]
        exact = [recorded for recorded in wanted if recorded.id == self._prefix]
        if len(exact or wanted) == 1:
            return (exact or wanted)[0]
        if not wanted:
            raise Unknown(
                f"no exchange of {trail} begins with '{self._prefix}': give an id, or its "
                "beginning, as `foxora-proxy audit tail` and the header x-foxora-exchange tell it"
            )
        named = ", ".join(sorted(recorded.id for recorded in wanted)[:3])
        more = "" if len(wanted) <= 3 and not self._are_more else ", ..."
        raise Unknown(f"'{self._prefix}' begins several ids: {named}{more}; give more of one")


def _paired(records: list[Record]) -> list[Recorded]:
    pairing = Pairing()
    ended = [recorded for record in records if (recorded := pairing.take(record))]
    return [*ended, *pairing.rest()]
