"""GET: single touchpoints, a customer's timeline, and what came in last from the whole shop."""

from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query

from app.api.deps import Kinds, Lagging, Store, requires
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, NAMED_PROBLEMS, Named
from app.api.times import QueryMoment
from app.api.touchpoints.shapes import HealthChange, TouchpointRow, VoidMark
from app.domain.descriptions import amount_of, describe, order_id_of
from app.domain.identifiers import parse_reference
from app.domain.keys import Caller
from app.domain.kinds import KINDS, OwnKinds, unknown_kind
from app.domain.touchpoints import touchpoint_not_found
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


def shown(own_kinds: OwnKinds, row: Logged) -> TouchpointRow:
    """A touchpoint on the wire."""
    own, void = own_kinds.get(row.kind), row.void
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
            label=None if own is None else own.label,
        ),
        properties=row.properties,
        pending_match=row.pending_match,
        without_value=row.amount_minor is not None and row.value_minor is None,
        voided=None if void is None else VoidMark(voided_at=void.at, voided_by=void.by, reason=void.reason),
        health_delta=None if row.outcome is None else row.outcome["delta"],
        health=None if row.outcome is None else HealthChange(**row.outcome),
    )


def _known_kind(kind: str | None, own_kinds: OwnKinds) -> str | None:
    if kind is not None and kind not in KINDS and kind not in own_kinds:
        raise _UNKNOWN_KIND
    return kind


_UNKNOWN_KIND: Final = unknown_kind("#/query/kind")

CustomerQuery = Annotated[
    str,
    Query(
        description="Whose it is: a UUID or `type:value`. Write + as %2B: a bare one is a space.",
        examples=["external_id:42"],
    ),
]
TouchpointId = Annotated[str, Path(examples=["evt-1001"])]
SourceQuery = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Who wrote it. When several used the same id, your own comes first, else the earliest.",
    ),
]


@router.get("/v1/touchpoints/{id}", responses=problems(*NAMED_PROBLEMS, touchpoint_not_found()))
async def get_touchpoint(
    caller: Annotated[Caller, requires("customers:read")],
    database: Store,
    own_kinds: Kinds,
    id: TouchpointId,  # noqa: A002 - the wire's own name
    customer: CustomerQuery,
    source: SourceQuery = None,
) -> TouchpointRow:
    """One touchpoint, also when it was voided. Ids are unique for a customer and a source."""
    reference = parse_reference(customer, "#/query/customer")
    async with database.hot_reading() as connection:
        who = await find_customer(connection, reference)
        found = await timeline.find(connection, who.customer_id, id, source, caller.source, who.named_as)
    if found is None:
        raise touchpoint_not_found()
    return shown(own_kinds, found)


@router.get("/v1/touchpoints", responses=problems(INVALID_CURSOR, _UNKNOWN_KIND))
async def list_touchpoints(
    _caller: Annotated[Caller, requires("customers:read")],
    page: Paging,
    # Not the hot pool: a rare kind may be far away, and writers must not wait for who looks for it.
    reader: Lagging,
    own_kinds: Kinds,
    kind: KindFilter = None,
    since: Annotated[QueryMoment | None, Query(description="Received at this time or later.")] = None,
) -> Page[TouchpointRow]:
    """What came in from the whole shop, the newest arrival first; what was voided has its marker."""
    after = page.after(_BY_ARRIVAL)
    rows = await timeline.newest_arrivals(
        await driver(reader),
        page.fetch,
        kind=_known_kind(kind, own_kinds),
        since=since,
        before=None if after is None else ArrivalPlace(*after),
    )
    return page.answer(
        rows,
        partial(shown, own_kinds),
        _BY_ARRIVAL,
        lambda row: (row.received_at, row.customer_id, row.source, row.id, row.origin_customer_id),
    )


@of_customer.get("/timeline", responses=problems(*NAMED_PROBLEMS, INVALID_CURSOR, _UNKNOWN_KIND))
async def get_timeline(
    _caller: Annotated[Caller, requires("customers:read")],
    named: Named,
    page: Paging,
    database: Store,
    own_kinds: Kinds,
    kind: KindFilter = None,
    channel: Annotated[str | None, Query(max_length=64)] = None,
    since: Annotated[QueryMoment | None, Query(description="Happened at this time or later.")] = None,
    until: Annotated[QueryMoment | None, Query(description="Happened before this time.")] = None,
) -> Page[TouchpointRow]:
    """What happened to one customer, the newest first, with the effect on health that was told.

    What was voided is left out.
    """
    after = page.after(_BY_TIME)
    narrow = Narrow(_known_kind(kind, own_kinds), channel, since, until)
    async with database.hot_reading() as connection:
        customer_id = (await find_customer(connection, named)).customer_id
        before = None if after is None else TimelinePlace(*after)
        rows = await timeline.newest(connection, customer_id, page.fetch, narrow, before)
    return page.answer(
        rows,
        partial(shown, own_kinds),
        _BY_TIME,
        lambda row: (row.occurred_at, row.source, row.id, row.origin_customer_id),
    )


router.include_router(of_customer)
