"""The ids that callers see: each carries its customer, and is the same whenever it is made from the same things."""

from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from app.domain.ids import opaque_id, parse_opaque_id, uuid7
from app.domain.problems import NotFound

_LONGEST_SEQ = 10


class EntryId(NamedTuple):
    """What the id of an entry says."""

    customer_id: UUID
    account_id: UUID
    seq: int


def own_id(account_id: UUID, what: str, name: str, at: datetime) -> UUID:
    """The id of a hold, spend or adjustment that its caller named: a UUIDv7 of when it came, the rest from the name."""
    seed = b"\0".join((account_id.bytes, what.encode(), name.encode()))
    return uuid7(int(at.timestamp() * 1000), sha256(seed).digest()[:10])


def entry_id(customer_id: UUID, account_id: UUID, seq: int) -> str:
    """The public id of an entry."""
    return f"{opaque_id('entry', customer_id, account_id)}_{seq}"


def parse_entry_id(text: str) -> EntryId:
    """What an id says. Raises NotFound `entry_not_found` for a text that `entry_id` cannot have made."""
    head, _, digits = text.rpartition("_")
    ids = parse_opaque_id("entry", head)
    if ids is None or not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_SEQ:
        raise entry_not_found()
    return EntryId(*ids, int(digits))


def entry_not_found() -> NotFound:
    """No entry has this id."""
    return NotFound("entry_not_found", "There is no such entry.")
