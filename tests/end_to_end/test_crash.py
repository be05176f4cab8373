"""A handful of crashes; `scripts/crash-test` makes as many as one likes."""

from pathlib import Path

import pytest

from tests.end_to_end.crashes import rounds


@pytest.mark.real_server
@pytest.mark.timeout(300)
def test_killed_under_load_it_leaves_a_trail_that_keeps_its_promises(tmp_path: Path) -> None:
    found = list(rounds(tmp_path, 5, seed=1))
    assert [round_.report.problem for round_ in found] == [None] * 5
    assert sum(round_.finished for round_ in found) > 20
