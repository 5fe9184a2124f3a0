"""Every tier that points have raised is told in the transaction that gave them, whoever gave them."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from app.domain.health.model import Model
from app.domain.loyalty.telling import tier_changed
from app.domain.problems import Problem
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.saving import Change
from app.storage.recording import LostRace
from app.usecases.loyalty.change_account import risen
from app.usecases.record_touchpoints import Entry, Rerouted, record_touchpoints


async def tell_tiers(
    connection: asyncpg.Connection, changes: Sequence[Change], rules: Rules, model: Model, now: datetime
) -> None:
    """Tell the moves up of saved changes of locked customers' accounts in one programme. Raises as `tell`."""
    moves = [
        (change.before.customer_id, risen(change.before.standing, change.standing, rules, now))
        for change in changes
    ]
    code = rules.program.code
    await tell(connection, [Entry(who, tier_changed(code, move, now)) for who, move in moves if move], model)


async def tell(connection: asyncpg.Connection, lines: Sequence[Entry], model: Model) -> None:
    """Write lines of locked customers; what stands there already is as it was told first. Raises LostRace, and what
    stands against a customer.
    """
    for outcome in await record_touchpoints(connection, lines, model) if lines else ():
        if isinstance(outcome, Problem):
            raise outcome
        if isinstance(outcome, Rerouted):
            raise LostRace
