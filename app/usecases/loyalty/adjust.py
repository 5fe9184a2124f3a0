"""Somebody gives or takes points, with a reason; so many need a second person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from app.domain.feedback.complaint_records import complaint_not_found, ids_in
from app.domain.identifiers import Reference
from app.domain.ids import parse_opaque_id
from app.domain.loyalty.account import Adjusted, Decision
from app.domain.loyalty.approvals import (
    Proposal,
    check_approver,
    check_yearly_cap,
    natural_key,
    needs_approval,
)
from app.domain.loyalty.balances import Balance, balance
from app.domain.loyalty.crediting import adjusted
from app.domain.loyalty.periods import local_year, start_of_year
from app.domain.loyalty.public_ids import entry_id, own_id
from app.domain.problems import Conflict, NotFound
from app.storage import complaints, merges
from app.storage.loyalty import adjustments
from app.storage.loyalty.adjustments import Adjustment, ledger_key
from app.storage.loyalty.programs import Rules
from app.usecases.loyalty.change_account import Opened, open_account, save_account
from app.usecases.loyalty.remembered_programs import rules_named


@dataclass(frozen=True, slots=True)
class Answered:
    """The adjustment as it stands, its account's balance, and whether it is new with this call.

    `customer_id` is who has the account. `entry_id` is None until it is booked, and after an undo when the entry stayed
    with the survivor.
    """

    adjustment: Adjustment
    customer_id: UUID
    entry_id: str | None
    account_seq: int
    balance: Balance
    is_new: bool


async def adjust(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    proposal: Proposal,
    expires_at: datetime | None,
    known: Mapping[str, Rules],
    now: datetime,
) -> Answered:
    """Book the adjustment, or write it down as a proposal when it needs a second person.

    The same natural key again answers the same. Raises what `open_account`, `adjusted` and `check_yearly_cap` raise,
    NotFound `complaint_not_found` for a goodwill whose complaint is not this customer's, Conflict `id_reused`.
    """
    key = natural_key(proposal)
    held = await open_account(connection, reference, program, known, now, adjustments=[key])
    code, origin = held.rules.program.code, held.customer.origin
    standing = await adjustments.find(connection, await _owners(connection, held), code, key, origin)
    if standing is not None:
        _check_same(standing, proposal, expires_at)
        return await _answered(connection, held, standing, now, is_new=False)
    if proposal.reason_code == "goodwill":
        await _check_complaint(connection, held, proposal)
    asked = Adjustment(
        customer_id=origin,
        program=code,
        key=key,
        id=own_id(held.loaded.account.id, "adjustment", key, now),
        proposal_id=proposal.id,
        kind="adjust",
        state="proposed",
        points=proposal.points,
        reason_code=proposal.reason_code,
        note=proposal.note,
        about=proposal.about,
        allow_debt=proposal.allow_debt,
        expires_at=expires_at,
        actor=proposal.actor,
        proposed_at=now,
    )
    # What cannot be booked is refused at once, also where somebody else would have to agree.
    decision = await _decided(connection, held, asked, now)
    if needs_approval(proposal, held.version_at(now).limits):
        await adjustments.write(connection, asked, None)
        return await _answered(connection, held, asked, now, is_new=True)
    return await _booked(connection, held, asked, decision, now)


async def goodwill_for(
    connection: asyncpg.Connection,
    customer_id: UUID,
    proposal: Proposal,
    known: Mapping[str, Rules],
    now: datetime,
) -> Adjustment | None:
    """What a locked customer was given before, in the default programme, for what the proposal is about.

    Raises NotFound `program_not_found`.
    """
    rules = await rules_named(connection, known, None, now)
    owners = [customer_id, *await merges.aliases(connection, customer_id)]
    return await adjustments.find(connection, owners, rules.program.code, natural_key(proposal), customer_id)


async def approve_adjustment(
    connection: asyncpg.Connection, public_id: str, approver: str, known: Mapping[str, Rules], now: datetime
) -> Answered:
    """Book a proposal as its second person. Approving again answers the same.

    Raises NotFound `adjustment_not_found`, Forbidden `same_person`, Conflict `declined`, and what booking raises.
    """
    found, held = await _opened(connection, public_id, known, now)
    if found.state == "booked":
        return await _answered(connection, held, found, now, is_new=False)
    if found.state == "declined":
        raise declined()
    check_approver(_proposal(found), held.version_at(now).limits, approver)
    decision = await _decided(connection, held, found, now)
    # Without need for a second person any more (the limit was raised), it is booked all the same.
    second = None if approver == found.actor else approver
    return await _booked(connection, held, found._replace(approver=second), decision, now)


async def decline_adjustment(
    connection: asyncpg.Connection, public_id: str, by: str, known: Mapping[str, Rules], now: datetime
) -> Answered:
    """Say no to a proposal; who made it may take it back. Raises NotFound `adjustment_not_found`, Conflict `booked`."""
    found, held = await _opened(connection, public_id, known, now)
    if found.state == "booked":
        raise already_booked()
    if found.state == "proposed":
        found = found._replace(state="declined", approver=None if by == found.actor else by)
        await adjustments.write(connection, found, None)
        return await _answered(connection, held, found, now, is_new=True)
    return await _answered(connection, held, found, now, is_new=False)


async def _opened(
    connection: asyncpg.Connection, public_id: str, known: Mapping[str, Rules], now: datetime
) -> tuple[Adjustment, Opened]:
    ids = parse_opaque_id("adjustment", public_id)
    found = None if ids is None else await adjustments.find_by_id(connection, *ids)
    if found is None:
        raise adjustment_not_found()
    held = await open_account(
        connection, Reference(found.customer_id, ()), found.program, known, now, adjustments=[found.key]
    )
    # As it is under the lock: two people may answer at once.
    locked = await adjustments.find_by_id(connection, found.customer_id, found.id)
    if locked is None:
        raise adjustment_not_found()
    return locked, held


async def _decided(
    connection: asyncpg.Connection, held: Opened, asked: Adjustment, now: datetime
) -> Decision[Adjusted]:
    zone, limits = held.rules.programme.zone, held.version_at(now).limits
    year = local_year(now, zone)
    given = await adjustments.given_between(
        connection,
        await _owners(connection, held),
        asked.program,
        asked.reason_code,
        start_of_year(year, zone),
        start_of_year(year + 1, zone),
    )
    check_yearly_cap(_proposal(asked), limits, given)
    return adjusted(
        held.loaded.account,
        id=ledger_key(asked, held.customer.customer_id),
        points=asked.points,
        reason_code=asked.reason_code,
        allow_debt=asked.allow_debt,
        expires_at=asked.expires_at,
        now=now,
    )


async def _booked(
    connection: asyncpg.Connection,
    held: Opened,
    asked: Adjustment,
    decision: Decision[Adjusted],
    now: datetime,
) -> Answered:
    done = decision.result
    booked = asked._replace(state="booked", booked_at=now, debt=done.debt, entry=done.entry)
    await save_account(connection, held, decision, now)
    await adjustments.write(connection, booked, done)
    account, who = decision.account, held.customer.customer_id
    line = entry_id(who, account.id, done.entry)
    return Answered(booked, who, line, account.seq, balance(account, now), is_new=True)


async def _answered(
    connection: asyncpg.Connection, held: Opened, one: Adjustment, now: datetime, *, is_new: bool
) -> Answered:
    account, line = held.loaded.account, None
    if one.entry is not None:
        ledger = await adjustments.ledger_of(connection, await _owners(connection, held), one)
        line = None if ledger is None else entry_id(ledger.customer_id, ledger.account_id, one.entry)
    return Answered(one, held.customer.customer_id, line, account.seq, balance(account, now), is_new)


async def _owners(connection: asyncpg.Connection, held: Opened) -> list[UUID]:
    """The customer, and all whose adjustments are theirs since a merge."""
    customer_id = held.customer.customer_id
    return [customer_id, *await merges.aliases(connection, customer_id)]


def _proposal(one: Adjustment) -> Proposal:
    return Proposal(
        one.proposal_id or one.key,
        one.points,
        one.reason_code,  # type: ignore[arg-type]  # the column holds what proposal_of let in
        one.note,
        one.actor,
        one.about,
        one.allow_debt,
    )


def _check_same(one: Adjustment, proposal: Proposal, expires_at: datetime | None) -> None:
    said = (one.points, one.reason_code, one.allow_debt, one.expires_at)
    if said != (proposal.points, proposal.reason_code, proposal.allow_debt, expires_at):
        raise id_reused()


async def _check_complaint(connection: asyncpg.Connection, held: Opened, proposal: Proposal) -> None:
    told_by, complaint_id = ids_in(proposal.about or "")
    owners = {held.customer.customer_id, told_by}
    found = await complaints.find(connection, owners, complaint_id)
    if found is None or found.customer_id != held.customer.customer_id:
        raise complaint_not_found()


def adjustment_not_found() -> NotFound:
    """No adjustment has this id."""
    return NotFound("adjustment_not_found", "There is no such adjustment.")


def id_reused() -> Conflict:
    """The natural key stands for something else."""
    return Conflict("id_reused", "This id stands for another adjustment.")


def declined() -> Conflict:
    """A second person said no."""
    return Conflict("declined", "The adjustment was declined.")


def already_booked() -> Conflict:
    """Its points are in the ledger; the way back is another adjustment."""
    return Conflict("already_booked", "The adjustment is booked. Take it back by another one.")
