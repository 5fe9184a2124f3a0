"""When a shop works, and what that does to the clocks."""

from datetime import UTC, datetime, timedelta

import httpx

from tests.api.complaints.telling import problem, told


async def test_a_shop_says_when_it_works(admin: httpx.AsyncClient, agent: httpx.AsyncClient) -> None:
    assert [one["code"] for one in (await agent.get("/v1/calendars")).json()["data"]] == ["default"]
    hours = {"monday": [["09:00", "12:00"], ["13:00", "24:00"]]}
    body = {"time_zone": "Europe/Berlin", "hours": hours, "holidays": ["2026-12-25"]}
    put = await admin.put("/v1/calendars/berlin", json=body)
    assert put.status_code == 200, put.text
    got = await agent.get("/v1/calendars/berlin")
    assert got.json() == put.json()
    assert got.json() | body == got.json()
    again = await admin.put("/v1/calendars/berlin", json=body | {"holidays": []})
    assert again.headers["etag"] != got.headers["etag"]
    complaint = await told(agent, calendar="berlin")
    due = datetime.fromisoformat(complaint["clocks"][0]["due_at"])
    assert due.weekday() in (0, 1)
    first = datetime.now(UTC).date() - timedelta(days=datetime.now(UTC).weekday())
    mondays = [(first + timedelta(weeks=week)).isoformat() for week in range(520)]
    for change, code in (
        ({"time_zone": "Mars/Base"}, "unknown_timezone"),
        ({"hours": {"moonday": []}}, "unknown_day"),
        ({"hours": {"monday": [["9:00", "17:00"]]}}, "invalid_hours"),
        ({"hours": {}}, "never_open"),
        ({"holidays": ["someday"]}, "invalid_holiday"),
        ({"hours": {"monday": [["09:00", "17:00"]]}, "holidays": mondays}, "never_open"),
    ):
        assert problem(await admin.put("/v1/calendars/berlin", json=body | change)) == (422, code)
    assert problem(await agent.get("/v1/calendars/none")) == (404, "calendar_not_found")
