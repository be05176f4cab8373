"""One proxy on its mock gateway for all tests that need nothing special: a start is dear."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.proxies import Proxy, running_proxy


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy")) as running:
        yield running
