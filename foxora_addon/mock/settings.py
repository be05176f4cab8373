"""What a mock gateway is told before it starts: accounts, models, windows and habits.

Values only. It knows nothing of files or command lines: whoever reads those hands over a mapping.
"""

from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PlanName = Literal["free", "pro", "team"]
Text = Annotated[str, Field(min_length=1)]
Ceiling = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's ceilings; None means none (foxora-api.md, Rate limits and Spend)."""

    label: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    monthly_spend_cap_usd: Decimal | None


PLANS: dict[PlanName, Plan] = {
    "free": Plan("Free", 30, 40_000, Decimal(1)),
    "pro": Plan("Pro", 300, 400_000, None),
    "team": Plan("Team", 1_500, 2_000_000, None),
}
_NO_PLAN = Plan("Custom", None, None, None)


class _Values(BaseModel):
    # Inputs stay out of error texts: they may be keys.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class AccountSettings(_Values):
    """An account: who pays, and up to where. A figure of its own goes before its plan's."""

    name: Text
    keys: tuple[Text, ...] = Field(default=(), repr=False)
    plan: PlanName | None = None
    requests_per_minute: Ceiling | None = None
    tokens_per_minute: Ceiling | None = None
    monthly_spend_cap_usd: Money | None = None
    email: str = "ada@example.org"

    def ceilings(self) -> Plan:
        """The figures in force: the account's own, else the plan's, else None for no ceiling."""
        plan = PLANS[self.plan] if self.plan else _NO_PLAN
        return Plan(
            plan.label,
            _first(self.requests_per_minute, plan.requests_per_minute),
            _first(self.tokens_per_minute, plan.tokens_per_minute),
            _first(self.monthly_spend_cap_usd, plan.monthly_spend_cap_usd),
        )


def _first[T](own: T | None, plans: T | None) -> T | None:
    return plans if own is None else own


class ModelSettings(_Values):
    """A model that the gateway serves, with its prices in USD per 1,000 tokens."""

    id: Text
    provider: Text = "openai"
    context_window: Ceiling = 128_000
    input_per_1k_usd: Money = Decimal(0)
    output_per_1k_usd: Money = Decimal(0)
    supports: tuple[str, ...] = ("chat", "tools", "vision", "json_mode")


def _model(name: str, provider: str, window: int, prices: str, *supports: str) -> ModelSettings:
    """A row of the table below; `prices` are input and output, split by a slash."""
    price_in, price_out = map(Decimal, prices.split("/"))
    return ModelSettings(
        id=name,
        provider=provider,
        context_window=window,
        input_per_1k_usd=price_in,
        output_per_1k_usd=price_out,
        supports=supports,
    )


_CHAT = ("chat", "tools", "vision", "json_mode")
MODELS = (
    _model("gpt-4o-mini", "openai", 128_000, "0.00015/0.0006", *_CHAT),
    _model("gpt-4o", "openai", 128_000, "0.0025/0.01", *_CHAT),
    _model("gpt-4.1-mini", "openai", 1_047_576, "0.0004/0.0016", *_CHAT),
    _model("gpt-4.1", "openai", 1_047_576, "0.002/0.008", *_CHAT),
    _model("gpt-4.1-nano", "openai", 1_047_576, "0.0001/0.0004", *_CHAT),
    _model("gpt-5", "openai", 400_000, "0.00125/0.01", *_CHAT),
    _model("gpt-5-mini", "openai", 400_000, "0.00025/0.002", *_CHAT),
    _model("gpt-5-nano", "openai", 400_000, "0.00005/0.0004", *_CHAT),
    _model("gpt-3.5-turbo", "openai", 16_385, "0.0005/0.0015", "chat", "tools", "json_mode"),
    _model("claude-sonnet-4", "anthropic", 200_000, "0.003/0.015", *_CHAT),
    _model("gemini-2.5-flash", "google", 1_048_576, "0.0003/0.0025", *_CHAT),
    _model("text-embedding-3-small", "openai", 8_191, "0.00002/0", "embeddings"),
    _model("text-embedding-3-large", "openai", 8_191, "0.00013/0", "embeddings"),
    _model("text-embedding-ada-002", "openai", 8_191, "0.0001/0", "embeddings"),
    _model("gpt-image-1", "openai", 32_000, "0.005/0.04", "images"),
    _model("dall-e-3", "openai", 4_000, "0/0.04", "images"),
    _model("dall-e-2", "openai", 4_000, "0/0.02", "images"),
    _model("gpt-4o-mini-tts", "openai", 2_000, "0.0006/0", "speech"),
    _model("tts-1", "openai", 4_096, "0.015/0", "speech"),
    _model("gpt-4o-transcribe", "openai", 16_000, "0.0025/0.01", "transcription"),
    _model("gpt-4o-mini-transcribe", "openai", 16_000, "0.00125/0.005", "transcription"),
    _model("whisper-1", "openai", 16_000, "0/0.006", "transcription"),
    _model("omni-moderation-latest", "openai", 32_768, "0/0", "moderation"),
)
"""The default list. Only the first row's figures are documented (foxora-api.md, Routes)."""


class MockSettings(_Values):
    """All that can be set; the defaults take any key and know no ceilings.

    `window` is how the minute of a ceiling runs, `tokens_counted` when a call's tokens enter it.
    `include_usage` is what `stream_options.include_usage` meets. Log bodies past `log_bytes` in
    total push the oldest entries out, as does the entry past `log_size`.
    """

    accounts: tuple[AccountSettings, ...] = ()
    accept_any_key: bool = True
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)] = MODELS
    window: Literal["fixed", "sliding"] = "fixed"
    tokens_counted: Literal["start", "end"] = "start"
    include_usage: Literal["honoured", "ignored", "refused"] = "honoured"
    chunk_delay_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0
    log_size: Annotated[int, Field(ge=1)] = 10_000
    log_bytes: Annotated[int, Field(ge=1)] = 256 * 1024 * 1024

    @classmethod
    def from_mapping(cls, mapping: object) -> Self:
        """The settings that a mapping (of a YAML file, say) spells out.

        Raises ValueError with one line: the place, what is wrong there, what would be accepted.
        It never quotes a value, for a value may be a key.
        """
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise ValueError(_line_of(error)) from None

    @model_validator(mode="after")
    def _names_and_keys_are_unique(self) -> Self:
        owners: dict[str, str] = {}
        names = set()
        for account in self.accounts:
            if account.name in names:
                raise ValueError(f"two accounts are named '{account.name}'; names must differ")
            names.add(account.name)
            for key in account.keys:
                owner = owners.setdefault(key, account.name)
                if owner != account.name:
                    raise ValueError(f"accounts '{owner}' and '{account.name}' share a key")
        return self


_PARTS: dict[str, type[_Values]] = {"accounts": AccountSettings, "models": ModelSettings}


def _line_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = first["loc"]
    where = ".".join(map(str, place)) or "settings"
    if first["type"] == "model_type":
        return f"{where}: must be a mapping of keys to values"
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    owner = _PARTS[str(place[0])] if len(place) > 1 else MockSettings
    known = list(owner.model_fields)
    nearest = get_close_matches(str(place[-1]), known, n=1)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    return f"{where}: unknown key; {hint}Known keys: {', '.join(known)}"
