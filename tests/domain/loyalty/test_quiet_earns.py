"""An earn on an account without clock work is what it is by the book, for every history before it."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.account import Account
from app.domain.loyalty.crediting import Earning, earned, earned_by_the_book
from app.domain.loyalty.settling import is_quiet, settled
from tests.domain.loyalty.ledgers import DAY, Ledger, day

steps = st.lists(
    st.tuples(
        st.sampled_from(["earn", "hold", "give", "take", "owe"]),
        st.integers(0, 200),
        st.integers(0, 20),
        st.one_of(st.none(), st.integers(1, 40)),
    ),
    max_size=6,
)


def after(history: list[Any]) -> Account:
    ledger = Ledger()
    for number, (what, points, days, lives) in enumerate(history):
        ledger.now += days * DAY
        name = f"{what}-{number}"
        if what == "earn":
            ledger.earn(points, name, lives=lives)
        elif what == "give":
            ledger.adjust(points + 1, name)
        elif what == "owe":
            ledger.adjust(-points - 1, name, allow_debt=True)
        else:
            free = sum(lot.free for lot in ledger.account.lots.values() if lot.is_active(ledger.now))
            if free and not ledger.account.debt and what == "hold":
                ledger.hold(1, name)
            elif free and not ledger.account.debt:
                ledger.adjust(-1, name)
    return ledger.account


@given(
    steps,
    st.integers(0, 500),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 20),
    st.one_of(st.none(), st.integers(0, 400)),
)
def test_a_quiet_account_earns_what_the_book_says(
    history: list[Any], points: int, age: int, late: int, pending: int, lives: int | None
) -> None:
    account = after(history)
    now = max(account.last_at, day(0)) + age * DAY
    since = now - late * DAY
    earning = Earning(
        key="new",
        points=points,
        occurred_at=since,
        activates_at=since + pending * DAY,
        expires_at=None if lives is None else since + lives * DAY,
        paid_minor=points * 100,
        qualifying=points,
    )
    assert earned(account, earning, now) == earned_by_the_book(account, earning, now)


@given(steps, st.integers(0, 60))
def test_quiet_is_an_account_that_settling_leaves_as_it_is(history: list[Any], age: int) -> None:
    account = after(history)
    at = max(account.last_at, day(0)) + age * DAY
    if is_quiet(account, at):
        assert settled(account, at).entries == ()
        assert settled(account, at).account == account


def test_a_clock_that_is_behind_the_last_entry_counts_as_being_there() -> None:
    ledger = Ledger().at(10)
    ledger.earn(5, "first")
    earning = Earning("second", 3, day(1), day(1), day(10))
    behind = ledger.now - timedelta(days=5)
    decision = earned(ledger.account, earning, behind)
    # It had lapsed by the time of the last entry: both are seen.
    assert [entry.kind for entry in decision.entries] == ["earn", "expire"]
    assert decision == earned_by_the_book(ledger.account, earning, behind)
