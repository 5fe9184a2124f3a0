"""What is given for a failure: complete, in one form, once."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.feedback.compensation import Compensation, check_compensable, compensation_of, grant_id
from app.domain.feedback.complaint_states import STATES, TERMINAL
from app.domain.feedback.complaints import Case
from app.domain.problems import Conflict, Invalid

MONEY = {"amount_minor": 500, "currency": "EUR"}


@pytest.mark.parametrize(
    "form, given_",
    [
        ("apology", {}),
        ("replacement", {}),
        ("refund", MONEY),
        ("voucher", {"amount_minor": 1, "currency": "JPY"}),
        ("points", {"points": 100}),
    ],
)
def test_each_form_has_what_belongs_to_it(form: Any, given_: dict[str, Any]) -> None:
    assert compensation_of(form, **given_) == Compensation(form, **given_)


@pytest.mark.parametrize(
    "form, given_, code",
    [
        ("flowers", {}, "unknown_form"),
        ("refund", {}, "property_required"),
        ("refund", {"amount_minor": 500}, "property_required"),
        ("refund", {**MONEY, "amount_minor": 0}, "invalid_property"),
        ("refund", {**MONEY, "amount_minor": 2**53}, "invalid_property"),
        ("refund", {**MONEY, "currency": "EURO"}, "invalid_property"),
        ("refund", {**MONEY, "points": 5}, "invalid_property"),
        ("apology", MONEY, "invalid_property"),
        ("points", {}, "property_required"),
        ("points", {"points": 0}, "invalid_property"),
        ("points", {"points": 2**31}, "invalid_property"),
        ("points", {"points": 5, **MONEY}, "invalid_property"),
    ],
)
def test_what_is_missing_or_too_much_is_refused(form: str, given_: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        compensation_of(form, **given_)
    assert refusal.value.code == code


def test_only_a_complaint_that_stands_by_itself_is_compensated() -> None:
    for state in STATES:
        case = Case(state, "low", datetime(2026, 11, 22, tzinfo=UTC), 1, ())
        if state in TERMINAL:
            with pytest.raises(Conflict):
                check_compensable(case)
        else:
            check_compensable(case)


def test_a_grant_has_one_name_however_often_it_is_retried() -> None:
    assert grant_id("c1", 1) == grant_id("c1", 1) != grant_id("c1", 2)
