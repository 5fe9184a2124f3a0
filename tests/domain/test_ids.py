from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import base62, lane_of, named_in, opaque_id, parse_opaque_id, uuid7

UUIDS = st.uuids()


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_says_its_version_its_variant_and_its_time(unix_ms: int, tail: bytes) -> None:
    made = uuid7(unix_ms, tail)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == unix_ms


def test_later_ids_sort_behind_earlier_ones() -> None:
    assert uuid7(1_000) < uuid7(1_001) < uuid7(2_000_000_000_000)


@given(UUIDS, UUIDS)
def test_an_opaque_id_carries_its_customer_and_itself(customer_id: UUID, own_id: UUID) -> None:
    assert parse_opaque_id("cmp", opaque_id("cmp", customer_id, own_id)) == (customer_id, own_id)


@pytest.mark.parametrize(
    "text", ["", "cmp", "cmp_", "cmp_" + "0" * 42, "cmp_" + "z" * 43, "cmp_" + "-" * 43, "hld_" + "0" * 43]
)
def test_what_is_not_an_opaque_id_is_none(text: str) -> None:
    assert parse_opaque_id("cmp", text) is None


def test_base62_counts_like_any_other_base() -> None:
    assert (base62(0, 1), base62(61, 1), base62(62, 2), base62(62**2, 6)) == ("0", "z", "10", "000100")


@given(UUIDS, st.sampled_from([1, 2, 4, 8, 32]))
def test_a_lane_of_few_is_made_of_whole_lanes_of_many(customer_id: UUID, lanes: int) -> None:
    assert lane_of(customer_id, lanes) == lane_of(customer_id, 32) * lanes // 32


def test_the_customers_of_an_answer_are_found_in_it() -> None:
    ada, own = uuid7(1), uuid7(2)
    answer = {
        "customer_id": str(ada),
        "rows": [{"id": opaque_id("note", own, ada)}, {"link": f"/s/{opaque_id('inv', ada, own)}"}],
        "name": "Ada",
        "n": 3,
        "nothing": None,
    }
    assert named_in(answer) == {ada, own}
    assert named_in({"id": "note_" + "z" * 43, "short": "note_1"}) == set()
