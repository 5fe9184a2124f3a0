import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta

import pytest

from app.domain.health.model import shipped
from app.domain.identifiers import parse_reference
from app.domain.problems import NotFound
from app.storage import notes
from app.storage.database import Database
from app.storage.notes import Note
from app.usecases.add_note import add_note
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.loyalty.remembered_programs import RememberedPrograms
from app.usecases.own_kinds import RememberedKinds
from app.usecases.post_touchpoints import Post, post_touchpoints
from app.usecases.read_context import Contexts, SealedContext
from tests.usecases.posts import NOW, post

ADA = parse_reference("external_id:42")


@pytest.fixture
async def desk(store: Database, lanes: Lanes, identities: Identities) -> AsyncIterator["Desk"]:
    contexts = Contexts(store, identities, RememberedKinds(store), RememberedPrograms(store), queue_limit=100)
    contexts.start()
    yield Desk(store, lanes, identities, contexts)
    await contexts.drain()


class Desk:
    """Somebody who posts and reads about external_id:42."""

    def __init__(self, store: Database, lanes: Lanes, identities: Identities, contexts: Contexts) -> None:
        self.store, self._lanes, self.identities, self.contexts = store, lanes, identities, contexts

    async def add(self, *posts: Post) -> None:
        answers = await post_touchpoints(self.identities, self._lanes, posts, NOW, may_add_identifiers=True)
        assert not [answer for answer in answers if isinstance(answer, BaseException)]

    async def read(self, touchpoints: int = 5, hours_later: int = 0) -> SealedContext:
        now = NOW + timedelta(hours=hours_later)
        return await self.contexts.read(
            ADA, shipped(), now, lambda sealed: sealed, touchpoints=touchpoints, currency="EUR"
        )

    async def note(self, text: str) -> None:
        async with self.store.hot_transaction() as connection:
            await add_note(connection, ADA, text, "agent", NOW)


def opened(id: str, days_ago: float, complaint: str, severity: str = "high") -> Post:  # noqa: A002 - the wire's own name
    return post(
        id,
        kind="complaint_opened",
        days_ago=days_ago,
        properties={"complaint_id": complaint, "severity": severity},
    )


def resolved(id: str, days_ago: float, complaint: str) -> Post:  # noqa: A002 - the wire's own name
    return post(id, kind="complaint_resolved", days_ago=days_ago, properties={"complaint_id": complaint})


def rated(id: str, kind: str, rating: int, days_ago: float, text: object = None) -> Post:  # noqa: A002 - the wire's own name
    return post(id, kind=kind, days_ago=days_ago, properties={"rating": rating, "text": text})


async def test_the_oldest_open_complaint_comes_first_and_a_resolved_one_not_at_all(desk: Desk) -> None:
    await desk.add(
        opened("a", 2, "young"),
        opened("b", 9, "old", "low"),
        opened("c", 5, "done"),
        resolved("d", 4, "done"),
    )
    context = (await desk.read()).context
    assert [(c.complaint_id, c.severity, c.id) for c in context.open_complaints] == [
        ("old", "low", "b"),
        ("young", "high", "a"),
    ]
    assert context.open_complaints[0].opened_at == NOW - timedelta(days=9)
    assert context.open_complaints[0].description == "Complaint opened, low"


async def test_a_complaint_opened_again_is_open(desk: Desk) -> None:
    await desk.add(opened("a", 9, "c1"), resolved("b", 8, "c1"), opened("c", 3, "c1"))
    assert [complaint.id for complaint in (await desk.read()).context.open_complaints] == ["c"]


async def test_the_latest_answer_of_each_kind_is_the_one_that_was_given_last(desk: Desk) -> None:
    await desk.add(
        rated("new", "nps", 9, 1, "Great"),
        rated("old", "nps", 2, 30, "Bad"),
        rated("c", "csat", 4, 2, {"not": "words"}),
    )
    answers = (await desk.read()).context.answers
    assert set(answers) == {"nps", "csat"}
    assert (answers["nps"].id, answers["nps"].properties["rating"], answers["nps"].text) == (
        "new",
        9,
        "Great",
    )
    assert answers["csat"].text is None


async def test_recent_touchpoints_say_what_they_are_what_they_did_and_whether_they_wait(desk: Desk) -> None:
    await desk.add(
        post("p", days_ago=3, order_id="A-1", channel="web", description="Two shoes"),
        post("r", kind="refund", days_ago=2, order_id="A-2"),
        post("v", kind="visit", days_ago=1),
    )
    recent = (await desk.read(touchpoints=2)).context.recent
    assert [(row.id, row.description, row.pending_match) for row in recent] == [
        ("v", "Visit", False),
        ("r", "Refund of 10.00 EUR", True),
    ]
    (purchase,) = (await desk.read(touchpoints=3)).context.recent[2:]
    assert (purchase.order_id, purchase.channel, purchase.description) == ("A-1", "web", "Two shoes")
    assert purchase.health_delta is not None
    assert (await desk.read(touchpoints=0)).context.recent == []


async def test_the_five_newest_notes_are_shown(desk: Desk) -> None:
    await desk.add(post("p"))
    for number in range(7):
        await desk.note(f"note {number}")
    shown = (await desk.read()).context.notes
    assert len(shown) == 5
    async with desk.store.hot_reading() as connection:
        kept = await notes.newest(connection, (await desk.read()).context.customer.id, 5)
    assert [note.text for note in shown] == [note.text for note in kept]
    assert isinstance(kept[0], Note)


async def test_the_seal_holds_while_only_time_passes_and_breaks_with_every_change(desk: Desk) -> None:
    await desk.add(post("p", days_ago=10))
    seals = [(await desk.read()).seal]
    assert (await desk.read(hours_later=5)).seal == seals[0]

    await desk.note("Prefers calls")
    seals.append((await desk.read()).seal)
    await desk.add(post("v", kind="visit"))
    seals.append((await desk.read()).seal)
    async with desk.store.hot_transaction() as connection:
        await connection.execute("UPDATE customers SET name = 'Ada', revision = revision + 1")
    seals.append((await desk.read()).seal)
    assert len(set(seals)) == len(seals)


async def test_everything_is_as_of_now(desk: Desk) -> None:
    await desk.add(post("p", days_ago=20), post("q", days_ago=10))
    now, later = (await desk.read()).context, (await desk.read(hours_later=24 * 2000)).context
    assert (now.customer.stage, later.customer.stage) == ("repeat", "lapsed")
    assert later.customer.band == later.health.band == "lost"
    assert now.first_purchase_at == NOW - timedelta(days=20)


async def test_reading_is_two_statements(desk: Desk) -> None:
    await desk.add(post("p"))
    await desk.read()
    said: list[object] = []
    async with desk.contexts._seat as connection:
        with connection.query_logger(said.append):
            desk.identities.forget(ADA)
            await desk.read()
            await asyncio.sleep(0)  # the driver tells in the loop's next round
            assert len(said) == 2
            await asyncio.gather(*(desk.read() for _ in range(20)))
            await asyncio.sleep(0)
    assert len(said) == 3


async def test_nobody_has_no_context(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.read()


async def test_who_asks_together_gets_what_becomes_of_their_own_question(desk: Desk) -> None:
    await desk.add(post("p"))
    await desk.read()
    worked_out: list[int] = []

    def ask(number: int) -> Awaitable[int]:
        def answer(sealed: SealedContext) -> int:
            worked_out.append(number)
            if number == 3:
                raise RuntimeError("this one cannot be told")
            return number + len(sealed.context.recent)

        return desk.contexts.read(ADA, shipped(), NOW, answer, touchpoints=number % 2, currency="EUR")

    told = await asyncio.gather(*(ask(number) for number in range(9)), return_exceptions=True)
    assert isinstance(told.pop(3), RuntimeError)
    assert told == [number + number % 2 for number in range(9) if number != 3]
    assert sorted(worked_out) == list(range(9))
