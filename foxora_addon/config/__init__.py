"""The configuration: YAML, environment and options as one frozen value.

Whoever reads it imports from here; the modules below are its own affair.
"""

from foxora_addon.config.accounts import Account, AccountLimits, CeilingFigures, Client, Plan
from foxora_addon.config.amounts import PriceFigures
from foxora_addon.config.changes import why_not_live
from foxora_addon.config.load import file_of, load, load_audit
from foxora_addon.config.models import (
    MOCK,
    Audit,
    Config,
    Gateway,
    Intercept,
    Limits,
    Listen,
    Models,
)
from foxora_addon.config.problems import ConfigError

__all__ = [
    "MOCK",
    "Account",
    "AccountLimits",
    "Audit",
    "CeilingFigures",
    "Client",
    "Config",
    "ConfigError",
    "Gateway",
    "Intercept",
    "Limits",
    "Listen",
    "Models",
    "Plan",
    "PriceFigures",
    "file_of",
    "load",
    "load_audit",
    "why_not_live",
]
