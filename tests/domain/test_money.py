from decimal import Decimal

import pytest

from app.domain.money import EXPONENTS, decimal_string, in_shop_currency


@pytest.mark.parametrize(
    "amount, currency, text",
    [
        (4999, "EUR", "49.99"),
        (5, "EUR", "0.05"),
        (0, "EUR", "0.00"),
        (4999, "JPY", "4999"),
        (1234, "KWD", "1.234"),
    ],
)
def test_an_amount_is_shown_with_the_digits_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert decimal_string(amount, currency) == text


@pytest.mark.parametrize(
    "amount, currency, rate, value",
    [
        (4999, "EUR", None, 4999),
        (4999, "USD", None, None),
        (1000, "USD", "0.9", 900),
        (500, "JPY", "0.0061", 305),
        (1500, "KWD", "3", 450),
        (5, "USD", "0.5", 2),
        (15, "USD", "0.5", 8),
    ],
)
def test_value_is_the_amount_in_the_shops_currency_rounded_half_even(
    amount: int, currency: str, rate: str | None, value: int | None
) -> None:
    assert in_shop_currency(amount, currency, None if rate is None else Decimal(rate), "EUR") == value


def test_codes_without_money_are_no_currencies() -> None:
    assert not {"X" * 3, "XTS", "XAU", "eur", ""} & EXPONENTS.keys()
    assert len(EXPONENTS) > 150
