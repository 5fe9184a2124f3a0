"""The shop's log as numbers."""

from datetime import timedelta

from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.models.read_shop_log import ShopLog, read_shop_log
from app.usecases.post_touchpoints import Post, post_touchpoints
from tests.usecases.posts import NOW, post


def rows(log: ShopLog) -> list[tuple[int, ...]]:
    return sorted(zip(*log.columns, strict=True))


def day(days_ago: float) -> int:
    return int((NOW - timedelta(days=days_ago)).timestamp())


async def send(identities: Identities, lanes: Lanes, *posts: Post) -> None:
    await post_touchpoints(identities, lanes, posts, NOW, may_add_identifiers=True)


async def test_a_refund_comes_with_its_order_and_what_waits_or_lies_ahead_is_left_out(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    await send(
        identities,
        lanes,
        post("a", days_ago=30, order_id="A"),
        post("visit", kind="visit", days_ago=25),
        post("b", kind="refund", days_ago=20, order_id="A", amount_minor=400),
        post("c", kind="refund", days_ago=10, order_id="unknown"),
        post("d", kind="refund", days_ago=5),
        post("e", days_ago=1),
    )
    log = await read_shop_log(store, NOW - timedelta(days=2))
    assert (log.customers, len(log), log.every, log.notes) == (1, 3, 1, [])
    assert rows(log) == [
        (0, day(30), 1000, 0, day(30), 1000),
        (0, day(20), 400, 1, day(30), 400),
        (0, day(5), 1000, 1, day(5), 1000),
    ]


async def test_of_many_customers_an_even_sample_is_read_and_it_says_so(
    store: Database, identities: Identities, lanes: Lanes
) -> None:
    await send(
        identities, lanes, *(post("a", f"external_id:{number}", days_ago=number) for number in range(60))
    )
    whole = await read_shop_log(store, NOW)
    assert whole.customers == 60
    some = await read_shop_log(store, NOW, most_customers=30)
    assert 10 < some.customers < 50
    assert some.notes == ["One customer in 2 was looked at: the shop is that large."]
    assert set(some.at) < set(whole.at)
    assert some.at == (await read_shop_log(store, NOW, most_customers=30)).at


async def test_the_log_of_a_shop_that_never_sold_anything_is_empty(store: Database) -> None:
    log = await read_shop_log(store, NOW)
    assert (log.customers, len(log), log.every) == (0, 0, 1)
