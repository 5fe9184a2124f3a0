import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from bench import bodies, driver, load, pgbench, rows
from bench.bare import ANSWER, adapter
from bench.shapes import TouchpointOut

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Figure:
    rate: float = 1.0
    p50_ms: float = 1.0


@pytest.mark.parametrize(
    "percent,expected", [(1, 1.0), (50, 5.0), (51, 6.0), (90, 9.0), (99, 10.0), (100, 10.0)]
)
def test_a_percentile_is_the_nearest_rank(percent: int, expected: float) -> None:
    assert driver.percentile([float(number) for number in range(1, 11)], percent) == expected


def test_the_percentile_of_one_number_is_that_number() -> None:
    assert driver.percentile([7.0], 50) == driver.percentile([7.0], 99) == 7.0


def test_an_answer_is_whole_when_its_declared_length_has_come() -> None:
    head = b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
    assert driver.answer_size(head[:-1]) is None
    assert driver.answer_size(head) == driver.answer_size(head + b"abc") == len(head) + 3


def test_an_answer_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        driver.answer_size(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n")


def test_a_rendered_request_says_the_length_of_its_body() -> None:
    head, _, body = next(bodies.singles(range(1, 9), "p", "seed", "KEY")).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/touchpoints HTTP/1.1\r\n")
    assert b"Authorization: Bearer KEY" in head
    assert head.endswith(b"Content-Length: %d" % len(body))


def test_a_purchase_is_valid_and_about_as_long_as_a_real_one() -> None:
    body = bodies.purchase("evt-1", 7, random.Random(1), NOW)
    touchpoint = adapter.validate_json(body)
    assert 300 < len(body) < 420
    assert touchpoint.customer.external_id == "shop-0000007"
    assert touchpoint.occurred_at < NOW


def test_ids_are_unique_within_and_across_the_items_of_batches() -> None:
    requests = bodies.batches(range(1, 9), "p", "seed", "KEY")
    both = [json.loads(next(requests).partition(b"\r\n\r\n")[2])["touchpoints"] for _ in range(2)]
    assert len({item["id"] for items in both for item in items}) == 2 * bodies.BATCH_SIZE


def test_the_answer_of_the_bare_route_has_the_shape_of_ours() -> None:
    assert TouchpointOut.model_validate_json(ANSWER).health.score == 72


def test_a_rows_value_is_the_median_of_the_ratios_within_each_round() -> None:
    rounds = [
        {"single": Figure(ours), "pgbench_16": Figure(theirs)}
        for ours, theirs in [(10, 100), (30, 100), (40, 20)]
    ]
    outcome = rows.outcome(rows.BY_NAME["single_64"], rounds)
    assert outcome.rounds == (0.1, 0.3, 2.0)
    assert outcome.value == 0.3
    assert outcome.verdict == "floor"


def test_the_worse_of_two_pairs_counts() -> None:
    figures = {name: Figure(p50_ms=1.0) for name in rows.BY_NAME["growth"].needs}
    figures["context_many"] = Figure(p50_ms=1.5)
    outcome = rows.outcome(rows.BY_NAME["growth"], [figures])
    assert (outcome.value, outcome.verdict) == (1.5, "missed")


def test_a_lone_client_is_held_against_database_and_route_together() -> None:
    figures = {"lone": Figure(p50_ms=2.4), "pgbench_1": Figure(p50_ms=1.5), "bare_1": Figure(p50_ms=0.5)}
    outcome = rows.outcome(rows.BY_NAME["lone"], [figures])
    assert outcome.value == pytest.approx(1.2)
    assert outcome.verdict == "goal"


def test_no_row_has_a_goal_below_its_floor() -> None:
    for row in rows.ROWS:
        assert rows.reaches(row.goal, row.floor, row.better), row.name


@pytest.mark.parametrize("customers", [1_000, 10_000, 100_000])
def test_the_plans_name_every_customer_once_and_store_what_they_say(customers: int) -> None:
    few, many = load.few_and_many(customers)
    assert sum(len(who) * count for who, count in few) == customers // 10
    assert sum(len(who) * count for who, count in many) == customers * 10
    assert [number for who, _ in many for number in who] == list(range(1, customers + 1))


def test_a_history_has_the_purchases_it_says() -> None:
    newest = int(NOW.timestamp())
    state = load.history_state(3, 10, newest)
    assert (state.n, state.t_last) == (10, newest - load.DAY_SECONDS)


def test_a_capture_is_made_of_the_answer_to_its_hold() -> None:
    hold = next(bodies.holds(range(1, 9), "p", "seed", "KEY"))
    assert json.loads(hold.partition(b"\r\n\r\n")[2])["points"] == bodies.HELD
    capture = bodies.capture(b'{"hold_id":"hold_0aZ","customer_id":"x"}', "KEY")
    assert capture.startswith(b"POST /v1/loyalty/holds/hold_0aZ/capture HTTP/1.1\r\n")
    assert capture.endswith(b"{}")


def test_the_yardstick_of_pairs_writes_what_a_hold_and_a_capture_write() -> None:
    said = pgbench.pair()
    for table in ("holds", "lots", "accounts", "entries", "spends"):
        assert f"loyalty_{table}" in said
    assert said.count("BEGIN;") == said.count("END;") == said.count("FOR UPDATE;") == 2
    assert "INSERT INTO touchpoints" in said
    assert "UPDATE customer_states" in said


def test_the_yardstick_of_earning_writes_what_a_purchase_of_a_member_writes() -> None:
    said, plain = pgbench.script(earns=True), pgbench.script()
    for table in ("loyalty_accounts", "loyalty_entries", "loyalty_lots", "loyalty_earns", "orders"):
        assert table in said
        assert table not in plain
    for each in (said, plain):
        assert each.count("BEGIN;") == each.count("END;") == 1
        assert "INSERT INTO touchpoints" in each
        assert "UPDATE customer_states" in each
