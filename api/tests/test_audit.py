from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from .conftest import Database
from .stand_ins import Sso
from .test_tasks import new_task


@contextmanager
def refused(database: Database, table: str, *, only_at_commit: bool = False) -> Iterator[None]:
    """Have the database refuse every new or changed row of a table."""
    database.run(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$"
    )
    when = "DEFERRABLE INITIALLY DEFERRED" if only_at_commit else ""
    database.run(
        f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {table} {when}"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        database.run(f"DROP TRIGGER refuse ON {table}")


def changes(client: httpx.Client, task_id: int) -> dict[str, httpx.Response]:
    return {
        "project": client.post("/projects", json={"name": "never"}),
        "task": client.post("/tasks", json={"title": "never"}),
        "change": client.patch(f"/tasks/{task_id}", json={"title": "never"}),
    }


def test_a_change_whose_audit_row_fails_is_not_kept(ada: httpx.Client, database: Database) -> None:
    task = new_task(ada)
    before, tasks = database.counts(), ada.get("/tasks").json()
    with refused(database, "audit_log"):
        answers = changes(ada, task["id"])
    assert [answer.status_code for answer in answers.values()] == [500, 500, 500]
    assert (database.counts(), ada.get("/tasks").json()) == (before, tasks)


def test_an_audit_row_whose_change_fails_is_not_kept(ada: httpx.Client, database: Database) -> None:
    # Refused by the commit itself: by then every row has been written, and a caller must not have been told 201 yet.
    task = new_task(ada)
    before, trail = database.counts(), ada.get("/audit").json()
    with refused(database, "task", only_at_commit=True), refused(database, "project", only_at_commit=True):
        answers = changes(ada, task["id"])
    assert [answer.status_code for answer in answers.values()] == [500, 500, 500]
    assert (database.counts(), ada.get("/audit").json()) == (before, trail)


def test_a_worker_whose_audit_row_fails_is_not_kept(sso: Sso, anyone: httpx.Client, database: Database) -> None:
    before = database.counts()
    with refused(database, "audit_log"):
        assert anyone.get("/me", headers=sso.headers(sub="sub-of-nobody")).status_code == 500
    assert database.counts() == before


def test_what_a_refused_request_began_is_not_kept(sso: Sso, anyone: httpx.Client, database: Database) -> None:
    # The caller is new, so a worker has been made by the time the unknown assignee is found out.
    before = database.counts()
    answer = anyone.post(
        "/tasks", headers=sso.headers(sub="sub-of-nobody"), json={"title": "t", "assignee_id": 999_999_999}
    )
    assert answer.status_code == 422
    assert database.counts() == before


def test_the_trail_is_newest_first_and_bounded(ada: httpx.Client) -> None:
    for _ in range(3):
        new_task(ada)
    trail = ada.get("/audit", params={"limit": 3}).json()
    assert [entry["id"] for entry in trail] == sorted((entry["id"] for entry in trail), reverse=True)
    assert len(trail) == 3
    assert ada.get("/audit", params={"limit": 2, "offset": 1}).json() == trail[1:]
