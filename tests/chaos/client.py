"""A storefront that tries again until it is told that its event is stored, and remembers all it was told."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.events import Event
from tests.chaos.script import Script
from tests.chaos.wire import Connection

BATCH = "/v1/touchpoints/batch"

IN_FLIGHT = "idempotency_in_flight"

PATIENCE_SECONDS = 12.0
# Some leave before the answer can be there and come again at once, while their first request is still being written.
IMPATIENT_SHARE, IMPATIENT_SECONDS = 0.06, (0.001, 0.03)
BATCH_SHARE, BATCH_ITEMS = 0.2, (2, 6)
TWICE_SHARE, TOGETHER_SHARE, DEED_SHARE, TILL_SHARE = 0.1, 0.1, 0.12, 0.28
THINK_SECONDS = 0.04
# Shorter than Retry-After asks for: a client that waits politely would miss the moments that matter.
PAUSE_SECONDS = (0.02, 0.25)
GIVE_UP_SECONDS = 60.0
# Shorter waits are not worth noting.
GAP_SECONDS = 0.2


class Client:
    """One storefront. Times are those of time.monotonic().

    `served` is when the newest request began that was answered as it should be; `gaps` are the times (begin, end) in
    which no such answer came; `surprises` what no client should ever be told.
    """

    def __init__(self, script: Script, port: int, key: str) -> None:
        self._script = script
        self._chance = script.chance
        self._connections = (Connection(port, key), Connection(port, key))
        self._last_answer = 0.0
        self.events: list[Event] = []
        self.served = 0.0
        self.gaps: list[tuple[float, float]] = []
        self.statuses: Counter[int | None] = Counter()
        self.surprises: list[str] = []
        self.given_up = 0
        self.stopping = False

    async def run(self) -> None:
        """Send until `stopping`; what was begun is finished."""
        self._last_answer = time.monotonic()
        try:
            while not self.stopping:
                await self._send()
                await asyncio.sleep(self._chance.uniform(0, THINK_SECONDS))
        finally:
            for connection in self._connections:
                connection.close()

    async def _send(self) -> None:
        first, second = self._connections
        way = self._chance.random()
        if way < BATCH_SHARE:
            await self._deliver_batch(first, [self._new() for _ in range(self._chance.randint(*BATCH_ITEMS))])
        elif way < BATCH_SHARE + TWICE_SHARE:
            event = self._new()
            await asyncio.gather(self._deliver(first, event), self._deliver(second, event))
        elif way < BATCH_SHARE + TWICE_SHARE + TOGETHER_SHARE:
            order, refund = self._script.order_and_refund()
            self.events += order, refund
            await asyncio.gather(self._deliver(first, order), self._deliver(second, refund))
        elif way < BATCH_SHARE + TWICE_SHARE + TOGETHER_SHARE + DEED_SHARE:
            deed = self._script.deed()
            self.events.append(deed)
            await self._deliver_deed(deed)
        elif way < BATCH_SHARE + TWICE_SHARE + TOGETHER_SHARE + DEED_SHARE + TILL_SHARE:
            steps = self._script.till.next()
            self.events += steps
            if len(steps) == 1:
                await self._deliver_deed(steps[0])
            else:
                await asyncio.gather(*map(self._deliver, self._connections, steps))
            for step in steps:
                self._script.till.heard(step)
        else:
            await self._deliver(first, self._new())

    def _new(self) -> Event:
        event = self._script.event()
        self.events.append(event)
        return event

    async def _deliver_deed(self, deed: Event) -> None:
        """Half of them twice at once, over two connections."""
        both = self._connections if self._chance.random() < 0.5 else self._connections[:1]
        await asyncio.gather(*(self._deliver(connection, deed) for connection in both))

    async def _deliver(self, connection: Connection, event: Event) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            event.attempts += 1
            answer = await self._ask(connection, event.path, event.body, event.method, event.key)
            if answer is not None and self._settle(event, *answer):
                return
            event.is_unsure = True
            await self._pause()
        self.given_up += 1

    async def _deliver_batch(self, connection: Connection, events: Sequence[Event]) -> None:
        """As a whole, then again those that were not taken. Some name an event twice."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while events and time.monotonic() < deadline:
            sent = [*events, events[0]] if self._chance.random() < 0.1 else list(events)
            for event in sent:
                event.attempts += 1
            answer = await self._ask(connection, BATCH, {"touchpoints": [event.body for event in sent]})
            if answer is not None and answer[0] == 200:
                for row in answer[1]["results"]:
                    self._settle_item(sent[row["index"]], row)
            elif answer is not None and answer[0] != 503:
                self.surprises.append(f"a batch was answered {answer[0]} {answer[1].get('code')}")
            events = [event for event in events if not event.is_over]
            if events:
                await self._pause()
        self.given_up += len(events)

    async def _ask(
        self,
        connection: Connection,
        path: str,
        body: Mapping[str, Any],
        method: str = "POST",
        key: str | None = None,
    ) -> tuple[int, Any] | None:
        begun = time.monotonic()
        impatient = self._chance.random() < IMPATIENT_SHARE
        seconds = self._chance.uniform(*IMPATIENT_SECONDS) if impatient else PATIENCE_SECONDS
        answer = await connection.send(method, path, body, seconds, key)
        self.statuses[None if answer is None else answer[0]] += 1
        if answer is not None and answer[0] < 500:
            self._note_answer(begun)
        return answer

    def _note_answer(self, begun: float) -> None:
        now = time.monotonic()
        if now - self._last_answer > GAP_SECONDS:
            self.gaps.append((self._last_answer, now))
        self._last_answer, self.served = now, max(self.served, begun)

    def _settle(self, event: Event, status: int, answer: Mapping[str, Any]) -> bool:
        """Whether a single post is done with."""
        if status in (200, 201):
            event.acknowledge()
            event.answers.append(event.remembered(answer))
            event.told = answer
            if event.is_poison or answer.get("duplicate", status == 200) is not (status == 200):
                self.surprises.append(f"{event.id}: {status}, duplicate {answer.get('duplicate')}")
            return True
        self._settle_refusal(event, status, answer.get("code"))
        return event.is_over

    def _settle_item(self, event: Event, row: Mapping[str, Any]) -> None:
        if row["status"] == "rejected":
            self._settle_refusal(event, row["problem"]["status"], row["problem"]["code"])
        else:
            event.acknowledge()

    def _settle_refusal(self, event: Event, status: int, code: str | None) -> None:
        """503, and a key whose first request is under way, are what a client must live with; poison is refused, and
        what its deed says may be; everything else nobody has asked for.
        """
        if status == 503 or (event.key is not None and code == IN_FLIGHT):
            return
        if (status == 500 and event.is_poison) or (event.deed and code in event.deed.refusals):
            event.refuse(code)
            return
        event.failed = status < 500
        self.surprises.append(f"{event.id} was answered {status} {code}")

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.uniform(*PAUSE_SECONDS))
