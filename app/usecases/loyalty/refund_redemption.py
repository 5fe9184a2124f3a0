"""Points that were spent come back: to the lots that paid, or for a grace where those have run out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from app.domain.identifiers import Reference
from app.domain.ids import parse_opaque_id
from app.domain.loyalty.account import Refunded, Spend
from app.domain.loyalty.spending import refunded
from app.domain.problems import NotFound
from app.storage.loyalty import redemptions
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.redemptions import StoredSpend
from app.usecases.loyalty.change_account import open_account, save_account


@dataclass(frozen=True, slots=True)
class RefundDone:
    """What became of the points, how many were left to refund after it, and whether it is new with this call."""

    refund: Refunded
    refundable: int
    is_new: bool


async def refund_redemption(
    connection: asyncpg.Connection,
    public_id: str,
    name: str,
    points: int | None,
    reason: str,
    known: Mapping[str, Rules],
    now: datetime,
) -> RefundDone:
    """Give back `points` of a redemption, all that is left without a number. The same name again answers the same.

    Raises NotFound `redemption_not_found`, and what `refunded` and `open_account` raise.
    """
    found = await read_redemption(connection, public_id)
    reference = Reference(found.customer_id, ())
    opened = await open_account(connection, reference, found.program, known, now, spends=[found.spend.id])
    grace = opened.version_at(now).reinstatement_grace
    decision = refunded(opened.loaded.account, found.spend.id, id=name, points=points, grace=grace, now=now)
    await save_account(connection, opened, decision, now)
    is_new = decision.account is not opened.loaded.account
    if is_new and reason:
        loaded = opened.loaded
        await redemptions.keep_reason(
            connection, loaded.customer_id, loaded.program, found.spend.id, name, reason
        )
    spend = decision.account.spends[found.spend.id]
    return RefundDone(decision.result, _left_after(spend, name), is_new)


def _left_after(spend: Spend, name: str) -> int:
    """What was left to refund when this refund was done: later ones do not change its answer."""
    names = list(spend.refunds)
    done = names[: names.index(name) + 1]
    return spend.points - sum(spend.refunds[one].points for one in done)


async def read_redemption(connection: asyncpg.Connection, public_id: str) -> StoredSpend:
    """The redemption with this id. Raises NotFound `redemption_not_found`."""
    ids = parse_opaque_id("redemption", public_id)
    found = None if ids is None else await redemptions.find_redemption(connection, *ids)
    if found is None:
        raise redemption_not_found()
    return found


def redemption_not_found() -> NotFound:
    """No redemption has this id."""
    return NotFound("redemption_not_found", "There is no such redemption.")
