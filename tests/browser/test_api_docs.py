"""The API's /docs in a real browser: everything it loads is the API's own."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.stack import Stack


def test_docs_loads_nothing_from_other_hosts(stack: Stack, page: Page) -> None:
    requested: list[str] = []
    complaints: list[str] = []
    # Of the context, so that what a worker or a popup asks for counts too.
    page.context.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(stack.url("api", "/docs"), wait_until="networkidle")
    expect(page.get_by_role("heading", name="taskflow API")).to_be_visible()

    # What it asks for when it is used: `/health` is for everybody.
    operation = page.locator("#operations-health-health_health_get")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.get_by_text('"status": "ok"').first).to_be_visible()

    loaded = [url for url in requested if not url.startswith("data:")]
    assert {url.split("?")[0].removeprefix(stack.url("api")) for url in loaded} >= {
        "/docs",
        "/docs/start.js",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/health",
    }
    assert {urlsplit(url).netloc for url in loaded} == {urlsplit(stack.url("api")).netloc}
    assert complaints == [], "the Content-Security-Policy stopped something, or a script failed"
