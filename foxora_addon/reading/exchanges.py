"""Brings the two records of an exchange together, holding only those of open exchanges.

What an exchange says of itself is asked here and nowhere else: fields that a trail doesn't have, or
that are not what they should be, read as None.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from foxora_addon.api.json_values import mapping_of
from foxora_addon.reading.records import Record, count_of, number_of, text_of


@dataclass(slots=True)
class Recorded:
    """An exchange as the trail has it: one record may be missing, never both.

    `found` tells whether the text that was looked for stands in one of them.
    """

    request: Record | None
    response: Record | None
    found: bool = True

    @property
    def id(self) -> str:
        """The exchange's id."""
        return str((self.request or self.response or {}).get("exchange"))

    @property
    def time(self) -> str:
        """When its request was recorded; where that is gone, its response. ISO 8601, UTC."""
        return str((self.request or self.response or {}).get("time"))

    @property
    def account(self) -> str | None:
        """Who pays."""
        return text_of((self.request or self.response or {}).get("account"))

    @property
    def client(self) -> str | None:
        """Who called: its name in the configuration, else its key's fingerprint, or its address."""
        client = self._request_part("client")
        names = (text_of(client.get(name)) for name in ("name", "key", "address"))
        return next((name for name in names if name), None)

    @property
    def model(self) -> str | None:
        """The model that was asked for; else the one that answered."""
        asked = text_of((self.request or {}).get("model"))
        return asked or text_of((self.response or {}).get("model"))

    @property
    def operation(self) -> str | None:
        """chat, models, me, ... or other."""
        return text_of((self.request or {}).get("operation"))

    @property
    def status(self) -> int | None:
        """The HTTP status that the client got."""
        return count_of((self.response or {}).get("status"))

    @property
    def outcome(self) -> str:
        """What became of it; "open" while nothing is on record."""
        return text_of((self.response or {}).get("outcome")) or "open"

    @property
    def input_tokens(self) -> int | None:
        """Tokens of the prompt."""
        return count_of(self._response_part("usage").get("input_tokens"))

    @property
    def output_tokens(self) -> int | None:
        """Tokens of the answer."""
        return count_of(self._response_part("usage").get("output_tokens"))

    @property
    def total_tokens(self) -> int | None:
        """Both together."""
        return count_of(self._response_part("usage").get("total_tokens"))

    @property
    def estimated_tokens(self) -> int | None:
        """Tokens that were reserved for it."""
        return count_of(self._request_part("decision").get("estimated_tokens"))

    @property
    def cost_usd(self) -> float | None:
        """What it cost."""
        return number_of((self.response or {}).get("cost_usd"))

    @property
    def duration_ms(self) -> float | None:
        """From its head to its end."""
        return number_of((self.response or {}).get("duration_ms"))

    @property
    def first_byte_ms(self) -> float | None:
        """From its head to the first byte of the answer."""
        return number_of((self.response or {}).get("first_byte_ms"))

    @property
    def waited_ms(self) -> float | None:
        """How long it waited for its account's ceilings."""
        return number_of(self._request_part("decision").get("waited_ms"))

    @property
    def shadow(self) -> Record:
        """What the limits would have said, where they only watched; empty for nothing."""
        return mapping_of(self._request_part("decision").get("shadow"))

    @property
    def tags(self) -> list[str]:
        """The labels that the client gave it."""
        tags = (self.request or {}).get("tags") or (self.request or {}).get("tag")
        if isinstance(tags, dict):
            return [f"{name}={value}" for name, value in tags.items()]
        if isinstance(tags, list):
            return [str(tag) for tag in tags]
        return [str(tags)] if tags else []

    @property
    def is_failed(self) -> bool:
        """Whether it ended otherwise than by an answer or a refusal."""
        return self.outcome not in {"completed", "refused", "open"}

    def _request_part(self, name: str) -> Record:
        return mapping_of((self.request or {}).get(name))

    def _response_part(self, name: str) -> Record:
        return mapping_of((self.response or {}).get(name))


def shadow_text(recorded: Recorded) -> str:
    """In words what the limits would have said, where they only watched; "" for nothing."""
    shadow = recorded.shadow
    told = filter(None, (text_of(shadow.get("code")) or "?", text_of(shadow.get("message"))))
    return f"would have kept it back: {': '.join(told)}" if shadow else ""


class Pairing:
    """Takes records in the trail's order and gives exchanges as they end."""

    def __init__(self) -> None:
        self._open: dict[str, Recorded] = {}

    def take(self, record: Record, *, found: bool = True) -> Recorded | None:
        """The exchange that a record ends; None if it begins one, or is of another kind."""
        event, exchange = record.get("event"), record["exchange"]
        if event == "request":
            self._open[exchange] = Recorded(record, None, found)
            return None
        if event != "response":
            return None
        recorded = self._open.pop(exchange, None)
        if recorded is None:
            return Recorded(None, record, found)
        recorded.response = record
        recorded.found = recorded.found or found
        return recorded

    def rest(self) -> Iterator[Recorded]:
        """The exchanges that are still open, in their order."""
        yield from self._open.values()

    def __len__(self) -> int:
        return len(self._open)
