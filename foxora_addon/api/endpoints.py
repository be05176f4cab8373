"""Which operation of the API a request calls: one table, a row for each.

Rows follow OpenAI's API reference and foxora-api.md, Routes. Whether the gateway serves a route is
the gateway's to say: a path that has no row is the operation `other`, and is forwarded as well.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Final, NamedTuple
from urllib.parse import unquote


class Operation(NamedTuple):
    """A row: what the record calls it, and what is known of its requests and answers.

    `path` is below `/v1`; `*` stands for one segment, a `/**` at the end for anything below or
    nothing. `answers_json` promises that a successful answer that is no event stream is JSON, and
    that clients read it; `has_model` that its request is a JSON object in which a `model` may
    stand, `has_form` that it is an upload: a multipart form, or such an object, in which one may.
    `model_is_optional`: where it names none, something else says which, such as an assistant, or
    the gateway has one for it. `model_within` is the member in whose value the model stands; None:
    it stands beside all others. `generates`: a model may answer a POST; where none does, the usage
    in an answer is that of an earlier call. `answers_text`: an answer that is no JSON is what a
    model wrote.
    """

    name: str
    methods: frozenset[str]
    path: str
    answers_json: bool = True
    has_model: bool = False
    has_form: bool = False
    model_is_optional: bool = False
    generates: bool = True
    answers_text: bool = False
    model_within: str | None = None


OTHER: Final = Operation("other", frozenset(), "/**", answers_json=False)


def _row(  # noqa: PLR0913  # one keyword for each member
    name: str,
    methods: str,
    path: str,
    *,
    answers_json: bool = True,
    has_model: bool = False,
    has_form: bool = False,
    model_is_optional: bool = False,
    generates: bool = True,
) -> Operation:
    named = frozenset(methods.split())
    return Operation(
        name, named, path, answers_json, has_model, has_form, model_is_optional, generates
    )


def _heard(name: str, path: str) -> Operation:
    """A row of speech that is written down: the client asks for JSON, plain text or subtitles."""
    row = _row(name, "POST", path, answers_json=False, has_form=True)
    return row._replace(answers_text=True)


def _talk(path: str, model_within: str | None = None, *, answers_json: bool = True) -> Operation:
    """A row of what prepares, or begins, a realtime session: no model has answered in it yet."""
    row = _row(
        *("realtime", "POST", path),
        answers_json=answers_json,
        has_model=True,
        model_is_optional=True,
        generates=False,
    )
    return row._replace(model_within=model_within)


# The first row that fits a request is the one, so narrow paths stand before wide ones.
OPERATIONS: Final = (
    _row("chat", "POST", "/chat/completions", has_model=True),
    _row("stored_chats", "GET POST DELETE", "/chat/completions/**", generates=False),
    _row("completions", "POST", "/completions", has_model=True),
    _row("embeddings", "POST", "/embeddings", has_model=True),
    _row("responses", "POST", "/responses", has_model=True),
    _row("responses", "POST", "/responses/compact", has_model=True),
    _row("responses", "POST", "/responses/input_tokens", has_model=True, generates=False),
    _row("responses", "GET", "/responses"),  # opens a WebSocket: there is no list of them
    _row("stored_responses", "DELETE", "/responses/*", answers_json=False, generates=False),
    _row("stored_responses", "GET POST DELETE", "/responses/**", generates=False),
    _row("models", "GET DELETE", "/models/**"),
    _row("me", "GET", "/me"),
    _row("me_usage", "GET", "/me/usage"),
    _row("audio_speech", "POST", "/audio/speech", answers_json=False, has_model=True),
    _heard("audio_transcriptions", "/audio/transcriptions"),
    _heard("audio_translations", "/audio/translations"),
    _row("audio_voices", "GET POST DELETE", "/audio/voices/**"),
    _row("audio_voices", "GET POST DELETE", "/audio/voice_consents/**"),
    _row("images", "POST", "/images/generations", has_model=True, model_is_optional=True),
    _row("images", "POST", "/images/edits", has_form=True, model_is_optional=True),
    _row("images", "POST", "/images/variations", has_form=True, model_is_optional=True),
    _row("file_content", "GET", "/files/*/content", answers_json=False),
    _row("files", "GET POST DELETE", "/files/**"),
    _row("moderations", "POST", "/moderations", has_model=True, model_is_optional=True),
    _row("batches", "GET POST", "/batches/**", generates=False),
    _row("fine_tuning", "POST", "/fine_tuning/jobs", has_model=True),
    _row("fine_tuning", "GET POST DELETE", "/fine_tuning/**"),
    _row("assistants", "POST", "/assistants", has_model=True),
    _row("assistants", "GET POST DELETE", "/assistants/**", has_model=True, model_is_optional=True),
    _row("threads", "POST", "/threads/runs", has_model=True, model_is_optional=True),
    _row("threads", "POST", "/threads/*/runs", has_model=True, model_is_optional=True),
    _row("threads", "POST", "/threads/*/runs/*/submit_tool_outputs"),
    _row("threads", "GET POST DELETE", "/threads/**", generates=False),
    _row("vector_stores", "GET POST DELETE", "/vector_stores/**"),
    _row("uploads", "POST", "/uploads/**"),
    _talk("/realtime/sessions"),
    _talk("/realtime/transcription_sessions", "input_audio_transcription"),
    _talk("/realtime/client_secrets", "session"),
    _talk("/realtime/translations/client_secrets", "session"),
    _talk("/realtime/calls/*/accept", answers_json=False),
    _row("realtime", "POST", "/realtime/calls/**", answers_json=False),
    _row("realtime", "GET POST", "/realtime/**"),
    _row("live", "GET POST", "/live/**", answers_json=False),
    _row("videos", "POST", "/videos", has_form=True, model_is_optional=True),
    _row("videos", "GET", "/videos/*/content", answers_json=False),
    _row("videos", "GET POST DELETE", "/videos/**"),
    _row("conversations", "GET POST DELETE", "/conversations/**"),
    _row("containers", "GET", "/containers/*/files/*/content", answers_json=False),
    _row("containers", "DELETE", "/containers/*", answers_json=False),
    _row("containers", "DELETE", "/containers/*/files/*", answers_json=False),
    _row("containers", "GET POST DELETE", "/containers/**"),
    _row("evals", "GET POST DELETE", "/evals/**"),
    _row("skills", "GET", "/skills/*/content", answers_json=False),
    _row("skills", "GET", "/skills/*/versions/*/content", answers_json=False),
    _row("skills", "GET POST DELETE", "/skills/**"),
    _row("chatkit", "GET POST DELETE", "/chatkit/**"),
    _row("agents", "GET", "/agents/sessions/*/artifacts/*/content", answers_json=False),
    _row("agents", "POST", "/agents/sessions/*/events", answers_json=False),
    _row("agents", "GET POST DELETE", "/agents/**"),
    _row("organization", "GET POST DELETE", "/organization/**"),
)


MOST_DECODINGS: Final = 8
"""How often a path is freed of percent escapes; one that has some even then is nobody's."""

_PARAMETERS: Final = re.compile(r";[^/?#]*|[?#].*", re.DOTALL)
_SLASHES: Final = re.compile(r"[/\\]+")
_ESCAPED_SLASHES: Final = re.compile(r"%(?:2f|5c)", re.IGNORECASE)


def find_operation(method: str, path: str) -> Operation:
    """Return the operation that `method` and `path` call; `OTHER` if no row fits.

    `path` is as the client sent it, below `/v1`, without a query. Whatever a server may take for a
    row's path is that row, or a spelling would get a call past the rules for it. Of several, the
    first in which a model is named is taken, or else the first, which is the narrowest; that its
    answer is JSON is promised where it is by all of them.
    """
    decode = cache(unquote)  # most readings are the same, and a long path takes 10 ms
    ways = product((True, False), repeat=2)
    readings = {_decoded(path, decode, drops_first=drops, keeps_ids=keeps) for drops, keeps in ways}
    found = [row for reading in readings if (row := _row_for(method, reading)) is not None]
    row = min(found, key=_looseness_of, default=OTHER)
    answers_json = all(other.answers_json for other in found)
    return row if row.answers_json <= answers_json else row._replace(answers_json=False)


def _looseness_of(row: Operation) -> tuple[bool, int]:
    return not (row.has_model or row.has_form), OPERATIONS.index(row)


def _decoded(path: str, decode: Callable[[str], str], *, drops_first: bool, keeps_ids: bool) -> str:
    """A path without escapes, as one kind of server takes it.

    An escaped letter is that letter (RFC 3986, 6.2.2.2). WSGI and ASGI decode slashes as well, and
    a proxy before them may have decoded once, a question mark too. To others an escaped slash is
    a letter of the id that it stands in (`keeps_ids`; here an asterisk, which no row's path has).
    Servlets drop what follows a semicolon in a segment before they decode it (`drops_first`).
    """
    for _ in range(MOST_DECODINGS):
        before = path
        if drops_first:
            path = _PARAMETERS.sub("", path)
        if keeps_ids:
            path = _ESCAPED_SLASHES.sub("*", path)
        path = decode(path)
        if path == before:
            break
    return path


def _row_for(method: str, path: str) -> Operation | None:
    """The first row that fits a decoded path, as the servers take it that forgive the most.

    Those behind a proxy that decoded drop parameters now, Express takes capitals for small letters,
    IIS a backslash for a slash, and most forgive doubled slashes, or one at the end.
    """
    path = _SLASHES.sub("/", _PARAMETERS.sub("", path.lower())).rstrip("/")
    root = _root_of(path)
    rows = _rows_of(root) if root in API_ROOTS else ()
    return next((row for row, pattern in rows if method in row.methods and pattern(path)), None)


def _root_of(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _pattern_of(path: str) -> re.Pattern[str]:
    stem, below = path.removesuffix("/**"), path.endswith("/**")
    steps = ("[^/]+" if step == "*" else re.escape(step) for step in stem.split("/"))
    return re.compile("/".join(steps) + (r"(?:/.*)?" if below else ""), re.DOTALL)


API_ROOTS: Final = frozenset(_root_of(row.path) for row in OPERATIONS)
"""First segments of the API's paths, which tell one without `/v1` from something else."""


@cache
def _rows_of(root: str) -> Sequence[tuple[Operation, Callable[[str], object]]]:
    """The rows below one of `API_ROOTS`; their patterns are compiled when a first call is there."""
    rows = (row for row in OPERATIONS if _root_of(row.path) == root)
    return tuple((row, _pattern_of(row.path).fullmatch) for row in rows)
