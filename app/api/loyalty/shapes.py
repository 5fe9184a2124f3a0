"""What accounts look like on the wire, wherever they are shown."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import BaseModel, Field

from app.domain.loyalty.account import Entry
from app.domain.loyalty.balances import Balance
from app.domain.loyalty.public_ids import entry_id
from app.domain.loyalty.tiers import Projection, Standing
from app.domain.problems import refused
from app.storage.loyalty.entries import Face
from app.usecases.loyalty.remembered_programs import program_not_found

ProgramQuery = Annotated[
    str | None,
    Query(
        alias="program", max_length=64, description="The programme's code; by default the oldest open one."
    ),
]
PROGRAM_NOT_FOUND: Final = program_not_found()
IN_THE_FUTURE: Final = refused("#/query/as_of", "in_the_future", "must not lie in the future")


class Expiration(BaseModel):
    """Points that lapse unless they are spent before."""

    points: int
    expires_at: datetime


class Activation(BaseModel):
    """Points that become active."""

    points: int
    activates_at: datetime


class BalanceOut(BaseModel):
    """What a customer has. `available` is what can be spent, less the debt: it may be negative."""

    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int
    lifetime_burned: int
    lifetime_expired: int
    next_expirations: list[Expiration]
    next_activations: list[Activation]
    as_of_seq: Annotated[int, Field(description="The number of the last entry that is in it.")]


class TierOut(BaseModel):
    """Where a member stands. `projected`: the tier after the next review if nothing more is earned."""

    code: str
    since: datetime
    review_at: datetime
    grace_until: datetime | None
    points_to_next: int | None
    points_to_keep: int | None
    projected: str | None


class LoyaltyOut(BalanceOut):
    """What a customer has, and where they stand."""

    program: str
    tier: TierOut | None


class EntryOut(BaseModel):
    """A line of the ledger; never changed. `hash` covers all of it and `previous_hash`."""

    id: str
    program: str
    seq: int
    kind: str
    points: int
    at: datetime
    effective_at: datetime
    key: str
    debt_change: int
    forgiven: int
    qualifying: int
    activates_at: datetime | None
    expires_at: datetime | None
    tier: str | None
    movements: list[dict[str, Any]]
    hash: str
    previous_hash: str


def balance_members(one: Balance, seq: int) -> dict[str, Any]:
    """A balance on the wire."""
    return {
        **{
            name: getattr(one, name)
            for name in BalanceOut.model_fields
            if not name.startswith(("next_", "as_of"))
        },
        "next_expirations": [{"points": due.points, "expires_at": due.at} for due in one.next_expirations],
        "next_activations": [{"points": due.points, "activates_at": due.at} for due in one.next_activations],
        "as_of_seq": seq,
    }


def tier_members(standing: Standing | None, ahead: Projection | None) -> dict[str, Any] | None:
    """A tier on the wire; None before the first entry."""
    if standing is None:
        return None
    return {
        "code": standing.tier,
        "since": standing.since,
        "review_at": standing.review_at,
        "grace_until": standing.grace_until,
        "points_to_next": None if ahead is None else ahead.points_to_next,
        "points_to_keep": None if ahead is None else ahead.points_to_keep,
        "projected": None if ahead is None else ahead.projected,
    }


def entry_shown(customer_id: Any, face: Face, entry: Entry) -> EntryOut:
    """An entry on the wire."""
    return EntryOut(
        id=entry_id(customer_id, face.account_id, entry.seq),
        program=face.program,
        seq=entry.seq,
        kind=entry.kind,
        points=entry.points,
        at=entry.at,
        effective_at=entry.effective_at,
        key=entry.key,
        debt_change=entry.debt_change,
        forgiven=entry.forgiven,
        qualifying=entry.qualifying,
        activates_at=entry.activates_at,
        expires_at=entry.expires_at,
        tier=entry.tier,
        movements=[{"lot": one.lot, "what": one.what, "points": one.points} for one in entry.movements],
        hash=entry.hash.hex(),
        previous_hash=entry.previous.hex(),
    )
