"""Every table, and every column of it, has a declared way to be exported, erased and anonymised."""

import pytest

from app.storage.privacy.holdings import HOLDINGS, NOT_ABOUT_CUSTOMERS
from app.storage.privacy.ways import Blank, ByHand, Holding
from app.storage.tables import metadata

each_holding = pytest.mark.parametrize("holding", HOLDINGS, ids=lambda one: one.table)


def test_every_table_is_either_about_customers_or_said_not_to_be() -> None:
    declared = [one.table for one in HOLDINGS]
    assert len(set(declared)) == len(declared)
    assert set(declared).isdisjoint(NOT_ABOUT_CUSTOMERS)
    missing = set(metadata.tables) - set(declared) - set(NOT_ABOUT_CUSTOMERS)
    assert not missing, f"app/storage/privacy/holdings.py must say what becomes of {sorted(missing)}"
    assert set(declared) | set(NOT_ABOUT_CUSTOMERS) == set(metadata.tables)


def test_no_table_with_a_customer_in_it_is_said_to_be_about_nobody() -> None:
    assert not [name for name in NOT_ABOUT_CUSTOMERS if "customer_id" in metadata.tables[name].c]


@each_holding
def test_what_stays_is_said_column_by_column(holding: Holding) -> None:
    columns = {column.name for column in metadata.tables[holding.table].c}
    for way in (holding.erase, holding.anonymise):
        if isinstance(way, Blank):
            assert way.kept.isdisjoint(way.cleared)
            assert way.kept | set(way.cleared) == columns
        if isinstance(way, ByHand):
            assert way.how


@each_holding
def test_an_export_leaves_out_only_what_it_names(holding: Holding) -> None:
    columns = {column.name for column in metadata.tables[holding.table].c}
    assert set(holding.withheld) <= columns
    assert all(holding.withheld.values())
    assert holding.not_exported is None or holding.not_exported
