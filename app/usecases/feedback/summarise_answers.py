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
    """The figures of a rated kind in the window, compared with the one before; four statements at most, mostly
    two, and those of the invitations.

    A bucket of time is compared with the one before it that has answers, and counts one answer of each customer
    and survey by itself.
    """
    now, before = Span(window.start, window.end), Span(window.before, window.start)
    # In these groups each counted answer stands once, so that they add up to the whole.
    parts = group_by if group_by in ("survey", "channel", "agent") else None
    counted = await figures.counts(connection, kind, now, parts, zone)
    earlier = await figures.counts(connection, kind, before, parts, zone)
    scale = _most_used(kind, counted)
    invited = await figures.invitation_counts(connection, kind, now, None, zone)
    total = _line(kind, scale, None, _of(counted, scale), _of(earlier, scale), invited.get(None, _NOBODY))
    if group_by is not None and parts is None:
        counted_in_groups = await figures.counts(connection, kind, now, group_by, zone)
        # Buckets of time are compared with one another.
        earlier_in_groups = (
            None if group_by in BUCKETS else await figures.counts(connection, kind, before, group_by, zone)
        )
    else:
        counted_in_groups, earlier_in_groups = counted, earlier
    groups: Sequence[Line] = ()
    if group_by is not None:
        invited = await figures.invitation_counts(connection, kind, now, group_by, zone)
        groups = _groups(kind, scale, counted_in_groups, earlier_in_groups, invited)
    others = [
        OtherScale(other, figure_of(kind, _of(counted, other), other))
        for other in dict.fromkeys(count.scale for count in counted)
        if other != scale
    ]
    return Summary(scale, total, groups, others)


def _groups(
    kind: str,
    scale: Scale,
    counted: Iterable[Count],
    earlier: Iterable[Count] | None,
    invited: Mapping[str | None, InvitationCounts],
) -> list[Line]:
    """A line for each group; without anything `earlier` each is compared with the one before it."""
    groups = _by_group(counted, scale)
    former: dict[str | None, dict[int, int]]
    if earlier is None:
        former = {name: groups[previous] for previous, name in itertools.pairwise(groups)}
    else:
        found = _by_group(earlier, scale)
        former = {name: found.get(name, {}) for name in groups}
    return [
        _line(kind, scale, name, ratings, former.get(name), invited.get(name, _NOBODY))
        for name, ratings in groups.items()
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
    ratings: dict[int, int] = {}
    for count in counted:
        if count.scale == scale:
            ratings[count.rating] = ratings.get(count.rating, 0) + count.answers
    return ratings
