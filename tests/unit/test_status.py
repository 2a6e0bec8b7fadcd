from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.bootorder.errors import SettingsError
from scripts.bootorder.migrate import migrate
from scripts.bootorder.status import status

from .fakes import PASSWORD, FakeStack


def status_of(stack: FakeStack) -> Any:
    """As `status --json` gives it to a program."""
    return json.loads(json.dumps(status(stack.boot())))


def test_status_has_the_keys_that_programs_rely_on(stack: FakeStack) -> None:
    found = status_of(stack)

    assert list(found) == ["runtime", "layout", "database", "services", "owners"]
    assert list(found["database"]) == ["host", "port", "name", "url", "answers"]
    assert {tuple(service) for service in found["services"]} == {("name", "state", "health", "url")}
    assert {tuple(owner) for owner in found["owners"]} == {("name", "role", "schema", "tables", "missing")}


def test_the_database_is_told_with_its_url_but_without_its_password(stack: FakeStack) -> None:
    found = status_of(stack)

    assert found["runtime"] == "fake"
    assert found["layout"] == "shared"
    assert found["database"] == {
        "host": "127.0.0.1",
        "port": 5432,
        "name": "taskflow",
        "url": "postgresql://taskflow@127.0.0.1:5432/taskflow",
        "answers": True,
    }
    assert PASSWORD not in json.dumps(found)


def test_services_are_told_with_state_health_and_url(stack: FakeStack) -> None:
    stack.runtime.becomes("api", "running", health="healthy", port=8000)
    stack.runtime.becomes("web", "exited", exit_code=1, port=3000)

    services = {service.pop("name"): service for service in status_of(stack)["services"]}

    assert services == {
        "postgres": {"state": "running", "health": "healthy", "url": "127.0.0.1:5432"},
        "pgadmin": {"state": "absent", "health": "", "url": None},
        "sso": {"state": "absent", "health": "", "url": None},
        "api": {"state": "running", "health": "healthy", "url": "http://localhost:8000"},
        "web": {"state": "exited", "health": "", "url": "http://localhost:3000"},
    }


@pytest.mark.parametrize("answers", [True, False])
def test_a_database_without_a_check_of_its_own_is_healthy_when_it_answers(stack: FakeStack, answers: bool) -> None:
    stack.runtime.becomes("postgres", "running", port=5432)
    stack.server.refusal = "" if answers else "Connection refused"

    [health] = [service["health"] for service in status_of(stack)["services"] if service["name"] == "postgres"]

    assert health == ("healthy" if answers else "")


def test_a_database_that_answers_does_not_make_the_others_healthy(stack: FakeStack) -> None:
    stack.runtime.becomes("api", "running", health="unhealthy")

    assert {service["name"]: service["health"] for service in status_of(stack)["services"]}["api"] == "unhealthy"


def test_what_is_optional_is_shown_while_it_runs(stack: FakeStack) -> None:
    def shown() -> list[str]:
        return [service["name"] for service in status_of(stack)["services"]]

    stack.runtime.optional_ones = ["pgadmin"]
    assert shown() == ["postgres", "sso", "api", "web"]

    stack.runtime.becomes("pgadmin", "running")
    assert shown() == ["postgres", "pgadmin", "sso", "api", "web"]


def test_what_was_asked_for_is_shown_also_when_it_does_not_run(stack: FakeStack) -> None:
    stack.runtime.optional_ones = ["pgadmin"]
    stack.runtime.becomes("pgadmin", "exited", exit_code=1)

    found = status(stack.boot(asked_for=["pgadmin"]))

    assert [service["name"] for service in found["services"]] == ["postgres", "pgadmin", "sso", "api", "web"]


def test_one_offs_are_no_services_of_the_status(stack: FakeStack) -> None:
    assert "sso-setup" not in [service["name"] for service in status_of(stack)["services"]]


def test_an_owner_that_was_never_rehearsed_has_unknown_tables(stack: FakeStack) -> None:
    assert status_of(stack)["owners"] == [
        {"name": "sso", "role": "sso", "schema": "public", "tables": None, "missing": None},
        {"name": "api", "role": "api", "schema": "public", "tables": None, "missing": None},
    ]


def test_an_owner_s_tables_are_told_as_there_or_missing(stack: FakeStack) -> None:
    migrate(stack.boot())
    stack.database.drop("session")

    sso, api = status_of(stack)["owners"]

    assert (sso["tables"], sso["missing"]) == (["public.user"], ["public.session"])
    assert (api["tables"], api["missing"]) == ([], ["public.task", "public.worker"])


@pytest.mark.parametrize("running", [True, False])
def test_without_an_answering_database_no_table_is_said_to_be_missing(stack: FakeStack, running: bool) -> None:
    migrate(stack.boot())
    if running:
        stack.server.refusal = "Connection refused"
    else:
        stack.runtime.becomes("postgres", "exited", port=5432)

    found = status_of(stack)

    assert (found["owners"][0]["tables"], found["owners"][0]["missing"]) == (None, None)
    assert (found["database"]["url"] is not None) == running


def test_a_stack_that_was_never_started_has_a_status_too(stack: FakeStack) -> None:
    stack.runtime.becomes("postgres", "absent")

    found = status_of(stack)

    assert found["database"] == {"host": None, "port": None, "name": "taskflow", "url": None, "answers": False}


def test_status_changes_nothing(stack: FakeStack) -> None:
    status_of(stack)

    assert stack.runtime.changed == []
    assert stack.runtime.ran == []
    assert not (stack.root / ".bootorder").exists()


def test_a_database_that_runs_is_shown_though_its_port_is_none(stack: FakeStack) -> None:
    stack.runtime.becomes("postgres", "running", health="healthy")

    found = status(stack.boot())

    assert found["database"]["port"] is None
    assert found["services"][0]["state"] == "running"
    assert found["owners"][0]["tables"] is None


def test_tables_are_not_known_where_the_settings_of_their_tool_are_wrong(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(service: str) -> str:
        raise SettingsError("the folder of sso-setup is missing", hint="correct it")

    monkeypatch.setattr(stack.runtime, "fingerprint", refuse)

    assert [owner["tables"] for owner in status(stack.boot())["owners"]] == [None, None]
