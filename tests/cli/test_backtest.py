"""`rapport backtest` as its user has it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SAMPLE = Path(__file__).parents[1] / "fitting" / "data" / "cdnow_sample.csv.gz"


def test_a_file_is_compared_and_written_in_three_forms(rapport: Run, tmp_path: Path) -> None:
    as_json, as_html = tmp_path / "out.json", tmp_path / "out.html"
    done = rapport(
        "backtest", str(SAMPLE), "--currency", "USD", "--json", str(as_json), "--html", str(as_html)
    )
    assert done.returncode == 0, done.stderr
    assert "Rapport" in done.stdout
    assert "BG/NBD" in done.stdout
    result = json.loads(as_json.read_text())
    assert result["source"]["columns"] == {
        "customer": "cust",
        "time": "date",
        "amount": "value",
        "refund": None,
    }
    assert result["data"]["rows"] == 6919
    assert {"auc", "log_loss", "brier", "ece", "spearman", "total_ratio"} <= set(result["models"]["rapport"])
    assert as_html.read_text().startswith("<!doctype html>")


def test_columns_can_be_named_and_unusable_rows_are_told(rapport: Run, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    lines = [
        f"c{number % 40},2024-{1 + number % 12:02d}-05T10:00:00Z,{number}.50,no" for number in range(480)
    ]
    file.write_text("\n".join(["buyer,paid_at,eur,back", *lines, "c1,soon,1.00,no", "c1,1969-01-01,1.00,no"]))
    named = ("--customer-column", "buyer", "--time-column", "paid_at", "--amount-column", "eur")
    done = rapport("backtest", str(file), *named, "--refund-column", "back", "--horizon", "30")
    assert done.returncode == 1
    assert "1 rows cannot be used" in done.stderr
    assert "1 rows lie before 1970" in done.stderr


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("--horizon", "0"), "--horizon"),
        (("--horizon", "10000"), "--horizon"),
        (("--customer-column", "nobody"), "no column 'nobody'"),
        (("--currency", "XTS"), "not an ISO 4217 code"),
    ],
)
def test_wrong_use_is_told_in_a_line(rapport: Run, arguments: tuple[str, ...], told: str) -> None:
    done = rapport("backtest", str(SAMPLE), *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_file_without_usual_names_asks_for_them(rapport: Run, tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text("a,b,c\n1,2024-01-01,5\n")
    done = rapport("backtest", str(file))
    assert done.returncode == 2
    assert "--customer-column" in done.stderr
    missing = rapport("backtest", str(tmp_path / "none.csv"))
    assert missing.returncode == 2
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "is empty" in rapport("backtest", str(empty)).stderr
