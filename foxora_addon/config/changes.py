"""Decides which configuration may follow another one while the proxy runs."""

from typing import Final

from foxora_addon.config.models import Config

_FIXED: Final = (("audit", "path"), ("limits", "store"), ("limits", "guard_seconds"))


def why_not_live(old: Config, new: Config) -> str | None:
    """Why `new` can't follow `old` without a restart, in words; None if it can.

    A file in which nothing is set is valid at a start, and one that lists no accounts. Later it
    would open what it had closed: who may call, how often, and which gateway; a full disk leaves
    one so, or a slip.
    """
    if new.is_blank and not old.is_blank:
        return "its file is empty, or has comments alone; start anew to mean that"
    if old.lists_accounts and not new.lists_accounts and old.accounts != new.accounts:
        return (
            "its file lists no accounts any more, and FOXORA_API_KEY would pay for every call; "
            "start anew to mean that"
        )
    keys = [f"{section}.{key}" for section, key in _FIXED if _differs(old, new, section, key)]
    return f"{', '.join(keys)} can't change while the proxy runs; start it anew" if keys else None


def _differs(old: Config, new: Config, section: str, key: str) -> bool:
    return bool(getattr(getattr(old, section), key) != getattr(getattr(new, section), key))
