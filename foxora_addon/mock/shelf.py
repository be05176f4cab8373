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

    def remove(self, item: Json) -> None:
        """Forget an item of it."""
        self.items.remove(item)
        self.octets -= octets_of([item])


@dataclass(slots=True)
class Shelf:
    """One account's files, batches, responses and conversations, oldest first."""

    files: dict[str, StoredFile] = field(default_factory=dict)
    batches: dict[str, Json] = field(default_factory=dict)
    responses: dict[str, StoredResponse] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)

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
        self.responses[response.id] = response
        _forget_oldest(self.responses)

    def response(self, name: str) -> StoredResponse:
        """The response of that id, if it is one to tell; raises RequestError."""
        response = self.responses.get(name)
        if response is None or not response.is_told:
            raise RequestError(f"Response with id '{name}' not found.", status=404)
        return response

    def forget_response(self, name: str) -> None:
        """Remove a response."""
        del self.responses[name]

    def enter(self, conversation: Conversation, items: Sequence[Json]) -> None:
        """Store a conversation, if it is not here yet, with more items."""
        self.conversations[conversation.id] = conversation
        conversation.items.extend(items)
        conversation.octets += octets_of(items)
        _forget_oldest(self.conversations)

    def conversation(self, name: str) -> Conversation:
        """The conversation of that id; raises RequestError."""
        if name not in self.conversations:
            raise RequestError(f"Conversation with id '{name}' not found.", status=404)
        return self.conversations[name]

    def forget_conversation(self, name: str) -> None:
        """Remove a conversation."""
        del self.conversations[name]


def _forget_oldest[T: (StoredResponse, Conversation)](kept: dict[str, T]) -> None:
    """Keep to the bounds, even if nothing is left."""
    octets = sum(each.octets for each in kept.values())
    while len(kept) > _MOST_KEPT or octets > _MOST_KEPT_OCTETS:
        octets -= kept.pop(next(iter(kept))).octets
