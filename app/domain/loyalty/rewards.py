"""What points buy: rewards with stock, limits, a time and a tier, and the coupon that comes of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, get_args

from app.domain.loyalty.account import Account, Decision, Hold, Spend
from app.domain.loyalty.bodies import Body, text_of
from app.domain.loyalty.spending import captured, refunded, released
from app.domain.problems import Conflict, refused

Unmet = Literal["not_yet", "over", "tier", "limit", "out_of_stock", "points"]
Coupons = Literal["given", "generated"]
Failed = Literal["out_of_stock", "coupon_failed"]

REFUSALS: Final[Mapping[Unmet, tuple[str, str]]] = {
    "not_yet": ("reward_not_yet", "The reward cannot be had yet."),
    "over": ("reward_over", "The reward can no longer be had."),
    "tier": ("tier_required", "The reward is for a higher tier."),
    "limit": ("per_customer_limit", "The customer has had as many of this reward as one may have."),
    "out_of_stock": ("sold_out", "There is none left of this reward."),
    "points": ("insufficient_points", "There are not enough points."),
}
"""What a caller is told: the code of the problem, and a sentence."""

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
COUPON_BYTES: Final = 10
MOST_CODES: Final = 10_000
LONGEST_PREFIX: Final = 16
_COUPON: Final = 12
_LONGEST: Final = 64
_MEANT: Final = str.maketrans("OIL", "011", "- ")
# No caller's source begins with a slash, so no refund of theirs can have this name.
_COUPON_REFUND: Final = "/coupon"


@dataclass(frozen=True, slots=True)
class Reward:
    """One reward. `stock` and `per_customer` None: no limit. Before `valid_from` only `early_tier` and above may.

    `coupons`: each redemption hands out a code, of a given list or a generated one that begins with `coupon_prefix`.
    """

    code: str
    name: str
    points: int
    stock: int | None = None
    per_customer: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    tier: str | None = None
    early_tier: str | None = None
    coupons: Coupons | None = None
    coupon_prefix: str = ""


class Buyer(NamedTuple):
    """What a reward asks about a customer. `tiers` are all codes from the lowest on; `taken`: this reward, so far."""

    tier: str
    tiers: Sequence[str]
    available: int
    taken: int = 0


class Offer(NamedTuple):
    """A reward for one customer now: what stands in the way, and how many points are missing."""

    reward: Reward
    unmet: tuple[Unmet, ...]
    missing: int

    @property
    def is_available(self) -> bool:
        """Whether it can be had now."""
        return not self.unmet


class Redeemed(NamedTuple):
    """A capture for a reward: the spend, or why there is none (`failed`), with the points back where they were."""

    hold: Hold
    spend: Spend | None
    coupon: str | None
    failed: Failed | None
    stock: int | None


def reward_of(body: Mapping[str, Any]) -> Reward:
    """A checked reward.

    Raises Invalid `property_required`, `invalid_number`, `invalid_text`, `unknown_member`, `unknown_value`,
    `invalid_window`, `invalid_prefix`.
    """
    given = Body(body)
    reward = Reward(
        code=given.code("code"),
        name=given.code("name"),
        points=given.number("points", 0, least=1),
        stock=given.number_or_none("stock", least=0),
        per_customer=given.number_or_none("per_customer"),
        valid_from=given.instant("valid_from"),
        valid_until=given.instant("valid_until"),
        tier=given.code("tier") if given.has("tier") else None,
        early_tier=given.code("early_tier") if given.has("early_tier") else None,
        coupons=given.choice("coupons", None, (*get_args(Coupons), None)),
        coupon_prefix=given.read("coupon_prefix", "", _prefix_of),
    )
    given.finish()
    if not reward.points:
        raise refused("#/points", "property_required", "is needed")
    if reward.valid_from and reward.valid_until and reward.valid_from >= reward.valid_until:
        raise refused("#/valid_until", "invalid_window", "must be after valid_from")
    if reward.coupon_prefix and reward.coupons != "generated":
        raise refused("#/coupon_prefix", "invalid_prefix", "goes with generated coupons")
    return reward


def offer(reward: Reward, stock: int | None, buyer: Buyer, at: datetime) -> Offer:
    """What stands between a customer and a reward; `stock` is what is left of it, None without a limit."""
    checks: tuple[tuple[bool, Unmet], ...] = (
        (_too_early(reward, buyer, at), "not_yet"),
        (reward.valid_until is not None and at >= reward.valid_until, "over"),
        (reward.tier is not None and not _reaches(buyer, reward.tier), "tier"),
        (reward.per_customer is not None and buyer.taken >= reward.per_customer, "limit"),
        (stock is not None and stock < 1, "out_of_stock"),
        (buyer.available < reward.points, "points"),
    )
    unmet = tuple(word for fails, word in checks if fails)
    return Offer(reward, unmet, max(reward.points - buyer.available, 0))


def check_offer(made: Offer) -> None:
    """Raises Conflict with the code of the first thing in the way (REFUSALS), all of them as `unmet`, and `missing`."""
    if made.unmet:
        code, detail = REFUSALS[made.unmet[0]]
        raise Conflict(code, detail, unmet=list(made.unmet), missing=made.missing)


def not_redeemed(done: Redeemed) -> Conflict | None:
    """What a caller is told of a capture that gave them nothing, although it changed something."""
    if done.failed is None:
        return None
    if done.failed == "out_of_stock":
        return Conflict(*REFUSALS["out_of_stock"], released=done.hold.points)
    return Conflict(
        "coupon_failed", "No coupon could be issued; the points are restored.", restored=done.hold.points
    )


def redeemed(
    account: Account,
    hold_id: str,
    *,
    stock: int | None,
    coupon: str | None,
    needs_coupon: bool,
    grace: timedelta,
    now: datetime,
) -> Decision[Redeemed]:
    """The account after a hold for a reward was captured. Stock counts here, not at the hold: the last has one winner.

    The loser's hold is freed; where no coupon could be issued the points are restored, once. Both are results and not
    refusals, because they change something. A hold that was captured before answers as it did, and takes no stock.
    Raises as `captured`.
    """
    hold = account.holds.get(hold_id)
    if hold is not None and hold.state == "captured":
        again = captured(account, hold_id, now)
        failed: Failed | None = "coupon_failed" if _COUPON_REFUND in again.result.spend.refunds else None
        return Decision(account, (), Redeemed(hold, again.result.spend, coupon, failed, stock))
    if stock is not None and stock < 1 and hold is not None and hold.state == "open":
        freed = released(account, hold_id, now)
        return Decision(
            freed.account, freed.entries, Redeemed(freed.result.hold, None, None, "out_of_stock", stock)
        )
    done = captured(account, hold_id, now)
    left = None if stock is None else stock - 1
    if not needs_coupon or coupon is not None:
        result = Redeemed(done.result.hold, done.result.spend, coupon, None, left)
        return Decision(done.account, done.entries, result)
    back = refunded(done.account, hold_id, id=_COUPON_REFUND, points=None, grace=grace, now=now)
    spend = back.account.spends[hold_id]
    result = Redeemed(done.result.hold, spend, None, "coupon_failed", stock)
    return Decision(back.account, done.entries + back.entries, result)


def coupon_of(random_bytes: bytes, prefix: str = "") -> str:
    """A generated code from COUPON_BYTES random bytes: twelve characters of Crockford's base 32 (60 bits), in fours."""
    number = int.from_bytes(random_bytes)
    body = "".join(ALPHABET[(number >> 5 * place) & 31] for place in range(_COUPON))
    groups = "-".join(body[start : start + 4] for start in range(0, _COUPON, 4))
    return f"{prefix}-{groups}" if prefix else groups


def coupon_key(text: str) -> str:
    """What two spellings of one code share: the key that is unique over all customers."""
    return text.strip().upper().translate(_MEANT)


def coupons_of(codes: Iterable[str]) -> tuple[str, ...]:
    """A given list of codes, in its order. Raises Invalid `invalid_coupon`, `duplicate_coupon`, `too_many_coupons`."""
    given = tuple(codes)
    if len(given) > MOST_CODES:
        raise refused("#/codes", "too_many_coupons", f"at most {MOST_CODES} codes at once")
    seen: set[str] = set()
    for number, code in enumerate(given):
        key = coupon_key(code)
        if not 1 <= len(code) <= _LONGEST or not key.isascii() or not key.isprintable() or not key:
            raise refused(f"#/codes/{number}", "invalid_coupon", "must be 1 to 64 printable characters")
        if key in seen:
            raise refused(f"#/codes/{number}", "duplicate_coupon", "is in the list twice")
        seen.add(key)
    return given


def _prefix_of(value: object, pointer: str) -> str:
    text = text_of(value, pointer)
    if len(text) > LONGEST_PREFIX or not (text.isascii() and text.isalnum()):
        raise refused(pointer, "invalid_prefix", f"must be 1 to {LONGEST_PREFIX} letters and digits")
    return text


def _too_early(reward: Reward, buyer: Buyer, at: datetime) -> bool:
    if reward.valid_from is None or at >= reward.valid_from:
        return False
    return reward.early_tier is None or not _reaches(buyer, reward.early_tier)


def _reaches(buyer: Buyer, tier: str) -> bool:
    """A tier that there no longer is, nobody reaches."""
    if tier not in buyer.tiers or buyer.tier not in buyer.tiers:
        return False
    return buyer.tiers.index(buyer.tier) >= buyer.tiers.index(tier)
