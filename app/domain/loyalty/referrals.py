"""Bringing a friend: code -> attributed -> pending -> rewarded, with a reason wherever it ends otherwise."""

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from app.domain.loyalty.periods import days_on
from app.domain.loyalty.versions import ReferralRules
from app.domain.problems import Conflict

State = Literal["attributed", "on_hold", "qualified", "pending", "rewarded", "rejected", "reversed"]
Reason = Literal[
    "self",
    "alias",
    "existing_customer",
    "already_referred",
    "circular",
    "limit",
    "expired",
    "minimum_order",
    "velocity",
    "same_ip",
    "not_genuine",
    "refunded",
]

STATES: Final[tuple[State, ...]] = get_args(State)
PASSING: Final[frozenset[Reason]] = frozenset(("limit", "velocity"))
"""Reasons that time heals: the same friend with the same code may come again."""
HEAD_START: Final = timedelta(days=1)
"""An order may be told before the code that led to it, as at one checkout; what is older had no need of the code."""
_UNDOTTED: Final = frozenset(("gmail.com", "googlemail.com"))


class Referral(NamedTuple):
    """One friend brought. `order_id` is the first eligible order, `due_at` the end of its return window."""

    id: str
    referrer: str
    referee: str
    state: State
    at: datetime
    reason: Reason | None = None
    order_id: str | None = None
    due_at: datetime | None = None


class Attribution(NamedTuple):
    """What is known when a friend comes with a code. Times are of the code; sets are of normalised addresses.

    `rewarded_this_year` and `today` count the referrer's; `referred_by` are those who once referred the referrer.
    """

    referrer: str
    referee: str
    code_made_at: datetime
    referrer_emails: frozenset[str] = frozenset()
    referee_emails: frozenset[str] = frozenset()
    referee_has_bought: bool = False
    referee_is_referred: bool = False
    referred_by: frozenset[str] = frozenset()
    rewarded_this_year: int = 0
    today: int = 0
    same_ip: bool = False


def alias_key(email: str) -> str:
    """What two spellings of one mailbox share: no case, no +tag, and no dots where the provider ignores them."""
    name, _, host = email.strip().casefold().rpartition("@")
    name = name.partition("+")[0]
    if host in _UNDOTTED:
        name, host = name.replace(".", ""), "gmail.com"
    return f"{name}@{host}"


def attributed(id: str, known: Attribution, rules: ReferralRules, now: datetime) -> Referral:  # noqa: A002 - as the wire
    """The referral of a friend who came with a code: attributed, rejected for the first reason that holds, or on hold.

    The same IP address alone proves nothing (families, offices): a person looks at it.
    """
    reason = _refusal(known, rules, now)
    state: State = "attributed"
    if reason is not None:
        state = "rejected"
    elif known.same_ip:
        state, reason = "on_hold", "same_ip"
    return Referral(id, known.referrer, known.referee, state, now, reason)


def reviewed(referral: Referral, *, genuine: bool, now: datetime) -> Referral:
    """A referral on hold after somebody looked at it. Raises Conflict `illegal_transition`."""
    if referral.state != "on_hold":
        raise Conflict("illegal_transition", "Only a referral on hold is reviewed.", state=referral.state)
    if genuine:
        return referral._replace(state="attributed", reason=None, at=now)
    return referral._replace(state="rejected", reason="not_genuine", at=now)


def ordered(
    referral: Referral,
    *,
    order_id: str,
    amount_minor: int,
    at: datetime,
    rules: ReferralRules,
    pending_days: int,
    zone: ZoneInfo,
) -> tuple[Referral, ...]:
    """The steps after the friend's first paid order, the last one standing: qualified, then pending until it is kept.

    One that is not attributed (any more) takes no step. An order below the minimum ends it: only the first one counts.
    """
    if referral.state != "attributed":
        return ()
    if at < referral.at - HEAD_START:
        return (referral._replace(state="rejected", reason="existing_customer", order_id=order_id, at=at),)
    if at >= referral.at + timedelta(days=rules.valid_days):
        return (referral._replace(state="rejected", reason="expired", at=at),)
    if amount_minor < rules.least_minor:
        return (referral._replace(state="rejected", reason="minimum_order", order_id=order_id, at=at),)
    qualified = referral._replace(state="qualified", order_id=order_id, at=at)
    return (qualified, qualified._replace(state="pending", due_at=days_on(at, pending_days, zone)))


def fell_due(referral: Referral, now: datetime, *, is_over_limit: bool = False) -> Referral:
    """A pending referral becomes rewarded when the return window is over; an attributed one has no end of its own.

    `is_over_limit`: the referrer has had all rewards of the year meanwhile, by other friends.
    """
    if referral.state != "pending" or referral.due_at is None or now < referral.due_at:
        return referral
    if is_over_limit:
        return referral._replace(state="rejected", reason="limit", at=now)
    return referral._replace(state="rewarded", at=now)


def order_refunded(
    referral: Referral, order_id: str, now: datetime, *, kept_minor: int = 0, least_minor: int = 0
) -> Referral:
    """The referral after its order was refunded; who was rewarded then is clawed back by the earn's key.

    `kept_minor` is what the friend did not get back of it: while that would still have counted, nothing changes.
    """
    if referral.order_id != order_id or referral.state not in {"pending", "rewarded"}:
        return referral
    if kept_minor >= max(least_minor, 1):
        return referral
    return referral._replace(state="reversed", reason="refunded", at=now)


def _refusal(known: Attribution, rules: ReferralRules, now: datetime) -> Reason | None:
    shared = {alias_key(email) for email in known.referrer_emails} & {
        alias_key(email) for email in known.referee_emails
    }
    checks: tuple[tuple[bool, Reason], ...] = (
        (known.referrer == known.referee, "self"),
        (bool(shared), "alias"),
        (known.referee_is_referred, "already_referred"),
        (known.referee in known.referred_by, "circular"),
        (known.referee_has_bought, "existing_customer"),
        (now >= known.code_made_at + timedelta(days=rules.valid_days), "expired"),
        (known.rewarded_this_year >= rules.most, "limit"),
        (known.today >= rules.per_day, "velocity"),
    )
    return next((reason for holds, reason in checks if holds), None)
