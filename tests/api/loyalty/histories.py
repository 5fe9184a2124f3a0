"""Members of a club as several tills see them: calls that meet, what was answered, and what must hold whatever met.

Everything is seen from outside, through the API. The numbers in comments are those of the design's invariants.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.domain.loyalty.account import CREATING, EFFECT

# 404: a hold that nobody has; 409 and 422: refused by a rule. 503 asks to come again, and is done so.
ALLOWED = {200, 201, 404, 409, 422}
CLOCK_WORK = {"expire", "absorb", "transfer_in", "transfer_out"}
TIRELESS = 50
ENTRIES_A_PAGE = 200

Call = tuple[Any, ...]


@dataclass
class Ledger:
    """What the entries of one account come to, read anew from the API."""

    entries: list[dict[str, Any]]
    lots: dict[int, dict[str, Any]] = field(default_factory=dict)
    debt: int = 0

    def replay(self) -> "Ledger":
        """Work the lots out from the movements, and check them on the way."""
        for number, entry in enumerate(self.entries, 1):
            assert entry["seq"] == number  # 10
            assert number == 1 or entry["previous_hash"] == self.entries[number - 2]["hash"]  # 10
            assert entry["points"] <= 0 or entry["kind"] in CREATING  # 11
            for one in entry["movements"]:
                fresh = {"counts": Counter(), "from": entry["activates_at"], "until": entry["expires_at"]}
                counts = self.lots.setdefault(one["lot"], fresh)["counts"]
                assert one["points"] > 0
                counts[one["what"]] += one["points"]
            # Only now: a lot that a merge has moved comes with its whole history in one entry.
            for counts in (self.lots[one["lot"]]["counts"] for one in entry["movements"]):
                assert 0 <= remaining(counts) <= counts["grant"]  # 2, 5
                assert counts["restore"] <= counts["draw"]
                assert counts["move_back"] <= counts["move"]
            self.debt += entry["debt_change"]
            assert self.debt >= 0
        return self

    def points(self, *kinds: str) -> int:
        return sum(entry["points"] for entry in self.entries if entry["kind"] in kinds)

    def alive(self, at: datetime) -> tuple[int, int]:
        """The points left in lots that can be spent or are kept by holds, and in those that are pending."""
        coming = sum(remaining(lot["counts"]) for lot in self.lots.values() if _time(lot["from"]) > at)
        return sum(remaining(lot["counts"]) for lot in self.lots.values()) - coming, coming

    def instants(self) -> list[datetime]:
        said = [lot[end] for lot in self.lots.values() for end in ("from", "until")]
        return [_time(at) for at in said if at is not None]


async def tireless(client: httpx.AsyncClient, method: str, url: str, body: Any = None) -> httpx.Response:
    """The answer; who finds no lock or no connection in time is told 503, and asks again."""
    for _ in range(TIRELESS):
        answer = await client.request(method, url, json=body)
        if answer.status_code != 503:
            return answer
    raise AssertionError(f"{TIRELESS} times 503.")


def remaining(counts: Counter[Any]) -> int:
    return sum(EFFECT[what] * points for what, points in counts.items())


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass
class Club:
    """Two members, `a` and `b`, everything that the tills were answered about them, and what the past looked like."""

    admin: httpx.AsyncClient
    tills: Sequence[httpx.AsyncClient]
    name: str
    merge_id: str | None = None
    was_merged: bool = False
    was_parted: bool = False
    ticks: int = 0
    adjusted: dict[str, int] = field(default_factory=dict)
    expiries: dict[str, str] = field(default_factory=dict)
    holds: dict[str, dict[str, Any]] = field(default_factory=dict)
    released: Counter[str] = field(default_factory=Counter)
    redemptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    redemption_ids: dict[str, str] = field(default_factory=dict)
    refunds: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    failed: int = 0
    bought: dict[str, int] = field(default_factory=dict)
    returned: dict[str, dict[str, int]] = field(default_factory=dict)
    accepted: list[Call] = field(default_factory=list)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    past: list[tuple[str, datetime, Any]] = field(default_factory=list)

    async def join(self) -> None:
        for who in "ab":
            body = {"identifiers": {"external_id": f"{self.name}-{who}"}}
            assert (await self.admin.post("/v1/customers", json=body)).status_code == 201

    def reference(self, who: str) -> str:
        return f"external_id:{self.name}-{who}"

    # --- calls --------------------------------------------------------------------------------------------------------

    async def at_once(self, calls: Sequence[Call], *also: Awaitable[None]) -> None:
        """Every till sends its share of the calls at the same time: in which order they happen is the database's."""
        sending = [self.send(self.tills[at % len(self.tills)], call) for at, call in enumerate(calls)]
        await asyncio.gather(*sending, *also)

    async def send(self, till: httpx.AsyncClient, call: Call) -> None:
        verb, *said = call
        done: Callable[..., Awaitable[bool]] = getattr(self, verb)
        if await done(till, *said):
            self.accepted.append(call)

    async def ask(self, till: httpx.AsyncClient, method: str, url: str, body: Any = None) -> Any:
        """The answer, None where a rule refuses."""
        answer = await tireless(till, method, url, body)
        assert answer.status_code in ALLOWED, answer.text
        if answer.status_code == 409 and answer.json()["code"] == "coupon_failed":
            self.failed += answer.json()["restored"]
        return answer.json() if answer.status_code < 300 else None

    async def adjust(self, till: httpx.AsyncClient, who: str, number: int, points: int, debt: bool) -> bool:
        name = f"a-{who}-{number}-{points}-{debt}"
        body = {"id": name, "customer": self.reference(who), "points": points, "reason_code": "service"}
        if points > 0 and number == 0:
            soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
            body["expires_at"] = self.expiries.setdefault(name, soon)
        told = await self.ask(till, "POST", "/v1/loyalty/adjustments", body | {"allow_debt": debt})
        if told:
            self.adjusted[name] = points
        return bool(told)

    async def hold(self, till: httpx.AsyncClient, who: str, number: int, points: int | None) -> bool:
        """Points, or a mug. Every third hold runs out before most of a history is over."""
        what = {"reward": "mug"} if points is None else {"points": points}
        name = f"{'r' if points is None else 'h'}-{who}-{number}"
        body = {"id": name, "customer": self.reference(who), "ttl_seconds": 1 if number == 2 else 900}
        told = await self.ask(till, "POST", "/v1/loyalty/holds", body | what)
        if told:
            known = self.holds.setdefault(f"{name}@{told['customer_id']}", told)
            same = ("hold_id", "points", "opened_at", "expires_at", "lots")
            assert [known[one] for one in same] == [told[one] for one in same]  # 9
        return bool(told)

    def _chosen(self, number: int) -> str:
        ids = [hold["hold_id"] for hold in self.holds.values()]
        return ids[number % len(ids)] if ids else "hold_x"

    async def capture(self, till: httpx.AsyncClient, number: int, points: int | None) -> bool:
        hold_id = self._chosen(number)
        told = await self.ask(till, "POST", f"/v1/loyalty/holds/{hold_id}/capture", {"points": points})
        if told:
            # Health may have moved on by the second time it is asked, and a merge gives new names.
            for changing in ("health", "customer_id", "hold_id"):
                told.pop(changing)
            self.redemption_ids.setdefault(hold_id, told.pop("redemption_id"))
            assert self.redemptions.setdefault(hold_id, told) == told  # 9
        return bool(told)

    async def release(self, till: httpx.AsyncClient, number: int) -> bool:
        hold_id = self._chosen(number)
        told = await self.ask(till, "POST", f"/v1/loyalty/holds/{hold_id}/release")
        if told:
            back = told["returned"] + told["lapsed"]
            assert back in {0, told["points"]}  # 14
            self.released[hold_id] += back
            assert self.released[hold_id] <= told["points"]
        return bool(told)

    async def refund(self, till: httpx.AsyncClient, number: int, points: int | None) -> bool:
        ids = list(self.redemptions)
        if not ids:
            return False
        hold_id, name = ids[number % len(ids)], f"b-{number}-{points}"
        url = f"/v1/loyalty/redemptions/{self.redemption_ids[hold_id]}/refund"
        told = await self.ask(till, "POST", url, {"id": name, "points": points})
        if told:
            told.pop("refundable")
            told.pop("redemption_id")
            assert self.refunds.setdefault((hold_id, name), told) == told  # 9
            assert told["points"] == told["restored"] + told["lapsed"] + told["reinstated"]  # 6
        return bool(told)

    async def buy(self, till: httpx.AsyncClient, who: str, number: int, amount: int) -> bool:
        order = f"{self.name}-P{who}{number}"
        told = await self.ask(till, "POST", "/v1/touchpoints", self._money("purchase", who, order, amount))
        if told:
            assert self.bought.setdefault(order, amount) == amount
        return bool(told)

    async def give_back(self, till: httpx.AsyncClient, who: str, number: int, part: int, amount: int) -> bool:
        order = f"{self.name}-P{who}{number}"
        name = f"{order}.{part}.{amount}"
        told = await self.ask(
            till, "POST", "/v1/touchpoints", self._money("refund", who, order, amount, name)
        )
        if told:
            self.returned.setdefault(order, {})[name] = amount
        return bool(told)

    def _money(self, kind: str, who: str, order: str, amount: int, name: str = "") -> dict[str, Any]:
        said = {
            "id": name or order,
            "kind": kind,
            "order_id": order,
            "amount_minor": amount,
            "currency": "EUR",
        }
        return said | {"customer": self.reference(who)}

    async def order(self, till: httpx.AsyncClient, who: str, number: int, version: int, status: str) -> bool:
        """A whole order; later versions cost more, which is an addition."""
        body = {
            "customer": self.reference(who),
            "status": status,
            "version": version,
            "placed_at": "2026-06-01T10:00:00Z",
            "currency": "EUR",
            "lines": [{"line_id": "1", "net_minor": 4_000 + 700 * version}],
            "refunded_minor": 1_000 if version % 2 else 0,
        }
        return bool(await self.ask(till, "PUT", f"/v1/orders/{self.name}-Q{who}{number}", body))

    async def merge(self) -> None:
        """`b` becomes `a`, whatever the tills are just doing for both."""
        body = {"from": self.reference("b"), "reason": "same"}
        told = await self.ask(self.admin, "POST", f"/v1/customers/{self.reference('a')}/merge", body)
        assert told
        self.merge_id, self.was_merged = told["merge_id"], True

    async def undo(self) -> None:
        """They are two again, unless points that moved were used since."""
        if await self.ask(self.admin, "POST", f"/v1/merges/{self.merge_id}/undo"):
            self.merge_id, self.was_parted = None, True

    # --- what must hold -----------------------------------------------------------------------------------------------

    async def see(self, url: str) -> Any:
        """What stands there."""
        answer = await tireless(self.admin, "GET", url)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def shown(self, who: str) -> Any:
        return await self.see(f"/v1/customers/{self.reference(who)}/loyalty")

    async def read(self, who: str) -> tuple[Ledger, dict[str, Any]]:
        """The ledger and the balance of one instant: a write does what the clock asks for, then nobody writes.

        Where points run out, or the worker comes by, between the readings, it is read again.
        """
        while True:
            self.ticks += 1
            name, begun = f"t-{self.ticks}", datetime.now(UTC)
            body = {"id": name, "customer": self.reference(who), "points": 1, "reason_code": "service"}
            assert await self.ask(self.admin, "POST", "/v1/loyalty/adjustments", body)
            self.adjusted[name] = 1
            entries = await self.entries(who)
            shown = await self.shown(who)
            ledger = Ledger(entries).replay()
            own = _time(entries[-1]["at"])
            holds = [_time(hold["expires_at"]) for hold in self.holds.values()]
            instants = [at for at in (*ledger.instants(), *holds) if at != own]
            is_still = not any(begun <= at <= datetime.now(UTC) for at in instants)
            if is_still and shown["as_of_seq"] == len(entries):
                return ledger, shown

    async def entries(self, who: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        url = f"/v1/loyalty/entries?customer={self.reference(who)}&limit={ENTRIES_A_PAGE}"
        while True:
            answer = (await self.see(f"{url}&after_seq={len(found)}"))["data"]
            found += answer
            if len(answer) < ENTRIES_A_PAGE:
                return found

    async def check(self) -> None:
        """Whatever was called: every account proves itself, and together they are what the tills were answered."""
        ledgers = []
        for who in "a" if self.merge_id else "ab":
            ledger, shown = await self.read(who)
            ledgers.append(ledger)
            before = self.logs.get(who, [])
            assert ledger.entries[: len(before)] == before  # 10
            self.logs[who] = ledger.entries
            await self._check_balance(who, ledger, shown)
        self._check_answers()
        await self._check_holds()

    async def _check_balance(self, who: str, ledger: Ledger, shown: dict[str, Any]) -> None:
        alive, coming = ledger.alive(datetime.now(UTC))
        assert shown["debt"] == ledger.debt
        assert (
            ledger.points(*{entry["kind"] for entry in ledger.entries}) == alive + coming - ledger.debt
        )  # 1
        assert shown["available"] + shown["held"] == alive - ledger.debt  # 4
        assert shown["pending"] == coming
        assert not shown["debt"] or shown["available"] == -shown["debt"]  # 3
        assert shown["lifetime_burned"] == -ledger.points("spend", "restore", "reinstate")
        assert shown["lifetime_expired"] == -ledger.points("expire")
        proof = await self.see(f"/v1/customers/{self.reference(who)}/loyalty/verify")
        assert proof["is_sound"], proof["findings"]

    def _everything(self) -> list[dict[str, Any]]:
        return [entry for log in self.logs.values() for entry in log]

    def _check_answers(self) -> None:
        """What was accepted stands in the books once, and what was refused does not (8, 9)."""
        books = self._everything()
        given = Counter(entry["points"] for entry in books if entry["kind"] == "adjust")
        drawn = -sum(entry["points"] for entry in books if entry["kind"] == "spend")
        back = sum(entry["points"] for entry in books if entry["kind"] in {"restore", "reinstate"})
        keys = Counter(entry["key"] for entry in books if entry["kind"] in {"earn", "spend"})
        assert not [key for key, times in keys.items() if times > 1]
        accepted = Counter(self.adjusted.values())
        spent = sum(one["points"] for one in self.redemptions.values()) + self.failed
        refunded = sum(one["points"] for one in self.refunds.values()) + self.failed
        # What `b` was told while they became one may stand in the book that nobody can read until they are two.
        assert given <= accepted if self.merge_id else given == accepted
        if self.was_merged:
            # One hold may have been captured under two names by then, and was told twice.
            assert drawn <= spent
            assert back <= refunded
        else:
            assert (drawn, back) == (spent, refunded)  # 6
        if not self.merge_id:
            self._check_orders(books)

    def _check_orders(self, books: list[dict[str, Any]]) -> None:
        """Refunds have taken, forgiven and lent the share of what was earned, to the point (7)."""
        for order, paid in self.bought.items():
            earned = sum(
                one["points"] for one in books if one["kind"] == "earn" and f"/{order}:" in one["key"]
            )
            taken = [one for one in books if one["kind"] == "clawback" and order in one["key"]]
            claimed = sum(one["forgiven"] - one["points"] for one in taken)
            refunded = min(sum(self.returned.get(order, {}).values()), paid)
            assert earned == paid // 100
            share = earned * refunded // paid
            # What was bought while they were one has earned for `a`; parted, a refund that `b` is given finds no earn.
            assert 0 <= claimed <= share if self.was_parted else claimed == share

    async def _check_holds(self) -> None:
        """What is put aside is what the open holds say. A merge gives holds new names: then their sum is not known."""
        if self.was_merged:
            return
        begun = datetime.now(UTC) - timedelta(seconds=1)
        states = [await self.see(f"/v1/loyalty/holds/{hold['hold_id']}") for hold in self.holds.values()]
        held = sum([(await self.shown(who))["held"] for who in "ab"])
        if not any(begun <= _time(hold["expires_at"]) <= datetime.now(UTC) for hold in self.holds.values()):
            assert held == sum(one["points"] for one in states if one["state"] == "open")

    # --- the past -----------------------------------------------------------------------------------------------------

    async def then(self, who: str, at: datetime) -> Any:
        """Balance and tier of a time that is over."""
        url, stamp = f"/v1/customers/{self.reference(who)}/loyalty", at.isoformat().replace("+00:00", "Z")
        found = [await self.see(f"{url}/{what}?as_of={stamp}") for what in ("balance", "tier")]
        tier = found[1]["tier"]
        return found[0], tier and (tier["code"], tier["since"])

    async def remember(self) -> None:
        at = datetime.now(UTC)
        await asyncio.sleep(0.002)
        self.past.append(("a", at, await self.then("a", at)))

    async def look_back(self) -> None:
        for who, at, was in self.past:
            assert await self.then(who, at) == was  # 12, 13
