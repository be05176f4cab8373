"""How many tokens a call puts in, before it is sent: an estimate, never an error.

Every kind of call is read the same way: what stands in the fields that hold prompts is text, but
for names and numbers that no model sees, and pictures, sound and files, which are never counted as
the base64 that they come in. What lies at the gateway (earlier responses, stored prompts) is not
seen, and left to settling.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from foxora_addon.api.json_values import member_of
from foxora_addon.api.token_images import image_tokens
from foxora_addon.api.token_text import TextCounter, bare_name, text_tokens

# Where prompts stand, in any call of the API.
_PROMPTS: Final = (
    *("messages", "input", "prompt", "suffix", "instructions", "query", "documents"),
    *("thread", "additional_instructions", "additional_messages"),
)

# Where schemas do.
_SCHEMAS: Final = frozenset({"tools", "functions", "response_format", "text"})

# All that may count besides the messages of a chat.
_BESIDE_MESSAGES: Final = _SCHEMAS.union(_PROMPTS) - {"messages"}

# OpenAI's cookbook on counting tokens: 3 for each message, 1 for its role, 3 before the answer.
_MESSAGE_TOKENS: Final = 4
_ANSWER_TOKENS: Final = 3
# Measured on recorded usage: what frames each call of a tool, and tools as such.
_CALL_TOKENS: Final = 6
_SCHEMA_TOKENS: Final = 12
_GPT_5_SCHEMA_TOKENS: Final = 90

# Fields whose text is no text, or a place to fetch something from.
_MEDIA: Final = frozenset(
    {
        *("image_url", "url", "data", "audio", "file_data", "file_url", "file_id"),
        *("encrypted_content", "result"),
    }
)

# What no model sees, or what a message's own tokens stand for.
_UNSEEN: Final = frozenset(
    {
        *("type", "role", "id", "call_id", "tool_call_id", "item_id", "status", "phase"),
        *("detail", "format", "cache_control", "signature", "annotations"),
    }
)

# Measured: an MP3 of 96 kbit/s has 912 bytes a token, so 13 tokens a second; speech that is not
# compressed comes at 32 or 48 kB a second.
_AUDIO_BYTES_PER_TOKEN: Final = 900
_PLAIN_AUDIO_BYTES_PER_TOKEN: Final = 3_000
_PLAIN_AUDIO: Final = ("wav", "pcm16")
# Measured on one small PDF; how much of a document a model gets is the gateway's to say.
_FILE_BYTES_PER_TOKEN: Final = 64
_MOST_FILE_TOKENS: Final = 10_000
_REMOTE_FILE_TOKENS: Final = 1_000
# Hidden reasoning comes back as base64 of text: 3 bytes in 4 characters, 4 bytes a token.
_SECRET_CHARACTERS_PER_TOKEN: Final = 16 / 3

# By how much of it an estimate may be too high: of texts that are estimated, or counted.
ESTIMATE_DOUBT: Final = 0.3
COUNT_DOUBT: Final = 0.05

_DATA_URL: Final = re.compile(r"data:[^\s,]{0,128};base64,")

# A body that is not read may be no prompt at all: it must not take a whole ceiling.
_MOST_UNREAD_TOKENS: Final = 2_000
_BYTES_PER_TOKEN: Final = 4


def estimated_input_tokens(
    operation: str,
    parsed: Mapping[str, Any] | None,
    body_size: int,
    model: str | None = None,
    counter: TextCounter | None = None,
) -> int:
    """Return about how many tokens a call puts in.

    `operation` is the name of an `endpoints.Operation`, `parsed` its body if that was read as a
    JSON object, `body_size` the length of it, in bytes and without content encoding. What a
    realtime session is made with is put in by its answers, not by the call that makes it.
    """
    if parsed is None or operation == "realtime":
        return _unread_tokens(operation, body_size)
    if _BESIDE_MESSAGES.isdisjoint(parsed) and (texts := _plain_texts_of(parsed.get("messages"))):
        framing = _MESSAGE_TOKENS * len(texts) + _ANSWER_TOKENS
        return framing + text_tokens(texts, model, counter)
    prompt = _Prompt(model)
    for name in filter(parsed.__contains__, _PROMPTS):
        prompt.read(parsed[name])
    if not _SCHEMAS.isdisjoint(parsed):
        for schema in _schemas_of(parsed):
            prompt.read_schema(schema)
    if "messages" in parsed or operation == "responses":
        prompt.tokens += _ANSWER_TOKENS
    return prompt.tokens + text_tokens(prompt.texts, model, counter)


def _schemas_of(parsed: Mapping[str, Any]) -> list[Any]:
    """Return what is described to the model as a schema: tools, and the form of the answer."""
    described = (
        parsed.get("tools"),
        parsed.get("functions"),
        member_of(parsed.get("response_format"), "json_schema"),
        member_of(member_of(parsed.get("text"), "format"), "schema"),
    )
    return [schema for schema in described if schema]


def _unread_tokens(operation: str, size: int) -> int:
    """Judge a body that is no JSON object by its size, where the operation has a prompt at all.

    Speech to be written down is billed by its seconds, of which the bytes tell something; a picture
    to be edited by its pixels; the rest of what comes as a form is stored, not read by a model.
    """
    match operation:
        case "audio_transcriptions" | "audio_translations":
            return size // _AUDIO_BYTES_PER_TOKEN
        case "images":
            return image_tokens("", None, None) if size else 0
        case "chat" | "completions" | "responses" | "embeddings" | "moderations" | "other":
            return min(size // _BYTES_PER_TOKEN, _MOST_UNREAD_TOKENS)
        case _:
            return 0


@dataclass(slots=True)
class _Prompt:
    """What was found so far: texts to count, and tokens of all else."""

    model: str | None
    tokens: int = 0
    texts: list[str] = field(default_factory=list)

    def read(self, value: Any) -> None:
        """Take a prompt of any shape, however deep: no recursion, each value once."""
        if plain := _plain_texts_of(value):
            self.tokens += _MESSAGE_TOKENS * len(plain)
            self.texts += plain
            return
        left = [value]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                content = value.get("content")
                if len(value) != 2 or not isinstance(content, str) or "role" not in value:
                    left += self._read_object(value)
                    continue
                self.tokens += _MESSAGE_TOKENS  # as most messages are: a role and a text
                value = content
            if isinstance(value, str):
                if value.startswith("data:") and _DATA_URL.match(value):
                    self.tokens += self._data_tokens(value, None)
                else:
                    self.texts.append(value)
            elif isinstance(value, list):
                if value and isinstance(value[0], int):
                    self.tokens += len(value)  # a text as token numbers
                else:
                    left += reversed(value)

    def read_schema(self, value: Any) -> None:
        """Take a schema, of which the model sees the names as well as the texts."""
        is_newer = bare_name(self.model).startswith("gpt-5")
        self.tokens += _GPT_5_SCHEMA_TOKENS if is_newer else _SCHEMA_TOKENS
        left = [value]
        while left:
            value = left.pop()
            if isinstance(value, str):
                self.texts.append(value)
            elif isinstance(value, dict):
                self.texts += value
                left += value.values()
            elif isinstance(value, list):
                left += value

    def _read_object(self, part: dict[str, Any]) -> list[Any]:
        """Take an object's own tokens; return the values that are still to be read."""
        if "role" in part:
            self.tokens += _MESSAGE_TOKENS
        elif "arguments" in part:
            self.tokens += _CALL_TOKENS
        values = []
        for name, value in part.items():
            if name in _UNSEEN:
                continue
            if name in _MEDIA and isinstance(value, str):
                self.tokens += self._media_tokens(name, value, part)
            else:
                values.append(value)
        values.reverse()
        return values

    def _media_tokens(self, name: str, value: str, part: dict[str, Any]) -> int:
        match name:
            case "data" | "audio":  # `audio` is of an item of a realtime session
                is_plain = name == "audio" or part.get("format") in _PLAIN_AUDIO
                per_token = _PLAIN_AUDIO_BYTES_PER_TOKEN if is_plain else _AUDIO_BYTES_PER_TOKEN
                return _size_of(value) // per_token
            case "result":
                return self._result_tokens(value, part)
            case "encrypted_content":
                return int(len(value) / _SECRET_CHARACTERS_PER_TOKEN)
            case "file_data":
                return _file_tokens(value)
            case "file_id" | "file_url" if part.get("type") != "input_image":
                return _REMOTE_FILE_TOKENS
            case _:
                return self._data_tokens(value, part.get("detail"))

    def _result_tokens(self, result: str, part: dict[str, Any]) -> int:
        """Those of a picture that a model has made, which is base64 alone; any other is text."""
        if part.get("type") == "image_generation_call":
            return image_tokens(f"data:image/png;base64,{result}", None, self.model)
        self.texts.append(result)
        return 0

    def _data_tokens(self, url: str, detail: object) -> int:
        if url.startswith("data:") and not url.startswith("data:image/"):
            return _file_tokens(url)
        return image_tokens(url, detail, self.model)


def _plain_texts_of(messages: Any) -> list[str] | None:
    """The texts of messages that have but a role and a text, as mostly; None: some are others."""
    if type(messages) is not list:
        return None
    texts = []
    for message in messages:
        if type(message) is not dict or len(message) != 2 or "role" not in message:
            return None
        text = message.get("content")
        if type(text) is not str or text.startswith("data:"):
            return None
        texts.append(text)
    return texts


def _file_tokens(data: str) -> int:
    per_token = _BYTES_PER_TOKEN if data.startswith("data:text/") else _FILE_BYTES_PER_TOKEN
    return min(_size_of(data) // per_token, _MOST_FILE_TOKENS)


def _size_of(base64: str) -> int:
    return len(base64) * 3 // 4
