"""A model with other half-lives is published under a shop that goes on: nobody is lost, and no state is ever mixed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.health.form import SHIPPED
from app.domain.identifiers import parse_reference
from app.domain.problems import Conflict, Problem
from app.storage.database import Database
from app.usecases.identities import Identities
from app.usecases.lanes import Lanes
from app.usecases.merges.undo_merge import undo_merge
from app.usecases.models.active_model import ActiveModel
from app.usecases.post_touchpoints import post_touchpoints
from app.usecases.read_health import read_health
from app.usecases.replay_states import Replay
from app.usecases.sweep_bands import sweep_bands
from tests.usecases.half_lives import MODEL, Killed, Shop
from tests.usecases.posts import NOW, post

SHORT: Final = {"half_lives": {"purchases_short": 20, "contacts": 60}, "resolution": {"slow": 0.3}}


@pytest.fixture
async def shop(store: Database, identities: Identities) -> AsyncIterator[Shop]:
    model = ActiveModel(store)
    lanes = Lanes(store, model, lanes=2, queue_limit=4096, group_limit=500)
    lanes.start()
    yield Shop(store, identities, lanes, model)
    await lanes.drain()


async def test_who_was_there_is_scored_as_before_until_the_replay_is_through(shop: Shop) -> None:
    for customer in "abc":
        await shop.post(customer, days_ago=40)
        await shop.post(customer, "support_contact", days_ago=20)
    before = await read_health(shop.store, parse_reference("external_id:a"), MODEL, NOW, currency="EUR")
    active = await shop.publish("2", **SHORT)
    assert await shop.statuses() == {"2026.1": ("active", True), "2": ("active", False)}
    assert active.versions == ["2", "2026.1"]
    reference = parse_reference("external_id:a")
    between = await read_health(shop.store, reference, active, NOW, currency="EUR")
    assert between.health == before.health
    assert between.health.model == "2026.1"
    as_of = await read_health(shop.store, reference, active, NOW, currency="EUR", as_of=NOW)
    assert as_of.health == before.health
    await shop.post("new", days_ago=40)
    assert [state.form == active.form for state in (await shop.states()).values()].count(True) == 1
    await shop.holds()
    done = await shop.replay()
    assert (done.moved, done.kept, done.failed, done.retired) == (3, 0, 0, ["2026.1"])
    assert await shop.statuses() == {"2026.1": ("retired", False), "2": ("active", False)}
    await shop.all_are_fresh_folds_by(active.form)
    await shop.holds()
    after = await read_health(shop.store, reference, shop.model.current, NOW, currency="EUR")
    assert after.health.model == "2"
    assert shop.model.current.earlier == ()


async def test_a_killed_replay_goes_on_and_posts_meanwhile_lose_nothing(shop: Shop) -> None:
    for number in range(9):
        await shop.post(str(number), days_ago=number)
    active = await shop.publish("2", **SHORT)

    def kill(replay: Replay, _customers: int) -> None:
        if replay.moved >= 4:
            raise Killed

    with pytest.raises(Killed):
        await shop.replay(page=2, watch=kill)
    assert sum(state.form == active.form for state in (await shop.states()).values()) == 4
    await shop.holds()

    async def keep_posting() -> None:
        for number in range(40):
            await shop.post(
                str(number % 12), ("purchase", "support_contact")[number % 2], days_ago=number % 5
            )

    await asyncio.gather(keep_posting(), shop.replay(page=1))
    await shop.replay()
    await shop.all_are_fresh_folds_by(active.form)
    await shop.holds()
    assert shop.model.current.versions == ["2"]


async def test_a_replay_that_had_begun_before_the_publication_leaves_nobody_behind(shop: Shop) -> None:
    for number in range(6):
        await shop.post(str(number))

    def kill(replay: Replay, _customers: int) -> None:
        if replay.replayed >= 4:
            raise Killed

    with pytest.raises(Killed):
        await shop.replay(page=2, watch=kill)
    active = await shop.publish("2", **SHORT)
    done = await shop.replay(page=2)
    assert (done.resumed, done.moved) == (4, 6)
    await shop.all_are_fresh_folds_by(active.form)
    await shop.holds()


async def test_merges_of_two_kinds_of_half_lives_fold_one_of_them_anew(shop: Shop) -> None:
    await shop.post("old", order_id="A-1", days_ago=9)
    await shop.post("old", "visit")
    active = await shop.publish("2", **SHORT)
    await shop.post("new", "refund", order_id="A-1", days_ago=3)
    await shop.post("new", "support_contact")
    merge = await shop.merge("old", "new")
    await shop.holds()
    survivor = max((await shop.states()).values(), key=lambda state: state.n)
    assert survivor.form == active.form
    async with shop.store.hot_transaction() as connection:
        await undo_merge(connection, merge, by="helpdesk", model=active, now=shop.now)
    await shop.holds()
    await shop.replay()
    await shop.holds()
    await shop.all_are_fresh_folds_by(active.form)


async def test_who_has_nothing_that_counts_moves_without_a_word_and_aliases_stay_unscored(shop: Shop) -> None:
    await shop.post("idle", "delivered")
    await shop.post("one")
    await shop.post("two")
    await shop.merge("one", "two")
    active = await shop.publish("2", **SHORT)
    done = await shop.replay()
    assert (done.moved, done.kept, done.retired) == (1, 0, ["2026.1"])
    async with shop.store.hot_reading() as connection:
        rows = await connection.fetch("SELECT scored_by, merged_into IS NOT NULL FROM customer_states")
    assert sorted((row[1], row[0]) for row in rows) == [(False, "2"), (False, "2"), (True, None)]
    await shop.post("idle")
    assert {state.form for state in (await shop.states()).values() if state.n} == {active.form}
    await shop.holds()


async def test_who_was_purged_keeps_their_half_lives_and_their_model(shop: Shop) -> None:
    await shop.post("kept", "support_contact", days_ago=5)
    await shop.post("purged", days_ago=500)
    await shop.post("purged", "support_contact", days_ago=5)
    await shop.purge()
    active = await shop.publish("2", **SHORT)
    done = await shop.replay()
    assert (done.moved, done.kept, done.retired) == (1, 1, [])
    assert shop.model.current.versions == ["2", "2026.1"]
    await shop.holds()
    name = await shop.post("purged", days_ago=1)
    await shop.void("purged", name)
    await shop.holds()
    reading = await read_health(
        shop.store, parse_reference("external_id:purged"), active, NOW, currency="EUR"
    )
    assert reading.health.model == "2026.1"
    # Who is merged with them takes their half-lives.
    await shop.merge("kept", "purged")
    await shop.holds()
    assert {state.form for state in (await shop.states()).values() if state.con30} == {SHIPPED}


async def test_two_who_were_purged_under_different_half_lives_cannot_be_merged(shop: Shop) -> None:
    await shop.post("one", days_ago=500)
    await shop.purge()
    active = await shop.publish("2", **SHORT)
    await shop.post("other", days_ago=500)
    await shop.purge()
    forms = {state.form for state in (await shop.states()).values()}
    assert forms == {SHIPPED, active.form}
    with pytest.raises(Conflict) as refused:
        await shop.merge("one", "other")
    assert refused.value.code == "state_forms_differ"
    await shop.holds()


async def test_sweeps_draw_each_by_their_own_model_and_let_the_earlier_one_retire(shop: Shop) -> None:
    await shop.post("a", days_ago=1)
    active = await shop.publish("2", **SHORT)
    await shop.post("b", days_ago=1)
    swept = await sweep_bands(shop.store, active, shop.now + timedelta(days=400))
    assert (swept.changed, swept.redrawn, swept.failed) == (2, 0, 0)
    async with shop.store.hot_reading() as connection:
        told = await connection.fetch("SELECT id FROM touchpoints WHERE kind = 'band_changed'")
    assert {row[0].split(":")[1] for row in told} == {"2026.1", "2"}
    await shop.holds()
    assert (await shop.replay()).moved == 1
    assert shop.model.current.versions == ["2"]
    stale = await sweep_bands(shop.store, MODEL, shop.now + timedelta(days=401))
    assert (stale.redrawn, stale.failed) == (0, 0)


async def test_coefficients_change_for_the_active_half_lives_and_the_old_ones_may_come_back(
    shop: Shop,
) -> None:
    await shop.post("a")
    await shop.publish("2", **SHORT)
    await shop.post("b")
    await shop.publish("3", **SHORT, w_contact=0.5)
    assert shop.model.current.versions == ["3", "2026.1"]
    swept = await sweep_bands(shop.store, shop.model.current, shop.now)
    assert swept.redrawn == 1
    await shop.publish("2026.1")
    assert shop.model.current.versions == ["2026.1", "3"]
    assert (await shop.replay()).moved == 1
    await shop.all_are_fresh_folds_by(SHIPPED)
    assert await shop.statuses() == {
        "2026.1": ("active", False),
        "2": ("retired", False),
        "3": ("retired", False),
    }


async def test_there_are_only_so_many_half_lives_at_a_time(shop: Shop) -> None:
    for days in (20, 21, 22):
        await shop.publish(f"c{days}", half_lives={"contacts": days})
    with pytest.raises(Conflict) as refused:
        await shop.publish("c23", half_lives={"contacts": 23})
    assert refused.value.code == "too_many_state_forms"
    await shop.replay()
    assert shop.model.current.versions == ["c22"]
    await shop.publish("c24", half_lives={"contacts": 24})


async def test_a_process_that_has_not_seen_the_publication_asks_to_try_again(shop: Shop) -> None:
    await shop.post("a")
    await shop.publish("2", **SHORT)
    await shop.replay()
    shop.model.adopt(MODEL)
    answers = await post_touchpoints(
        shop.identities, shop.lanes, [post("late", "external_id:a")], shop.now, may_add_identifiers=True
    )
    (answer,) = answers
    assert isinstance(answer, Problem)
    assert answer.code == "busy"
    await shop.model.refresh()
    await shop.post("a")
    await shop.holds()


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("post"),
            st.sampled_from("abcd"),
            st.sampled_from(
                ("purchase", "refund", "support_contact", "complaint_opened", "complaint_resolved")
            ),
            st.integers(0, 300),
        ),
        st.tuples(st.just("void"), st.sampled_from("abcd"), st.just(""), st.integers(0, 5)),
        st.tuples(st.just("publish"), st.just(""), st.just(""), st.sampled_from((15, 20, 25))),
        st.tuples(st.just("replay"), st.just(""), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("sweep"), st.just(""), st.just(""), st.integers(0, 200)),
    ),
    min_size=4,
    max_size=20,
)
Step = tuple[str, str, str, int]


async def test_any_stream_of_posts_publications_and_replays_ends_in_fresh_folds(shop: Shop) -> None:
    loop = asyncio.get_running_loop()

    async def play(steps: list[Step]) -> None:
        written: dict[str, list[str]] = {}
        for what, customer, kind, number in steps:
            await _step(shop, written, what, customer, kind, number)
            await shop.holds()
        await shop.replay()
        await shop.all_are_fresh_folds_by(shop.model.current.form)
        assert shop.model.current.earlier == ()
        await shop.holds()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def streams(steps: list[Step]) -> None:
        asyncio.run_coroutine_threadsafe(play(steps), loop).result()

    await asyncio.to_thread(streams)


async def _step(
    shop: Shop, written: dict[str, list[str]], what: str, customer: str, kind: str, number: int
) -> None:
    if what == "post":
        members: dict[str, Any] = {"order_id": "A-1"} if kind in ("purchase", "refund") else {}
        if kind.startswith("complaint"):
            members = {"properties": {"complaint_id": "c", "severity": "high"}}
        name = await shop.post(customer, kind, days_ago=number, **members)
        written.setdefault(customer, []).append(name)
    elif what == "void" and written.get(customer):
        await shop.void(customer, written[customer].pop(number % len(written[customer])))
    elif what == "publish":
        await _publish_half_lives(shop, number)
    elif what == "replay":
        try:
            await shop.replay(page=1, watch=_killer(number))
        except Killed:
            await shop.model.refresh()
    elif what == "sweep":
        await sweep_bands(shop.store, shop.model.current, shop.now + timedelta(days=number))


async def _publish_half_lives(shop: Shop, days: int) -> None:
    await shop.publish(f"h{days}", half_lives={"purchases_short": days, "complaints_resolved": 3 * days})


def _killer(pages: int) -> Any:
    def watch(replay: Replay, _customers: int) -> None:
        if pages and replay.replayed >= pages:
            raise Killed

    return watch
