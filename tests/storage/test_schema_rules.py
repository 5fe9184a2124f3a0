"""The rules that let the same schema run on PostgreSQL and on Citus (CONTRIBUTING.md), checked on the metadata."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID

from app.storage import migrate, tables, touchpoints
from app.storage.tables import metadata

ALL = list(metadata.tables.values())
REFERENCE = {
    "api_keys",
    "audit_log",
    "rate_usage",
    "calendars",
    "scoring_models",
    "scoring_model_publications",
    "state_replays",
    "touchpoint_kinds",
    "surveys",
    "survey_looks",
    "kept_secrets",
    "loyalty_programs",
    "loyalty_versions",
    "loyalty_rewards",
    "retention_runs",
}
GLOBAL_KEYS = {
    "identifier_claims",
    "idempotency_keys",
    "complaint_references",
    "erased_identifiers",
    "survey_scopes",
    "loyalty_coupons",
    "referral_codes",
    "referred_customers",
}
SCOPED = [table for table in ALL if "customer_id" in table.c and table.name not in GLOBAL_KEYS]

each_table = pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
each_scoped_table = pytest.mark.parametrize("table", SCOPED, ids=lambda table: table.name)


def test_every_table_is_customers_scoped_reference_or_a_global_key() -> None:
    assert {table.name for table in ALL} == {"customers"} | {
        table.name for table in SCOPED
    } | REFERENCE | GLOBAL_KEYS


@each_scoped_table
def test_customer_id_leads_the_primary_key_and_is_part_of_every_unique_index(table: Table) -> None:
    assert not table.c.customer_id.nullable
    assert next(iter(table.primary_key.columns)).name == "customer_id"
    unique = [index.columns for index in table.indexes if index.unique]
    unique += [
        constraint.columns for constraint in table.constraints if isinstance(constraint, UniqueConstraint)
    ]
    assert all("customer_id" in columns for columns in unique)


@each_table
def test_keys_are_made_by_the_application(table: Table) -> None:
    for column in table.primary_key.columns:
        assert column.server_default is None
        assert column.identity is None
        assert column.autoincrement in (False, "auto")
        # A number may be part of a key where the application counts, under a lock.
        assert column.type.python_type is not int or column.autoincrement is False
    # a touchpoint's id is its caller's
    if "id" in table.c and table.name not in ("touchpoints", "touchpoint_voids"):
        assert isinstance(table.c.id.type, UUID)


@each_table
def test_foreign_keys_lead_to_the_customer_or_stay_with_it(table: Table) -> None:
    for constraint in table.foreign_key_constraints:
        assert table.name not in REFERENCE | GLOBAL_KEYS
        assert constraint.ondelete is None
        assert "customer_id" in constraint.column_keys


def test_global_uniqueness_has_tables_of_its_own() -> None:
    claims = metadata.tables["identifier_claims"]
    assert [column.name for column in claims.primary_key.columns] == ["value_key", "type"]


def test_foreign_keys_are_named_and_added_by_alter() -> None:
    for script in _migrations():
        assert "ForeignKeyConstraint" not in script
        assert re.search(r"ondelete|SET NULL|CASCADE", script) is None


def test_no_statement_uses_what_a_shard_could_not_repeat() -> None:
    """No triggers, rules, MERGE or sequences; no clock and no chance inside an UPDATE."""
    for source in (*_migrations(), *_storage()):
        assert (
            re.search(r"CREATE (TRIGGER|RULE|SEQUENCE)|\bMERGE INTO\b|SERIALIZABLE|\bnextval\b", source)
            is None
        )
        assert (
            re.search(r"\b(UPDATE|DO UPDATE)\b[^;\"]*\b(now\(\)|clock_timestamp|random\(\))", source) is None
        )


def test_many_rows_are_inserted_with_an_on_conflict_clause() -> None:
    """But for the log's INSERT in a statement that must undo itself (docs/adr/0011-look-then-write-unchanged.md)."""
    insert = touchpoints.insert(touchpoints.ROWS.of_json("$1::text::json", "new"))
    assert "ON CONFLICT" in insert
    for source in _storage():
        for statement in re.findall(r"INSERT INTO .*?(?=\"\"\"|\Z)", source, re.DOTALL):
            assert "unnest" not in statement or "ON CONFLICT" in statement or statement in insert


def test_the_log_is_append_only() -> None:
    log = {"touchpoints", "touchpoint_voids", "complaint_log", "compensations", "loyalty_entries"}
    log |= {"consent_log", "erasures", "audit_log"}
    assert log <= set(tables.APPEND_ONLY)


def _migrations() -> list[str]:
    return [path.read_text() for path in (migrate.MIGRATIONS / "versions").glob("*.py")]


def _storage() -> list[str]:
    return [path.read_text() for path in Path(migrate.__file__).parent.rglob("*.py")]
