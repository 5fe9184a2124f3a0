"""What a shop gives for a failure: an apology, money, points, goods. Loyalty grants the points."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from app.domain.feedback.complaint_states import TERMINAL
from app.domain.feedback.complaints import Case
from app.domain.money import EXPONENTS, LARGEST_MINOR
from app.domain.problems import Conflict, refused

Form = Literal["apology", "refund", "voucher", "points", "replacement"]

FORMS: Final[tuple[Form, ...]] = get_args(Form)
MOST_POINTS: Final = 2**31 - 1
_IN_MONEY: Final = frozenset(("refund", "voucher"))


@dataclass(frozen=True, slots=True)
class Compensation:
    """One thing given. Money in minor units and a currency, points as a number, the rest as it is."""

    form: Form
    amount_minor: int | None = None
    currency: str | None = None
    points: int | None = None


def compensation_of(
    form: str, *, amount_minor: int | None = None, currency: str | None = None, points: int | None = None
) -> Compensation:
    """A checked compensation: refunds and vouchers need money, points a number, apologies and replacements neither.

    Raises Invalid `unknown_form`, `property_required`, `invalid_property`.
    """
    known = next((one for one in FORMS if one == form), None)
    if known is None:
        raise refused("#/form", "unknown_form", f"must be one of {', '.join(FORMS)}")
    _check_money(needed=known in _IN_MONEY, amount_minor=amount_minor, currency=currency)
    if (known == "points") != (points is not None):
        code = "property_required" if known == "points" else "invalid_property"
        raise refused("#/points", code, "goes with points, and only with them")
    if points is not None and not 1 <= points <= MOST_POINTS:
        raise refused("#/points", "invalid_property", f"must be a whole number from 1 to {MOST_POINTS}")
    return Compensation(known, amount_minor, currency, points)


def check_compensable(case: Case) -> None:
    """Raises Conflict `not_compensable` for a complaint that was merged or withdrawn: give it with the other one."""
    if case.state in TERMINAL:
        raise Conflict(
            "not_compensable", "A merged or withdrawn complaint is not compensated.", state=case.state
        )


def grant_id(complaint_id: str, number: int) -> str:
    """The id of the goodwill touchpoint, and of the grant, of the n-th compensation: once, however often retried."""
    return f"complaint:{complaint_id}:goodwill:{number}"


def _check_money(*, needed: bool, amount_minor: int | None, currency: str | None) -> None:
    if not needed:
        if amount_minor is not None or currency is not None:
            raise refused("#/amount_minor", "invalid_property", "goes with refunds and vouchers alone")
        return
    if amount_minor is None or currency is None:
        raise refused("#/amount_minor", "property_required", "an amount and its currency are needed")
    if not 1 <= amount_minor <= LARGEST_MINOR:
        raise refused(
            "#/amount_minor", "invalid_property", "must be at least 1 and a number JSON holds exactly"
        )
    if currency not in EXPONENTS:
        raise refused("#/currency", "invalid_property", "must be an ISO 4217 code")
