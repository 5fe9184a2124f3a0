"""A customer gets a code to give to friends: one that lives, however often it is asked for."""

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg

from app.domain.admission import Admission
from app.domain.identifiers import Reference
from app.domain.loyalty.referral_codes import RANDOM_BYTES, code_of
from app.domain.loyalty.versions import Version, in_force
from app.domain.problems import Unavailable
from app.storage import merges
from app.storage.database import RETRY_AFTER_SECONDS
from app.storage.loyalty import referral_codes
from app.storage.loyalty.programs import Rules
from app.storage.loyalty.referral_codes import Code
from app.usecases.lock_customer import lock_or_create_customer
from app.usecases.loyalty.remembered_programs import rules_named

_ATTEMPTS: Final = 5


class Made(NamedTuple):
    """The code, until when friends may come with it, and whether it is new with this call."""

    code: Code
    valid_until: datetime
    is_new: bool


async def make_code(
    connection: asyncpg.Connection,
    reference: Reference,
    program: str | None,
    network: bytes | None,
    known: Mapping[str, Rules],
    admission: Admission,
    now: datetime,
) -> Made:
    """The customer's code in a programme (None: the default one): the one that lives, else a new one.

    Raises what stands against the customer, NotFound `program_not_found`, Unavailable `busy`.
    """
    rules = await rules_named(connection, known, program, now)
    customer = await lock_or_create_customer(connection, reference, now, admission)
    lifetime = timedelta(days=version_at(rules, now).referrals.valid_days)
    # The code of an alias leads on to the survivor: it is theirs, and goes back with an undo.
    names = [customer.customer_id, *await merges.aliases(connection, customer.customer_id)]
    newest = await referral_codes.newest(connection, names, rules.program.code)
    if newest is not None and now < newest.created_at + lifetime:
        return Made(newest, newest.created_at + lifetime, is_new=False)
    for _ in range(_ATTEMPTS):
        code = Code(code_of(os.urandom(RANDOM_BYTES)), rules.program.code, customer.origin, now, network)
        if await referral_codes.claim(connection, code):
            return Made(code, now + lifetime, is_new=True)
    raise Unavailable(
        "busy", "No free code was found. Try again shortly.", retry_after_seconds=RETRY_AFTER_SECONDS
    )


def version_at(rules: Rules, at: datetime) -> Version:
    """What was in force then; the standard version before the first one."""
    found = in_force(rules.published, at)
    return Version() if found is None else found.version
