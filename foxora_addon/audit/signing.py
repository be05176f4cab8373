"""Signs how far a trail has come, so that a later cut or rewriting shows.

A signed head is a line of JSON: `seq` and `hash` of the trail's last record then, `time`, and an
Ed25519 `signature` (base64) over the text `foxora-addon head 1 SEQ HASH TIME`. It proves that who
had the key saw that record in that place; keep key and lines where the trail's writer can't reach.
"""

import base64
import binascii
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from foxora_addon.audit.keys import private_key_of, public_key_of
from foxora_addon.audit.recovery import end_of
from foxora_addon.audit.verification import Kept


def signed_head(trail: Path, key_file: Path, time: str) -> str:
    """The signed head of a trail as it is now, a line without its break; `time` is ISO 8601.

    Only the trail's end is read: verify it to know that what is before it is whole. Raises
    ValueError where the file holds no such key, OSError, and `recovery.NoTrail`.
    """
    key = private_key_of(key_file)
    end = end_of(trail)
    if not end.seq:
        raise ValueError(f"{trail}: has no record yet, and so no head")
    return signed_line(key, end.seq, end.hash, time)


def signed_line(key: Ed25519PrivateKey, seq: int, digest: str, time: str) -> str:
    """A signed head, a line without its break."""
    signature = base64.b64encode(key.sign(_message(seq, digest, time))).decode()
    return json.dumps({"seq": seq, "hash": digest, "time": time, "signature": signature})


def signed_heads(file: Path, public_key_file: Path) -> list[Kept]:
    """The heads on a file's lines, each with a right signature; raises ValueError, and OSError."""
    return [head for head, _ in heads_in(file, public_key_of(public_key_file))]


def heads_in(file: Path, key: Ed25519PublicKey) -> list[tuple[Kept, str]]:
    """The same for a key, each head with its line, which has no break."""
    heads = []
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                head = _head_of(line, key, f"{file}, line {number}")
                heads.append((head, line.decode().rstrip("\n")))
    return heads


def _head_of(line: bytes, key: Ed25519PublicKey, place: str) -> Kept:
    try:
        data = json.loads(line.decode())
        seq, digest, time = int(data["seq"]), str(data["hash"]), str(data["time"])
        key.verify(base64.b64decode(data["signature"], validate=True), _message(seq, digest, time))
    except InvalidSignature:
        raise ValueError(f"{place}: changed, or signed with another key") from None
    except (KeyError, TypeError, ValueError, RecursionError, binascii.Error):
        raise ValueError(f"{place}: no signed head, as `audit sign` prints them") from None
    return Kept(seq, digest)


def _message(seq: int, digest: str, time: str) -> bytes:
    return f"foxora-addon head 1 {seq} {digest} {time}".encode()
