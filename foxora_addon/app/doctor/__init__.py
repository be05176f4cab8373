"""`foxora-proxy doctor`: what would keep the proxy, or apps behind it, from working."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import typer

from foxora_addon.app.doctor import checkpoints, gateway, machine, trust
from foxora_addon.app.doctor.finding import Finding, as_json, fail, lines_of, ok, warn
from foxora_addon.app.say import FINDING
from foxora_addon.confdir import CERTIFICATE, NoConfdir, confdir_of
from foxora_addon.config import Config, ConfigError, load
from foxora_addon.host_options import BadOptions, passphrase_in, settled_confdir


def run_doctor(port: int, file: Path | None, *, is_json: bool) -> int:
    """Look at everything and say what was found; 1 if one finding is `fail`."""
    logging.getLogger("tornado").addHandler(logging.NullHandler())  # it is in the findings
    out = sys.stdout
    is_coloured = out.isatty() and not os.environ.get("NO_COLOR")
    findings = []
    for finding in look(port, file):
        findings.append(finding)
        if not is_json:
            for line in lines_of([finding], is_coloured=is_coloured):
                typer.echo(line, file=out)
    if is_json:
        typer.echo(json.dumps(as_json(findings), indent=2))
    return FINDING if any(finding.verdict == "fail" for finding in findings) else 0


def look(port: int, file: Path | None) -> Iterator[Finding]:
    """All findings, in the order in which one would put things right."""
    yield machine.about_mitmproxy()
    config = None
    for finding, found in _configuration(file):
        config = found
        yield finding
    about_port, status = machine.about_port(port)
    yield about_port
    folders = None
    try:
        folders = _folders(status)
    except NoConfdir as error:
        yield fail("CA", f"{error}; the proxy does not start", error.remedy)
    else:
        yield from machine.about_options(folders.options)
    yield from machine.about_environment(os.environ, status)
    if config is not None:
        yield machine.about_trail(config, status)
        yield from machine.about_room(config)
        yield from machine.about_files(config)
        yield from checkpoints.look(config.audit)
        yield from gateway.look(config)
    if folders is not None and folders.authority is not None:
        ca = folders.authority / CERTIFICATE
        passphrase = _passphrase(folders.options)
        yield from trust.look(ca, os.environ, passphrase, runs=status is not None)


class _Folders(NamedTuple):
    """Where mitmproxy's options are, and its authority, which is None if they can't tell."""

    options: Path
    authority: Path | None


def _folders(status: machine.Status | None) -> _Folders:
    """Of the proxy that runs, which may have another than the usual one; raises `NoConfdir`."""
    own = Path(status["ca"]).parent if status else None
    try:
        begun = confdir_of()
        settled = settled_confdir()
    except BadOptions:
        return _Folders(own or begun, own)
    except NoConfdir:
        if own is None:
            raise
        return _Folders(own, own)
    except OSError:  # it can't be entered, as will be told
        settled = begun
    return _Folders(begun, settled) if own is None or own == settled else _Folders(own, own)


def _passphrase(options: Path) -> bytes | None:
    try:
        return passphrase_in(options)
    except (BadOptions, OSError):  # told of before
        return None


def _configuration(file: Path | None) -> Iterator[tuple[Finding, Config | None]]:
    options = {"foxora_config": None if file is None else str(file)}
    try:
        config = load(options, os.environ, Path.cwd())
    except ConfigError as error:
        yield fail("configuration", str(error), "foxora-proxy check says the same, alone"), None
        return
    for warning in config.warnings:
        yield warn("configuration", warning, "correct it"), config
    where = config.file or "options and environment alone"
    count = len(config.accounts)
    yield ok("configuration", f"{where}: {count} account{'s' if count > 1 else ''}"), config
