"""A plain passbook tells and writes what the passbook that follows everything does, whatever comes."""

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from app.domain.loyalty.account import Account
from app.domain.loyalty.clock import Seen, next_look_at
from app.domain.loyalty.earning import lifetime
from app.domain.loyalty.known_orders import OrderStep
from app.domain.loyalty.orders import Effect
from app.domain.loyalty.passbook import Draft, NewMoney, Passbook
from app.domain.loyalty.plain_passbook import PlainPassbook, is_plain_account
from app.domain.loyalty.points import decimal_text, ratio_text
from app.domain.loyalty.tiers import Standing, joined, raised, stays
from app.domain.loyalty.versions import Programme, Published, TierRules, Version, version_of
from app.domain.touchpoints import Touchpoint
from tests.domain.loyalty.ledgers import DAY, Ledger, day
from tests.domain.loyalty.passbooks import LONG_AGO, touchpoint
from tests.domain.loyalty.programmes import BASE, BERLIN, CLUB, purchase

SILVER = [
    {"code": "base", "threshold": 0, "multiplier": "1"},
    {"code": "silver", "threshold": 500, "multiplier": "1.25"},
    {"code": "gold", "threshold": 900, "multiplier": "1.5"},
]
NOW = day(100)
EARNING: list[list[dict[str, Any]]] = [
    [BASE],
    [BASE, {"code": "shoes", "multiplier": "2", "when": {"category": ["shoes"]}}],
    [BASE, {"code": "welcome", "points": 30, "when": {"first_purchase": True}}],
    [BASE, {"code": "vip", "multiplier": "1.1", "when": {"segment": ["vip"]}, "min_amount_minor": 500}],
    [{**BASE, "excluded_skus": ["gift"]}],
    [{**BASE, "caps": {"per_transaction": 20}}],
    [],
]


class Case(NamedTuple):
    """An account as it was read, and the rules."""

    programme: Programme
    published: list[Published]
    account: Account
    standing: Standing
    qualifying: int
    warned_until: datetime | None
    segments: frozenset[str]

    @property
    def rules(self) -> Version:
        return self.published[-1].version

    def look(self, account: Account, standing: Standing, now: datetime) -> datetime | None:
        seen = Seen(account, standing, self.warned_until)
        return next_look_at(seen, self.rules, now, is_new=standing != self.standing)

    def whole(self) -> Passbook:
        draft = Draft(self.programme, self.published, self.account, self.standing, self.qualifying, {})
        return Passbook("main", "EUR", {"main": draft}, {}, self.segments)

    def plain(self) -> PlainPassbook | None:
        due_at = self.look(self.account, self.standing, self.account.last_at)
        if due_at is None or not is_plain_account(self.account, due_at, self.programme, NOW):
            return None
        return PlainPassbook(
            self.programme,
            self.published,
            self.account,
            self.standing,
            self.qualifying,
            due_at,
            self.warned_until,
            self.segments,
            self.whole,
        )


def version(**said: Any) -> Version:
    return version_of({"earning_rules": [BASE], "tiers": SILVER, **said})


versions = st.builds(
    version,
    earning_rules=st.sampled_from(EARNING),
    pending_days=st.sampled_from([0, 14]),
    expiry_months=st.sampled_from([None, 1, 12]),
    expiry_rounding=st.sampled_from(["none", "month_end"]),
    expiry_warning_days=st.sampled_from([0, 30]),
    tier_window_months=st.sampled_from([2, 12]),
)


@st.composite
def cases(draw: Any) -> Case:
    ledger = Ledger().at(95)
    for number, (what, days, lives) in enumerate(
        draw(
            st.lists(st.tuples(st.sampled_from("eehc"), st.integers(0, 1), st.sampled_from([None, 150, 400])))
        )
    ):
        ledger.now += days * DAY
        free = sum(lot.free for lot in ledger.account.lots.values() if lot.is_active(ledger.now))
        if what == "e":
            ledger.earn(40 * (number % 3), f"e{number}", lives=lives, pending=number % 2 * 20)
        elif free:
            ledger.hold(free // 2 + 1, f"h{number}", ttl=7 * 86_400)
            if what == "c":
                ledger.capture(f"h{number}")
    found = draw(versions)
    published = [Published(1, found, LONG_AGO)]
    if draw(st.booleans()):
        published.append(Published(2, draw(versions), NOW - 10 * DAY))
    tier = draw(st.sampled_from(["base", "base", "silver", "gone"]))
    grace = draw(st.sampled_from([None, None, None, NOW + DAY]))
    standing = joined(ledger.now, found.tier_rules, BERLIN)._replace(tier=tier, grace_until=grace)
    return Case(
        draw(
            st.sampled_from(
                [CLUB, CLUB, CLUB, CLUB._replace(ends_at=day(5_000)), CLUB._replace(currency="USD")]
            )
        ),
        published,
        ledger.account,
        standing,
        draw(st.sampled_from([0, 0, 480, 500])),
        draw(st.sampled_from([None, day(300)])),
        frozenset(draw(st.sets(st.just("vip")))),
    )


@st.composite
def posts(draw: Any) -> list[Touchpoint]:
    items = [
        None,
        [{"sku": "gift", "amount_minor": 700}],
        [{"sku": "a", "category": "shoes", "amount_minor": 1_500, "quantity": 2}, {"sku": "b"}],
    ]
    made = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["purchase"] * 12 + ["refund", "order_cancelled"]))
        late = draw(st.sampled_from([0, 1, 1, 3, 40, 90, 400]))
        at = NOW + number * timedelta(seconds=1)
        made.append(
            touchpoint(
                kind,
                f"t{number}",
                draw(st.sampled_from([0, 99, 4_900, 12_345, 60_000])),
                draw(st.sampled_from([None, "A", "B", "C"])),
                at=at,
                occurred_at=at
                - late * DAY
                + draw(st.sampled_from([0, 0, 0, 30])) * timedelta(seconds=1) * (not late),
                currency=draw(st.sampled_from(["EUR"] * 9 + ["USD"])),
                items=draw(st.sampled_from(items)),
                channel=draw(st.sampled_from(["web", None])),
            )
        )
    return made


def entries_of(book: PlainPassbook) -> list[tuple[Any, ...]]:
    return [(*one.entry, one.paid_minor, json.loads(one.explain)) for one in book.earns]


def entries_in(draft: Draft) -> list[tuple[Any, ...]]:
    earns = draft.account.earns
    return [(*one, earns[one.key].paid_minor, draft.explains[one.key]) for one in draft.entries]


@given(cases(), posts(), st.booleans())
def test_a_plain_passbook_is_the_whole_one(case: Case, posted: list[Touchpoint], is_first: bool) -> None:
    plain, whole = case.plain(), case.whole()
    if plain is None:
        event("not plain from the start")
        return
    for number, one in enumerate(posted):
        flags: Any = {"is_first_purchase": is_first and not number, "is_bought": False}
        assert plain.follow(NewMoney(one, **flags)) == whole.follow(NewMoney(one, **flags))
    draft = whole.drafts["main"]
    event("plain" if plain.whole is None else "whole")
    if plain.whole is not None:
        assert plain.drafts == whole.drafts
        assert plain.whole.orders == whole.orders
        return
    assert plain.drafts == {}
    assert entries_of(plain) == entries_in(draft)
    assert draft.standing == case.standing
    assert plain.qualifying == draft.qualifying
    assert plain.lifetime_earned == draft.account.lifetime_earned
    assert plain.due_at == case.look(draft.account, case.standing, NOW)
    orders = [known for same_id in whole.orders.values() for known in same_id]
    assert [one.order for one in plain.earns if one.order] == [
        (one.source, one.order_id, one.order.adopted, one.currency) for one in orders
    ]
    assert all(len(one.touchpoints) == 1 and one.order.cycle == 1 for one in orders)


def case_of(**said: Any) -> Case:
    rules = version(**said)
    return Case(
        CLUB,
        [Published(1, rules, LONG_AGO)],
        Ledger().account,
        joined(day(95), rules.tier_rules, BERLIN),
        0,
        None,
        frozenset(),
    )


def opened(case: Case) -> PlainPassbook:
    book = case.plain()
    assert book is not None
    return book


def bought(book: PlainPassbook, name: str, amount: int, order: str | None = None, **said: Any) -> Any:
    one = touchpoint("purchase", name, amount, order, **{"at": NOW, **said})
    return json.loads(book.follow(NewMoney(one, is_first_purchase=False, is_bought=False)))


def test_a_purchase_that_raises_the_tier_is_followed_wholly_with_those_before_it() -> None:
    book = opened(case_of(pending_days=0))
    assert bought(book, "p1", 40_000)["tier"] == "base"
    assert book.whole is None
    told = bought(book, "p2", 20_000)
    assert told == {
        "points_earned": 200,
        "points_clawed": 0,
        "available": 600,
        "pending": 0,
        "tier": "silver",
    }
    assert book.whole is not None
    assert [entry.points for entry in book.drafts["main"].entries] == [400, 200]
    assert bought(book, "p3", 10_000)["available"] == 725


def test_an_order_earns_once() -> None:
    book = opened(case_of(pending_days=0))
    assert bought(book, "p1", 4_000, "A")["points_earned"] == 40
    assert bought(book, "p2", 4_000, "B")["points_earned"] == 40
    assert book.whole is None
    assert bought(book, "p3", 4_000, "A")["points_earned"] == 0
    assert book.whole is not None


def test_the_same_order_id_of_another_shop_is_another_order() -> None:
    book = opened(case_of(pending_days=0))
    assert bought(book, "p1", 4_000, "A")["points_earned"] == 40
    assert bought(book, "p2", 4_000, "A", source="market")["points_earned"] == 40
    assert book.whole is None


def test_the_clock_looks_at_new_points_before_they_lapse() -> None:
    book = opened(case_of(expiry_months=2, expiry_rounding="none", expiry_warning_days=30))
    bought(book, "p1", 4_000)
    (earn,) = book.earns
    assert earn.entry.expires_at is not None
    assert book.due_at == earn.entry.expires_at - 30 * DAY


@pytest.mark.parametrize("due", [NOW, NOW - DAY])
def test_an_account_in_which_something_is_due_is_not_plain(due: datetime) -> None:
    account = Ledger().account
    assert is_plain_account(account, NOW + DAY, CLUB, NOW)
    assert not is_plain_account(account, due, CLUB, NOW)


def test_a_programme_with_an_end_in_sight_is_not_plain() -> None:
    account = Ledger().account
    for ending in (CLUB._replace(earns_until=day(900)), CLUB._replace(ends_at=day(900))):
        assert not is_plain_account(account, NOW + DAY, ending, NOW)


def test_a_debt_is_not_plain() -> None:
    ledger = Ledger()
    ledger.adjust(-5, allow_debt=True)
    assert not is_plain_account(ledger.account, NOW + DAY, CLUB, NOW)


@given(
    st.integers(0, 1_000), st.sampled_from(["base", "silver", "gold", "gone"]), st.sampled_from([None, NOW])
)
def test_a_standing_stays_when_raising_leaves_it(points: int, tier: str, grace: datetime | None) -> None:
    rules: TierRules = version().tier_rules
    standing = Standing(tier, day(0), day(365), grace)
    after = raised(standing, points, NOW, rules, BERLIN).standing
    if stays(standing, points, rules):
        assert after == standing
    elif grace is None:
        assert after != standing


@given(st.integers(-10_000, 10_000), st.integers(1, 999), st.integers(1, 9))
def test_a_ratio_reads_like_its_fraction(numerator: int, denominator: int, times: int) -> None:
    assert ratio_text(numerator * times, denominator * times) == decimal_text(
        Fraction(numerator, denominator)
    )


def test_what_was_told_of_a_first_purchase_holds_when_it_is_followed_again() -> None:
    welcome = {"code": "welcome", "points": 30, "when": {"first_purchase": True}}
    book = opened(case_of(earning_rules=[BASE, welcome], pending_days=0))
    first = touchpoint("purchase", "p1", 1_000, at=NOW)
    assert (
        json.loads(book.follow(NewMoney(first, is_first_purchase=True, is_bought=False)))["points_earned"]
        == 40
    )
    # In a currency without a rate: whoever follows everything says why it earns nothing.
    assert bought(book, "p2", 1_000, currency="JPY")["available"] == 40
    assert book.whole is not None
    second = touchpoint("purchase", "p3", 1_000, at=NOW)
    assert (
        json.loads(book.follow(NewMoney(second, is_first_purchase=True, is_bought=False)))["available"] == 80
    )


def test_a_refund_of_what_was_bought_before_the_programme_takes_nothing() -> None:
    book = opened(case_of())
    refund = touchpoint("refund", "r", 1_000, "A", at=NOW)
    book.follow(NewMoney(refund, is_first_purchase=False, is_bought=True))
    assert book.whole is not None
    assert book.whole.orders == {}


def test_a_whole_order_is_followed_wholly() -> None:
    book = opened(case_of(pending_days=0))
    effect = Effect("A:1", "purchase", 4_000, 1)
    step = OrderStep("shop", "A", effect, purchase(4_000, key="order:shop/A:1", occurred_at=NOW))
    one = touchpoint("purchase", "A:1", 4_000, "A", at=NOW)
    told = json.loads(book.follow(NewMoney(one, is_first_purchase=False, is_bought=False, step=step)))
    assert told["points_earned"] == 40
    assert book.whole is not None
    assert book.whole.orders == {}


def test_points_of_one_purchase_after_the_other_add_up() -> None:
    now, later = opened(case_of(pending_days=0)), opened(case_of(pending_days=14))
    for number in range(3):
        active, waiting = bought(now, f"p{number}", 1_000), bought(later, f"p{number}", 1_000)
        assert (active["available"], active["pending"]) == (10 * (number + 1), 0)
        assert (waiting["available"], waiting["pending"]) == (0, 10 * (number + 1))
    assert now.whole is later.whole is None


def test_points_that_become_active_at_once_are_available() -> None:
    book = opened(case_of(pending_days=14))
    assert bought(book, "p1", 1_000, occurred_at=NOW - 14 * DAY)["available"] == 10
    assert book.whole is None


def test_a_purchase_whose_points_lapse_this_very_moment_is_followed_wholly() -> None:
    case = case_of(expiry_months=1, expiry_rounding="none", pending_days=0)
    lapses_at = lifetime(NOW - 50 * DAY, case.rules, CLUB)[1]
    assert lapses_at is not None
    for at, is_plain in ((lapses_at - timedelta(seconds=1), True), (lapses_at, False)):
        book = opened(case)
        bought(book, "p1", 1_000, at=at, occurred_at=NOW - 50 * DAY)
        assert (book.whole is None) is is_plain


def test_a_purchase_of_before_the_first_version_is_followed_wholly() -> None:
    book = opened(case_of())
    assert bought(book, "p1", 1_000, occurred_at=LONG_AGO - DAY)["points_earned"] == 0
    assert book.whole is not None


def test_what_was_long_before_the_tiers_window_does_not_qualify() -> None:
    case = case_of(tier_window_months=2, expiry_months=None)
    for days, qualifying in ((58, 10), (59, 10), (63, 0)):
        book = opened(case)
        bought(book, "p1", 1_000, occurred_at=NOW - days * DAY)
        assert (book.whole, book.qualifying) == (None, qualifying)


def test_who_was_warned_of_that_time_is_not_warned_again() -> None:
    case = case_of(expiry_months=2, expiry_rounding="none", expiry_warning_days=30)._replace(
        warned_until=day(900)
    )
    book = opened(case)
    bought(book, "p1", 4_000)
    assert book.due_at == book.earns[0].entry.expires_at


def test_rules_with_caps_are_followed_wholly() -> None:
    book = opened(case_of(earning_rules=[{**BASE, "caps": {"per_transaction": 20}}]))
    assert bought(book, "p1", 4_000)["points_earned"] == 20
    assert book.whole is not None


def test_a_shops_clock_may_be_ahead_of_the_first_version() -> None:
    case = case_of(pending_days=0)
    case = case._replace(published=[Published(1, case.rules, NOW + timedelta(minutes=1))])
    book = PlainPassbook(
        CLUB, case.published, case.account, case.standing, 0, NOW + DAY, None, frozenset(), case.whole
    )
    assert bought(book, "p1", 4_000, occurred_at=NOW + timedelta(minutes=2))["points_earned"] == 40
    assert book.whole is not None


def test_the_tiers_window_begins_with_a_day_on_the_wall() -> None:
    case = case_of(tier_window_months=2, expiry_months=None)
    # 00:30 on 11 February in Berlin, still the day before in UTC; the hour before is not inside.
    for at, qualifying in (
        (datetime(2026, 2, 10, 23, 30, tzinfo=UTC), 10),
        (datetime(2026, 2, 10, 22, 30, tzinfo=UTC), 0),
    ):
        plain, whole = opened(case), case.whole()
        one = touchpoint("purchase", "p", 1_000, at=NOW, occurred_at=at)
        for book in (plain, whole):
            book.follow(NewMoney(one, is_first_purchase=False, is_bought=False))
        assert (plain.qualifying, whole.drafts["main"].qualifying) == (qualifying, qualifying)
        assert plain.whole is None
