"""Tells rows as a list, whole or page by page, as OpenAI's lists are asked for."""

from collections.abc import Sequence
from urllib.parse import parse_qs

from foxora_addon.mock.fields import Json, RequestError, whole_parameter

_USUAL_ROWS = 20
_MOST_ROWS = 100


def list_json(rows: Sequence[Json], *, has_more: bool = False) -> Json:
    """The rows as a list, with the ids of its ends."""
    ends = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    told = {"object": "list", "data": list(rows), "has_more": has_more}
    return {**told, "first_id": ends[0], "last_id": ends[1]}


def page_json(rows: Sequence[Json], query: str) -> Json:
    """The page that a query's `limit`, `order` and `after` ask for; newest first unless `asc`.

    `rows` are oldest first. Raises RequestError.
    """
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    limit = whole_parameter(query, "limit", _USUAL_ROWS, _MOST_ROWS)
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestError("The 'order' parameter must be asc or desc.", "order")
    ordered = list(rows) if order == "asc" else list(reversed(rows))
    left = ordered[_place_after(ordered, asked.get("after")) :]
    page = left[:limit]
    return list_json(page, has_more=len(page) < len(left))


def _place_after(rows: Sequence[Json], name: str | None) -> int:
    """Where the rows after the last one of that id begin; None: with the first.

    Clients choose ids too: after the first of two that share one, they would turn pages for ever.
    """
    if name is None:
        return 0
    places = [at for at, row in enumerate(rows) if row["id"] == name]
    if not places:
        raise RequestError(f"No item found with id '{name}'.", "after")
    return places[-1] + 1
