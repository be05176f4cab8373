"""What is heard in streams of the Audio and Images APIs, and whether it can be counted."""

import json
from typing import Any

import pytest

from foxora_addon.api.sse import Event
from foxora_addon.api.transcript import Transcript


def transcript_of(*values: dict[str, Any], max_bytes: int = 10_000) -> Transcript:
    transcript = Transcript(max_bytes)
    for value in values:
        transcript.add(Event(json.dumps(value)))
    return transcript


def a_delta(text: object) -> dict[str, Any]:
    return {"type": "transcript.text.delta", "delta": text}


def all_of(text: object) -> dict[str, Any]:
    return {"type": "transcript.text.done", "text": text}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([a_delta("Hel"), a_delta("lo.")], "Hello."),
        ([a_delta("hel"), a_delta("lo"), all_of("Hello.")], "Hello."),
        ([all_of("Hello.")], "Hello."),
        ([a_delta("Hello."), all_of("")], "Hello."),
        ([a_delta("Hello."), a_delta(None), all_of(7)], "Hello."),
    ],
)
def test_what_was_heard_is_one_text(values: list[dict[str, Any]], text: str) -> None:
    transcript = transcript_of(*values)
    assert transcript.completion() == {"text": text}
    assert transcript.content_bytes >= len(text)
    assert not transcript.is_wordless


@pytest.mark.parametrize("values", [[], [all_of("")], [a_delta("")], [{"type": "other"}]])
def test_where_nothing_was_heard_there_is_nothing(values: list[dict[str, Any]]) -> None:
    transcript = transcript_of(*values)
    assert (transcript.completion(), transcript.is_wordless) == (None, False)


def test_no_more_of_it_is_kept_than_may_be() -> None:
    transcript = transcript_of(*[a_delta("x" * 100)] * 50, max_bytes=1_000)
    assert transcript.truncated
    assert transcript.content_bytes <= 1_100
    kept = transcript.completion()
    assert kept is not None
    assert set(kept["text"]) == {"x"}
    transcript.add(Event(json.dumps(all_of("y" * 5_000))))
    assert transcript.completion() == kept
    assert transcript.done


@pytest.mark.parametrize(
    "kind",
    [
        "image_generation.partial_image",
        "image_generation.completed",
        "image_edit.completed",
        "speech.audio.delta",
    ],
)
def test_of_pictures_and_sound_nothing_can_be_counted(kind: str) -> None:
    transcript = transcript_of({"type": kind})
    assert (transcript.completion(), transcript.is_wordless) == (None, True)
