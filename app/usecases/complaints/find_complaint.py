"""A complaint for one who only reads."""

import asyncpg

from app.domain.feedback.complaint_records import Complaint, complaint_not_found, ids_in
from app.domain.feedback.references import reference_in
from app.domain.identifiers import Reference
from app.domain.problems import NotFound
from app.storage import complaints
from app.usecases.find_customer import find_customer


async def find_complaint(connection: asyncpg.Connection, public_id: str) -> Complaint:
    """The complaint with this id; that of a merged customer is found under the survivor too.

    Raises NotFound `complaint_not_found`, Conflict `erased`.
    """
    told_by, own_id = ids_in(public_id)
    try:
        identity = await find_customer(connection, Reference(told_by, ()))
    except NotFound:
        raise complaint_not_found() from None
    complaint = await complaints.find(connection, {identity.customer_id, told_by}, own_id)
    if complaint is None:
        raise complaint_not_found()
    return complaint


async def find_by_reference(connection: asyncpg.Connection, typed: str) -> Complaint:
    """The complaint whose reference somebody reads out, however they spell it. Raises as `find_complaint` does."""
    reference = reference_in(typed)
    held = None if reference is None else await complaints.holder(connection, reference)
    if held is None:
        raise complaint_not_found()
    customer_id, own_id = held
    identity = await find_customer(connection, Reference(customer_id, ()))
    complaint = await complaints.find(connection, {identity.customer_id, customer_id}, own_id)
    if complaint is None:
        raise complaint_not_found()
    return complaint
