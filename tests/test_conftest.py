"""In CI, a real server that could not be started is a failure, not a skipped test."""

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
TESTS = """
import pytest

@pytest.mark.real_server
def test_server():
    pytest.skip("no node here")

@pytest.mark.skipif(True, reason="no corpora here")
def test_shared():
    pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nmarkers = real_server\n")
    pytester.makeconftest(CONFTEST.read_text("utf-8"))
    pytester.makepyfile(TESTS)
    return pytester


def test_in_ci_a_skipped_real_server_test_fails_and_says_why(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_inprocess("-p", "no:xdist")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*which CI takes as a failure*no node here*"])


def test_elsewhere_it_is_skipped(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    project.runpytest_inprocess("-p", "no:xdist").assert_outcomes(skipped=2)
