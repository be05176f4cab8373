"""A request as its route sees it, and what a route gives back. Pure; time is an argument."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from foxora_addon.mock.accounts import NOTHING, Account, Charge
from foxora_addon.mock.answers import Answer
from foxora_addon.mock.catalogue import find_model
from foxora_addon.mock.coding import decoded
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.received import Received, is_to_websocket
from foxora_addon.mock.settings import MockSettings, ModelSettings
from foxora_addon.mock.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Call:
    """A request with a valid token, and what its route may know. `token` makes its ids."""

    received: Received
    account: Account
    shelf: Shelf
    settings: MockSettings
    now: float
    token: str
    words: int | None = None

    @property
    def body(self) -> bytes:
        """The request's body, without its content coding; raises RequestError."""
        return decoded(self.received.body, self.received.header("content-encoding"))

    @property
    def name(self) -> str:
        """What the path names: its third segment, unescaped."""
        return unquote(self.received.path.split("/")[3])

    @property
    def item_name(self) -> str:
        """What the path names within that: its fifth segment, unescaped."""
        return unquote(self.received.path.split("/")[5])

    @property
    def is_socket(self) -> bool:
        """Whether it opens a WebSocket, or is a message over one at its own path."""
        return is_to_websocket(self.received.header("upgrade"))

    def head(self, prefix: str, model: ModelSettings) -> Json:
        """The fields that every completion opens with."""
        return {"id": f"{prefix}_{self.token}", "created": int(self.now), "model": model.id}

    def model(self, name: str, ability: str | None = None) -> ModelSettings:
        """The model of that name; raises RequestError if there is none, or it is not able to."""
        model = find_model(name, self.settings)
        if model is None:
            message = f"The model '{name}' does not exist."
            raise RequestError(message, "model", status=404, code="model_not_found")
        if ability is not None and ability not in model.supports:
            raise RequestError(f"The model '{name}' does not support {ability}.", "model")
        return model


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the charge for it if it is delivered whole. `model` None: free of charge.

    `change` does to the shelf what the call asks for, be it to store, end or remove; for after the
    account's ceilings have let the call in.
    """

    answer: Answer
    charge: Charge = NOTHING
    model: ModelSettings | None = None
    change: Callable[[], None] | None = None
