"""From what a caller posted to what became of it: look up who is meant, then record, each sharing its transactions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from app.domain.identifiers import Reference
from app.domain.problems import Unavailable
from app.domain.recording import Recorded
from app.domain.touchpoints import Touchpoint
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.record_touchpoints import Entry, Rerouted
from app.usecases.resolve_customers import Resolved


@dataclass(frozen=True, slots=True)
class Post:
    """A touchpoint and who it is about. `told`: answer with the effect on health."""

    reference: Reference
    touchpoint: Touchpoint
    told: bool


Posted: TypeAlias = Recorded | BaseException

LOOKUPS = 3
"""A reference is looked up once more when its customer was merged or lost the identifier meanwhile; then once again."""


async def post_touchpoints(
    identities: Identities, lanes: Lanes, posts: Sequence[Post], now: datetime, *, may_add_identifiers: bool
) -> list[Posted]:
    """One answer for each post, in order: what was recorded, or the problem that stands against it.

    Posts for one customer keep their order; nothing is stored for a post whose answer is a problem.
    """
    answers: list[Posted | None] = [None] * len(posts)
    waiting = list(range(len(posts)))
    for _ in range(LOOKUPS):
        entries = await _entries(
            identities, [posts[index] for index in waiting], now, may_add_identifiers=may_add_identifiers
        )
        known = [entry for entry in entries if isinstance(entry, Entry)]
        outcomes = iter(await lanes.record(known) if known else ())
        rerouted = []
        for index, entry in zip(waiting, entries, strict=True):
            outcome = next(outcomes) if isinstance(entry, Entry) else entry
            if isinstance(outcome, Rerouted):
                identities.forget(posts[index].reference)
                rerouted.append(index)
            else:
                answers[index] = outcome
        waiting = rerouted
        if not waiting:
            break
    return [_busy() if answer is None else answer for answer in answers]


async def _entries(
    identities: Identities, posts: Sequence[Post], now: datetime, *, may_add_identifiers: bool
) -> list[Entry | BaseException]:
    try:
        resolutions = await identities.resolve(
            [post.reference for post in posts], now, may_add_identifiers=may_add_identifiers
        )
    except Unavailable as problem:
        return [problem] * len(posts)
    return [
        _entry(post, resolution) if isinstance(resolution, Resolved) else resolution
        for post, resolution in zip(posts, resolutions, strict=True)
    ]


def _entry(post: Post, resolution: Resolved) -> Entry:
    by_name = post.reference.customer_id is None
    return Entry(
        resolution.customer_id, post.touchpoint, post.told, resolution.identity_revision if by_name else None
    )


def _busy() -> Unavailable:
    return Unavailable("busy", "The customer is being changed by others. Try again.", retry_after_seconds=1)
