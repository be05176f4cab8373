"""How many files the process may have open, and which connections hold them.

Each connection is a file, a client's as well as one to the gateway. What the process itself needs
is set apart, and the rest has two shares: without them clients would take all of it before a single
call is sent. The clients' is the larger, so that calls beyond the gateway's can be told so; clients
beyond their own can't be told anything. This is the book alone: it opens and closes nothing.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

OWN_FILES: Final = 16
"""What stays free for the trail and its rotation, names that are looked up, questions of our own,
and connections that are being closed."""

NO_FILES: Final = "foxora has no file left for it"
"""The error of a connection that the book has no room for."""

USUALLY_HELD: Final = 16
"""About how many a proxy has open before its first client comes."""

_MOST_FILES: Final = 65_536
_MOST_TOLD: Final = 64
_TELL_SECONDS: Final = 60.0
_UNBOUNDED: Final = 1 << 30


class Shares(NamedTuple):
    """How many connections there may be at once: of clients, and to the gateway or others."""

    clients: int
    gateways: int


def shares_of(limit: int, held: int, each: int) -> Shares:
    """Share out a limit of open files, of which the process holds some.

    `each`: what a connection to the gateway takes, which is 2 if this process is the other side.
    """
    left = max(limit - held - OWN_FILES, 0)
    told = min(_MOST_TOLD, left // 4)
    gateways = max((left - told) // (1 + each), 1)
    return Shares(max(left - each * gateways, 2), gateways)


def limit_for(calls: int, held: int, each: int) -> int:
    """The lowest limit, in hundreds, that lets so many calls go on at once."""
    wanted = held + OWN_FILES + (1 + each) * calls + _MOST_TOLD
    return -(-wanted // 100) * 100


def raised(soft: int, hard: int, wanted: int) -> int:
    """The limit that a proxy gives itself which wants so many files; -1 is without limit."""
    if soft < 0:
        return soft
    wanted = max(wanted, _MOST_FILES)
    return max(soft, wanted if hard < 0 else min(hard, wanted))


def shortage(limit: int, held: int, calls: int, *, is_mock: bool) -> tuple[str, str] | None:
    """What is wrong with a limit of open files, and what to do; None: so many calls can go on.

    `is_mock`: the gateway is in this process too.
    """
    each = 2 if is_mock else 1
    most = shares_of(limit, held, each).gateways
    if limit < 0 or most >= calls:
        return None
    wanted = limit_for(calls, held, each)
    return (
        f"{limit} open files are enough for {most} calls at once, not for the "
        f"{calls} of listen.max_exchanges",
        f"raise the limit (ulimit -n {wanted}, or LimitNOFILE={wanted} of a systemd unit), or "
        "lower listen.max_exchanges",
    )


class FileBook:
    """The connections there are, by the ids of client and server. Unbounded until shares are set.

    `is_full`: there is no room for a further connection to the gateway.
    """

    def __init__(self) -> None:
        self.is_full = False
        self._limit = 0
        self._shares = Shares(_UNBOUNDED, _UNBOUNDED)
        self._clients: set[str] = set()
        self._gateways: dict[str, set[str]] = {}
        self._count = 0
        self._left: tuple[set[str], set[str]] = set(), set()
        self._closed = self._refused = 0
        self._why = ""
        self._told_at = -_TELL_SECONDS

    def share(self, limit: int, shares: Shares) -> None:
        """Keep to these shares of a limit from now on; what is there already stays."""
        self._limit, self._shares = limit, shares
        self._look()

    @property
    def held(self) -> int:
        """How many connections there are."""
        return len(self._clients) + self._count

    @property
    def most_calls(self) -> int:
        """How many calls may be with the gateway at once, if each has a connection."""
        return self._shares.gateways

    @property
    def room_for_clients(self) -> int:
        """How many further clients may come."""
        return max(self._shares.clients - len(self._clients), 0)

    def client_came(self, client: str) -> bool:
        """Whether there is room for a client's connection; it has it then."""
        if len(self._clients) >= self._shares.clients:
            self._closed += 1
            return False
        self._clients.add(client)
        return True

    def client_left(self, client: str) -> None:
        """A client's connection is over, or never had room."""
        self._clients.discard(client)
        if client in self._gateways:
            self._left[1].add(client)

    def takes_call(self, client: str) -> bool:
        """Whether a call of a client can be sent: it has a connection, or can have one."""
        if self.is_full and client not in self._gateways:
            self._refused += 1
            return False
        return True

    def gateway_wanted(self, client: str, server: str) -> bool:
        """Whether there is room for a connection to a server; it has it then."""
        if self.is_full:
            self._refused += 1
            return False
        self._gateways.setdefault(client, set()).add(server)
        self._count += 1
        self._look()
        return True

    def gateway_left(self, client: str, server: str) -> None:
        """A connection to a server is over, has failed, or never had room."""
        servers = self._gateways.get(client)
        if servers is None or server not in servers:
            return
        servers.remove(server)
        self._count -= 1
        if not servers:
            del self._gateways[client]
        self._look()

    def sweep(self) -> None:
        """Forget the connections of clients that had left at the last sweep.

        mitmproxy closes them after their client, and does not tell the end of one that is cancelled
        before it is made.
        """
        gone, recent = self._left
        for client in gone:
            self._count -= len(self._gateways.pop(client, ()))
        self._left = recent, set()
        self._look()

    def keep_only(self, there: Collection[str]) -> None:
        """Forget all connections but these, by their ids; a book that errs turns nobody away."""
        self._clients.intersection_update(there)
        for servers in self._gateways.values():
            servers.intersection_update(there)
        self._gateways = {client: servers for client, servers in self._gateways.items() if servers}
        self._count = sum(map(len, self._gateways.values()))
        self._look()

    def ran_out(self, why: str, closed: int) -> None:
        """The system has no file for a new client; so many were closed for it."""
        self._why = why
        self._closed += closed

    def news(self, now: float, *, is_last: bool = False) -> str | None:
        """What was turned away since this was told last, in a line, at most once a minute."""
        if not is_last and now - self._told_at < _TELL_SECONDS:
            return None
        counts = ((self._closed, "connections closed"), (self._refused, "calls refused"))
        words = [f"{count} {what}" for count, what in counts if count]
        if self._why:
            words.append(f"the system had none left ({self._why})")
        if not words:
            return None
        self._closed = self._refused = 0
        self._why = ""
        self._told_at = now
        limit = f" (the limit is {self._limit})" if self._limit else ""
        return f"too few open files{limit}: {', '.join(words)}"

    def _look(self) -> None:
        self.is_full = self._count >= self._shares.gateways
