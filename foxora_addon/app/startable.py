"""What a start would refuse although the configuration is fine, found by looking alone."""

import os
from collections.abc import Mapping

from foxora_addon.config import Config
from foxora_addon.speed import Speed, wanted


def why_not_startable(config: Config, environ: Mapping[str, str]) -> str | None:
    """The first thing that is wrong, and what to do instead; None: nothing that can be seen."""
    try:
        wanted("", environ.get("FOXORA_FAST", ""), default=Speed.UNSEEN)
    except ValueError as error:
        return str(error)
    path = config.audit.path
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113  # never raise
        return f"{path} is no regular file; give the trail another path with foxora_audit=PATH"
    return None
