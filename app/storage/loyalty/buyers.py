"""The accounts of a group's buyers, read in the statement that reads their log: what nearly every purchase needs.

Less than `accounts.load` gives: no earn is looked up by its key, because a purchase that is new has none. Should one
stand there all the same, the write finds it, and all is done again under the lock with everything at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic_core import from_json

from app.domain.ids import uuid7
from app.domain.loyalty.account import BEGINNING, Account, opened
from app.domain.loyalty.tiers import Standing
from app.storage.loyalty import referrals
from app.storage.loyalty.accounts import Loaded, Owner
from app.storage.loyalty.rows import (
    EARN,
    GIVEN,
    HOLD,
    LOT,
    earn_of,
    given_of,
    hold_of,
    lot_of,
    micros,
    time_of,
)
from app.storage.states import StateRow


class Buyers(NamedTuple):
    """Whose accounts a group asks for: all in the programme in which purchases earn, as of `now`.

    `qualifying_since`, `caps`: as those of `accounts.Wanted`.
    """

    customer_ids: Sequence[UUID]
    program: str
    now: datetime
    qualifying_since: datetime | None
    caps: Mapping[str, date]


_OWN: Final = "x.customer_id = a.customer_id AND x.program = a.program"
# Selects of their own, so that each is read once and not for each row.
_WHOSE: Final = "ARRAY(SELECT value::uuid FROM json_array_elements_text($3::text::json -> 'customer_ids'))"
_PROGRAM: Final = "(SELECT $3::text::json ->> 'program')"
_SINCE: Final = "(SELECT ($3::text::json ->> 'qualifying_since')::timestamptz)"
_CAPS: Final = "(SELECT $3::text::json -> 'caps')"
_FACE: Final = ", ".join(
    (
        "a.account_id, a.seq, encode(a.head, 'hex')",
        micros("a.last_at"),
        "a.debt, a.lifetime_earned, a.lifetime_burned, a.lifetime_expired, a.tier",
        *map(micros, ("a.tier_since", "a.review_at", "a.grace_until", "a.due_at", "a.warned_until")),
        "a.ruled_by, a.revision",
    )
)
_GIVEN: Final = f"""(
    SELECT json_agg({GIVEN}) FROM json_each_text({_CAPS}) AS cap (rule, since)
    JOIN loyalty_rule_points x ON x.rule = cap.rule AND x.day >= cap.since::date
    WHERE {_OWN}
  )"""  # noqa: S608 - this module's constants
# Everything is found by its customer alone (OFFSET 0): plans are made while these tables are young, and kept, and then
# an index that begins with the programme looks as good as any.
_ACCOUNTS: Final = f"""
SELECT a.customer_id, json_build_array({_FACE},
  (SELECT json_agg({LOT}) FROM (
    SELECT * FROM loyalty_lots own WHERE own.customer_id = a.customer_id AND own.remaining > 0 OFFSET 0
  ) x WHERE x.program = a.program),
  (SELECT json_agg({HOLD}) FROM loyalty_holds x WHERE {_OWN} AND x.state = 'open'),
  (SELECT json_agg({EARN}) FROM loyalty_earns x WHERE {_OWN} AND x.recoverable > 0),
  (SELECT sum(x.qualifying)::bigint FROM loyalty_entries x WHERE {_OWN} AND x.qualifying <> 0
    AND x.qualified_at >= {_SINCE}),
  %s
)::text AS told
FROM (
  SELECT * FROM loyalty_accounts own
  WHERE own.customer_id = ANY ({_WHOSE}) AND own.customer_id = ANY ($1::uuid[])
  OFFSET 0
) a
WHERE a.program = {_PROGRAM}"""  # noqa: S608 - this module's constants
_RULES: Final = f"""
SELECT NULL::uuid AS customer_id, p.revision::text AS told FROM loyalty_programs p
WHERE p.code = {_PROGRAM}"""  # noqa: S608 - as above
_REFERRALS: Final = f"""
SELECT x.customer_id, {referrals.ROW}::text AS told FROM (
  SELECT * FROM loyalty_referrals own
  WHERE own.customer_id = ANY ({_WHOSE}) AND own.customer_id = ANY ($1::uuid[])
  OFFSET 0
) x
WHERE x.program = {_PROGRAM} AND {referrals.OPEN}"""  # noqa: S608 - as above
_NO_FACE: Final[Sequence[Any]] = [None] * 21
ACCOUNT, RULES, REFERRAL = 6, 7, 8
"""The numbers of the parts."""


def parts(*, caps: bool) -> Mapping[int, str]:
    """SQL of the rows (customer_id, told) by the number of their part: accounts, the programme's revision, referrals.

    $1 are all customers of the statement, $3 is `Buyers` as JSON. Without `caps` nobody asks what capped rules gave: a
    look that finds nothing costs as much as one that does.
    """
    accounts = _ACCOUNTS % (_GIVEN if caps else "NULL")
    return {ACCOUNT: accounts, RULES: _RULES, REFERRAL: _REFERRALS}


@dataclass(slots=True)
class Told:
    """What those rows said, for `accounts_of`."""

    faces: dict[UUID, list[Any]] = field(default_factory=dict)
    rules_revision: int | None = None
    referrals: dict[UUID, list[Any]] = field(default_factory=dict)

    def take(self, part: int, customer_id: UUID, told: str) -> None:
        """Remember one row."""
        if part == ACCOUNT:
            self.faces[customer_id] = from_json(told)
        elif part == RULES:
            self.rules_revision = int(told)
        else:
            self.referrals.setdefault(customer_id, []).append(referrals.open_of_row(from_json(told)))


def accounts_of(
    buyers: Buyers, told: Told, states: Mapping[UUID, StateRow]
) -> dict[tuple[UUID, str], Loaded]:
    """The accounts as `accounts.load` gives them; none where the programme is not there any more."""
    if told.rules_revision is None:
        return {}
    return {
        (customer_id, buyers.program): _loaded(buyers, told, told.rules_revision, states[customer_id])
        for customer_id in buyers.customer_ids
        if customer_id in states
    }


def _loaded(buyers: Buyers, told: Told, rules_revision: int, owner: StateRow) -> Loaded:
    face = told.faces.get(owner.customer_id, _NO_FACE)
    tier, since, review_at, grace_until, due_at, warned_until, ruled_by, revision = face[8:16]
    return Loaded(
        customer_id=owner.customer_id,
        program=buyers.program,
        account=opened(uuid7(int(buyers.now.timestamp() * 1000))) if face is _NO_FACE else _account(face),
        standing=None
        if tier is None
        else Standing(tier, time_of(since), time_of(review_at), _time(grace_until)),
        due_at=_time(due_at),
        warned_until=_time(warned_until),
        ruled_by=ruled_by or 0,
        revision=revision,
        rules_revision=rules_revision,
        qualifying=face[19] or 0,
        given=given_of(face[20] or ()),
        owner=Owner(owner.identity_revision, owner.merged_into, owner.erased_at, owner.version),
        referrals=told.referrals.get(owner.customer_id, ()),
    )


def _account(face: Sequence[Any]) -> Account:
    lots, holds, earns = face[16:19]
    return Account(
        id=UUID(face[0]),
        seq=face[1],
        head=bytes.fromhex(face[2]),
        last_at=BEGINNING if face[3] is None else time_of(face[3]),
        debt=face[4],
        lifetime_earned=face[5],
        lifetime_burned=face[6],
        lifetime_expired=face[7],
        lots={one[0]: lot_of(one) for one in lots or ()},
        holds={one[0]: hold_of(one) for one in holds or ()},
        earns={one[0]: earn_of(one) for one in earns or ()},
    )


def _time(since_epoch: int | None) -> datetime | None:
    return None if since_epoch is None else time_of(since_epoch)
