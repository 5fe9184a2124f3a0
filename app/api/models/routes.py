"""Scoring models: versions of the numbers behind the score, what they would change, which one is active."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response

from app.api.bodies import body
from app.api.deps import Config, Now, Reader, Replica, Scored, Scoring, Store, Tx, after_commit, requires
from app.api.models.shapes import (
    BY_CUSTOMER,
    BacktestIn,
    ModelIn,
    ModelOut,
    PreviewIn,
    PreviewOut,
    Publication,
    SimulationIn,
    SimulationOut,
    previewed,
    shown,
    simulated,
)
from app.api.openapi import problems
from app.api.paging import Cursor, Moment, Page, Paging
from app.api.references import INVALID_CURSOR, REFERENCE_PROBLEMS
from app.domain.customers import not_found
from app.domain.health.model import ModelFault
from app.domain.health.versions import Gate
from app.domain.identifiers import parse_body_reference
from app.domain.keys import Caller
from app.domain.money import minor_per_major
from app.storage import models
from app.storage.customers import FIRST_ID
from app.storage.database import driver
from app.storage.models import ModelPlace, Origin
from app.usecases.models.active_model import scoring
from app.usecases.models.backtest_model import backtest_model, fitting_not_installed
from app.usecases.models.preview_model import preview_model
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
    too_many_state_forms,
)
from app.usecases.models.simulate_health import simulate_health, state_schema_differs
from app.usecases.record_audit import record_audit

router = APIRouter(tags=["models"])
one = APIRouter(prefix="/v1/scoring-models/{version}")

Admin = Annotated[Caller, requires("admin")]
Version = Annotated[str, Path(description="The model's version.", examples=["2026.1"])]

_BY_AGE: Final[Cursor[tuple[datetime, str]]] = Cursor(tuple[Moment, str])

_DRAFT: Final[dict[str, Any]] = {
    "version": "2026.1-patient",
    "parameters": {"w_contact": 0.6, "bands": {"thriving": 82}},
}
_OUT_OF_RANGE: Final = invalid_model(
    ModelFault("horizon_days", "out_of_range", "must be a number between 1 and 3650."),
    "#/parameters/horizon_days",
)
_DIFFERS: Final = state_schema_differs(["half_lives.contacts is 20, and stored states hold 30."])
_TOO_MANY: Final = too_many_state_forms()

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
    connection = await driver(tx)
    written, is_new = await propose_model(connection, proposal, model, caller.source, now)
    if is_new:
        told = {"base": sent.base, "status": sent.status, "parameters": sent.parameters}
        target = f"model:{sent.version}"
        await record_audit(connection, caller.actor, "model_proposed", target, None, told, now)
    response.status_code = 201 if is_new else 200
    return shown(written)


@one.get("", responses=problems(model_not_found()))
async def get_scoring_model(
    _caller: Annotated[Caller, requires("customers:read")], version: Version, reader: Reader
) -> ModelOut:
    """One version: its numbers, where they came from, how well they predict."""
    return shown(await existing(await driver(reader), version))


@one.post("/preview", responses=problems(model_not_found(), INVALID_CURSOR))
async def preview_scoring_model(
    _caller: Admin,
    version: Version,
    sent: Annotated[
        PreviewIn, body(PreviewIn, examples={"the first thousand": {"limit": 1000}}, optional=True)
    ],
    database: Store,
    replica: Replica,
    model: Scoring,
    now: Now,
) -> PreviewOut:
    """Who would change band if this version were published. Changes nothing."""
    after = FIRST_ID if sent.cursor is None else BY_CUSTOMER.decode(sent.cursor)
    preview = await preview_model(
        database, replica, version, model, now, after=after, most_customers=sent.limit
    )
    return previewed(preview, now)


@one.post(
    "/publish",
    responses=problems(
        model_not_found(),
        gate_failed(["AUC .781, the active model's is .789."]),
        _TOO_MANY,
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
    """Let this version score from now on, within a second everywhere. Stored states stay as they are.

    With other half-lives it scores new customers at once, and the others once `rapport replay-state` has folded their
    logs anew; until then they are scored by the model they had.
    """
    connection = await driver(tx)
    was = active.current.version
    published = await publish_model(
        connection, version, caller.source, now, force=sent.force, reason=sent.reason
    )
    if published.published_at == now:  # else it scored already, and this changed nothing
        told = {"active": version, "forced": published.forced_reason is not None}
        target = f"model:{version}"
        await record_audit(connection, caller.actor, "model_published", target, {"active": was}, told, now)
    model = await scoring(connection)
    if model is not None:
        after_commit(tx, partial(active.adopt, model))
    return shown(published)


@one.post("/backtest", responses=problems(model_not_found(), fitting_not_installed()))
async def backtest_scoring_model(
    caller: Admin,
    version: Version,
    sent: Annotated[
        BacktestIn, body(BacktestIn, examples={"a quarter": {"horizon_days": 91}}, optional=True)
    ],
    database: Store,
    replica: Replica,
    model: Scoring,
    now: Now,
    config: Config,
) -> ModelOut:
    """Predict the shop's own past with this version, compare it with the active one, and try the promotion gate."""
    tried = await backtest_model(
        database,
        replica,
        version,
        model,
        now,
        minor_per_major=minor_per_major(config.shop_currency),
        horizon_days=sent.horizon_days,
        by=caller.actor,
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
        current=simulated(found.current, found.current.model),
        simulated=simulated(found.simulated, found.version),
        delta=None if was is None or would is None else would - was,
        computed_at=now,
    )


router.include_router(one)
