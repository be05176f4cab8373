"""Our own mitmdump: the addon is in it from the start, and it listens on this machine alone."""

import argparse
import sys

from mitmproxy.options import Options
from mitmproxy.tools import cmdline, dump, main

from foxora_addon.proxy.addon import the_addon


class FoxoraMaster(dump.DumpMaster):
    """mitmdump's master with the addon loaded before any option is read."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        options.update(listen_host="127.0.0.1")
        self.addons.add(the_addon())


def run_mitmdump(arguments: list[str]) -> int:
    """Run mitmdump with these arguments of its own; returns its exit status."""

    def extra(args: argparse.Namespace) -> dict[str, str]:
        chosen = " ".join(args.filter_args or ())
        names = ("save_stream_filter", "readfile_filter", "dumper_filter")
        return dict.fromkeys(names, chosen) if chosen else {}

    sys.argv = ["foxora-proxy run", *arguments]  # what argparse calls the program
    try:
        main.run(FoxoraMaster, cmdline.mitmdump, arguments, extra)
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0
