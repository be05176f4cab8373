"""Runs the mock gateway by itself, until it is interrupted."""

import asyncio
import contextlib
import signal
from errno import EADDRINUSE
from pathlib import Path

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from foxora_addon.app.say import FINDING, WRONG_USAGE, say
from foxora_addon.mock.server import MockGateway, serve
from foxora_addon.mock.settings import MockSettings


def run_mock(config: Path | None, address: str, port: int) -> int:
    """Serve until SIGINT or SIGTERM; the base URL is printed once it listens."""
    try:
        settings = _settings_of(config)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(settings, address, port))
    except OSError as error:
        say(f"mock: {_why_not(error, address, port)}")
        return FINDING
    except ValueError as error:
        say(f"mock: {error}")
        return WRONG_USAGE
    return 0


def _why_not(error: OSError, address: str, port: int) -> str:
    """Why it does not serve, and what to do; asyncio puts the address behind the reason."""
    reason = (error.strerror or str(error)).partition(" (while ")[0]
    if error.filename is not None:
        return f"{error.filename}: can't be read: {reason}"
    remedy = "; give another --port, or 0 for a free one" if error.errno == EADDRINUSE else ""
    return f"{address}:{port} can't be listened on: {reason}{remedy}"


def _settings_of(config: Path | None) -> MockSettings:
    if config is None:
        return MockSettings()
    try:
        return MockSettings.from_mapping(YAML(typ="safe", pure=True).load(config) or {})
    except YAMLError as error:
        raise ValueError(f"{config}: not valid YAML") from error


async def _serve(settings: MockSettings, address: str, port: int) -> None:
    task = asyncio.create_task(serve(settings, address, port, started=_say_where))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _say_where(gateway: MockGateway) -> None:
    typer.echo(gateway.base_url)
