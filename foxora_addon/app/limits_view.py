"""Shows how accounts stand with their ceilings: a table for a person, from the proxy's own figures.

Pure: the figures are an argument, as `/_foxora/limits` gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from foxora_addon.api.money import dollars, usd_of

_BAR_CELLS: Final = 10
_LEAST_COLUMNS: Final = 36
"""What a name and its figure need beside each other, so that no figure is cut."""
_NAMES: Final = ("requests a minute", "tokens a minute", "at once", "waiting", "spent")

type Account = Mapping[str, Any]


def view_of(accounts: Sequence[Account], console: Console) -> Table | Group:
    """A row for each account; where that is wider than the console, a line for each figure."""
    table = table_of(accounts)
    if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= (
        console.width
    ):
        return table
    block_of = _block_of if console.width >= _LEAST_COLUMNS else _narrow_block_of
    return Group(*(block_of(account) for account in accounts))


def table_of(accounts: Sequence[Account]) -> Table:
    """A row for each account."""
    table = Table("account", *_NAMES, box=None, pad_edge=False, header_style="bold")
    for account in accounts:
        table.add_row(Text(str(account["account"])), *_figures_of(account))
    return table


def _block_of(account: Account) -> Group:
    block = Table.grid(padding=(0, 2), pad_edge=True)
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, text in zip(_NAMES, _figures_of(account), strict=True):
        block.add_row(name, text)
    return Group(Text(str(account["account"]), style="bold"), block)


def _narrow_block_of(account: Account) -> Group:
    """The figures below their names, where both have no room in a line."""
    block = Group(Text(str(account["account"]), style="bold"))
    for name, text in zip(_NAMES, _figures_of(account), strict=True):
        block.renderables.append(Padding(name, (0, 0, 0, 2)))
        block.renderables.append(Padding(text, (0, 0, 0, 4)))
    return block


def _figures_of(account: Account) -> Iterator[Text]:
    """What stands under each of `_NAMES`."""
    spend = account["spend"]
    yield _minute(account["requests"])
    yield _minute(account["tokens"])
    yield _of(account["concurrent"]["used"], account["concurrent"]["ceiling"])
    yield Text(str(account["waiting"]))
    yield _money(spend["used_usd"], spend["ceiling_usd"])


def notes_of(accounts: Sequence[Account]) -> list[str]:
    """What a reader must know besides: accounts without a ceiling are not held to any."""
    free = [
        str(account["account"])
        for account in accounts
        if account["requests"]["ceiling"] is None or account["tokens"]["ceiling"] is None
    ]
    if not free:
        return []
    return [
        f"not enforced where no ceiling is known ({', '.join(free)}): name a plan, or give figures "
        "under accounts[].limits"
    ]


def _minute(figures: Mapping[str, Any]) -> Text:
    """A bar of what is used, the figures, and when all of it is back."""
    used, ceiling = figures["used"], figures["ceiling"]
    if ceiling is None:
        return _of(used, None)
    share = min(max(used / ceiling, 0.0), 1.0)
    colour = "green" if share < 0.8 else "yellow" if share < 1 else "red"
    filled = round(share * _BAR_CELLS)
    text = Text("█" * filled + "░" * (_BAR_CELLS - filled), style=colour)
    text.append(f" {used:,} of {ceiling:,}", style="default")
    if resets := figures["resets_in_seconds"]:
        text.append(f", all back in {resets:.0f} s", style="dim")
    return text


def _of(used: int, ceiling: int | None) -> Text:
    return Text(f"{used:,}" if ceiling is None else f"{used:,} of {ceiling:,}")


def _money(used: float | None, ceiling: float | None) -> Text:
    if used is None and ceiling is None:
        return Text("not known", style="dim")
    spent, cap = (usd_of(sum_usd, places=6) for sum_usd in (used, ceiling))
    text = "?" if spent is None else dollars(spent)
    return Text(text if cap is None else f"{text} of {dollars(cap)}")
