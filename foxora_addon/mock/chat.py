"""A chat's completion: `n` answers of the mock's assistant, and the tokens that they took.

How the completion is told (one JSON object, or a stream of chunks) stands elsewhere.
"""

from dataclasses import dataclass

from foxora_addon.mock.chat_request import ChatRequest
from foxora_addon.mock.task import Choice, choice_of


@dataclass(frozen=True, slots=True)
class Completion:
    """What the assistant says, and the tokens that it took. `is_older`: calls are functions'."""

    choices: tuple[Choice, ...]
    input_tokens: int
    output_tokens: int
    is_older: bool = False


def complete(request: ChatRequest, completion_id: str, words: int | None = None) -> Completion:
    """What the assistant says; with `words`, in so many of them, unless it says JSON."""
    token = completion_id.rpartition("_")[2]
    choices = tuple(
        choice_of(request.task, token, number, words) for number in range(request.choices)
    )
    output_tokens = sum(choice.tokens for choice in choices)
    return Completion(choices, request.input_tokens, output_tokens, request.is_older)
