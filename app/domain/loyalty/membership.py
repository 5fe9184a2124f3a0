"""A member at one time, as somebody who talks to them sees it: points, tier, and what will be lost unless."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from app.domain.loyalty import tiers
from app.domain.loyalty.account import Account
from app.domain.loyalty.balances import Balance, balance
from app.domain.loyalty.clock import Rulebook, until_the_end
from app.domain.loyalty.periods import months_on
from app.domain.loyalty.settling import Expiring
from app.domain.loyalty.tiers import Projection, Standing
from app.domain.loyalty.versions import TierRules


class Known(NamedTuple):
    """What the tables hold about a member; `qualifying` are the points of each local day of the tier's window."""

    program: str
    account: Account
    standing: Standing | None
    qualifying: Mapping[date, int]


class Membership(NamedTuple):
    """A member now. `lapsing`: what will lapse first, once it is near; `threat`: the downgrade that is near.

    `last_day`: the last local day on which `lapsing` can be spent.
    """

    program: str
    balance: Balance
    seq: int
    standing: Standing | None
    projection: Projection | None
    lapsing: Expiring | None
    last_day: date | None
    threat: tiers.Warning | None


def membership(known: Known, rules: Rulebook, ends_at: datetime | None, now: datetime) -> Membership:
    """The member as of `now`: the clock work up to then is done on paper."""
    account = until_the_end(known.account, ends_at)
    held, standing, version = balance(account, now), known.standing, rules.version(now)
    ahead = threat = None
    if version is not None and standing is not None:
        ahead = _ahead(known, standing, version.tier_rules, rules, now)
        threat = None if ahead is None else tiers.threat(standing, ahead, now, version.tier_rules)
    near = timedelta(0) if version is None else timedelta(days=version.expiry_warning_days)
    first = next((due for due in held.next_expirations if due.at - near <= now), None)
    lapsing = None if first is None else Expiring(first.points, first.at)
    last = None if first is None else (first.at - timedelta.resolution).astimezone(rules.zone).date()
    return Membership(known.program, held, account.seq, standing, ahead, lapsing, last, threat)


def _ahead(
    known: Known, standing: Standing, tier_rules: TierRules, rules: Rulebook, now: datetime
) -> Projection | None:
    if standing.tier not in {tier.code for tier in tier_rules.tiers}:
        # A tier that the newest version does not know; the next look settles it.
        return None

    def points(at: datetime) -> int:
        since = months_on(at.astimezone(rules.zone).date(), -tier_rules.window_months)
        return max(sum(part for day, part in known.qualifying.items() if day >= since), 0)

    return tiers.projected(standing, points(now), points(tiers.looked_at(standing)), tier_rules)
