"""What stands in place of any key in the environment of a command behind `run`."""

from typing import Final

PLACEHOLDER_KEY: Final = "sk-placeholder-foxora-addon-puts-the-key-on"
"""SDKs don't start without a key, and the real one is put on by the proxy."""
