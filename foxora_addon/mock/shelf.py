"""What an account has stored at the gateway: files, batches, responses and conversations.

State over one run, bounded in octets. A full shelf takes no more files; of responses and of
conversations it forgets the oldest. How requests and answers look stands elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.items import octets_of

_MOST_OCTETS = 256 * 1024 * 1024
_MOST_KEPT = 1_000
_MOST_KEPT_OCTETS = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file; `created` is Unix seconds."""

    id: str
    name: str
    purpose: str
    created: int
    content: bytes = field(repr=False)


@dataclass(slots=True)
class StoredResponse:
    """A response, and the items that it was made of.

    `told` is the whole of it. `is_told` False: it is kept for a socket to go on from, and for
    nothing else. `is_running`: it is one in the background, and nobody has asked for it since.
    `octets` counts `told` and its own items, not those of what it went on from: they are the
    earlier response's own.
    """

    told: Json
    items: tuple[Json, ...] = field(repr=False)
    octets: int
    is_told: bool
    is_running: bool

    @property
    def id(self) -> str:
        """The response's id."""
        return str(self.told["id"])

    def end(self, told: Json | None = None) -> None:
        """Run no more, and be told so from now on; None: as it is told already."""
        self.is_running = False
        self.told = told or self.told


@dataclass(slots=True)
class Conversation:
    """A conversation; `created` is Unix seconds, `items` are oldest first.

    `octets` counts its items and its metadata.
    """

    id: str
    created: int
    metadata: Json
    items: list[Json] = field(default_factory=list, repr=False)
    octets: int = field(init=False)

    def __post_init__(self) -> None:
        """Count what it has."""
        self.octets = octets_of([self.metadata, *self.items])

    def with_metadata(self, metadata: Json) -> "Conversation":
        """The same conversation with other metadata."""
        return replace(self, metadata=metadata)

    def item(self, name: str) -> Json:
        """The item of that id; raises RequestError."""
        item = next((each for each in self.items if each["id"] == name), None)
        if item is None:
            message = f"Item with id '{name}' not found in conversation '{self.id}'."
            raise RequestError(message, status=404)
        return item


class _Kept[T: (StoredResponse, Conversation)]:
    """What is kept of one kind, oldest first, within the bounds, even if nothing is left.

    It counts each as large as it was when it was put here.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[T, int]] = {}
        self._octets = 0

    def get(self, name: str) -> T | None:
        """The one of that id; None if there is none."""
        return self._kept[name][0] if name in self._kept else None

    def put(self, one: T) -> None:
        """Keep one, in the place of what has its id, and forget the oldest past the bounds."""
        before = self._kept[one.id][1] if one.id in self._kept else 0
        self._kept[one.id] = one, one.octets
        self._octets += one.octets - before
        while len(self._kept) > _MOST_KEPT or self._octets > _MOST_KEPT_OCTETS:
            self.remove(next(iter(self._kept)))

    def remove(self, name: str) -> None:
        """Remove the one of that id."""
        self._octets -= self._kept.pop(name)[1]


@dataclass(slots=True)
class Shelf:
    """One account's files, batches, responses and conversations, oldest first."""

    files: dict[str, StoredFile] = field(default_factory=dict)
    batches: dict[str, Json] = field(default_factory=dict)
    responses: _Kept[StoredResponse] = field(default_factory=_Kept)
    conversations: _Kept[Conversation] = field(default_factory=_Kept)

    def put(self, file: StoredFile) -> None:
        """Store a file; raises RequestError where there is no room."""
        stored = sum(len(each.content) for each in self.files.values())
        if stored + len(file.content) > _MOST_OCTETS:
            raise RequestError("There is no room for more files.", "file", status=413)
        self.files[file.id] = file

    def file(self, name: str) -> StoredFile:
        """The file of that id; raises RequestError."""
        if name not in self.files:
            raise RequestError(f"No such File object: {name}", "id", status=404)
        return self.files[name]

    def batch(self, name: str) -> Json:
        """The batch of that id; raises RequestError."""
        if name not in self.batches:
            raise RequestError(f"No batch found with id '{name}'.", "id", status=404)
        return self.batches[name]

    def keep(self, response: StoredResponse) -> None:
        """Store a response."""
        self.responses.put(response)

    def response(self, name: str) -> StoredResponse:
        """The response of that id, if it is one to tell; raises RequestError."""
        response = self.responses.get(name)
        if response is None or not response.is_told:
            raise RequestError(f"Response with id '{name}' not found.", status=404)
        return response

    def forget_response(self, name: str) -> None:
        """Remove a response."""
        self.responses.remove(name)

    def cancel(self, response: StoredResponse, told: Json) -> None:
        """End a response that is told so from now on, and take its answer back."""
        named = response.told["conversation"]
        conversation = None if named is None else self.conversations.get(named["id"])
        if conversation is not None:
            items = [item for item in response.told["output"] if item in conversation.items]
            self.remove_items(conversation, items)
        response.end(told)

    def enter(self, conversation: Conversation, items: Sequence[Json]) -> None:
        """Store a conversation with more items, in place of what was of its id."""
        conversation.items.extend(items)
        conversation.octets += octets_of(items)
        self.conversations.put(conversation)

    def remove_items(self, conversation: Conversation, items: Sequence[Json]) -> None:
        """Remove items of a conversation."""
        for item in items:
            conversation.items.remove(item)
        conversation.octets -= octets_of(items)
        self.conversations.put(conversation)

    def conversation(self, name: str) -> Conversation:
        """The conversation of that id; raises RequestError."""
        conversation = self.conversations.get(name)
        if conversation is None:
            raise RequestError(f"Conversation with id '{name}' not found.", status=404)
        return conversation

    def forget_conversation(self, name: str) -> None:
        """Remove a conversation."""
        self.conversations.remove(name)
