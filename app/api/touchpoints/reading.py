"""GET: single touchpoints, a customer's timeline, and what came in last from the whole shop."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query

from app.api.deps import Reader, Store, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS, Named
from app.api.times import QueryMoment
from app.api.touchpoints.shapes import HealthChange, TouchpointRow
from app.domain.descriptions import amount_of, describe, order_id_of
from app.domain.identifiers import parse_reference
from app.domain.keys import Caller
from app.domain.kinds import KINDS
from app.domain.problems import Fault, Invalid, NotFound
from app.storage import timeline
from app.storage.database import driver
from app.storage.timeline import ArrivalPlace, Logged, Narrow, TimelinePlace
from app.usecases.find_customer import find_customer

router = APIRouter(tags=["touchpoints"])
of_customer = APIRouter(prefix="/v1/customers/{customer}")

_BY_ARRIVAL: Final[Cursor[tuple[Moment, UUID, str, str, UUID]]] = Cursor(tuple[Moment, UUID, str, str, UUID])
_BY_TIME: Final[Cursor[tuple[Moment, str, str, UUID]]] = Cursor(tuple[Moment, str, str, UUID])

KindFilter = Annotated[
    str | None, Query(max_length=64, description="Only this kind; see `GET /v1/touchpoint-kinds`.")
]


def shown(row: Logged) -> TouchpointRow:
    """A touchpoint on the wire."""
    order_id = order_id_of(row.thread)
    return TouchpointRow(
        id=row.id,
        customer_id=str(row.customer_id),
        kind=row.kind,
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        source=row.source,
        channel=row.channel,
        amount_minor=row.amount_minor,
        amount=amount_of(row.amount_minor, row.currency),
        currency=row.currency,
        exchange_rate=None if row.exchange_rate is None else f"{row.exchange_rate:f}",
        order_id=order_id,
        items=row.items,
        description=row.description
        or describe(
            row.kind,
            amount_minor=row.amount_minor,
            currency=row.currency,
            order_id=order_id,
            properties=row.properties,
        ),
        properties=row.properties,
        pending_match=row.pending_match,
        health_delta=None if row.outcome is None else row.outcome["delta"],
        health=None if row.outcome is None else HealthChange(**row.outcome),
    )


def _known_kind(kind: str | None) -> str | None:
    if kind is not None and kind not in KINDS:
        raise _unknown_kind()
    return kind


def _unknown_kind() -> Invalid:
    fault = Fault("#/query/kind", "unknown_kind", "not a known kind")
    return Invalid(
        "unknown_kind", "There is no such kind; GET /v1/touchpoint-kinds lists them.", errors=[fault]
    )


def _not_found() -> NotFound:
    return NotFound("touchpoint_not_found", "This customer has no touchpoint with this id.")


@router.get("/v1/touchpoints/{id}", responses=problems(*NAMED_PROBLEMS, _not_found()))
async def get_touchpoint(
    caller: Annotated[Caller, requires("customers:read")],
    database: Store,
    id: Annotated[str, Path(examples=["evt-1001"])],  # noqa: A002 - the wire's own name
    customer: Annotated[
        str,
        Query(
            description="Whose it is: a UUID or `type:value`. Write + as %2B: a bare one is a space.",
            examples=["external_id:42"],
        ),
    ],
    source: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Who wrote it. When several used the same id, your own comes first, else the earliest.",
        ),
    ] = None,
) -> TouchpointRow:
    """One touchpoint. Ids are unique for a customer and a source."""
    reference = parse_reference(customer, "#/query/customer")
    async with database.hot_reading() as connection:
        customer_id = (await find_customer(connection, reference)).customer_id
        found = await timeline.find(connection, customer_id, id, source, caller.source)
    if found is None:
        raise _not_found()
    return shown(found)


@router.get("/v1/touchpoints", responses=problems(INVALID_CURSOR, _unknown_kind()))
async def list_touchpoints(
    _caller: Annotated[Caller, requires("customers:read")],
    page: Paging,
    # Not the hot pool: a rare kind may be far away, and writers must not wait for who looks for it.
    reader: Reader,
    kind: KindFilter = None,
    since: Annotated[QueryMoment | None, Query(description="Received at this time or later.")] = None,
) -> Page[TouchpointRow]:
    """What came in from the whole shop, the newest arrival first."""
    after = page.after(_BY_ARRIVAL)
    rows = await timeline.newest_arrivals(
        await driver(reader),
        page.fetch,
        kind=_known_kind(kind),
        since=since,
        before=None if after is None else ArrivalPlace(*after),
    )
    return page.answer(
        rows,
        shown,
        _BY_ARRIVAL,
        lambda row: (row.received_at, row.customer_id, row.source, row.id, row.origin_customer_id),
    )


@of_customer.get("/timeline", responses=problems(*NAMED_PROBLEMS, INVALID_CURSOR, _unknown_kind()))
async def get_timeline(
    _caller: Annotated[Caller, requires("customers:read")],
    named: Named,
    page: Paging,
    database: Store,
    kind: KindFilter = None,
    channel: Annotated[str | None, Query(max_length=64)] = None,
    since: Annotated[QueryMoment | None, Query(description="Happened at this time or later.")] = None,
    until: Annotated[QueryMoment | None, Query(description="Happened before this time.")] = None,
) -> Page[TouchpointRow]:
    """Everything that happened to one customer, the newest first, with the effect on health that was told."""
    after = page.after(_BY_TIME)
    narrow = Narrow(_known_kind(kind), channel, since, until)
    async with database.hot_reading() as connection:
        customer_id = (await find_customer(connection, named)).customer_id
        before = None if after is None else TimelinePlace(*after)
        rows = await timeline.newest(connection, customer_id, page.fetch, narrow, before)
    return page.answer(
        rows, shown, _BY_TIME, lambda row: (row.occurred_at, row.source, row.id, row.origin_customer_id)
    )


router.include_router(of_customer)
