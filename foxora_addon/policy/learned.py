"""What a call is charged before it is sent: its prompt, and the output that may be expected.

Learns from what each account's models have put out. It refuses to know how prompts are estimated
and where a charge is reserved.

Why a mean, and a little more
-----------------------------
A charge counts against the ceiling only while its exchange is open; then the figure itself does.
So what open exchanges hold too much is lost to others, and what they hold too little becomes debt.
Of many open ones only the mean error matters: a high quantile (p90 of usual lengths is twice the
mean) would leave a third of a busy ceiling unused, a median would run into debt by as much. The
mean is exponentially weighted over the last few dozen calls.

On top of it lies a part of the mean deviation that shrinks with the root of the number of open
calls, as the error of a mean does. So all of them together hold what covers the error of their sum,
about four of its standard deviations: a gateway that counts an answer in full as its call comes in
has room for it. One call alone holds much more than it may need, and gives it back as it ends.

A single observation far outside of what was seen is cut, so that one answer of a hundred times the
usual length does not shut out the calls after it; a lasting change is still learned, since the
deviation grows with each surprise.
"""

import math
from collections import OrderedDict
from typing import Final, NamedTuple

# What an answer is taken for before any is known; it weighs as much as one observation.
START_TOKENS: Final = 300

_MOST_KNOWN: Final = 10_000
_NAME_CHARACTERS: Final = 200

_MEMORY: Final = 32  # calls: what is older weighs a third in all
_DEVIATIONS: Final = 5.0  # above the mean, for the sum of all open calls
_LARGEST_SURPRISE: Final = 8.0  # deviations
_LEAST_DEVIATION: Final = 0.5  # of the mean
_MOST_TOKENS: Final = 10**12


class _Course:
    """The running mean and mean deviation of one model's output, for one account."""

    __slots__ = ("calls", "deviation", "mean")

    def __init__(self) -> None:
        self.calls = 1
        self.mean = float(START_TOKENS)
        self.deviation = 0.0

    def add(self, tokens: int) -> None:
        if self.calls < _MEMORY:
            self.calls += 1
        calls, mean, deviation = self.calls, self.mean, self.deviation
        surprise = tokens - mean
        if surprise > _LARGEST_SURPRISE:  # of a deviation, which is a token at least
            usual = max(deviation, _LEAST_DEVIATION * mean, 1.0)
            surprise = min(surprise, _LARGEST_SURPRISE * usual)
        self.mean = mean + surprise / calls
        self.deviation = deviation + (abs(surprise) - deviation) / calls

    def expected(self, open_calls: int) -> int:
        more = _DEVIATIONS / math.sqrt(open_calls + 1)
        return math.ceil(self.mean + more * self.deviation)


class Learned:
    """What the calls of each account's models have put out; the least recently used is forgotten.

    Bounded: `most_known` pairs of account and model, each of about half a kilobyte, and of names
    the first 200 characters, for the name of a model is the client's to choose.
    """

    def __init__(self, most_known: int = _MOST_KNOWN) -> None:
        self._most_known = most_known
        self._courses: OrderedDict[tuple[str, str], _Course] = OrderedDict()

    def observe(self, account: str, model: str | None, output_tokens: int) -> None:
        """A call of this account to this model has put out so many tokens, all answers together."""
        key = account, (model or "")[:_NAME_CHARACTERS]
        courses = self._courses
        course = courses.get(key)
        if course is not None:
            courses.move_to_end(key)
        else:
            course = courses[key] = _Course()
            if len(courses) > self._most_known:
                courses.popitem(last=False)
        course.add(min(max(output_tokens, 0), _MOST_TOKENS))

    def expected(self, account: str, model: str | None, open_calls: int) -> int:
        """Return the tokens that a call may be expected to put out; a start value at first.

        `open_calls` are those of the account beside it: the more, the less each takes to be safe.
        """
        key = account, (model or "")[:_NAME_CHARACTERS]
        course = self._courses.get(key)
        if course is None:
            return START_TOKENS
        self._courses.move_to_end(key)
        return course.expected(open_calls)


class Charge(NamedTuple):
    """What to reserve for a call.

    `can_fit` is False for one that no wait can help, since its prompt alone is larger than a
    minute's ceiling: to be refused for good. `input_tokens` and `output_tokens` say what it is made
    of, before it was cut to the ceiling; `certain_tokens` are those of the prompt beyond doubt.
    """

    tokens: int
    can_fit: bool
    input_tokens: int
    output_tokens: int
    certain_tokens: int

    def under(self, ceiling: int | None) -> "Charge":
        """Return the charge of the same call under another ceiling."""
        _, _, input_tokens, output_tokens, certain = self
        return _under(ceiling, input_tokens, output_tokens, certain)


def _under(ceiling: int | None, input_tokens: int, output_tokens: int, certain: int) -> Charge:
    tokens = input_tokens + output_tokens
    if ceiling is None:
        return Charge(tokens, True, input_tokens, output_tokens, certain)  # noqa: FBT003
    return Charge(min(tokens, ceiling), certain <= ceiling, input_tokens, output_tokens, certain)


def charge(
    input_tokens: int,
    output_cap: int | None,
    expected_output: int,
    ceiling: int | None,
    *,
    input_doubt: float = 0.0,
) -> Charge:
    """Return the charge of a call, never above the ceiling of one that can fit.

    Output is what the call allows itself (`output_cap`), else what was learned. A cap that does not
    fit beside the prompt is cut, not refused: it bounds the output and does not tell it, and apps
    name large ones that are never reached. Such a call waits for an empty minute; what it uses
    beyond the ceiling, if it does, is debt.

    The prompt is judged to be too large only where that is beyond doubt: `input_doubt` is the part
    of `input_tokens` by which the estimate may be too high. In between, the call is charged the
    whole ceiling.
    """
    output_tokens = expected_output if output_cap is None else output_cap
    certain_tokens = math.ceil(input_tokens * (1 - input_doubt))
    return _under(ceiling, input_tokens, output_tokens, certain_tokens)
