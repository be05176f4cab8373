"""What a configuration means for one exchange: worked out once, when the configuration changes.

Pure. Which addresses the proxy listens on is told from outside, since only the host knows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from foxora_addon.audit.redaction import Redactor
from foxora_addon.config import MOCK, Account, CeilingFigures, Config
from foxora_addon.policy.accounts import AccountBook
from foxora_addon.policy.hosts import BaseUrl, HostPattern, parse_base_url
from foxora_addon.policy.keys import key_digest
from foxora_addon.policy.levels import Levels
from foxora_addon.policy.payers import AccountRules, LimitRules
from foxora_addon.policy.plans import PLANS, UNLIMITED, Ceilings
from foxora_addon.policy.presets import PRESETS
from foxora_addon.policy.recognise import Outside, Place, Territory, territory_of
from foxora_addon.policy.rewrite import OwnKeys
from foxora_addon.policy.spend_report import cap_of_plan
from foxora_addon.policy.spending import PriceRules
from foxora_addon.policy.timeouts import Timeouts
from foxora_addon.policy.validation import ModelRules
from foxora_addon.policy.waiting import Bounds

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force. `keys` are the accounts' own; `max_body_bytes` is what a record keeps."""

    territory: Territory
    accounts: AccountBook
    models: ModelRules
    gateway: BaseUrl
    redactor: Redactor
    limits: LimitRules
    guard_seconds: float
    asks_usage: bool
    timeouts: Timeouts
    retries: int
    max_exchanges: int
    keys: Mapping[str, str] = field(repr=False)
    own_keys: OwnKeys
    max_request_bytes: int
    max_body_bytes: int
    levels: Levels
    needs_record: bool


def rules_of(config: Config, own_names: Iterable[str], mock_url: str | None = None) -> Rules:
    """Work out the rules.

    `own_names` are the addresses that the proxy listens on, apart from the loopback names.
    `mock_url` is where the embedded mock gateway is; it must be given where the configuration
    means that one.
    """
    base_url = config.gateway.base_url
    if base_url == MOCK:
        if mock_url is None:
            raise ValueError("the mock gateway's URL is not known")
        base_url = mock_url
    gateway = parse_base_url(base_url)
    names = LOOPBACK_NAMES | set(own_names) | set(config.listen.names)
    return Rules(
        territory=territory_of(_places(config, gateway), names, config.listen.origins),
        accounts=AccountBook.of(config),
        models=ModelRules(config.models.map, config.models.default),
        gateway=gateway,
        redactor=Redactor(
            (account.key.get_secret_value() for account in config.accounts),
            presets=config.audit.redact,
            patterns=tuple(config.audit.patterns.items()),
        ),
        limits=_limit_rules_of(config),
        guard_seconds=config.limits.guard_seconds,
        asks_usage=config.limits.ask_usage,
        timeouts=_timeouts_of(config),
        retries=config.gateway.retries,
        max_exchanges=config.listen.max_exchanges,
        keys={account.name: account.key.get_secret_value() for account in config.accounts},
        own_keys=OwnKeys(account.key.get_secret_value() for account in config.accounts),
        max_request_bytes=config.intercept.max_request_bytes,
        max_body_bytes=config.audit.max_body_bytes,
        levels=Levels.of(config),
        needs_record=config.audit.on_failure == "refuse",
    )


def _timeouts_of(config: Config) -> Timeouts:
    given = config.gateway
    return Timeouts(
        connect=given.connect_timeout_seconds,
        tls=given.tls_timeout_seconds,
        response=given.response_timeout_seconds,
        stream_idle=given.stream_idle_timeout_seconds,
        exchange=given.exchange_timeout_seconds,
    )


def _limit_rules_of(config: Config) -> LimitRules:
    limits = config.limits
    longest_call = _timeouts_of(config).longest_call
    bounds = Bounds(limits.max_waiting, limits.max_wait_seconds, longest_call)
    return LimitRules(
        accounts={account.name: account_rules_of(account) for account in config.accounts},
        bounds=bounds if limits.on_limit == "wait" else None,
        is_shadow=limits.shadow,
        prices=PriceRules(
            {model: row.price for model, row in config.prices.items()},
            refuses_unknown=limits.unknown_price == "refuse",
            is_shadow=limits.shadow,
        ),
    )


def account_rules_of(account: Account) -> AccountRules:
    """The plan's ceilings, with the account's own figures over them.

    Figures alone are all that is meant: then no plan is asked for unless it says so.
    """
    plan = PLANS.get(account.plan, UNLIMITED)
    has_figures = _ceilings_of(account.limits) != UNLIMITED
    cap_usd = account.limits.monthly_spend_cap_usd
    return AccountRules(
        ceilings=_ceilings_of(account.limits).over(plan),
        asks=account.plan == "auto" and (not has_figures or "plan" in account.model_fields_set),
        models={name: _ceilings_of(figures) for name, figures in account.limits.models.items()},
        clients={name: _ceilings_of(client.limits) for name, client in account.named_clients()},
        client_marks={
            name: client.key_digest or str(client.address)
            for name, client in account.named_clients()
            if client.name is None  # its place in the list names it, which an edit may change
        },
        cap_usd=cap_of_plan(account.plan) if cap_usd is None else cap_usd,
        key_digest=key_digest(account.key.get_secret_value()),
    )


def _ceilings_of(figures: CeilingFigures) -> Ceilings:
    return Ceilings(
        figures.requests_per_minute, figures.tokens_per_minute, figures.concurrent_requests
    )


def _places(config: Config, gateway: BaseUrl) -> Iterable[Place]:
    """The hosts whose API is ours. A host that is listed by name is an API and nothing else."""
    outside: Outside = "ours" if config.intercept.paths == "all" else "if shaped"
    for pattern in config.intercept.hosts:
        yield Place(pattern, ("/openai/v1", "/openai", "/v1"), outside)
    for name in config.intercept.presets:
        preset = PRESETS[name]
        prefixes = tuple(sorted(preset.prefixes, key=len, reverse=True))
        for pattern in preset.hosts:
            yield Place(pattern, prefixes, outside if name == "openai" else "foreign")
    for url in (gateway, config.origin_base_url):
        if url is not None:
            yield Place(HostPattern(url.host, url.port), (url.path,))


def gateway_path(gateway: BaseUrl, path: str, query: str) -> str:
    """Path and query at the gateway for a path below the API's root."""
    target = gateway.path + path
    return f"{target}?{query}" if query else target


def gateway_origin(gateway: BaseUrl) -> str:
    """Scheme, host and port of the gateway, as a URL begins with them."""
    return str(BaseUrl(gateway.scheme, gateway.host, gateway.port, ""))
