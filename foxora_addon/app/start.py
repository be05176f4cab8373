"""Starts a proxy, and sooner than mitmproxy starts by itself.

It stands before all that imports mitmproxy.
"""

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foxora_addon.app import late_imports

if TYPE_CHECKING:
    from foxora_addon.app.run_options import Tool


def start_proxy(tool: "Tool", passed: Sequence[str]) -> int:
    """Run one of mitmproxy's programs with these arguments; its exit status."""
    late_imports.promise()
    # What is imported stays for good: looking for garbage in it, again and again, takes a tenth.
    gc.disable()
    try:
        from foxora_addon.proxy.master import run_tool
    finally:
        gc.freeze()
        gc.enable()
    return run_tool(tool, passed)
