import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxora_addon.policy.hosts import (
    BaseUrl,
    HostPattern,
    canonical_host,
    is_loopback,
    parse_base_url,
    parse_host_pattern,
    parse_origin,
)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("API.OpenAI.com", "api.openai.com"),
        ("api.openai.com.", "api.openai.com"),
        ("\uff41pi.openai\u3002com", "api.openai.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("my_service", "my_service"),
        ("[0:0::1]", "::1"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    assert canonical_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a..b", "-a", "a-", "a b", "a/b", "a:1", "a@b", "℀.example", "*.a", "a\n"),
        *("127.1", "2130706433", "0x7f000001", "0x7f.1", "fe80::1%eth0", "x" * 64, "a." * 200),
    ],
)
def test_what_is_no_host_is_none(text: str) -> None:
    assert canonical_host(text) is None
    assert not is_loopback(text)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.8.8.8", "[::1]"])
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "10.0.0.1", "0.0.0.0", "notlocalhost"])
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("h", HostPattern("h")),
        ("h:80", HostPattern("h", 80)),
        ("*.H.example:80", HostPattern("*.h.example", 80)),
        ("[::1]:80", HostPattern("::1", 80)),
        ("::1", HostPattern("::1")),
    ],
)
def test_a_pattern_is_read_and_written(text: str, pattern: HostPattern) -> None:
    assert parse_host_pattern(text) == pattern
    assert parse_host_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "*.*.a", "a.*", "h:", "h:0", "h:65536", "h:x", "http://h", "*.10.0.0.1"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        parse_host_pattern(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://H/v1/", BaseUrl("https", "h", 443, "/v1")),
        ("HTTP://h", BaseUrl("http", "h", 80, "")),
        ("https://h:8443//", BaseUrl("https", "h", 8443, "")),
        ("https://[::1]:443/a/v1", BaseUrl("https", "::1", 443, "/a/v1")),
        ("https://h/a@b:c/v1", BaseUrl("https", "h", 443, "/a@b:c/v1")),
    ],
)
def test_a_base_url_is_read_and_written(text: str, url: BaseUrl) -> None:
    assert parse_base_url(text) == url
    assert parse_base_url(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "h/v1", "ws://h", "https://", "https:///v1", "https://h?", "https://h#", "//h"),
        *("https://u@h", "https://u:p@h", "https://h\\@evil", "https://h/a b", "https://h/ä"),
        *("https://h/\t", "https://h/..", "https://h/./v1", "https://h/%2e%2e/v1", "https://h//v1"),
        *("https://h:/", "https://h:http", "https://[::1", "https://::1/v1", "https://bücher.de"),
    ],
)
def test_what_is_no_base_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        parse_base_url(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_is_written_as_browsers_do(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize("text", ["*", "null", "app.example", "https://a/", "https://a/b", "a://"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        parse_origin(text)


@given(st.text())
@settings(max_examples=200)
def test_parsing_raises_nothing_but_value_errors(text: str) -> None:
    canonical_host(text)
    for parse in (parse_host_pattern, parse_base_url, parse_origin):
        for candidate in (text, f"https://{text}", f"https://h:{text}", f"https://h/{text}"):
            try:
                parsed = str(parse(candidate))
            except ValueError:
                continue
            assert str(parse(parsed)) == parsed
