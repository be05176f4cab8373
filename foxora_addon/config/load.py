"""Puts a configuration together: option over environment over YAML over default.

It reads the YAML file and key files, and nothing else: options, environment and working directory
are arguments.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from foxora_addon.config.contents import beginning_of
from foxora_addon.config.document import Document, parse_document
from foxora_addon.config.models import MOCK, Audit, AuditAlone, Config, Settings
from foxora_addon.config.problems import ConfigError, Loc, Origins, config_error, one_line
from foxora_addon.config.references import Sources, path_of
from foxora_addon.policy.hosts import BaseUrl, parse_base_url

_DEFAULT_FILE: Final = "foxora.yaml"
_MISNAMED_FILE: Final = "foxora.yml"
_MAX_FILE_BYTES: Final = 1_048_576
_OVERRIDES: Final[dict[tuple[str, str], tuple[str, str]]] = {
    ("gateway", "base_url"): ("foxora_base_url", "FOXORA_BASE_URL"),
    ("audit", "path"): ("foxora_audit", "FOXORA_AUDIT"),
    ("limits", "store"): ("foxora_store", "FOXORA_STORE"),
}
_MISNAMED: Final = (
    f"{_MISNAMED_FILE} is not read: rename it to {_DEFAULT_FILE}, or name it by FOXORA_CONFIG"
)
_NO_KEY: Final = (
    "the environment variable FOXORA_API_KEY is not set; export it, or list accounts with their "
    "keys in foxora.yaml, or try --set foxora_base_url=mock, which needs no key"
)


def load(
    options: Mapping[str, str | None],
    environ: Mapping[str, str],
    cwd: Path,
    *,
    is_live: bool = False,
    opens_keys: bool = True,
) -> Config:
    """Return the configuration in force; raises ConfigError, and nothing else.

    `options` holds `foxora_config`, `foxora_base_url`, `foxora_audit` and `foxora_store`; None and
    "" are not given, as an empty environment variable is not. `~` is HOME. Relative paths begin at
    `cwd`, those of key files at the folder of the YAML file. `is_live`: calls are open, which no
    file may hold up. `opens_keys` False is for who sends nothing: no key need be there, and none is
    in what is returned.
    """
    file, shown = _file_named(options, environ, cwd)
    if file is None and os.path.lexists(cwd / _MISNAMED_FILE):
        raise ConfigError(_MISNAMED)
    document = Document({}, {}) if file is None else _document_in(file, shown, is_live=is_live)
    is_blank = file is not None and not any(document.tree.values())
    tree, labels = _overlaid(document.tree, options, environ)
    gateway = tree.get("gateway")
    is_mock = isinstance(gateway, dict) and str(gateway.get("base_url")).strip() == MOCK
    lacks_key = False
    lists_accounts = tree.get("accounts", ()) != ()
    if not lists_accounts:
        lacks_key = not environ.get("FOXORA_API_KEY") and not is_mock
        tree["accounts"] = ({"name": "default", "key": {"env": "FOXORA_API_KEY"}},)
        labels["accounts", 0, "key"] = ""
    origins = Origins(shown if file else None, document.lines, labels)
    folder = file.parent if file else cwd
    sources = Sources(
        environ,
        folder,
        cwd,
        is_mock or lacks_key,
        opens_keys=opens_keys,
        opens_signing_keys=opens_keys,
        is_live=is_live,
    )
    settings = _settings_of(tree, sources, origins)
    if lacks_key and opens_keys:  # said last: a mistake in the file may be why the key is missed
        raise ConfigError(_NO_KEY)
    origin, warnings = _origin_of(environ.get("OPENAI_BASE_URL", ""))
    return Config.model_construct(
        **dict(settings),
        file=file,
        is_blank=is_blank,
        lists_accounts=lists_accounts,
        origin_base_url=origin,
        warnings=warnings,
    )


def file_of(
    options: Mapping[str, str | None], environ: Mapping[str, str], cwd: Path
) -> Path | None:
    """Return the file that `load` reads, or None; raises ConfigError."""
    return _file_named(options, environ, cwd)[0]


def load_audit(environ: Mapping[str, str], cwd: Path, *, is_live: bool = False) -> Audit:
    """Return the audit section alone, for who reads the trail and need not have any key.

    `is_live` as in `load`. Raises ConfigError, and nothing else.
    """
    file, shown = _file_named({}, environ, cwd)
    document = Document({}, {}) if file is None else _document_in(file, shown, is_live=is_live)
    tree, labels = _overlaid(document.tree, {}, environ)
    origins = Origins(shown if file else None, document.lines, labels)
    sources = Sources(environ, file.parent if file else cwd, cwd, opens_signing_keys=False)
    try:
        return AuditAlone.model_validate(tree, context=sources).audit
    except ValidationError as error:
        problem = config_error(error, AuditAlone, origins)
    raise problem  # as in `_settings_of`


def _given(
    option: str, variable: str, options: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return a value that stands outside the file, and the words for where it stands."""
    if value := options.get(option):
        return value, f"option {option}"
    if value := environ.get(variable):
        return value, f"environment variable {variable}"
    return None


def _file_named(
    options: Mapping[str, str | None], environ: Mapping[str, str], cwd: Path
) -> tuple[Path | None, str]:
    """Return the file to read, or None, and its name in messages."""
    given = _given("foxora_config", "FOXORA_CONFIG", options, environ)
    if given is None:
        file = cwd / _DEFAULT_FILE
        # A link that leads nowhere is a mistake, not the absence of a configuration.
        return (file if os.path.lexists(file) else None), _DEFAULT_FILE
    text, label = given
    try:
        return path_of(text, cwd, environ), text
    except ValueError as error:
        raise ConfigError(f"{label}: the given text {error}") from None


def _document_in(file: Path, shown: str, *, is_live: bool = False) -> Document:
    try:
        raw = beginning_of(file, _MAX_FILE_BYTES + 1, is_live=is_live)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(one_line(f"{shown}: can't be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(one_line(f"{shown}:{line}: not UTF-8 text")) from None
    if len(raw) > _MAX_FILE_BYTES:
        raise ConfigError(one_line(f"{shown}: too large for a configuration"))
    return parse_document(text, shown)


def _overlaid(
    tree: Mapping[str, object], options: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[dict[str, object], dict[Loc, str]]:
    """Return the tree with options and environment put over it, and the words for those.

    A section without anything in it counts as not given.
    """
    merged = {k: v for k, v in tree.items() if v is not None or k not in Settings.model_fields}
    merged.setdefault("audit", {})  # its default path, too, begins at the working directory
    labels: dict[Loc, str] = {}
    for (section, key), names in _OVERRIDES.items():
        below = merged.get(section, {})
        given = _given(*names, options, environ)
        if given is not None and isinstance(below, dict):
            merged[section] = {**below, key: given[0]}
            labels[section, key] = given[1]
    return merged, labels


def _settings_of(tree: dict[str, object], sources: Sources, origins: Origins) -> Settings:
    try:
        return Settings.model_validate(tree, context=sources)
    except ValidationError as error:
        problem = config_error(error, Settings, origins)
    raise problem  # here, and not as the consequence of an error that holds the values


def _origin_of(text: str) -> tuple[BaseUrl | None, tuple[str, ...]]:
    """Return where OPENAI_BASE_URL points, or a warning why that can't be said."""
    if not text.strip():
        return None, ()
    try:
        return parse_base_url(text.strip()), ()
    except ValueError as error:
        return None, (f"OPENAI_BASE_URL of the proxy's environment is ignored: it {error}",)
