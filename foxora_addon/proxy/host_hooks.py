"""Has each hook come to its end, whatever an addon raises at it.

mitmproxy logs what an addon raises, but for two kinds: an `OptionsError`, as of an option that was
set wrongly, and a cancellation, as of a task that the addon waited for. With these the hook's own
task would end, and the call wait for it until a deadline. They are logged as all others are; the
addons behind are not asked, as after an `AddonHalt`.
"""

import asyncio
from typing import Any, Final

from mitmproxy import addonmanager, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.exceptions import OptionsError

_BETWEEN: Final = frozenset({addonmanager.__name__, "foxora_addon.proxy.fast.hooks", __name__})
"""The modules that stand between whoever tells of a hook and the addon."""


ENDS: Final = (OptionsError, asyncio.CancelledError)
"""What mitmproxy's own guard around an addon lets through."""


def is_logged(error: BaseException) -> bool:
    """Log one of `ENDS` that an addon has raised; False: it is the task that is to end by it."""
    if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
        return False
    trace = below = error.__traceback__
    while below is not None and below.tb_frame.f_globals.get("__name__") in _BETWEEN:
        below = below.tb_next
    said = str(error) or type(error).__name__
    addonmanager.logger.error(
        "Addon error: %s", said, exc_info=(type(error), error, below or trace)
    )
    return True


def see_to_their_end(manager: AddonManager) -> None:
    """Have all hooks that are told by a manager come to their end.

    The attribute is the manager's own, for its class's is one that `fast` replaces.
    """

    async def handle_lifecycle(event: hooks.Hook) -> None:
        try:
            await type(manager).handle_lifecycle(manager, event)
        except ENDS as error:
            if not is_logged(error):
                raise

    told: Any = manager
    told.handle_lifecycle = handle_lifecycle


def _is_being_cancelled() -> bool:
    """Whether it is the task that tells of the hook which is to end, as at the program's end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
