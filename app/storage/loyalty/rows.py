"""How the parts of an account look in JSON: compact lists on the way in, objects by column name on the way out.

Times come as microseconds since 1970, which are exact and quick to read; they go as RFC 3339.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from app.domain.loyalty.account import (
    Adjusted,
    Clawed,
    Draw,
    Earn,
    Entry,
    Hold,
    Lock,
    Lot,
    Movement,
    Refunded,
    Spend,
)
from app.domain.loyalty.rules import Given

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TIME: Final = "time"
Row = list[Any]


def micros(column: str) -> str:
    """SQL of a time as `time_of` reads it."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


def time_of(since_epoch: int) -> datetime:
    """A time in UTC from its microseconds."""
    # A product: to make the difference from a number takes four times as long.
    return _EPOCH + since_epoch * _MICROSECOND


def _time(since_epoch: int | None) -> datetime | None:
    return None if since_epoch is None else time_of(since_epoch)


def micros_of(at: datetime | None) -> int | None:
    """What `time_of` reads."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


# --- lots ------------------------------------------------------------------------------------------------------------

LOT: Final = (
    f"json_build_array(x.lot, {micros('x.activates_at')}, {micros('x.expires_at')}, x.earn_key, x.granted, x.drawn,"
    " x.restored, x.revoked, x.expired, x.absorbed, x.moved, x.held)"
)


def lot_of(row: Row) -> Lot:
    """A lot from `LOT`."""
    return Lot(row[0], time_of(row[1]), _time(row[2]), *row[3:])


def lot_list(lot: Lot) -> Row:
    """A lot as `lot_of` reads it."""
    return [
        lot.id,
        micros_of(lot.activates_at),
        micros_of(lot.expires_at),
        lot.earn_key,
        lot.granted,
        lot.drawn,
        lot.restored,
        lot.revoked,
        lot.expired,
        lot.absorbed,
        lot.moved,
        lot.held,
    ]


def lot_row(lot: Lot) -> dict[str, Any]:
    """A lot for the INSERT."""
    return {
        "lot": lot.id,
        "activates_at": lot.activates_at,
        "expires_at": lot.expires_at,
        "earn_key": lot.earn_key,
        "granted": lot.granted,
        "drawn": lot.drawn,
        "restored": lot.restored,
        "revoked": lot.revoked,
        "expired": lot.expired,
        "absorbed": lot.absorbed,
        "moved": lot.moved,
        "held": lot.held,
        "remaining": lot.remaining,
    }


# --- holds and spends ------------------------------------------------------------------------------------------------

HOLD: Final = (
    f"json_build_array(x.hold_id, x.points, x.locks, {micros('x.opened_at')}, {micros('x.expires_at')}, x.state,"
    f" x.captured, {micros('x.resolved_at')}, x.order_id, x.reward, x.terms, x.away)"
)
SPEND: Final = (
    f"json_build_array(x.spend_id, x.points, {micros('x.at')}, x.draws, x.order_id, x.reward, x.refunds)"
)


def hold_of(row: Row) -> Hold:
    """A hold from `HOLD`."""
    return Hold(
        id=row[0],
        points=row[1],
        locks=tuple(Lock(*lock) for lock in row[2]),
        opened_at=time_of(row[3]),
        expires_at=time_of(row[4]),
        state=row[5],
        captured=row[6],
        resolved_at=_time(row[7]),
        order_id=row[8],
        reward=row[9],
        terms=terms_of(row[10]),
        away=tuple((time_of(since), time_of(until)) for since, until in row[11]),
    )


def hold_row(hold: Hold) -> dict[str, Any]:
    """A hold for the INSERT, but for its `id`."""
    return {
        "hold_id": hold.id,
        "points": hold.points,
        "locks": hold.locks,
        "opened_at": hold.opened_at,
        "expires_at": hold.expires_at,
        "state": hold.state,
        "captured": hold.captured,
        "resolved_at": hold.resolved_at,
        "order_id": hold.order_id,
        "reward": hold.reward,
        "terms": terms_row(hold.terms),
        "away": [[micros_of(since), micros_of(until)] for since, until in hold.away],
    }


def spend_of(row: Row) -> Spend:
    """A spend from `SPEND`."""
    return Spend(
        id=row[0],
        points=row[1],
        at=time_of(row[2]),
        draws=tuple(Draw(*draw) for draw in row[3]),
        order_id=row[4],
        reward=row[5],
        refunds={one[0]: Refunded._make((*one[:5], _time(one[5]))) for one in row[6]},
    )


def spend_row(spend: Spend) -> dict[str, Any]:
    """A spend for the INSERT, but for its `id`."""
    return {
        "spend_id": spend.id,
        "points": spend.points,
        "at": spend.at,
        "draws": spend.draws,
        "order_id": spend.order_id,
        "reward": spend.reward,
        "refunds": [[*one[:5], micros_of(one.reinstated_until)] for one in spend.refunds.values()],
        "refundable": spend.refundable,
    }


# --- earns and adjustments -------------------------------------------------------------------------------------------

EARN: Final = (
    f"json_build_array(x.key, x.points, x.paid_minor, {micros('x.occurred_at')}, to_json(x.lots), x.qualifying,"
    " x.refunded_minor, x.clawed, x.forgiven, x.indebted, x.lapsed, x.recoverable, x.disqualified, x.clawbacks)"
)
ADJUSTED: Final = "json_build_array(x.key, x.points, x.debt, x.entry, x.terms)"


def earn_of(row: Row) -> Earn:
    """An earn from `EARN`."""
    clawbacks = {one[0]: Clawed(*one) for one in row[13]}
    return Earn(
        key=row[0],
        points=row[1],
        paid_minor=row[2],
        occurred_at=time_of(row[3]),
        lots=tuple(row[4]),
        qualifying=row[5],
        refunded_minor=row[6],
        clawed=row[7],
        forgiven=row[8],
        indebted=row[9],
        lapsed=row[10],
        recoverable=row[11],
        disqualified=row[12],
        clawbacks=clawbacks,
    )


def earn_row(earn: Earn) -> dict[str, Any]:
    """An earn for the INSERT, but for its `explain`."""
    return {
        "key": earn.key,
        "points": earn.points,
        "paid_minor": earn.paid_minor,
        "occurred_at": earn.occurred_at,
        "lots": earn.lots,
        "qualifying": earn.qualifying,
        "refunded_minor": earn.refunded_minor,
        "clawed": earn.clawed,
        "forgiven": earn.forgiven,
        "indebted": earn.indebted,
        "lapsed": earn.lapsed,
        "recoverable": earn.recoverable,
        "disqualified": earn.disqualified,
        "clawbacks": tuple(earn.clawbacks.values()),
    }


def adjusted_of(row: Row) -> Adjusted:
    """A booked adjustment from `ADJUSTED`."""
    return Adjusted(row[0], row[1], row[2], row[3], terms_of(row[4]))


def terms_row(terms: tuple[object, ...]) -> Row:
    """What an id stands for, as JSON: times are marked, so that they compare as times again."""
    return [{_TIME: micros_of(one)} if isinstance(one, datetime) else one for one in terms]


def terms_of(row: Row) -> tuple[object, ...]:
    """What `terms_row` made."""
    return tuple(time_of(one[_TIME]) if isinstance(one, dict) else one for one in row)


# --- rules -----------------------------------------------------------------------------------------------------------


GIVEN: Final = "json_build_array(x.rule, x.day, x.points)"


def given_of(rows: Sequence[Row]) -> Given:
    """What rules gave by local day, from a list of `GIVEN`."""
    return {(rule, date.fromisoformat(day)): points for rule, day, points in rows}


# --- entries ---------------------------------------------------------------------------------------------------------


def entry_row(entry: Entry) -> dict[str, Any]:
    """An entry for the INSERT; what it says of the one before is that one's hash."""
    return {
        "seq": entry.seq,
        "kind": entry.kind,
        "points": entry.points,
        "at": entry.at,
        "effective_at": entry.effective_at,
        "movements": entry.movements,
        "hash": entry.hash.hex(),
        "key": entry.key,
        "debt_change": entry.debt_change,
        "forgiven": entry.forgiven,
        "qualifying": entry.qualifying,
        "qualified_at": entry.qualified_at,
        "activates_at": entry.activates_at,
        "expires_at": entry.expires_at,
        "tier": entry.tier,
    }


def movements_of(row: list[Row]) -> tuple[Movement, ...]:
    """Movements from their column."""
    return tuple(Movement(*one) for one in row)
