"""Loyalty programmes: what points are, which rules were in force when, and the end of a programme."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, RootModel

from app.api.bodies import body
from app.api.deps import Now, Programs, Reader, Tx, after_commit, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR
from app.domain.keys import Caller
from app.domain.problems import Conflict, refused
from app.storage.database import driver
from app.storage.loyalty import programs
from app.storage.loyalty.programs import Program, StoredVersion
from app.usecases.loyalty import keep_programs
from app.usecases.loyalty.remembered_programs import program_not_found
from app.usecases.record_audit import record_audit

router = APIRouter(prefix="/v1/loyalty/programs", tags=["loyalty"])

Admin = Annotated[Caller, requires("admin")]
Code = Annotated[str, Path(max_length=64, description="The programme's code.", examples=["main"])]
Number = Annotated[int, Path(ge=1, lt=2**31, description="The number of the version.", examples=[1])]
_STRICT: Final = ConfigDict(extra="forbid", strict=True)
_BY_CODE: Final[Cursor[str]] = Cursor(str)
_BY_NUMBER: Final[Cursor[int]] = Cursor(Annotated[int, Field(ge=1, lt=2**31)])  # type: ignore[arg-type]  # a bounded int
_LAST_NUMBER: Final = 2**31 - 1

_CLUB: Final = {"code": "main", "name": "Club", "currency": "EUR", "time_zone": "Europe/Berlin"}
_RULES: Final[dict[str, Any]] = {
    "earning_rules": [
        {"code": "base", "points": 1, "per_amount_minor": 100, "multiplier": "1"},
        {"code": "shoes", "multiplier": "2", "when": {"category": ["shoes"]}},
    ],
    "pending_days": 14,
    "expiry_months": 12,
    "expiry_rounding": "month_end",
    "clawback": "within_balance",
    "tiers": [
        {"code": "base", "threshold": 0, "multiplier": "1"},
        {"code": "silver", "threshold": 500, "multiplier": "1.25"},
    ],
}


class ProgramIn(BaseModel):
    """A programme to write down. Its terms never change; its rules are versions."""

    model_config = _STRICT

    code: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    currency: Annotated[
        str, Field(description="ISO 4217; amounts in another one need the order's exchange rate.")
    ]
    time_zone: Annotated[str, Field(max_length=64, description="An IANA name: days and months are its.")]


class ProgramOut(BaseModel):
    """A programme. It is open while `closed_at` is null or ahead."""

    code: str
    name: str
    currency: str
    time_zone: str
    created_at: datetime
    closed_at: datetime | None = Field(description="From then on nothing earns.")
    ends_at: datetime | None = Field(description="Then all that is left expires.")


class VersionIn(RootModel[dict[str, Any]]):
    """The rules: earning rules, days pending, expiry, clawback, tiers, limits. What is left out has the default."""


class VersionOut(BaseModel):
    """A version of a programme's rules; once published it never changes, and `sha256` says so."""

    program: str
    version: int
    status: Annotated[str, Field(description="draft or published.")]
    rules: dict[str, Any]
    sha256: str
    effective_from: datetime | None
    created_at: datetime
    created_by: str
    published_at: datetime | None
    published_by: str | None


class PublicationIn(BaseModel):
    """From when on a version is in force."""

    model_config = _STRICT

    effective_from: Annotated[
        Moment | None,
        Field(strict=False, description="null: now. Only a first version may begin in the past."),
    ] = None


class ClosingIn(BaseModel):
    """The end of a programme."""

    model_config = _STRICT

    closed_at: Annotated[
        Moment | None, Field(strict=False, description="From when on nothing earns; null: now.")
    ] = None
    ends_at: Annotated[Moment, Field(strict=False, description="Until when points can be spent.")]


def _shown(program: Program) -> ProgramOut:
    return ProgramOut.model_validate({name: getattr(program, name) for name in ProgramOut.model_fields})


def _version_shown(one: StoredVersion) -> VersionOut:
    return VersionOut(
        program=one.program,
        version=one.number,
        status=one.status,
        rules=one.body,
        sha256=one.sha256.hex(),
        effective_from=one.effective_from,
        created_at=one.created_at,
        created_by=one.created_by,
        published_at=one.published_at,
        published_by=one.published_by,
    )


_RULES_REFUSED: Final = (
    refused("#/earning_rules/0/per_amount", "unknown_member", "is not known"),
    refused("#/clawback", "unknown_value", "must be one of only_pending, within_balance, unlimited"),
    refused("#/pending_days", "invalid_number", "must be a whole number from 0 to 366"),
    refused(
        "#/earning_rules/0/multiplier", "invalid_multiplier", 'must be a decimal string, for example "1.25"'
    ),
    refused("#/earning_rules", "invalid_rule", "a rule names a tier that there is not"),
    refused("#/earning_rules", "duplicate_code", "each code stands for one rule"),
    refused("#/tiers", "invalid_tiers", "thresholds begin at 0 and rise"),
    refused("#/expiry_months", "expires_while_pending", "points must live longer than they are pending"),
    refused("#/earning_rules", "invalid_list", "must be a list of at most 200 objects"),
    refused("#/earning_rules/0", "invalid_type", "must be an object"),
    refused("#/earning_rules/0/code", "property_required", "is needed"),
    refused("#/earning_rules/0/code", "invalid_text", "must be a text of 1 to 64 characters"),
    refused(
        "#/earning_rules/0/when/from", "invalid_time", "must be a time, for example 2026-11-20T10:15:00Z"
    ),
    refused("#/earning_rules/0/when/from", "naive_time", "needs an offset from UTC"),
)


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": ProgramOut, "description": "There is such a programme already."},
        **problems(
            refused("#/currency", "unknown_currency", "must be an ISO 4217 code"),
            refused("#/time_zone", "unknown_timezone", "must be an IANA name, for example Europe/Berlin"),
            keep_programs.program_exists(),
            keep_programs.too_many_programs(),
        ),
    },
)
async def post_program(
    caller: Admin,
    sent: Annotated[ProgramIn, body(ProgramIn, examples={"a club": _CLUB})],
    tx: Tx,
    remembered: Programs,
    now: Now,
    response: Response,
) -> ProgramOut:
    """Write a programme down. Nothing earns until a version of its rules is published."""
    connection = await driver(tx)
    made, is_new = await keep_programs.create_program(connection, sent.model_dump(), caller.source, now)
    if is_new:
        told = {"currency": made.currency, "time_zone": made.time_zone}
        await record_audit(
            connection, caller.actor, "program_created", f"program:{made.code}", None, told, now
        )
    response.status_code = 201 if is_new else 200
    rules = await programs.all_rules(connection)
    after_commit(tx, lambda: remembered.adopt(rules))
    return _shown(made)


@router.get("", responses=problems(INVALID_CURSOR))
async def list_programs(
    _caller: Annotated[Caller, requires("loyalty:read")], page: Paging, reader: Reader
) -> Page[ProgramOut]:
    """The programmes, by their codes."""
    found = await programs.listed(await driver(reader), page.fetch, page.after(_BY_CODE) or "")
    return page.answer(found, _shown, _BY_CODE, lambda one: one.code)


@router.get("/{code}", responses=problems(program_not_found()))
async def get_program(
    _caller: Annotated[Caller, requires("loyalty:read")], code: Code, reader: Reader, response: Response
) -> ProgramOut:
    """One programme."""
    found = await keep_programs.existing_program(await driver(reader), code)
    response.headers["ETag"] = f'"{found.revision}"'
    return _shown(found)


@router.post(
    "/{code}/close",
    responses=problems(
        program_not_found(),
        keep_programs.program_closed(),
        refused("#/closed_at", "in_the_past", "must not lie in the past"),
        refused("#/ends_at", "invalid_window", "must not be before closed_at"),
    ),
)
async def close_program(
    caller: Admin,
    code: Code,
    sent: Annotated[
        ClosingIn, body(ClosingIn, examples={"at the end of 2027": {"ends_at": "2027-12-31T23:00:00Z"}})
    ],
    tx: Tx,
    remembered: Programs,
    now: Now,
) -> ProgramOut:
    """Let a programme end: from one time on nothing earns, at another all that is left expires."""
    connection = await driver(tx)
    was = await keep_programs.existing_program(connection, code)
    closed = await keep_programs.close_program(connection, code, sent.closed_at, sent.ends_at, now)
    if was.closed_at is None:
        told = {"closed_at": closed.closed_at, "ends_at": closed.ends_at}
        await record_audit(
            connection, caller.actor, "program_closed", f"program:{code}", {"closed_at": None}, told, now
        )
    rules = await programs.all_rules(connection)
    after_commit(tx, lambda: remembered.adopt(rules))
    return _shown(closed)


@router.post(
    "/{code}/versions",
    status_code=201,
    responses=problems(program_not_found(), keep_programs.too_many_versions(), *_RULES_REFUSED),
)
async def post_program_version(
    caller: Admin,
    code: Code,
    sent: Annotated[VersionIn, body(VersionIn, examples={"a point per euro": _RULES})],
    tx: Tx,
    now: Now,
) -> VersionOut:
    """Draft the next version of a programme's rules. A draft decides nothing until it is published."""
    connection = await driver(tx)
    drafted = await keep_programs.draft_version(connection, code, sent.root, caller.source, now)
    told = {"version": drafted.number, "digest": drafted.sha256.hex()}
    await record_audit(
        connection, caller.actor, "program_version_drafted", f"program:{code}", None, told, now
    )
    return _version_shown(drafted)


@router.get("/{code}/versions", responses=problems(program_not_found(), INVALID_CURSOR))
async def list_program_versions(
    _caller: Annotated[Caller, requires("loyalty:read")], code: Code, page: Paging, reader: Reader
) -> Page[VersionOut]:
    """The versions of a programme, the newest first."""
    connection = await driver(reader)
    await keep_programs.existing_program(connection, code)
    before = page.after(_BY_NUMBER) or _LAST_NUMBER
    found = await programs.newest_versions(connection, code, page.fetch, before)
    return page.answer(found, _version_shown, _BY_NUMBER, lambda one: one.number)


@router.get("/{code}/versions/{version}", responses=problems(keep_programs.version_not_found()))
async def get_program_version(
    _caller: Annotated[Caller, requires("loyalty:read")], code: Code, version: Number, reader: Reader
) -> VersionOut:
    """One version of a programme's rules."""
    return _version_shown(await keep_programs.existing_version(await driver(reader), code, version))


@router.post(
    "/{code}/versions/{version}/publish",
    responses=problems(
        program_not_found(),
        keep_programs.version_not_found(),
        keep_programs.already_published(),
        keep_programs.version_altered(),
        Conflict(
            "already_in_force",
            "A version cannot begin before now, nor before one that is published.",
            earliest="2026-11-22T10:00:00+00:00",
        ),
    ),
)
async def publish_program_version(
    caller: Admin,
    code: Code,
    version: Number,
    sent: Annotated[
        PublicationIn,
        body(
            PublicationIn,
            examples={"next year": {"effective_from": "2027-01-01T00:00:00+01:00"}},
            optional=True,
        ),
    ],
    tx: Tx,
    remembered: Programs,
    now: Now,
) -> VersionOut:
    """Promise these rules from an instant on. They never change again; a later version takes their place."""
    connection = await driver(tx)
    done = await keep_programs.publish_version(
        connection, code, version, sent.effective_from, caller.source, now
    )
    if done.published_at == now:  # else it was published before
        told = {"version": done.number, "effective_from": done.effective_from, "digest": done.sha256.hex()}
        await record_audit(
            connection, caller.actor, "program_version_published", f"program:{code}", None, told, now
        )
    rules = await programs.all_rules(connection)
    after_commit(tx, lambda: remembered.adopt(rules))
    return _version_shown(done)
