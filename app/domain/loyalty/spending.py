"""Points that go out, in two steps: held with a time limit, then captured or released. And their way back."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from app.domain.loyalty.account import Account, Decision, Draw, Hold, Lock, Refunded, Spend, spending_order
from app.domain.loyalty.book import Book, as_movements, taken_from, total
from app.domain.loyalty.points import points_of, whole
from app.domain.loyalty.settling import Released, expire, recover, release, settle
from app.domain.problems import Conflict, NotFound, refused

LONGEST_TTL_SECONDS: int = 7 * 86_400


class Captured(NamedTuple):
    """A hold that was captured, and the spend it became."""

    hold: Hold
    spend: Spend


def held(
    account: Account,
    *,
    id: str,  # noqa: A002 - the wire's own name
    points: int,
    ttl_seconds: int,
    now: datetime,
    order_id: str | None = None,
    reward: str | None = None,
) -> Decision[Hold]:
    """The account with `points` put aside, from the lots that would pay.

    The id of a hold, open or resolved, with the same terms answers that hold as it is now; never a second one. Raises
    Invalid `invalid_points`, `invalid_number`; Conflict `insufficient_points` with `missing`, `id_reused`.
    """
    points_of(points)
    whole(ttl_seconds, "#/ttl_seconds", most=LONGEST_TTL_SECONDS)
    terms = (points, order_id, reward)
    known = account.holds.get(id)
    if known is not None:
        if known.terms != terms:
            raise Conflict("id_reused", "This id stands for another hold.", state=known.state)
        return Decision(account, (), known)
    book = Book(account, now)
    settle(book)
    locks = tuple(_whole_sum(book, points))
    book.lock(locks, 1)
    until = book.at + timedelta(seconds=ttl_seconds)
    hold = Hold(id, points, locks, book.at, until, order_id=order_id, reward=reward, terms=terms)
    book.keep(hold)
    return book.closed(hold)


def captured(account: Account, hold_id: str, now: datetime, points: int | None = None) -> Decision[Captured]:
    """The account after a hold was spent, all of it or `points`; the rest is freed, and lapses where its lot has.

    Raises NotFound `hold_not_found`; Invalid `invalid_points`, `more_than_held`; Conflict `hold_expired`,
    `hold_released`, `already_captured` (with another number of points; with the same one the old result is given).
    """
    hold = _hold(account, hold_id)
    wanted = hold.points if points is None else points_of(points)
    if wanted > hold.points:
        raise refused("#/points", "more_than_held", f"the hold has {hold.points} points")
    if hold.state == "captured":
        if hold.captured != wanted:
            raise Conflict(
                "already_captured", "The hold was captured with other points.", points=hold.captured
            )
        return Decision(account, (), Captured(hold, account.spends[hold_id]))
    book = Book(account, now)
    settle(book)
    _check_open(book.holds[hold_id])
    # In the order in which lots pay, so that a partial capture leaves what lives longest.
    order = sorted(hold.locks, key=lambda lock: spending_order(book.lots[lock.lot]))
    book.lock(hold.locks, -1)
    parts = _first(order, wanted)
    spend = _written(book, hold_id, parts, hold)
    done = replace(hold, state="captured", captured=wanted, resolved_at=book.at)
    book.keep(done)
    settle(book)
    return book.closed(Captured(done, spend))


def released(account: Account, hold_id: str, now: datetime) -> Decision[Released]:
    """The account after a hold was given up: exactly what was held returns, or lapses where its lot has run out.

    Releasing again says the same; a hold that ran out is as good as released. Raises NotFound `hold_not_found`;
    Conflict `hold_captured`.
    """
    hold = _hold(account, hold_id)
    if hold.state == "captured":
        raise Conflict("hold_captured", "The hold was captured.", points=hold.captured)
    if hold.state != "open":
        return Decision(account, (), Released(hold, 0, 0))
    book = Book(account, now)
    settle(book)
    current = book.holds[hold_id]
    done = Released(current, 0, 0)
    if current.state == "open":
        done = release(book, current, "released", book.at)
        settle(book)
    return book.closed(done)


def spent(
    account: Account,
    *,
    id: str,  # noqa: A002 - the wire's own name
    points: int,
    now: datetime,
    order_id: str | None = None,
    reward: str | None = None,
) -> Decision[Spend]:
    """The account after points were spent at once. Raises as `held`, and Conflict `id_reused`."""
    points_of(points)
    known = account.spends.get(id)
    if known is not None:
        if (known.points, known.order_id, known.reward) != (points, order_id, reward):
            raise Conflict("id_reused", "This id stands for another spend.")
        return Decision(account, (), known)
    if id in account.holds:
        raise Conflict("id_reused", "This id stands for a hold.")
    book = Book(account, now)
    settle(book)
    parts = _whole_sum(book, points)
    about = Hold(id, points, (), book.at, book.at, order_id=order_id, reward=reward)
    return book.closed(_written(book, id, parts, about))


def refunded(
    account: Account,
    spend_id: str,
    *,
    id: str,  # noqa: A002 - the wire's own name
    points: int | None,
    grace: timedelta,
    now: datetime,
) -> Decision[Refunded]:
    """The account after points of a spend came back to the lots that paid, those that live longest first.

    A lot that has run out cannot take them: they live on in a new lot for `grace`, or lapse at once when it is zero.
    `points` None means all that is left. Raises NotFound `redemption_not_found`; Invalid `invalid_points`,
    `more_than_spent` (with `refundable`); Conflict `id_reused`.
    """
    spend = account.spends.get(spend_id)
    if spend is None:
        raise NotFound("redemption_not_found", "There is no such redemption.")
    known = spend.refunds.get(id)
    if known is not None:
        if points is not None and known.points != points:
            raise Conflict("id_reused", "This id stands for another refund.")
        return Decision(account, (), known)
    wanted = spend.refundable if points is None else points_of(points)
    if not 1 <= wanted <= spend.refundable:
        problem = refused("#/points", "more_than_spent", "more than the redemption has left to refund")
        problem.members["refundable"] = spend.refundable
        raise problem
    book = Book(account, now)
    settle(book)
    longest = sorted(spend.draws, key=lambda draw: spending_order(book.lots[draw.lot]), reverse=True)
    parts = _first((Lock(draw.lot, draw.points - draw.restored) for draw in longest), wanted)
    done = _given_back(book, id, parts, grace)
    book.keep(_with_refund(spend, parts, done))
    settle(book)
    return book.closed(done)


def _hold(account: Account, hold_id: str) -> Hold:
    hold = account.holds.get(hold_id)
    if hold is None:
        raise NotFound("hold_not_found", "There is no such hold.")
    return hold


def _check_open(hold: Hold) -> None:
    if hold.state == "open":
        return
    code = "hold_expired" if hold.state == "expired" else "hold_released"
    raise Conflict(code, "The hold is no longer open.", state=hold.state)


def _whole_sum(book: Book, points: int) -> list[Lock]:
    locks = taken_from(book.payers(book.at), points)
    missing = points - total(locks)
    if missing:
        raise Conflict("insufficient_points", "There are not enough points.", missing=missing)
    return locks


def _first(parts: Iterable[Lock], points: int) -> list[Lock]:
    """The first `points` of `parts`, in their order."""
    chosen = []
    for lot, available in parts:
        part = min(available, points)
        if part:
            chosen.append(Lock(lot, part))
            points -= part
    return chosen


def _written(book: Book, key: str, parts: list[Lock], about: Hold) -> Spend:
    book.write("spend", as_movements(parts, "draw"), key=key)
    draws = tuple(Draw(lot, points) for lot, points in parts)
    spend = Spend(key, total(parts), book.at, draws, about.order_id, about.reward)
    book.keep(spend)
    return spend


def _given_back(book: Book, key: str, parts: list[Lock], grace: timedelta) -> Refunded:
    living = [part for part in parts if not book.lots[part.lot].is_lapsed(book.at)]
    lapsed = [part for part in parts if book.lots[part.lot].is_lapsed(book.at)]
    if living:
        book.write("restore", as_movements(living, "restore"), key=key)
    until = book.at + grace if lapsed and grace else None
    if until:
        for part in lapsed:
            _reinstate(book, part, until, key)
    elif lapsed:
        book.write("restore", as_movements(lapsed, "restore"), key=key)
        expire(book, [book.lots[part.lot] for part in lapsed], book.at)
    recover(book)
    dead = total(lapsed)
    return Refunded(
        id=key,
        points=total(parts),
        restored=total(living),
        lapsed=0 if until else dead,
        reinstated=dead if until else 0,
        reinstated_until=until,
    )


def _reinstate(book: Book, part: Lock, until: datetime, key: str) -> None:
    """A new lot in place of one that has run out; it belongs to the same earn, which a refund may claw back."""
    earn_key = book.lots[part.lot].earn_key
    lot = book.next_seq
    book.credit("reinstate", part.points, book.at, until, earn_key=earn_key, key=key)
    earn = book.earns.get(earn_key or "")
    if earn is not None:
        book.keep(replace(earn, lots=(*earn.lots, lot)))


def _with_refund(spend: Spend, parts: list[Lock], done: Refunded) -> Spend:
    back = dict(parts)
    draws = tuple(draw._replace(restored=draw.restored + back.get(draw.lot, 0)) for draw in spend.draws)
    return replace(spend, draws=draws, refunds={**spend.refunds, done.id: done})
