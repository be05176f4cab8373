"""Takes README's pictures, of mitmweb in a browser and of terminals; run by scripts/pictures."""

import argparse
import asyncio
import io
import json
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console as Printer
from rich.terminal_theme import MONOKAI
from rich.text import Text
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.end_to_end.browser import Browser, running_browser
from tests.end_to_end.calls import make_calls
from tests.end_to_end.console import Terminal, running_console, running_terminal
from tests.end_to_end.proxies import BIN, ROOT, Proxy, arguments, free_port
from tests.end_to_end.windows import running_web

PICTURES = ROOT / ".pictures"
MOST_BYTES = 150_000
MOCK = {"FOXORA_BASE_URL": "mock"}
KEY = {"FOXORA_API_KEY": "foxora_sk_live_0123456789abcdef"}
CONFIGURATION = """\
accounts:
  - name: acme
    default: true
    key: {env: FOXORA_API_KEY}
    limits: {requests_per_minute: 300, tokens_per_minute: 400000}
"""
APP = """\
from openai import OpenAI
client = OpenAI()
for question in ("What is a tide?", "And a spring tide?"):
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}]
    )
    print(answer.choices[0].message.content)
"""
GREETING = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Good day. What is a tide?"}],
}
SESSION = (
    {"type": "session.update", "session": {"modalities": ["text", "audio"], "voice": "alloy"}},
    {"type": "conversation.item.create", "item": GREETING},
    {"type": "input_audio_buffer.append", "audio": "A" * 6_400},
    {"type": "response.create"},
)
WIDE, PAGE = (1160, 500), (1160, 560)


def main() -> int:
    """Take all of them; those that are named, if any are."""
    parser = argparse.ArgumentParser("scripts/pictures", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}")
    wanted = set(parser.parse_args().parts)
    if unknown := wanted - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="foxora-pictures-") as folder:
        for name, picture in pictures(Path(folder), wanted):
            assert len(picture) < MOST_BYTES, f"{name} has {len(picture)} bytes"
            (PICTURES / f"{name}.png").write_bytes(picture)
            print(f"{name}.png  {len(picture) / 1000:.0f} kB")
    return 0


def pictures(folder: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    for name, part in PARTS.items():
        if not wanted or name in wanted:
            yield from part(folder / name)


def configured(folder: Path) -> tuple[str, ...]:
    """The options of a proxy whose account is named and has ceilings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "foxora.yaml").write_text(CONFIGURATION)
    return ("--set", f"foxora_config={folder / 'foxora.yaml'}")


def of_mitmweb(folder: Path) -> Iterator[tuple[str, bytes]]:
    options = configured(folder)
    with running_web(folder / "web", options, KEY) as web, opened(folder, WIDE) as page:
        page.open(web.url)
        page.wait_for_text("Flow List")
        make_calls(web.proxy)
        page.wait_for("document.querySelectorAll('.flow-table td.col-comment').length === 10")
        yield "mitmweb-list", page.picture()
        page.resize(PAGE)
        page.run("document.querySelectorAll('.flow-table td.col-path')[3].click()")
        for tab, text in (("Request", "Where is this"), ("Response", "folded into")):
            yield f"mitmweb-{tab.lower()}", shown(page, tab, text)
        page.run("document.querySelectorAll('.flow-table td.col-path')[8].click()")
        yield "mitmweb-error", shown(page, "Response", "to do")
        asyncio.run(talk(f"ws://127.0.0.1:{web.proxy.port}/v1/realtime?model=gpt-4o-mini"))
        page.wait_for("document.querySelectorAll('.flow-table td.col-path').length === 11")
        page.run("document.querySelectorAll('.flow-table td.col-path')[10].click()")
        yield "mitmweb-websocket", shown(page, "WebSocket", "Good day")


def shown(page: Browser, tab: str, text: str) -> bytes:
    """A tab of the flow that is chosen, once a text stands in it."""
    page.click(".nav-tabs a", tab)
    page.wait_for_text(text)
    page.run("document.querySelector('.contentview').scrollIntoView()")
    return page.picture()


async def talk(target: str) -> None:
    """A short realtime session; the mock gateway answers, or says back, what it is told."""
    request = HTTPRequest(target, headers={"Authorization": "Bearer sk-fake"})
    socket = await websocket_connect(request)
    for event in SESSION:
        await socket.write_message(json.dumps(event))
        assert await socket.read_message()
    socket.close()
    while await socket.read_message() is not None:
        pass  # what it still had to tell


def of_console(folder: Path) -> Iterator[tuple[str, bytes]]:
    options, size = configured(folder), (140, 34)
    with running_console(folder / "proxy", options, KEY, size) as console:
        make_calls(console.proxy)
        console.wait_for(r"\[1/10\]")
        yield "console-list", drawn(console, folder, size[0])
        console.press("Down", "Down", "Enter")
        console.press("Tab")
        console.wait_for("folded into one message")
        yield "console-response", drawn(console, folder, size[0])


def of_commands(folder: Path) -> Iterator[tuple[str, bytes]]:
    app = folder / "app.py"
    options = (*configured(folder), *mock())
    app.write_text(APP)
    proxy, size = Proxy(free_port(), folder / "proxy"), (140, 30)
    command = [*arguments(proxy.folder, proxy.port), *options]
    with running_terminal(proxy.folder, command, KEY, size) as terminal:
        terminal.wait_for("OPENAI_BASE_URL=")
        make_calls(proxy)
        terminal.wait_for(" models ")
        port = ("--port", str(proxy.port))
        yield "limits", of_command(folder / "limits", ["limits", *port], 130)
        yield "env", of_command(folder / "env", ["env", *port], 120)
        told = [line for line in terminal.coloured_screen.split("\n") if "ex_" in line]
        yield "mitmdump", picture_of("\n".join(told), folder / "lines", 142)
        trail = str(proxy.trail)
        yield "audit-tail", of_command(folder / "tail", ["audit", "tail", trail], 160)
    run = ["run", "--mock", "--", sys.executable, str(app)]
    yield "run", of_command(folder / "run", run, 120)
    yield "doctor", of_command(folder / "doctor", ["doctor"], 120)


def mock() -> tuple[str, str]:
    return ("--set", "foxora_base_url=mock")


def of_command(folder: Path, words: Sequence[str], columns: int) -> bytes:
    """A command of ours, as it is typed, and what it prints in a terminal."""
    shown = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    command = [str(BIN / "foxora-proxy"), *words]
    with running_terminal(folder, command, KEY | MOCK, (columns, 30)) as terminal:
        terminal.wait_for_end()
        text = terminal.coloured_screen.split("Pane is dead")[0]
    text = "\n".join(text.split("\n")[: Text.from_ansi(text).plain.rstrip().count("\n") + 1])
    return picture_of(f"\x1b[1m$ foxora-proxy {shown}\x1b[0m\n{text}", folder, columns)


def drawn(terminal: Terminal, folder: Path, columns: int) -> bytes:
    return picture_of(terminal.coloured_screen, folder / "drawn", columns)


def picture_of(screen: str, folder: Path, columns: int) -> bytes:
    """A terminal's screen as PNG, drawn by the browser."""
    lines = screen.rstrip("\n").split("\n")
    printer = Printer(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    printer.print(Text.from_ansi("\n".join(lines)), soft_wrap=True)
    style = "body{margin:12px;background:#0c0c0c} pre{font:14px/18px 'DejaVu Sans Mono'!important}"
    page = printer.export_html(theme=MONOKAI, inline_styles=True)
    html = page.replace("</head>", f"<style>{style}</style></head>")
    with opened(folder, (round(columns * 8.43) + 24, len(lines) * 18 + 24)) as browser:
        browser.open(f"data:text/html;charset=utf-8,{urllib.parse.quote(html)}")
        browser.wait_for("!!document.querySelector('pre')")
        return browser.picture()


PARTS = {"mitmweb": of_mitmweb, "console": of_console, "commands": of_commands}


@contextmanager
def opened(folder: Path, size: tuple[int, int]) -> Iterator[Browser]:
    with running_browser(folder / "profile", size) as browser:
        yield browser


if __name__ == "__main__":
    sys.exit(main())
