"""A customer's points: now, at another time, line by line, and the proof that they add up."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.deps import Now, Programs, Reader, requires
from app.api.loyalty.shapes import (
    IN_THE_FUTURE,
    PROGRAM_NOT_FOUND,
    BalanceOut,
    LoyaltyOut,
    ProgramQuery,
    TierOut,
    balance_members,
    tier_members,
)
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS, Named
from app.domain.keys import Caller
from app.domain.loyalty.tiers import Change
from app.domain.problems import refused
from app.storage.database import driver
from app.usecases.loyalty.read_account import (
    read_balance,
    read_loyalty,
    read_statement,
    too_many_entries,
    verify_account,
)
from app.usecases.loyalty.read_tiers import read_tiers

router = APIRouter(prefix="/v1/customers/{customer}/loyalty", tags=["loyalty"])

Member = Annotated[Caller, requires("loyalty:read")]
_PROBLEMS: Final = (*NAMED_PROBLEMS, PROGRAM_NOT_FOUND)
_BY_NUMBER: Final[Cursor[int]] = Cursor(Annotated[int, Field(ge=1, lt=2**31)])  # type: ignore[arg-type]  # a bounded int
_INVALID_WINDOW: Final = refused("#/query/to", "invalid_window", "must be after from")


class StandingOut(BaseModel):
    """The tier of a member; null before the first entry."""

    program: str
    tier: TierOut | None


class TierChangeOut(BaseModel):
    """One move between tiers; `passed` are all that it reached, the last one held."""

    at: datetime
    was: Annotated[str, Field(serialization_alias="from")]
    to: str
    why: Literal["upgrade", "downgrade", "manual", "version"]
    passed: list[str]


def _change_shown(change: Change) -> TierChangeOut:
    return TierChangeOut(
        at=change.at, was=change.before, to=change.after, why=change.why, passed=list(change.passed)
    )


class LineOut(BaseModel):
    """One entry of a statement, with the sum of all entries after it."""

    seq: int
    at: datetime
    kind: str
    points: int
    balance: int


class StatementOut(BaseModel):
    """The entries of a time, between the sums before and after them."""

    program: str
    opening: int
    lines: list[LineOut]
    closing: int


class FindingOut(BaseModel):
    """What does not hold, from which entry on (0: the cached row)."""

    seq: int
    fault: str


class VerificationOut(BaseModel):
    """Whether the chain, the sums and the cached row agree."""

    program: str
    entries: int
    head: Annotated[
        str, Field(description="The hash of the last entry; keep it to prove later what stood here.")
    ]
    is_sound: bool
    findings: list[FindingOut]


@router.get("", responses=problems(*_PROBLEMS))
async def get_loyalty(
    _caller: Member,
    named: Named,
    reader: Reader,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
) -> LoyaltyOut | None:
    """Points and tier as of now; null where no programme was ever published."""
    found = await read_loyalty(await driver(reader), named, program, remembered.current, now)
    if found is None:
        return None
    members = balance_members(found.balance, found.loaded.account.seq)
    tier = tier_members(found.standing, found.projection)
    return LoyaltyOut(**members, program=found.loaded.program, tier=None if tier is None else TierOut(**tier))


@router.get("/tier", responses=problems(*_PROBLEMS, IN_THE_FUTURE, too_many_entries()))
async def get_loyalty_tier(
    _caller: Member,
    named: Named,
    reader: Reader,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
    as_of: Annotated[
        Moment | None, Query(description="By what was known then: the answer never changes. By default now.")
    ] = None,
) -> StandingOut:
    """The tier at a time."""
    found = await read_tiers(await driver(reader), named, program, as_of, remembered.current, now)
    tier = tier_members(found.standing, found.projection)
    return StandingOut(program=found.program, tier=None if tier is None else TierOut(**tier))


@router.get("/tiers", responses=problems(*_PROBLEMS, INVALID_CURSOR, too_many_entries()))
async def list_loyalty_tiers(
    _caller: Member,
    named: Named,
    page: Paging,
    reader: Reader,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
) -> Page[TierChangeOut]:
    """Every move between tiers, the newest first."""
    found = await read_tiers(await driver(reader), named, program, None, remembered.current, now)
    before = page.after(_BY_NUMBER)
    numbered = list(enumerate(found.changes, 1))[: None if before is None else max(before - 1, 0)]
    newest = numbered[::-1][: page.fetch]
    return page.answer(newest, lambda one: _change_shown(one[1]), _BY_NUMBER, lambda one: one[0])


@router.get("/balance", responses=problems(*_PROBLEMS, IN_THE_FUTURE, too_many_entries()))
async def get_loyalty_balance(
    _caller: Member,
    named: Named,
    reader: Reader,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
    as_of: Annotated[
        Moment | None, Query(description="By the time of entries: the answer never changes. By default now.")
    ] = None,
) -> BalanceOut:
    """The balance at a time."""
    _, then, seq = await read_balance(await driver(reader), named, program, as_of, remembered.current, now)
    return BalanceOut(**balance_members(then, seq))


@router.get("/statement", responses=problems(*_PROBLEMS, _INVALID_WINDOW, too_many_entries()))
async def get_loyalty_statement(
    _caller: Member,
    named: Named,
    reader: Reader,
    remembered: Programs,
    now: Now,
    since: Annotated[Moment, Query(alias="from", description="The first instant.")],
    until: Annotated[
        Moment | None, Query(alias="to", description="The first instant after; by default now.")
    ] = None,
    program: ProgramQuery = None,
) -> StatementOut:
    """The entries of a time, between the sums before and after them."""
    found, told = await read_statement(
        await driver(reader), named, program, since, now if until is None else until, remembered.current, now
    )
    lines = [LineOut.model_validate(line._asdict()) for line in told.lines]
    return StatementOut(program=found.loaded.program, opening=told.opening, lines=lines, closing=told.closing)


@router.get("/verify", responses=problems(*_PROBLEMS, too_many_entries()))
async def get_loyalty_verification(
    _caller: Member,
    named: Named,
    reader: Reader,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
) -> VerificationOut:
    """Prove the account: its hash chain, its sums, and the cached row against them."""
    found, findings = await verify_account(await driver(reader), named, program, remembered.current, now)
    return VerificationOut(
        program=found.loaded.program,
        entries=found.loaded.account.seq,
        head=found.loaded.account.head.hex(),
        is_sound=not findings,
        findings=[FindingOut(seq=one.seq, fault=one.fault) for one in findings],
    )
