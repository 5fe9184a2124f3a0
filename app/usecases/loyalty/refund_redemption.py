"""Points that were spent come back: to the lots that paid, or for a grace where those have run out.

A redemption that is given back whole never was: its reward is in stock again, and the log counts it no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.ids import opaque_id, parse_opaque_id
from app.domain.loyalty.account import Refunded, Spend
from app.domain.loyalty.spending import refunded
from app.domain.problems import NotFound
from app.domain.silence import SOURCE
from app.storage import merges, timeline
from app.storage.loyalty import redemptions, rewards
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.redemptions import StoredSpend
from app.usecases.loyalty.capture_hold import redeemed_line_id
from app.usecases.loyalty.change_account import Opened, open_account, save_account
from app.usecases.void_touchpoint import void_logged

_REASON: Final = "The redemption was refunded."


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
    model: Model,
    now: datetime,
) -> RefundDone:
    """Give back `points` of a redemption, all that is left without a number. The same name again answers the same.

    `name` is the caller's source, a slash, and their id.

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
    if is_new and not spend.refundable:
        # The last points can come back once, so this is done once.
        await _undo(connection, opened, found, name, model, now)
    return RefundDone(decision.result, _left_after(spend, name), is_new)


async def _undo(
    connection: asyncpg.Connection,
    opened: Opened,
    found: StoredSpend,
    name: str,
    model: Model,
    now: datetime,
) -> None:
    """Put the reward back and void the line of a redemption that is given back whole. Locks go on in their order: the
    customer is locked, then comes the reward.
    """
    if found.spend.reward is not None:
        await rewards.give_back_one(connection, found.program, found.spend.reward)
    customer = opened.customer
    # The line has the id that the redemption had when it was captured, maybe in the name of an alias.
    for who in (customer.customer_id, *await merges.aliases(connection, customer.customer_id)):
        line = redeemed_line_id(opaque_id("redemption", who, found.handed.id))
        row = await timeline.find(connection, customer.customer_id, line, SOURCE, SOURCE)
        if row is not None:
            by = name.partition("/")[0]
            await void_logged(connection, customer, row, by=by, reason=_REASON, model=model, now=now)


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
