"""Scoring models: their records, which one is active, and which one was when."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from app.domain.health.versions import Gate
from app.domain.ids import uuid7


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model's numbers were found: JSON values, None where nobody said."""

    priors: Any = None
    windows: Any = None
    row_counts: Any = None
    data_hash: str | None = None


BY_HAND: Final = Origin()
"""Nobody said."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version and what became of it. `parameters` never change; `gate` is None until it was tried."""

    version: str
    status: str
    parameters: dict[str, Any]
    created_at: datetime
    created_by: str
    origin: Origin = BY_HAND
    backtest: Any = None
    gate: Gate | None = None
    published_at: datetime | None = None
    approved_by: str | None = None
    forced_reason: str | None = None


class ModelPlace(NamedTuple):
    """Where a model stands in the list."""

    created_at: datetime
    version: str


# JSON as text: SQLAlchemy's connections decode it and bare ones do not.
_COLUMNS: Final = """version, status, parameters::text AS parameters, priors::text AS priors, windows::text AS windows,
  row_counts::text AS row_counts, data_hash, backtest::text AS backtest, gate::text AS gate, created_at, created_by,
  published_at, approved_by, forced_reason"""

_INSERT: Final = """
INSERT INTO scoring_models (
  version, status, parameters, priors, windows, row_counts, data_hash, backtest, gate, created_at, created_by
)
VALUES (
  $1, $2, $3::text::jsonb, $4::text::jsonb, $5::text::jsonb, $6::text::jsonb, $7, $8::text::jsonb, $9::text::jsonb,
  $10, $11
)
ON CONFLICT DO NOTHING
"""

# All of them, few as they are: which one is active may change while we wait for its row. In one order, against circles.
_LOCK: Final = "SELECT FROM scoring_models ORDER BY version FOR UPDATE"


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _model(row: asyncpg.Record) -> StoredModel:
    gate = _value(row["gate"])
    return StoredModel(
        version=row["version"],
        status=row["status"],
        parameters=json.loads(row["parameters"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        origin=Origin(
            _value(row["priors"]), _value(row["windows"]), _value(row["row_counts"]), row["data_hash"]
        ),
        backtest=_value(row["backtest"]),
        gate=None if gate is None else Gate(gate["passed"], tuple(gate["reasons"])),
        published_at=row["published_at"],
        approved_by=row["approved_by"],
        forced_reason=row["forced_reason"],
    )


def _gate(gate: Gate | None) -> str | None:
    return None if gate is None else _json({"passed": gate.passed, "reasons": list(gate.reasons)})


async def insert(connection: asyncpg.Connection, model: StoredModel) -> bool:
    """Write a new version down; False when there is one of this name."""
    origin = model.origin
    status = await connection.execute(
        _INSERT,
        model.version,
        model.status,
        _json(model.parameters),
        _json(origin.priors),
        _json(origin.windows),
        _json(origin.row_counts),
        origin.data_hash,
        _json(model.backtest),
        _gate(model.gate),
        model.created_at,
        model.created_by,
    )
    return bool(status == "INSERT 0 1")


async def find(connection: asyncpg.Connection, version: str) -> StoredModel | None:
    """The model of this version."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM scoring_models WHERE version = $1",  # noqa: S608 - a constant of this module
        version,
    )
    return None if row is None else _model(row)


async def active(connection: asyncpg.Connection) -> StoredModel | None:
    """The model that scores now."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM scoring_models WHERE status = 'active'"  # noqa: S608 - a constant of this module
    )
    return None if row is None else _model(row)


async def active_version(connection: asyncpg.Connection) -> str | None:
    """The name of the model that scores now: asked for twice a second by every process."""
    version: str | None = await connection.fetchval(
        "SELECT version FROM scoring_models WHERE status = 'active'"
    )
    return version


async def newest(
    connection: asyncpg.Connection, limit: int, before: ModelPlace | None = None
) -> list[StoredModel]:
    """All versions, the newest first."""
    arguments: list[object] = [limit]
    condition = "true"
    if before is not None:
        arguments += before
        condition = "(created_at, version) < ($2, $3)"
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM scoring_models WHERE {condition} ORDER BY created_at DESC, version DESC LIMIT $1
        """,  # noqa: S608 - constants of this module
        *arguments,
    )
    return [_model(row) for row in rows]


async def lock(connection: asyncpg.Connection, version: str) -> StoredModel | None:
    """The model of this version. Nobody else may publish until the transaction ends."""
    await connection.execute(_LOCK)
    return await find(connection, version)


async def publish(
    connection: asyncpg.Connection, version: str, now: datetime, approved_by: str, forced_reason: str | None
) -> None:
    """Let a locked model score from `now` on instead of the one that did."""
    await connection.execute(
        "UPDATE scoring_models SET status = 'retired' WHERE status = 'active' AND version <> $1", version
    )
    await connection.execute(
        """
        UPDATE scoring_models
        SET status = 'active', published_at = $2, approved_by = $3, forced_reason = $4
        WHERE version = $1
        """,
        version,
        now,
        approved_by,
        forced_reason,
    )
    await connection.execute(
        """
        INSERT INTO scoring_model_publications (id, version, published_at, approved_by, forced_reason)
        VALUES ($1, $2, $3, $4, $5)
        """,
        uuid7(int(now.timestamp() * 1000)),
        version,
        now,
        approved_by,
        forced_reason,
    )


async def save_backtest(
    connection: asyncpg.Connection, version: str, backtest: Any, gate: Gate | None
) -> None:
    """Write down how well a model predicts, and whether that lets it through the gate."""
    await connection.execute(
        "UPDATE scoring_models SET backtest = $2::text::jsonb, gate = $3::text::jsonb WHERE version = $1",
        version,
        _json(backtest),
        _gate(gate),
    )


async def publications(connection: asyncpg.Connection) -> list[tuple[datetime, dict[str, Any]]]:
    """When which parameters began to score, in order."""
    rows = await connection.fetch(
        """
        SELECT p.published_at, m.parameters::text
        FROM scoring_model_publications p JOIN scoring_models m ON m.version = p.version
        ORDER BY p.published_at, p.id
        """
    )
    return [(row[0], json.loads(row[1])) for row in rows]
