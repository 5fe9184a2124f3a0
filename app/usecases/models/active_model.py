"""The model that scores: loaded when the process starts, at most a second behind a publication anywhere."""

from dataclasses import replace

import asyncpg

from app.domain.health.model import Model, shipped
from app.domain.health.versions import read
from app.storage import models
from app.storage.database import Database
from app.usecases.fresh import Fresh


class ActiveModel(Fresh[Model]):
    """`current` is the model to score with now. Until the first look it is the shipped one."""

    def __init__(self, database: Database, first: Model | None = None) -> None:
        super().__init__("model", database, shipped() if first is None else first, _load)


async def _load(connection: asyncpg.Connection, known: Model) -> Model:
    # A version's numbers never change, so the names say whether there is anything to read.
    if await models.versions_in_play(connection) == known.versions:
        return known
    found = await scoring(connection)
    return known if found is None else found


async def scoring(connection: asyncpg.Connection) -> Model | None:
    """The active model, and beside it those that still score customers of other half-lives; None without one."""
    found = await models.in_play(connection)
    if not found:
        return None
    active, *earlier = (read(one.parameters) for one in found)
    return replace(active, earlier=tuple(earlier))
