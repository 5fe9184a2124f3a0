"""What scoring models look like on the wire."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.customers import Band
from app.api.health import ComponentName
from app.api.paging import Cursor
from app.api.references import NamedInBody
from app.domain.health.drift import ECE_LIMIT, ENOUGH_CUSTOMERS, PSI_LIMIT
from app.domain.health.form import SHIPPED
from app.domain.health.model import COMPONENTS
from app.domain.health.score import Health
from app.domain.health.versions import form_differences, read
from app.storage.models import SeenDrift, StoredModel
from app.usecases.models.preview_model import Preview, order_of

Status = Literal["draft", "shadow", "active", "retired"]

_STRICT: Final = ConfigDict(extra="forbid", strict=True)
BY_CUSTOMER: Final[Cursor[UUID]] = Cursor(UUID)
_MOST_PREVIEWED: Final = 100_000

# --- shapes ---------------------------------------------------------------------------------------------------------


class GateOut(BaseModel):
    """Whether a model may take the active one's place, judged on the newest closed window."""

    model_config = _STRICT

    passed: bool
    reasons: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=50)] = []


class ModelIn(BaseModel):
    """A version to write down."""

    model_config = _STRICT

    version: Annotated[
        str, Field(description="Up to 64 letters, digits and `. _ + -`; it names these numbers for good.")
    ]
    parameters: Annotated[
        dict[str, Any],
        Field(
            description="Numbers of the model; those left out are the base's, also inside `bands` and `coverage`."
        ),
    ]
    base: Annotated[
        str | None, Field(description="The version to complete it from; null: the active one.")
    ] = None
    status: Annotated[
        Literal["draft", "shadow"],
        Field(description="A shadow is a draft that somebody watches; neither scores."),
    ] = "draft"
    priors: dict[str, Any] | None = None
    windows: dict[str, Any] | list[Any] | None = None
    row_counts: dict[str, Any] | None = None
    data_hash: Annotated[str, Field(max_length=200)] | None = None
    backtest: dict[str, Any] | None = None
    gate: GateOut | None = None


class DriftOut(BaseModel):
    """What the daily look at the active model found: whether it still knows the shop."""

    checked_at: datetime
    window_from: datetime = Field(
        description="The window looked at is the model's horizon up to `checked_at`."
    )
    customers: int = Field(description="Customers of the sample who had bought when the window opened.")
    bought: int = Field(description="How many of them bought in it.")
    ece: float | None = Field(
        description=f"Mean distance of predicted from observed, in tenths of the customers; above {ECE_LIMIT} a "
        f"refit is due. null with fewer than {ENOUGH_CUSTOMERS} customers."
    )
    psi: float | None = Field(
        description=f"Population stability index of the score, now against then; above {PSI_LIMIT} a refit is due."
    )
    drifted: bool
    reasons: list[str]


class ModelOut(BaseModel):
    """A version of the scoring model. Its parameters never change."""

    version: str
    status: Status
    parameters: dict[str, Any]
    priors: Any = Field(description="What the fit started from; null for numbers written by hand.")
    windows: Any
    row_counts: Any
    data_hash: str | None = Field(description="Of the log that it was fitted on.")
    backtest: Any
    gate: GateOut | None = Field(description="null until the promotion gate was tried.")
    state_schema_differences: list[str] = Field(
        description="How its half-lives and resolutions differ from the shipped ones. Publishing a model with others "
        "than the active one's needs `rapport replay-state`."
    )
    created_at: datetime
    created_by: str
    published_at: datetime | None
    approved_by: str | None
    forced_reason: str | None
    draining_since: datetime | None = Field(
        description="Another version is active since then; this one still scores whose states have its half-lives."
    )
    drift: DriftOut | None = Field(
        description="null until a worker has looked; only the active model is looked at."
    )


class Publication(BaseModel):
    """How to publish."""

    model_config = _STRICT

    force: Annotated[
        bool, Field(description="Publish although the promotion gate failed; needs a reason.")
    ] = False
    reason: Annotated[str, Field(max_length=2000)] | None = None


class PreviewIn(BaseModel):
    """How much to look at."""

    model_config = _STRICT

    limit: Annotated[int, Field(ge=1, le=_MOST_PREVIEWED, description="Most customers to look at.")] = (
        _MOST_PREVIEWED
    )
    cursor: (
        Annotated[str, Field(max_length=200, description="`next_cursor` of the preview before.")] | None
    ) = None


class Transition(BaseModel):
    """So many customers would change from one band to another."""

    band_from: Annotated[Band, Field(serialization_alias="from")]
    band_to: Annotated[Band, Field(serialization_alias="to")]
    customers: int


class Example(BaseModel):
    """One customer who would change band."""

    customer_id: UUID
    band_from: Annotated[Band, Field(serialization_alias="from")]
    band_to: Annotated[Band, Field(serialization_alias="to")]
    score_from: int | None
    score_to: int | None


class BandCount(BaseModel):
    """So many customers in a band, under the active model and under the other one."""

    band: Band
    before: int
    after: int


class PreviewOut(BaseModel):
    """Who would change band if the model were published."""

    version: str
    against: Annotated[str, Field(description="The active version.")]
    customers: Annotated[int, Field(description="How many were looked at.")]
    changed: int
    transitions: Annotated[list[Transition], Field(description="The most frequent first.")]
    bands: list[BandCount]
    examples: Annotated[list[Example], Field(description="Up to 50 customers.")]
    computed_at: datetime
    next_cursor: Annotated[str | None, Field(description="null: everybody was looked at.")]


class BacktestIn(BaseModel):
    """What to predict."""

    model_config = _STRICT

    horizon_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class SimulationIn(BaseModel):
    """Which model, and for whom."""

    model_config = _STRICT

    model: Annotated[
        str | dict[str, Any],
        Field(description="A stored version, or parameters: those left out are the active model's."),
    ]
    customer: NamedInBody


class SimulatedPart(BaseModel):
    """One component; null without evidence."""

    name: ComponentName
    contribution: float | None


class SimulatedHealth(BaseModel):
    """Health under one model."""

    model: str
    score: int | None
    score_exact: float | None
    band: Band
    coverage: float
    purchase_probability: float | None
    components: list[SimulatedPart]


class SimulationOut(BaseModel):
    """One customer's log under two models at one time."""

    customer_id: UUID
    current: SimulatedHealth
    simulated: SimulatedHealth
    delta: Annotated[float | None, Field(description="Points; null without evidence.")]
    computed_at: datetime


# --- on the wire ----------------------------------------------------------------------------------------------------


def shown(model: StoredModel) -> ModelOut:
    """A model on the wire."""
    return ModelOut(
        version=model.version,
        status=model.status,
        parameters=model.parameters,
        priors=model.origin.priors,
        windows=model.origin.windows,
        row_counts=model.origin.row_counts,
        data_hash=model.origin.data_hash,
        backtest=model.backtest,
        gate=None
        if model.gate is None
        else GateOut(passed=model.gate.passed, reasons=list(model.gate.reasons)),
        state_schema_differences=form_differences(read(model.parameters).form, SHIPPED),
        created_at=model.created_at,
        created_by=model.created_by,
        published_at=model.published_at,
        approved_by=model.approved_by,
        forced_reason=model.forced_reason,
        draining_since=model.draining_since,
        drift=None if model.drift is None else _drift(model.drift),
    )


def _drift(seen: SeenDrift) -> DriftOut:
    found = seen.drift
    return DriftOut(
        checked_at=seen.checked_at,
        window_from=seen.opened_at,
        customers=found.customers,
        bought=found.bought,
        ece=found.ece,
        psi=found.psi,
        drifted=bool(found.reasons),
        reasons=found.reasons,
    )


def previewed(preview: Preview, now: datetime) -> PreviewOut:
    """A preview on the wire."""
    most_first = sorted(
        preview.transitions.items(), key=lambda item: (-item[1], order_of(item[0][0]), order_of(item[0][1]))
    )
    bands = sorted(Counter(preview.before) | Counter(preview.after), key=order_of)
    return PreviewOut(
        version=preview.version,
        against=preview.against,
        customers=preview.customers,
        changed=preview.transitions.total(),
        transitions=[
            Transition(band_from=band_from, band_to=band_to, customers=count)
            for (band_from, band_to), count in most_first
        ],
        bands=[
            BandCount(band=band, before=preview.before[band], after=preview.after[band]) for band in bands
        ],
        examples=[
            Example(
                customer_id=change.customer_id,
                band_from=change.band_from,
                band_to=change.band_to,
                score_from=change.score_from,
                score_to=change.score_to,
            )
            for change in preview.examples
        ],
        computed_at=now,
        next_cursor=None if preview.last is None else BY_CUSTOMER.encode(preview.last),
    )


def simulated(health: Health, version: str) -> SimulatedHealth:
    """Health under one model on the wire."""
    return SimulatedHealth(
        model=version,
        score=health.score,
        score_exact=health.score_exact,
        band=health.band,
        coverage=round(health.coverage, 6),
        purchase_probability=health.purchase_probability,
        components=[
            SimulatedPart(name=name, contribution=points)
            for name, points in zip(COMPONENTS, health.contributions, strict=True)
        ],
    )
