"""Scoring models: their records, which one is active, and which one was when."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from app.domain.health.drift import Drift
from app.domain.health.versions import Gate
from app.domain.ids import uuid7
from app.storage import states


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model's numbers were found: JSON values, None where nobody said."""

    priors: Any = None
    windows: Any = None
    row_counts: Any = None
    data_hash: str | None = None


BY_HAND: Final = Origin()
"""Nobody said."""


class SeenDrift(NamedTuple):
    """What a look at `checked_at` found in the window from `opened_at` until then."""

    checked_at: datetime
    opened_at: datetime
    drift: Drift


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version and what became of it. `parameters` never change; `gate` is None until it was tried.

    `draining_since`: another one is active since then, and this one scores those whose states have its half-lives.
    """

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
    draining_since: datetime | None = None
    drift: SeenDrift | None = None


class ModelPlace(NamedTuple):
    """Where a model stands in the list."""

    created_at: datetime
    version: str


# JSON as text: SQLAlchemy's connections decode it and bare ones do not.
_COLUMNS: Final = """version, status, parameters::text AS parameters, priors::text AS priors, windows::text AS windows,
  row_counts::text AS row_counts, data_hash, backtest::text AS backtest, gate::text AS gate, created_at, created_by,
  published_at, approved_by, forced_reason, draining_since, drift::text AS drift"""

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
        draining_since=row["draining_since"],
        drift=_seen(_value(row["drift"])),
    )


def _seen(told: Any) -> SeenDrift | None:
    if told is None:
        return None
    checked_at, opened_at = (datetime.fromisoformat(told[name]) for name in ("checked_at", "opened_at"))
    return SeenDrift(checked_at, opened_at, Drift(*(told[name] for name in Drift._fields)))


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


# The active one first, then those that it replaced among customers of other half-lives, the latest first.
_IN_PLAY: Final = (
    "FROM scoring_models WHERE status = 'active' ORDER BY draining_since DESC NULLS FIRST, version"
)


async def in_play(connection: asyncpg.Connection) -> list[StoredModel]:
    """The models that score somebody now, the active one first."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} {_IN_PLAY}")
    return [_model(row) for row in rows]


async def versions_in_play(connection: asyncpg.Connection) -> list[str]:
    """Their names: asked for twice a second by every process."""
    return [row[0] for row in await connection.fetch(f"SELECT version {_IN_PLAY}")]


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
    connection: asyncpg.Connection,
    version: str,
    now: datetime,
    approved_by: str,
    forced_reason: str | None,
    beside: Sequence[str] = (),
) -> None:
    """Let a locked model score from `now` on instead of the ones that did; those `beside` it go on with their own."""
    await connection.execute(
        """
        UPDATE scoring_models
        SET status = 'retired', draining_since = NULL
        WHERE status = 'active' AND version <> ALL ($1::text[])
        """,
        [version, *beside],
    )
    await connection.execute(
        """
        UPDATE scoring_models
        SET draining_since = $2
        WHERE status = 'active' AND draining_since IS NULL AND version = ANY ($1::text[])
        """,
        list(beside),
        now,
    )
    await connection.execute(
        """
        UPDATE scoring_models
        SET status = 'active', draining_since = NULL, published_at = $2, approved_by = $3, forced_reason = $4
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


async def retire_unused(connection: asyncpg.Connection, draining_before: datetime) -> list[str]:
    """Retire the models that score nobody any more and were replaced before `draining_before`; their versions."""
    versions = await versions_in_play(connection)
    # Who was drawn by a model before these may have any half-lives: first the sweep draws them anew.
    if len(versions) == 1 or await states.outdated(connection, versions, 1):
        return []
    rows = await connection.fetch(
        """
        UPDATE scoring_models m
        SET status = 'retired', draining_since = NULL
        WHERE m.draining_since < $1
          AND NOT EXISTS (SELECT FROM customer_states s WHERE s.scored_by = m.version)
        RETURNING m.version
        """,
        draining_before,
    )
    return [row[0] for row in rows]


async def claim_drift(
    connection: asyncpg.Connection,
    version: str,
    now: datetime,
    checked_before: datetime,
    claimed_before: datetime,
) -> bool:
    """Whether the caller is the one to look: nobody has since `checked_before`, nor begun to since `claimed_before`."""
    status = await connection.execute(
        """
        UPDATE scoring_models
        SET drift_claimed_at = $2
        WHERE version = $1 AND status = 'active' AND draining_since IS NULL
          AND (drift IS NULL OR (drift ->> 'checked_at')::timestamptz <= $3)
          AND (drift_claimed_at IS NULL OR drift_claimed_at <= $4
            OR drift_claimed_at <= (drift ->> 'checked_at')::timestamptz)
        """,
        version,
        now,
        checked_before,
        claimed_before,
    )
    return bool(status == "UPDATE 1")


async def save_drift(connection: asyncpg.Connection, version: str, seen: SeenDrift) -> None:
    """Write down what a look found."""
    told = seen.drift._asdict() | {
        "checked_at": seen.checked_at.isoformat(),
        "opened_at": seen.opened_at.isoformat(),
    }
    await connection.execute(
        "UPDATE scoring_models SET drift = $2::text::jsonb WHERE version = $1", version, _json(told)
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
