import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.endpoints import find_operation
from foxora_addon.api.errors import ApiError
from foxora_addon.api.promised_json import NOT_JSON
from foxora_addon.policy.recognise import Recognised
from foxora_addon.policy.validation import (
    CallBody,
    ModelRules,
    form_in,
    plain_body,
    read_call,
    read_message,
    read_query,
)
from tests.builders import CHAT, encoded

RULES = ModelRules()
MAPPED = ModelRules({"gpt-4o-mini": "foxora/small"}, "foxora/usual")


def a_call(path: str = "/chat/completions", **more: Any) -> Recognised:
    return Recognised(find_operation("POST", path), path, "", **more)


def read(body: bytes, rules: ModelRules = RULES, call: Recognised | None = None) -> CallBody:
    found = read_call(call or a_call(), body, rules)
    assert isinstance(found, CallBody), found
    return found


def refused(body: bytes, call: Recognised | None = None) -> ApiError:
    found = read_call(call or a_call(), body, RULES)
    assert isinstance(found, ApiError), found
    return found


@pytest.mark.parametrize("size", [1_001, 3_000_000])
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
    ],
)
def test_a_body_that_decodes_to_more_than_it_may_have_is_too_large(
    encoding: str, encode: Callable[[bytes], bytes], size: int
) -> None:
    assert plain_body(encode(bytes(1_000)), encoding, 1_000) == bytes(1_000)
    refusal = plain_body(encode(bytes(size)), encoding, 1_000)
    assert isinstance(refusal, ApiError)
    assert (refusal.status, refusal.code) == (413, "request_too_large")
    assert "intercept.max_request_bytes" in refusal.message


@pytest.mark.parametrize("encoding", ["gzip", "x-own"])
def test_one_that_is_not_so_encoded_is_not_valid(encoding: str) -> None:
    refusal = plain_body(b"{}", encoding, 1_000)
    assert isinstance(refusal, ApiError)
    assert (refusal.status, refusal.code) == (400, "invalid_request")


def test_a_chat_is_read_and_its_bytes_stay() -> None:
    body = b' {"model" : "m", "messages":[ ], "stream": true}\n'
    found = read(body)

    assert (found.model, found.stream) == ("m", True)
    assert found.sent is body
    assert found.json == json.loads(body)


@pytest.mark.parametrize("stream", [False, None, "true", 1, {}])
def test_only_true_asks_for_a_stream(stream: object) -> None:
    assert not read(encoded(CHAT | {"stream": stream})).stream


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000])
def test_a_chat_that_is_no_json_object_is_refused(body: bytes) -> None:
    assert (refused(body).status, refused(body).code) == (400, "invalid_json")


def test_a_chat_with_a_long_number_passes_and_one_too_deep_is_told_so() -> None:
    long = encoded(CHAT)[:-1] + b', "seed": ' + b"9" * 5_000 + b"}"
    assert read(long).sent == long
    deep = encoded(CHAT)[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert (refused(deep).code, "too deeply" in refused(deep).message) == ("invalid_json", True)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 4}, "model"),
        ({"model": ["m"]}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": {}}, "messages"),
    ],
)
def test_a_chat_without_what_is_required_is_refused(change: dict[str, Any], param: str) -> None:
    refusal = refused(encoded(CHAT | change))

    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_request", param)


def test_a_mapped_model_is_changed_in_its_place_alone() -> None:
    body = b'{ "a":1.0, "model": "gpt-4o-mini" ,"messages":[{"content":"gpt-4o-mini"}] }'
    found = read(body, MAPPED)

    assert found.model == "foxora/small"
    assert found.sent == body.replace(b'"gpt-4o-mini" ,', b'"foxora/small" ,')


@pytest.mark.parametrize("model", [None, ""])
def test_the_default_is_put_in_where_none_is_named(model: str | None) -> None:
    found = read(encoded(CHAT | {"model": model}), MAPPED)

    assert json.loads(found.sent)["model"] == found.model == "foxora/usual"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/assistants/asst_1", {"name": "New name"}),
        ("/threads/runs", {"assistant_id": "asst_1"}),
        ("/threads/thread_1/runs", {"assistant_id": "asst_1"}),
        ("/responses", {"prompt": {"id": "pmpt_1"}}),
        ("/moderations", {"input": "x"}),
        ("/images/generations", {"prompt": "x"}),
        ("/images/edits", {"prompt": "x"}),
    ],
)
def test_the_default_is_not_put_in_where_something_else_says_which(
    path: str, body: dict[str, Any]
) -> None:
    sent = encoded(body)
    assert read(sent, MAPPED, a_call(path)).sent is sent
    named = read(encoded(body | {"model": "gpt-4o-mini"}), MAPPED, a_call(path))
    assert json.loads(named.sent)["model"] == "foxora/small"


def test_a_prompt_that_is_a_text_names_no_model() -> None:
    found = read(encoded({"prompt": "x"}), MAPPED, a_call("/completions"))
    assert found.model == "foxora/usual"


def test_the_deployment_of_a_path_is_the_model() -> None:
    found = read(encoded(CHAT), MAPPED, a_call(deployment="mine"))

    assert json.loads(found.sent) == CHAT | {"model": "mine"}


def test_the_deployment_is_mapped_as_well() -> None:
    body = encoded({"messages": []})
    found = read(body, MAPPED, a_call(deployment="gpt-4o-mini"))

    assert json.loads(found.sent) == {"model": "foxora/small", "messages": []}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embeddings", b""),
        ("/embeddings", b"no json"),
        ("/images/edits", b'--boundary\r\n{"model": "gpt-4o-mini"}'),
        ("/not/yet/known", b'{"model": "gpt-4o-mini"}'),
    ],
)
def test_what_is_not_read_passes_as_it_is(path: str, body: bytes) -> None:
    found = read(body, MAPPED, a_call(path))

    assert found.sent is body
    assert (found.model, found.stream, found.json) == (None, False, None)


@pytest.mark.parametrize(
    ("path", "query", "is_stream"),
    [
        ("/responses/r1", "stream=true", True),
        ("/responses/r1", "starting_after=7&stream=true", True),
        ("/responses/r1", "stream=false", False),
        ("/responses/r1", "", False),
        ("/files", "stream=true", False),
    ],
)
def test_a_stored_response_may_be_asked_for_as_a_stream(
    path: str, query: str, is_stream: bool
) -> None:
    call = Recognised(find_operation("GET", path), path, query)
    assert read(b"", call=call) == CallBody(None, is_stream, b"")


def test_embeddings_need_no_field_and_are_mapped() -> None:
    assert read(b'{"input":1}', RULES, a_call("/embeddings")).model is None
    found = read(b'{"model":"gpt-4o-mini"}', MAPPED, a_call("/embeddings"))
    assert found.sent == b'{"model":"foxora/small"}'


@pytest.mark.parametrize(
    ("path", "within"),
    [
        ("/realtime/sessions", None),
        ("/realtime/calls/rtc_1/accept", None),
        ("/realtime/client_secrets", "session"),
        ("/realtime/translations/client_secrets", "session"),
        ("/realtime/transcription_sessions", "input_audio_transcription"),
    ],
)
def test_a_realtime_session_is_made_for_the_mapped_model(path: str, within: str | None) -> None:
    inner = b'{ "x":1.0, "model" : "gpt-4o-mini"}'
    body = inner if within is None else b'{"a":"gpt-4o-mini", "%s" :%s}' % (within.encode(), inner)
    found = read(body, MAPPED, a_call(path))
    assert found.model == "foxora/small"
    assert found.sent == body.replace(b' : "gpt-4o-mini"', b' : "foxora/small"')
    told = {"model": "foxora/small"}
    assert found.changes == (told if within is None else {within: told})
    assert read(body, RULES, a_call(path)).sent is body


@pytest.mark.parametrize(
    "body", [{}, {"session": None}, {"session": {}}, {"session": 1, "model": "gpt-4o-mini"}]
)
def test_one_whose_session_names_no_model_is_the_gateways_to_judge(body: dict[str, Any]) -> None:
    sent = encoded(body)
    found = read(sent, MAPPED, a_call("/realtime/client_secrets"))
    assert (found.model, found.sent, found.changes) == (None, sent, {})


def test_one_with_two_sessions_of_which_one_is_no_object_is_refused() -> None:
    body = b'{"session": "x", "session": {"model": "gpt-4o-mini"}}'
    refusal = read_call(a_call("/realtime/client_secrets"), body, MAPPED)
    assert isinstance(refusal, ApiError)
    assert (refusal.status, refusal.param) == (400, "session")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["model", "messages", "stream", "x"]), VALUES))
def test_any_object_is_read_or_refused_and_keeps_its_other_members(body: dict[str, Any]) -> None:
    found = read_call(a_call(), encoded(body), MAPPED)

    if isinstance(found, CallBody):
        assert json.loads(found.sent) == body | {"model": found.model}


@given(st.binary(max_size=60), st.sampled_from(["/chat/completions", "/embeddings", "/x"]))
def test_any_bytes_are_read_or_refused(body: bytes, path: str) -> None:
    found = read_call(a_call(path), body, RULES)

    assert isinstance(found, ApiError) or found.sent is body


SMALL = "foxora/small"


@pytest.mark.parametrize(
    ("query", "sent", "model"),
    [
        ("x=%2f&model=gpt-4o-mini&y", "x=%2f&model=foxora%2Fsmall&y", SMALL),
        ("model=gpt%2D4o-mini", "model=foxora%2Fsmall", SMALL),
        ("mode%6c=gpt-4o-mini&model=x", "model=foxora%2Fsmall&model=x", SMALL),
        ("model=m%2D4&deployment=gpt-4o-mini", "model=m%2D4&deployment=gpt-4o-mini", "m-4"),
        ("deployment=gpt-4o-mini&x", "deployment=gpt-4o-mini&x&model=foxora%2Fsmall", SMALL),
        ("deployment=mine", "deployment=mine&model=mine", "mine"),
        ("model=&intent=transcription", "model=&intent=transcription", None),
        ("", "", None),
    ],
)
def test_the_opening_of_a_realtime_session_names_the_mapped_model(
    query: str, sent: str, model: str | None
) -> None:
    assert read_query(a_call("/realtime"), query, MAPPED) == (sent, model)


def test_an_azure_path_adds_the_model_to_a_realtime_sessions_query() -> None:
    assert read_query(a_call("/realtime", deployment="a b"), "", RULES) == ("model=a%20b", "a b")
    assert read_query(a_call("/realtime", deployment="a"), "model=b", RULES) == ("model=b", "b")


A_MESSAGE = b'{ "type":"response.create", "input" : 1.0e2, "model":"gpt-4o-mini" }'


def test_a_message_that_asks_for_a_response_names_the_mapped_model() -> None:
    call = a_call("/responses")
    sent = read_message(call, A_MESSAGE, MAPPED)
    assert sent == A_MESSAGE.replace(b"gpt-4o-mini", b"foxora/small")
    none = b'{"type":"response.create"}'
    usual = b'{"model":"foxora/usual","type":"response.create"}'
    assert read_message(call, none, MAPPED) == usual
    assert read_message(call, none, RULES) is none
    stored = b'{"type":"response.create","prompt":{"id":"pmpt_1"}}'
    assert read_message(call, stored, MAPPED) is stored
    named = read_message(a_call("/responses", deployment="d"), A_MESSAGE, RULES)
    assert named == A_MESSAGE.replace(b"gpt-4o-mini", b"d")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/realtime", A_MESSAGE),
        ("/responses", A_MESSAGE.replace(b"create", b"steer")),
        ("/responses", A_MESSAGE.replace(b"gpt-4o-mini", b"gpt-4o")),
        ("/responses", A_MESSAGE.replace(b'"gpt-4o-mini"', b"7")),
        ("/responses", A_MESSAGE[1:]),
        ("/responses", b"[]"),
        ("/responses", b"\xff"),
    ],
)
def test_any_other_message_is_the_clients_own(path: str, content: bytes) -> None:
    assert read_message(a_call(path), content, MAPPED) is content


def a_form(*fields: tuple[str, str]) -> bytes:
    parts = (
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in (*fields, ('file"; filename="a', "model"))
    )
    return "".join((*parts, "--edge--\r\n")).encode()


def an_upload(path: str = "/audio/transcriptions", **more: Any) -> Recognised:
    return a_call(path, **{"boundary": b"edge", **more})


UPLOADS = [
    *("/audio/transcriptions", "/audio/translations", "/videos"),
    *("/images/edits", "/images/variations"),
]


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_names_its_model_in_a_field(path: str) -> None:
    body = a_form(("model", "m"))
    found = read(body, MAPPED, an_upload(path))

    assert found == CallBody("m", stream=False, sent=body)
    assert found.sent is body


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_may_be_json(path: str) -> None:
    body = b'{"model" : "gpt-4o-mini", "stream": true}'
    found = read(body, MAPPED, an_upload(path, boundary=None))

    assert (found.model, found.stream, found.json) == ("foxora/small", True, None)
    assert found.sent == body.replace(b"gpt-4o-mini", b"foxora/small")
    assert found.changes == {"model": "foxora/small"}
    assert read(body, RULES, an_upload(path, boundary=None)).sent is body


@pytest.mark.parametrize(
    ("texts", "is_stream"),
    [
        (["true"], True),
        (["True"], True),
        (["1"], True),
        (["true", "false"], False),
        (["no"], False),
    ],
)
def test_a_form_may_ask_for_a_stream(texts: list[str], is_stream: bool) -> None:
    body = a_form(("model", "m"), *(("stream", text) for text in texts))
    assert read(body, RULES, an_upload()).stream is is_stream


def test_the_model_of_a_form_is_mapped_in_its_place_alone() -> None:
    body = a_form(("prompt", "gpt-4o-mini"), ("model", "gpt-4o-mini"), ("model", "gpt-4o-mini"))
    found = read(body, MAPPED, an_upload())

    assert (found.model, found.changes) == ("foxora/small", {"model": "foxora/small"})
    small = ("model", "foxora/small")
    assert found.sent == a_form(("prompt", "gpt-4o-mini"), small, small)


@pytest.mark.parametrize("fields", [[], [("model", "")]])
def test_a_form_that_names_no_model_gets_the_default(fields: list[tuple[str, str]]) -> None:
    found = read(a_form(*fields), MAPPED, an_upload())

    assert (found.model, found.sent) == ("foxora/usual", a_form(("model", "foxora/usual")))
    assert read(a_form(*fields), RULES, an_upload()).model in {None, ""}
    body = a_form(*fields)
    assert read(body, MAPPED, an_upload("/images/edits")).sent is body


def test_the_deployment_of_a_path_is_the_model_of_a_form() -> None:
    call = an_upload(deployment="mine")
    assert read(a_form(), RULES, call).sent == a_form(("model", "mine"))
    assert read(a_form(("model", "m")), RULES, call).sent == a_form(("model", "mine"))


NO_FORMS = [b"\x00\xff", b"--edg", b"[]", b"{", b"--other\r\n"]


@pytest.mark.parametrize("body", [b"", *NO_FORMS])
def test_an_upload_that_is_no_form_is_the_gateways_to_judge(body: bytes) -> None:
    call = an_upload(boundary=None)
    assert read(body, MAPPED, call) == CallBody(None, stream=False, sent=body)
    assert read(b"", MAPPED, an_upload()) == CallBody(None, stream=False, sent=b"")


@pytest.mark.parametrize("body", NO_FORMS)
def test_a_form_without_its_boundary_is_refused(body: bytes) -> None:
    assert (
        refused(body, an_upload()).message
        == "The form's Content-Type is a list, or names no boundary of its body, or several."
    )


def test_what_was_read_before_is_not_read_again() -> None:
    body = a_form(("model", "m"))
    form = form_in(an_upload(), body)
    call = an_upload(boundary=None)
    assert read_call(call, body, RULES, form) == CallBody("m", stream=False, sent=body)
    assert read_call(call, body, RULES, NOT_JSON) == CallBody(None, stream=False, sent=body)


@pytest.mark.parametrize(
    ("body", "param", "more"),
    [
        (a_form(("model", "one"), ("model", "two")), "model", {}),
        (a_form(("model", "m" * 5_000)), "model", {}),
        (a_form(*[("a", "b")] * 1_000), None, {}),
        (a_form(), "model", {"deployment": "a\r\n--edge"}),
    ],
    ids=["two models", "a long one", "many parts", "a line break"],
)
def test_a_form_whose_model_nobody_can_tell_is_refused(
    body: bytes, param: str | None, more: dict[str, Any]
) -> None:
    refusal = refused(body, an_upload(**more))
    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_request", param)
