"""The variables that turn a program to the proxy: which, with what, and what stays the user's."""

import pytest

from foxora_addon.app.client_environment import variables_of, variables_to, warnings_of
from foxora_addon.placeholder import PLACEHOLDER_KEY

URL = "http://127.0.0.1:9000"
BUNDLE = "/home/me/.mitmproxy/bundle.pem"


def test_base_url_proxy_authorities_and_key_are_all_set() -> None:
    variables = variables_of(URL, BUNDLE, {})
    assert variables["OPENAI_BASE_URL"] == variables["OPENAI_API_BASE"] == f"{URL}/v1"
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "WSS_PROXY"):
        assert variables[name] == variables[name.lower()] == URL
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert variables[name] == BUNDLE
    assert variables["NODE_USE_ENV_PROXY"] == "1"
    assert variables["OPENAI_API_KEY"] == PLACEHOLDER_KEY


def test_this_machine_is_reached_directly_beside_what_the_user_excepts() -> None:
    given = {"NO_PROXY": "corp.example, localhost", "no_proxy": "other.example"}
    variables = variables_of(URL, BUNDLE, given)
    expected = "corp.example,localhost,other.example,127.0.0.1,::1"
    assert variables["NO_PROXY"] == variables["no_proxy"] == expected


def test_a_reverse_proxy_is_named_as_the_base_url_alone() -> None:
    given = {"https_proxy": "http://corp.example:3128"}
    variables = variables_of(URL, BUNDLE, given, takes_tunnels=False)
    assert variables["OPENAI_BASE_URL"] == f"{URL}/v1"
    assert not any(name.upper() in {"HTTPS_PROXY", "HTTP_PROXY", "WSS_PROXY"} for name in variables)


@pytest.mark.parametrize("told", [{}, {"takes_tunnels": True}, {"takes_tunnels": False}])
def test_a_running_proxy_says_whether_it_takes_tunnels_unless_it_is_older(
    told: dict[str, bool],
) -> None:
    status = {"url": URL, "heeds_client_keys": False, **told}
    variables = variables_to(status, BUNDLE, {})
    assert ("HTTPS_PROXY" in variables) is told.get("takes_tunnels", True)


def test_the_apps_own_key_stays_only_where_accounts_claim_keys() -> None:
    given = {"OPENAI_API_KEY": "sk-mine"}
    assert variables_of(URL, BUNDLE, given)["OPENAI_API_KEY"] == PLACEHOLDER_KEY
    assert "OPENAI_API_KEY" not in variables_of(URL, BUNDLE, given, keeps_key=True)
    assert variables_of(URL, BUNDLE, {}, keeps_key=True)["OPENAI_API_KEY"] == PLACEHOLDER_KEY


def test_the_foxora_key_is_hidden_from_the_app() -> None:
    variables = variables_of(URL, BUNDLE, {"FOXORA_API_KEY": "foxora_sk_mine"})
    assert variables["FOXORA_API_KEY"] == PLACEHOLDER_KEY
    assert "FOXORA_API_KEY" not in variables_of(URL, BUNDLE, {})


def test_azure_is_turned_here_only_for_apps_that_use_it() -> None:
    assert "AZURE_OPENAI_ENDPOINT" not in variables_of(URL, BUNDLE, {})
    given = {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com"}
    assert variables_of(URL, BUNDLE, given)["AZURE_OPENAI_ENDPOINT"] == URL


@pytest.mark.parametrize("name", ["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"])
def test_apps_for_azure_get_no_older_base_url_unless_they_have_one(name: str) -> None:
    given = {name: "https://mine.openai.azure.com"}
    assert "OPENAI_API_BASE" not in variables_of(URL, BUNDLE, given)
    given["OPENAI_API_BASE"] = "https://api.openai.com/v1"
    assert variables_of(URL, BUNDLE, given)["OPENAI_API_BASE"] == f"{URL}/v1"


def test_a_second_pass_changes_nothing() -> None:
    once = variables_of(URL, BUNDLE, {})
    assert variables_of(URL, BUNDLE, once) == once
    assert not list(warnings_of(once, URL))


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"https_proxy": "http://user:secret@corp:3128"}, "--mode upstream"),
        ({"NO_PROXY": "*"}, "NO_PROXY"),
        ({"no_proxy": "localhost,.openai.com"}, "openai.com"),
    ],
)
def test_what_leads_calls_elsewhere_is_warned_of_without_its_secrets(
    environ: dict[str, str], words: str
) -> None:
    (warning,) = warnings_of(environ, URL)
    assert words in warning
    assert "secret" not in warning
