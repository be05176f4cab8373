"""The proxy's own routes: for programs on this machine alone, and nobody's web page."""

import json
from typing import Any

import pytest

from foxora_addon.policy.recognise import territory_of
from foxora_addon.proxy.local_routes import LocalRoutes
from tests.builders import a_head

TERRITORY = territory_of((), {"127.0.0.1", "localhost", "team.example"}, {"https://mine.example"})
ROUTES = LocalRoutes({"limits": lambda: {"accounts": []}})


def answer_to(target: str = "/_foxora/limits", peer: str | None = "127.0.0.1", **head: Any) -> Any:
    given = {"method": "GET"} | head
    return ROUTES.answer(a_head(target, **given), peer, TERRITORY)


@pytest.mark.parametrize("target", ["/_foxora/limits", "/_foxora/limits?x=1"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("name", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
def test_a_program_on_this_machine_is_answered(target: str, peer: str, name: str) -> None:
    answer = answer_to(target, peer, host_header=name)
    assert answer.status_code == 200
    assert json.loads(answer.content) == {"accounts": []}
    assert answer.headers["x-foxora-source"] == "addon"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("/v1/models", {}),
        ("/_foxora", {}),
        ("/_foxora/limits", {"addressed": "host", "hosts": ("api.openai.com",)}),
    ],
)
def test_what_is_none_of_ours_is_left_alone(target: str, more: dict[str, Any]) -> None:
    assert answer_to(target, **more) is None


@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1%eth0", "x", None])
def test_another_machine_is_refused(peer: str | None) -> None:
    assert answer_to(peer=peer).status_code == 403


@pytest.mark.parametrize("name", ["team.example", "evil.example", "", None])
def test_a_name_that_could_be_rebound_is_refused(name: str | None) -> None:
    assert answer_to(host_header=name).status_code == 403


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"fetch_site": "cross-site"}, 403),
        ({"origin": "https://mine.example"}, 200),
        ({"fetch_site": "same-origin"}, 200),
    ],
)
def test_a_web_page_of_a_foreign_origin_is_refused(more: dict[str, Any], status: int) -> None:
    assert answer_to(**more).status_code == status


@pytest.mark.parametrize(("target", "method"), [("/_foxora/x", "GET"), ("/_foxora/limits", "POST")])
def test_what_is_not_there_is_told_with_what_is(target: str, method: str) -> None:
    answer = answer_to(target, method=method)
    assert answer.status_code == 404
    assert "/_foxora/limits" in json.loads(answer.content)["error"]["message"]
