"""Somebody, or a fit, writes down a version of the scoring model. It scores nobody until it is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from app.domain.health.model import Model, ModelFault, check_version
from app.domain.health.versions import Gate, completed
from app.domain.problems import Conflict, Fault, Invalid, NotFound
from app.storage import models
from app.storage.models import BY_HAND, Origin, StoredModel


@dataclass(frozen=True, slots=True)
class Proposal:
    """`parameters` may be some of them; the others are those of version `base`, None: of the active model."""

    version: str
    parameters: Mapping[str, Any]
    base: str | None = None
    status: str = "draft"
    origin: Origin = BY_HAND
    backtest: Any = None
    gate: Gate | None = None


async def propose_model(
    connection: asyncpg.Connection, proposal: Proposal, active: Model, by: str, now: datetime
) -> tuple[StoredModel, bool]:
    """The version as written, and whether it is new: the same numbers may be sent again.

    Raises Invalid `invalid_model` with the code and the pointer of what is wrong, NotFound `model_not_found` for the
    base, Conflict `version_exists`.
    """
    base = (
        active.to_json() if proposal.base is None else (await existing(connection, proposal.base)).parameters
    )
    parameters = checked(
        proposal.version, proposal.parameters, base, "#/parameters", version_pointer="#/version"
    )
    model = StoredModel(
        version=proposal.version,
        status=proposal.status,
        parameters=parameters,
        created_at=now,
        created_by=by,
        origin=proposal.origin,
        backtest=proposal.backtest,
        gate=proposal.gate,
    )
    if await models.insert(connection, model):
        return model, True
    stored = await existing(connection, proposal.version)
    if stored.parameters != parameters:
        raise version_exists()
    return stored, False


async def existing(connection: asyncpg.Connection, version: str) -> StoredModel:
    """The model of this version. Raises NotFound `model_not_found`."""
    found = await models.find(connection, version)
    if found is None:
        raise model_not_found()
    return found


def checked(
    version: str, given: Mapping[str, Any], base: Mapping[str, Any], pointer: str, *, version_pointer: str
) -> dict[str, Any]:
    """`versions.completed`, with what is wrong as Invalid `invalid_model`; `pointer` is that of `given`."""
    try:
        check_version(version)
        return completed(version, given, base)
    except ModelFault as fault:
        if fault.member == "version":
            raise invalid_model(fault, version_pointer) from None
        raise invalid_model(fault, "/".join([pointer, *filter(None, fault.member.split("."))])) from None


def invalid_model(fault: ModelFault, where: str) -> Invalid:
    """What a caller is told about parameters that cannot hold."""
    return Invalid(
        "invalid_model", f"The model cannot hold: {fault}", errors=[Fault(where, fault.code, str(fault))]
    )


def model_not_found() -> NotFound:
    """No such version."""
    return NotFound("model_not_found", "There is no scoring model of this version.")


def version_exists() -> Conflict:
    """A version's numbers never change."""
    return Conflict(
        "version_exists", "There is a model of this version with other parameters. Take another version."
    )
