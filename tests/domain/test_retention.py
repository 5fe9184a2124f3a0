from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import fact_of
from app.domain.health.history import fold
from app.domain.problems import Invalid
from app.domain.retention import Old, OpeningState, beyond_retention, is_old, parse, purgeable, sum_of
from app.domain.touchpoints import fact_key, seconds

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def old(
    id: str,  # noqa: A002 - the wire's own name
    kind: str,
    days_ago: float,
    *,
    order: str | None = None,
    complaint: str | None = None,
    stands: bool = True,
) -> Old:
    at = NOW - days_ago * DAY
    properties = {} if complaint is None else {"complaint_id": complaint}
    fact = fact_of(kind, seconds(at), fact_key("shop", id), amount=100, order_id=order, properties=properties)
    return Old("shop", id, at, at, kind, stands, fact)


def gone(rows: list[Old], retention: str) -> list[str]:
    return sorted(row.id for row in purgeable(rows, parse(retention), NOW))


@pytest.mark.parametrize(
    "text", ["visit", "visit:59", "visit:36501", "visit:90,visit:90", "Visit:90", "visit:-90"]
)
def test_what_is_no_retention(text: str) -> None:
    with pytest.raises(ValueError, match="days"):
        parse(text)


def test_kinds_and_days_are_read() -> None:
    assert parse("") == {}
    assert parse(" visit:90, purchase:3650,") == {"visit": 90 * DAY, "purchase": 3650 * DAY}


def test_a_row_goes_when_it_happened_and_arrived_long_ago() -> None:
    row = old("1", "visit", 100)
    assert is_old(row, parse("visit:90"), NOW)
    assert not is_old(row, parse("visit:101"), NOW)
    assert not is_old(row, parse("purchase:60"), NOW)
    assert not is_old(row._replace(received_at=NOW), parse("visit:90"), NOW)


def test_an_order_goes_whole_or_not_at_all() -> None:
    bought, back = old("1", "purchase", 400, order="A"), old("2", "refund", 300, order="A")
    assert gone([bought, back], "purchase:365") == []
    assert gone([bought, back], "purchase:365,refund:365") == []
    assert gone([bought, back], "purchase:365,refund:200") == ["1", "2"]
    assert gone([bought, back._replace(stands=False)], "purchase:365") == ["1"]


def test_an_open_complaint_stays() -> None:
    opened, done = (
        old("1", "complaint_opened", 400, complaint="c"),
        old("2", "complaint_resolved", 399, complaint="c"),
    )
    both = "complaint_opened:90,complaint_resolved:90"
    assert gone([opened], both) == []
    assert gone([opened, done], both) == ["1", "2"]


def test_what_was_taken_back_goes_by_its_own_age_and_counts_nothing() -> None:
    row = old("1", "visit", 100, stands=False)
    assert gone([row], "visit:90") == ["1"]
    assert sum_of([row]) == fold(())


rows_of_a_log = st.lists(
    st.tuples(
        st.sampled_from(["purchase", "refund", "complaint_opened", "complaint_resolved", "visit"]),
        st.integers(0, 500),
        st.sampled_from(["A", "B"]),
        st.booleans(),
    ),
    max_size=14,
)


@given(rows_of_a_log, st.sampled_from([60, 90, 300]))
def test_what_goes_and_what_stays_make_the_same_state(
    log: list[tuple[str, int, str, bool]], days: int
) -> None:
    rows = [
        old(
            str(number),
            kind,
            ago,
            order=thread if kind in ("purchase", "refund") else None,
            complaint=thread if kind.startswith("complaint") else None,
            stands=stands,
        )
        for number, (kind, ago, thread, stands) in enumerate(log)
    ]
    every = ",".join(
        f"{kind}:{days}" for kind in ("purchase", "refund", "complaint_opened", "complaint_resolved", "visit")
    )
    going = purgeable(rows, parse(every), NOW)
    names = {row.id for row in going}
    left = fold(row.fact for row in rows if row.stands and row.id not in names)
    assert sum_of(going).plus(left) == fold(row.fact for row in rows if row.stands)
    assert all(NOW - row.occurred_at > days * DAY for row in going)


def test_a_question_may_not_reach_back_to_before_a_purge() -> None:
    opening = OpeningState(fold(()), NOW - 10 * DAY, NOW - 9 * DAY, 3)
    beyond_retention(None, "#", NOW - 900 * DAY, NOW)
    beyond_retention(opening, "#", NOW - 10 * DAY, NOW)
    for until, known in ((NOW - 11 * DAY, NOW), (NOW, NOW - 10 * DAY)):
        with pytest.raises(Invalid) as raised:
            beyond_retention(opening, "#/query/as_of", until, known)
        assert raised.value.code == "beyond_retention"
