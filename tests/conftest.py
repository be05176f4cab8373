"""What every test may rely on, and the rule that CI leaves out nothing that it could run."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: no example of a property has to be quick.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

pytest_plugins = ["pytester"]

NODE = Path(__file__).parents[1] / ".tools" / "node"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder with the packages for Node, which NODE_PATH shows to a `.cjs` script."""
    if not (NODE / "installed.json").exists():
        pytest.skip("scripts/setup-node has found no Node here")
    return NODE / "node_modules"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that needs a real server and is skipped has failed: nobody would notice it."""
    report = yield
    if report.skipped and item.get_closest_marker("real_server") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI takes as a failure: {report.longreprtext}"
    return report
