"""The rows of the console's list, in terminals of all widths."""

from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.test import tflow
from mitmproxy.tools.console import flowlist

from foxora_addon.proxy.console_list import show_comments


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The row of a call, made in a terminal of 140 columns."""
    monkeypatch.setattr(flowlist, "FlowItem", type("FlowItem", (flowlist.FlowItem,), {}))
    show_comments()
    flow = tflow.tflow(resp=True)
    flow.comment = "5+7 tok · gpt-4o-mini · acme"
    master = SimpleNamespace(
        ui=SimpleNamespace(get_cols_rows=lambda: (140, 40)),
        options=SimpleNamespace(console_flowlist_layout="default", showhost=False),
        view=SimpleNamespace(focus=SimpleNamespace(flow=None)),
    )
    return flowlist.FlowItem(master, flow)


def shown(row: Any, columns: int) -> str:
    lines: list[bytes] = row.render((columns,)).text
    assert len(lines) == row.rows((columns,))
    return b"\n".join(lines).decode()


def test_a_row_has_its_comment_where_there_is_room(row: Any) -> None:
    assert "200" in shown(row, 140)
    assert "5+7 tok · gpt-4o-mini · acme" in shown(row, 140)


def test_a_terminal_that_becomes_narrow_has_the_row_in_place_of_its_comment(row: Any) -> None:
    shown(row, 140)
    assert "tok" not in shown(row, 90)
    assert "/path" in shown(row, 90)
    assert "200" in shown(row, 90)
    assert "5+7 tok" in shown(row, 140)
