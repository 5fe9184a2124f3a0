"""What one customer's health would be under another model: the same log, read with other numbers. Writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.domain.health.model import Model
from app.domain.health.score import Health, score
from app.domain.health.versions import read, schema_differences
from app.domain.identifiers import Reference
from app.domain.touchpoints import seconds
from app.storage import facts
from app.usecases.find_customer import find_customer
from app.usecases.models.propose_model import checked, existing
from app.usecases.models.publish_model import state_schema_differs

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
    `state_schema_differs`.
    """
    customer_id = (await find_customer(connection, reference)).customer_id
    parameters = await _parameters(connection, asked, active)
    differences = schema_differences(parameters)
    if differences:
        raise state_schema_differs(differences)
    model = read(parameters)
    state = await facts.state(connection, customer_id)
    at = seconds(now)
    return Simulation(customer_id, score(state, at, active), score(state, at, model), model.version)


async def _parameters(
    connection: asyncpg.Connection, asked: str | Mapping[str, Any], active: Model
) -> Mapping[str, Any]:
    if isinstance(asked, str):
        return (await existing(connection, asked)).parameters
    named = asked.get("version", UNNAMED)
    return checked(named, asked, active.to_json(), "#/model", version_pointer="#/model/version")
