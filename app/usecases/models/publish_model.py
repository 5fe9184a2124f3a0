"""A version of the scoring model takes the place of the one that scores."""

from datetime import datetime

import asyncpg

from app.domain.health.versions import schema_differences
from app.domain.problems import Conflict, Fault, Invalid
from app.storage import models
from app.storage.models import StoredModel
from app.usecases.models.propose_model import existing, model_not_found


async def publish_model(
    connection: asyncpg.Connection, version: str, by: str, now: datetime, *, force: bool, reason: str | None
) -> StoredModel:
    """The model as published; publishing the active one changes nothing.

    `force` publishes a model whose promotion gate failed, and needs a reason. Nothing can force one that reads another
    kind of state. Raises NotFound `model_not_found`, Conflict `state_schema_differs` or `gate_failed` with `reasons`,
    Invalid `reason_required`.
    """
    if force and not (reason and reason.strip()):
        raise reason_required()
    model = await models.lock(connection, version)
    if model is None:
        raise model_not_found()
    check_readable(model)
    if model.status == "active":
        return model
    failed = model.gate is not None and not model.gate.passed
    if failed and not force:
        raise gate_failed([] if model.gate is None else list(model.gate.reasons))
    await models.publish(connection, version, now, by, reason if failed else None)
    return await existing(connection, version)


def check_readable(model: StoredModel) -> None:
    """Raises Conflict `state_schema_differs` when stored states are not what this model reads."""
    differences = schema_differences(model.parameters)
    if differences:
        raise state_schema_differs(differences)


def state_schema_differs(reasons: list[str]) -> Conflict:
    """Half-lives and the numbers of a resolution are in every stored state."""
    return Conflict(
        "state_schema_differs",
        "This model reads states of other half-lives or resolutions: they come with a release and `replay-state`.",
        reasons=reasons,
    )


def gate_failed(reasons: list[str]) -> Conflict:
    """The promotion gate said no."""
    return Conflict(
        "gate_failed",
        "The promotion gate of this model failed. An admin may publish it with force and a reason.",
        reasons=reasons,
    )


def reason_required() -> Invalid:
    """Whoever forces says why."""
    return Invalid(
        "reason_required",
        "Publishing by force needs a reason.",
        errors=[Fault("#/reason", "reason_required", "say why")],
    )
