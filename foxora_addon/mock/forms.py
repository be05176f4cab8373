"""Reads a form, as clients upload files: fields of text, and files."""

from dataclasses import dataclass

from tornado.httputil import HTTPFile, HTTPInputError, parse_body_arguments

from foxora_addon.mock.fields import RequestError


@dataclass(frozen=True, slots=True)
class Form:
    """A form's texts and files, the last of each name. A name's `[]` at its end is left out."""

    texts: dict[str, str]
    files: dict[str, HTTPFile]

    def text(self, name: str, usual: str | None = None) -> str:
        """The field's text, or the usual one where it is not given; raises RequestError."""
        value = self.texts.get(name) or usual
        if value is None:
            raise RequestError(f"The '{name}' field is required.", name)
        return value

    def file(self, name: str) -> HTTPFile:
        """The field's file; raises RequestError."""
        if name not in self.files:
            raise RequestError(f"The '{name}' field must be a file of a multipart form.", name)
        return self.files[name]


def parse_form(body: bytes, content_type: str | None) -> Form:
    """The form in a body of that type; raises RequestError."""
    kind, _, parameters = (content_type or "").partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise RequestError("The request body must be a multipart form.")
    texts: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    try:
        parse_body_arguments(f"multipart/form-data;{parameters}", body, texts, files)
    except HTTPInputError:
        raise RequestError("The request body is not a valid multipart form.") from None
    return Form(
        {_plain(name): values[-1].decode("utf-8", "replace") for name, values in texts.items()},
        {_plain(name): values[-1] for name, values in files.items()},
    )


def _plain(name: str) -> str:
    return name.removesuffix("[]")
