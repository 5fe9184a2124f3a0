import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from sqlalchemy import text

from app.storage.database import connect_arguments
from tests.api.conftest import Service
from tests.api.test_surveys import ASKED, INVITATIONS, SURVEYS, customer, invite

CHROMIUM = shutil.which("chromium")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def asked(admin: httpx.AsyncClient, number: int = 42, **survey: Any) -> dict[str, Any]:
    """An invitation that was sent."""
    await admin.post(SURVEYS, json=ASKED | survey)
    told: dict[str, Any] = await invite(admin, await customer(admin, number))
    await admin.post(f"{INVITATIONS}/{told['id']}/reports", json={"report": "sent"})
    return told


async def rows(service: Service, statement: str) -> list[tuple[Any, ...]]:
    async with service.app.state.database.reading() as session:
        return [tuple(row) for row in await session.execute(text(statement))]


async def change(owner_url: str, statement: str, *arguments: object) -> None:
    """Behind the service's back."""
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def everything(service: Service) -> list[tuple[Any, ...]]:
    """What any write would change: the version of every row that belongs to a customer or a survey."""
    found = []
    for table in (
        "customers",
        "customer_states",
        "customer_identifiers",
        "touchpoints",
        "surveys",
        "survey_invitations",
        "survey_scopes",
        "survey_periods",
        "feedback",
        "feedback_revisions",
    ):
        found += await rows(service, f"SELECT '{table}', ctid::text, xmin::text FROM {table} ORDER BY 2")  # noqa: S608 - names of tables
    return found


def is_page(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert re.search(r"https?://|<script|<img|<link", answer.text) is None


async def test_an_answer_is_stored_changed_and_shown(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await asked(admin)
    shown = await stranger.get(told["link"] + "?rating=9")
    is_page(shown)
    assert re.findall(r'value="(\d+)" required checked', shown.text) == ["9"]
    first = await stranger.post(told["link"], data={"rating": "9", "text": "Très <b>bon</b>\r\n"})
    assert first.status_code == 201
    is_page(first)
    second = await stranger.post(told["link"], data={"rating": "3", "text": "Très <b>bon</b>"})
    assert second.status_code == 200
    ((rating, words, survey, revision),) = await rows(
        service, "SELECT rating, text, survey, revision FROM feedback"
    )
    assert (rating, words, survey, revision) == (3, "Très <b>bon</b>", "how_was_it", 2)
    again = await stranger.get(told["link"])
    assert re.findall(r'value="(\d+)" required checked', again.text) == ["3"]
    assert "Très &lt;b&gt;bon&lt;/b&gt;" in again.text
    (invitation,) = (await admin.get(INVITATIONS)).json()["data"]
    assert invitation["state"] == "answered"
    kinds = await rows(service, "SELECT kind, source, properties ->> 'rating' FROM touchpoints ORDER BY id")
    assert [kind for kind in kinds if kind[0] == "nps"] == [("nps", "rapport", "9"), ("nps", "rapport", "3")]


async def test_a_rating_that_is_none_of_the_scale_is_asked_for_again(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await asked(admin)
    for rating in ("", "11", "6.5", "-1", "nine", "9" * 5000):
        answer = await stranger.post(told["link"], data={"rating": rating, "text": "so <so>"})
        assert answer.status_code == 422, rating
        is_page(answer)
        assert 'role="alert"' in answer.text
        assert "so &lt;so&gt;" in answer.text
    for rating in ("11", "6.5", "x", ""):
        shown = await stranger.get(f"{told['link']}?rating={rating}")
        assert "required checked" not in shown.text
    assert await rows(service, "SELECT 1 FROM feedback") == []


async def test_what_is_no_form_or_too_large_is_a_page_too(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    link = (await asked(admin))["link"]
    json = await stranger.post(link, json={"rating": 9})
    large = await stranger.post(link, data={"rating": "9", "text": "x" * 70_000})
    broken = await stranger.post(link, content=b"rating=\xff", headers=FORM)
    many = await stranger.post(link, content=b"&".join([b"rating=9"] * 30), headers=FORM)
    assert [one.status_code for one in (json, large, broken, many)] == [415, 413, 400, 400]
    for one in (json, large, broken, many):
        is_page(one)


async def test_scanners_change_nothing(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await asked(admin)
    before = await everything(service)
    links = [told["link"], told["link"] + "?rating=0", told["unsubscribe_link"]]
    for number in range(100):
        for method in ("GET", "HEAD"):
            answer = await stranger.request(method, links[number % 3])
            assert answer.status_code == 200
    assert await everything(service) == before


async def test_a_link_that_is_not_ours_leads_nowhere(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await asked(admin)
    link: str = told["link"]
    swapped = told["unsubscribe_link"].removesuffix("/unsubscribe")
    for wrong in (
        link[:-1] + ("A" if link[-1] != "A" else "Q"),
        link + "x",
        swapped,
        link + "/unsubscribe",
        "/s/x",
    ):
        for answer in (await stranger.get(wrong), await stranger.post(wrong, data={"rating": "9"})):
            assert answer.status_code == 404, wrong
            is_page(answer)


async def test_after_a_day_an_answer_stays_and_after_a_month_a_link_is_over(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient, owner_url: str
) -> None:
    told = await asked(admin)
    await stranger.post(told["link"], data={"rating": "9"})
    old = "SET {0} = {0} - interval '25 hours'"
    await change(owner_url, "UPDATE survey_invitations " + old.format("answered_at"))
    await change(owner_url, "UPDATE feedback " + old.format("received_at"))
    for answer in (await stranger.get(told["link"]), await stranger.post(told["link"], data={"rating": "1"})):
        assert answer.status_code == 409
        is_page(answer)
    other = await invite(admin, await customer(admin, 43))
    await change(owner_url, "UPDATE survey_invitations SET expires_at = now() WHERE answered_at IS NULL")
    for answer in (
        await stranger.get(other["link"]),
        await stranger.post(other["link"], data={"rating": "1"}),
    ):
        assert answer.status_code == 410
        is_page(answer)


async def test_a_link_itself_expires(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient, owner_url: str
) -> None:
    told = await asked(admin)
    await change(owner_url, "UPDATE survey_invitations SET expires_at = now() - interval '2 days'")
    link = (await admin.get(f"{INVITATIONS}/{told['id']}")).json()["link"]
    answer = await stranger.get(link)
    assert answer.status_code == 410
    is_page(answer)


async def test_two_tabs_at_once_are_one_answer(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await asked(admin)
    answers = await asyncio.gather(
        *[stranger.post(told["link"], data={"rating": rating}) for rating in ("9", "2")]
    )
    assert sorted(one.status_code for one in answers) == [200, 201]
    last = next(rating for rating, one in zip((9, 2), answers, strict=True) if one.status_code == 200)
    assert await rows(service, "SELECT rating, revision FROM feedback") == [(last, 2)]


async def test_after_a_merge_an_answer_is_the_survivors_and_after_an_erasure_nobodys(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient, owner_url: str
) -> None:
    told = await asked(admin)
    survivor = (await admin.get(f"/v1/customers/{await customer(admin, 43)}")).json()["id"]
    merged = "UPDATE customer_states SET merged_into = $1 WHERE customer_id = $2"
    await change(owner_url, merged, UUID(survivor), UUID(told["customer_id"]))
    assert (await stranger.get(told["link"])).status_code == 200
    assert (await stranger.post(told["link"], data={"rating": "9"})).status_code == 201
    assert (await stranger.post(told["link"], data={"rating": "8"})).status_code == 200
    assert await rows(service, "SELECT customer_id, rating FROM feedback") == [(UUID(survivor), 8)]
    await change(
        owner_url, "UPDATE customer_states SET erased_at = now() WHERE customer_id = $1", UUID(survivor)
    )
    other = await asked(admin, 44)
    gone = "UPDATE customer_states SET erased_at = now() WHERE customer_id = $1"
    await change(owner_url, gone, UUID(other["customer_id"]))
    for link in (told["link"], other["link"]):
        assert (await stranger.post(link, data={"rating": "9"})).status_code == 410
    for link in (other["link"], other["unsubscribe_link"]):
        assert (await stranger.get(link)).status_code == 410
    assert (await stranger.post(other["unsubscribe_link"])).status_code == 410
    assert len(await rows(service, "SELECT 1 FROM feedback")) == 1


async def test_one_click_unsubscribes_and_takes_back_what_was_queued(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    told = await asked(admin, limits={"quiet_days": 0, "quiet_nps_days": 0})
    waiting = await invite(admin, "external_id:42", about="another")
    assert waiting["state"] == "queued"
    shown = await stranger.get(told["unsubscribe_link"])
    assert 'method="post"' in shown.text
    for _ in range(2):
        done = await stranger.post(
            told["unsubscribe_link"], content=b"List-Unsubscribe=One-Click", headers=FORM
        )
        assert done.status_code == 200
        is_page(done)
    touchpoints = await rows(service, "SELECT kind, source FROM touchpoints WHERE kind = 'unsubscribed'")
    assert touchpoints == [("unsubscribed", "rapport")]
    assert (await admin.get(f"{INVITATIONS}/{waiting['id']}")).json()["state"] == "cancelled"
    assert (await invite(admin, "external_id:42"))["suppressed_by"] == "opt_out"
    assert "<button" not in (await stranger.get(told["unsubscribe_link"])).text


@pytest.mark.long
async def test_a_thousand_answers_at_once_are_a_thousand_answers(
    service: Service, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await admin.post(SURVEYS, json=ASKED)
    batch = [
        {
            "id": "v",
            "kind": "visit",
            "customer": {"external_id": str(number), "email": f"c{number}@example.com"},
        }
        for number in range(1000)
    ]
    assert (await admin.post("/v1/touchpoints/batch", json={"touchpoints": batch})).status_code < 300
    limit = asyncio.Semaphore(64)

    async def until_free(client: httpx.AsyncClient, url: str, **sent: Any) -> httpx.Response:
        # On a busy machine the pool may be too small for 64 at once; it says so, and nothing was done then.
        for _ in range(60):
            async with limit:
                answer = await client.post(url, **sent)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(float(answer.headers["retry-after"]))
        pytest.fail("never free")

    async def one(number: int) -> int:
        asked = {"customer": f"external_id:{number}", "survey": "how_was_it"}
        told = await until_free(admin, INVITATIONS, json=asked, headers={"Idempotency-Key": str(number)})
        assert told.status_code == 201, told.text
        answer = await until_free(stranger, told.json()["link"], data={"rating": str(number % 11)})
        return answer.status_code

    statuses = await asyncio.gather(*[one(number) for number in range(1000)])
    assert set(statuses) == {201}
    counted = await rows(service, "SELECT count(*), count(DISTINCT invitation_id), sum(rating) FROM feedback")
    assert counted == [(1000, 1000, sum(number % 11 for number in range(1000)))]
    told = await rows(service, "SELECT count(*) FROM touchpoints WHERE kind = 'nps' AND source = 'rapport'")
    assert told == [(1000,)]
    states = await rows(service, "SELECT state, count(*) FROM survey_invitations GROUP BY state")
    assert states == [("answered", 1000)]


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")  # Debian has it, no package index does
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


async def opened(browser: Browser, link: str, site: str, **how: Any) -> tuple[Page, list[str]]:
    """The page behind a link, and what the browser complained about."""
    page = await browser.new_page(base_url=site, **how)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(site) else None)
    await page.goto(site + httpx.URL(link).raw_path.decode())
    return page, complaints


@pytest.mark.browser
async def test_an_answer_is_given_with_the_keyboard_alone(
    service: Service, admin: httpx.AsyncClient, browser: Browser, site: str
) -> None:
    told = await asked(admin)
    page, complaints = await opened(browser, told["link"], site)
    group = page.get_by_role("group", name=ASKED["question"])
    await expect(group.get_by_role("radio")).to_have_count(11)
    await page.keyboard.press("Tab")
    await expect(group.get_by_role("radio", name="0", exact=True)).to_be_focused()
    await page.keyboard.press("Space")
    for _ in range(8):
        await page.keyboard.press("ArrowRight")
    await expect(group.get_by_role("radio", name="8")).to_be_checked()
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Why? (optional)")).to_be_focused()
    await page.keyboard.type("Quick and friendly")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert await rows(service, "SELECT rating, text FROM feedback") == [(8, "Quick and friendly")]
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Change my answer")).to_be_visible()
    await expect(page.get_by_role("radio", name="8")).to_be_checked()
    # The browser's own mark of a missing icon is no fault of the page.
    assert [one for one in complaints if "favicon" not in one] == []


@pytest.mark.browser
async def test_a_telephone_shows_everything_without_scrolling_sideways(
    admin: httpx.AsyncClient, browser: Browser, site: str
) -> None:
    told = await asked(admin)
    page, complaints = await opened(
        browser, told["link"] + "?rating=9", site, viewport={"width": 320, "height": 640}
    )
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for point in await page.locator(".point").all():
        box = await point.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
    await page.get_by_role("radio", name="10").click()
    await page.get_by_role("button", name="Send my answer").click()
    await expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert complaints == []


@pytest.mark.browser
async def test_unsubscribing_takes_a_button(
    service: Service, admin: httpx.AsyncClient, browser: Browser, site: str
) -> None:
    told = await asked(admin)
    page, complaints = await opened(browser, told["link"], site)
    await page.get_by_role("link", name="Do not ask me again").click()
    await page.get_by_role("button", name="Unsubscribe").click()
    await expect(page.get_by_role("heading", name="You are unsubscribed")).to_be_visible()
    assert len(await rows(service, "SELECT 1 FROM touchpoints WHERE kind = 'unsubscribed'")) == 1
    assert complaints == []
