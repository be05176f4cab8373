"""What stood in the place of each speed-up that is in place; None if it was inherited."""

from collections.abc import Callable
from typing import Any

before: dict[Callable[..., Any], Any] = {}
