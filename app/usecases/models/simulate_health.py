"""What one customer's health would be under another model: the same log, read with other numbers. Writes nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.health.form import Form
from app.domain.health.model import Model
from app.domain.health.score import Health, score
from app.domain.health.state import State
from app.domain.health.versions import form_differences, read
from app.domain.identifiers import Reference
from app.domain.problems import Conflict
from app.domain.retention import folded, form_kept
from app.domain.touchpoints import seconds
from app.storage import facts
from app.storage.privacy import purging
from app.usecases.find_customer import find_customer
from app.usecases.models.propose_model import checked, existing

UNNAMED: Final = "simulated"


@dataclass(frozen=True, slots=True)
class Simulation:
    """The same customer at the same time under both models."""

    customer_id: UUID
    current: Health
    simulated: Health
    version: str


async def simulate_health(
    connection: asyncpg.Connection,
    reference: Reference,
    asked: str | Mapping[str, Any],
    active: Model,
    now: datetime,
) -> Simulation:
    """`asked` is a stored version, or parameters; those that are left out are the active model's.

    Raises what `find_customer` raises, Invalid `invalid_model`, NotFound `model_not_found`, Conflict
    `state_schema_differs` when the model has other half-lives and a part of the log was purged.
    """
    customer_id = (await find_customer(connection, reference)).customer_id
    model = read(await _parameters(connection, asked, active))
    state = await facts.state(connection, customer_id)
    simulated, at = await _in_form(connection, customer_id, state, model.form), seconds(now)
    return Simulation(
        customer_id, score(state, at, active.of(state)), score(simulated, at, model), model.version
    )


async def _in_form(connection: asyncpg.Connection, customer_id: UUID, state: State, form: Form) -> State:
    """The state, or the same log folded with other half-lives."""
    if state.form == form or state.is_empty:
        return state
    opening = await purging.opening(connection, customer_id)
    if form_kept(opening) not in (None, form):
        raise state_schema_differs(form_differences(form, state.form))
    logged = [
        row.fact async for row in facts.facts(connection, customer_id, facts.END_OF_TIME, facts.END_OF_TIME)
    ]
    # In a thread: a log of a hundred thousand facts takes a second, in which others want answers.
    return await asyncio.to_thread(folded, opening, logged, form)


def state_schema_differs(reasons: list[str]) -> Conflict:
    """Half-lives and the numbers of a resolution are in every state, and a part of this customer's log is gone."""
    return Conflict(
        "state_schema_differs",
        "This model has other half-lives or resolutions, and a part of this customer's log was purged.",
        reasons=reasons,
    )


async def _parameters(
    connection: asyncpg.Connection, asked: str | Mapping[str, Any], active: Model
) -> Mapping[str, Any]:
    if isinstance(asked, str):
        return (await existing(connection, asked)).parameters
    named = asked.get("version", UNNAMED)
    return checked(named, asked, active.to_json(), "#/model", version_pointer="#/model/version")
