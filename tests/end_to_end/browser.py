"""A headless Chromium that is told what to do over its DevTools protocol.

It gets an empty profile, and is kept from all traffic of its own.
"""

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from tornado.websocket import WebSocketClientConnection, websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--remote-debugging-port=0", "--no-proxy-server", "--mute-audio"),
    *("--no-default-browser-check", "--disable-extensions", "--hide-scrollbars"),
)


def find_chromium() -> str | None:
    """Where Chromium is; None if scripts/setup-programs has found none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a running Chromium."""

    def __init__(self, socket: WebSocketClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = socket
        self._loop = loop
        self._sent = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        return self._loop.run_until_complete(
            asyncio.wait_for(self._call(method, parameters), _SECONDS)
        )

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._sent += 1
        number = self._sent
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.write_message(json.dumps(message))
        while (answer := await self._socket.read_message()) is not None:
            told = json.loads(answer)
            if told.get("id") == number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
        raise AssertionError("the browser has closed the connection")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the page so many pixels across and down."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=False,
        )

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    @property
    def text(self) -> str:
        """What a person reads on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, expression: str) -> Any:
        """Wait, with a bound, until an expression is true; its value."""
        deadline = time.monotonic() + _SECONDS
        while not (found := self.run(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.text[:3000]}"
            time.sleep(_PAUSE_SECONDS)
        return found

    def wait_for_text(self, text: str) -> None:
        self.wait_for(f"document.body && document.body.innerText.includes({json.dumps(text)})")

    def click(self, selector: str, text: str = "") -> None:
        """Click on the first element of a selector that has a text in it."""
        wanted = (
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            f".find(e => e.innerText.includes({json.dumps(text)}))"
        )
        self.wait_for(f"!!{wanted}")
        self.run(f"{wanted}.click()")

    def picture(self) -> bytes:
        """The page as PNG."""
        taken = self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(taken["data"])


@contextlib.contextmanager
def running_browser(folder: Path, size: tuple[int, int] = (1280, 800)) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`; it is ended in the end."""
    program = find_chromium()
    assert program is not None, "no Chromium here: see scripts/setup-programs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "DevToolsActivePort").unlink(missing_ok=True)  # of one that ran here before
    command = [
        program,
        *_ARGUMENTS,
        f"--window-size={size[0]},{size[1]}",
        f"--user-data-dir={folder}",
    ]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "about:blank"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    loop = asyncio.new_event_loop()
    try:
        url = _page_url(_port_of(folder, process), loop)
        socket = loop.run_until_complete(_connected(url))
        browser = Browser(socket, loop)
        browser.call("Page.enable")
        browser.resize(size)
        yield browser
        loop.run_until_complete(_closed(socket))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        loop.close()


async def _connected(url: str) -> WebSocketClientConnection:
    return await websocket_connect(url, max_message_size=1 << 27)


async def _closed(socket: WebSocketClientConnection) -> None:
    socket.close()
    while await socket.read_message() is not None:
        pass  # what it still had to tell


def _port_of(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that Chromium took, which it writes into its profile."""
    told = folder / "DevToolsActivePort"
    deadline = time.monotonic() + _SECONDS
    while not (told.exists() and (lines := told.read_text().splitlines())):
        assert process.poll() is None, (folder / "chromium.log").read_text("utf-8", "replace")
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(_PAUSE_SECONDS)
    return int(lines[0])


def _page_url(port: int, loop: asyncio.AbstractEventLoop) -> str:
    """The address of the first page's DevTools."""
    with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
        pages = client.get(f"http://127.0.0.1:{port}/json/list").json()
    return next(str(page["webSocketDebuggerUrl"]) for page in pages if page["type"] == "page")
