"""Referrals: a customer's code, the friend who comes with it, and what became of that."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Admitting, Now, Programs, Reader, Scoring, Signed, Tx, requires
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import (
    INVALID_CURSOR,
    NAMED_PROBLEMS,
    ONCE_PROBLEMS,
    REFERENCE_PROBLEMS,
    NamedInBody,
    Once,
)
from app.domain.customers import not_found
from app.domain.identifiers import parse_body_reference, parse_reference
from app.domain.keys import Caller
from app.domain.loyalty.referral_codes import code_not_found, network_key
from app.domain.loyalty.referrals import State
from app.domain.problems import Fault, Stale, refused
from app.storage.customers import LAST_ID
from app.storage.database import driver
from app.storage.loyalty import referrals
from app.storage.loyalty.referrals import Listing, StoredReferral
from app.usecases.answer_once import Answer
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.referrals.make_code import Made, make_code
from app.usecases.loyalty.referrals.refer import Coming, public_id, refer
from app.usecases.loyalty.referrals.review_referral import (
    existing_referral,
    not_on_hold,
    referral_not_found,
    review_referral,
)

router = APIRouter(prefix="/v1/referrals", tags=["loyalty"])

Writer = Annotated[Caller, requires("loyalty:write")]
Member = Annotated[Caller, requires("loyalty:read")]
Id = Annotated[str, Path(max_length=80, description="The referral's id.")]
_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)
_STRICT: Final = ConfigDict(extra="forbid", strict=True)
_Ip = Annotated[
    str | None,
    Field(
        max_length=64,
        description="From where, as your shop saw it. Kept as a hash: it is compared, not shown.",
    ),
]
_INVALID_IP: Final = refused("#/ip", "invalid_ip", "must be an IP address, for example 203.0.113.7")
_STALE: Final = Stale(
    "stale",
    "The referral was changed since; read it again and decide anew.",
    errors=[Fault("#/header/if-match", "stale", "The referral has another revision by now.")],
)


class CodeIn(BaseModel):
    """Who wants to bring friends."""

    model_config = _STRICT

    customer: NamedInBody
    ip: _Ip = None
    program: Annotated[str | None, Field(max_length=64, description="null: the oldest open one.")] = None


class CodeOut(BaseModel):
    """A code to give to friends; case, spaces and hyphens do not matter."""

    code: str
    customer_id: UUID
    program: str
    created_at: datetime
    valid_until: Annotated[datetime, Field(description="Who comes later is not counted.")]


class ReferralIn(BaseModel):
    """A friend who came with a code."""

    model_config = _STRICT

    code: Annotated[str, Field(min_length=1, max_length=64)]
    referee: NamedInBody
    ip: _Ip = None


class ReviewIn(BaseModel):
    """What somebody found who looked."""

    model_config = _STRICT

    genuine: Annotated[bool, Field(description="Whether the friend is somebody else.")]
    note: Annotated[str | None, Field(max_length=2000)] = None


class ReferralOut(BaseModel):
    """A referral. It is pending until the friend has kept the first order, then both are rewarded."""

    id: str
    state: State
    reason: Annotated[str | None, Field(description="Why it is on hold, was rejected or reversed.")]
    code: str
    program: str
    referrer_id: UUID
    referee_id: UUID
    created_at: datetime
    at: Annotated[datetime, Field(description="Of the last step.")]
    pending_until: Annotated[datetime | None, Field(description="The end of the order's return window.")]
    referrer_points: int | None
    referee_points: int | None
    reviewed_by: str | None
    note: str | None


def _shown(one: StoredReferral) -> ReferralOut:
    same = {
        name: getattr(one, name)
        for name in ReferralOut.model_fields
        if name not in {"id", "referrer_id", "referee_id", "pending_until"}
    }
    return ReferralOut(
        **same,
        id=public_id(one),
        referrer_id=one.other_customer_id,
        referee_id=one.origin_customer_id,
        pending_until=one.kept_until,
    )


def _etag(one: StoredReferral) -> str:
    return f'"{one.revision}"'


def _unchanged_since(if_match: str | None) -> Callable[[StoredReferral], None]:
    def check(one: StoredReferral) -> None:
        if if_match is None or if_match.strip() == "*":
            return
        if _etag(one) not in {tag.strip() for tag in if_match.split(",")}:
            raise Stale(_STALE.code, _STALE.detail, errors=_STALE.errors)

    return check


def _code_answer(made: Made) -> Answer:
    code = made.code
    shown = CodeOut(
        code=code.code,
        customer_id=code.customer_id,
        program=code.program,
        created_at=code.created_at,
        valid_until=made.valid_until,
    )
    return Answer(201 if made.is_new else 200, shown.model_dump(mode="json"), {})


@router.post(
    "/codes",
    status_code=201,
    response_model=CodeOut,
    responses={
        200: {"model": CodeOut, "description": "The customer has a code that still counts."},
        **problems(*REFERENCE_PROBLEMS, *ONCE_PROBLEMS, not_found(), PROGRAM_NOT_FOUND, _INVALID_IP),
    },
)
async def post_referral_code(
    caller: Writer,
    sent: Annotated[CodeIn, body(CodeIn, examples={"a code": {"customer": "external_id:42"}})],
    once: Once,
    tx: Tx,
    remembered: Programs,
    signing: Signed,
    admission: Admitting,
    now: Now,
) -> Response:
    """The code by which a customer brings friends; a customer has one at a time."""
    connection = await driver(tx)
    pepper = (await signing.secrets()).pepper

    async def work() -> Answer:
        network = None if sent.ip is None else network_key(sent.ip, pepper)
        customer = parse_body_reference(sent.customer)
        return _code_answer(
            await make_code(connection, customer, sent.program, network, remembered.current, admission, now)
        )

    return await once.answer(connection, caller, sent, now, work)


@router.post(
    "",
    status_code=201,
    response_model=ReferralOut,
    responses={
        200: {
            "model": ReferralOut,
            "description": "This friend came with this code before: as it stands now.",
        },
        **problems(*REFERENCE_PROBLEMS, *ONCE_PROBLEMS, not_found(), code_not_found(), _INVALID_IP),
    },
)
async def post_referral(
    caller: Writer,
    sent: Annotated[
        ReferralIn,
        body(
            ReferralIn,
            examples={
                "a friend": {
                    "code": "7K3M9QXD",
                    "referee": {"external_id": "43", "email": "bob@example.com"},
                    "ip": "203.0.113.7",
                }
            },
        ),
    ],
    once: Once,
    tx: Tx,
    remembered: Programs,
    signing: Signed,
    admission: Admitting,
    model: Scoring,
    now: Now,
) -> Response:
    """Say that a friend came with a code, before their first order. What does not count says why in `reason`."""
    connection = await driver(tx)
    pepper = (await signing.secrets()).pepper

    async def work() -> Answer:
        network = None if sent.ip is None else network_key(sent.ip, pepper)
        coming = Coming(sent.code, parse_body_reference(sent.referee, "#/referee"), network, pepper)
        done = await refer(connection, coming, remembered.current, model, admission, now)
        shown = _shown(done.stored).model_dump(mode="json")
        return Answer(201 if done.is_new else 200, shown, {"ETag": _etag(done.stored)})

    return await once.answer(connection, caller, sent, now, work)


@router.get("", responses=problems(*NAMED_PROBLEMS, INVALID_CURSOR))
async def list_referrals(
    _caller: Member,
    page: Paging,
    reader: Reader,
    state: Annotated[State | None, Query(description="Those that stand so.")] = None,
    customer: Annotated[
        str | None,
        Query(max_length=300, description="Those that this customer made or came by; UUID, or `type:value`."),
    ] = None,
) -> Page[ReferralOut]:
    """Referrals, the newest first."""
    connection = await driver(reader)
    named = None
    if customer is not None:
        named = (await find_customer(connection, parse_reference(customer, "#/query/customer"))).customer_id
    before = page.after(_BY_ID) or LAST_ID
    found = await referrals.newest(connection, Listing(state, named), page.fetch, before)
    return page.answer(found, _shown, _BY_ID, lambda one: one.id)


@router.get("/{referral_id}", responses=problems(referral_not_found()))
async def get_referral(_caller: Member, referral_id: Id, reader: Reader, response: Response) -> ReferralOut:
    """One referral."""
    found = await existing_referral(await driver(reader), referral_id)
    response.headers["ETag"] = _etag(found)
    return _shown(found)


@router.post("/{referral_id}/review", responses=problems(referral_not_found(), not_on_hold(), _STALE))
async def post_referral_review(
    caller: Writer,
    referral_id: Id,
    sent: Annotated[
        ReviewIn, body(ReviewIn, examples={"a real friend": {"genuine": True, "note": "Same office."}})
    ],
    tx: Tx,
    model: Scoring,
    now: Now,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="An ETag: nothing is decided about one that was changed since."),
    ] = None,
) -> ReferralOut:
    """Decide about a referral that is on hold: the friend is genuine, or it is rejected."""
    said: dict[str, Any] = {"genuine": sent.genuine, "note": sent.note, "by": caller.source}
    done = await review_referral(
        await driver(tx), referral_id, **said, check=_unchanged_since(if_match), model=model, now=now
    )
    response.headers["ETag"] = _etag(done)
    return _shown(done)
