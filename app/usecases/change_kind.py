"""A shop changes what a kind of its own counts from now on."""

from datetime import datetime

import asyncpg

from app.domain.kinds import Kind, OwnKinds, own_kind
from app.domain.problems import NotFound
from app.storage import kinds


async def change_kind(
    connection: asyncpg.Connection,
    name: str,
    now: datetime,
    *,
    component: str | None = None,
    weight: float | None = None,
    label: str | None = None,
) -> tuple[OwnKinds, Kind]:
    """All own kinds and the changed one. What arrived before keeps the component and the weight that it came with.

    Raises NotFound `kind_not_found`, Invalid `invalid_kind`.
    """
    known = await kinds.lock_all(connection)
    was = known.get(name)
    if was is None or was.own is None:
        raise kind_not_found()
    own_component, thousandths = was.own
    kind = own_kind(
        name,
        own_component if component is None else component,
        thousandths / 1000 if weight is None else weight,
        was.label if label is None else label,
    )
    await kinds.update(connection, kind, now)
    return {**known, name: kind}, kind


def kind_not_found() -> NotFound:
    """Built-in kinds cannot be changed either."""
    return NotFound("kind_not_found", "There is no own kind of this name.")
