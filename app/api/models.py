"""Scoring models: versions of the numbers behind the score, what they would change, which one is active."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body
from app.api.customers import Band
from app.api.deps import Config, Now, Reader, Scored, Scoring, Store, Tx, after_commit, requires
from app.api.health import ComponentName
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, REFERENCE_PROBLEMS, NamedInBody
from app.domain.customers import not_found
from app.domain.health.model import COMPONENTS, ModelFault
from app.domain.health.score import Health
from app.domain.health.versions import Gate, read, schema_differences
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.money import minor_per_major
from app.storage import models
from app.storage.customers import FIRST_ID
from app.storage.database import driver
from app.storage.models import ModelPlace, Origin, StoredModel
from app.usecases.models.backtest_model import backtest_model, fitting_not_installed
from app.usecases.models.preview_model import Preview, order_of, preview_model
from app.usecases.models.propose_model import (
    Proposal,
    existing,
    invalid_model,
    model_not_found,
    propose_model,
    version_exists,
)
from app.usecases.models.publish_model import (
    gate_failed,
    publish_model,
    reason_required,
    state_schema_differs,
)
from app.usecases.models.simulate_health import simulate_health

router = APIRouter(tags=["models"])
one = APIRouter(prefix="/v1/scoring-models/{version}")

Admin = Annotated[Caller, requires("admin")]
Status = Literal["draft", "shadow", "active", "retired"]
Version = Annotated[str, Path(description="The model's version.", examples=["2026.1"])]

_STRICT: Final = ConfigDict(extra="forbid", strict=True)
_BY_AGE: Final[Cursor[tuple[datetime, str]]] = Cursor(tuple[Moment, str])
_BY_CUSTOMER: Final[Cursor[UUID]] = Cursor(UUID)
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
        description="What it wants of stored states that they do not hold; such a model cannot be published."
    )
    created_at: datetime
    created_by: str
    published_at: datetime | None
    approved_by: str | None
    forced_reason: str | None


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
        state_schema_differences=schema_differences(model.parameters),
        created_at=model.created_at,
        created_by=model.created_by,
        published_at=model.published_at,
        approved_by=model.approved_by,
        forced_reason=model.forced_reason,
    )


def _previewed(preview: Preview, now: datetime) -> PreviewOut:
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
        next_cursor=None if preview.last is None else _BY_CUSTOMER.encode(preview.last),
    )


def _simulated(health: Health, version: str) -> SimulatedHealth:
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


_DRAFT: Final[dict[str, Any]] = {
    "version": "2026.1-patient",
    "parameters": {"w_contact": 0.6, "bands": {"thriving": 82}},
}
_OUT_OF_RANGE: Final = invalid_model(
    ModelFault("horizon_days", "out_of_range", "must be a number between 1 and 3650."),
    "#/parameters/horizon_days",
)
_DIFFERS: Final = state_schema_differs(["half_lives.contacts is 20, and stored states hold 30."])

# --- routes ---------------------------------------------------------------------------------------------------------


@router.get("/v1/scoring-models", responses=problems(INVALID_CURSOR))
async def list_scoring_models(
    _caller: Annotated[Caller, requires("customers:read")], page: Paging, reader: Reader
) -> Page[ModelOut]:
    """All versions, the newest first."""
    after = page.after(_BY_AGE)
    rows = await models.newest(
        await driver(reader), page.fetch, None if after is None else ModelPlace(*after)
    )
    return page.answer(rows, shown, _BY_AGE, lambda row: (row.created_at, row.version))


@router.post(
    "/v1/scoring-models",
    status_code=201,
    responses={
        200: {"model": ModelOut, "description": "There is such a version already, with the same parameters."},
        **problems(_OUT_OF_RANGE, version_exists(), model_not_found()),
    },
)
async def post_scoring_model(
    caller: Admin,
    sent: Annotated[ModelIn, body(ModelIn, examples={"draft": _DRAFT})],
    tx: Tx,
    model: Scoring,
    now: Now,
    response: Response,
) -> ModelOut:
    """Write down a version. It scores nobody until it is published; its parameters never change."""
    proposal = Proposal(
        version=sent.version,
        parameters=sent.parameters,
        base=sent.base,
        status=sent.status,
        origin=Origin(sent.priors, sent.windows, sent.row_counts, sent.data_hash),
        backtest=sent.backtest,
        gate=None if sent.gate is None else Gate(sent.gate.passed, sent.gate.reasons),
    )
    written, is_new = await propose_model(await driver(tx), proposal, model, caller.source, now)
    response.status_code = 201 if is_new else 200
    return shown(written)


@one.get("", responses=problems(model_not_found()))
async def get_scoring_model(
    _caller: Annotated[Caller, requires("customers:read")], version: Version, reader: Reader
) -> ModelOut:
    """One version: its numbers, where they came from, how well they predict."""
    return shown(await existing(await driver(reader), version))


@one.post("/preview", responses=problems(model_not_found(), _DIFFERS, INVALID_CURSOR))
async def preview_scoring_model(
    _caller: Admin,
    version: Version,
    sent: Annotated[
        PreviewIn, body(PreviewIn, examples={"the first thousand": {"limit": 1000}}, optional=True)
    ],
    database: Store,
    model: Scoring,
    now: Now,
) -> PreviewOut:
    """Who would change band if this version were published. Changes nothing."""
    after = FIRST_ID if sent.cursor is None else _BY_CUSTOMER.decode(sent.cursor)
    preview = await preview_model(database, version, model, now, after=after, most_customers=sent.limit)
    return _previewed(preview, now)


@one.post(
    "/publish",
    responses=problems(
        model_not_found(),
        gate_failed(["AUC .781, the active model's is .789."]),
        _DIFFERS,
        reason_required(),
    ),
)
async def publish_scoring_model(
    caller: Admin,
    version: Version,
    sent: Annotated[
        Publication,
        body(
            Publication,
            examples={"by force": {"force": True, "reason": "Complaints weigh too little since the recall."}},
            optional=True,
        ),
    ],
    tx: Tx,
    active: Scored,
    now: Now,
) -> ModelOut:
    """Let this version score from now on, within a second everywhere. Stored states stay as they are."""
    published = await publish_model(
        await driver(tx), version, caller.source, now, force=sent.force, reason=sent.reason
    )
    model = read(published.parameters)
    after_commit(tx, lambda: active.adopt(model))
    return shown(published)


@one.post("/backtest", responses=problems(model_not_found(), _DIFFERS, fitting_not_installed()))
async def backtest_scoring_model(
    _caller: Admin,
    version: Version,
    sent: Annotated[
        BacktestIn, body(BacktestIn, examples={"a quarter": {"horizon_days": 91}}, optional=True)
    ],
    database: Store,
    model: Scoring,
    now: Now,
    config: Config,
) -> ModelOut:
    """Predict the shop's own past with this version, compare it with the active one, and try the promotion gate."""
    tried = await backtest_model(
        database,
        version,
        model,
        now,
        minor_per_major=minor_per_major(config.shop_currency),
        horizon_days=sent.horizon_days,
    )
    return shown(tried)


@router.post(
    "/v1/health/simulate",
    responses=problems(*REFERENCE_PROBLEMS, not_found(), _OUT_OF_RANGE, model_not_found(), _DIFFERS),
)
async def simulate_customer_health(
    _caller: Admin,
    sent: Annotated[
        SimulationIn,
        body(
            SimulationIn,
            examples={
                "other numbers": {"model": {"w_contact": 0.6}, "customer": "external_id:42"},
                "a version": {"model": "2026.1", "customer": "external_id:42"},
            },
        ),
    ],
    reader: Reader,
    model: Scoring,
    now: Now,
) -> SimulationOut:
    """One customer's log under another model: what if? Writes nothing."""
    reference = parse_body_reference(sent.customer)
    found = await simulate_health(await driver(reader), reference, sent.model, model, now)
    was, would = found.current.score_exact, found.simulated.score_exact
    return SimulationOut(
        customer_id=found.customer_id,
        current=_simulated(found.current, model.version),
        simulated=_simulated(found.simulated, found.version),
        delta=None if was is None or would is None else would - was,
        computed_at=now,
    )


router.include_router(one)
