"""How many tokens a call used, out of any dialect's `usage` object; knows nothing of prices."""

from typing import Final, Literal, NamedTuple

# What JSON numbers can hold exactly everywhere; a count above it is nonsense.
_COUNTS: Final = range(2**53)

type UsageSource = Literal["reported", "counted", "estimated"]


class Usage(NamedTuple):
    """Tokens of a call; None for a figure that is not known.

    `source`: the gateway reported them, or we counted what the answer said, or it is an estimate.
    """

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    source: UsageSource = "reported"

    @property
    def tokens(self) -> int:
        """How many tokens count against ceilings: where figures do not add up, the more of them."""
        of_parts = (self.input_tokens or 0) + (self.output_tokens or 0)
        return max(self.total_tokens or 0, of_parts)

    def beyond(self, charged: "Usage") -> "Usage":
        """What of it is not in an earlier and smaller figure of the same answer."""
        return Usage(
            max((self.input_tokens or 0) - (charged.input_tokens or 0), 0),
            max((self.output_tokens or 0) - (charged.output_tokens or 0), 0),
            max(self.tokens - charged.tokens, 0),
            self.source,
        )

    def completed(self, counted: "Usage | None", *, is_of_all: bool) -> "Usage":
        """With what was counted where this does not say all.

        That is where it lacks a part and the total, and where not `is_of_all`: more was said
        after it.
        """
        if counted is None or (is_of_all and self.total_tokens is not None):
            return self
        inputs = counted.input_tokens if self.input_tokens is None else self.input_tokens
        outputs = counted.output_tokens if self.output_tokens is None else self.output_tokens
        told = self.total_tokens or 0
        if not is_of_all:
            more = max((counted.output_tokens or 0) - (self.output_tokens or 0), 0)
            outputs, told = (self.output_tokens or 0) + more, told + more if told else 0
        return Usage(inputs, outputs, max(told, (inputs or 0) + (outputs or 0)), "counted")


def usage_of(value: object) -> Usage | None:
    """Return the tokens that a `usage` object reports; None if it holds no readable figure.

    Reads Chat Completions' names (prompt_tokens, completion_tokens) and those of Responses
    (input_tokens, output_tokens). A total that is missing is the sum of both parts, if both are
    there; one that is given stays as it is.
    """
    if not isinstance(value, dict):
        return None
    input_tokens = _count_of(value.get("prompt_tokens"))
    if input_tokens is None:
        input_tokens = _count_of(value.get("input_tokens"))
    output_tokens = _count_of(value.get("completion_tokens"))
    if output_tokens is None:
        output_tokens = _count_of(value.get("output_tokens"))
    total_tokens = _count_of(value.get("total_tokens"))
    if total_tokens is None and input_tokens is not None and output_tokens is not None:
        total_tokens = input_tokens + output_tokens
    if input_tokens is None and output_tokens is None and total_tokens is None:
        return None
    return Usage(input_tokens, output_tokens, total_tokens)


def _count_of(value: object) -> int | None:
    """Return a whole number from 0 up; 12.0 is one, as JSON knows one kind of number, True none."""
    if type(value) is int:
        return value if value in _COUNTS else None
    if not isinstance(value, float) or not value.is_integer():
        return None
    return int(value) if int(value) in _COUNTS else None
