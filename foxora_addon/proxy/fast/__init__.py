"""Speed-ups of mitmproxy itself, each of which does what it replaces, only sooner.

Half of bare mitmdump's time goes into asking three dozen addons at each hook whether they answer
it, into a task for each hook, and into copies of options, type checks of messages and look-ups in
headers. Each function that is replaced is known by its source: where a release has another one,
that stays, and the log says so. Nothing of what an addon can see changes: the order of addons,
`AddonHalt`, errors and their words, scripts that come, go and are read anew.

Nothing here knows of exchanges, and no speed-up may decide anything.
"""

from foxora_addon.proxy.fast.sources import sources_of
from foxora_addon.proxy.fast.switching import SPEED_UPS, SpeedUp, switch

__all__ = ["SPEED_UPS", "SpeedUp", "sources_of", "switch"]
