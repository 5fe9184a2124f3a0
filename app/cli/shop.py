"""A small shop that never was: customers and their stories, the same for the same seed and last day.

Each customer's story is drawn from a generator of its own, so asking for more customers changes none of the others.
Nothing random is personal data: names are put together from lists, addresses end in example.com.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from app.domain import money

SPAN_DAYS = 540  # 18 months

FIRST_NAMES = (
    *(
        "Ada",
        "Alan",
        "Amara",
        "Anna",
        "Ben",
        "Carla",
        "Chen",
        "Clara",
        "David",
        "Elif",
        "Emma",
        "Farid",
        "Felix",
    ),
    *(
        "Grace",
        "Hugo",
        "Ines",
        "Jonas",
        "Julia",
        "Kofi",
        "Lea",
        "Liam",
        "Lucia",
        "Maria",
        "Marek",
        "Mia",
        "Nadia",
    ),
    *("Noah", "Olga", "Oscar", "Paul", "Priya", "Rosa", "Samir", "Sofia", "Theo", "Yuki", "Zoe"),
)
LAST_NAMES = (
    *(
        "Adeyemi",
        "Becker",
        "Bianchi",
        "Costa",
        "Dubois",
        "Eriksen",
        "Fischer",
        "Garcia",
        "Haddad",
        "Ito",
        "Jansen",
    ),
    *(
        "Kaya",
        "Kowalski",
        "Laurent",
        "Lindholm",
        "Martin",
        "Meyer",
        "Moreau",
        "Nguyen",
        "Novak",
        "Okafor",
        "Patel",
    ),
    *("Petrov", "Rossi", "Santos", "Schmidt", "Silva", "Sorensen", "Tanaka", "Weber", "Yilmaz", "Zhang"),
)
LANGUAGES = (
    ("de", "Europe/Berlin"),
    ("en", "Europe/London"),
    ("fr", "Europe/Paris"),
    ("es", "Europe/Madrid"),
)
TAGS = ("newsletter", "vip", "wholesale", "click-and-collect")
# (sku, category, price in major units)
GOODS = (
    *(("RUN-01", "shoes", 89), ("RUN-02", "shoes", 119), ("TRAIL-01", "shoes", 139)),
    *(("TEE-01", "clothing", 25), ("JACKET-01", "clothing", 149), ("SOCKS-03", "clothing", 12)),
    *(("BOTTLE-01", "gear", 15), ("PACK-01", "gear", 79), ("LAMP-01", "gear", 45), ("GEL-12", "food", 22)),
)


@dataclass(frozen=True, slots=True)
class Role:
    """How a customer behaves. Rates are per 30 days while active; `gap_days` is the usual time between purchases."""

    name: str
    gap_days: float
    visits: float
    clicks: float
    contacts: float
    nps: tuple[int, int] | None
    refund_share: float = 0.02
    begins_days_ago: tuple[int, int] = (330, SPAN_DAYS)
    ends_days_ago: int = 0
    refers: bool = False
    # (severity, days ago from and to, whether it was resolved)
    complaint: tuple[str, int, int, bool] | None = None


CHAMPION = Role("champion", 24, 4, 2, 0.05, (9, 10), refers=True)
LOYAL = Role("loyal", 34, 3, 1, 0.1, (8, 10))
REGULAR = Role("regular", 62, 2, 0.6, 0.15, (6, 9), refund_share=0.06)
OCCASIONAL = Role("occasional", 130, 0.7, 0.2, 0.1, None)
NEWCOMER = Role("newcomer", 40, 3, 1, 0.2, None, begins_days_ago=(5, 45))
LAPSED = Role(
    "lapsed", 34, 1.5, 0.5, 0.3, (3, 6), refund_share=0.1, begins_days_ago=(480, SPAN_DAYS), ends_days_ago=290
)
LOST = Role(
    "lost",
    *(60, 1, 0.1, 0.8, (0, 3)),
    refund_share=0.5,
    begins_days_ago=(470, SPAN_DAYS),
    ends_days_ago=420,
    complaint=("critical", 415, 419, False),
)
UPSET = Role("upset", 45, 1, 0.2, 1.6, (0, 3), refund_share=0.3, complaint=("critical", 3, 9, False))
RECOVERED = Role("recovered", 45, 2, 0.5, 0.3, (7, 9), complaint=("medium", 60, 120, True))
RETURNER = Role("returner", 50, 2, 0.4, 0.4, (4, 7), refund_share=0.45)

# The first three are the ones worth opening; every twenty customers the shop has the same mixture.
ROLES = (
    *(CHAMPION, UPSET, LAPSED, LOYAL, REGULAR, OCCASIONAL, NEWCOMER, RECOVERED, LOST, REGULAR),
    *(OCCASIONAL, REGULAR, LAPSED, LOYAL, RETURNER, OCCASIONAL, REGULAR, NEWCOMER, OCCASIONAL, REGULAR),
)
WORTH_OPENING = (
    (1, "buys like clockwork and brings friends"),
    (2, "a complaint is open, and it is not the first trouble"),
    (3, "had a rhythm, and went silent months ago"),
)


def external_id(seed: int, number: int) -> str:
    """The shop's own number of a customer, `number` from 1."""
    return f"demo-{seed}-{number:04d}"


@dataclass(frozen=True, slots=True)
class Person:
    """One customer: the body that makes it, and its story as touchpoint bodies, oldest first."""

    customer: dict[str, Any]
    touchpoints: list[dict[str, Any]]


def person(seed: int, number: int, until: date, currency: str) -> Person:
    """Customer `number` of the shop `seed`, whose story ends with the day before `until`."""
    # A text as seed is hashed with SHA-512, so neighbouring numbers have nothing in common.
    chance = random.Random(f"rapport demo {seed}/{number}")  # noqa: S311 - a story to repeat, not a secret
    role = ROLES[(number - 1) % len(ROLES)]
    customer = _customer(chance, seed, number, role)
    customer["traits"] = {"demo_role": role.name, "demo_until": until.isoformat(), "demo_currency": currency}
    return Person(customer, _Story(chance, external_id(seed, number), role, until, currency).told())


def _customer(chance: random.Random, seed: int, number: int, role: Role) -> dict[str, Any]:
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    language, timezone = chance.choice(LANGUAGES)
    return {
        "identifiers": {
            "external_id": external_id(seed, number),
            "email": f"{first}.{last}.{seed}-{number:04d}@example.com".lower(),
        },
        "name": f"{first} {last}",
        "language": language,
        "timezone": timezone,
        "preferred_channel": chance.choice(("email", "email", "phone", "chat")),
        "tags": ["vip"] if role is CHAMPION else sorted(chance.sample(TAGS, chance.choice((0, 0, 1, 1, 2)))),
    }


class _Story:
    """What happened to one customer. Ids count per kind, so a story names its own orders and complaints."""

    def __init__(self, chance: random.Random, prefix: str, role: Role, until: date, currency: str) -> None:
        self._chance = chance
        self._prefix = prefix
        self._role = role
        self._end = datetime.combine(until, time(), UTC)
        self._currency = currency
        self._begin = self._end - timedelta(days=chance.randint(*role.begins_days_ago))
        self._leave = self._end - timedelta(days=role.ends_days_ago)
        self._facts: list[tuple[datetime, dict[str, Any]]] = []
        self._counts: dict[str, int] = {}

    def told(self) -> list[dict[str, Any]]:
        """The whole story, oldest first."""
        self._buy()
        for kind, rate in (("visit", self._role.visits), ("message_clicked", self._role.clicks)):
            self._sprinkle(kind, rate)
        self._contact()
        self._answer()
        self._complain()
        self._refer()
        self._facts.sort(key=lambda fact: (fact[0], fact[1]["id"]))
        return [body for _, body in self._facts]

    def _add(self, when: datetime, kind: str, **members: object) -> dict[str, Any] | None:
        """Tell one fact, unless it would lie after the story's end; ids do not depend on that."""
        self._counts[kind] = nth = self._counts.get(kind, 0) + 1
        if when >= self._end:
            return None
        body = {
            "id": f"{self._prefix}-{kind}-{nth}",
            "customer": {"external_id": self._prefix},
            "kind": kind,
            "occurred_at": when.isoformat(timespec="seconds").replace("+00:00", "Z"),
            **members,
        }
        self._facts.append((when, body))
        return body

    def _within_day(self, day: datetime) -> datetime:
        return day.replace(hour=0, minute=0, second=0) + timedelta(
            seconds=self._chance.randint(7 * 3600, 22 * 3600)
        )

    def _buy(self) -> None:
        day, order = self._begin, 0
        while day < self._leave:
            order += 1
            self._order(self._within_day(day), f"{self._prefix}-order-{order}")
            # Gamma with shape 6: a rhythm one can see, neither a clock nor pure chance.
            day += timedelta(days=max(1.0, self._chance.gammavariate(6, self._role.gap_days / 6)))

    def _order(self, when: datetime, order_id: str) -> None:
        chance = self._chance
        items = [self._item(*good) for good in chance.sample(GOODS, chance.choice((1, 1, 1, 2, 2, 3)))]
        paid = sum(item["amount_minor"] for item in items)
        money_of_order = {"amount_minor": paid, "currency": self._currency, "order_id": order_id}
        count = f"{len(items)} item{'s' if len(items) > 1 else ''}"
        bought = self._add(
            when,
            "purchase",
            channel=chance.choice(("web", "web", "app", "store")),
            **money_of_order,
            items=items,
            description=f"Order {order_id}, {count}",
        )
        if bought is None:
            return
        late = chance.random() < (0.3 if self._role.complaint else 0.04)
        arrived = when + timedelta(days=chance.randint(6, 9) if late else chance.randint(1, 4))
        self._add(arrived, "delivery_late" if late else "delivered", properties={"order_id": order_id})
        if chance.random() < self._role.refund_share:
            returned = chance.choice(items)["amount_minor"] if chance.random() < 0.5 else paid  # noqa: PLR2004 - half of them
            money_of_order["amount_minor"] = returned
            self._add(
                arrived + timedelta(days=chance.randint(1, 12)), "refund", channel="web", **money_of_order
            )

    def _item(self, sku: str, category: str, price: int) -> dict[str, Any]:
        quantity = self._chance.choice((1, 1, 1, 2))
        amount = quantity * price * 10 ** money.EXPONENTS[self._currency]
        return {"sku": sku, "quantity": quantity, "amount_minor": amount, "category": category}

    def _sprinkle(self, kind: str, per_30_days: float) -> None:
        day = self._begin
        while True:
            day += timedelta(days=self._chance.expovariate(per_30_days / 30))
            if day >= self._leave:
                return
            channel = "email" if kind == "message_clicked" else self._chance.choice(("web", "app"))
            self._add(self._within_day(day), kind, channel=channel)

    def _contact(self) -> None:
        day, contact = self._begin, 0
        while True:
            day += timedelta(days=self._chance.expovariate(self._role.contacts / 30))
            if day >= self._leave:
                return
            contact += 1
            asked = self._within_day(day)
            channel = self._chance.choice(("email", "chat", "phone"))
            properties = {"contact_id": f"{self._prefix}-contact-{contact}", "mode": "personal"}
            self._add(asked, "support_contact", channel=channel, properties=properties)
            solved = asked + timedelta(hours=self._chance.randint(1, 40))
            self._add(solved, "support_resolved", channel=channel, properties=properties)
            if self._chance.random() < 0.4:  # noqa: PLR2004 - a usual share of people answers
                rating = {"rating": self._chance.randint(3, 5)}
                self._add(solved + timedelta(hours=20), "csat", channel="email", properties=rating)

    def _answer(self) -> None:
        if self._role.nps is None:
            return
        day = self._begin + timedelta(days=60)
        while day < self._leave:
            rating = {"rating": self._chance.randint(*self._role.nps)}
            self._add(self._within_day(day), "nps", channel="email", properties=rating)
            day += timedelta(days=180)

    def _complain(self) -> None:
        if self._role.complaint is None:
            return
        severity, latest, earliest, resolved = self._role.complaint
        opened = self._within_day(self._end - timedelta(days=self._chance.randint(latest, earliest)))
        complaint = {"complaint_id": f"{self._prefix}-complaint-1"}
        text = "Wrong size sent" if resolved else "Second late delivery, nobody called back"
        properties = complaint | {"severity": severity}
        self._add(opened, "complaint_opened", channel="phone", properties=properties, description=text)
        if resolved:
            solved = opened + timedelta(days=2)
            self._add(solved, "complaint_resolved", channel="phone", properties=complaint | {"csat": 5})
            self._add(solved + timedelta(hours=1), "goodwill", description="Voucher with an apology")

    def _refer(self) -> None:
        if self._role.refers:
            day = self._end - timedelta(days=self._chance.randint(20, 90))
            self._add(self._within_day(day), "referral", channel="web", properties={"referred": "a friend"})


def people(seed: int, customers: int, until: date, currency: str) -> Iterator[Person]:
    """The first `customers` of the shop, one after the other."""
    for number in range(1, customers + 1):
        yield person(seed, number, until, currency)
