"""mitmproxy's programs with the addon in them from the start, listening on this machine alone."""

import argparse
import logging
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from mitmproxy.exceptions import OptionsError
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.tools import cmdline, main

from foxora_addon.confdir import USUAL, NoConfdir, confdir_of, require_options
from foxora_addon.host_options import options_in
from foxora_addon.printable import print_everything
from foxora_addon.proxy.addon import the_addon
from foxora_addon.proxy.ca_reading import CaReading
from foxora_addon.proxy.taken_port import TakenPort, why_no_page
from foxora_addon.speed import Speed

type Tool = Literal["mitmdump", "mitmweb", "mitmproxy"]


def run_tool(
    tool: Tool, arguments: Sequence[str], prepare: Callable[[Master], None] = lambda _: None
) -> int:
    """Run one of mitmproxy's programs with arguments of its own; returns its exit status.

    `prepare` gets the master before any option is read: what it sets, the arguments can change.
    """
    print_everything()
    readings: list[CaReading] = []
    of_ports = TakenPort()

    def made(options: Options) -> Master:
        _have_types_told(options)
        master = _master_of(tool, options)
        options.update(listen_host="127.0.0.1")
        addon = the_addon()
        addon.usual_speed = Speed.ALL  # it is our own program: nobody waits for mitmproxy's pace
        readings.append(CaReading(master))
        master.addons.add(addon)
        logging.getLogger().addHandler(of_ports)  # behind the host's own, and so are its words
        prepare(master)
        return master

    sys.argv = ["foxora-proxy run", *arguments]  # what argparse calls the program
    failed: list[int] = []

    def parser(options: Options) -> argparse.ArgumentParser:
        return _parser_of(tool, options, failed)

    def settled(args: argparse.Namespace) -> dict[str, str]:
        readings[0].settle()
        return _filters(args)

    try:
        main.run(made, parser, arguments, settled)  # type: ignore[arg-type]  # a maker will do
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        code = failed[0] if failed else ended.code
        return code if isinstance(code, int) else 1
    except OSError as error:
        if (why := why_no_page(error)) is None:
            raise
        sys.stderr.write(f"foxora: {why}\n")  # the log is none any more: its loop is over
        return 1
    finally:
        logging.getLogger().removeHandler(of_ports)
    return 0


def _have_types_told(options: Options) -> None:
    """Have a value of a wrong type in mitmproxy's own file be a line, and no traceback."""
    update: Any = options.update_defer

    def told(**values: object) -> None:
        try:
            update(**values)
        except TypeError as error:
            raise OptionsError(str(error)) from error

    vars(options)["update_defer"] = told  # an attribute that is set would be an option


_PARSERS: Final[Mapping[Tool, Any]] = {
    "mitmdump": cmdline.mitmdump,
    "mitmweb": cmdline.mitmweb,
    "mitmproxy": cmdline.mitmproxy,
}


def _master_of(tool: Tool, options: Options) -> Master:
    """A program's master; each has large imports of its own, which the others do not pay for."""
    if tool == "mitmweb":
        from mitmproxy.tools.web.master import WebMaster  # noqa: PLC0415

        return WebMaster(options)
    if tool == "mitmproxy":
        from mitmproxy.tools.console.master import ConsoleMaster  # noqa: PLC0415

        return ConsoleMaster(options)
    from mitmproxy.tools.dump import DumpMaster  # noqa: PLC0415

    return DumpMaster(options)


def _parser_of(tool: Tool, options: Options, failed: list[int]) -> argparse.ArgumentParser:
    """A program's parser; its exit status is noted in `failed`, for mitmproxy makes a 1 of it.

    mitmdump takes what is no option for a filter. A program's name as its first word is a command
    whose -- was forgotten: it would start a proxy that shows nothing.
    """
    parser: argparse.ArgumentParser = _PARSERS[tool](options)
    parse = parser.parse_args

    def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
        try:
            args: argparse.Namespace = parse(arguments)
            vars(args).setdefault("filter_args", [])  # mitmdump alone has them
            words = args.filter_args
            if words and shutil.which(words[0]):
                chosen = " ".join(words)
                parser.error(f"{chosen} is no filter; for a command: foxora-proxy run -- {chosen}")
            if tool == "mitmproxy" and not _only_tells(args) and not sys.stdout.isatty():
                words = "--console needs a terminal, and there is none; use --web"
                parser.exit(2, f"{sys.argv[0]}: {words}\n")
            if why := _why_no_options(args):
                parser.exit(1, f"{sys.argv[0]}: {why}\n")
        except SystemExit as ended:
            failed.append(ended.code if isinstance(ended.code, int) else 1)
            raise
        return args

    parser.parse_args = parse_args  # type: ignore[method-assign,assignment]
    return parser


def _why_no_options(args: argparse.Namespace) -> str | None:
    """Why mitmproxy can't look for its options, which it would tell by a traceback; None: it can.

    They are in the folder that it begins with, and may name another for its authority.
    """
    named = [text for text in args.setoptions if text.startswith("confdir=")]
    try:
        folder = confdir_of(named[-1].removeprefix("confdir=") if named else USUAL)
        require_options(folder)
        if not _only_tells(args):
            options_in(folder)
    except NoConfdir as error:
        return f"{error}; {error.remedy}"
    return None


def _only_tells(args: argparse.Namespace) -> bool:
    """Whether it prints what is asked for, and starts nothing."""
    return bool(args.version or args.options or args.commands)


def _filters(args: argparse.Namespace) -> dict[str, str]:
    """The filter expression behind mitmdump's options, which is meant for three options at once."""
    chosen = " ".join(args.filter_args)
    names = ("save_stream_filter", "readfile_filter", "dumper_filter")
    return dict.fromkeys(names, chosen) if chosen else {}
