"""The whole life of a complaint with its health figures."""

import httpx
import pytest

from tests.api.complaints.telling import TO_OFFER, bought, go, log, told, touchpoints


async def test_the_whole_life_of_a_complaint_and_what_it_does_to_health(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    level = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    first = await told(agent, source_id="t-1", about={"order_id": "A-1"}, remedy_sought="delivery")
    assert (first["state"], first["version"], first["repeat"]) == ("received", 1, False)
    assert [clock["name"] for clock in first["clocks"]] == ["acknowledge", "first_response", "resolution"]
    assert all(clock["due_at"] and not clock["breached"] for clock in first["clocks"])
    fall = first["health"]["delta"]
    assert fall < 0

    offered = await go(agent, first, *TO_OFFER)
    assert offered["health"] is None
    assert offered["clocks"][2]["paused_since"] is not None
    assert offered["clocks"][2]["due_at"] is None
    accepted = await go(agent, offered, "accepted", csat=5)
    assert accepted["health"]["delta"] > 0
    now = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    assert level + fall - 1 < now <= level
    closed = await go(agent, accepted, "closed")
    assert closed["health"] is None

    second = await told(agent, source_id="t-2")
    assert second["repeat"] is True
    assert second["health"]["delta"] <= fall

    opened = await touchpoints(agent, "complaint_opened")
    assert [row["id"] for row in opened] == [
        f"complaint:{second['id']}:opened:1",
        f"complaint:{first['id']}:opened:1",
    ]
    (resolved,) = await touchpoints(agent, "complaint_resolved")
    assert resolved["id"] == f"complaint:{first['id']}:resolved:1"
    lines = await log(agent, first)
    assert [line["what"] for line in lines] == ["opened", *["transition"] * 6]
    assert [line["state"] for line in lines] == ["received", *TO_OFFER, "accepted", "closed"]
    assert [line["touchpoint_id"] for line in lines if line["touchpoint_id"]] == [
        f"complaint:{first['id']}:opened:1",
        f"complaint:{first['id']}:resolved:1",
    ]


async def test_a_reopened_complaint_counts_again_under_the_same_id(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    closed = await go(agent, await told(agent), *TO_OFFER, "accepted", "closed")
    reopened = await go(agent, closed, "reopened")
    assert reopened["openings"] == 2
    assert reopened["health"]["delta"] < 0
    assert reopened["clocks"][2]["stopped_at"] is None
    assert reopened["clocks"][2]["started_at"] == reopened["state_since"]
    assert reopened["clocks"][0] == closed["clocks"][0]
    again = await go(agent, reopened, "investigating", "resolution_offered", "accepted")
    assert again["health"]["delta"] > 0
    ids = [row["id"] for row in await touchpoints(agent, "complaint_opened")]
    assert ids == [f"complaint:{closed['id']}:opened:{number}" for number in (2, 1)]
    assert len(await touchpoints(agent, "complaint_resolved")) == 2


async def test_a_duplicate_never_was_a_failure_of_its_own(
    admin: httpx.AsyncClient, agent: httpx.AsyncClient
) -> None:
    await bought(admin)
    first = await told(agent)
    level = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    second = await told(agent)
    merged = await go(agent, second, "merged", reason="duplicate", merged_into=first["id"])
    assert (merged["merged_into"], merged["allowed"]) == (first["id"], [])
    assert merged["health"]["delta"] >= 0
    now = (await agent.get("/v1/customers/external_id:42/health")).json()["score_exact"]
    assert now == pytest.approx(level, abs=0.01)
    assert len(await touchpoints(agent, "complaint_opened")) == 1

    withdrawn = await go(agent, first, "withdrawn", reason="sent_in_error")
    assert withdrawn["health"]["delta"] > 0
    assert len(await touchpoints(agent, "complaint_resolved")) == 1
