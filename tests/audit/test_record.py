import base64
import hashlib
import json
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.api.errors import invalid_request
from foxora_addon.api.usage import Usage
from foxora_addon.audit.record import Facts, body_fields, least_of, request_fields, response_fields
from foxora_addon.audit.schema import RECORD, RequestRecord, ResponseRecord
from foxora_addon.exchange import Outcome
from tests.builders import a_request_of, a_response_of, an_exchange, sealed


def test_the_builders_write_what_the_models_say() -> None:
    request = RECORD.validate_python(sealed(a_request_of("x1")))
    response = RECORD.validate_python(sealed(a_response_of("x1")))

    assert isinstance(request, RequestRecord)
    assert isinstance(response, ResponseRecord)
    assert request.exchange == response.exchange == "x1"


def test_a_guard_that_is_not_the_usual_one_is_on_record_at_every_level() -> None:
    fields = request_fields(an_exchange(), body_fields(b"", 10), (), 7.5)
    for kept in (fields, least_of(fields)):
        record = RECORD.validate_python(sealed(kept))
        assert isinstance(record, RequestRecord)
        assert record.decision.guard_seconds == 7.5
    assert "guard_seconds" not in a_request_of("x1")["decision"]


@pytest.mark.parametrize(
    ("model", "built"), [(RequestRecord, a_request_of), (ResponseRecord, a_response_of)]
)
def test_the_builders_write_each_member_and_no_other(model: Any, built: Any) -> None:
    assert set(sealed(built("x1"))) == set(model.model_fields)


def test_a_refused_request_says_why() -> None:
    fields = request_fields(
        an_exchange(refusal=invalid_request("no", "model")), body_fields(b"", 10)
    )

    assert fields["decision"]["verdict"] == "refuse"
    assert fields["decision"]["reason"] == "invalid_request"
    assert fields["operation"] == "other"
    RECORD.validate_python(sealed(fields))


@pytest.mark.parametrize("outcome", get_args(Outcome.__value__))
def test_a_response_with_all_its_facts_fits_the_schema(outcome: Outcome) -> None:
    fields = response_fields(
        an_exchange(first_byte_at=100.25, gateway_request_id="g", cost_usd=Decimal("0.00015")),
        body_fields(b"{}", 10),
        Facts(
            usage=Usage(1, 2, 3),
            error=invalid_request("no", "model"),
            model="m",
            response_id="r",
            finish_reasons=("stop", None),
            message={"role": "assistant"},
            folded={"output": []},
            chunks=3,
        ),
        status=400,
        outcome=outcome,
        source="addon",
        now=101.5,
    )
    record = RECORD.validate_python(sealed(fields))

    assert isinstance(record, ResponseRecord)
    assert (record.duration_ms, record.first_byte_ms) == (1500.0, 250.0)
    assert record.usage is not None
    assert record.usage.total_tokens == 3
    assert (record.cost_usd, record.cost_source) == (0.00015, "reported")
    assert record.error is not None
    assert record.error.param == "model"


@pytest.mark.parametrize("cost", ["0", "0.00000075", "0.1", "12.34567890123"])
def test_a_cost_is_the_same_sum_for_those_who_read_it_as_a_decimal(cost: str) -> None:
    fields = response_fields(
        an_exchange(cost_usd=Decimal(cost)),
        body_fields(b"", 10),
        {},
        status=200,
        outcome="completed",
        source="gateway",
        now=101.5,
    )
    line = json.dumps({"cost_usd": fields["cost_usd"]})

    assert json.loads(line, parse_float=Decimal) == {"cost_usd": Decimal(cost)}


def test_a_cost_that_is_not_known_is_null() -> None:
    fields = a_response_of("x1")
    assert (fields["cost_usd"], fields["cost_source"]) == (None, None)


def test_a_clock_that_goes_back_makes_no_negative_duration() -> None:
    fields = response_fields(
        an_exchange(),
        body_fields(None, 0),
        {},
        status=None,
        outcome="aborted",
        source="addon",
        now=99.0,
    )

    assert fields["duration_ms"] == 0.0


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_body_is_kept_up_to_its_limit_and_hashed_whole(body: bytes, limit: int) -> None:
    fields = body_fields(body, limit)
    json.dumps(fields)

    assert fields["body_bytes"] == len(body)
    assert fields["body_truncated"] is (len(body) > limit)
    if body:
        assert fields["body_sha256"] == hashlib.sha256(body).hexdigest()
        assert body.startswith(kept_of(fields))
        assert len(kept_of(fields)) <= limit
    else:
        assert (fields["body"], fields["body_sha256"]) == (None, None)


@given(st.text(min_size=1, max_size=30), st.integers(1, 100))
def test_a_cut_text_stays_text(text: str, limit: int) -> None:
    fields = body_fields(text.encode(), limit)

    assert fields["body_encoding"] == "utf-8"
    assert text.startswith(fields["body"])


def test_what_is_no_text_is_base64() -> None:
    fields = body_fields(b"\xff\x00", 10)

    assert (fields["body"], fields["body_encoding"]) == ("/wA=", "base64")


def test_without_content_its_size_and_hash_are_kept() -> None:
    fields = body_fields(None, 10, size=3, sha256="ab" * 32)

    assert fields["body"] is None
    assert fields["body_truncated"] is False
    assert (fields["body_bytes"], fields["body_sha256"]) == (3, "ab" * 32)


def kept_of(fields: dict[str, Any]) -> bytes:
    text: str = fields["body"]
    return base64.b64decode(text) if fields["body_encoding"] == "base64" else text.encode()
