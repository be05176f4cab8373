"""The configuration as frozen values: which keys there are, what they accept, what is the default.

It decides what a value may be and which values go together. Where they come from is `load`'s
business.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from foxora_addon.api.endpoints import OPERATIONS, OTHER
from foxora_addon.audit.looks import compiled
from foxora_addon.audit.place import place_of
from foxora_addon.config.accounts import Account, Level, checked_accounts
from foxora_addon.config.amounts import PriceFigures
from foxora_addon.config.problems import Problem, described
from foxora_addon.config.references import path_of, signing_key_file_of, sources_of
from foxora_addon.config.section import BY_MODEL, Section
from foxora_addon.policy.hosts import (
    BaseUrl,
    HostPattern,
    canonical_host,
    is_loopback,
    parse_base_url,
    parse_host_pattern,
    parse_origin,
)
from foxora_addon.policy.presets import PRESETS

MOCK: Final = "mock"
"""The base URL that means the embedded mock gateway."""


_CALLS: Final = ("/chat/completions", "/responses", "/embeddings")


def _base_url_of(text: str) -> str:
    if text.strip() == MOCK:
        return MOCK
    url = parse_base_url(text.strip())
    for call in _CALLS:
        if url.path.endswith(call):
            base = url._replace(path=url.path.removesuffix(call))
            raise ValueError(f"is where a call goes; write its base, {base}")
    return str(url)


def _pattern_of(value: object) -> HostPattern:
    if not isinstance(value, str):
        raise Problem(f"must be a text, not {described(value)}")
    return parse_host_pattern(value)


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        raise ValueError(f"is not known; accepted: {', '.join(PRESETS)}")
    return name


def _own_name_of(text: str) -> str:
    name = canonical_host(text)
    if name is None:
        raise ValueError("is not a host name; write it without port, as in host.docker.internal")
    return name


def _issuer_of(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError("is not an issuer; write the iss of the JWTs, as in https://auth.example")
    return text


def _model_name(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("is not the name of a model; write it on one line, as in gpt-4o-mini")
    return text


def _pattern_that_compiles(text: str) -> str:
    compiled(text)
    return text


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(gt=0)]
OwnPattern = Annotated[str, AfterValidator(_pattern_that_compiles)]
ModelName = Annotated[str, AfterValidator(_model_name)]


class Gateway(Section):
    """Where Foxora is, and how long to wait for it. `base_url` is "mock" or without a last "/"."""

    base_url: Annotated[str, AfterValidator(_base_url_of)] = "https://api.foxora.ai/v1"
    allow_plain_http: bool = False
    allow_insecure_tls: bool = False
    connect_timeout_seconds: Seconds = 10.0
    tls_timeout_seconds: Seconds = 10.0
    response_timeout_seconds: Seconds = 600.0
    stream_idle_timeout_seconds: Seconds = 120.0
    exchange_timeout_seconds: Seconds | None = 3600.0
    retries: Annotated[int, Field(ge=0, le=10)] = 0

    @property
    def is_mock(self) -> bool:
        """Whether the embedded mock gateway is meant."""
        return self.base_url == MOCK

    @model_validator(mode="after")
    def _keeps_keys_private(self) -> Self:
        if self.is_mock or self.allow_plain_http:
            return self
        url = parse_base_url(self.base_url)
        if url.scheme == "http" and not is_loopback(url.host):
            text = "sends the key in clear; write https://, or set gateway.allow_plain_http: true"
            raise Problem(f"{described(self.base_url)} {text}", "base_url")
        return self


class Intercept(Section):
    """Which traffic is ours, and what a client's key that no account claims is worth."""

    hosts: tuple[Annotated[HostPattern, BeforeValidator(_pattern_of)], ...] = (
        HostPattern("api.openai.com"),
    )
    presets: tuple[Annotated[str, AfterValidator(_known_preset)], ...] = ("openai", "azure")
    paths: Literal["all", "api"] = "all"
    decrypt: Literal["ours", "all"] = "ours"
    unclaimed_keys: Literal["default", "refuse", "pass"] = "default"
    missing_key: Literal["refuse", "default"] = "refuse"
    jwt_issuers: tuple[Annotated[str, AfterValidator(_issuer_of)], ...] = ()
    max_request_bytes: Bytes = 104_857_600


class Listen(Section):
    """By which names the proxy may be called, and from which web origins, as browsers send.

    `grace_seconds` is how long open calls may take to finish once the program is told to end,
    `max_exchanges` how many may be open at once.
    """

    names: tuple[Annotated[str, AfterValidator(_own_name_of)], ...] = ()
    origins: tuple[Annotated[str, AfterValidator(parse_origin)], ...] = ()
    grace_seconds: Annotated[float, Field(ge=0, le=3_600)] = 10.0
    max_exchanges: Annotated[int, Field(ge=1, le=30_000)] = 2_000


class Models(Section):
    """What the gateway is asked for in place of the app's model.

    `default` is put in where a call names none and must.
    """

    map: Annotated[Mapping[str, ModelName], BY_MODEL] = Field(default_factory=dict)
    default: ModelName | None = None


class Limits(Section):
    """How ceilings are kept. `shadow` counts and records, and refuses nothing.

    `guard_seconds` is how much closer together two calls may reach the gateway than they left.
    `unknown_price` is for calls of models that neither the gateway nor `prices` has a price of.
    """

    store: Literal["memory"] = "memory"
    on_limit: Literal["refuse", "wait"] = "refuse"
    max_wait_seconds: Seconds = 30.0
    max_waiting: Annotated[int, Field(gt=0, le=100_000)] = 1_000
    shadow: bool = False
    ask_usage: bool = True
    refresh_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    guard_seconds: Annotated[float, Field(ge=0, le=30)] = 0.25
    unknown_price: Literal["allow", "refuse"] = "allow"


class Audit(Section):
    """The trail. `path` is below the working directory, or absolute, once loaded, and no link.

    `level` is how much of a call is kept, and `operations` of calls of certain kinds; see
    `policy.levels`. `max_body_bytes` is for each body of a record. `checkpoint_key` is the file of
    the key that checkpoints are signed with; None: none are.
    """

    path: Path = Field(default=Path("foxora-audit.jsonl"), validate_default=True)
    level: Level = "full"
    operations: Mapping[str, Level] = Field(default_factory=dict)
    max_body_bytes: Bytes = 1_048_576
    sync: Literal["none", "interval", "each"] = "interval"
    on_failure: Literal["refuse", "allow"] = "refuse"
    redact: tuple[Literal["secrets", "pii"], ...] = ("secrets",)
    patterns: Mapping[str, OwnPattern] = Field(default_factory=dict)
    rotate_bytes: Annotated[int, Field(ge=65_536)] | None = None
    rotate_seconds: Annotated[float, Field(ge=1)] | None = None
    compress: Literal["zstd", "none"] = "zstd"
    keep_segments: Annotated[int, Field(ge=0)] | None = None
    keep_days: Annotated[float, Field(gt=0)] | None = None
    checkpoint_key: Path | None = None
    checkpoint_path: Path | None = None
    checkpoint_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    checkpoint_records: Annotated[int, Field(ge=1)] | None = None

    @property
    def checkpoint_file(self) -> Path:
        """Where checkpoints go: beside the trail, unless another place is given."""
        return self.checkpoint_path or self.path.with_name(f"{self.path.name}.checkpoint")

    @field_validator("operations")
    @classmethod
    def _are_operations(cls, levels: Mapping[str, Level]) -> Mapping[str, Level]:
        known = sorted({operation.name for operation in OPERATIONS} | {OTHER.name})
        for name in levels:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(known)}"
                raise Problem(f"{described(name)} is no operation; {hint}")
        return levels

    @field_validator("patterns")
    @classmethod
    def _have_plain_names(cls, patterns: Mapping[str, str]) -> Mapping[str, str]:
        for name in patterns:
            if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) is None:
                raise Problem(
                    f"{described(name)} can't be a pattern's name; use up to 40 letters, digits, "
                    "dots, dashes and underscores"
                )
        return patterns

    @field_validator("path", mode="before")
    @classmethod
    def _trail_meant(cls, value: object, info: ValidationInfo) -> Path:
        return place_of(cls._path_meant(value, info))

    @classmethod
    def _path_meant(cls, value: object, info: ValidationInfo) -> Path:
        if not isinstance(value, str | Path):
            raise Problem(f"must be a path, not {described(value)}")
        sources = sources_of(info)
        return path_of(str(value), sources.cwd, sources.environ)

    @field_validator("checkpoint_path", mode="before")
    @classmethod
    def _checkpoint_path_meant(cls, value: object, info: ValidationInfo) -> Path | None:
        return None if value is None else cls._path_meant(value, info)

    @field_validator("checkpoint_key", mode="before")
    @classmethod
    def _is_a_signing_key(cls, reference: object, info: ValidationInfo) -> Path | None:
        return None if reference is None else signing_key_file_of(reference, sources_of(info))

    @model_validator(mode="after")
    def _checkpoints_can_be_signed(self) -> Self:
        if self.checkpoint_key is None:
            for name in ("checkpoint_path", "checkpoint_seconds", "checkpoint_records"):
                if getattr(self, name) != Audit.model_fields[name].default:
                    raise Problem("needs audit.checkpoint_key: {file: PATH}", name)
        if self.checkpoint_path is not None and self.checkpoint_path in _files_of(self.path):
            raise Problem("is a file of the trail's own; give another path", "checkpoint_path")
        return self


def _files_of(trail: Path) -> set[Path]:
    beside = (".head", ".state.json", ".next")
    return {trail, *(trail.with_name(f"{trail.name}{ending}") for ending in beside)}


class Settings(Section):
    """All that a configuration file can say, one field for each section."""

    gateway: Gateway = Gateway()
    intercept: Intercept = Intercept()
    listen: Listen = Listen()
    models: Models = Models()
    prices: Annotated[Mapping[str, PriceFigures], BY_MODEL] = Field(default_factory=dict)
    accounts: tuple[Account, ...]
    limits: Limits = Limits()
    audit: Audit = Audit()

    @field_validator("accounts")
    @classmethod
    def _stand_side_by_side(cls, accounts: tuple[Account, ...]) -> tuple[Account, ...]:
        return checked_accounts(accounts)


class AuditAlone(Section):
    """The audit section of a configuration whose other sections do not matter."""

    model_config = ConfigDict(extra="ignore")

    audit: Audit


class Config(Settings):
    """The configuration in force.

    `file` is the YAML file that was read, None without one; `is_blank`: nothing is set in it;
    `lists_accounts`: the accounts are its own, and not the single one of FOXORA_API_KEY.
    `origin_base_url` is where the proxy's own environment sends OpenAI clients. `warnings` are
    lines for the log.
    """

    file: Path | None = None
    is_blank: bool = False
    lists_accounts: bool = False
    origin_base_url: BaseUrl | None = None
    warnings: tuple[str, ...] = ()

    @property
    def default_account(self) -> Account | None:
        """The account that takes what no client entry claims."""
        return next((account for account in self.accounts if account.default), None)
