"""The mock gateway of scripts/bench-limits: it notes down all that its ceilings count.

Each call is answered in a length and a time of its own, from a fixed seed. A line of the notes is
`r SECONDS 1` for a request, `t SECONDS TOKENS`, or `x SECONDS 1` for a call answered 429.
"""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from foxora_addon.mock import gateway as gateway_module
from foxora_addon.mock.accounts import Account, Charge, Refusal
from foxora_addon.mock.faults import Fault
from foxora_addon.mock.server import MockGateway, serve
from foxora_addon.mock.settings import MockSettings

CALLS = 30_000
WORDS = (20, 300)
DELAY_SECONDS = (0.1, 0.6)
CHUNK_SECONDS = 0.002

type Note = Callable[[Literal["r", "t", "x"], float, int], None]


def account_that_notes(note: Note) -> type[Account]:
    class NotingAccount(Account):
        def admit(self, now: float, charge: Charge) -> Refusal | None:
            refusal = super().admit(now, charge)
            note("r" if refusal is None else "x", now, 1)
            return refusal

        def _count_tokens(self, now: float, tokens: int) -> None:
            super()._count_tokens(now, tokens)
            note("t", now, tokens)

    return NotingAccount


def habits() -> list[Fault]:
    """How each chat in turn is answered."""
    dice = random.Random(1)
    return [
        Fault(
            path="/v1/chat",
            words=dice.randint(*WORDS),
            delay_seconds=dice.uniform(*DELAY_SECONDS),
            chunk_delay_seconds=CHUNK_SECONDS,
        )
        for _ in range(CALLS)
    ]


def main(settings: str, notes: str) -> None:
    with Path(notes).open("w", buffering=1) as file:

        def note(kind: str, now: float, amount: int) -> None:
            file.write(f"{kind} {now:.6f} {amount}\n")

        setattr(gateway_module, "Account", account_that_notes(note))  # noqa: B010  # mypy has no words for it

        def started(gateway: MockGateway) -> None:
            gateway.faults.extend(habits())
            print(gateway.origin, flush=True)

        asyncio.run(serve(MockSettings.from_mapping(json.loads(settings)), started=started))


if __name__ == "__main__":
    main(*sys.argv[1:])
