import sys
from string import ascii_letters, digits
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.errors import ApiError
from foxora_addon.policy.hosts import HostPattern
from foxora_addon.policy.recognise import (
    Head,
    Outside,
    Place,
    Recognised,
    host_of,
    recognise,
    territory_of,
)
from tests.builders import a_head

TERRITORY = territory_of(
    [
        Place(HostPattern("api.openai.com"), ("/v1",), "ours"),
        Place(HostPattern("*.azure.example"), ("/openai/v1", "/openai"), "foreign"),
        Place(HostPattern("mixed.example", 8443), ("/api/v1",), "if shaped"),
    ],
    {"127.0.0.1", "localhost"},
    {"https://app.example"},
)


def at(host: str, target: str, port: int = 443, **more: object) -> Head:
    return a_head(target, hosts=(host,), port=port, addressed="host", host_header=host, **more)


def called(head: Head) -> Recognised:
    found = recognise(head, TERRITORY)
    assert isinstance(found, Recognised), found
    return found


def refused(head: Head) -> ApiError:
    found = recognise(head, TERRITORY)
    assert isinstance(found, ApiError), found
    return found


@pytest.mark.parametrize(
    ("head", "operation", "path"),
    [
        (a_head("/v1/chat/completions"), "chat", "/chat/completions"),
        (a_head("/chat/completions"), "chat", "/chat/completions"),
        (a_head("/openai/v1/embeddings"), "embeddings", "/embeddings"),
        (a_head("//v1///chat//completions"), "chat", "/chat/completions"),
        (a_head("/v1/models/org%2Fmodel", method="GET"), "models", "/models/org%2Fmodel"),
        (a_head("/v1/not/yet/known"), "other", "/not/yet/known"),
        (at("api.openai.com", "/v1/chat/completions"), "chat", "/chat/completions"),
        (at("api.openai.com", "/dashboard"), "other", "/dashboard"),
        (at("mixed.example", "/api/v1/embeddings", 8443), "embeddings", "/embeddings"),
        (at("mixed.example", "/embeddings", 8443), "embeddings", "/embeddings"),
        (at("one.azure.example", "/openai/v1/responses"), "responses", "/responses"),
        (a_head("/v1/chat/complet%69ons"), "chat", "/chat/complet%69ons"),
        (a_head("/v%31/Chat%2Fcompletions;v=1"), "chat", "/Chat%2Fcompletions;v=1"),
        (a_head("/ch%61t/completions"), "chat", "/ch%61t/completions"),
        (at("api.openai.com", "//%761//chat/completions"), "chat", "/chat/completions"),
        (at("mixed.example", "/api/%76%31/embeddings", 8443), "embeddings", "/embeddings"),
        (at("mixed.example", "/embeddin%67s", 8443), "embeddings", "/embeddin%67s"),
    ],
)
def test_a_call_is_known_by_its_host_and_path(head: Head, operation: str, path: str) -> None:
    found = called(head)

    assert (found.operation.name, found.path) == (operation, path)


@pytest.mark.parametrize("form", ["%{:02x}", "%{:02X}"])
def test_what_need_not_be_escaped_is_the_same_escaped(form: str) -> None:
    name = ascii_letters + digits + "-._~"
    territory = territory_of([Place(HostPattern("a.example"), (f"/{name}",), "foreign")], ())

    found = recognise(at("a.example", f"/{''.join(map(form.format, name.encode()))}/me"), territory)

    assert isinstance(found, Recognised)
    assert found.path == "/me"


@pytest.mark.parametrize("escape", ["%2F", "%3b", "%25", "%00", "%80"])
def test_what_must_be_escaped_is_another_path_escaped(escape: str) -> None:
    assert recognise(at("one.azure.example", f"/openai{escape}v1/me"), TERRITORY) is None


@pytest.mark.parametrize("escape", ["%41", "%2F"])
def test_a_long_path_takes_no_call_of_python_for_each_escape(escape: str) -> None:
    events: list[str] = []

    def calls_for(escapes: int) -> int:
        events.clear()
        profiler = sys.getprofile()
        sys.setprofile(lambda _frame, event, _arg: events.append(event))
        try:
            called(a_head("/v1/files/" + escape * escapes))
        finally:
            sys.setprofile(profiler)
        return events.count("call")

    calls_for(1)  # the first compiles the rows' patterns
    assert calls_for(2000) == calls_for(1)


@pytest.mark.parametrize(
    "head",
    [
        at("example.com", "/v1/chat/completions"),
        at("api.openai.com.evil.example", "/v1/chat/completions"),
        at("azure.example", "/openai/v1/responses"),
        at("one.azure.example", "/v1/chat/completions"),
        at("mixed.example", "/api/v1/embeddings", 443),
        at("mixed.example", "/about", 8443),
    ],
)
def test_what_is_not_ours_is_none(head: Head) -> None:
    assert recognise(head, TERRITORY) is None


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "SK-APP-KEY"])
def test_a_method_that_the_api_does_not_know_is_refused_and_not_repeated(method: str) -> None:
    head = a_head(hosts=("api.openai.com",), port=443, addressed="host", method=method)
    refusal = recognise(head, TERRITORY)

    assert isinstance(refusal, ApiError)
    assert refusal.status == 400
    assert method not in refusal.message


def test_an_azure_path_names_its_deployment() -> None:
    found = called(
        at("one.azure.example", "/openai/deployments/my%20gpt/chat/completions?api-version=1")
    )

    assert (found.path, found.query) == ("/chat/completions", "api-version=1")
    assert found.deployment == "my gpt"


def test_a_deployment_is_found_however_its_path_is_spelt() -> None:
    found = called(at("one.azure.example", "//open%61i/d%65ployments/my%2Fgpt/ch%61t/completions"))

    assert (found.operation.name, found.path) == ("chat", "/ch%61t/completions")
    assert found.deployment == "my/gpt"


def test_any_name_that_the_client_gave_may_be_the_one() -> None:
    head = a_head(hosts=("10.1.2.3", "api.openai.com"), port=443, addressed="host")

    assert called(head).operation.name == "chat"


@pytest.mark.parametrize(
    "target",
    [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/%252e%252e/admin",
        "/v1/..%2fadmin",
        "/v1/..;/admin",
        "/v1/chat\\..\\admin",
        "/v1/chat/./completions",
        "/v1/chat#fragment",
        "/v1/chat completions",
        "/v1/chat\r\nx: y",
        "chat/completions",
    ],
)
def test_a_path_that_could_leave_the_api_is_refused(target: str) -> None:
    assert refused(a_head(target)).status == 400
    assert refused(at("api.openai.com", target)).status == 400


@given(
    st.lists(st.sampled_from(["..", ".", "v1", "chat", "a", ""]), max_size=5),
    st.integers(0, 3),
)
def test_no_dot_segment_is_forwarded_at_any_depth_of_encoding(parts: list[str], depth: int) -> None:
    dotted = [
        part.replace(".", "%" + "25" * (depth - 1) + "2e") if depth else part for part in parts
    ]
    found = recognise(a_head("/v1/" + "/".join(dotted)), TERRITORY)

    if {"..", "."} & set(parts):
        assert isinstance(found, ApiError)


@given(st.text(max_size=60), st.sampled_from(["proxy", "host"]))
def test_any_target_has_an_answer_and_a_call_a_clean_path(target: str, addressed: str) -> None:
    head = a_head("/" + target, hosts=("api.openai.com",), port=443, addressed=addressed)
    found = recognise(head, TERRITORY)

    if isinstance(found, Recognised):
        assert found.path.startswith("/")
        assert not found.path.startswith("//")
        assert found.path.isascii()
        assert found.path.isprintable()


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"fetch_site": "cross-site"}, 403),
        ({"fetch_site": "same-site"}, 403),
        ({"origin": "http://localhost", "own_origin": "http://localhost:8080"}, 403),
        ({"origin": "http://a.b", "own_origin": "http://a.b", "fetch_site": "same-site"}, 403),
        ({"host_header": "rebound.example"}, 403),
        (
            {
                "host_header": "rebound.example:8080",
                "origin": "http://rebound.example:8080",
                "own_origin": "http://rebound.example:8080",
            },
            403,
        ),
        ({"host_header": None}, 400),
        ({"host_header": "a b"}, 400),
        ({"target": "/favicon.ico", "method": "GET"}, 404),
        ({"target": "/v1", "method": "GET"}, 404),
    ],
)
def test_what_the_listener_refuses(more: dict[str, Any], status: int) -> None:
    assert refused(a_head(**{"target": "/v1/models", **more})).status == status


@pytest.mark.parametrize(
    "more",
    [
        {"origin": "https://app.example"},
        {"origin": "https://app.example", "fetch_site": "cross-site"},
        {"fetch_site": "none"},
        {"origin": "http://LOCALHOST:8080", "own_origin": "http://localhost:8080"},
        {"host_header": "LOCALHOST:8080"},
    ],
)
def test_what_the_listener_accepts(more: dict[str, str]) -> None:
    assert called(a_head(**more)).operation.name == "chat"


@pytest.mark.parametrize(("name", "is_ours"), [("api.openai.com", True), ("evil.example", False)])
def test_a_page_is_no_own_one_under_a_name_that_leads_here_alone(name: str, is_ours: bool) -> None:
    own = f"https://{name}"
    head = at("api.openai.com", "/v1/models", method="GET", origin=own, own_origin=own)
    found = recognise(head._replace(host_header=name), TERRITORY)
    assert isinstance(found, Recognised) is is_ours


def test_a_foreign_page_is_refused_at_a_host_as_well() -> None:
    head = at("api.openai.com", "/v1/models", origin="https://evil.example")

    assert refused(head).status == 403


def test_foreign_text_in_a_refusal_is_printable_and_bounded() -> None:
    message = refused(a_head("/v1/models", origin="\x1b[31m\n" + "e" * 500)).message

    assert message.isprintable()
    assert len(message) < 400


def test_a_preflight_is_marked() -> None:
    head = a_head(method="OPTIONS", asks_preflight=True, origin="https://app.example")

    assert called(head).preflight
    assert not called(a_head(asks_preflight=True)).preflight


@pytest.mark.parametrize(
    ("host", "port", "held"),
    [
        ("api.openai.com", 443, True),
        ("a.b.azure.example", 443, True),
        ("azure.example", 443, False),
        ("mixed.example", 8443, True),
        ("mixed.example", 443, False),
    ],
)
def test_a_territory_holds_hosts_and_ports(host: str, port: int, held: bool) -> None:
    assert TERRITORY.holds(host, port) is held


@pytest.mark.parametrize(
    ("outside", "target", "ours"),
    [
        ("ours", "/anything", True),
        ("if shaped", "/chat/completions", True),
        ("if shaped", "/anything", False),
        ("foreign", "/chat/completions", False),
    ],
)
def test_what_lies_outside_of_the_prefixes(outside: Outside, target: str, ours: bool) -> None:
    territory = territory_of([Place(HostPattern("h.example"), ("/v1",), outside)], ())

    assert (recognise(at("h.example", target), territory) is not None) is ours


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("API.OpenAI.com:443", "api.openai.com"),
        ("[::1]:8080", "::1"),
        ("::1", "::1"),
        ("localhost.", "localhost"),
        ("", ""),
        (None, ""),
        ("a b", ""),
        ("localhost:8080, evil.example", ""),
        ("[::1]:8080, evil.example", ""),
        ("localhost, localhost", ""),
        ("localhost:", "localhost"),
    ],
)
def test_the_name_in_a_host_header(header: str | None, name: str) -> None:
    assert host_of(header) == name
