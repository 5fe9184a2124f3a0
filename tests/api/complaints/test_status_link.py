"""What the customer sees over a signed link."""

import httpx

from tests.api.complaints.telling import URL, problem, told


async def test_the_customer_sees_over_a_signed_link_how_it_stands(
    agent: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    complaint = await told(agent, text="secret of mine")
    one = f"{URL}/{complaint['id']}"
    await agent.post(f"{one}/messages", json={"text": "a <note>", "visible_to_customer": False})
    await agent.post(f"{one}/messages", json={"text": "We <b>look</b> for it"})
    answer = await stranger.get(complaint["status_link"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    read = answer.json()
    assert (read["reference"], read["status"]) == (complaint["reference"], "received")
    assert [line["text"] for line in read["history"]] == [None, "We <b>look</b> for it"]
    page = await stranger.get(complaint["status_link"], headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "We &lt;b&gt;look&lt;/b&gt; for it" in page.text
    assert "<html lang=" in page.text
    for text in ("secret of mine", "a &lt;note&gt;", "helpdesk"):
        assert text not in page.text + answer.text


async def test_a_link_that_is_not_ours_leads_nowhere(
    agent: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    link = (await told(agent))["status_link"]
    for bad in (
        link.replace("/s/k1.", "/s/k2."),
        link.replace("/complaint", "x/complaint"),
        "/s/x/complaint",
    ):
        assert problem(await stranger.get(bad))[0] in (404, 422)
