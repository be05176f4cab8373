import warnings
from typing import Final

import pytest
from mitmproxy.options import Options

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # what mitmproxy's addons import is older
    import mitmproxy.addons  # noqa: F401  # for all that import them afterwards

_ADDED: Final[tuple[tuple[str, object, object], ...]] = (
    ("stream_large_bodies", str | None, None),
    ("body_size_limit", str | None, None),
    ("store_streamed_bodies", bool, False),
    ("validate_inbound_headers", bool, True),
    ("normalize_outbound_headers", bool, True),
    ("connection_strategy", str, "lazy"),
    ("websocket", bool, True),
    ("rawtcp", bool, True),
)


@pytest.fixture
def options() -> Options:
    """Those of mitmproxy, and those that its proxy server adds, which takes a program to start."""
    made = Options()
    for name, kind, default in _ADDED:
        made.add_option(name, kind, default, "")
    return made
