import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from .conftest import Database
from .stand_ins import Sso


def new_task(client: httpx.Client, **body: object) -> dict[str, Any]:
    answer = client.post("/tasks", json={"title": "write it down", **body})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


def latest_audit(client: httpx.Client) -> dict[str, Any]:
    entry: dict[str, Any] = client.get("/audit", params={"limit": 1}).json()[0]
    return entry


def test_a_worker_is_made_once_however_many_first_requests_come(
    sso: Sso, anyone: httpx.Client, database: Database
) -> None:
    before = database.counts()
    headers = sso.headers(sub="sub-of-grace", name="Grace", email="grace@example.com")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: anyone.get("/me", headers=headers), range(8)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].json().items() >= {"name": "Grace", "email": "grace@example.com"}.items()
    after = database.counts()
    assert after == {**before, "worker": before["worker"] + 1, "audit_log": before["audit_log"] + 1}  # type: ignore[operator]
    assert answers[0].json() in anyone.get("/workers", headers=headers).json()


def test_a_task_without_a_project_goes_to_the_inbox_which_is_made_once(ada: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as threads:
        tasks = list(threads.map(lambda _: new_task(ada), range(4)))
    assert {task["project_name"] for task in tasks} == {"Inbox"}
    assert len({task["project_id"] for task in tasks}) == 1
    assert [project["name"] for project in ada.get("/projects").json()].count("Inbox") == 1


def test_a_new_task_is_open_and_listed_first(ada: httpx.Client) -> None:
    me = ada.get("/me").json()
    project = ada.post("/projects", json={"name": " Moon landing "}).json()
    task = new_task(ada, title="  pack  ", project_id=project["id"], assignee_id=me["id"])
    expected = {
        "title": "pack",
        "project_id": project["id"],
        "project_name": "Moon landing",
        "assignee_id": me["id"],
        "assignee_name": "Ada",
        "status": "open",
        "completed_at": None,
    }
    assert task.items() >= expected.items()
    assert ada.get("/tasks", params={"limit": 1}).json() == [task]
    assert (
        latest_audit(ada).items()
        >= {
            "actor_name": "Ada",
            "action": "created",
            "entity": "task",
            "entity_id": task["id"],
            "detail": "title: pack",
        }.items()
    )


def test_a_second_project_of_the_same_name_is_a_conflict(ada: httpx.Client, database: Database) -> None:
    assert ada.post("/projects", json={"name": "Twice"}).status_code == 201
    before = database.counts()
    assert ada.post("/projects", json={"name": "Twice"}).status_code == 409
    assert database.counts() == before


def test_completing_sets_the_time_and_reopening_clears_it(ada: httpx.Client) -> None:
    task = new_task(ada)
    done = ada.patch(f"/tasks/{task['id']}", json={"status": "done"}).json()
    assert done == {**task, "status": "done", "completed_at": done["completed_at"]}
    assert done["completed_at"] > done["created_at"]
    assert latest_audit(ada)["detail"] == "status: open → done"
    assert ada.patch(f"/tasks/{task['id']}", json={"status": "open"}).json() == task
    assert latest_audit(ada)["detail"] == "status: done → open"


def test_the_same_change_again_changes_nothing(ada: httpx.Client, database: Database) -> None:
    task = new_task(ada)
    change = {"title": "better", "assignee_id": ada.get("/me").json()["id"], "status": "done"}
    first = ada.patch(f"/tasks/{task['id']}", json=change)
    assert latest_audit(ada)["detail"] == ("title: write it down → better; assignee: nobody → Ada; status: open → done")
    before = database.counts()
    for body in (change, {}, {"status": "done"}):
        again = ada.patch(f"/tasks/{task['id']}", json=body)
        assert (again.status_code, again.json()) == (200, first.json())
    assert database.counts() == before


def test_of_many_who_complete_it_at_once_one_does(ada: httpx.Client, database: Database) -> None:
    task = new_task(ada)
    before = database.counts()["audit_log"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ada.patch(f"/tasks/{task['id']}", json={"status": "done"}), range(8)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert database.counts()["audit_log"] == before + 1  # type: ignore[operator]


def test_a_task_can_be_given_to_nobody(ada: httpx.Client) -> None:
    task = new_task(ada, assignee_id=ada.get("/me").json()["id"])
    answer = ada.patch(f"/tasks/{task['id']}", json={"assignee_id": None}).json()
    assert (answer["assignee_id"], answer["assignee_name"]) == (None, None)


@pytest.mark.parametrize("task_id", [999_999_999, 2**31 - 1])
def test_an_unknown_task_is_not_found(task_id: int, ada: httpx.Client) -> None:
    assert ada.patch(f"/tasks/{task_id}", json={"status": "done"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *(
            ("POST", path, {field: title})
            for path, field in (("/tasks", "title"), ("/projects", "name"))
            for title in ("", "   ", "x" * 201, "nul\0", "two\nlines", "\ud800", None, 7)
        ),
        ("POST", "/tasks", {}),
        ("POST", "/tasks", {"title": "t", "assignee_id": 999_999_999}),
        ("POST", "/tasks", {"title": "t", "assignee_id": 2**31}),
        ("POST", "/tasks", {"title": "t", "assignee_id": True}),
        ("POST", "/tasks", {"title": "t", "project_id": 999_999_999}),
        ("POST", "/tasks", {"title": "t", "project_id": "1"}),
        ("POST", "/tasks", {"title": "t", "projekt_id": 1}),
        ("PATCH", "/tasks/{}", {"status": "almost"}),
        ("PATCH", "/tasks/{}", {"status": None}),
        ("PATCH", "/tasks/{}", {"title": ""}),
        ("PATCH", "/tasks/{}", {"title": None}),
        ("PATCH", "/tasks/{}", {"status": "done", "assignee_id": 999_999_999}),
        ("PATCH", "/tasks/{}", {"completed_at": None}),
        ("PATCH", "/tasks/99999999999", {"status": "done"}),
        ("GET", "/audit?limit=0", None),
        ("GET", "/audit?limit=501", None),
        ("GET", "/tasks?limit=501", None),
        ("GET", "/tasks?offset=99999999999999999999", None),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(
    method: str, path: str, body: object, ada: httpx.Client, database: Database
) -> None:
    path = path.format(new_task(ada)["id"])
    before, tasks = database.counts(), ada.get("/tasks").json()
    answer = ada.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
    assert (database.counts(), ada.get("/tasks").json()) == (before, tasks)


def test_text_comes_back_as_it_was(ada: httpx.Client) -> None:
    title = "<script>alert('1')</script> \"; DROP TABLE task; -- 🚀 é"
    assert new_task(ada, title=title)["title"] == title
    assert ada.get("/tasks", params={"limit": 1}).json()[0]["title"] == title
