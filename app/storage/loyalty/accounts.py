"""Loading accounts: many (customer, programme) in one statement, with exactly what a decision about each needs."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from pydantic_core import from_json, to_json

from app.domain.ids import uuid7
from app.domain.loyalty.account import BEGINNING, Account, opened
from app.domain.loyalty.rules import Given
from app.domain.loyalty.tiers import Standing
from app.storage.loyalty import referrals
from app.storage.loyalty.referrals import StoredReferral
from app.storage.loyalty.rows import (
    ADJUSTED,
    EARN,
    GIVEN,
    HOLD,
    LOT,
    SPEND,
    adjusted_of,
    earn_of,
    given_of,
    hold_of,
    lot_of,
    spend_of,
)


class Wanted(NamedTuple):
    """An account, and what a call names: keys of earns, ids of holds and spends (one name is both), of adjustments.

    `qualifying_since`: since when points count towards the tier; None when nobody asks. `caps`: since which local day
    the points of each capped rule are to be summed. `referrals`: those by which the customer came and that an order can
    still move. `whole`: everything there ever was (merges, balances of the past).
    """

    customer_id: UUID
    program: str
    earns: Sequence[str] = ()
    spends: Sequence[str] = ()
    adjustments: Sequence[str] = ()
    qualifying_since: datetime | None = None
    caps: Mapping[str, date] = {}
    whole: bool = False
    referrals: bool = False


class Owner(NamedTuple):
    """The customer's state row as it was read with the account; `version` is another one after every change of it."""

    identity_revision: int
    merged_into: UUID | None
    erased_at: datetime | None
    version: str


class Loaded(NamedTuple):
    """An account as it was read. `revision` None: there is no row yet, and `account` is an empty one.

    `rules_revision` is the programme's in the same snapshot: rules of another one must not decide. `qualifying` and
    `given` answer `Wanted`'s questions.
    """

    customer_id: UUID
    program: str
    account: Account
    standing: Standing | None
    due_at: datetime | None
    warned_until: datetime | None
    ruled_by: int
    revision: int | None
    rules_revision: int
    qualifying: int
    given: Given
    owner: Owner
    referrals: Sequence[StoredReferral] = ()


async def load(
    connection: asyncpg.Connection, wanted: Sequence[Wanted], now: datetime
) -> dict[tuple[UUID, str], Loaded]:
    """These accounts by (customer, programme); those of unknown customers or programmes are missing.

    An account that is not there yet is an empty one with an id of its own, made at `now`.
    """
    statement = _statement(
        whole=any(one.whole for one in wanted),
        spends=any(one.spends for one in wanted),
        adjustments=any(one.adjustments for one in wanted),
        tiers=any(one.qualifying_since is not None for one in wanted),
        caps=any(one.caps for one in wanted),
        people=any(one.referrals for one in wanted),
    )
    rows = await connection.fetch(
        statement,
        list({one.customer_id for one in wanted}),
        to_json([_asked(one) for one in wanted]).decode(),
    )
    return {(row[0], row[1]): _loaded(row, now) for row in rows}


def _asked(one: Wanted) -> dict[str, Any]:
    return one._asdict()


# From the state row, which every customer has, outwards: co-located joins all of them. LATERAL with OFFSET 0 inside
# keeps each look a look by key. Each part is a text of JSON lists, because a record of Python's costs more.
_BEGIN: Final = """
SELECT s.customer_id, p.code, p.revision AS rules_revision, a.account_id, a.seq, a.head, a.last_at, a.debt,
  a.lifetime_earned, a.lifetime_burned, a.lifetime_expired, a.tier, a.tier_since, a.review_at, a.grace_until, a.due_at,
  a.warned_until, coalesce(a.ruled_by, 0) AS ruled_by, a.revision, s.identity_revision, s.merged_into, s.erased_at,
  s.xmin::text AS version,
  lots.parts AS lots, holds.parts AS holds, earns.parts AS earns"""

_FROM: Final = """
FROM json_to_recordset($2::text::json) AS w (
  customer_id uuid, program text, earns text[], spends text[], adjustments text[], qualifying_since timestamptz,
  caps json, whole boolean
)
JOIN customer_states s ON s.customer_id = w.customer_id AND s.customer_id = ANY ($1::uuid[])
JOIN loyalty_programs p ON p.code = w.program
LEFT JOIN LATERAL (
  SELECT * FROM loyalty_accounts own WHERE own.customer_id = s.customer_id OFFSET 0
) a ON a.program = p.code"""

_OWN: Final = "x.customer_id = a.customer_id AND x.program = a.program"


def _part(name: str, row: str, source: str) -> str:
    """A part of the account, as a lateral join."""
    return f"""
LEFT JOIN LATERAL (SELECT json_agg({row})::text AS parts FROM {source} AS x) AS {name} ON true"""  # noqa: S608 - this module's constants


def _rows(table: str, condition: str) -> str:
    return f"(SELECT x.* FROM {table} x WHERE {_OWN} AND {condition} OFFSET 0)"  # noqa: S608 - this module's constants


@lru_cache(maxsize=64)
def _statement(*, whole: bool, spends: bool, adjustments: bool, tiers: bool, caps: bool, people: bool) -> str:
    """The statement with the parts that somebody asks for: one that finds nothing would cost as much as the others."""
    columns, joins = [_BEGIN], [_FROM]
    joins.append(_drawn(whole=whole, spends=spends))
    joins.append(
        _part("earns", EARN, _rows("loyalty_earns", "true" if whole else "x.key = ANY (named.earns)"))
    )
    joins.append(_part("lots", LOT, _lots(whole=whole)))
    open_or_named = "x.state = 'open'"
    if spends or whole:
        columns.append("spends.parts AS spends")
        joins.append(
            _part(
                "spends", SPEND, _rows("loyalty_spends", "true" if whole else "x.spend_id = ANY (w.spends)")
            )
        )
    holds = _rows("loyalty_holds", "true" if whole else open_or_named)
    if spends and not whole:
        resolved = _rows("loyalty_holds", "x.state <> 'open' AND x.hold_id = ANY (w.spends)")
        holds = f"(SELECT * FROM {holds} AS o UNION ALL SELECT * FROM {resolved} AS r)"  # noqa: S608 - constants
    joins.append(_part("holds", HOLD, holds))
    if adjustments or whole:
        columns.append("adjustments.parts AS adjustments")
        condition = "x.state = 'booked'" + ("" if whole else " AND x.key = ANY (w.adjustments)")
        joins.append(_part("adjustments", ADJUSTED, _rows("loyalty_adjustments", condition)))
    if tiers:
        columns.append(f"""(
  SELECT coalesce(sum(x.qualifying), 0)::bigint FROM loyalty_entries x
  WHERE {_OWN} AND x.qualifying <> 0 AND x.qualified_at >= w.qualifying_since
) AS qualifying""")  # noqa: S608 - this module's constants
    if caps:
        columns.append(f"""(
  SELECT json_agg({GIVEN})::text FROM json_each_text(w.caps) AS cap (rule, since)
  JOIN loyalty_rule_points x ON x.rule = cap.rule AND x.day >= cap.since::date
  WHERE {_OWN}
) AS given""")  # noqa: S608 - this module's constants
    if people:
        # Of friends who have no account yet too.
        columns.append("referrals.parts AS referrals")
        own = "(SELECT * FROM loyalty_referrals own WHERE own.customer_id = s.customer_id OFFSET 0) AS x"
        source = f"(SELECT x.* FROM {own} WHERE x.program = p.code AND {referrals.OPEN})"  # noqa: S608 - constants
        joins.append(_part("referrals", referrals.ROW, source))
    return ", ".join(columns) + "".join(joins)


def _drawn(*, whole: bool, spends: bool) -> str:
    """Which earns are at hand: named ones, those with something to recover, those whose lots paid a named spend."""
    if whole:
        return ""
    paid = (
        f"""|| ARRAY(
    SELECT l.earn_key FROM loyalty_lots l
    WHERE l.customer_id = a.customer_id AND l.program = a.program AND l.earn_key IS NOT NULL AND l.lot = ANY ({_DRAWN})
  )"""  # noqa: S608 - this module's constants
        if spends
        else ""
    )
    drawn = _DRAWN if spends else "'{}'::integer[]"
    return f"""
LEFT JOIN LATERAL (
  SELECT w.earns || ARRAY(SELECT x.key FROM loyalty_earns x WHERE {_OWN} AND x.recoverable > 0) {paid} AS earns,
    {drawn} AS drawn
  OFFSET 0
) AS named ON true"""  # noqa: S608 - this module's constants


_DRAWN: Final = f"""ARRAY(
      SELECT (draw ->> 0)::integer FROM loyalty_spends x CROSS JOIN LATERAL jsonb_array_elements(x.draws) AS draw
      WHERE {_OWN} AND x.spend_id = ANY (w.spends)
    )"""  # noqa: S608 - this module's constants


def _lots(*, whole: bool) -> str:
    """Lots with points left, and used ones that the spends and earns at hand name."""
    if whole:
        return _rows("loyalty_lots", "true")
    of_earns = f"""ARRAY(
    SELECT unnest(x.lots) FROM loyalty_earns x WHERE {_OWN} AND x.key = ANY (named.earns)
  )"""  # noqa: S608 - this module's constants
    # By the customer alone: the index of what the shop owes begins with the programme.
    left = """(
    SELECT * FROM (
      SELECT x.* FROM loyalty_lots x WHERE x.customer_id = a.customer_id AND x.remaining > 0 OFFSET 0
    ) AS own WHERE own.program = a.program
  )"""
    used = _rows("loyalty_lots", f"x.remaining = 0 AND x.lot = ANY (named.drawn || {of_earns})")
    return f"(SELECT * FROM {left} AS l UNION ALL SELECT * FROM {used} AS u)"  # noqa: S608 - this module's constants


def _loaded(row: asyncpg.Record, now: datetime) -> Loaded:
    return Loaded(
        customer_id=row["customer_id"],
        program=row["code"],
        account=_account(row, now),
        standing=None
        if row["tier"] is None
        else Standing(row["tier"], row["tier_since"], row["review_at"], row["grace_until"]),
        due_at=row["due_at"],
        warned_until=row["warned_until"],
        ruled_by=row["ruled_by"],
        revision=row["revision"],
        rules_revision=row["rules_revision"],
        qualifying=row.get("qualifying") or 0,
        given=given_of(_parts(row.get("given"), ())),
        referrals=[referrals.open_of_row(one) for one in _list(row.get("referrals"))],
        owner=Owner(row["identity_revision"], row["merged_into"], row["erased_at"], row["version"]),
    )


def _account(row: asyncpg.Record, now: datetime) -> Account:
    if row["account_id"] is None:
        return opened(uuid7(int(now.timestamp() * 1000)))
    return Account(
        id=row["account_id"],
        seq=row["seq"],
        head=row["head"],
        last_at=row["last_at"] or BEGINNING,
        debt=row["debt"],
        lifetime_earned=row["lifetime_earned"],
        lifetime_burned=row["lifetime_burned"],
        lifetime_expired=row["lifetime_expired"],
        lots={one[0]: lot_of(one) for one in _list(row["lots"])},
        holds={one[0]: hold_of(one) for one in _list(row["holds"])},
        spends={one[0]: spend_of(one) for one in _list(row.get("spends"))},
        earns={one[0]: earn_of(one) for one in _list(row["earns"])},
        adjustments={one[0]: adjusted_of(one) for one in _list(row.get("adjustments"))},
    )


def _list(text: str | None) -> list[list[Any]]:
    return [] if text is None else list(from_json(text))


def _parts(text: str | None, otherwise: Any) -> Any:
    return otherwise if text is None else from_json(text)
