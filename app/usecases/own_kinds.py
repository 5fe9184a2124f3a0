"""The shop's own kinds as this process remembers them: at most a second behind a change anywhere."""

import asyncpg

from app.domain.kinds import NO_KINDS, OwnKinds
from app.storage import kinds
from app.storage.database import Database
from app.usecases.fresh import Fresh


class RememberedKinds(Fresh[OwnKinds]):
    """`current` are the own kinds that may be posted. There are few (MOST_OWN_KINDS), so all are remembered."""

    def __init__(self, database: Database) -> None:
        super().__init__("kinds", database, NO_KINDS, _load)


async def _load(connection: asyncpg.Connection, _known: OwnKinds) -> OwnKinds:
    return await kinds.all_kinds(connection)
