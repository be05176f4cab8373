"""Shows what `audit diff` found between two calls."""

from dataclasses import asdict
from typing import Final

from rich.text import Text

from foxora_addon.app.printing import STYLES, json_text, paged, write
from foxora_addon.reading.difference import Difference, Step, difference_of, lines_of_step
from foxora_addon.reading.exchanges import Recorded

_WIDTH: Final = 16


def show_difference(before: Recorded, after: Recorded, *, as_json: bool) -> int:
    """Print the difference: status 0, whether there is one or not."""
    difference = difference_of(before, after)
    if as_json:
        write(json_text(_json_of(difference)))
        return 0
    with paged() as screen:
        screen.print(Text(f"--- {before.id}  {before.time}", style=STYLES["-"]))
        screen.print(Text(f"+++ {after.id}  {after.time}", style=STYLES["+"]))
        for name, old, new in difference.fields:
            screen.print(Text.assemble((f"{name:{_WIDTH}}", STYLES["label"]), f"{old} -> {new}"))
        for heading, steps in (("asked", difference.steps), ("answered", difference.answers)):
            screen.print(Text(heading, style=STYLES["heading"]))
            for step in steps:
                for sign, line in lines_of_step(step):
                    screen.print(Text(f"{sign} {line}".rstrip(), style=STYLES.get(sign, "dim")))
    return 0


def _json_of(difference: Difference) -> dict[str, object]:
    return {
        "fields": [
            {"name": name, "before": old, "after": new} for name, old, new in difference.fields
        ],
        "asked": [_step_json(step) for step in difference.steps],
        "answered": [_step_json(step) for step in difference.answers],
    }


def _step_json(step: Step) -> dict[str, object]:
    if step.change == "same":
        return {"change": "same", "turns": len(step.before)}
    return asdict(step)
