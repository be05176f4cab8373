"""What stood in the place of each speed-up; None if it was inherited.

It stays known when a speed-up is taken out of its place: what works by it then goes on by it, as
the reader of a connection does in the middle of a body.
"""

from collections.abc import Callable
from typing import Any

before: dict[Callable[..., Any], Any] = {}
