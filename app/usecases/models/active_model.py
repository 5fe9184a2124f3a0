"""The model that scores: loaded when the process starts, at most a second behind a publication anywhere."""

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
    # A version's numbers never change, so its name says whether there is anything to read.
    if await models.active_version(connection) == known.version:
        return known
    found = await models.active(connection)
    return known if found is None else read(found.parameters)
