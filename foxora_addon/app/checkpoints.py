"""The checkpoints that the proxy has signed, as `audit verify` compares a trail with them."""

from pathlib import Path
from typing import TYPE_CHECKING

from foxora_addon.app.say import say
from foxora_addon.audit.keys import private_key_of, public_key_of, public_path
from foxora_addon.audit.place import is_same_place
from foxora_addon.audit.signing import heads_in
from foxora_addon.audit.verification import Kept
from foxora_addon.config import Audit
from foxora_addon.presence import is_there

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def checkpoints_of(trail: Path, audit: Audit, public_key: Path | None) -> list[Kept]:
    """What the proxy has signed of a trail; [] where it signs nothing.

    The configured trail is compared as the configuration says; another one with the checkpoint
    beside it, if the key is given. `public_key` None is the one beside the configured key. Raises
    ValueError where a checkpoint is missing or no good, and OSError.
    """
    is_ours = audit.checkpoint_key is not None and is_same_place(audit.path, trail)
    file = audit.checkpoint_file if is_ours else Audit(path=trail).checkpoint_file
    private = audit.checkpoint_key if is_ours else None
    if public_key is None and private is None:
        if is_there(file):
            say(f"{file}: not compared; give the key that it was signed with: --public-key FILE")
        return []
    if is_there(file):
        return [head for head, _ in heads_in(file, _key_of(public_key, private))]
    if is_there(trail) and not trail.stat().st_size:
        return []
    raise ValueError(
        f"{file}: there is no checkpoint: it was removed, or the proxy that should write it has "
        "not run yet"
    )


def _key_of(public_key: Path | None, private: Path | None) -> "Ed25519PublicKey":
    if public_key is not None or private is None:
        return public_key_of(public_key or Path())
    beside = public_path(private)
    return public_key_of(beside) if is_there(beside) else private_key_of(private).public_key()
