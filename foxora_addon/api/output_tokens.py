"""How many tokens a call may put out at most, and how many an answer that reports none put out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from foxora_addon.api.token_text import TextCounter, text_tokens

# The newer name first: where two are given, gateways go by it.
_CAPS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
# What a model answers, in JSON or to a form; all other operations put no tokens out. An operation
# that is not known may do either: it is charged for what it is seen to use.
_GENERATING: Final = frozenset({"chat", "completions", "responses", "threads", "audio_speech"})
_GENERATING_FROM_FORMS: Final = frozenset({"audio_transcriptions", "audio_translations", "images"})

_MOST_TOKENS: Final = 2**53
_MOST_ANSWERS: Final = 2_048

# What a model wrote, in a message, a choice or an item of a response's output; deeper down no
# further: arguments are text, and what a tool found was not written by the model.
_WRITTEN: Final = (
    *("content", "reasoning_content", "reasoning", "thinking", "summary", "refusal", "text"),
    *("audio", "transcript"),
    *("function_call", "function", "tool_calls", "custom", "name", "arguments", "input"),
)
_DEEPEST: Final = 6


def output_cap(operation: str, parsed: Mapping[str, Any] | None) -> int | None:
    """Return the most tokens that a call allows its answers together; None if it names no limit.

    The limit that it names counts for each of its `n` answers, and in the legacy completions for
    each of `best_of` tries at each of its prompts. A call that no model answers has a limit of 0.
    """
    if parsed is None or operation not in _GENERATING:
        return None if operation in _GENERATING_FROM_FORMS else 0
    for name in filter(parsed.__contains__, _CAPS):
        if (cap := _count_of(parsed[name], _MOST_TOKENS)) is not None:
            has_one = "n" not in parsed and operation != "completions"
            return cap if has_one else cap * _answers_of(operation, parsed)
    return None


def counted_output_tokens(
    answer: dict[str, Any], model: str | None = None, counter: TextCounter | None = None
) -> int:
    """Count what an answer says: a completion, a response, or one message of either.

    Text, reasoning that is shown, refusals, and the names and arguments of calls. Reasoning that is
    hidden is not seen, so the figure is a lower bound for models that hide it.
    """
    parts = next(
        (answer[name] for name in ("choices", "output") if isinstance(answer.get(name), list)),
        [answer],
    )
    return text_tokens(list(_written(parts)), model, counter)


def written_in(pieces: list[Any]) -> list[str]:
    """The texts that a model wrote in messages, or in pieces of them."""
    return list(_texts_of(pieces, _DEEPEST))


def _written(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        message = part.get("message") if isinstance(part, dict) else None
        yield from _texts_of(message or part, _DEEPEST)


def _texts_of(value: Any, deepest: int) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list() if deepest:
            for entry in value:
                yield from _texts_of(entry, deepest - 1)
        case dict() if deepest:
            fields = [value[name] for name in _WRITTEN if name in value]
            for place, written in enumerate(fields):
                if written not in fields[:place]:  # some servers give reasoning under two names
                    yield from _texts_of(written, deepest - 1)


def _answers_of(operation: str, parsed: Mapping[str, Any]) -> int:
    answers = _count_of(parsed.get("n"), _MOST_ANSWERS) or 1
    if operation != "completions":
        return answers
    tries = _count_of(parsed.get("best_of"), _MOST_ANSWERS) or 1
    return max(answers, tries) * _prompts_of(parsed.get("prompt"))


def _prompts_of(prompt: Any) -> int:
    """Return how many prompts stand in the field; token numbers in a row are one."""
    many = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return min(len(prompt), _MOST_ANSWERS) if many else 1


def _count_of(value: Any, most: int) -> int | None:
    """Return a whole number from 1 up, `most` for any above it; None for all else."""
    if type(value) is int:
        return min(value, most) if value >= 1 else None
    return int(min(value, most)) if isinstance(value, float) and value >= 1 else None
