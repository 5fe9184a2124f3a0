"""What a customer sees over a signed link: where the complaint stands, and what was said to them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from app.domain.feedback.complaint_records import Complaint, complaint_not_found, public_id
from app.domain.feedback.links import opened
from app.domain.problems import Conflict, Gone, NotFound
from app.storage import complaint_log
from app.storage.complaint_log import Line
from app.usecases.complaints.find_complaint import find_complaint

MOST_LINES: Final = 50


class PublicStatus(NamedTuple):
    """The complaint and the lines of its log that are meant for the customer's eyes."""

    complaint: Complaint
    lines: list[Line]


async def public_status(
    connection: asyncpg.Connection, token: str, secrets: Mapping[str, bytes], now: datetime
) -> PublicStatus:
    """What the link leads to. Raises NotFound `link_not_found`, Gone `link_expired` or `erased`."""
    link = opened(token, purpose="complaint", secrets=secrets, now=now)
    try:
        complaint = await find_complaint(connection, public_id(link.customer_id, link.resource_id))
    except NotFound as problem:
        if problem.code != complaint_not_found().code:
            raise
        raise link_not_found() from None
    except Conflict:
        raise gone() from None
    lines = await complaint_log.lines(connection, complaint, MOST_LINES, visible_only=True)
    return PublicStatus(complaint, lines)


def link_not_found() -> NotFound:
    """As for a link that is not ours."""
    return NotFound("link_not_found", "This link does not lead anywhere.")


def gone() -> Gone:
    """The person was erased."""
    return Gone("erased", "What this link led to was erased.")
