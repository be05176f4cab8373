from typing import Any

import pytest
from mitmproxy.options import Options
from mitmproxy.proxy.layers.http import HttpStream, _http1, _http2

from foxora_addon.proxy import hold, hold_client, host_pages
from foxora_addon.proxy.desk import FlowDesk
from foxora_addon.proxy.hold_check import flaw_of_hold


@pytest.fixture(autouse=True)
def held() -> None:
    assert hold.install(FlowDesk()) is None


def test_the_hold_holds_on_the_mitmproxy_that_is_installed(options: Options) -> None:
    assert flaw_of_hold(options) is None


def test_a_stream_that_does_not_come_past_the_desk_is_noticed(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpStream, "_handle_event", hold._original)
    assert flaw_of_hold(options) == "what is sent to the gateway can't be replaced"


def test_a_request_that_can_be_sent_but_once_is_noticed(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "ask_for_another_try", lambda *_: None)
    assert flaw_of_hold(options) == "a request can't be sent again"


def test_a_page_that_stays_mitmproxys_is_noticed(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_client, "_instead_of_error", lambda *_: iter(()))
    assert flaw_of_hold(options) == "its error pages can't be replaced"


def test_layers_that_raise_are_noticed(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise TypeError("other arguments")

    monkeypatch.setattr(hold, "_original", broken)
    assert str(flaw_of_hold(options)).startswith("its layers can't be driven (TypeError")


def test_a_name_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HttpStream, "make_server_connection")
    assert hold.install(FlowDesk()) == "mitmproxy's HttpStream has no make_server_connection"


def test_the_clients_own_mistakes_are_worded_and_foreign_pages_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_http1, "make_error_response", host_pages._head_page)
    monkeypatch.setattr(_http2, "format_error", host_pages._body_page)
    host_pages.replace(all_of_them=False)
    assert b'"code":"invalid_request"' in _http1.make_error_response(400, "x")
    assert b"<html>" in _http1.make_error_response(502, "x")
    host_pages.replace(all_of_them=True)
    assert b'"code":"gateway_unreachable"' in _http1.make_error_response(502, "<x>")
    assert b"<x>" not in _http1.make_error_response(502, "<x>")
