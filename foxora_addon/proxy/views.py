"""Shows our exchanges in mitmweb and mitmproxy: as a conversation, with their figures beside them.

What a page says is `reading`'s business; here stands when there is one. Whatever this view can't
read falls to mitmproxy's own, and its JSON view stays one choice away (mitmproxy-facts.md row 29).
"""

from mitmproxy import contentviews, http

from foxora_addon.proxy import flows

_ABOVE_ALL: float = 10.0


class Conversation(contentviews.Contentview):
    """The view named "Foxora"."""

    name = "Foxora"
    syntax_highlight = "none"

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """The page of a request, an answer or a WebSocket's message.

        Raises ValueError if it is no JSON object.
        """
        from foxora_addon.reading import flow_page  # noqa: PLC0415  # a proxy starts sooner without

        if metadata.websocket_message is not None:
            page = flow_page.event_page(data)
        elif isinstance(metadata.http_message, http.Request):
            page = flow_page.request_page(data)
        else:
            page = flow_page.answer_page(data, _told(metadata, flows.FACTS))
        if page is None:
            raise ValueError("no JSON object, so no conversation: choose another view")
        return page

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        """Above mitmproxy's own views for what is ours and can be read, below all of them else."""
        if not flows.is_ours(metadata.flow):
            return -1.0
        from foxora_addon.reading import flow_page  # noqa: PLC0415  # as above

        if metadata.websocket_message is not None:
            return _ABOVE_ALL if flow_page.can_read_event(data) else -1.0
        if metadata.http_message is None:
            return -1.0
        is_answer = isinstance(metadata.http_message, http.Response)
        operation = _told(metadata, flows.OPERATION)
        return _ABOVE_ALL if flow_page.can_read(data, operation, is_answer=is_answer) else -1.0


def _told(metadata: contentviews.Metadata, name: str) -> str:
    """What a flow's metadata says, which a file that was loaded may have anything in."""
    value = metadata.flow.metadata.get(name) if metadata.flow else None
    return value if isinstance(value, str) else ""
