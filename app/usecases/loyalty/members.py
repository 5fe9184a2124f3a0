"""In which programme a shop's customers are members, and where one of them stands in it now."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from app.domain.loyalty.clock import Rulebook
from app.domain.loyalty.membership import Known, Membership, membership
from app.storage.contexts import Club
from app.storage.loyalty import memberships
from app.storage.loyalty.programs import Rules
from app.usecases.loyalty.change_account import tier_window
from app.usecases.loyalty.remembered_programs import default_of

_NEVER = datetime.max.replace(tzinfo=UTC)


def club_at(programs: Mapping[str, Rules], now: datetime) -> Club | None:
    """The programme that members are looked for in, None: there is no loyalty."""
    rules = default_of(programs, now)
    if rules is None:
        return None
    return Club(rules.program.code, rules.program.time_zone, tier_window(rules, now) or _NEVER)


async def find_member(
    connection: asyncpg.Connection, customer_id: UUID, programs: Mapping[str, Rules], now: datetime
) -> Membership | None:
    """The member as of `now`; None without a programme, for nobody is asked then, and for who is no member."""
    club = club_at(programs, now)
    if club is None:
        return None
    return member_of(await memberships.find(connection, customer_id, *club), programs, now)


def member_of(known: Known | None, programs: Mapping[str, Rules], now: datetime) -> Membership | None:
    """The member as of `now`; None for who is none, and in the moment in which the programme is not known here yet."""
    rules = None if known is None else programs.get(known.program)
    if known is None or rules is None:
        return None
    book = Rulebook(rules.published, rules.programme.zone)
    return membership(known, book, rules.programme.ends_at, now)
