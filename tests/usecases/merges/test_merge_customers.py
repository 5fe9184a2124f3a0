from app.domain.identifiers import IdentifierRules, parse_reference
from app.domain.problems import Conflict
from app.domain.recording import Recorded
from app.usecases.merges.merge_customers import Wanted, merge_customers
from app.usecases.void_touchpoint import void_touchpoint
from tests.usecases.merges.shop import MODEL, Shop
from tests.usecases.posts import post


async def test_of_namesakes_each_answers_for_its_own_body(shop: Shop) -> None:
    of_a = post("x", "external_id:a", "visit")
    of_b = post("x", "external_id:b", "visit", days_ago=1)
    await shop.post(of_a, of_b)
    merge = await shop.merge("external_id:a", "external_id:b")
    for one in (of_a, of_b, post("x", "external_id:a", "visit", days_ago=1)):
        (answer,) = await shop.post(one)
        assert isinstance(answer, Recorded)
        assert answer.duplicate
        assert answer.stored.body_sha256 == one.touchpoint.body_sha256
    (refused,) = await shop.post(post("x", "external_id:b", "visit", days_ago=2))
    assert isinstance(refused, Conflict)
    assert refused.code == "id_reused"
    # Who is named decides which of them is taken back.
    async with shop.store.hot_transaction() as connection:
        voided = await void_touchpoint(
            connection,
            parse_reference("external_id:b"),
            "x",
            None,
            by="helpdesk",
            reason=None,
            model=MODEL,
            now=shop.now,
        )
    assert voided.row.occurred_at == of_b.touchpoint.occurred_at
    await shop.undo(merge)
    for who, gone in (("a", False), ("b", True)):
        log = (await shop.seen(await shop.id_of("external_id", who)))["log"]
        assert [(row[1], row[4]) for row in log] == [("x", (of_b if gone else of_a).touchpoint.body_sha256)]
    assert not await shop.differences()


async def test_the_role_that_may_delete_is_given_back_in_the_transaction(shop: Shop) -> None:
    await shop.post(post("1", "external_id:a"), post("2", "external_id:b"))
    wanted = Wanted(parse_reference("external_id:a"), parse_reference("external_id:b"), "same", "helpdesk")
    async with shop.store.hot_transaction() as connection:
        await merge_customers(
            connection, wanted, rules=IdentifierRules(), model=MODEL, now=shop.now, most_touchpoints=50_000
        )
        assert await connection.fetchval("SELECT current_user = session_user")


async def test_rows_are_copied_and_none_is_left_behind(shop: Shop) -> None:
    await shop.post(*[post(str(n), f"external_id:{'ab'[n % 2]}", days_ago=n) for n in range(20)])
    merge = await shop.merge("external_id:a", "external_id:b")
    assert merge.moved == {"touchpoints": 10, "customer_identifiers": 1}
    rows = await shop.rows(
        "SELECT customer_id, origin_customer_id, count(*) FROM touchpoints WHERE kind = 'purchase' GROUP BY 1, 2"
    )
    into, source = merge.customer_id, merge.from_customer_id
    assert sorted(rows) == sorted([(into, into, 10), (into, source, 10)])
