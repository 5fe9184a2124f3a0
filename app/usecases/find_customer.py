"""Who a reference means, for one who only reads."""

import asyncpg

from app.domain.customers import erased, identity_conflict, not_found
from app.domain.identifiers import Reference
from app.storage import customers, identifiers
from app.storage.customers import Identity


async def find_customer(connection: asyncpg.Connection, reference: Reference) -> Identity:
    """The customer who is meant; a merged one leads to the survivor. Identifiers that nobody holds are passed over.

    `named_as` of the answer is the one alias that was named, None when the survivor was named too.

    Raises NotFound `customer_not_found`, Conflict `identity_conflict` or `erased`.
    """
    keys = {(identifier.type, identifier.key) for identifier in reference.identifiers}
    named = set((await identifiers.holders(connection, keys)).values())
    if reference.customer_id is not None:
        named.add(reference.customer_id)
    found = list((await customers.identities(connection, named)).values())
    alias = found[0].customer_id if len(found) == 1 and found[0].merged_into is not None else None
    survivors = {identity.merged_into for identity in found if identity.merged_into is not None}
    if survivors:
        # They may be among the found already, named by another identifier.
        routed = await customers.identities(connection, survivors)
        found = list(
            {identity if identity.merged_into is None else routed[identity.merged_into] for identity in found}
        )
    if len(found) > 1:
        raise identity_conflict(sorted(identity.customer_id for identity in found))
    if not found:
        raise not_found()
    if found[0].erased_at is not None:
        raise erased()
    return found[0]._replace(named_as=alias)
