"""The demo's shop: the same story for the same seed, and nothing in it that the service's rules refuse."""

import json
from datetime import UTC, date, datetime

import pytest

from app.cli import shop
from app.domain.kinds import KINDS
from app.domain.money import EXPONENTS
from app.domain.touchpoints import propose

UNTIL = date(2026, 11, 22)


@pytest.mark.parametrize("number", range(1, 41))
def test_every_touchpoint_keeps_the_rules_of_its_kind_and_lies_in_the_past(number: int) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    ids = set()
    for body in shop.person(7, number, UNTIL, "EUR").touchpoints:
        rest = {name: value for name, value in body.items() if name not in {"customer", "occurred_at"}}
        occurred_at = datetime.fromisoformat(body["occurred_at"])
        propose(
            **rest, occurred_at=occurred_at, source="x", now=now, body_sha256=bytes(32), shop_currency="EUR"
        )
        assert occurred_at < now
        ids.add(body["id"])
    assert len(ids) == len(shop.person(7, number, UNTIL, "EUR").touchpoints)


def test_the_same_seed_tells_the_same_story_and_another_seed_another_one() -> None:
    one, again, other = (json.dumps(shop.person(seed, 1, UNTIL, "EUR").touchpoints) for seed in (7, 7, 8))
    assert one == again != other


def test_a_larger_shop_holds_the_smaller_one_unchanged() -> None:
    small, large = (list(shop.people(7, size, UNTIL, "EUR")) for size in (5, 9))
    assert large[:5] == small


def test_a_shop_shows_every_kind_of_fact_that_support_tools_meet() -> None:
    kinds = {body["kind"] for person in shop.people(7, 60, UNTIL, "EUR") for body in person.touchpoints}
    assert kinds <= set(KINDS)
    assert kinds >= {
        *("purchase", "refund", "visit", "message_clicked", "support_contact", "support_resolved"),
        *("complaint_opened", "complaint_resolved", "nps", "csat", "referral", "delivered", "delivery_late"),
    }


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD"])
def test_prices_fit_the_currency_and_a_refund_never_exceeds_its_order(currency: str) -> None:
    paid = {}
    for person in shop.people(7, 40, UNTIL, currency):
        for body in person.touchpoints:
            if body["kind"] == "purchase":
                assert body["amount_minor"] % 10 ** EXPONENTS[currency] == 0
                paid[body["order_id"]] = body["amount_minor"]
            elif body["kind"] == "refund":
                assert 0 < body["amount_minor"] <= paid[body["order_id"]]


def test_the_three_worth_opening_are_what_is_said_of_them() -> None:
    champion, upset, lapsed = (
        shop.person(7, number, UNTIL, "EUR").touchpoints for number, _ in shop.WORTH_OPENING
    )
    assert "referral" in {body["kind"] for body in champion}
    assert {body["kind"] for body in upset} & {"complaint_opened", "complaint_resolved"} == {
        "complaint_opened"
    }
    assert max(body["occurred_at"] for body in lapsed if body["kind"] == "purchase") < "2026-03-01"
