"""What is refused, by the code and the place that callers branch on, and what a retry is told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.domain.loyalty import clawback, crediting, referrals, spending
from app.domain.loyalty.account import Account, opened
from app.domain.loyalty.approvals import Proposal, check_approver, check_yearly_cap, proposal_of
from app.domain.loyalty.conditions import Member
from app.domain.loyalty.crediting import Earning
from app.domain.loyalty.earning import evaluate
from app.domain.loyalty.explain import explained
from app.domain.loyalty.purchases import Line, posted
from app.domain.loyalty.referral_codes import RANDOM_BYTES, code_in, code_of, mailbox_key, network_key
from app.domain.loyalty.versions import Limits, version_of
from app.domain.problems import Problem
from tests.domain.loyalty.programmes import BASE, CLUB, purchase

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PEPPER = b"p" * 32


def account() -> Account:
    """100 points of an order, 30 of them held, 20 spent."""
    one = crediting.earned(
        opened(UUID(int=1)), Earning("o", 100, START, START, START + 60 * DAY, 500, 100), START
    )
    held = spending.held(one.account, id="h", points=30, ttl_seconds=900, now=START)
    return spending.spent(held.account, id="s", points=20, now=START).account


def claw(key: str = "o", **said: Any) -> Callable[[Account], Any]:
    terms = {"id": "r", "amount_minor": 100, "policy": "within_balance", "now": START, **said}
    return lambda one: clawback.clawed_back(one, key, **terms)


def back(id: str = "b", points: int | None = 5, spend: str = "s") -> Callable[[Account], Any]:  # noqa: A002 - the wire's
    return lambda one: spending.refunded(one, spend, id=id, points=points, grace=30 * DAY, now=START)


@pytest.mark.parametrize(
    "call, code, pointer",
    [
        (claw(key="x"), "earn_not_found", None),
        (claw(amount_minor=-1), "invalid_amount", "#/amount_minor"),
        (back(spend="x"), "redemption_not_found", None),
        (back(points=21), "more_than_spent", "#/points"),
        (back(points=0), "invalid_points", "#/points"),
        (lambda one: spending.spent(one, id="s", points=21, now=START), "id_reused", None),
        (lambda one: spending.spent(one, id="h", points=30, now=START), "id_reused", None),
        (lambda one: spending.spent(one, id="t", points=51, now=START), "insufficient_points", None),
        (lambda one: spending.captured(one, "x", START), "hold_not_found", None),
        (lambda one: spending.captured(one, "h", START, 31), "more_than_held", "#/points"),
        (lambda one: spending.captured(one, "h", START + DAY), "hold_expired", None),
        (lambda one: spending.released(one, "x", START), "hold_not_found", None),
    ],
)
def test_a_refusal_has_its_code_and_its_place(
    call: Callable[[Account], Any], code: str, pointer: str | None
) -> None:
    with pytest.raises(Problem) as refused:
        call(account())
    assert refused.value.code == code
    assert [fault.pointer for fault in refused.value.errors] == ([] if pointer is None else [pointer])
    assert [fault.code for fault in refused.value.errors] == ([] if pointer is None else [code])
    assert refused.value.detail


@pytest.mark.parametrize("call, other", [(claw(), claw(amount_minor=99)), (back(), back(points=6))])
def test_a_refund_again_is_told_the_same_and_another_one_under_its_id_is_refused(
    call: Callable[[Account], Any], other: Callable[[Account], Any]
) -> None:
    first = call(account())
    again = call(first.account)
    assert (again.account, again.entries, again.result) == (first.account, (), first.result)
    with pytest.raises(Problem) as refused:
        other(first.account)
    assert refused.value.code == "id_reused"


def test_a_spend_again_is_told_the_same() -> None:
    one = account()
    again = spending.spent(one, id="s", points=20, now=START + DAY)
    assert (again.account, again.entries, again.result.points) == (one, (), 20)


@pytest.mark.parametrize(
    "said, code, pointer",
    [
        ({"reason_code": "love"}, "unknown_reason", "#/reason_code"),
        ({"note": "x" * 2_001}, "note_too_long", "#/note"),
        ({"reason_code": "other", "note": " "}, "note_required", "#/note"),
        ({"reason_code": "goodwill"}, "about_required", "#/about"),
        ({"reason_code": "surprise", "about": "a", "points": -1}, "invalid_points", "#/points"),
    ],
)
def test_a_proposal_is_refused_where_it_is_wrong(said: dict[str, Any], code: str, pointer: str) -> None:
    terms: dict[str, Any] = {
        "id": "a",
        "points": 5,
        "reason_code": "service",
        "note": "",
        "actor": "ben",
        **said,
    }
    with pytest.raises(Problem) as refused:
        proposal_of(**terms)
    assert (refused.value.code, refused.value.errors[0].pointer) == (code, pointer)


def test_what_limits_say() -> None:
    proposal = Proposal("a", 101, "goodwill", "", "ben", "c")
    limits = Limits(approval_over=100, goodwill_a_year=150)
    for approver, code in ((None, "approval_required"), ("ben", "same_person")):
        with pytest.raises(Problem) as refused:
            check_approver(proposal, limits, approver)
        assert refused.value.code == code
    check_approver(proposal, limits, "eve")
    check_yearly_cap(proposal, limits, 49)
    with pytest.raises(Problem) as refused:
        check_yearly_cap(proposal, limits, 50)
    assert (refused.value.code, refused.value.members["left"], refused.value.members["cap"]) == (
        "yearly_cap",
        100,
        150,
    )


def test_only_what_is_on_hold_is_reviewed_and_says_where_it_stands() -> None:
    one = referrals.Referral("r", "a", "b", "rewarded", START)
    with pytest.raises(Problem) as refused:
        referrals.reviewed(one, genuine=True, now=START)
    assert (refused.value.code, refused.value.members["state"]) == ("illegal_transition", "rewarded")
    held = one._replace(state="on_hold", reason="same_ip")
    assert referrals.reviewed(held, genuine=True, now=START + DAY) == one._replace(
        state="attributed", at=START + DAY
    )
    ended = referrals.reviewed(held, genuine=False, now=START + DAY)
    assert ended == one._replace(state="rejected", reason="not_genuine", at=START + DAY)


def test_a_posted_purchase_keeps_what_its_items_say() -> None:
    items: list[dict[str, Any]] = [
        {"sku": "X", "category": "shoes", "quantity": 2, "amount_minor": 700},
        {"sku": "Y"},
    ]
    one = posted(
        key="k",
        occurred_at=START,
        amount_minor=1_000,
        currency="USD",
        items=items,
        exchange_rate=Decimal("0.9"),
        channel="web",
    )
    assert one.lines == (Line(700, 0, "X", "shoes", 2), Line(0, 0, "Y", None, 1), Line(300))
    assert (one.key, one.occurred_at, one.currency, one.exchange_rate, one.channel) == (
        "k",
        START,
        "USD",
        Decimal("0.9"),
        "web",
    )
    discounted = posted(key="k", occurred_at=START, amount_minor=100, currency="EUR", items=items)
    assert [line.net_minor for line in discounted.lines] == [100, 0]


def test_a_code_is_read_as_people_write_it() -> None:
    code = code_of(bytes(range(RANDOM_BYTES)))
    assert (len(code), code) == (8, "000G40R4")
    assert code_in(" o00g-4or4 ") == code
    for typed in ("000G40R", "000G40R40", "000G40RU", ""):
        with pytest.raises(Problem) as refused:
            code_in(typed)
        assert refused.value.code == "referral_code_not_found"


def test_a_network_and_a_mailbox_are_compared_and_not_told() -> None:
    assert network_key("203.0.113.7", PEPPER) == network_key("::ffff:203.0.113.7", PEPPER)
    assert network_key("203.0.113.7", PEPPER) != network_key("203.0.113.8", PEPPER)
    assert network_key("2001:db8::1", PEPPER) == network_key("2001:db8:0:0:ffff::2", PEPPER)
    assert network_key("2001:db8::1", PEPPER) != network_key("2001:db8:0:1::1", PEPPER)
    assert network_key("203.0.113.7", PEPPER) != network_key("203.0.113.7", b"q" * 32)
    assert len(network_key("203.0.113.7", PEPPER)) == 32
    assert mailbox_key("Ada+x@x.org", PEPPER) == mailbox_key("ada@x.org", PEPPER)
    assert "ada" not in mailbox_key("ada@x.org", PEPPER)
    with pytest.raises(Problem) as refused:
        network_key("x", PEPPER)
    assert (refused.value.code, refused.value.errors[0].pointer) == ("invalid_ip", "#/ip")


def test_limits_of_time_and_of_what_is_kept() -> None:
    pending = referrals.Referral("r", "a", "b", "pending", START, None, "o", START + DAY)
    over = referrals.fell_due(pending, START + DAY, is_over_limit=True)
    assert (over.state, over.reason, over.at) == ("rejected", "limit", START + DAY)
    assert referrals.fell_due(pending, START, is_over_limit=True) == pending
    for kept, least, stays in ((0, 0, False), (1, 0, True), (1_999, 2_000, False), (2_000, 2_000, True)):
        after = referrals.order_refunded(pending, "o", START, kept_minor=kept, least_minor=least)
        assert (after == pending) is stays


def test_the_record_of_an_earn_has_these_members() -> None:
    version = version_of({"earning_rules": [BASE, {**BASE, "code": "vip", "when": {"segment": ["vip"]}}]})
    told = explained(evaluate(version, CLUB, purchase(1_050), Member("silver")), 3, "silver")
    assert told == {
        "points": 10,
        "exact": "10.5",
        "version": 3,
        "arrived": {"tier": "silver"},
        "rules": [
            {"rule": "base", "points": "10.5", "reason": None, "why": None, "missing_minor": None},
            {
                "rule": "vip",
                "points": "0",
                "reason": "segment",
                "why": "not for this customer's segments",
                "missing_minor": None,
            },
        ],
        "missing_minor": 50,
        "reason": None,
        "why": None,
    }
