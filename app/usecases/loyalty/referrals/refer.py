"""A friend comes with a code: attributed, on hold or rejected, with a reason, once for each code and friend."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.admission import Admission
from app.domain.canonical import body_sha256
from app.domain.health.model import Model
from app.domain.identifiers import Reference
from app.domain.ids import opaque_id
from app.domain.loyalty.periods import local_year, start_of_day, start_of_year
from app.domain.loyalty.public_ids import own_id
from app.domain.loyalty.referral_codes import code_in, code_not_found, mailbox_key
from app.domain.loyalty.referrals import PASSING, Attribution, Referral, attributed
from app.domain.problems import Problem
from app.domain.recording import Recorded
from app.domain.silence import SOURCE
from app.domain.touchpoints import propose
from app.storage import merges, states
from app.storage.loyalty import referral_codes, referrals
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.referral_codes import Code
from app.storage.loyalty.referrals import Standing, StoredReferral
from app.storage.recording import LostRace
from app.usecases.loyalty.referrals.lock_both import Both, living, lock_both
from app.usecases.loyalty.referrals.make_code import version_at
from app.usecases.loyalty.remembered_programs import rules_named
from app.usecases.record_touchpoints import Entry, record_touchpoints

MOST_FOREBEARS: Final = 8
"""How far up it is asked who brought whom, before somebody may be bringing their own forebear."""


class Coming(NamedTuple):
    """A friend with a code. `network`: from where, None where nobody said. `pepper` hides mailboxes."""

    code: str
    referee: Reference
    network: bytes | None
    pepper: bytes


class Referred(NamedTuple):
    """The referral, and whether it is new with this call."""

    stored: StoredReferral
    is_new: bool


async def refer(
    connection: asyncpg.Connection,
    coming: Coming,
    known: Mapping[str, Rules],
    model: Model,
    admission: Admission,
    now: datetime,
) -> Referred:
    """What becomes of a friend who comes with a code. The same friend and code again answer the same; one who was too
    many for a limit of time may come again.

    Raises NotFound `referral_code_not_found`, what stands against the friend, Unavailable `busy`.
    """
    code = await referral_codes.find(connection, code_in(coming.code))
    if code is None:
        raise code_not_found()
    both = await lock_both(connection, code.customer_id, coming.referee, admission, now)
    rules = await rules_named(connection, known, code.program, now)
    earlier = await referrals.by_code(connection, both.referee.customer_id, code.program, code.code)
    if earlier is not None and not (earlier.state == "rejected" and earlier.reason in PASSING):
        return Referred(earlier, is_new=False)
    fresh = _fresh(code, both, coming.network, now) if earlier is None else earlier
    stored = await _attributed(connection, code, both, fresh, rules, coming.pepper, now)
    await referrals.write(connection, stored, both.referrer.customer_id)
    # A purchase that was decided without the lock and without this referral is decided again.
    await states.renew(connection, both.referee.customer_id)
    if stored.state == "attributed":
        await tell(connection, stored, both.referrer.customer_id, model, now)
    return Referred(stored, is_new=earlier is None)


async def tell(
    connection: asyncpg.Connection, stored: StoredReferral, referrer: UUID, model: Model, now: datetime
) -> None:
    """Write into the log of the locked referrer that a friend came by them; its id is fixed, so it is told once.

    Raises LostRace.
    """
    said = {"referred": public_id(stored)}
    digest, _ = body_sha256({"kind": "referral", "properties": said}, frozenset())
    touchpoint = propose(
        source=SOURCE,
        id=public_id(stored),
        kind="referral",
        occurred_at=now,
        now=now,
        body_sha256=digest,
        shop_currency="",  # a referral carries no money
        properties=said,
    )
    (outcome,) = await record_touchpoints(connection, [Entry(referrer, touchpoint)], model)
    if isinstance(outcome, Problem):
        raise outcome
    if not isinstance(outcome, Recorded):
        raise LostRace


def public_id(stored: StoredReferral) -> str:
    """The id that callers see; it carries the name under which the friend came."""
    return opaque_id("referral", stored.origin_customer_id, stored.id)


def _fresh(code: Code, both: Both, network: bytes | None, now: datetime) -> StoredReferral:
    referee = both.referee.origin
    return StoredReferral(
        customer_id=both.referee.customer_id,
        program=code.program,
        id=own_id(referee, "referral", f"{code.program}/{code.code}", now),
        other_customer_id=code.customer_id,
        code=code.code,
        state="rejected",
        reason=None,
        order_id=None,
        created_at=now,
        at=now,
        due_at=None,
        kept_until=None,
        paid_minor=0,
        refunded_minor=0,
        referrer_points=None,
        referee_points=None,
        network=network,
        reviewed_by=None,
        note=None,
        revision=0,
        origin_customer_id=referee,
    )


async def _attributed(
    connection: asyncpg.Connection,
    code: Code,
    both: Both,
    fresh: StoredReferral,
    rules: Rules,
    pepper: bytes,
    now: datetime,
) -> StoredReferral:
    emails = await referrals.emails_of(connection, {both.referrer.customer_id, both.referee.customer_id})
    mailboxes = {mailbox_key(email, pepper) for email in emails[both.referee.customer_id]}
    keys = mailboxes | {f"customer:{both.referee.origin}"}
    # Who was brought under one name is brought under all of them.
    names = await merges.aliases(connection, both.referee.customer_id)
    everyone = keys | {f"customer:{name}" for name in (both.referee.customer_id, *names)}
    facts = Attribution(
        referrer=str(both.referrer.customer_id),
        referee=str(both.referee.customer_id),
        code_made_at=code.created_at,
        referrer_emails=frozenset(emails[both.referrer.customer_id]),
        referee_emails=frozenset(emails[both.referee.customer_id]),
        referee_has_bought=both.referee.state.n > 0,
        referee_is_referred=await referrals.is_taken(connection, code.program, everyone),
        referred_by=await _forebears(connection, both.referrer.customer_id, code.program),
    )
    had = await standing_of(connection, fresh, both.referrer.customer_id, rules, now)
    facts = facts._replace(
        rewarded_this_year=had.rewarded_this_year,
        today=had.today,
        same_ip=had.same_network or (fresh.network is not None and fresh.network == code.network),
    )
    limits = version_at(rules, now).referrals
    step = attributed(str(fresh.id), facts, limits, now)
    if step.state != "rejected" and not await _claimed(connection, fresh, keys):
        # Somebody else with this mailbox came in between.
        step = attributed(str(fresh.id), facts._replace(referee_is_referred=True), limits, now)
    return _after(fresh, step)


def _after(fresh: StoredReferral, step: Referral) -> StoredReferral:
    return fresh.after(step, None)


async def standing_of(
    connection: asyncpg.Connection, one: StoredReferral, referrer: UUID, rules: Rules, now: datetime
) -> Standing:
    """What the referrer has had in the local year and day, besides this one."""
    zone = rules.programme.zone
    return await referrals.standing(
        connection,
        referrer,
        one.program,
        year_start=start_of_year(local_year(now, zone), zone),
        day_start=start_of_day(now.astimezone(zone).date(), zone),
        network=one.network,
        besides=one.id,
    )


async def _claimed(connection: asyncpg.Connection, one: StoredReferral, keys: set[str]) -> bool:
    savepoint = connection.transaction()
    await savepoint.start()
    if await referrals.claim(connection, one.program, keys, one.customer_id, one.id):
        await savepoint.commit()
        return True
    await savepoint.rollback()
    return False


async def _forebears(connection: asyncpg.Connection, customer_id: UUID, program: str) -> frozenset[str]:
    """Who brought the referrer, who brought those, and so on. They are not locked: this is against games, not races."""
    found: list[UUID] = []
    above: UUID | None = customer_id
    while above is not None and len(found) < MOST_FOREBEARS:
        name = await referrals.who_brought(connection, above, program)
        known = None if name is None else await living(connection, name)
        above = None if known is None else known.customer_id
        if above is None or above in found:
            break
        found.append(above)
    return frozenset(str(one) for one in found)
