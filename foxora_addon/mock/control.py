"""The mock's own routes under `/_mock/`: what it offers, its log, faults in waiting, a fresh start.

They are for tests and people, ask for no token, and stand in no log.
"""

import json
from itertools import islice
from urllib.parse import parse_qs

from foxora_addon.mock.answers import Answer, error_answer, json_answer, plain_answer
from foxora_addon.mock.faults import faults_of, vocabulary
from foxora_addon.mock.fields import Json
from foxora_addon.mock.gateway import Gateway
from foxora_addon.mock.octets import png
from foxora_addon.mock.profile import money_json
from foxora_addon.mock.received import Received
from foxora_addon.mock.settings import AccountSettings

PREFIX = "/_mock/"

_OFFERS = {
    "GET /_mock/": "this page",
    "GET /_mock/log": "what was received, oldest first; ?last=N for the newest N",
    "GET /_mock/picture.png": "the picture that answers name by its URL",
    "POST /_mock/faults": "a JSON list of faults, one for each of the next requests",
    "POST /_mock/reset": "forget the log, the faults and all use",
}


def control_answer(gateway: Gateway, received: Received) -> Answer:
    """The answer to a request under `/_mock/`."""
    match received.method, received.path:
        case "GET", "/_mock/":
            return json_answer(_overview(gateway))
        case "GET", "/_mock/log":
            return _log(gateway, received.query)
        case "GET", "/_mock/picture.png":
            return plain_answer(200, (("content-type", "image/png"),), png(1024, 1024))
        case "POST", "/_mock/faults":
            return _queue(gateway, received.body)
        case "POST", "/_mock/reset":
            gateway.reset()
            return json_answer({"reset": True})
        case method, path:
            offers = ", ".join(_OFFERS)
            return error_answer(404, f"There is no {method} {path} here, but: {offers}.")


def _overview(gateway: Gateway) -> Json:
    settings = gateway.settings
    return {
        "name": "foxora mock gateway",
        "routes": _OFFERS,
        "faults": {"header": "x-mock-fault: status=503;retry-after=2", "words": vocabulary()},
        "faults_in_waiting": len(gateway.faults),
        "received": len(gateway.log),
        "accept_any_key": settings.accept_any_key,
        "window": settings.window,
        "tokens_counted": settings.tokens_counted,
        "include_usage": settings.include_usage,
        "accounts": [_account_json(account) for account in settings.accounts],
        "models": [model.id for model in settings.models],
    }


def _account_json(account: AccountSettings) -> Json:
    limits = account.ceilings()
    return {
        "name": account.name,
        "keys": len(account.keys),
        "plan": account.plan,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "monthly_spend_cap_usd": money_json(limits.monthly_spend_cap_usd),
    }


def _log(gateway: Gateway, query: str) -> Answer:
    given = parse_qs(query).get("last", [str(len(gateway.log))])[-1]
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        return error_answer(400, "The 'last' parameter must be a whole number.", param="last")
    skipped = max(len(gateway.log) - int(given), 0)
    return json_answer([each.json() for each in islice(gateway.log, skipped, None)])


def _queue(gateway: Gateway, body: bytes) -> Answer:
    try:
        faults = faults_of(json.loads(body))
    except (ValueError, RecursionError) as error:
        return error_answer(400, str(error))
    gateway.faults.extend(faults)
    return json_answer({"queued": len(faults), "in_waiting": len(gateway.faults)})
