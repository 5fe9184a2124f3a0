"""Rows to touchpoints: exact money, exact times, and ids that nothing but a row's content decides."""

import csv
import gzip
import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli import purchases
from app.cli.csv_file import Unusable
from app.cli.failure import Failure
from app.cli.purchases import Columns, Fact, PurchaseFile, Repeats, Survey
from app.domain import money

COLUMNS = Columns("who", "when", "paid", refund="back")
HEADER = "who,when,paid,back\n"
DATA = Path(__file__).parents[3] / "shared" / "data"
shipped_data = pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not beside this checkout")


def read(path: Path, columns: Columns = COLUMNS, currency: str = "EUR", zone: str = "UTC") -> PurchaseFile:
    return PurchaseFile(path, columns, currency, ZoneInfo(zone))


def written(folder: Path, text: str) -> Path:
    path = folder / "purchases.csv"
    path.write_text(text)
    return path


def bodies(file: PurchaseFile, order: int | None = None) -> list[dict[str, Any]]:
    survey = purchases.survey(file)
    facts = [row for row in file.rows() if isinstance(row, Fact)]
    if order is not None:
        random.Random(order).shuffle(facts)
    return list(purchases.touchpoints(facts, survey.repeats, "external_id"))


# --- money ------------------------------------------------------------------------------------------------------------


@given(st.integers(-(10**15), 10**15), st.sampled_from(sorted(money.EXPONENTS)))
def test_an_amount_written_in_full_comes_back_to_the_minor_unit(minor: int, currency: str) -> None:
    text = str(Decimal(minor).scaleb(-money.EXPONENTS[currency]))
    assert purchases.minor_units(text, currency) == (minor, False)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6))
def test_digits_beyond_the_minor_unit_round_half_even_once_and_are_reported(amount: Decimal) -> None:
    minor, rounded = purchases.minor_units(str(amount), "EUR")
    assert minor == int((amount * 100).to_integral_value(ROUND_HALF_EVEN))
    assert rounded == (Decimal(minor) != amount * 100)


@pytest.mark.parametrize(
    "text, currency, expected",
    [
        ("11.77", "USD", (1177, False)),
        ("12.0", "USD", (1200, False)),
        ("-27.5", "GBP", (-2750, False)),
        ("0", "USD", (0, False)),
        ("-0.00", "USD", (0, False)),
        (" 5 ", "EUR", (500, False)),
        ("1e3", "EUR", (100_000, False)),
        ("0.125", "EUR", (12, True)),
        ("0.135", "EUR", (14, True)),
        ("1200", "JPY", (1200, False)),
        ("1.2345", "KWD", (1234, True)),
    ],
)
def test_amounts_of_real_files(text: str, currency: str, expected: tuple[int, bool]) -> None:
    assert purchases.minor_units(text, currency) == expected


@pytest.mark.parametrize(
    "text", ["", "1,234.50", "NaN", "sNaN", "Infinity", "-Infinity", "12 EUR", "1e999999999"]
)
def test_what_is_no_decimal_number_is_unusable(text: str) -> None:
    with pytest.raises(Unusable) as caught:
        purchases.minor_units(text, "EUR")
    assert caught.value.code == "bad_amount"


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, zone, expected",
    [
        ("1997-01-01", "UTC", datetime(1997, 1, 1, tzinfo=UTC)),
        ("1997-01-01", "Europe/Berlin", datetime(1996, 12, 31, 23, tzinfo=UTC)),
        ("2010-12-01 08:26:00", "UTC", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("2010-12-01T08:26:00+02:00", "America/New_York", datetime(2010, 12, 1, 6, 26, tzinfo=UTC)),
        ("20101201T082600Z", "Asia/Tokyo", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_local_and_a_date_is_midnight(
    text: str, zone: str, expected: datetime
) -> None:
    assert purchases.moment(text, ZoneInfo(zone)) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "01/12/2010 08:26", "2010-13-01", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_time_is_unusable(text: str) -> None:
    with pytest.raises(Unusable) as caught:
        purchases.moment(text, ZoneInfo("UTC"))
    assert caught.value.code == "bad_time"


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - made aware below
def test_the_same_instant_gives_the_same_id_however_its_offset_is_written(
    naive: datetime, minutes: int
) -> None:
    there = timezone(timedelta(minutes=minutes))
    one = naive.replace(tzinfo=UTC)
    facts = [
        Fact("42", "purchase", purchases.moment(at.isoformat(), UTC), 100, "EUR", None)
        for at in (one, one.astimezone(there))
    ]
    assert purchases.likeness(facts[0]) == purchases.likeness(facts[1])


# --- refunds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount, flag, kind",
    [
        ("10", "0", "purchase"),
        ("10", "", "purchase"),
        ("0", "no", "purchase"),
        ("10", "1", "refund"),
        ("10", "TRUE", "refund"),
        ("-10", "yes", "refund"),
        ("-10", "0", "refund"),
    ],
)
def test_a_flag_or_a_negative_amount_makes_a_refund_of_the_absolute_amount(
    tmp_path: Path, amount: str, flag: str, kind: str
) -> None:
    (body,) = bodies(read(written(tmp_path, f"{HEADER}a,2020-01-01,{amount},{flag}\n")))
    assert (body["kind"], body["amount_minor"]) == (kind, abs(int(amount)) * 100)


def test_a_flag_that_could_mean_either_is_not_guessed(tmp_path: Path) -> None:
    survey = purchases.survey(read(written(tmp_path, f"{HEADER}a,2020-01-01,1,perhaps\n")))
    assert survey.unusable == {"bad_refund_flag": 1}


def test_only_purchases_carry_the_order_column_and_only_refunds_the_refund_order_column(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "who,when,paid,invoice,original\na,2020-01-01,9,I1,\na,2020-01-02,-9,C2,I1\n")
    plain = bodies(read(path, Columns("who", "when", "paid", order="invoice")))
    tied = bodies(read(path, Columns("who", "when", "paid", order="invoice", refund_order="original")))
    assert [body.get("order_id") for body in plain] == ["I1", None]
    assert [body.get("order_id") for body in tied] == ["I1", "I1"]


# --- ids --------------------------------------------------------------------------------------------------------------

facts = st.builds(
    Fact,
    customer=st.sampled_from(["1", "2", "12", "ä,\x1f"]),
    kind=st.sampled_from(["purchase", "refund"]),
    occurred_at=st.sampled_from([datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2)]),
    amount_minor=st.sampled_from([0, 1, 12]),
    currency=st.just("EUR"),
    order_id=st.sampled_from([None, "1", "2"]),
)


def sent(rows: list[Fact]) -> list[dict[str, Any]]:
    survey = Survey(repeats=Repeats(bits=4))
    for row in rows:
        survey.add(row)
    return list(purchases.touchpoints(rows, survey.repeats, "external_id"))


@given(st.lists(facts, max_size=30), st.randoms())
def test_any_order_of_the_rows_sends_the_same_bodies(rows: list[Fact], chance: random.Random) -> None:
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    by_id = lambda body: body["id"]  # noqa: E731 - a sort key
    assert sorted(sent(rows), key=by_id) == sorted(sent(shuffled), key=by_id)


@given(st.lists(facts, max_size=30))
def test_every_row_has_an_id_of_its_own_and_alike_rows_differ_in_nothing_else(rows: list[Fact]) -> None:
    found = sent(rows)
    assert len({body["id"] for body in found}) == len(rows)
    without_id = [{**body, "id": ""} for body in found]
    alike = Counter(purchases.likeness(row) for row in rows)
    assert len({str(sorted(body.items(), key=str)) for body in without_id}) == len(alike)


@given(st.lists(facts, max_size=20), st.lists(facts, max_size=20))
def test_a_file_that_has_grown_gives_the_old_rows_their_old_ids(rows: list[Fact], more: list[Fact]) -> None:
    assert {body["id"] for body in sent(rows)} <= {body["id"] for body in sent(rows + more)}


def test_the_identifier_type_is_no_part_of_the_id() -> None:
    fact = Fact("42", "purchase", datetime(2020, 1, 1, tzinfo=UTC), 100, "EUR", None)
    assert (
        purchases.touchpoint(fact, 1, "external_id")["id"]
        == purchases.touchpoint(fact, 1, "card_number")["id"]
    )


def test_an_id_never_changes_between_releases() -> None:
    fact = Fact("42", "purchase", datetime(1997, 1, 1, tzinfo=UTC), 1177, "USD", None)
    assert purchases.touchpoint(fact, 1, "external_id") == {
        "id": "replay-2c83db729b6e53066c5b8622bb97d3ac",
        "customer": {"external_id": "42"},
        "kind": "purchase",
        "occurred_at": "1997-01-01T00:00:00Z",
        "amount_minor": 1177,
        "currency": "USD",
    }


@given(st.lists(st.integers(0, 40).map(lambda number: hashlib.sha256(bytes([number])).digest()[:16])))
def test_counting_repeats_is_exact_also_where_unlike_rows_share_a_bit(likenesses: list[bytes]) -> None:
    repeats, counted = Repeats(bits=4), Counter[bytes]()
    for one in likenesses:
        repeats.note(one)
    for one in likenesses:
        counted[one] += 1
        assert repeats.nth(one) == counted[one]


# --- files ------------------------------------------------------------------------------------------------------------


def test_plain_and_gzipped_files_read_alike_whatever_their_name(tmp_path: Path) -> None:
    text = f"{HEADER}a,2020-01-01,1,\n"
    zipped = tmp_path / "no-suffix"
    zipped.write_bytes(gzip.compress(text.encode()))
    assert bodies(read(zipped)) == bodies(read(written(tmp_path, text)))


def test_quotes_byte_order_marks_and_blank_lines_are_understood(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeffwho,"when",paid,back\n"a, b",2020-01-01,"1.50",\n\n')
    (body,) = bodies(read(path))
    assert (body["customer"], body["amount_minor"]) == ({"external_id": "a, b"}, 150)


def test_rows_without_a_customer_are_counted_apart_from_unusable_ones(tmp_path: Path) -> None:
    text = f"{HEADER},2020-01-01,1,\na,never,1,\na,2020-01-01,x,\na,2020-01-01\na,2020-01-01,1,\n"
    survey = purchases.survey(read(written(tmp_path, text)))
    assert (survey.rows, survey.usable, survey.without_customer) == (5, 1, 1)
    assert survey.unusable == {"bad_time": 1, "bad_amount": 1, "bad_row": 1}
    assert [(row, code) for row, code, _ in survey.samples] == [
        (3, "bad_time"),
        (4, "bad_amount"),
        (5, "bad_row"),
    ]


def test_an_unknown_column_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no column 'cust'; there are: who, when, paid, back"):
        read(written(tmp_path, HEADER), Columns("cust", "when", "paid"))


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "is empty"),
        (HEADER.encode() + b"\xe9,2020-01-01,1,\n", "not UTF-8"),
        (gzip.compress(HEADER.encode() * 100, mtime=0)[:-12], "cannot be read"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (HEADER.encode() + b'"' + b"x" * 200_000, "not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(Failure, match=says):
        purchases.survey(read(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"nowhere\.csv: No such file"):
        read(tmp_path / "nowhere.csv")


# --- the shipped files, counted without any of this code ----------------------------------------------------------


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt") as text:
        return list(csv.DictReader(text))


def pence(amounts: Iterable[str]) -> int:
    return round(sum(float(amount) * 100 for amount in amounts))


@shipped_data
def test_figures_of_cdnow_equal_an_independent_count() -> None:
    expected = rows_of("cdnow_master.csv.gz")
    file = read(DATA / "cdnow_master.csv.gz", Columns("cust", "date", "value"), "USD")
    found = purchases.survey(file)
    assert (found.rows, found.purchases, found.refunds) == (69_659, len(expected), 0)
    assert len(found.customers) == 23_570
    assert found.purchases_minor == pence(row["value"] for row in expected)
    assert (found.rounded, found.without_customer, found.unusable.total()) == (0, 0, 0)
    assert len({body["id"] for body in bodies(file)}) == 69_659


@shipped_data
def test_figures_of_online_retail_equal_an_independent_count() -> None:
    expected = rows_of("online_retail_invoices.csv.gz")
    columns = Columns("cust", "ts", "amount", refund="cancel")
    found = purchases.survey(read(DATA / "online_retail_invoices.csv.gz", columns, "GBP"))
    cancelled = [row["amount"] for row in expected if row["InvoiceNo"].startswith("C")]
    assert (found.rows, found.refunds, len(found.customers)) == (22_190, len(cancelled), 4_372)
    assert found.refunds_minor == -pence(cancelled)
    assert found.purchases_minor - found.refunds_minor == pence(row["amount"] for row in expected)
