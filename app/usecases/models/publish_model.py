"""A version of the scoring model takes the place of the one that scores."""

from datetime import datetime

import asyncpg

from app.domain.health.form import MOST_FORMS
from app.domain.health.versions import read
from app.domain.problems import Conflict, Fault, Invalid
from app.storage import models
from app.storage.models import StoredModel
from app.usecases.models.propose_model import existing, model_not_found


async def publish_model(
    connection: asyncpg.Connection, version: str, by: str, now: datetime, *, force: bool, reason: str | None
) -> StoredModel:
    """The model as published; publishing the active one changes nothing.

    Customers whose states have other half-lives than this model's go on being scored by the model they had, until
    `rapport replay-state` has folded their logs anew. `force` publishes a model whose promotion gate failed, and needs
    a reason. Raises NotFound `model_not_found`, Conflict `gate_failed` with `reasons` or `too_many_state_forms`,
    Invalid `reason_required`.
    """
    if force and not (reason and reason.strip()):
        raise reason_required()
    model = await models.lock(connection, version)
    if model is None:
        raise model_not_found()
    if model.status == "active" and model.draining_since is None:
        return model
    failed = model.gate is not None and not model.gate.passed
    if failed and not force:
        raise gate_failed([] if model.gate is None else list(model.gate.reasons))
    form = read(model.parameters).form
    beside = [one.version for one in await models.in_play(connection) if read(one.parameters).form != form]
    if len(beside) >= MOST_FORMS:
        raise too_many_state_forms()
    await models.publish(connection, version, now, by, reason if failed else None, beside)
    return await existing(connection, version)


def too_many_state_forms() -> Conflict:
    """Each is one more model that scores somebody."""
    return Conflict(
        "too_many_state_forms",
        f"Customers have states of {MOST_FORMS} kinds of half-lives. Run `rapport replay-state`, then publish again.",
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
