"""Customers: who they are, under which names, and what is kept of them beside the log."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import JSON, MERGE_PATCH, body
from app.api.deps import Admitting, Lagging, Now, Programs, Reader, Tx, requires
from app.api.identifiers import IdentifierOut, members
from app.api.openapi import problems
from app.api.paging import Cursor, Page, Paging
from app.api.references import (
    INVALID_CURSOR,
    NAMED_PROBLEMS,
    ONCE_PROBLEMS,
    REFERENCE_PROBLEMS,
    Named,
    NamedInBody,
    Once,
)
from app.domain.customers import (
    DEEPEST_TRAITS,
    LONGEST_TAG,
    MOST_TAGS,
    MOST_TRAITS_BYTES,
    SEGMENT_PREFIX,
    Customer,
    Stage,
)
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.problems import Fault, Invalid, Stale
from app.storage import customers
from app.storage.customers import LAST_ID, Filter, Place
from app.storage.database import driver
from app.storage.loyalty.programs import Rules
from app.usecases.answer_once import Answer
from app.usecases.change_customer import change_customer
from app.usecases.find_customer import find_customer
from app.usecases.loyalty.remembered_programs import default_of
from app.usecases.search_customers import search_customers
from app.usecases.upsert_customer import upsert_customer

router = APIRouter(prefix="/v1/customers", tags=["customers"])
one = APIRouter(prefix="/{customer}")

Band = Literal["thriving", "healthy", "cooling", "at_risk", "lost", "unknown"]

# --- shapes ---------------------------------------------------------------------------------------------------------

_STRICT = ConfigDict(extra="forbid", strict=True)
_ADA: Final[dict[str, Any]] = {
    "identifiers": {"external_id": "42", "email": "ada@example.com"},
    "name": "Ada Lovelace",
    "language": "en-GB",
    "timezone": "Europe/London",
    "preferred_channel": "email",
    "tags": ["vip"],
    "owner": "support-team-2",
    "traits": {"shoe_size": 38},
}


class ProfileIn(BaseModel):
    """What to say about a customer: members that are absent stay as they are, null removes."""

    model_config = _STRICT

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    language: (
        Annotated[
            str,
            Field(
                max_length=35,
                pattern="^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
                description="A BCP 47 tag: `en`, `pt-BR`.",
            ),
        ]
        | None
    ) = None
    timezone: Annotated[str, Field(max_length=64, description="An IANA name: `Europe/Berlin`.")] | None = None
    preferred_channel: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    tags: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=LONGEST_TAG)]],
            Field(max_length=MOST_TAGS, description="Replaces all tags; each is kept once."),
        ]
        | None
    ) = None
    owner: Annotated[str, Field(min_length=1, max_length=200, description="Who looks after them.")] | None = (
        None
    )
    traits: (
        Annotated[
            dict[str, Any],
            Field(
                description="Anything else, yours alone: merged in depth (RFC 7396), 16 KB and 8 levels at most."
            ),
        ]
        | None
    ) = None

    def said(self) -> dict[str, Any]:
        """The members that were sent: a merge patch of Profile."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"identifiers"}}


class CustomerIn(ProfileIn):
    """A customer by identifiers, with what to say about them."""

    identifiers: Annotated[
        dict[str, str],
        Field(
            min_length=1, description="Any that is known finds the customer, the others are added to them."
        ),
    ]


class LookupIn(BaseModel):
    """Who is looked for."""

    model_config = _STRICT

    customer: NamedInBody


class CustomerOut(BaseModel):
    """A customer."""

    id: UUID
    identifiers: Annotated[dict[str, str], Field(description="By type; of several of one type the oldest.")]
    identifiers_all: Annotated[list[IdentifierOut], Field(description="All of them, the oldest first.")]
    name: str | None
    language: str | None
    timezone: str | None
    preferred_channel: str | None
    tags: list[str]
    owner: str | None
    traits: dict[str, Any]
    stage: Stage
    created_at: datetime
    updated_at: datetime


class ListedCustomer(CustomerOut):
    """A customer in a list, with their health as of the last touchpoint."""

    band: Band
    score: Annotated[int | None, Field(description="0 to 100, null without any evidence.")]


def _members(customer: Customer) -> dict[str, Any]:
    profile = customer.profile
    return {
        "id": customer.id,
        # The oldest comes first and must win, so it is written last.
        "identifiers": {held.type: held.value for held in reversed(customer.identifiers)},
        "identifiers_all": [members(held) for held in customer.identifiers],
        "name": profile.name,
        "language": profile.language,
        "timezone": profile.timezone,
        "preferred_channel": profile.preferred_channel,
        "tags": list(profile.tags),
        "owner": profile.owner,
        "traits": dict(profile.traits or {}),
        "stage": customer.stage,
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
    }


def shown(customer: Customer) -> CustomerOut:
    """A customer on the wire."""
    return CustomerOut(**_members(customer))


def listed(customer: Customer) -> ListedCustomer:
    """A customer in a list on the wire; the score is rounded half up, as everywhere."""
    score = None if customer.score is None else int(customer.score + 0.5)
    return ListedCustomer(**_members(customer), band=customer.band, score=score)


# --- versions -------------------------------------------------------------------------------------------------------


def etag(customer: Customer) -> str:
    """Strong: names all that the answer depends on, the revision and the stage, which follows from the log."""
    return f'"{customer.revision}-{customer.stage}"'


_STALE: Final = Stale(
    "stale",
    "The customer was changed since; read it again and decide anew.",
    errors=[Fault("#/header/if-match", "stale", "The customer has another version by now.")],
)


def _unchanged_since(if_match: str | None) -> Callable[[Customer], None]:
    """Raises Stale unless the header names the revision. The stage does not count: no change of ours can undo it."""

    def check(customer: Customer) -> None:
        if if_match is None or if_match.strip() == "*":
            return
        seen = {
            tag.strip().strip('"').partition("-")[0]
            for tag in if_match.split(",")
            if tag.strip().startswith('"')
        }
        if str(customer.revision) not in seen:
            raise Stale(_STALE.code, _STALE.detail, errors=_STALE.errors)

    return check


def _refused(member: str, code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault(f"#/{member}", code, detail)])


_PROFILE_PROBLEMS: Final = (
    _refused("timezone", "unknown_timezone", "timezone must be an IANA name, for example Europe/Berlin."),
    _refused("traits", "traits_too_deep", f"traits may be nested {DEEPEST_TRAITS} deep at most."),
    _refused("traits", "traits_too_large", f"traits may hold {MOST_TRAITS_BYTES} bytes of JSON at most."),
)

# --- routes ---------------------------------------------------------------------------------------------------------

_WAS_KNOWN: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": CustomerOut, "description": "An identifier was known: that customer was changed."}
}
_BY_ID: Final[Cursor[UUID]] = Cursor(UUID)
_BY_PLACE: Final[Cursor[tuple[bool, str, UUID]]] = Cursor(tuple[bool, str, UUID])


@router.post(
    "",
    status_code=201,
    response_model=CustomerOut,
    responses=_WAS_KNOWN | problems(*REFERENCE_PROBLEMS, *ONCE_PROBLEMS, *_PROFILE_PROBLEMS),
)
async def create_or_change_customer(
    caller: Annotated[Caller, requires("customers:write")],
    sent: Annotated[CustomerIn, body(CustomerIn, examples={"customer": _ADA})],
    once: Once,
    tx: Tx,
    admission: Admitting,
    now: Now,
) -> Response:
    """Create a customer, or change the one whom an identifier names: only the members that are sent change."""
    reference = parse_body_reference(sent.identifiers, "#/identifiers")
    connection = await driver(tx)

    async def upsert() -> Answer:
        customer, created = await upsert_customer(connection, reference, sent.said(), now, admission)
        headers = {"ETag": etag(customer), "Location": f"/v1/customers/{customer.id}"}
        return Answer(201 if created else 200, shown(customer).model_dump(mode="json"), headers)

    return await once.answer(connection, caller, sent, now, upsert)


def _program(known: Mapping[str, Rules], now: datetime) -> str:
    """The programme whose tiers are meant; nobody is in a tier of none."""
    found = default_of(known, now)
    return "" if found is None else found.program.code


@router.get("", responses=problems(INVALID_CURSOR))
async def list_customers(
    _caller: Annotated[Caller, requires("customers:read")],
    page: Paging,
    reader: Lagging,
    remembered: Programs,
    now: Now,
    search: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=250,
            description="The beginning of a name, or a whole identifier: `ada@example.com`, `external_id:42`, `42`.",
        ),
    ] = None,
    band: Annotated[Band | None, Query(description="As of the last touchpoint.")] = None,
    tag: Annotated[str | None, Query(min_length=1, max_length=LONGEST_TAG)] = None,
    segment: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=LONGEST_TAG - len(SEGMENT_PREFIX),
            description="Those with the tag `segment:` and this name.",
        ),
    ] = None,
    tier: Annotated[
        str | None,
        Query(min_length=1, max_length=64, description="Their tier in the oldest open loyalty programme."),
    ] = None,
) -> Page[ListedCustomer]:
    """The customers, newest first; with `search` those with that identifier, then those with that name."""
    in_tier = None if tier is None else (_program(remembered.current, now), tier)
    narrow = Filter(band, tag, segment, in_tier)
    if search is None:
        before = page.after(_BY_ID)
        found = await customers.newest(await driver(reader), page.fetch, narrow, before or LAST_ID)
        return page.answer(found, listed, _BY_ID, lambda customer: customer.id)
    after = page.after(_BY_PLACE)
    places = await search_customers(
        await driver(reader), search, page.fetch, narrow, None if after is None else Place(*after)
    )
    return page.answer(places, lambda row: listed(row[1]), _BY_PLACE, lambda row: row[0])


@router.post("/lookup", responses=problems(*NAMED_PROBLEMS, *REFERENCE_PROBLEMS))
async def look_up_customer(
    _caller: Annotated[Caller, requires("customers:read")],
    sent: Annotated[
        LookupIn, body(LookupIn, examples={"identifiers": {"customer": {"email": "ada@example.com"}}})
    ],
    reader: Reader,
    response: Response,
) -> CustomerOut:
    """The same as reading a customer, without an e-mail address in the URL."""
    connection = await driver(reader)
    identity = await find_customer(connection, parse_body_reference(sent.customer))
    customer = await customers.existing(connection, identity.customer_id)
    response.headers["ETag"] = etag(customer)
    response.headers["Content-Location"] = f"/v1/customers/{customer.id}"
    return shown(customer)


@one.get("", responses=problems(*NAMED_PROBLEMS))
async def get_customer(
    _caller: Annotated[Caller, requires("customers:read")], named: Named, reader: Reader, response: Response
) -> CustomerOut:
    """One customer."""
    connection = await driver(reader)
    identity = await find_customer(connection, named)
    customer = await customers.existing(connection, identity.customer_id)
    response.headers["ETag"] = etag(customer)
    return shown(customer)


@one.patch("", responses=problems(*NAMED_PROBLEMS, _STALE, *_PROFILE_PROBLEMS))
async def change_customer_by_patch(
    _caller: Annotated[Caller, requires("customers:write")],
    named: Named,
    sent: Annotated[
        ProfileIn,
        body(
            ProfileIn,
            examples={"change": {"owner": "ben", "traits": {"shoe_size": None}}},
            media_types=(JSON, MERGE_PATCH),
        ),
    ],
    tx: Tx,
    now: Now,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match", description="An ETag: nothing is changed when the customer was changed since."
        ),
    ] = None,
) -> CustomerOut:
    """Change a customer (RFC 7396): null removes, traits merge in depth, the rest is replaced."""
    customer = await change_customer(
        await driver(tx), named, sent.said(), now, check=_unchanged_since(if_match)
    )
    response.headers["ETag"] = etag(customer)
    return shown(customer)


router.include_router(one)
