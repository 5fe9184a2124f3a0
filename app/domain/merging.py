"""Two customers turn out to be one: what becomes of their states and their profiles, and how it is taken back."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.domain.canonical import canonical_json
from app.domain.customers import MOST_TAGS, MOST_TRAITS_BYTES, Profile
from app.domain.health.facts import Fact, fact_of
from app.domain.health.state import State
from app.domain.health.threads import contribution
from app.domain.ids import opaque_id, parse_opaque_id
from app.domain.problems import Conflict, NotFound
from app.domain.silence import SOURCE
from app.domain.touchpoints import Touchpoint, fact_key, seconds

PREFIX: Final = "merge"
"""Of ids on the wire."""

_SAID_ONCE: Final = ("name", "language", "timezone", "preferred_channel", "owner")


class SharedThread(NamedTuple):
    """The facts that two customers have of one thread, such as an order whose refund came under the other name."""

    one: Sequence[Fact]
    other: Sequence[Fact]


# --- states ---------------------------------------------------------------------------------------------------------


def merged_state(into: State, source: State, shared: Iterable[SharedThread]) -> State:
    """The state of both logs together: their sum, but for the threads in which each fact now meets the other's.

    Both are of one form, or one is a state of nothing.
    """
    state = into.plus(source)
    form = state.form
    for one, other in shared:
        apart = contribution(one, form).plus(contribution(other, form))
        state = state.minus(apart).plus(contribution([*one, *other], form))
    return state


# --- profiles -------------------------------------------------------------------------------------------------------


def gaps_filled(profile: Profile, other: Profile) -> dict[str, Any]:
    """The members of `other` that fill gaps of `profile`; JSON values. What both say stays as `profile` says it.

    Tags and traits come along as far as a customer may have so many.
    """
    gaps: dict[str, Any] = {
        name: getattr(other, name)
        for name in _SAID_ONCE
        if getattr(profile, name) is None and getattr(other, name) is not None
    }
    tags = [tag for tag in other.tags if tag not in profile.tags][: MOST_TAGS - len(profile.tags)]
    if tags:
        gaps["tags"] = tags
    own = profile.traits or {}
    traits = {name: value for name, value in (other.traits or {}).items() if name not in own}
    together = json.dumps({**own, **traits}, ensure_ascii=False, separators=(",", ":"))
    if traits and len(together.encode()) <= MOST_TRAITS_BYTES:
        gaps["traits"] = traits
    return gaps


def with_gaps(profile: Profile, gaps: Mapping[str, Any]) -> Profile:
    """The profile with its gaps filled."""
    return profile._replace(
        **{name: gaps[name] for name in _SAID_ONCE if name in gaps},
        tags=(*profile.tags, *gaps.get("tags", ())),
        traits={**(profile.traits or {}), **gaps.get("traits", {})},
    )


def without_gaps(profile: Profile, gaps: Mapping[str, Any]) -> Profile:
    """The profile without what filled its gaps; what was said anew since then stays."""
    came = gaps.get("traits", {})
    return profile._replace(
        **{name: None for name in _SAID_ONCE if name in gaps and getattr(profile, name) == gaps[name]},
        tags=tuple(tag for tag in profile.tags if tag not in gaps.get("tags", ())),
        traits={
            name: value
            for name, value in (profile.traits or {}).items()
            if name not in came or came[name] != value
        },
    )


# --- what the log says of it ----------------------------------------------------------------------------------------


def touchpoint_id(public_id: str) -> str:
    """The id, with the source `rapport`, of the line that tells of a merge."""
    return f"merged:{public_id}"


def merged_touchpoint(public_id: str, from_customer_id: UUID, now: datetime) -> Touchpoint:
    """The line in the survivor's log."""
    properties = {"merge_id": public_id, "from": str(from_customer_id)}
    name = touchpoint_id(public_id)
    return Touchpoint(
        source=SOURCE,
        id=name,
        kind="customer_merged",
        occurred_at=now,
        received_at=now,
        body_sha256=hashlib.sha256(canonical_json(properties)).digest(),
        fact=fact_of("customer_merged", seconds(now), fact_key(SOURCE, name)),
        properties=properties,
    )


# --- ids and refusals -----------------------------------------------------------------------------------------------


def public_id(customer_id: UUID, own_id: UUID) -> str:
    """The id of a merge on the wire; `customer_id` is who survived it."""
    return opaque_id(PREFIX, customer_id, own_id)


def ids_in(text: str) -> tuple[UUID, UUID]:
    """(survivor, own id) of a merge's id on the wire. Raises NotFound `merge_not_found`."""
    ids = parse_opaque_id(PREFIX, text)
    if ids is None:
        raise merge_not_found()
    return ids


def merge_not_found() -> NotFound:
    """No such merge."""
    return NotFound("merge_not_found", "There is no such merge.")


def same_customer() -> Conflict:
    """Nobody is merged with themselves."""
    return Conflict("same_customer", "Both names mean the same customer already.")


def merge_too_large(most: int) -> Conflict:
    """All rows of a customer move in one transaction, which has a limit of time."""
    return Conflict(
        "merge_too_large",
        f"The customer to be merged has more than {most} touchpoints, too many for one transaction. Merge the other "
        "way round, or raise RAPPORT_MOST_MERGED_TOUCHPOINTS.",
        most=most,
    )


def undo_blocked(blocked_by: Sequence[Mapping[str, str]]) -> Conflict:
    """What happened since the merge cannot be parted; each reason has a `kind`, and what it is about."""
    return Conflict(
        "undo_blocked",
        "What happened since the merge must be undone first.",
        blocked_by=[dict(reason) for reason in blocked_by],
    )
