"""What the stack is for, in a real browser: sign up, sign in, create a task, complete it, sign out."""

from __future__ import annotations

import re
import secrets

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stack import Stack

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def email() -> str:
    return f"ada-{secrets.token_hex(3)}@example.com"


def sign_in(page: Page, stack: Stack, email: str, password: str) -> None:
    page.goto(stack.url("web"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_sign_up_leads_to_the_dashboard(stack: Stack, page: Page, email: str) -> None:
    page.goto(stack.url("web"))
    page.get_by_role("link", name="Create an account").click()
    expect(page).to_have_url(re.compile(re.escape(stack.url("sso"))))
    page.get_by_label("Name", exact=True).fill("Ada Lovelace")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()

    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(stack.url("web"))))
    assert stack.query('select name from "user" where email = %s', email, owner="sso") == [("Ada Lovelace",)]


def test_a_wrong_password_is_refused(stack: Stack, page: Page, email: str) -> None:
    sign_in(page, stack, email, "not the password")

    expect(page.get_by_text("The e-mail address or the password is wrong.")).to_be_visible()
    page.goto(stack.url("web"))
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_task_is_created_assigned_completed_and_audited(stack: Stack, page: Page, email: str) -> None:
    title = "<script>alert(1)</script>"
    sign_in(page, stack, email, PASSWORD)
    page.get_by_label("Title").fill(title)
    page.get_by_role("button", name="Create task").click()
    expect(page.get_by_role("status")).to_have_text("Task created.")

    task = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=title))
    expect(task).to_be_visible()
    task.get_by_role("combobox").select_option("Ada Lovelace")
    task.get_by_role("button", name="Assign").click()
    task.get_by_role("button", name="Complete").click()
    expect(page.get_by_role("status")).to_contain_text("Task completed.")

    rows = stack.query(
        "select t.title, w.name from task t join worker w on w.id = t.assignee_id where t.completed_at is not null",
        owner="api",
    )
    assert rows == [(title, "Ada Lovelace")]
    page.get_by_role("link", name="Workers").click()
    expect(page.get_by_role("rowheader", name="Ada Lovelace")).to_be_visible()
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("table", name="Audit trail")).to_contain_text("Ada Lovelace")


def test_the_demo_user_signs_in_with_the_password_of_env(stack: Stack, page: Page) -> None:
    sign_in(page, stack, "demo@example.com", stack.secret("DEMO_PASSWORD"))

    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()


def test_a_restart_of_the_dashboard_asks_for_no_password(stack: Stack, page: Page, email: str) -> None:
    sign_in(page, stack, email, PASSWORD)
    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    forgotten = "a-session-that-the-dashboard-has-forgotten"  # as all are after a restart
    page.context.add_cookies([{"name": "taskflow_web_session", "value": forgotten, "url": stack.url("web")}])

    page.goto(stack.url("web", "/workers"))
    expect(page.get_by_role("heading", name="Workers", exact=True)).to_be_visible()


def test_sign_out_ends_both_sessions(stack: Stack, page: Page, browser: Browser, email: str) -> None:
    other = browser.new_context().new_page()
    sign_in(other, stack, "demo@example.com", stack.secret("DEMO_PASSWORD"))
    sign_in(page, stack, email, PASSWORD)
    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    thief = browser.new_context(storage_state=page.context.storage_state()).new_page()
    half = browser.new_context(storage_state=page.context.storage_state())
    half.clear_cookies(name=re.compile("taskflow-sso.*"))
    thief.goto(stack.url("web", "/audit"))
    expect(thief.get_by_role("heading", name="Audit", exact=True)).to_be_visible()  # the copy is good

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    assert not [cookie for cookie in page.context.cookies() if "session" in cookie.get("name", "")]
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()

    page.get_by_role("button", name="Sign in").click()  # the SSO asks again: it has forgotten, too
    expect(page.get_by_label("Password")).to_be_visible()

    for path in ("/workers", "/audit", "/?show=done", "/"):
        for context in (thief.context, half):
            copy = context.new_page()
            copy.goto(stack.url("web", path))
            expect(copy.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
            copy.close()
    thief.goto(stack.url("sso"))
    expect(thief.get_by_text("You are not signed in.")).to_be_visible()
    other.reload()  # somebody else's session goes on
    expect(other.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    for context in (thief.context, half, other.context):
        context.close()


def test_sign_out_at_the_sso_ends_the_dashboards_session(stack: Stack, page: Page, email: str) -> None:
    sign_in(page, stack, email, PASSWORD)
    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    page.goto(stack.url("sso"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()

    page.goto(stack.url("web", "/workers"))
    expect(page.get_by_label("Password")).to_be_visible()
