"""Money: whole minor units and an ISO 4217 code, never floats."""

from decimal import ROUND_HALF_EVEN, Decimal

_NO_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DIGITS = "CLF UYW"
_TWO_DIGITS = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
    "CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
    "MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS "
    "SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)

EXPONENTS: dict[str, int] = {
    code: exponent
    for codes, exponent in ((_NO_MINOR_UNIT, 0), (_TWO_DIGITS, 2), (_THREE_DIGITS, 3), (_FOUR_DIGITS, 4))
    for code in codes.split()
}
"""Digits after the point of each circulating ISO 4217 currency; those for tests and metals are not in."""

LARGEST_MINOR = 2**53 - 1
"""The largest amount in minor units: the last whole number that every JSON reader holds exactly."""


def minor_per_major(currency: str) -> int:
    """Minor units in a major one: 100 for EUR, 1 for JPY."""
    return int(10 ** EXPONENTS[currency])


def decimal_string(amount_minor: int, currency: str) -> str:
    """4999 EUR -> "49.99", 4999 JPY -> "4999"."""
    digits = EXPONENTS[currency]
    if not digits:
        return str(amount_minor)
    # Ten times faster than Decimal, and every line of a context shows an amount.
    told = str(abs(amount_minor)).zfill(digits + 1)
    return f"{'-' if amount_minor < 0 else ''}{told[:-digits]}.{told[-digits:]}"


def in_shop_currency(
    amount_minor: int, currency: str, exchange_rate: Decimal | None, shop_currency: str
) -> int | None:
    """`amount_minor` in minor units of the shop's currency, rounded half even, or None when there is no rate to it.

    `exchange_rate` is the price of one major unit of `currency` in major units of the shop's currency.
    """
    if currency == shop_currency:
        return amount_minor
    if exchange_rate is None:
        return None
    shift = EXPONENTS[shop_currency] - EXPONENTS[currency]
    return int((Decimal(amount_minor) * exchange_rate).scaleb(shift).to_integral_value(ROUND_HALF_EVEN))
