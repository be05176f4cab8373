"""The table of operations: a request finds its row, and the SDK calls nothing that has none."""

import re
from itertools import cycle
from pathlib import Path

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.endpoints import API_ROOTS, OPERATIONS, OTHER, Operation, find_operation

# In the SDK, and not the business of applications that ask models.
WITHOUT_A_ROW = {
    *("content_provenance_checks", "decisions", "projects", "safety", "vaults"),
    *("webhook_endpoints", "webhook_event_types"),
}


TALKS = {
    *("/realtime/sessions", "/realtime/transcription_sessions", "/realtime/client_secrets"),
    *("/realtime/translations/client_secrets", "/realtime/calls/*/accept"),
}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/chat/completions", "chat"),
        ("POST", "/chat/completions/", "chat"),
        ("GET", "/chat/completions", "stored_chats"),
        ("GET", "/chat/completions/chatcmpl-1/messages", "stored_chats"),
        ("POST", "/completions", "completions"),
        ("POST", "/embeddings", "embeddings"),
        ("POST", "/responses", "responses"),
        ("POST", "/responses/compact", "responses"),
        ("GET", "/responses", "responses"),
        ("GET", "/responses/resp_1", "stored_responses"),
        ("POST", "/responses/resp_1/cancel", "stored_responses"),
        ("GET", "/models", "models"),
        ("GET", "/models/openai/gpt-4o", "models"),
        ("GET", "/me", "me"),
        ("GET", "/me/usage", "me_usage"),
        ("POST", "/audio/speech", "audio_speech"),
        ("POST", "/audio/transcriptions", "audio_transcriptions"),
        ("POST", "/audio/translations", "audio_translations"),
        ("GET", "/audio/voices", "audio_voices"),
        ("POST", "/images/generations", "images"),
        ("POST", "/images/edits", "images"),
        ("POST", "/files", "files"),
        ("DELETE", "/files/file-1", "files"),
        ("GET", "/files/file-1/content", "file_content"),
        ("POST", "/moderations", "moderations"),
        ("POST", "/batches/batch_1/cancel", "batches"),
        ("POST", "/fine_tuning/jobs", "fine_tuning"),
        ("GET", "/fine_tuning/jobs/ft-1/events", "fine_tuning"),
        ("POST", "/assistants", "assistants"),
        ("POST", "/threads/thread_1/runs", "threads"),
        ("POST", "/vector_stores/vs_1/search", "vector_stores"),
        ("POST", "/uploads/up_1/parts", "uploads"),
        ("GET", "/realtime", "realtime"),
        ("POST", "/realtime/calls", "realtime"),
        ("POST", "/live/sessions", "live"),
        ("GET", "/videos/video_1/content", "videos"),
        ("POST", "/conversations", "conversations"),
        ("GET", "/containers/cntr_1/files/f_1/content", "containers"),
        ("GET", "/evals/e_1/runs", "evals"),
        ("GET", "/skills/s_1/content", "skills"),
        ("POST", "/chatkit/sessions", "chatkit"),
        ("GET", "/agents", "agents"),
        ("GET", "/organization/usage/completions", "organization"),
    ],
)
def test_a_request_finds_its_operation(method: str, path: str, name: str) -> None:
    assert find_operation(method, path).name == name


def test_every_operation_is_looked_for_above() -> None:
    (cases,) = (
        mark.args[1]
        for mark in test_a_request_finds_its_operation.pytestmark  # type: ignore[attr-defined]  # set by pytest
    )
    assert {name for _, _, name in cases} == {row.name for row in OPERATIONS}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("PUT", "/chat/completions"), ("GET", "/embeddings"), ("post", "/chat/completions")),
        *(("POST", "chat/completions"), ("POST", "/chat"), ("POST", "/chat/completions.")),
        *(("POST", ""), ("GET", "/me/usage/more"), ("GET", "/modelsx"), ("GET", "/")),
    ],
)
def test_anything_else_is_other(method: str, path: str) -> None:
    assert find_operation(method, path) is OTHER


@pytest.mark.parametrize(
    "path",
    [
        *("/chat/complet%69ons", "/%63%68%61%74/completions", "/chat/complet%2569ons"),
        *("/chat%2Fcompletions", "/chat%252fcompletions/", "/chat/completions%2F"),
        *("/Chat/Completions", "//chat//completions//", "/chat%5Ccompletions"),
        *("/chat/completions;v=1", "/chat;v=1/completions", "/chat/completions%3Bv=1"),
        *("/chat/completions%3Fa=b/c", "/chat/completions%23a", "/chat/completions;a%3Fb/c"),
        *("/chat/completions;a%2Fb", "/chat/completions%3Ba%252Fb", "/chat;a%2Fcompletions"),
    ],
)
def test_no_spelling_gets_a_call_past_its_operation(path: str) -> None:
    assert find_operation("POST", path).name == "chat"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/files/%s/content"), ("GET", "/videos/%s/content"), ("DELETE", "/responses/%s")),
        *(("DELETE", "/containers/%s"), ("DELETE", "/containers/c/files/%s")),
        *(("POST", "/threads/%s/runs"), ("POST", "/realtime/calls/%s/accept")),
    ],
)
@pytest.mark.parametrize("identity", ["a%2Fb", "gs%3A%2f%2fbucket%2Fa", "a%252Fb", "a%5Cb;v=1"])
def test_an_escaped_slash_in_an_id_leaves_the_operation_as_it_is(
    method: str, path: str, identity: str
) -> None:
    assert find_operation(method, path % identity) == find_operation(method, path % "x_1")


def test_json_is_promised_only_where_it_is_however_a_path_is_read() -> None:
    assert find_operation("POST", "/realtime/a").answers_json
    assert not find_operation("POST", "/audio%2Fspeech").answers_json
    assert find_operation("POST", "/chat%2Fcompletions").answers_json
    assert not find_operation("DELETE", "/responses/a%2Fb").answers_json


def spelt(letter: str, way: int) -> str:
    """In capitals, as it is, or escaped so many times."""
    if way < 1:
        return letter.upper() if way < 0 else letter
    return f"%{'25' * (way - 1)}{ord(letter):02x}"


@given(st.sampled_from(OPERATIONS), st.lists(st.integers(-1, 3), min_size=1, max_size=9))
def test_an_operation_is_the_same_however_its_path_is_spelt(
    row: Operation, ways: list[int]
) -> None:
    path = row.path.removesuffix("/**").replace("*", "x_1")
    other = "/" + "".join(map(spelt, path[1:], cycle(ways)))
    for method in row.methods:
        found = find_operation(method, other)
        assert found._replace(path="") == find_operation(method, path)._replace(path="")


@given(st.sampled_from(["GET", "POST"]), st.text(max_size=30))
def test_any_path_has_an_operation(method: str, path: str) -> None:
    found = find_operation(method, path)
    assert found is OTHER or method in found.methods


def test_only_what_is_json_is_promised_to_be() -> None:
    binary = [
        *(("POST", "/audio/speech"), ("GET", "/files/f/content"), ("GET", "/videos/v/content")),
        *(("POST", "/audio/transcriptions"), ("POST", "/realtime/calls"), ("GET", "/nothing")),
    ]
    assert not any(find_operation(*request).answers_json for request in binary)
    assert find_operation("POST", "/chat/completions").answers_json
    assert find_operation("GET", "/files/f").answers_json


def test_a_model_stands_in_the_requests_that_choose_one() -> None:
    choosing = {row.path for row in OPERATIONS if row.has_model}
    assert choosing == {
        *("/chat/completions", "/completions", "/embeddings", "/moderations"),
        *("/responses", "/responses/compact", "/responses/input_tokens"),
        *("/audio/speech", "/images/generations", "/fine_tuning/jobs", "/assistants"),
        *("/assistants/**", "/threads/runs", "/threads/*/runs", *TALKS),
    }


def test_a_model_stands_in_the_uploads_that_choose_one() -> None:
    choosing = {row.path for row in OPERATIONS if row.has_form}
    assert choosing == {
        *("/audio/transcriptions", "/audio/translations", "/videos"),
        *("/images/edits", "/images/variations"),
    }
    assert not find_operation("GET", "/videos").has_form
    assert not find_operation("POST", "/videos/v/remix").has_form


def test_a_model_may_be_left_out_where_something_else_says_which() -> None:
    optional = {row.path for row in OPERATIONS if row.model_is_optional}
    assert optional == {
        *("/images/generations", "/images/edits", "/images/variations", "/videos", "/moderations"),
        *("/assistants/**", "/threads/runs", "/threads/*/runs", *TALKS),
    }
    assert not find_operation("POST", "/assistants").model_is_optional
    assert find_operation("POST", "/assistants/asst_1").model_is_optional


@pytest.mark.parametrize(
    ("path", "generates"),
    [
        *(("/responses", True), ("/threads/t/runs", True), ("/nothing", True)),
        *(("/threads/t/runs/r/submit_tool_outputs", True), ("/threads/t/runs/r", False)),
        *(("/threads/t/runs/r/cancel", False), ("/responses/resp_1/cancel", False)),
        *(("/chat/completions/c", False), ("/batches", False), ("/responses/input_tokens", False)),
        *(("/realtime/sessions", False), ("/realtime/client_secrets", False)),
    ],
)
def test_what_stores_cancels_or_counts_has_no_model_answer(path: str, generates: bool) -> None:
    assert find_operation("POST", path).generates is generates


def test_what_was_heard_may_be_told_as_text() -> None:
    told = {row.path for row in OPERATIONS if row.answers_text}
    assert told == {"/audio/transcriptions", "/audio/translations"}


def test_the_roots_tell_the_api_from_the_rest() -> None:
    assert {"chat", "models", "me", "responses"} <= API_ROOTS
    assert API_ROOTS.isdisjoint({"", "v1", "openai", "favicon.ico", "*"})


SDK = [file.read_text("utf-8") for file in Path(openai.__file__).parent.glob("resources/**/*.py")]


def sdk_paths() -> set[str]:
    found = (re.findall(r"\"(/[a-z_]+(?:/[^\"\s?]*)?)\"", text) for text in SDK)
    return {re.sub(r"\{\w+\}", "x_1", path) for paths in found for path in paths}


def test_where_the_sdk_reads_no_answer_none_is_promised() -> None:
    unread = r"\"Accept\": \"\*/\*\".{,900}?self\._(delete|post)\(\s+path_template\(\s*\"([^\"?]+)"
    calls = {call for text in SDK for call in re.findall(unread, text, re.DOTALL)}
    assert ("delete", "/responses/{response_id}") in calls
    assert len(calls) > 5
    promised = [
        (method, path)
        for method, path in calls
        if find_operation(method.upper(), re.sub(r"\{\w+\}", "x_1", path)).answers_json
    ]
    assert not promised


def test_every_path_of_the_sdk_has_a_row() -> None:
    paths = sdk_paths()
    assert len(paths) > 100
    missing = {
        path
        for path in paths
        if path.split("/")[1] not in WITHOUT_A_ROW
        and all(find_operation(method, path) is OTHER for method in ("GET", "POST", "DELETE"))
    }
    assert not missing
