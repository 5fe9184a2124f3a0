"""Rewards: what points buy, in which numbers, for whom and until when; and the coupons that are handed out."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import Now, Programs, Reader, Tx, requires
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND, ProgramQuery
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR
from app.domain.keys import Caller
from app.domain.loyalty.rewards import MOST_CODES
from app.domain.problems import Fault, Stale, refused
from app.storage.database import driver
from app.storage.loyalty import rewards
from app.storage.loyalty.rewards import StoredReward
from app.usecases.loyalty import keep_rewards
from app.usecases.loyalty.remembered_programs import rules_named
from app.usecases.record_audit import record_audit

router = APIRouter(prefix="/v1/loyalty/rewards", tags=["loyalty"])

Admin = Annotated[Caller, requires("admin")]
Reading = Annotated[Caller, requires("loyalty:read")]
Code = Annotated[str, Path(max_length=64, description="The reward's code.", examples=["mug"])]
_STRICT: Final = ConfigDict(extra="forbid", strict=True)
_BY_CODE: Final[Cursor[str]] = Cursor(str)
_COUPON_BYTES: Final = 1024 * 1024
_Text = Annotated[str, Field(min_length=1, max_length=64)]
_Points = Annotated[int, Field(ge=1, lt=2**31)]
_Stock = Annotated[int, Field(ge=0, lt=2**53)]


class TermsIn(BaseModel):
    """The terms of a reward. null: no limit."""

    model_config = _STRICT

    stock: Annotated[_Stock | None, Field(description="How many are left.")] = None
    per_customer: Annotated[int | None, Field(ge=1, lt=2**53)] = None
    valid_from: Annotated[Moment | None, Field(strict=False)] = None
    valid_until: Annotated[Moment | None, Field(strict=False)] = None
    tier: Annotated[_Text | None, Field(description="For members of this tier and above.")] = None
    early_tier: Annotated[
        _Text | None, Field(description="Members of this tier and above need not wait for `valid_from`.")
    ] = None


class RewardIn(TermsIn):
    """A reward to write down."""

    code: _Text
    name: _Text
    points: Annotated[_Points, Field(description="What it costs.")]
    coupons: Annotated[
        Literal["given", "generated"] | None,
        Field(description="Whether each redemption hands out a code: of a list that you give, or a new one."),
    ] = None
    coupon_prefix: Annotated[
        str | None, Field(max_length=16, description="What generated codes begin with.")
    ] = None
    program: Annotated[str | None, Field(max_length=64, description="null: the oldest open one.")] = None


class RewardPatch(TermsIn):
    """What to change: members that are absent stay as they are. Code and coupons never change."""

    name: _Text | None = None
    points: _Points | None = None
    retired: Annotated[bool | None, Field(description="A retired one cannot be had any more.")] = None


class RewardOut(BaseModel):
    """A reward. `stock` is what is left of it."""

    program: str
    code: str
    name: str
    points: int
    stock: int | None
    per_customer: int | None
    valid_from: datetime | None
    valid_until: datetime | None
    tier: str | None
    early_tier: str | None
    coupons: Literal["given", "generated"] | None
    coupon_prefix: str
    created_at: datetime
    updated_at: datetime
    retired_at: datetime | None


class CouponsIn(BaseModel):
    """Codes to hand out, in this order."""

    model_config = _STRICT

    codes: Annotated[list[str], Field(min_length=1, max_length=MOST_CODES)]


class CouponsOut(BaseModel):
    """What became of the codes."""

    added: Annotated[int, Field(description="Those that the programme did not know.")]
    free: Annotated[int, Field(description="Codes of the reward that nobody has.")]


def _shown(one: StoredReward) -> RewardOut:
    reward = one.reward
    return RewardOut(
        program=one.program,
        code=one.code,
        name=reward.name,
        points=reward.points,
        stock=one.stock,
        per_customer=reward.per_customer,
        valid_from=reward.valid_from,
        valid_until=reward.valid_until,
        tier=reward.tier,
        early_tier=reward.early_tier,
        coupons=reward.coupons,
        coupon_prefix=reward.coupon_prefix,
        created_at=one.created_at,
        updated_at=one.updated_at,
        retired_at=one.retired_at,
    )


def etag(one: StoredReward) -> str:
    """Names the terms and the stock: who changes the one should have seen the other."""
    return f'"{one.revision}-{"" if one.stock is None else one.stock}"'


_STALE: Final = Stale(
    "stale",
    "The reward was changed since; read it again and decide anew.",
    errors=[Fault("#/header/if-match", "stale", "The reward has another version by now.")],
)


def _unchanged_since(if_match: str | None) -> Callable[[StoredReward], None]:
    def check(one: StoredReward) -> None:
        if if_match is None or if_match.strip() == "*":
            return
        if etag(one) not in {tag.strip() for tag in if_match.split(",")}:
            raise Stale(_STALE.code, _STALE.detail, errors=_STALE.errors)

    return check


_TERMS_REFUSED: Final = (refused("#/valid_until", "invalid_window", "must be after valid_from"),)
_NOT_FOUND: Final = (keep_rewards.reward_not_found(), PROGRAM_NOT_FOUND)


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": RewardOut, "description": "There is such a reward already."},
        **problems(
            PROGRAM_NOT_FOUND,
            keep_rewards.reward_exists(),
            keep_rewards.too_many_rewards(),
            refused("#/coupon_prefix", "invalid_prefix", "goes with generated coupons"),
            *_TERMS_REFUSED,
        ),
    },
)
async def post_reward(
    caller: Admin,
    sent: Annotated[
        RewardIn,
        body(
            RewardIn,
            examples={
                "a mug": {
                    "code": "mug",
                    "name": "A mug",
                    "points": 150,
                    "stock": 200,
                    "per_customer": 1,
                    "tier": "silver",
                },
                "a voucher": {
                    "code": "ten-off",
                    "name": "10 EUR off",
                    "points": 1000,
                    "valid_until": "2027-12-31T23:00:00Z",
                    "coupons": "generated",
                    "coupon_prefix": "TEN",
                },
            },
        ),
    ],
    tx: Tx,
    remembered: Programs,
    now: Now,
    response: Response,
) -> RewardOut:
    """Write a reward down. It can be had at once, or from `valid_from` on."""
    said = sent.model_dump(mode="json", exclude_none=True, exclude={"program"})
    connection = await driver(tx)
    made, is_new = await keep_rewards.create_reward(connection, sent.program, said, remembered.current, now)
    if is_new:
        await record_audit(
            connection, caller.actor, "reward_created", f"reward:{made.code}", None, _terms(made), now
        )
    response.status_code = 201 if is_new else 200
    response.headers["ETag"] = etag(made)
    return _shown(made)


@router.get("", responses=problems(INVALID_CURSOR, PROGRAM_NOT_FOUND))
async def list_rewards(
    _caller: Reading,
    page: Paging,
    reader: Reader,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
) -> Page[RewardOut]:
    """The rewards of a programme by their codes, retired ones too."""
    connection = await driver(reader)
    code = (await rules_named(connection, remembered.current, program, now)).program.code
    found = await rewards.listed(connection, code, page.fetch, page.after(_BY_CODE) or "")
    return page.answer(found, _shown, _BY_CODE, lambda one: one.code)


@router.get("/{code}", responses=problems(*_NOT_FOUND))
async def get_reward(
    _caller: Reading,
    code: Code,
    reader: Reader,
    remembered: Programs,
    now: Now,
    response: Response,
    program: ProgramQuery = None,
) -> RewardOut:
    """One reward, with what is left of it."""
    connection = await driver(reader)
    owner = (await rules_named(connection, remembered.current, program, now)).program.code
    found = await keep_rewards.existing_reward(connection, owner, code)
    response.headers["ETag"] = etag(found)
    return _shown(found)


@router.patch("/{code}", responses=problems(*_NOT_FOUND, _STALE, *_TERMS_REFUSED))
async def change_reward(
    caller: Admin,
    code: Code,
    sent: Annotated[
        RewardPatch,
        body(
            RewardPatch,
            examples={"more of it": {"stock": 500}, "no more": {"retired": True}},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    remembered: Programs,
    now: Now,
    response: Response,
    program: ProgramQuery = None,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match", description="An ETag: nothing is changed when the reward was changed since."
        ),
    ] = None,
) -> RewardOut:
    """Change the terms from now on, or how many are left. What is held keeps its price."""
    connection = await driver(tx)
    owner = (await rules_named(connection, remembered.current, program, now)).program.code
    check, seen = _unchanged_since(if_match), list[StoredReward]()

    def look(one: StoredReward) -> None:
        check(one)
        seen.append(one)

    done = await keep_rewards.change_reward(connection, owner, code, _patch(sent), look, now)
    if seen != [done]:
        await record_audit(
            connection, caller.actor, "reward_changed", f"reward:{code}", _terms(*seen), _terms(done), now
        )
    response.headers["ETag"] = etag(done)
    return _shown(done)


def _patch(sent: RewardPatch) -> dict[str, Any]:
    for name in ("name", "points", "retired"):
        if name in sent.model_fields_set and getattr(sent, name) is None:
            raise refused(f"#/{name}", "property_required", "cannot be taken away")
    return sent.model_dump(mode="json", exclude_unset=True)


@router.post(
    "/{code}/coupons",
    responses=problems(
        *_NOT_FOUND,
        keep_rewards.no_given_coupons(),
        refused("#/codes/0", "invalid_coupon", "must be 1 to 64 printable characters"),
        refused("#/codes/1", "duplicate_coupon", "is in the list twice"),
    ),
)
async def post_coupons(
    caller: Admin,
    code: Code,
    sent: Annotated[
        CouponsIn,
        body(CouponsIn, examples={"two": {"codes": ["SPRING-1", "SPRING-2"]}}, limit_bytes=_COUPON_BYTES),
    ],
    tx: Tx,
    remembered: Programs,
    now: Now,
    program: ProgramQuery = None,
) -> CouponsOut:
    """Give codes to hand out, in their order. Sent again, they are there once."""
    connection = await driver(tx)
    owner = (await rules_named(connection, remembered.current, program, now)).program.code
    added, free = await keep_rewards.add_coupons(connection, owner, code, sent.codes, now)
    if added:
        told = {"added": added, "free": free}
        await record_audit(connection, caller.actor, "coupons_added", f"reward:{code}", None, told, now)
    return CouponsOut(added=added, free=free)


def _terms(one: StoredReward) -> dict[str, Any]:
    """What a reward costs and how much of it there is."""
    return {"points": one.reward.points, "stock": one.stock, "retired": one.retired_at is not None}
