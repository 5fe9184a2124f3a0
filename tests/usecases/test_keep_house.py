from datetime import timedelta

from app.storage import idempotency
from app.storage.database import Database
from app.storage.idempotency import KeptAnswer, Question
from app.usecases.keep_house import keep_house
from tests.usecases.posts import NOW


async def test_answers_are_kept_for_a_day_and_then_dropped(store: Database) -> None:
    async with store.hot_transaction() as connection:
        for hours in (1, 23, 25, 48):
            given = NOW - timedelta(hours=hours)
            answer = KeptAnswer(bytes(32), 201, {})
            await idempotency.keep(
                connection, Question("key", "route", str(hours)), answer, given, since=given
            )
    assert await keep_house(store, NOW) == 2
    async with store.hot_reading() as connection:
        left = await connection.fetch("SELECT key FROM idempotency_keys ORDER BY key")
    assert [row["key"] for row in left] == ["1", "23"]
