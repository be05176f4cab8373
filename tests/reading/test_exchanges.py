from foxora_addon.reading.exchanges import Pairing, Recorded
from tests.reading.builders import a_request, a_response


def test_an_exchange_ends_with_its_response() -> None:
    pairing = Pairing()
    assert pairing.take(a_request("a")) is None
    assert pairing.take(a_request("b")) is None
    ended = pairing.take(a_response("a"))
    assert ended is not None
    assert (ended.id, ended.outcome) == ("a", "completed")
    assert [(open_one.id, open_one.outcome) for open_one in pairing.rest()] == [("b", "open")]


def test_only_open_exchanges_are_held() -> None:
    pairing = Pairing()
    for number in range(1_000):
        pairing.take(a_request(f"x{number}"))
        pairing.take(a_response(f"x{number}"))
    assert len(pairing) == 0


def test_a_response_whose_request_is_gone_stands_alone() -> None:
    alone = Pairing().take(a_response("a"))
    assert alone is not None
    assert (alone.request, alone.account, alone.client) == (None, "acme", None)


def test_a_record_of_another_kind_is_passed_over() -> None:
    assert Pairing().take({"event": "message", "exchange": "a"}) is None


def test_what_it_was_looked_for_may_stand_in_either_record() -> None:
    for in_request, in_response in ((True, False), (False, True)):
        pairing = Pairing()
        pairing.take(a_request(), found=in_request)
        ended = pairing.take(a_response(), found=in_response)
        assert ended is not None
        assert ended.found


def test_fields_that_are_missing_or_odd_are_none() -> None:
    odd = Recorded(
        {"exchange": "x", "client": 1, "decision": []}, {"usage": "none", "status": True}
    )
    assert odd.client is None
    assert odd.waited_ms is None
    assert odd.total_tokens is None
    assert odd.status is None
    assert odd.tags == []


def test_labels_are_read_in_each_of_their_forms() -> None:
    for given, labels in ((["a", "b"], ["a", "b"]), ({"team": "x"}, ["team=x"]), ("a", ["a"])):
        assert Recorded(a_request(tags=given), None).tags == labels
