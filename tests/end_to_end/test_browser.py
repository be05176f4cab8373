"""What a person sees of exchanges in mitmweb, looked at with a browser."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.end_to_end.browser import Browser, find_chromium, running_browser
from tests.end_to_end.calls import SEA, app_of, make_calls
from tests.end_to_end.test_leaks import FOXORA_KEY, found_in
from tests.end_to_end.windows import Web, running_web

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(find_chromium() is None, reason="scripts/setup-programs has found none"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[Web]:
    with running_web(folder / "web", environment={"FOXORA_API_KEY": FOXORA_KEY}) as running:
        yield running


@pytest.fixture(scope="module")
def page(folder: Path, web: Web) -> Iterator[Browser]:
    with running_browser(folder / "profile") as browser:
        browser.open(web.url)
        browser.wait_for_text("Flow List")
        yield browser


@pytest.fixture(scope="module")
def _called(web: Web, page: Browser) -> None:  # it is open: calls are told as they end
    """Made before any of these tests, whichever process runs them."""
    make_calls(web.proxy)


@pytest.mark.usefixtures("_called")
def test_calls_come_into_the_list_with_comments_and_marks(page: Browser) -> None:
    page.wait_for_text(" tok · gpt-4o-mini")
    page.wait_for_text("invalid_request (refused)")
    page.wait_for("document.querySelectorAll('.flow-table td.col-comment').length === 10")
    assert "Comment" in page.text
    assert "⚠" in page.text
    assert "✖" in page.text


@pytest.mark.usefixtures("_called")
def test_an_open_stream_is_read_as_it_goes_and_so_is_its_end(web: Web, page: Browser) -> None:
    rows = "document.querySelectorAll('.flow-table td.col-path')"
    count = len(web.flows())
    slow = {"x-mock-fault": "chunk-delay=0.15"}
    with app_of(web.proxy, **slow) as app, ThreadPoolExecutor() as pool:
        answer = pool.submit(app.post, "/chat/completions", json={**SEA, "stream": True})
        page.wait_for(f"{rows}.length > {count}")
        page.run(f"{rows}[{count}].click()")
        page.click(".nav-tabs a", "Response")
        page.wait_for_text("open: the answer is still coming")
        page.wait_for_text("You asked:")
        assert answer.result(30).is_success
    page.wait_for_text("ended by        stop")  # nothing was clicked
    assert "still coming" not in page.text


@pytest.mark.usefixtures("_called")
def test_a_stream_is_read_as_a_conversation_and_its_json_is_one_choice_away(page: Browser) -> None:
    page.wait_for("document.querySelectorAll('.flow-table td.col-path').length > 2")
    page.run("document.querySelectorAll('.flow-table td.col-path')[2].click()")
    page.click(".nav-tabs a", "Request")
    page.wait_for_text("What is the sea like?")
    assert found_in(page.text.encode()) == []
    page.click(".nav-tabs a", "Response")
    page.wait_for_text("folded into one message")
    assert found_in(page.text.encode()) == []
    page.click(".contentview .controls a", "View:")
    page.click("li a", "json")
    page.wait_for_text('"object": "chat.completion"')
