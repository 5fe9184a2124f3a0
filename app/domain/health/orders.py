"""Purchases and refunds as learning reads them: one row each, with what a refund takes from which order."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from app.domain.health.facts import Fact
from app.domain.health.threads import refund_shares

WHOLE: Final = 1000
"""A refund of everything that was paid, in thousandths."""


class OrderRow(NamedTuple):
    """A purchase, or a refund that takes effect. Times are whole seconds since 1970, `amount` minor units.

    A refund's money leaves at `ordered_at`, the time of its order; `share` is how much of it, in thousandths.
    """

    at: int
    amount: int
    is_refund: bool
    ordered_at: int
    share: int


def order_rows(facts: Iterable[Fact]) -> list[OrderRow]:
    """The rows of one customer's facts in any order: what the state counts of them, and nothing that waits."""
    threads: dict[str, list[Fact]] = {}
    rows = []
    for fact in facts:
        if fact.thread is not None:
            threads.setdefault(fact.thread, []).append(fact)
        elif fact.kind in {"purchase", "refund"}:
            rows.append(OrderRow(fact.at, fact.amount, fact.kind == "refund", fact.at, WHOLE))
    for thread in threads.values():
        bought = [fact for fact in thread if fact.kind == "purchase"]
        rows += [OrderRow(fact.at, fact.amount, False, fact.at, WHOLE) for fact in bought]  # noqa: FBT003 - a column
        rows += [
            OrderRow(fact.at, amount, True, min(one.at for one in bought), share)  # noqa: FBT003 - a column
            for fact, amount, share in refund_shares(thread)
        ]
    return rows
