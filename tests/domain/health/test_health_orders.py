"""What learning reads of a customer is what the state counts."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.health.facts import Fact, fact_of
from app.domain.health.history import fold
from app.domain.health.orders import OrderRow, order_rows
from app.domain.health.weights import weight
from tests.domain.health.strategies import START, histories


@given(histories(), st.randoms(use_true_random=False))
def test_the_rows_add_up_to_the_purchase_part_of_the_state_in_any_order(
    facts: list[Fact], random: object
) -> None:
    random.shuffle(facts)  # type: ignore[attr-defined]  # hypothesis' own Random
    rows, state = order_rows(facts), fold(facts)
    bought = [row for row in rows if not row.is_refund]
    sent_back = [row for row in rows if row.is_refund]
    assert (len(bought), min((row.at for row in bought), default=None)) == (state.n, state.t_first)
    assert sum(row.amount for row in bought) - sum(row.amount for row in sent_back) == state.spend
    money = sum((-row.amount if row.is_refund else row.amount) * weight(row.ordered_at, 120) for row in rows)
    assert money == state.m120
    assert sum(row.share * weight(row.at, 240) for row in sent_back) == state.r240


def test_a_refund_knows_its_order_and_a_waiting_one_is_left_out() -> None:
    bought = fact_of("purchase", START, "a", amount=1000, order_id="A")
    back = fact_of("refund", START + 60, "b", amount=250, order_id="A")
    assert order_rows([back]) == []
    assert order_rows([back, bought]) == [
        OrderRow(START, 1000, is_refund=False, ordered_at=START, share=1000),
        OrderRow(START + 60, 250, is_refund=True, ordered_at=START, share=250),
    ]
    alone = fact_of("refund", START + 60, "c", amount=250)
    assert order_rows([alone]) == [
        OrderRow(START + 60, 250, is_refund=True, ordered_at=START + 60, share=1000)
    ]
