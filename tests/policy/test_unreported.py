"""What of a usage is charged, where several calls are told of it."""

from foxora_addon.api.endpoints import find_operation
from foxora_addon.api.usage import Usage
from foxora_addon.exchange import Exchange, RequestLine
from foxora_addon.policy.plans import UNLIMITED
from foxora_addon.policy.recognise import Recognised
from foxora_addon.policy.scopes import Scope
from foxora_addon.policy.unreported import Unreported
from tests.builders import an_exchange

COUNTED = Usage(10, 0, 10, "counted")


def a_call(method: str, path: str, account: str = "acme") -> Exchange:
    exchange = an_exchange(scopes=(Scope(account, account, UNLIMITED),))
    exchange.line = RequestLine(method, path, "HTTP/1.1")
    exchange.call = Recognised(find_operation(method, path), path, "")
    return exchange


def asked(account: str = "acme") -> Exchange:
    return a_call("POST", "/responses", account)


def read(account: str = "acme") -> Exchange:
    return a_call("GET", "/responses/resp_1", account)


def test_each_call_that_reads_an_answer_is_charged_what_is_new() -> None:
    unreported = Unreported()
    assert unreported.new_usage(asked(), COUNTED, "resp_1") == COUNTED
    rests = [
        unreported.new_usage(read(), Usage(12, told, 12 + told), "resp_1")
        for told in (0, 0, 7, 7, 9)
    ]
    assert rests == [Usage(2, 0, 2), None, Usage(0, 7, 7), None, Usage(0, 2, 2)]


def test_an_answer_is_known_by_its_id_within_its_account() -> None:
    unreported = Unreported()
    unreported.new_usage(asked(), COUNTED, "resp_1")
    told = Usage(10, 5, 15)
    assert unreported.new_usage(read("other"), told, "resp_1") is None
    assert unreported.new_usage(read(), told, "resp_2") is None
    assert unreported.new_usage(read(), told, None) is None
    assert unreported.new_usage(read(), told, "resp_1") == Usage(0, 5, 5)


def test_an_answer_without_an_id_is_not_looked_for() -> None:
    unreported = Unreported()
    assert unreported.new_usage(asked(), COUNTED, None) == COUNTED
    assert unreported.new_usage(read(), Usage(10, 5, 15), None) is None


def test_so_many_answers_are_known_and_no_more() -> None:
    unreported = Unreported(most_answers=2)
    for name in ("resp_1", "resp_2", "resp_3"):
        unreported.new_usage(asked(), COUNTED, name)
    told = Usage(10, 5, 15)
    rests = [unreported.new_usage(read(), told, name) for name in ("resp_1", "resp_2", "resp_3")]
    assert rests == [None, Usage(0, 5, 5), Usage(0, 5, 5)]


def test_what_nobody_pays_for_stays_as_it_was_told() -> None:
    call = a_call("GET", "/responses/resp_1")
    call.scopes = ()
    assert Unreported().new_usage(call, Usage(10, 5, 15), "resp_1") == Usage(10, 5, 15)
