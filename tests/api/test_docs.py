"""The OpenAPI document says what the service does, and its pages show it without another host."""

import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from playwright.async_api import Page, Request, async_playwright, expect

from app.api import openapi
from app.api.bodies import Shape, parse
from app.api.deps import PUBLISHABLE_PATHS
from tests.api.conftest import ADMIN_KEY, Service

PAGES = ("/docs", "/redoc")
CHROMIUM = shutil.which("chromium")


# --- the document --------------------------------------------------------------------------------------------------


@pytest.fixture
async def document(stranger: httpx.AsyncClient) -> dict[str, Any]:
    answer = await stranger.get("/openapi.json")
    assert answer.status_code == 200
    read: dict[str, Any] = answer.json()
    return read


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def found(value: object, name: str) -> Iterator[Any]:
    """Every value of a member with this name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from found(inner, name)


def test_the_document_is_openapi_3_1_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    references = {reference for reference in found(document, "$ref") if isinstance(reference, str)}
    for reference in references:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert "#/components/schemas/Problem" in references
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_operation_has_a_described_tag_an_id_and_a_description(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for name, operation in operations(document):
        assert operation["tags"], name
        assert set(operation["tags"]) <= tags, name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", operation["operationId"]), name
        assert operation["description"], name


def shapes(service: Service) -> Iterator[tuple[str, str, Shape]]:
    for route in iter_route_contexts(service.app.routes):
        if isinstance(route.original_route, APIRoute):
            for reading in openapi._readings(route.dependant):
                for media_type, shape in reading.content.items():
                    yield str(route.path_format), media_type, shape


def test_every_body_has_examples_that_its_route_accepts(service: Service, document: dict[str, Any]) -> None:
    for path, media_type, shape in shapes(service):
        assert shape.examples, (path, media_type)
        for example in shape.examples.values():
            parse(shape.adapter, json.dumps(example).encode())
    for name, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["schema"], name
            assert content["examples"], name


def test_no_route_takes_its_body_around_the_strict_reader(service: Service) -> None:
    for route in iter_route_contexts(service.app.routes):
        if isinstance(route.original_route, APIRoute):
            assert route.body_field is None, route.path_format


def test_every_problem_has_an_example_of_its_own_form(document: dict[str, Any]) -> None:
    required = set(document["components"]["schemas"]["Problem"]["required"])
    for name, operation in operations(document):
        problems = {status: answer for status, answer in operation["responses"].items() if status >= "4"}
        assert "500" in problems, name
        for status, answer in problems.items():
            (content,) = answer["content"].items()
            assert content[0] == "application/problem+json", (name, status)
            for code, example in content[1]["examples"].items():
                assert required <= set(example["value"]), (name, code)
                assert (str(example["value"]["status"]), example["value"]["code"]) == (status, code), name


def test_three_ways_to_send_a_key_are_offered_and_scopes_are_named(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {(scheme["type"], scheme.get("scheme", scheme.get("name"))) for scheme in schemes.values()} == {
        ("http", "bearer"),
        ("apiKey", "X-API-Key"),
        ("http", "basic"),
    }
    create = document["paths"]["/v1/keys"]["post"]
    assert create["security"] == [{name: ["admin"]} for name in schemes]
    assert "`admin`" in create["description"]


def test_preflights_are_not_in_the_document(document: dict[str, Any]) -> None:
    assert not [path for path in PUBLISHABLE_PATHS if "options" in document["paths"][path]]


# --- the pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_asks_its_own_host_alone(stranger: httpx.AsyncClient, page: str) -> None:
    answer = await stranger.get(page)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    addresses = re.findall(r'(?:src|href|spec-url)="([^"]+)"', answer.text)
    assert addresses
    for address in addresses:
        assert "//" not in address
        assert (await stranger.get("/" + address)).status_code == 200, address


async def test_only_the_files_of_the_pages_are_served(stranger: httpx.AsyncClient) -> None:
    for name in ("core.py", "..%2fcore.py", "%2e%2e/core.py", ""):
        assert (await stranger.get(f"/docs/static/{name}")).status_code == 404, name


# --- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture
async def browser_page(site: str) -> AsyncIterator[tuple[Page, list[str], list[str]]]:
    """A page, the addresses that it asked for, and what it complained about."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")  # Debian has it, no package index does
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(base_url=site)
        asked: list[str] = []
        complaints: list[str] = []

        def note(request: Request) -> None:
            asked.append(request.url)

        page.on("request", note)
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, asked, complaints
        await browser.close()


Opened = tuple[Page, list[str], list[str]]


def elsewhere(asked: list[str], site: str) -> list[str]:
    return [url for url in asked if not url.startswith((site, "data:", f"blob:{site}"))]


@pytest.mark.browser
async def test_the_docs_page_takes_a_key_and_makes_a_key(browser_page: Opened, site: str) -> None:
    page, asked, complaints = browser_page
    await page.goto("/docs")
    await page.get_by_role("button", name="Authorize").click()
    for scheme in ("bearer", "header", "basic"):
        await expect(page.locator(".auth-container", has_text=scheme).first).to_be_visible()
    bearer = page.locator(".auth-container", has_text="bearer").first
    await bearer.locator("input").fill(ADMIN_KEY)
    await bearer.get_by_role("button", name="Apply credentials").click()
    await page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-keys-create_api_key")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Execute").click()
    await expect(
        operation.locator(".live-responses-table .response .response-col_status").first
    ).to_contain_text("201")
    await expect(operation.locator(".live-responses-table")).to_contain_text("rap_sk_")
    # A reload keeps the key.
    await page.reload()
    await expect(page.get_by_role("button", name="Authorize")).to_have_class(re.compile("locked"))
    assert elsewhere(asked, site) == []
    assert complaints == []


@pytest.mark.browser
async def test_trying_it_out_posts_a_purchase_and_shows_the_new_health(
    browser_page: Opened, site: str
) -> None:
    page, asked, complaints = browser_page
    await page.goto("/docs")
    await page.get_by_role("button", name="Authorize").click()
    bearer = page.locator(".auth-container", has_text="bearer").first
    await bearer.locator("input").fill(ADMIN_KEY)
    await bearer.get_by_role("button", name="Apply credentials").click()
    await page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-touchpoints-post_touchpoint")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Execute").click()
    answers = operation.locator(".live-responses-table")
    await expect(answers.locator(".response .response-col_status").first).to_contain_text("201")
    await expect(answers).to_contain_text('"band": "healthy"')
    assert elsewhere(asked, site) == []
    assert complaints == []


@pytest.mark.browser
async def test_redoc_renders(browser_page: Opened, site: str) -> None:
    page, asked, complaints = browser_page
    await page.goto("/redoc")
    await expect(page.get_by_role("heading", name="Create Api Key")).to_be_visible(timeout=60_000)
    assert elsewhere(asked, site) == []
    assert complaints == []
