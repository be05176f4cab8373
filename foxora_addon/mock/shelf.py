"""What an account has stored at the gateway: files, and batches of calls made from them.

State over one run, bounded in octets. How requests and answers look stands elsewhere.
"""

from dataclasses import dataclass, field

from foxora_addon.mock.fields import Json, RequestError

_MOST_OCTETS = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file; `created` is Unix seconds."""

    id: str
    name: str
    purpose: str
    created: int
    content: bytes = field(repr=False)


@dataclass(slots=True)
class Shelf:
    """One account's files and batches, oldest first."""

    files: dict[str, StoredFile] = field(default_factory=dict)
    batches: dict[str, Json] = field(default_factory=dict)

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
