"""Every table that says whose a row is has its way to another customer."""

from collections import Counter

import pytest
from sqlalchemy.schema import ColumnCollectionConstraint

from app.storage import merging
from app.storage.tables import metadata

SCOPED = [table.name for table in metadata.tables.values() if "customer_id" in table.c]
WAYS = Counter([*merging.BY_ORIGIN, *merging.PARTS, *merging.ONE_EACH, *merging.BY_RULE, *merging.STAYING])


@pytest.mark.parametrize("table", SCOPED)
def test_each_table_of_customers_has_one_way_to_be_merged(table: str) -> None:
    assert WAYS[table] == 1, f"{table}: say in app/storage/merging.py how a merge moves its rows"


def test_no_way_leads_nowhere() -> None:
    assert set(WAYS) == set(SCOPED)


@pytest.mark.parametrize("table", merging.BY_ORIGIN)
def test_what_moves_by_origin_always_has_one(table: str) -> None:
    assert not metadata.tables[table].c.origin_customer_id.nullable


@pytest.mark.parametrize("table", merging.BY_ORIGIN)
def test_ids_of_two_customers_never_collide(table: str) -> None:
    """A unique key holds what is unique in the shop (an id of ours, a claimed identifier), or the origin."""
    made = metadata.tables[table]
    keys = [set(made.primary_key.columns.keys())]
    keys += [
        set(one.columns.keys())
        for one in made.constraints
        if isinstance(one, ColumnCollectionConstraint) and str(one.name).startswith("uq_")
    ]
    unique = {"id"} if table not in ("touchpoints", "touchpoint_voids") else set()
    for key in keys:
        assert key & (unique | {"origin_customer_id", "value_key", "feedback_id", "invitation_id"}), (
            table,
            key,
        )


@pytest.mark.parametrize("table", merging.PARTS)
def test_a_part_moves_with_a_whole_that_moves_by_origin(table: str) -> None:
    whole = merging.PARTS[table]
    assert whole.column in metadata.tables[table].c
    assert whole.table in merging.BY_ORIGIN
