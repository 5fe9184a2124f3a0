from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.loyalty.periods import start_of_year
from app.domain.loyalty.public_ids import EntryId, entry_id, own_id, parse_entry_id
from app.domain.problems import NotFound

AT = datetime(2026, 3, 1, tzinfo=UTC)


@given(st.uuids(), st.uuids(), st.integers(1, 2**31 - 1))
def test_the_id_of_an_entry_says_whose_it_is_and_which(customer: UUID, account: UUID, seq: int) -> None:
    assert parse_entry_id(entry_id(customer, account, seq)) == EntryId(customer, account, seq)


@given(st.text())
def test_what_is_no_id_is_not_found(text: str) -> None:
    with pytest.raises(NotFound, match="entry_not_found"):
        parse_entry_id(text)


@given(st.uuids(), st.text(), st.text())
def test_a_name_has_one_id_and_another_name_another(account: UUID, one: str, other: str) -> None:
    made = own_id(account, "hold", one, AT)
    assert made == own_id(account, "hold", one, AT)
    assert made.version == 7
    assert made != own_id(account, "spend", one, AT)
    assert (made == own_id(account, "hold", other, AT)) == (one == other)


def test_a_year_begins_at_midnight_on_the_wall() -> None:
    assert start_of_year(2027, ZoneInfo("Europe/Berlin")) == datetime(2026, 12, 31, 23, tzinfo=UTC)
