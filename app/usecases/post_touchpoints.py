"""From what a caller posted to what became of it: look up who is meant, then record, each sharing its transactions."""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from app.domain.identifiers import Reference
from app.domain.problems import Unavailable
from app.domain.recording import Recorded
from app.domain.touchpoints import Touchpoint
from app.usecases.identities import Found, Identities, WithLog
from app.usecases.lanes import Lanes
from app.usecases.record_touchpoints import Entry, Rerouted
from app.usecases.resolve_customers import Resolution, Resolved


class Post(NamedTuple):
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
    if len(posts) == 1:
        # The plain case: one post, for somebody who is remembered or named by our own id.
        found = identities.hinted(posts[0].reference)
        if found is not None:
            outcome = await lanes.record_one(_known_entry(posts[0], found))
            if not isinstance(outcome, Rerouted):
                return [outcome]
    return await _post(identities, lanes, posts, now, may_add_identifiers=may_add_identifiers)


async def _post(
    identities: Identities, lanes: Lanes, posts: Sequence[Post], now: datetime, *, may_add_identifiers: bool
) -> list[Posted]:
    answers: list[Posted | None] = [None] * len(posts)
    waiting: Sequence[int] = range(len(posts))
    for attempt in range(LOOKUPS):
        entries = await _entries(
            identities,
            [posts[index] for index in waiting],
            now,
            may_add_identifiers=may_add_identifiers,
            thoroughly=attempt > 0,
            with_log=functools.partial(lanes.asked_with, posts[0].touchpoint) if len(posts) == 1 else None,
        )
        known = [entry for entry in entries if isinstance(entry, Entry)]
        outcomes = iter(await lanes.record(known) if known else ())
        rerouted = []
        for index, entry in zip(waiting, entries, strict=True):
            outcome = next(outcomes) if isinstance(entry, Entry) else entry
            if isinstance(outcome, Rerouted):
                identities.forget(posts[index].reference)
                rerouted.append(index)
                continue
            answers[index] = outcome
            if isinstance(outcome, Recorded) and isinstance(entry, Entry) and (entry.claimed or entry.loaded):
                identities.remember(posts[index].reference, outcome.customer_id, outcome.identity_revision)
        waiting = rerouted
        if not waiting:
            break
    return [_busy() if answer is None else answer for answer in answers]


async def _entries(
    identities: Identities,
    posts: Sequence[Post],
    now: datetime,
    *,
    may_add_identifiers: bool,
    thoroughly: bool,
    with_log: WithLog | None,
) -> list[Entry | BaseException]:
    try:
        resolutions = await identities.resolve(
            [post.reference for post in posts],
            now,
            may_add_identifiers=may_add_identifiers,
            thoroughly=thoroughly,
            with_log=with_log,
        )
    except Unavailable as problem:
        return [problem] * len(posts)
    return [_entry(post, resolution) for post, resolution in zip(posts, resolutions, strict=True)]


def _entry(post: Post, resolution: Found | Resolution | BaseException) -> Entry | BaseException:
    return _known_entry(post, resolution) if isinstance(resolution, Found | Resolved) else resolution


def _known_entry(post: Post, resolution: Found | Resolved) -> Entry:
    customer_id, revision = resolution.customer_id, resolution.identity_revision
    touchpoint = post.touchpoint.of(resolution.named_as)
    if post.reference.customer_id is not None:
        # The id of an alias leads on only while the merge stands, and an undo is another revision of the survivor.
        return Entry(customer_id, touchpoint, post.told, None if resolution.named_as is None else revision)
    claimed = [(each.type, each.key) for each in post.reference.identifiers] if revision is None else ()
    loaded = resolution.loaded if isinstance(resolution, Found) else None
    return Entry(customer_id, touchpoint, post.told, revision, claimed, loaded=loaded)


def _busy() -> Unavailable:
    return Unavailable("busy", "The customer is being changed by others. Try again.", retry_after_seconds=1)
