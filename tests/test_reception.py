"""What a head comes to, the first time and each time that it comes again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.framing import framing_of, written
from foxora_addon.policy.hosts import parse_base_url
from foxora_addon.policy.levels import Levels
from foxora_addon.policy.recognise import Head
from foxora_addon.policy.rewrite import PLACEHOLDER
from foxora_addon.policy.validation import ModelRules
from foxora_addon.reception import Arrival, Received, Reception, given_head
from tests.builders import APP_KEY, a_head, an_arrival, some_rules

KEY = (b"authorization", b"Bearer " + APP_KEY.encode())


def received(reception: Reception, arrival: Arrival) -> Received:
    found = reception.receive(arrival)
    assert found is not None
    return found


def with_length(length: bytes, *others: tuple[bytes, bytes]) -> Arrival:
    return an_arrival(fields=((b"Host", b"x"), (b"Content-Length", length), KEY, *others))


def test_a_head_that_comes_again_comes_to_the_same_but_for_its_length() -> None:
    reception = Reception(some_rules())
    first, second = with_length(b"10"), with_length(b"2000")
    assert received(reception, first) is received(reception, second)
    elsewhere = received(reception, second._replace(port=40_002))
    assert elsewhere is received(reception, first)
    assert given_head(received(reception, first), first).fields == (
        (b"Host", b"api.foxora.ai"),
        (b"Content-Length", b"10"),
        (b"accept-encoding", b"identity"),
        (b"authorization", PLACEHOLDER.encode()),
    )
    assert given_head(received(reception, second), second).fields[1] == (b"Content-Length", b"2000")


def test_several_lengths_stay_what_they_are() -> None:
    arrival = with_length(b"10", (b"content-length", b"11"))
    fields = given_head(received(Reception(some_rules()), arrival), arrival).fields
    assert fields[1:3] == ((b"Content-Length", b"10"), (b"content-length", b"11"))


@pytest.mark.parametrize("length", [b"10", b"0", b"", b"010", b"-1", b"1" * 16])
@pytest.mark.parametrize(
    "others",
    [
        (),
        ((b"Connection", b"keep-alive"),),
        ((b"Connection", b"close"),),
        ((b"Transfer-Encoding", b"chunked"),),
        ((b"content-length", b"11"),),
    ],
)
def test_how_a_head_is_written_and_where_its_body_ends_is_known(
    length: bytes, others: tuple[tuple[bytes, bytes], ...]
) -> None:
    reception = Reception(some_rules())
    for arrival in (with_length(b"7", *others), with_length(length, *others)):
        head = given_head(received(reception, arrival), arrival)
        assert head.framing is framing_of(head.fields)
        assert head.written == written(head.fields[:-1])


def test_whatever_else_differs_in_a_head_is_looked_at() -> None:
    reception = Reception(some_rules())
    usual = with_length(b"10")
    others = [
        with_length(b"10", (b"x-foxora-audit", b"minimal")),
        with_length(b"10", (b"x-foxora-tag", b"night")),
        an_arrival(fields=((b"Host", b"x"), (b"Content-Length", b"10"))),
        usual._replace(address="10.0.0.8"),
        usual._replace(version="HTTP/2.0"),
        usual._replace(head=a_head("/v1/models")),
        usual._replace(url="http://elsewhere/v1/chat/completions"),
    ]
    found = [received(reception, arrival) for arrival in [usual, *others]]
    assert len({id(each) for each in found}) == len(found)
    assert [each.level for each in found[:2]] == ["full", "minimal"]
    assert found[2].tags == ("night",)
    assert [each.client.key is None for each in found] == [False] * 3 + [True] + [False] * 4


@pytest.mark.parametrize(
    "asked", [[b"full", b"minimal"], [b"minimal", b"full"], [b"full, minimal"]]
)
def test_a_wish_for_privacy_on_any_line_is_never_missed(asked: list[bytes]) -> None:
    lines = [(b"X-Foxora-Audit", value) for value in asked]
    found = received(Reception(some_rules()), with_length(b"10", *lines))
    assert found.level == "minimal"
    assert found.refusal is not None
    assert found.refusal.status == 400


def test_no_line_travels_on_that_some_reader_takes_for_two() -> None:
    lines = ((b"X-A", b"1\rContent-Length: 5"), (b"User-Agent", b"one\r\n two"))
    found = received(Reception(some_rules()), with_length(b"10", *lines))
    assert found.fields[2:4] == ((b"X-A", b"1 Content-Length: 5"), (b"User-Agent", b"one two"))
    assert found.client.user_agent == "one two"


@pytest.mark.parametrize("other", [b"application/json", b"multipart/form-data; boundary=x"])
def test_a_form_of_which_two_lines_say_what_it_is_is_none(other: bytes) -> None:
    lines = [(b"Content-Type", b"multipart/form-data; boundary=x"), (b"content-type", other)]
    for said in (lines, lines[::-1]):
        arrival = an_arrival(a_head("/v1/images/edits"), (KEY, *said))
        call = received(Reception(some_rules()), arrival).call
        assert call is not None
        assert call.boundary == b""


TRACES = [b"00-" + each * 32 + b"-" + each * 16 + b"-01" for each in (b"a", b"b")]


@pytest.mark.parametrize("order", [1, -1])
def test_no_line_is_on_record_for_all_where_they_differ(order: int) -> None:
    """W3C Trace Context has a trace begin anew there; which line the gateway takes nobody knows."""
    said = [(b"X-Stainless-Retry-Count", b"0"), (b"x-stainless-retry-count", b"7")]
    said += [(b"Traceparent", trace) for trace in TRACES]
    said += [(b"user-agent", b"one"), (b"User-Agent", b"two")]
    found = received(Reception(some_rules()), with_length(b"10", *said[::order]))
    assert (found.client.retry, found.traceparent) == (None, None)
    assert found.client.user_agent == ("one, two" if order == 1 else "two, one")
    assert [*found.fields[2:8]] == said[::order]


def test_lines_that_say_the_same_are_one_on_record() -> None:
    said = [(b"x-stainless-retry-count", b"2"), (b"traceparent", TRACES[0]), (b"user-agent", b"x")]
    found = received(Reception(some_rules()), with_length(b"10", *said, *said))
    assert (found.client.retry, found.client.user_agent) == (2, "x")
    assert found.traceparent == TRACES[0].decode()


def test_labels_on_several_lines_are_one_list() -> None:
    lines = ((b"x-foxora-tag", b"night, a"), (b"X-Foxora-Tag", b"b\xff"))
    assert received(Reception(some_rules()), with_length(b"10", *lines)).tags == (
        "night",
        "a",
        "b\ufffd",
    )


def test_what_is_not_ours_is_remembered_as_such_and_other_rules_remember_nothing() -> None:
    foreign = an_arrival(head=a_head("/index.html", addressed="host", hosts=("web.example",)))
    reception = Reception(some_rules())
    assert reception.receive(foreign) is None
    assert reception.receive(foreign) is None
    other = some_rules(gateway=parse_base_url("https://other.example/v1"))
    usual = an_arrival()
    assert received(reception, usual).gateway_url == ("https://api.foxora.ai/v1/chat/completions")
    assert received(Reception(other), usual).gateway_url == (
        "https://other.example/v1/chat/completions"
    )


def test_a_long_head_and_many_heads_are_not_kept() -> None:
    reception = Reception(some_rules())
    long = with_length(b"10", (b"x-long", b"a" * 20_000))
    assert received(reception, long) is not received(reception, long)
    usual = with_length(b"10")
    first = received(reception, usual)
    for number in range(300):
        received(reception, with_length(b"10", (b"x-number", str(number).encode())))
    assert received(reception, usual) is not first


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("https://api.openai.com/v1/models?" + "a" * 20_000, ()),
        ("https://api.openai.com/v1/models", ((b"a", b""),) * 2_000),
    ],
)
def test_a_head_with_a_long_target_or_many_fields_is_not_kept(
    url: str, more: tuple[tuple[bytes, bytes], ...]
) -> None:
    reception = Reception(some_rules())
    arrival = with_length(b"10", *more)._replace(url=url)
    assert reception.receive(arrival) is not reception.receive(arrival)


_names = st.sampled_from([b"content-length", b"CONTENT-LENGTH", b"x-a", b"authorization", b"host"])
_fields = st.lists(st.tuples(_names, st.sampled_from([b"1", b"22", b"", b"Bearer sk-1"])))


@given(heads=st.lists(_fields.map(tuple), max_size=6))
def test_what_is_remembered_is_what_it_would_come_to_anew(
    heads: list[tuple[tuple[bytes, bytes], ...]],
) -> None:
    reception, rules = Reception(some_rules()), some_rules()
    for fields in heads:
        arrival = an_arrival(fields=fields)
        known, anew = received(reception, arrival), received(Reception(rules), arrival)
        assert given_head(known, arrival) == given_head(anew, arrival)
        assert (known.secrets, known.client, known.refusal) == (
            anew.secrets,
            anew.client,
            anew.refusal,
        )


@pytest.mark.parametrize(
    "head",
    [
        a_head(f"/{APP_KEY.upper()}/x"),
        a_head(host_header=f"{APP_KEY}.openai.com"),
        a_head(host_header=APP_KEY.upper()),
        a_head(origin=f"https://{APP_KEY}.example"),
    ],
)
def test_a_refusal_says_no_key_that_it_quotes(head: Head) -> None:
    key = (b"authorization", b"Bearer " + APP_KEY.upper().encode())
    found = received(Reception(some_rules()), an_arrival(head, fields=(KEY, key)))
    assert found.refusal is not None
    assert APP_KEY.lower() not in found.refusal.message.lower()


@pytest.mark.parametrize("head", [a_head(f"/v1/{APP_KEY}"), a_head(origin=f"https://{APP_KEY}")])
def test_a_head_with_too_many_credentials_is_refused_and_kept_at_the_least(head: Head) -> None:
    keys = b" ".join([APP_KEY.encode(), *(b"fake-%06d-1a2b3c4d" % number for number in range(100))])
    fields = ((b"x-api-key", keys), (b"x-foxora-tag", APP_KEY.encode()), (b"x-note", keys[:60]))
    found = received(Reception(some_rules()), an_arrival(head, fields))
    assert found.refusal is not None
    assert (found.refusal.status, found.refusal.code) == (400, "invalid_request")
    assert "more than 100 keys" in found.refusal.message
    assert (found.level, found.target, found.tags) == ("minimal", "/", ())
    assert (found.payer, found.credential, found.client.key) == (None, None, None)
    assert {name for name, _ in found.fields} == {b"Host", b"authorization"}


def test_the_rules_for_an_operation_hold_however_its_path_is_spelt() -> None:
    reception = Reception(some_rules(levels=Levels("full", by_operation={"chat": "minimal"})))
    found = received(reception, an_arrival(a_head("/v1/chat/complet%69ons")))
    assert found.level == "minimal"
    assert found.target == "/v1/chat/complet%69ons"
    assert found.gateway_url == "https://api.foxora.ai/v1/chat/complet%69ons"


def test_a_realtime_session_is_opened_with_the_mapped_model() -> None:
    reception = Reception(some_rules(models=ModelRules({"a b": "c"})))
    head = a_head("/v1/realtime?model=a%20b&api-key=sk-of-the-app", method="GET")
    found = received(reception, an_arrival(head))
    assert found.target == "/v1/realtime?model=c"
    assert found.gateway_url == "https://api.foxora.ai/v1/realtime?model=c"
    assert found.call is not None
    assert found.call.model == "c"

    azure = a_head("/openai/deployments/a%20b/realtime", method="GET")
    found = received(reception, an_arrival(azure))
    assert found.target == "/v1/realtime?model=c"
    assert found.call is not None
    assert found.call.model == "c"
