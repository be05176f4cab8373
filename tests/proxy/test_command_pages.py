"""What the windows' commands show of the trail: as much as a window can bear."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foxora_addon.audit.chain import seal
from foxora_addon.policy.plans import Ceilings
from foxora_addon.policy.scopes import Scope
from foxora_addon.proxy.command_pages import trail_lines, why_lines
from tests.reading.builders import a_refusal, a_request, a_response, line_of


def written(path: Path, records: Sequence[Any]) -> Path:
    plain = ({name: value for name, value in each.items() if name != "hash"} for each in records)
    path.write_bytes(b"".join(seal(line_of(each).rstrip(b"\n"))[0] for each in plain))
    return path


def test_why_counts_what_ended_lately_however_long_ago_it_began(tmp_path: Path) -> None:
    refusal = a_refusal("r", at=0)
    long = [a_request("long", at=-900), a_request("open", at=-600)]
    between = [a_request("old", at=-500), a_response("old", at=-499)]
    ends = [a_response("long", at=-10), *refusal, a_response("open", at=5)]
    trail = written(tmp_path / "trail.jsonl", [*long, *between, *ends])
    account = Scope("acme", "Account 'acme'", Ceilings(9, 100, 1))
    shown = why_lines("r", trail, lambda *_: (account,))
    assert "tokens: 32 of 100 used, 20 more asked" in shown
    assert "concurrent: 1 of 1 used, 1 more asked <- over" in shown


def test_a_long_conversation_is_shown_in_short_lines_and_then_names_the_command(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trail.jsonl"
    said = {"model": "m", "messages": [{"role": "user", "content": "x" * 900_000}]}
    path.write_bytes(line_of(a_request("ex_1", body=said)) + line_of(a_response("ex_1")))
    lines = trail_lines("ex_1", path)
    assert max(map(len, lines)) <= 68
    assert sum(map(len, lines)) < 600_000
    assert lines[-1] == "… cut here: foxora-proxy audit show ex_1 has all of it"
