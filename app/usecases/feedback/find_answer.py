"""An answer by its id, wherever a merge has brought it."""

from uuid import UUID

import asyncpg

from app.domain.feedback.answers import answer_not_found, gone
from app.domain.identifiers import Reference
from app.domain.problems import Conflict, NotFound
from app.storage import feedback
from app.storage.feedback import Shown
from app.usecases.find_customer import find_customer


async def find_answer(connection: asyncpg.Connection, customer_id: UUID, own_id: UUID) -> Shown:
    """The answer. Raises NotFound `feedback_not_found`, Gone `erased`."""
    try:
        survivor = await find_recipient(connection, Reference(customer_id, ()))
    except NotFound as problem:
        raise answer_not_found() from problem
    shown = await feedback.get(connection, survivor, own_id)
    if shown is None:
        raise answer_not_found()
    return shown


async def find_recipient(connection: asyncpg.Connection, reference: Reference) -> UUID:
    """Whose answers are meant; of a merged customer the survivor's. Raises as `find_customer`, but Gone `erased`."""
    try:
        return (await find_customer(connection, reference)).customer_id
    except Conflict as problem:
        if problem.code == "erased":
            raise gone() from problem
        raise
