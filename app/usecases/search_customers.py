"""Whom a support agent means by what they typed: somebody's identifier, or the beginning of a name."""

from uuid import UUID

import asyncpg

from app.domain.customers import Customer
from app.domain.identifiers import EMAIL, Reference, email_key, parse_reference
from app.domain.problems import Invalid
from app.storage import customers, identifiers
from app.storage.customers import START, Filter, Place


async def search_customers(
    connection: asyncpg.Connection, text: str, limit: int, narrow: Filter, after: Place | None
) -> list[tuple[Place, Customer]]:
    """Those whom `text` identifies first, then those whose names begin with it, whatever the case; three statements.

    `text` may be a UUID, `type:value`, or a bare value of an identifier of any type.
    """
    holders = await _survivors(connection, await _holders(connection, text))
    return await customers.matching(connection, limit, text, holders, narrow, after=after or START)


async def _holders(connection: asyncpg.Connection, text: str) -> set[UUID]:
    reference = _as_reference(text)
    if reference.customer_id is not None:
        return {reference.customer_id}
    named = {(identifier.type, identifier.key) for identifier in reference.identifiers}
    bare = {text, email_key(text)}
    held = await identifiers.holders_of_values(connection, bare.union(key for _, key in named))
    return {
        customer_id
        for (kind, key), customer_id in held.items()
        if (kind, key) in named or key == (email_key(text) if kind == EMAIL else text)
    }


async def _survivors(connection: asyncpg.Connection, named: set[UUID]) -> set[UUID]:
    """Those whom a merge left, in place of their aliases."""
    found = await customers.identities(connection, named)
    return {one.merged_into or one.customer_id for one in found.values()}


def _as_reference(text: str) -> Reference:
    try:
        return parse_reference(text)
    except Invalid:
        # A name, as a rule.
        return Reference(None, ())
