"""What is kept of a customer beside the log, and how a caller changes it."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from app.domain.canonical import is_deeper
from app.domain.problems import Conflict, Fault, Invalid, NotFound, Problem
from app.domain.zones import zone_names

MOST_TAGS: Final = 50
LONGEST_TAG: Final = 64
SEGMENT_PREFIX: Final = "segment:"
"""A customer is in the segments that their tags name: `segment:gold` is the segment `gold`."""
MOST_TRAITS_BYTES: Final = 16 * 1024
DEEPEST_TRAITS: Final = 8

Stage = Literal["prospect", "first_purchase", "repeat", "lapsed"]


class Profile(NamedTuple):
    """What callers may say about a customer. `traits` are theirs alone: we keep them and never look inside."""

    name: str | None = None
    language: str | None = None
    timezone: str | None = None
    preferred_channel: str | None = None
    tags: tuple[str, ...] = ()
    owner: str | None = None
    traits: Mapping[str, Any] | None = None


class HeldIdentifier(NamedTuple):
    """An identifier that a customer holds, as it was sent, and since when."""

    type: str
    value: str
    created_at: datetime


class Customer(NamedTuple):
    """A customer as stored. `purchases`, `band` and `score` are as of the last write (`scored_at`).

    `identifiers` are the oldest first. `revision` goes up with every change of the profile or the identifiers.
    """

    id: UUID
    profile: Profile
    identifiers: tuple[HeldIdentifier, ...]
    created_at: datetime
    updated_at: datetime
    revision: int
    purchases: int
    band: str
    score: float | None
    scored_at: datetime | None

    @property
    def stage(self) -> Stage:
        """Where the customer stands in their life with the shop."""
        return stage(self.purchases, self.band)


def segments_of(tags: Iterable[str]) -> frozenset[str]:
    """The segments that these tags name."""
    return frozenset(tag.removeprefix(SEGMENT_PREFIX) for tag in tags if tag.startswith(SEGMENT_PREFIX))


def stage(purchases: int, band: str) -> Stage:
    """Where a customer with this many purchases, whose health is in this band, stands."""
    if purchases == 0:
        return "prospect"
    if band == "lost":
        return "lapsed"
    return "first_purchase" if purchases == 1 else "repeat"


def not_found() -> Problem:
    """Nobody is meant by a reference."""
    return NotFound("customer_not_found", "There is no such customer.")


def erased() -> Problem:
    """The customer who is meant may not be written to or read any more."""
    return Conflict("erased", "This customer was erased; nothing may be written any more.")


def identity_conflict(customer_ids: list[UUID] | None) -> Problem:
    """The identifiers of one reference belong to several customers; whose they are is told to trusted callers only."""
    detail = "These identifiers belong to different customers; merging them is a decision of its own."
    if customer_ids is None:
        return Conflict("identity_conflict", detail)
    return Conflict("identity_conflict", detail, customers=[str(customer_id) for customer_id in customer_ids])


def changed(profile: Profile, patch: Mapping[str, Any]) -> Profile:
    """The profile after a merge patch (RFC 7396): members that are absent stay, null removes, traits merge in depth.

    The patch holds members of Profile only. Raises Invalid `unknown_timezone`, `traits_too_deep`, `traits_too_large`.
    """
    given = dict(patch)
    if given.get("timezone") is not None:
        _check_timezone(given["timezone"])
    if "tags" in given:
        given["tags"] = tuple(dict.fromkeys(given["tags"] or ()))
    if "traits" in given:
        given["traits"] = _merged_traits(profile.traits or {}, given["traits"])
    return profile._replace(**given)


def _merged_traits(traits: Mapping[str, Any], patch: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if patch is None:
        return {}
    # Before merging: it is the caller's depth that the recursion follows.
    if is_deeper(patch, DEEPEST_TRAITS):
        raise _invalid_traits("traits_too_deep", f"traits may be nested {DEEPEST_TRAITS} deep at most.")
    merged = merge_patch(traits, patch)
    if len(json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode()) > MOST_TRAITS_BYTES:
        raise _invalid_traits(
            "traits_too_large", f"traits may hold {MOST_TRAITS_BYTES} bytes of JSON at most."
        )
    return merged


def merge_patch(target: object, patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396, section 2, for a patch that is an object: a new object, neither argument is changed."""
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = merge_patch(merged.get(name), value)
        else:
            merged[name] = value
    return merged


def _check_timezone(name: str) -> None:
    if name not in zone_names():
        detail = "timezone must be an IANA name, for example Europe/Berlin."
        raise Invalid("unknown_timezone", detail, errors=[Fault("#/timezone", "unknown_timezone", detail)])


def _invalid_traits(code: str, detail: str) -> Invalid:
    return Invalid(code, detail, errors=[Fault("#/traits", code, detail)])
