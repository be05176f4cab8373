"""Starts a proxy, and sooner than mitmproxy starts by itself.

It stands before all that imports mitmproxy.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foxora_addon import starting
from foxora_addon.app import late_imports

if TYPE_CHECKING:
    from foxora_addon.app.run_options import Tool


def start_proxy(tool: "Tool", passed: Sequence[str]) -> int:
    """Run one of mitmproxy's programs with these arguments; its exit status."""
    starting.begins()
    late_imports.promise()
    try:
        from foxora_addon.proxy.master import run_tool
    finally:
        starting.is_over()
    return run_tool(tool, passed)
