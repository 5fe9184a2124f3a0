"""A draft of loyalty rules tried on what was logged."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.deps import Config, Now, Store, requires
from app.api.loyalty.liability import MonthOut
from app.api.loyalty.programs import Code, Number
from app.api.loyalty.shapes import PROGRAM_NOT_FOUND
from app.api.openapi import problems
from app.domain.keys import Caller
from app.domain.loyalty.simulation import Moved
from app.domain.money import minor_per_major
from app.usecases.loyalty import keep_programs
from app.usecases.loyalty.simulate_version import Against, Question, Tried, simulate_version

router = APIRouter(prefix="/v1/loyalty/programs", tags=["loyalty"])

_MICRO: Final = 1_000_000


class SimulationIn(BaseModel):
    """On what a version is tried."""

    model_config = ConfigDict(extra="forbid", strict=True)

    days: Annotated[int, Field(ge=1, le=365, description="The last so many days of the log.")] = 90
    against: Annotated[
        Against,
        Field(description="recorded: what was earned; in_force: what the published rules give for the same."),
    ] = "recorded"
    point_cost: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$",
            description="What a point costs, in the programme's currency, for example 0.01; null: no costs.",
        ),
    ] = None


class MovedOut(BaseModel):
    """What the version is for one customer."""

    customer_id: str
    before: int
    drafted: int
    gained: int


class TierMovesOut(BaseModel):
    """How many customers would be at another tier."""

    before: str
    after: str
    customers: int


class SideOut(BaseModel):
    """Points, their cost in minor units, and how many buyers stand at each tier at the end."""

    points: int
    cost_minor: int | None
    tiers: dict[str, int]


class SimulationOut(BaseModel):
    """The version beside what it is compared with, for those who bought in these days. Refunds count by their share."""

    program: str
    version: int
    against: Against
    since: datetime
    until: datetime
    is_complete: Annotated[
        bool,
        Field(description="False: time ran out, or a log was cut; then it is about the oldest customers."),
    ]
    purchases: int
    customers: int
    before: SideOut
    drafted: SideOut
    liability: Annotated[
        list[MonthOut], Field(description="Drafted points that would still live, by month of expiry.")
    ]
    tier_moves: list[TierMovesOut]
    winners: int
    losers: int
    most_gained: list[MovedOut]
    most_lost: list[MovedOut]


def _moved(one: Moved) -> MovedOut:
    return MovedOut(customer_id=one.customer, before=one.before, drafted=one.drafted, gained=one.gained)


def _shown(tried: Tried, code: str, number: int, sent: SimulationIn) -> SimulationOut:
    done = tried.simulation

    def cost(points: int) -> int | None:
        if sent.point_cost is None:
            return None
        micro = int(Decimal(sent.point_cost) * minor_per_major(tried.currency) * _MICRO)
        return done.cost_minor(points, micro)

    return SimulationOut(
        program=code,
        version=number,
        against=sent.against,
        since=tried.since,
        until=tried.until,
        is_complete=tried.is_complete,
        purchases=done.purchases,
        customers=done.customers,
        before=SideOut(
            points=done.points_before, cost_minor=cost(done.points_before), tiers=dict(done.tiers_before)
        ),
        drafted=SideOut(
            points=done.points_drafted, cost_minor=cost(done.points_drafted), tiers=dict(done.tiers_after)
        ),
        liability=[MonthOut(month=month, points=points) for month, points in done.liability.items()],
        tier_moves=[
            TierMovesOut(before=before, after=after, customers=count)
            for (before, after), count in sorted(done.tier_moves.items())
        ],
        winners=done.winners,
        losers=done.losers,
        most_gained=[_moved(one) for one in done.most_gained],
        most_lost=[_moved(one) for one in done.most_lost],
    )


@router.post(
    "/{code}/versions/{version}/simulate",
    responses=problems(PROGRAM_NOT_FOUND, keep_programs.version_not_found()),
)
async def simulate_program_version(
    _caller: Annotated[Caller, requires("admin")],
    code: Code,
    version: Number,
    sent: Annotated[
        SimulationIn,
        body(
            SimulationIn,
            examples={"three months": {"days": 90}, "with costs": {"days": 30, "point_cost": "0.01"}},
            optional=True,
        ),
    ],
    store: Store,
    config: Config,
    now: Now,
) -> SimulationOut:
    """Try a version, draft or not, on the last days of the log: points, costs, tiers, who wins, who loses.

    Writes nothing. It reads one snapshot, customer by customer, and stops after RAPPORT_SIMULATION_SECONDS.
    """
    question = Question(
        code, version, sent.days, sent.against, config.shop_currency, config.simulation_seconds
    )
    return _shown(await simulate_version(store, question, now), code, version, sent)
