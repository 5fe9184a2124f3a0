"""Posts that come alone: who is meant and what is known of them is read in one statement, and must be the same."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from app.domain.identifiers import Reference, parse_body_reference
from app.domain.recording import Recorded
from app.storage import loading
from app.storage.database import Database
from app.storage.identifiers import Key, holders
from app.storage.loading import MOST_NAMES, AskedByName, Loaded, load, load_named
from app.storage.touchpoints import Wanted
from app.usecases.identities import Found, Identities
from app.usecases.lanes import Lanes
from app.usecases.post_touchpoints import post_touchpoints
from tests.usecases.posts import NOW, post

ADA = {"external_id": "42", "email": "ada@example.com", "phone": "+4930123456"}


def names(customer: Any) -> list[Key]:
    return [(each.type, each.key) for each in parse_body_reference(customer).identifiers]


def asked(customer: Any, name: str, thread: str | None = None) -> AskedByName:
    return AskedByName(names(customer), "shop", name, thread, programs=True)


def comparable(loaded: Loaded) -> Loaded:
    """Without which identifiers are held: who looks up by them need not ask."""
    return loaded._replace(held=frozenset(), known=sorted(loaded.known, key=lambda row: (row.source, row.id)))


async def send(identities: Identities, lanes: Lanes, *posts: Any) -> list[Any]:
    return await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)


@pytest.fixture
async def ada(identities: Identities, lanes: Lanes) -> UUID:
    bought, given_back = (
        post("1", ADA, order_id="A-1"),
        post("2", ADA, "refund", amount_minor=300, order_id="A-1"),
    )
    first, _ = await send(identities, lanes, bought, given_back)
    assert isinstance(first, Recorded)
    return first.customer_id


@pytest.mark.parametrize("count", range(1, MOST_NAMES + 1))
@pytest.mark.parametrize("thread", [None, "order:A-1", "order:A-2"])
@pytest.mark.parametrize("name", ["1", "9"])
async def test_one_statement_tells_what_two_do(
    store: Database, ada: UUID, count: int, thread: str | None, name: str
) -> None:
    some = dict(list(ADA.items())[:count])
    async with store.hot_reading() as connection:
        found = await load_named(connection, asked(some, name, thread))
        held = await holders(connection, names(some))
        threads = [] if thread is None else [(ada, thread)]
        after = await load(connection, Wanted([(ada, "shop", name)], threads, [], programs=True))
    assert set(held.values()) == {ada}
    assert found is not None
    assert found[0] == ada
    assert comparable(found[1]) == comparable(after)
    assert bool(found[1].known) is (name == "1" or thread == "order:A-1")


@pytest.mark.usefixtures("ada")
async def test_who_is_not_one_customer_is_nobody(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    await send(identities, lanes, post("3", "external_id:43"))
    async with store.hot_reading() as connection:
        for customer in (
            "external_id:nobody",
            {"external_id": "43", "email": "ada@example.com"},
            {"external_id": "42", "email": "nobody@example.com"},
        ):
            assert await load_named(connection, asked(customer, "1")) is None
        assert await load_named(connection, asked("external_id:42", "1")) is not None


class _Slow(Identities):
    """Keeps what it found, and answers with `late` where that is set: a look-up whose answer was long on its way."""

    answers: list[Found]
    late: Found | None = None

    async def resolve(self, references: Sequence[Reference], *args: Any, **how: Any) -> Any:
        if self.late is not None:
            return [self.late]
        found = await super().resolve(references, *args, **how)
        self.answers = [one for one in found if isinstance(one, Found)]
        return found


@pytest.fixture
async def looking(store: Database) -> Any:
    identities = _Slow(store, remembered=100, queue_limit=100, group_limit=100)
    identities.start()
    yield identities
    await identities.drain()


async def test_a_lone_post_reads_with_its_look_up_and_several_do_not(
    ada: UUID, looking: _Slow, lanes: Lanes
) -> None:
    (alone,) = await send(looking, lanes, post("5", "external_id:42"))
    assert alone.customer_id == ada
    assert [one.loaded is not None for one in looking.answers] == [True]
    # Remembered since, with the revision under which that was so.
    assert looking.hinted(parse_body_reference("external_id:42")) == Found(ada, alone.identity_revision)

    await send(looking, lanes, post("6", "email:ada@example.com"), post("7", "phone:+4930123456"))
    assert [one.loaded is not None for one in looking.answers] == [False, False]


async def test_what_was_read_too_early_is_not_believed(
    store: Database, ada: UUID, looking: _Slow, lanes: Lanes
) -> None:
    """The same id, stored between the look-up and the write; then the identifier given to somebody else."""
    await send(looking, lanes, post("8", "external_id:42"))
    (early,) = looking.answers
    (first,) = await send(looking, lanes, post("9", "external_id:42"))
    looking.late = early
    looking.forget(parse_body_reference("external_id:42"))
    (again,) = await send(looking, lanes, post("9", "external_id:42"))
    assert (again.duplicate, again.stored.outcome) == (True, first.stored.outcome)

    assert early.loaded is not None
    row = early.loaded.states[ada]
    row = row._replace(identity_revision=row.identity_revision + 1)
    looking.late = Found(ada, row.identity_revision, loaded=early.loaded._replace(states={ada: row}))
    looking.forget(parse_body_reference("external_id:42"))
    (busy,) = await send(looking, lanes, post("10", "external_id:42"))
    assert busy.code == "busy"
    async with store.hot_reading() as connection:
        assert not await connection.fetch("SELECT FROM touchpoints WHERE id = '10'")


async def test_a_database_that_cannot_read_both_at_once_is_asked_twice(
    ada: UUID, looking: _Slow, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a distributed one may say; PostgreSQL says the same of locks on a union."""
    refused = "SELECT $1::text, $2::text, $3::text, $4::text UNION SELECT '', '', '', '' FOR UPDATE"
    with monkeypatch.context() as distributed:
        distributed.setattr(loading, "_loading_named", lambda *_, **__: refused)
        (alone,) = await send(looking, lanes, post("5", "external_id:42"))
    assert (alone.customer_id, alone.duplicate) == (ada, False)
    # Also the next time: nobody asks again what was refused.
    (again,) = await send(looking, lanes, post("5", "email:ada@example.com"))
    assert (again.customer_id, again.duplicate) == (ada, True)
    assert [one.loaded for one in looking.answers] == [None]
