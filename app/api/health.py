"""GET /v1/customers/{customer}/health: the score, and what stands behind every point of it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.customers import Band
from app.api.deps import Config, Now, Programs, Scoring, Store, requires
from app.api.openapi import problems
from app.api.opinions import OverrideOut, SentimentOut, override_shown, sentiment_shown
from app.api.references import NAMED_PROBLEMS, Named
from app.api.times import QueryMoment
from app.domain.health.crossing import Change
from app.domain.health.model import COMPONENTS
from app.domain.health.score import BASE
from app.domain.health.value import PURCHASES_DAYS, Forecast, Value
from app.domain.keys import Caller
from app.domain.problems import Fault, Invalid
from app.domain.retention import purged
from app.storage.facts import LoggedFact
from app.usecases.read_health import HealthReading, read_health

router = APIRouter(prefix="/v1/customers/{customer}/health", tags=["health"])

ComponentName = Literal[
    "momentum",
    "rhythm",
    "value",
    "refunds",
    "complaints",
    "contacts",
    "satisfaction",
    "engagement",
    "advocacy",
    "loyalty",
]

MOST_HORIZON_DAYS: Final = 3650

# --- shapes ---------------------------------------------------------------------------------------------------------


class TopTouchpoint(BaseModel):
    """A touchpoint that weighs in a component."""

    id: str
    source: str
    kind: str
    occurred_at: datetime


class ComponentOut(BaseModel):
    """One part of the score."""

    name: ComponentName
    contribution: Annotated[
        float | None,
        Field(description="Points; `base` and all of them are `score_exact`. null: no evidence."),
    ]
    points_missed: Annotated[
        float, Field(description="How much higher the score would be with this part at its best next step.")
    ]
    evidence: Annotated[str | None, Field(description="How much is known, in words; null: nothing.")]
    top_touchpoints: Annotated[
        list[TopTouchpoint],
        Field(description="Up to three that weigh most, of the customer's newest 200."),
    ]


class HelpOut(BaseModel):
    """Something that would raise the score now."""

    action: Literal["resolve_complaint", "resolve_all_complaints", "purchase", "answer_survey"]
    gain: Annotated[float, Field(description="Points, computed by scoring as if it had just happened.")]
    complaint_id: Annotated[str | None, Field(description="Which complaint, when it is about one.")]


class ValueOut(BaseModel):
    """What the customer is expected to be worth; null before the first purchase."""

    p_alive: Annotated[
        float | None, Field(description="MBG/NBD: the probability that they have not left for good.")
    ]
    churn_probability: Annotated[
        float | None,
        Field(description="No purchase within the model's churn window, 180 days unless fitted."),
    ]
    expected_purchases_90d: Annotated[
        float | None, Field(description="Mean number of purchases in the next 90 days.")
    ]
    expected_value_365d: Annotated[
        int | None,
        Field(
            description="Expected revenue of the next 365 days, minor units: expected purchases times the amount that "
            "Gamma-Gamma expects of one. null as well while no purchase had a known amount."
        ),
    ]
    clv: Annotated[
        int | None,
        Field(
            description="Customer lifetime value, minor units: the model's margin of that revenue, each purchase "
            "discounted from the day on which it is expected."
        ),
    ]
    currency: Annotated[str, Field(description="The shop's.")]


class ForecastOut(BaseModel):
    """What the customer is expected to do within the horizon that was asked for."""

    horizon_days: int
    purchase_probability: Annotated[float, Field(description="That they buy at all.")]
    expected_purchases: Annotated[float, Field(description="How many purchases on average.")]


class NextFall(BaseModel):
    """When the score falls into a lower band if nothing happens."""

    band: Band
    at: datetime


class HealthOut(BaseModel):
    """How healthy the relationship with a customer is."""

    customer_id: UUID
    score: Annotated[int | None, Field(description="0 to 100, rounded half up; null when nothing is known.")]
    score_exact: float | None
    base: float
    band: Band
    coverage: Annotated[float, Field(description="0 to 1: the share of the model's weight with evidence.")]
    confidence: Annotated[float, Field(description="0 to 1: grows with the amount of evidence.")]
    trend_30d: Annotated[
        float | None,
        Field(description="Points since 30 days before; null when nothing was known then."),
    ]
    components: Annotated[list[ComponentOut], Field(description="Always all ten, in this order.")]
    reasons: list[str]
    red_flags: list[str]
    data_flags: Annotated[
        list[Literal["without_value"]],
        Field(
            description="`without_value`: touchpoints in another currency came without an `exchange_rate`; they count, "
            "and their money does not."
        ),
    ]
    override: Annotated[OverrideOut | None, Field(description="A score set by hand, until it expires.")]
    sentiment: Annotated[SentimentOut | None, Field(description="How an agent found the customer.")]
    next_fall: NextFall | None
    what_would_help: Annotated[list[HelpOut], Field(description="The largest gain first.")]
    forecast: Annotated[ForecastOut | None, Field(description="null before the first purchase.")]
    value: ValueOut
    model: str
    as_of: Annotated[datetime | None, Field(description="The time that was asked for; null: now.")]
    computed_at: datetime


def value_members(value: Value | None, currency: str) -> dict[str, Any]:
    """The members of ValueOut."""
    return {
        "p_alive": None if value is None else value.p_alive,
        "churn_probability": None if value is None else value.churn_probability,
        "expected_purchases_90d": None if value is None else value.expected_purchases,
        "expected_value_365d": None if value is None else value.expected_value,
        "clv": None if value is None else value.clv,
        "currency": currency,
    }


def _forecast(forecast: Forecast | None, horizon_days: int) -> ForecastOut | None:
    if forecast is None:
        return None
    return ForecastOut(
        horizon_days=horizon_days,
        purchase_probability=forecast.purchase_probability(horizon_days),
        expected_purchases=forecast.expected_purchases(horizon_days),
    )


def _fall(change: Change | None) -> NextFall | None:
    return None if change is None else NextFall(band=change.band, at=datetime.fromtimestamp(change.at, UTC))


def _top(row: LoggedFact) -> TopTouchpoint:
    return TopTouchpoint(id=row.id, source=row.source, kind=row.fact.kind, occurred_at=row.occurred_at)


def _components(reading: HealthReading) -> list[ComponentOut]:
    return [
        ComponentOut(
            name=name,
            contribution=contribution,
            points_missed=missed,
            evidence=evidence,
            top_touchpoints=[_top(row) for row in top],
        )
        for name, contribution, missed, evidence, top in zip(
            COMPONENTS,
            reading.health.contributions,
            reading.points_missed,
            reading.evidence,
            reading.top,
            strict=True,
        )
    ]


# --- route ----------------------------------------------------------------------------------------------------------


def _refused(code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault("#/query/as_of", code, detail)])


TIME_PROBLEMS: Final = (
    _refused("in_the_future", "as_of lies in the future."),
    _refused("before_1970", "as_of lies before 1970."),
    _refused("naive_time", "A time needs an offset, Z or +01:00"),
    purged("#/query/as_of"),
)


@router.get("", responses=problems(*NAMED_PROBLEMS, *TIME_PROBLEMS))
async def get_health(
    _caller: Annotated[Caller, requires("customers:read")],
    named: Named,
    database: Store,
    config: Config,
    model: Scoring,
    remembered: Programs,
    now: Now,
    as_of: Annotated[
        QueryMoment | None,
        Query(description="As it was then: what had happened by then, all that is known of it today."),
    ] = None,
    known_at: Annotated[QueryMoment | None, Query(description="Only what had been received by then.")] = None,
    horizon_days: Annotated[
        int, Query(ge=1, le=MOST_HORIZON_DAYS, description="How far `forecast` looks ahead.")
    ] = PURCHASES_DAYS,
) -> HealthOut:
    """How healthy the relationship is, why, what would help; now, or as of any time in the past."""
    reading = await read_health(
        database,
        named,
        model,
        now,
        currency=config.shop_currency,
        programs=remembered.current,
        as_of=as_of,
        known_at=known_at,
    )
    health, beside = reading.health, reading.beside
    return HealthOut(
        customer_id=reading.customer_id,
        score=health.score,
        score_exact=health.score_exact,
        base=BASE,
        band=health.band,
        coverage=round(health.coverage, 6),
        confidence=health.confidence,
        trend_30d=reading.trend,
        components=_components(reading),
        reasons=reading.reasons,
        red_flags=list(reading.red_flags),
        data_flags=["without_value"] if beside.without_value else [],
        override=None if beside.override is None else override_shown(beside.override),
        sentiment=None if beside.sentiment is None else sentiment_shown(beside.sentiment),
        next_fall=_fall(reading.next_fall),
        what_would_help=[HelpOut(**help_._asdict()) for help_ in reading.what_would_help],
        forecast=_forecast(reading.forecast, horizon_days),
        value=ValueOut(**value_members(reading.value, config.shop_currency)),
        model=reading.health.model,
        as_of=as_of,
        computed_at=now,
    )
