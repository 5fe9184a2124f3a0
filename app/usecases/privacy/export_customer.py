"""Everything that is held about a person, as one JSON document in pieces: as long as their log, and never in memory."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json

from app.domain.identifiers import Reference
from app.storage.database import Database
from app.storage.privacy import exporting
from app.storage.privacy.holdings import HOLDINGS
from app.usecases.find_customer import find_customer
from app.usecases.privacy.erase_customer import with_aliases


class Subject(NamedTuple):
    """Whose data it is: the customer, and everybody who was merged into them."""

    customer_id: UUID
    customer_ids: list[UUID]


async def find_subject(database: Database, reference: Reference) -> Subject:
    """Who is meant. Raises what `find_customer` raises."""
    async with database.hot_reading() as connection:
        customer_id = (await find_customer(connection, reference)).customer_id
        return Subject(customer_id, await with_aliases(connection, customer_id))


async def export_customer(database: Database, subject: Subject, now: datetime) -> AsyncIterator[bytes]:
    """The document in pieces. `complete` comes last: a document without it broke off.

    No connection is held between two pages, so a slow reader takes nothing from others. What is written meanwhile may
    be there or not; what goes meanwhile is not there any more.
    """
    others = sorted(set(subject.customer_ids) - {subject.customer_id})
    head = {"customer_id": subject.customer_id, "aliases": others, "exported_at": now}
    yield to_json(head)[:-1] + b',"tables":{'
    comma = b""
    for holding in HOLDINGS:
        if holding.not_exported is not None:
            continue
        yield comma + f'"{holding.table}":['.encode()
        comma, separator, after = b",", b"", None
        while True:
            async with database.hot_reading() as connection:
                page = await exporting.page(connection, holding, subject.customer_ids, after)
            if page.rows:
                yield separator + ",".join(page.rows).encode()
                separator = b","
            after = page.after
            if after is None:
                break
        yield b"]"
    withheld = {one.table: dict(one.withheld) for one in HOLDINGS if one.withheld}
    left_out = {one.table: one.not_exported for one in HOLDINGS if one.not_exported is not None}
    yield b'},"withheld":' + to_json(withheld) + b',"left_out":' + to_json(left_out) + b',"complete":true}'
