"""What the shop is told, in figures that say how sure they are."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg

from app.domain.feedback.periods import Window
from app.domain.feedback.scales import Scale, scale_for
from app.domain.feedback.statistics import Change, Figure, ces, change, figure_of
from app.storage import figures
from app.storage.figures import BUCKETS, Count, GroupBy, InvitationCounts, Span


class Line(NamedTuple):
    """The figure of one group, or of all: now, before, and whether it moved.

    `ratings` are the answers per rating, `easy` the share of the best three of a CES. `previous` is None for the first
    of several buckets of time.
    """

    group: str | None
    figure: Figure
    ratings: Mapping[int, int]
    easy: Figure | None
    previous: Figure | None
    change: Change
    invitations: InvitationCounts


class OtherScale(NamedTuple):
    """The figure of the answers on another scale: scales are never mixed."""

    scale: Scale
    figure: Figure


class Summary(NamedTuple):
    """The figure of a kind on the scale that most answers are on, in whole and by group."""

    scale: Scale
    total: Line
    groups: Sequence[Line]
    others: Sequence[OtherScale]


_NOBODY = InvitationCounts(0, 0, 0, {})


async def summarise_answers(
    connection: asyncpg.Connection, kind: str, window: Window, group_by: GroupBy | None, zone: str
) -> Summary:
    """The figures of a rated kind in the window, compared with the one before; four statements at most, two without
    groups, and those of the invitations.

    A bucket of time is compared with the one before it that has answers, and counts one answer of each customer
    and survey by itself.
    """
    now, before = Span(window.start, window.end), Span(window.before, window.start)
    counted = await figures.counts(connection, kind, now, None, zone)
    scale = _most_used(kind, counted)
    earlier = await figures.counts(connection, kind, before, None, zone)
    invited = await figures.invitation_counts(connection, kind, now, None)
    total = _line(kind, scale, None, _of(counted, scale), _of(earlier, scale), invited.get(None, _NOBODY))
    groups: Sequence[Line] = ()
    if group_by is not None:
        groups = await _groups(connection, kind, scale, (now, before), group_by, zone)
    others = [
        OtherScale(other, figure_of(kind, _of(counted, other), other))
        for other in dict.fromkeys(count.scale for count in counted)
        if other != scale
    ]
    return Summary(scale, total, groups, others)


async def _groups(
    connection: asyncpg.Connection,
    kind: str,
    scale: Scale,
    spans: tuple[Span, Span],
    group_by: GroupBy,
    zone: str,
) -> list[Line]:
    now, before = spans
    counted = _by_group(await figures.counts(connection, kind, now, group_by, zone), scale)
    invited = await figures.invitation_counts(connection, kind, now, group_by)
    if group_by in BUCKETS:
        earlier = {name: counted[former] for former, name in itertools.pairwise(counted)}
    else:
        found = _by_group(await figures.counts(connection, kind, before, group_by, zone), scale)
        earlier = {name: found.get(name, {}) for name in counted}
    return [
        _line(kind, scale, name, ratings, earlier.get(name), invited.get(name, _NOBODY))
        for name, ratings in counted.items()
    ]


def _by_group(counted: Iterable[Count], scale: Scale) -> dict[str | None, dict[int, int]]:
    groups: dict[str | None, dict[int, int]] = {}
    for count in counted:
        if count.scale == scale:
            groups.setdefault(count.group, {})[count.rating] = count.answers
    return groups


def _line(
    kind: str,
    scale: Scale,
    group: str | None,
    ratings: Mapping[int, int],
    earlier: Mapping[int, int] | None,
    invitations: InvitationCounts,
) -> Line:
    figure = figure_of(kind, ratings, scale)
    previous = None if earlier is None else figure_of(kind, earlier, scale)
    easy = ces(ratings, scale).easy if kind == "ces" else None
    moved = change(figure, figure_of(kind, {}, scale) if previous is None else previous)
    return Line(group, figure, ratings, easy, previous, moved, invitations)


def _most_used(kind: str, counted: Iterable[Count]) -> Scale:
    totals: dict[Scale, int] = {}
    for count in counted:
        totals[count.scale] = totals.get(count.scale, 0) + count.answers
    usual = scale_for(kind)
    if usual is None:
        raise ValueError("a comment has no figure")
    # Of two that are used as often the usual one, so that the answer does not depend on the order of rows.
    return max([usual, *totals], key=lambda scale: (totals.get(scale, 0), scale == usual))


def _of(counted: Iterable[Count], scale: Scale) -> dict[int, int]:
    return {count.rating: count.answers for count in counted if count.scale == scale}
