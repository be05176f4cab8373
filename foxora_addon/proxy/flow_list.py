"""Our exchanges in the flow lists of mitmweb and mitmproxy: comments, marks, answers, and a bound.

A comment says what became of an exchange, a mark that it did not go as usual. Flows that are kept
are bounded in number and size, for both programs keep all of them (mitmproxy-facts.md row 23).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from mitmproxy import ctx, flow, hooks, http
from mitmproxy.addonmanager import Loader

from foxora_addon.ending import Ending, Open
from foxora_addon.proxy import console_list, flows
from foxora_addon.proxy.option_reading import FromOptions
from foxora_addon.proxy.shown_answers import OpenStream, ShownAnswers
from foxora_addon.reading.texts import brief_cost, brief_count, duration_text, one_line

_FAILED, _REFUSED, _WAITED = ":heavy_multiplication_x:", ":warning:", ":hourglass:"
_LONGEST: Final = 40
_MOST_TOLD: Final = 32
_LEAST_USD: Final = 5e-7  # less would be written as nothing
_BYTES_OF_A_FLOW: Final = 4_000
"""What mitmproxy needs for a flow besides its bodies (row 23)."""


KEEP_OPTIONS: Final = ("foxora_keep_flows", "foxora_keep_bytes")


class FlowList:
    """What is done to the lists; in mitmdump, which has none, little."""

    def __init__(self) -> None:
        self._looked_at = (0, 0)
        self._ended = 0
        self._answers = ShownAnswers()

    def load(self, loader: Loader) -> None:
        """Add the options that bound what is kept."""
        loader.add_option(
            "foxora_keep_flows",
            int,
            5_000,
            "How many flows mitmweb and mitmproxy keep, the newest; 0 keeps all.",
        )
        loader.add_option(
            "foxora_keep_bytes",
            int,
            268_435_456,
            "How many bytes of flows mitmweb and mitmproxy keep, the newest; 0 keeps all, and all "
            "messages of a WebSocket.",
        )

    def running(self) -> None:
        """Have the lists show the comments, unless the user chose mitmweb's columns."""
        if "web_columns" in ctx.options and not ctx.options.has_changed("web_columns"):
            columns = [name for name in ctx.options.web_columns if name != "comment"]
            ctx.options.update(web_columns=[*columns, "comment"])
        if "console_flowlist_layout" in ctx.options:
            console_list.show_comments()

    # Comments, marks and answers.

    def ended(self, ending: Ending, flow: http.HTTPFlow | None) -> None:
        """Say in a flow what became of its exchange, before mitmproxy's own addons see the end."""
        if flow is None:
            return
        self._ended += 1
        tell_in(flow, ending)
        kept = _KEPT.of(ctx.options)
        if kept.is_saved or (kept.is_drawn and _is_whole(flow)):
            self._answers.show(flow, ending)
        elif kept.is_dumped or _view() is not None:
            self._answers.show_soon(flow, ending)

    def tell_open(self, calls: Iterable[tuple[http.HTTPFlow, Open]]) -> None:
        """Say in the flows of open calls that they are, where there is somebody to look."""
        if _view() is not None:
            changed = changed_of(calls)
            for flow, call in changed:
                comment_on(flow, comment_of_open(call), mark_of_open(call))
            if changed:
                ctx.master.addons.trigger(hooks.UpdateHook([flow for flow, _ in changed]))

    def show_open(self, streams: Iterable[OpenStream]) -> None:
        """Show what open streams have said by now, where there is somebody to look."""
        if _view() is not None:
            self._answers.show_open(streams)

    # The bound.

    def tidy(self) -> None:
        """Let go of the oldest flows where there are more than are to be kept."""
        view = _view()
        if view is None or self._looked_at == (state := (view.store_count(), self._ended)):
            return
        self._looked_at = state
        kept: list[flow.Flow] = view.resolve("@all")
        focus = view.focus.flow
        told = [Kept(_size_of(each), _must_stay(each) or each is focus) for each in kept]
        for index in superfluous(
            told, ctx.options.foxora_keep_flows, ctx.options.foxora_keep_bytes
        ):
            view.remove([kept[index]])  # several at once would be told in the log, each second


_COMMENT, _MARK = "foxora_comment", "foxora_mark"
"""Where a flow's metadata has the comment and the mark that we set: any others are the user's."""


def changed_of(
    calls: Iterable[tuple[http.HTTPFlow, Open]],
) -> Sequence[tuple[http.HTTPFlow, Open]]:
    """The open calls whose flows do not say how they stand: a few, and the untold first.

    Windows draw each anew, and hundreds may wait.
    """
    changed = [
        (flow, call) for flow, call in calls if flow.metadata.get(_COMMENT) != comment_of_open(call)
    ]
    return sorted(changed, key=lambda each: _COMMENT in each[0].metadata)[:_MOST_TOLD]


def tell_in(flow: http.HTTPFlow, ending: Ending) -> None:
    """Say in a flow what became of its exchange, in place of what was said before."""
    comment_on(flow, comment_of(ending), _mark_of(ending))


def comment_on(flow: http.HTTPFlow, comment: str, mark: str) -> None:
    """Comment on a flow, and mark it, in place of what we said there before.

    What the user wrote stays, and a mark of the user's is never replaced.
    """
    before = flow.metadata.get(_COMMENT)
    if before and before in flow.comment:
        flow.comment = flow.comment.replace(before, comment)
    else:
        flow.comment = f"{flow.comment} · {comment}" if flow.comment else comment
    flow.metadata[_COMMENT] = comment
    if flow.marked in {"", flow.metadata.get(_MARK)}:
        flow.marked = flow.metadata[_MARK] = mark


def untell(flow: http.HTTPFlow) -> None:
    """Say nothing of ours in a flow any more: it is sent again, and to somebody else."""
    told = flow.metadata
    flow.comment = flow.comment.replace(told.pop(_COMMENT, ""), "").removesuffix(" · ")
    if flow.marked == told.pop(_MARK, ""):
        flow.marked = ""
    for name in (flows.EXCHANGE, flows.OPERATION, flows.FACTS):
        told.pop(name, None)


class Kept(NamedTuple):
    """A flow that is kept: its size in bytes, and whether it must stay."""

    size: int
    must_stay: bool


def superfluous(kept: Sequence[Kept], most: int, most_bytes: int) -> Iterator[int]:
    """The places of those that are to go, the oldest first; a bound of 0 is none."""
    count, size = len(kept), sum(each.size for each in kept)
    for index, each in enumerate(kept):
        if not (0 < most < count or 0 < most_bytes < size):
            return
        if not each.must_stay:
            count, size = count - 1, size - each.size
            yield index


def comment_of(ending: Ending) -> str:
    """What was unusual, cost and tokens, then model and account.

    mitmweb's column shows 20 letters, so first comes what differs from call to call.
    """
    return " · ".join(_comment_parts(ending))


def _comment_parts(ending: Ending) -> Iterator[str]:
    if ending.outcome != "completed":
        code = one_line(ending.error_code, _LONGEST) if ending.error_code else ""
        yield ending.outcome if code in {"", ending.outcome} else f"{code} ({ending.outcome})"
    if ending.waited_ms:
        yield f"waited {duration_text(ending.waited_ms)}"
    if figures := " ".join(_figures_of(ending)):
        yield figures
    yield from _names_of(ending)


def comment_of_open(call: Open) -> str:
    """How an open call stands, then model and account."""
    if call.waiting_seconds is not None:
        how = f"waiting {duration_text(call.waiting_seconds * 1000)}"
    else:
        how = f"open, try {call.tries + 1}" if call.tries else "open"
    return " · ".join([how, *_names_of(call)])


def mark_of_open(call: Open) -> str:
    """A call that waits is marked as one that has waited."""
    return "" if call.waiting_seconds is None else _WAITED


def _names_of(call: Ending | Open) -> Iterator[str]:
    yield one_line(call.model or call.operation, _LONGEST)
    yield one_line(call.account or "no account", _LONGEST)


def _figures_of(ending: Ending) -> Iterator[str]:
    if ending.cost_usd and ending.cost_usd >= _LEAST_USD:
        yield brief_cost(ending.cost_usd)
    if ending.input_tokens is not None and ending.output_tokens is not None:
        yield f"{brief_count(ending.input_tokens)}+{brief_count(ending.output_tokens)} tok"
    elif ending.total_tokens is not None:
        yield f"{brief_count(ending.total_tokens)} tok"


def _mark_of(ending: Ending) -> str:
    if ending.outcome == "completed":
        return _WAITED if ending.waited_ms else ""
    return _REFUSED if ending.outcome == "refused" else _FAILED


class _Kept(NamedTuple):
    """Who keeps an answer as it is when it has ended: a file of flows, a HAR file, the console.

    That one draws what is whole as soon as it is, and then keeps what it has drawn.
    """

    is_saved: bool
    is_dumped: bool
    is_drawn: bool


_KEPT: Final = FromOptions(
    lambda options: _Kept(
        bool(options.save_stream_file),
        bool(options.hardump),
        "console_flowlist_layout" in options,
    )
)


def _is_whole(flow: http.HTTPFlow) -> bool:
    return flow.response is not None and not flow.response.stream


def _view() -> Any:
    """The flow list of mitmweb or mitmproxy; None in mitmdump."""
    return ctx.master.addons.get("view")


def _size_of(each: flow.Flow) -> int:
    if not isinstance(each, http.HTTPFlow):
        return _BYTES_OF_A_FLOW
    bodies = (each.request.raw_content, each.response.raw_content if each.response else None)
    messages = each.websocket.messages if each.websocket else ()
    return (
        _BYTES_OF_A_FLOW
        + sum(len(body or b"") for body in bodies)
        + sum(len(message.content) for message in messages)
    )


def _must_stay(each: flow.Flow) -> bool:
    """Whether it is open, or the user has marked it: a mark of ours keeps nothing."""
    return each.live or each.intercepted or each.marked not in {"", each.metadata.get(_MARK)}
