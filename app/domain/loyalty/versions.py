"""A programme and its versions: checked when drafted, never changed once published."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from app.domain.canonical import canonical_json
from app.domain.loyalty.account import Clawback
from app.domain.loyalty.bodies import Body
from app.domain.loyalty.periods import ROUNDINGS, Rounding, zone_of
from app.domain.loyalty.points import multiplier_of
from app.domain.loyalty.rules import ONE, Event, Rule, rule_of
from app.domain.money import EXPONENTS
from app.domain.problems import Conflict, refused

Downgrade = Literal["none", "one_down", "full"]
TierBasis = Literal["points", "spend"]

MOST_MONTHS: Final = 120
SHORTEST_MONTH_DAYS: Final = 28


class Tier(NamedTuple):
    """One tier: from how many qualifying points (or minor units spent) on, and what it multiplies earns by."""

    code: str
    threshold: int
    multiplier: Fraction = ONE


class TierRules(NamedTuple):
    """Tiers from the lowest on; the first has threshold 0. `warning_days`: how long before a downgrade it is told."""

    tiers: tuple[Tier, ...] = (Tier("base", 0),)
    window_months: int = 12
    downgrade: Downgrade = "one_down"
    grace_days: int = 30
    basis: TierBasis = "points"
    warning_days: int = 30


class ReferralRules(NamedTuple):
    """`least_minor`: the smallest first order that counts; `most`: rewards per referrer in a calendar year."""

    least_minor: int = 0
    most: int = 50
    valid_days: int = 90
    per_day: int = 20


class Limits(NamedTuple):
    """Points: over `approval_over` an adjustment needs a second person; the caps are per customer and calendar year."""

    approval_over: int = 5_000
    goodwill_a_year: int = 10_000
    surprise_a_year: int = 1_000


TIERLESS: Final = TierRules()
REFERRALS: Final = ReferralRules()
LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Version:
    """Everything that decides about points from one instant on. Days and months are those of the programme's zone."""

    rules: tuple[Rule, ...] = ()
    pending_days: int = 14
    expiry_months: int | None = 12
    expiry_rounding: Rounding = "month_end"
    clawback: Clawback = "within_balance"
    reinstatement_grace_days: int = 30
    hold_ttl_seconds: int = 900
    tier_rules: TierRules = TIERLESS
    referrals: ReferralRules = REFERRALS
    limits: Limits = LIMITS
    expiry_warning_days: int = 30

    @property
    def reinstatement_grace(self) -> timedelta:
        """For how long refunded points live on whose lot has run out."""
        return timedelta(days=self.reinstatement_grace_days)

    def rules_for(self, event: Event) -> tuple[Rule, ...]:
        """The rules about one sort of event, in their order."""
        return tuple(rule for rule in self.rules if rule.event == event)


class Programme(NamedTuple):
    """Points of one currency and zone. From `earns_until` on nothing earns, at `ends_at` all that is left expires."""

    code: str
    name: str
    currency: str
    zone: ZoneInfo
    earns_until: datetime | None = None
    ends_at: datetime | None = None


class Published(NamedTuple):
    """A version in force from an instant until the next one."""

    number: int
    version: Version
    effective_from: datetime


def programme_of(body: Mapping[str, Any]) -> Programme:
    """A checked programme.

    Raises Invalid `property_required`, `unknown_currency`, `unknown_timezone`, `unknown_member`.
    """
    given = Body(body)
    currency = given.code("currency")
    if currency not in EXPONENTS:
        raise refused("#/currency", "unknown_currency", "must be an ISO 4217 code")
    programme = Programme(given.code("code"), given.code("name"), currency, zone_of(given.code("time_zone")))
    given.finish()
    return programme


def version_of(body: Mapping[str, Any]) -> Version:
    """A checked version from its JSON; what is left out has the defaults of `Version`.

    Raises Invalid with the pointer: `unknown_member`, `unknown_value`, `invalid_number`, `invalid_multiplier`,
    `invalid_rule`, `invalid_tiers`, `duplicate_code`, `expires_while_pending`.
    """
    given = Body(body)
    standard = Version()
    version = Version(
        rules=tuple(rule_of(rule) for rule in given.objects("earning_rules")),
        pending_days=given.number("pending_days", standard.pending_days, most=366),
        expiry_months=_expiry_months(given),
        expiry_rounding=given.choice("expiry_rounding", standard.expiry_rounding, ROUNDINGS),
        clawback=given.choice("clawback", standard.clawback, get_args(Clawback)),
        reinstatement_grace_days=given.number(
            "reinstatement_grace_days", standard.reinstatement_grace_days, most=366
        ),
        hold_ttl_seconds=given.number("hold_ttl_seconds", standard.hold_ttl_seconds, least=1, most=604_800),
        tier_rules=_tier_rules(given),
        referrals=_referrals(given.object("referrals")),
        limits=_limits(given.object("limits")),
        expiry_warning_days=given.number("expiry_warning_days", standard.expiry_warning_days, most=366),
    )
    given.finish()
    _check(version)
    return version


def version_sha256(body: Mapping[str, Any]) -> bytes:
    """What a published version is held to: the same body always, so that nobody can edit what was promised."""
    return sha256(canonical_json(dict(body))).digest()


def check_publishable(effective_from: datetime, published: Iterable[Published], now: datetime) -> None:
    """Raises Conflict `already_in_force` where a version would change what was in force.

    The first version may begin in the past, for what is imported; each further one begins now or later, and after all
    others.
    """
    others = tuple(published)
    if not others:
        return
    earliest = max(now, *(other.effective_from for other in others))
    if effective_from < now or any(effective_from <= other.effective_from for other in others):
        raise Conflict(
            "already_in_force",
            "A version cannot begin before now, nor before one that is published.",
            earliest=earliest.isoformat(),
        )


def in_force(published: Iterable[Published], at: datetime) -> Published | None:
    """The version in force at `at`: for an event when it occurred, however late it is told. None: before the first."""
    found: Published | None = None
    for one in published:
        if one.effective_from <= at and (
            found is None or (one.effective_from, one.number) > (found.effective_from, found.number)
        ):
            found = one
    return found


def _expiry_months(given: Body) -> int | None:
    """Null says never, which is not the same as leaving it out."""
    if "expiry_months" in given.members and not given.has("expiry_months"):
        return None
    return given.number("expiry_months", 12, least=1, most=MOST_MONTHS)


def _tier_rules(given: Body) -> TierRules:
    standard = TierRules()
    tiers = tuple(_tier(tier) for tier in given.objects("tiers")) or standard.tiers
    return TierRules(
        tiers=tiers,
        window_months=given.number("tier_window_months", standard.window_months, least=1, most=MOST_MONTHS),
        downgrade=given.choice("tier_downgrade", standard.downgrade, get_args(Downgrade)),
        grace_days=given.number("tier_grace_days", standard.grace_days, most=366),
        basis=given.choice("tier_basis", standard.basis, get_args(TierBasis)),
        warning_days=given.number("tier_warning_days", standard.warning_days, most=366),
    )


def _tier(body: Body) -> Tier:
    tier = Tier(
        body.code("code"),
        body.number("threshold", 0, most=2**53 - 1),
        body.read("multiplier", ONE, multiplier_of),
    )
    body.finish()
    return tier


def _referrals(body: Body) -> ReferralRules:
    standard = ReferralRules()
    rules = ReferralRules(
        least_minor=body.number("min_order_minor", standard.least_minor, most=2**53 - 1),
        most=body.number("limit", standard.most),
        valid_days=body.number("valid_days", standard.valid_days, least=1, most=3_660),
        per_day=body.number("per_day", standard.per_day, least=1),
    )
    body.finish()
    return rules


def _limits(body: Body) -> Limits:
    standard = Limits()
    limits = Limits(
        approval_over=body.number("approval_over", standard.approval_over),
        goodwill_a_year=body.number("goodwill_a_year", standard.goodwill_a_year),
        surprise_a_year=body.number("surprise_a_year", standard.surprise_a_year),
    )
    body.finish()
    return limits


def _check(version: Version) -> None:
    codes = [rule.code for rule in version.rules]
    if len(set(codes)) != len(codes):
        raise refused("#/earning_rules", "duplicate_code", "each code stands for one rule")
    tiers = version.tier_rules.tiers
    thresholds = [tier.threshold for tier in tiers]
    if thresholds[0] != 0 or sorted(set(thresholds)) != thresholds:
        raise refused("#/tiers", "invalid_tiers", "thresholds begin at 0 and rise")
    names = {tier.code for tier in tiers}
    if len(names) != len(tiers):
        raise refused("#/tiers", "duplicate_code", "each code stands for one tier")
    if any(not rule.when.tiers <= names for rule in version.rules):
        raise refused("#/earning_rules", "invalid_rule", "a rule names a tier that there is not")
    months = version.expiry_months
    if months is not None and version.pending_days >= months * SHORTEST_MONTH_DAYS:
        raise refused(
            "#/expiry_months", "expires_while_pending", "points must live longer than they are pending"
        )
