"""What becomes of points when their owner leaves.

The ledger stays under the pseudonym that a UUID is: what the shop owes must add up, so the entries, the lots and the
accounts stay. Every name that a shop gave (orders, holds, adjustments, codes) goes, and so does each free word.
"""

from typing import Final

from app.storage.privacy.ways import Blank, ByHand, Delete, Holding, Keep

_NUMBERS: Final = Keep("points and times under a pseudonym: what the shop owes adds up")
_DELETE: Final = Delete()
_CHAIN: Final = "the hashes that chain the entries, which are shown themselves"
_COUPONS: Final = ByHand("the coupons that the customer's spends name; they stay taken")

_ENTRIES: Final = Blank(
    # The natural key may hold an order's id. It is not part of the hash, so the chain still holds.
    {"key": "'erased:' || seq"},
    frozenset(
        (
            "customer_id",
            "program",
            "seq",
            "kind",
            "points",
            "at",
            "effective_at",
            "movements",
            "hash",
            "debt_change",
            "forgiven",
            "qualifying",
            "qualified_at",
            "activates_at",
            "expires_at",
            "tier",
        )
    ),
)
_LOTS: Final = Blank(
    {"earn_key": "NULL"},
    frozenset(
        (
            "customer_id",
            "program",
            "lot",
            "activates_at",
            "expires_at",
            "granted",
            "drawn",
            "restored",
            "revoked",
            "expired",
            "absorbed",
            "moved",
            "held",
            "remaining",
        )
    ),
)
_ADJUSTMENTS: Final = Blank(
    {
        "key": "'erased:' || id",
        "proposal_id": "NULL",
        "note": "''",
        "about": "NULL",
        # Nobody is left for whom it could be booked.
        "state": "CASE WHEN state = 'proposed' THEN 'declined' ELSE state END",
    },
    frozenset(
        (
            "customer_id",
            "program",
            "id",
            "kind",
            "points",
            "reason_code",
            "allow_debt",
            "expires_at",
            "actor",
            "proposed_at",
            "approver",
            "booked_at",
            "debt",
            "entry",
            "terms",
        )
    ),
)
_REFERRALS: Final = Blank(
    # The other side keeps a row of its own.
    {
        "code": "''",
        "order_id": "NULL",
        "due_at": "NULL",
        "network": "NULL",
        "note": "NULL",
        "reviewed_by": "NULL",
    },
    frozenset(
        (
            *(
                "customer_id",
                "program",
                "id",
                "side",
                "other_customer_id",
                "origin_customer_id",
                "state",
                "reason",
                "created_at",
                "at",
            ),
            *("kept_until", "paid_minor", "refunded_minor", "referrer_points", "referee_points", "revision"),
        )
    ),
)
_MERGES: Final = Blank(
    {"merge": "'{}'"},
    frozenset(("customer_id", "program", "id", "source_customer_id", "merged_at", "undone_at")),
)

LOYALTY: Final[tuple[Holding, ...]] = (
    Holding("loyalty_accounts", erase=_NUMBERS, anonymise=_NUMBERS, withheld={"head": _CHAIN}),
    Holding("loyalty_entries", erase=_ENTRIES, anonymise=_ENTRIES, withheld={"hash": _CHAIN}),
    Holding("loyalty_lots", erase=_LOTS, anonymise=_LOTS),
    # Open ones are released before (usecases/privacy/release_points.py).
    Holding("loyalty_holds", erase=_DELETE, anonymise=_DELETE),
    Holding("loyalty_spends", erase=_DELETE, anonymise=_DELETE),
    Holding("loyalty_earns", erase=_DELETE, anonymise=_DELETE),
    Holding("loyalty_rule_points", erase=_DELETE, anonymise=_DELETE),
    Holding("loyalty_adjustments", erase=_ADJUSTMENTS, anonymise=_ADJUSTMENTS),
    Holding("loyalty_referrals", erase=_REFERRALS, anonymise=_REFERRALS),
    Holding("loyalty_merges", erase=_MERGES, anonymise=_MERGES),
    # What was bought stays in an anonymised log; lines and ids of the shop's own systems go.
    Holding("orders", erase=_DELETE, anonymise=_DELETE),
    Holding("referral_codes", erase=_DELETE, anonymise=_DELETE),
    Holding("referred_customers", erase=_DELETE, anonymise=_DELETE),
    Holding(
        "loyalty_coupons",
        erase=_COUPONS,
        anonymise=_COUPONS,
        whose="taken_by = ANY ($1::uuid[])",
        not_exported="the same as loyalty_spends.coupon",
    ),
)
"""Tables of loyalty, in the order in which they are told."""
