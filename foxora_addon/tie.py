"""The words that a proxy says on the tie to the command that owns it (`proxy.tied`)."""

from typing import Final

TAKEN: Final = b"taken "
"""Begins a line in place of the proxy's status: another proxy has the trail; JSON follows."""

JOINED: Final = b"joined\n"
"""Somebody else holds the proxy, too."""

STAYS: Final = b"stays\n"
"""The owner has let go, and others have not: it does not end yet."""
