"""What is celebrated, when, and for what it earns once."""

import pytest

from app.domain.loyalty.occasions import Occasion, occasion_of
from tests.domain.loyalty.ledgers import START
from tests.domain.loyalty.test_clock import touchpoint


def test_an_occasion_has_its_event_and_its_time() -> None:
    assert occasion_of(touchpoint("review", properties={"sku": "X"})) == Occasion("review", START, "sku/X")
    assert occasion_of(touchpoint("loyalty_joined")) == Occasion("signup", START)


@pytest.mark.parametrize(
    "id_, source, about",
    [
        ("feedback:fb_1", "rapport", "answer/fb_1"),
        ("feedback:fb_1", "shop", "shop/feedback:fb_1"),
        ("t1", "rapport", "rapport/t1"),
    ],
)
def test_only_an_answer_that_the_service_wrote_is_known_as_one(id_: str, source: str, about: str) -> None:
    assert occasion_of(touchpoint("review", id_, source)) == Occasion("review", START, about)
