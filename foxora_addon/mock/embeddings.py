"""Embeddings: a unit vector for each text, made of a hash of it.

Equal texts get equal vectors; nothing else is promised of them. Not documented as served by the
gateway (foxora-api.md, Routes).
"""

import base64
import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Any

from foxora_addon.mock import fields
from foxora_addon.mock.fields import Json, RequestError
from foxora_addon.mock.texts import Text, parse_texts

_DIMENSIONS = 1_536
_MOST_DIMENSIONS = 3_072


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """A valid request."""

    model: str
    texts: list[Text]
    dimensions: int
    is_base64: bool

    @property
    def input_tokens(self) -> int:
        """The tokens of all texts."""
        return sum(text.tokens for text in self.texts)


def parse_embeddings(body: bytes) -> EmbeddingsRequest:
    """The request in a body; raises RequestError."""
    json = fields.object_of(body)
    coding = json.get("encoding_format") or "float"
    if coding not in ("float", "base64"):
        raise RequestError(
            "The 'encoding_format' field must be float or base64.", "encoding_format"
        )
    return EmbeddingsRequest(
        model=fields.required_text(json, "model"),
        texts=parse_texts(json, "input"),
        dimensions=fields.whole_number(json, "dimensions", 1, _MOST_DIMENSIONS) or _DIMENSIONS,
        is_base64=coding == "base64",
    )


def embeddings_json(request: EmbeddingsRequest) -> Json:
    """The vectors in OpenAI's shape, as numbers or as base64 of little-endian float32."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _embedding(text.words, request)}
            for index, text in enumerate(request.texts)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": request.input_tokens, "total_tokens": request.input_tokens},
    }


def _embedding(words: str, request: EmbeddingsRequest) -> Any:
    vector = _vector(words, request.dimensions)
    if not request.is_base64:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _vector(words: str, dimensions: int) -> list[float]:
    octets = hashlib.shake_128(words.encode("utf-8", "replace")).digest(dimensions)
    # Half a step off the middle, so that no vector is null and can't be brought to length 1.
    values = [octet - 127.5 for octet in octets]
    length = math.sqrt(sum(value * value for value in values))
    return [round(value / length, 8) for value in values]
