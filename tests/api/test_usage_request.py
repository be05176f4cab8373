"""A stream is asked for its usage in one member of its body; a refusal of that is understood."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.errors import ApiError, normalise
from foxora_addon.api.usage_request import refuses_usage, with_usage_asked

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora"
REQUESTS = sorted(CORPUS.glob("request_bodies/*"))
ERRORS = sorted(CORPUS.glob("error_bodies/*"))


def asked(text: str, operation: str = "chat") -> str | None:
    body = text.encode()
    sent = with_usage_asked(operation, body, json.loads(body))
    return None if sent is None else sent.decode()


@pytest.mark.parametrize("operation", ["chat", "completions"])
@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ('{"stream":true}', '{"stream_options":{"include_usage":true},"stream":true}'),
        (
            '{ "stream" : true,\n"stream_options" : null }',
            '{ "stream" : true,\n"stream_options" : {"include_usage":true} }',
        ),
        (
            '{"stream":true,"stream_options":{}}',
            '{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            '{"stream":true,"stream_options":{ "include_usage" :false }}',
            '{"stream":true,"stream_options":{ "include_usage" :true }}',
        ),
        (
            '{"stream":true,"stream_options":{"include_usage":null}}',
            '{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            '{"stream_options": {"include_obfuscation": false}, "stream": true, "x": 1.0e0}',
            '{"stream_options": {"include_usage":true,"include_obfuscation": false},'
            ' "stream": true, "x": 1.0e0}',
        ),
        (
            '{"stream_options":null,"stream":true,"stream_options":{"include_usage":false}}',
            '{"stream_options":{"include_usage":true},"stream":true,'
            '"stream_options":{"include_usage":true}}',
        ),
        (
            '\ufeff{"messages":"\\u00e9é\\/","stream":true,"stream":true}',
            '\ufeff{"stream_options":{"include_usage":true},'
            '"messages":"\\u00e9é\\/","stream":true,"stream":true}',
        ),
    ],
)
def test_the_body_asks_and_is_otherwise_as_it_was(operation: str, body: str, sent: str) -> None:
    assert with_usage_asked(operation, body.encode(), json.loads(body.encode())) == sent.encode()


@pytest.mark.parametrize(
    "body",
    [
        *("{}", '{"stream":false}', '{"stream":null}', '{"stream":1}', '{"stream":"true"}', "[]"),
        *("null", '"stream"', '{"messages":[{"stream":true}]}'),
        '{"stream":true,"stream_options":{"include_usage":true}}',
        '{"stream":true,"stream_options":true}',
        '{"stream":true,"stream_options":[]}',
        '{"stream":true,"stream_options":"include_usage"}',
        '{"stream":true,"stream_options":{"include_usage":"true"}}',
        '{"stream":true,"stream_options":{"include_usage":1}}',
        '{"stream":true,"stream_options":{"include_usage":0}}',
        '{"stream":true,"stream_options":[],"stream_options":{}}',
    ],
)
def test_a_body_that_leaves_nothing_to_ask_is_left_alone(body: str) -> None:
    assert asked(body) is None


@pytest.mark.parametrize("operation", ["responses", "embeddings", "audio_speech", "other"])
def test_only_chat_and_legacy_completions_are_asked(operation: str) -> None:
    assert asked('{"stream":true}', operation) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
OPTIONS = JSON | st.dictionaries(
    st.sampled_from(["include_usage", "include_obfuscation", "x"]), JSON, max_size=3
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["model", "x"]), JSON)
        | st.tuples(st.just("stream"), st.booleans())
        | st.tuples(st.just("stream_options"), OPTIONS),
        max_size=5,
    ),
    st.sampled_from(["", " ", "\n\t"]),
)
def test_what_is_sent_asks_and_says_nothing_else(
    members: list[tuple[str, Any]], space: str
) -> None:
    parts = (f"{json.dumps(name)}{space}:{space}{json.dumps(value)}" for name, value in members)
    body = ("{" + f"{space},{space}".join(parts) + space + "}").encode()
    request = json.loads(body)
    sent = with_usage_asked("chat", body, request)
    given_options = [value for name, value in members if name == "stream_options"]
    last = request.get("stream_options") or {}
    if sent is None:
        assert request.get("stream") is not True or not (
            all(value is None or isinstance(value, dict) for value in given_options)
            and (last.get("include_usage") is None or last["include_usage"] is False)
        )
    else:
        assert last.get("include_usage") is not True
        assert json.loads(sent) == request | {"stream_options": last | {"include_usage": True}}


@pytest.mark.parametrize("recorded", REQUESTS, ids=lambda path: path.stem)
def test_recorded_streams_are_asked_unless_they_ask(recorded: Path) -> None:
    body = recorded.read_bytes()
    try:
        request = json.loads(body)
    except ValueError:
        pytest.skip("not JSON")
    sent = with_usage_asked("chat", body, request)
    streams = isinstance(request, dict) and request.get("stream") is True
    options = (request.get("stream_options") or {}) if streams else {}
    assert (sent is not None) == (streams and options.get("include_usage") is not True)
    if sent is not None:
        asking = {"stream_options": options | {"include_usage": True}}
        assert json.loads(sent) == request | asking
        assert len(sent) - len(body) <= len('"stream_options":{"include_usage":true},')


def an_answer(body: Any, status: int = 400) -> ApiError:
    return normalise(status, [], body if isinstance(body, bytes) else json.dumps(body).encode())


def an_error(message: str, **more: Any) -> ApiError:
    return an_answer({"error": {"message": message, "type": "invalid_request_error", **more}})


UNKNOWN = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "input": {}}


@pytest.mark.parametrize(
    "error",
    [
        an_error("Unrecognized request argument supplied: stream_options"),
        an_error("Unknown parameter: 'stream_options'.", param="stream_options"),
        an_error("Unknown parameter: 'stream_options.include_usage'.", code="unknown_parameter"),
        an_error("Unsupported parameter.", param="stream_options.include_usage"),
        an_error("The 'stream_options' parameter is only allowed when 'stream' is enabled."),
        an_error("Unsupported parameters: stream_options"),
        an_error("These are not supported parameters: stream_options"),
        an_error("Validation error at #/stream_options: Extra inputs are not permitted"),
        an_error("Extra inputs are not permitted, field: 'stream_options'"),
        an_error("[{'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]"),
        an_error("property 'stream_options' is unsupported"),
        an_error("`include_usage` is not supported for this model"),
        an_error("Stream options are not supported by this deployment."),
        an_error("#: extraneous key [stream_options] is not permitted, please reformat"),
        an_error("openai does not support parameters: {'stream_options': {'include_usage': True}}"),
        an_error("stream_options is not one of the supported parameters: model, messages"),
        an_answer({"error": {"code": 400, "message": 'Unknown name "streamOptions": no field.'}}),
        an_answer({"error": {"code": 400, "message": 'Unknown name "includeUsage" at "stream"'}}),
        an_answer({"detail": [UNKNOWN | {"msg": "Extra inputs are not permitted"}]}, 422),
        an_answer({"detail": [UNKNOWN]}, 422),
        an_answer({"object": "error", "message": {"detail": [UNKNOWN | {"msg": "Extra"}]}}, 422),
        an_answer({"detail": "Extra parameters ['stream_options'] are not allowed when ..."}),
        an_answer({"message": "unknown field: parameter 'stream_options' is not a valid field"}),
        an_answer({"fault": {"faultstring": "x"}, "message": "json: unknown field stream_options"}),
        an_answer(b"unknown field `stream_options`, expected one of `model`, `messages`", 422),
        an_answer({"error": "Additional properties are not allowed ('stream_options' ...)"}, 422),
        an_answer({"error": {"code": "unsupported_stream_options", "message": "No."}}),
    ],
    ids=lambda error: error.message[:40],
)
def test_a_gateway_that_refuses_the_field_is_understood(error: ApiError) -> None:
    assert refuses_usage(error)


@pytest.mark.parametrize(
    "error",
    [
        an_error("you must provide a model parameter"),
        an_error("Unknown parameter: 'foo'.", param="foo"),
        an_error("Extra inputs are not permitted"),
        an_error("'stream' must be a boolean", param="stream"),
        an_error("This model does not stream; usage is limited"),
        an_answer(b"unknown field `foo`, expected one of `model`, `stream_options`", 422),
        an_error("Unknown field foo. Supported parameters: model, stream_options"),
        an_error("foo is wrong; the allowed fields are model and stream_options"),
        an_answer({"error": {"message": "Unknown parameter: 'stream_options'."}}, 401),
        an_answer({"error": {"message": "Unknown parameter: 'stream_options'."}}, 429),
        an_answer({"error": {"message": "Unknown parameter: 'stream_options'."}}, 500),
        an_answer(b""),
        an_answer(b"\xff\x00", 422),
    ],
    ids=lambda error: f"{error.status} {error.message[:40]}",
)
def test_any_other_error_is_no_refusal_of_the_field(error: ApiError) -> None:
    assert not refuses_usage(error)


@pytest.mark.parametrize("recorded", ERRORS, ids=lambda path: path.stem)
def test_no_recorded_error_is_a_refusal_of_the_field(recorded: Path) -> None:
    assert not refuses_usage(normalise(400, [], recorded.read_bytes()))
