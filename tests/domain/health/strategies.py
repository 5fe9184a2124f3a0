"""Random customers for the properties of health."""

from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of

DAY = 86_400
START = 1_600_000_000
END = 1_700_000_000
NOW = END + 10 * DAY

moments = st.integers(START, END)
amounts = st.integers(0, 50_000)
SIGNALS = (
    "visit",
    "message_opened",
    "message_clicked",
    "self_service",
    "cart_abandoned",
    "community_post",
    "referral",
    "review_public",
    "loyalty_joined",
    "points_redeemed",
)
ANSWERS = ("nps", "csat", "ces", "review")
NO_EFFECT = ("delivered", "delivery_late", "goodwill", "support_resolved", "band_changed", "unsubscribed")
KINDS = (
    "purchase",
    "purchase",
    "purchase",
    "refund",
    "order_cancelled",
    "complaint_opened",
    "complaint_resolved",
    "support_contact",
    *SIGNALS,
    *ANSWERS,
    *NO_EFFECT,
)


@st.composite
def facts(draw: st.DrawFn, id: str, kinds: tuple[str, ...] = KINDS) -> Fact:  # noqa: A002 - as in fact_of
    """One fact; few orders and complaints, so that facts of one thread meet."""
    kind = draw(st.sampled_from(kinds))
    order = draw(st.sampled_from((None, "A", "B", "C")))
    if kind == "order_cancelled":
        order = order or "A"
    properties = {
        "complaint_id": draw(st.sampled_from(("c1", "c2"))),
        "severity": draw(st.sampled_from(("low", "medium", "high", "critical"))),
        "csat": draw(st.sampled_from((None, 1, 2, 3, 4, 5))),
        "rating": draw(st.integers(1, 5)),
    }
    return fact_of(kind, draw(moments), id, amount=draw(amounts), order_id=order, properties=properties)


@st.composite
def histories(
    draw: st.DrawFn, kinds: tuple[str, ...] = KINDS, min_size: int = 0, max_size: int = 16
) -> list[Fact]:
    """The facts of one customer, in no particular order."""
    size = draw(st.integers(min_size, max_size))
    return [draw(facts(f"f{index}", kinds)) for index in range(size)]
