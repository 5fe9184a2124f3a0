"""`rapport demo` against a real service."""

import re
from typing import Any

import httpx

SMALL = ("--customers", "20")


def context(url: str, key: str, number: int) -> Any:
    answer = httpx.get(
        f"{url}/v1/customers/external_id:demo-7-{number:04}/context", headers={"X-API-Key": key}
    )
    return answer.raise_for_status().json()


def counts(printed: str) -> tuple[int, int, int]:
    found = re.search(r"([\d,]+) stored, ([\d,]+) known already, ([\d,]+) rejected", printed)
    assert found, printed
    stored, known, rejected = (int(number.replace(",", "")) for number in found.groups())
    return stored, known, rejected


def test_the_shop_is_filled_once_however_often_and_whenever_the_command_runs(
    rapport: Any, serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database)
    to = ("--url", serving.url, "--key", serving.key)
    # As if it had run three weeks ago.
    first = rapport("demo", *SMALL, *to, "--until", "2026-11-01")
    assert first.returncode == 0, first.stderr
    stored, known, rejected = counts(first.stdout)
    assert stored > 500
    assert (known, rejected) == (0, 0)
    assert f"{serving.url}/docs" in first.stdout
    assert serving.key not in first.stdout

    again = rapport("demo", *SMALL, *to)
    assert (again.returncode, counts(again.stdout)) == (0, (0, stored, 0))

    more = rapport("demo", "--customers", "25", *to)
    assert counts(more.stdout)[1] == stored
    assert counts(more.stdout)[0] > 0

    champion, upset, lapsed = (context(serving.url, serving.key, number) for number in (1, 2, 3))
    assert champion["health"]["score"] > upset["health"]["score"]
    assert champion["health"]["score"] > lapsed["health"]["score"]
    assert len(upset["open_complaints"]) == 1

    other = rapport("demo", *SMALL, *to, "--until", "2026-10-01")
    assert other.returncode == 2
    assert "another --seed makes another shop" in other.stderr


def test_a_day_that_has_not_come_is_refused(rapport: Any) -> None:
    key = rapport("keys", "new").stdout.strip()
    done = rapport("demo", "--key", key, "--until", "2999-01-01")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "lies in the future" in done.stderr


def test_a_customer_that_is_not_of_a_demo_is_left_alone(
    rapport: Any, serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database)
    headers = {"X-API-Key": serving.key}
    body = {"identifiers": {"external_id": "demo-7-0001"}, "name": "Somebody Real"}
    assert (
        httpx.post(f"{serving.url}/v1/customers", json=body, headers=headers, timeout=30).status_code == 201
    )
    done = rapport("demo", *SMALL, "--url", serving.url, "--key", serving.key)
    assert done.returncode == 2
    assert "is not of a demo" in done.stderr
    assert context(serving.url, serving.key, 1)["customer"]["name"] == "Somebody Real"


def test_where_the_service_answers_may_come_from_the_environment(
    rapport: Any, serve: Any, on_database: dict[str, str]
) -> None:
    serving = serve("--port", "0", env=on_database)
    done = rapport("demo", *SMALL, env={"RAPPORT_URL": serving.url, "RAPPORT_KEY": serving.key})
    assert done.returncode == 0, done.stderr
    assert f"{serving.url}/docs" in done.stdout
