from __future__ import annotations

import http.client
from typing import Any

import pytest

from scripts.bootorder import http_get, waits
from scripts.bootorder.boot import Boot
from scripts.bootorder.errors import MigrationError, NotReadyError
from scripts.bootorder.http_get import Answer
from scripts.bootorder.lifecycle import stop
from scripts.bootorder.migrate import verify_created_at_start
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.probes import Failed, NotYet, Ready
from scripts.bootorder.runtimes.base import Address, Service
from scripts.bootorder.settings import AppSettings
from scripts.bootorder.waits import health, look_at_app, wait_apps, wait_db

from .fakes import FakeStack, create_all, push


class FakeApp:
    """What an app answers, whatever it is asked; nothing that listens is asked."""

    def __init__(self, answer: int | Exception, location: str = "") -> None:
        self.asked: list[str] = []
        self.answer = answer
        self._location = location

    def get(self, host: str, port: int, path: str, seconds: float) -> Answer:
        assert seconds <= 5, "a look must not take long"
        self.asked.append(f"http://{host}:{port}{path}")
        if isinstance(self.answer, Exception):
            raise self.answer
        return Answer(self.answer, '{"missing": ["task"]}' if self.answer >= 400 else "", self._location)


def answering(monkeypatch: pytest.MonkeyPatch, answer: int | Exception, location: str = "") -> FakeApp:
    app = FakeApp(answer, location)
    monkeypatch.setattr(http_get, "get", app.get)
    return app


def not_ready(boot: Boot) -> NotReadyError:
    with pytest.raises(NotReadyError) as caught:
        wait_apps(boot)
    assert caught.value.exit_code == 4
    return caught.value


@pytest.fixture
def migrated(stack: FakeStack) -> FakeStack:
    """The tables are there; the apps are still to come."""
    push(stack.database)
    create_all(stack.database)
    return stack


def all_healthy(stack: FakeStack, *names: str) -> None:
    for name in names or ("sso", "api", "web"):
        stack.runtime.becomes(name, "running", health="healthy")


# -- the database ------------------------------------------------------------------------------------------------------


def test_the_wait_ends_when_the_database_answers(stack: FakeStack) -> None:
    assert wait_db(stack.boot()) == Outcome("postgres answers on 127.0.0.1:5432")
    assert stack.clock.now() == 0


def test_the_wait_goes_on_while_the_database_starts(stack: FakeStack) -> None:
    stack.server.refusal = "FATAL:  the database system is starting up"
    stack.config["database"]["wait"] = 30

    with pytest.raises(NotReadyError) as caught:
        wait_db(stack.boot())

    assert stack.clock.now() == pytest.approx(30, abs=0.1)
    assert "starting up" in caught.value.seen
    assert "inv logs --service postgres" in caught.value.hint


def test_a_database_that_does_not_answer_in_time_is_shown_with_its_log(stack: FakeStack) -> None:
    stack.server.refusal = "Connection refused"
    stack.runtime.log_lines["postgres"] = ["FATAL: data directory has wrong ownership"]

    with pytest.raises(NotReadyError) as caught:
        wait_db(stack.boot())

    assert caught.value.log
    assert caught.value.log.lines == ["FATAL: data directory has wrong ownership"]


def test_a_database_that_exited_ends_the_wait_at_once_with_its_log(stack: FakeStack) -> None:
    stack.server.refusal = "Connection refused"
    stack.runtime.becomes("postgres", "exited", at=3, exit_code=1, port=5432)
    stack.runtime.log_lines["postgres"] = ["Error: superuser password is not specified"]

    with pytest.raises(NotReadyError) as caught:
        wait_db(stack.boot())

    assert stack.clock.now() == pytest.approx(3, abs=0.1)
    assert "exited with code 1" in caught.value.message
    assert caught.value.log
    assert "password is not specified" in caught.value.log.lines[-1]
    assert "inv db-up" in caught.value.hint


def test_a_database_that_was_never_started_names_the_stage_that_starts_it(stack: FakeStack) -> None:
    stack.server.refusal = "Connection refused"
    stack.runtime.becomes("postgres", "absent", port=5432)

    with pytest.raises(NotReadyError, match="never started") as caught:
        wait_db(stack.boot())

    assert "inv db-up" in caught.value.hint
    assert stack.clock.now() == 0


def test_a_container_that_was_made_but_never_started_is_not_said_to_have_exited(stack: FakeStack) -> None:
    stack.server.refusal = "Connection refused"
    stack.runtime.becomes("postgres", "created", exit_code=0, port=5432)

    with pytest.raises(NotReadyError) as caught:
        wait_db(stack.boot())

    assert "exited" not in caught.value.message + caught.value.seen


def test_a_wrong_password_ends_the_wait_at_once(stack: FakeStack) -> None:
    (stack.root / ".env").write_text("POSTGRES_PASSWORD=other\n", encoding="utf-8")

    with pytest.raises(NotReadyError, match="refused the password"):
        wait_db(stack.boot())

    assert stack.clock.now() == 0


# -- all apps ----------------------------------------------------------------------------------------------------------


def test_the_wait_ends_when_every_app_is_healthy_and_the_tables_made_at_start_are_there(migrated: FakeStack) -> None:
    all_healthy(migrated)

    assert wait_apps(migrated.boot()) == Outcome("sso healthy, api healthy, web healthy; 2 tables of api verified")


def test_apps_may_become_healthy_one_after_the_other(migrated: FakeStack) -> None:
    for name, seconds in (("sso", 1), ("api", 2), ("web", 3)):
        migrated.runtime.becomes(name, "running", health="starting")
        migrated.runtime.becomes(name, "running", at=seconds, health="healthy")

    wait_apps(migrated.boot())

    assert migrated.clock.now() >= 3


def test_an_app_without_a_health_check_is_ready_when_it_runs(migrated: FakeStack) -> None:
    all_healthy(migrated, "sso", "api")
    migrated.runtime.becomes("web", "running")

    assert "web running" in wait_apps(migrated.boot()).text


def test_apps_that_compose_names_but_the_settings_do_not_are_waited_for_too(migrated: FakeStack) -> None:
    del migrated.config["apps"]["web"]
    all_healthy(migrated, "sso", "api")

    assert "web was never started" in not_ready(migrated.boot()).message


def test_an_app_that_exited_ends_the_wait_at_once_with_its_log(migrated: FakeStack) -> None:
    all_healthy(migrated, "sso", "web")
    migrated.runtime.becomes("api", "running", health="starting")
    migrated.runtime.becomes("api", "exited", at=2, exit_code=3)
    migrated.runtime.log_lines["api"] = [f"line {number}" for number in range(30)]

    error = not_ready(migrated.boot())

    assert error.message == "api is not running: it exited with code 3"
    assert error.log
    assert list(error.log.lines) == [f"line {number}" for number in range(10, 30)]
    assert "inv apps-up" in error.hint
    assert migrated.clock.now() < 3


def test_one_that_does_its_work_and_ends_is_waited_for_until_it_has_ended_well(migrated: FakeStack) -> None:
    migrated.config["apps"]["web"] = {"ends": True}
    all_healthy(migrated, "sso", "api")
    migrated.runtime.becomes("web", "running")
    migrated.runtime.becomes("web", "exited", at=2, exit_code=0)

    assert "web ended" in wait_apps(migrated.boot()).text
    assert migrated.clock.now() >= 2


def test_one_that_is_to_end_and_fails_is_told(migrated: FakeStack) -> None:
    migrated.config["apps"]["web"] = {"ends": True}
    all_healthy(migrated, "sso", "api")
    migrated.runtime.becomes("web", "exited", exit_code=3)

    assert not_ready(migrated.boot()).message == "web is not running: it exited with code 3"


def test_an_app_of_whose_end_nobody_knows_more_is_said_to_have_been_killed(migrated: FakeStack) -> None:
    all_healthy(migrated, "sso", "web")
    migrated.runtime.becomes("api", "exited", exit_code=None)

    error = not_ready(migrated.boot())

    assert error.message == "api is not running: it was killed"
    assert error.seen == "exited"


def test_an_unhealthy_app_ends_the_wait_at_once_with_its_log(migrated: FakeStack) -> None:
    all_healthy(migrated, "sso", "web")
    migrated.runtime.becomes("api", "running", health="unhealthy")
    migrated.runtime.log_lines["api"] = ["no such table: task"]

    error = not_ready(migrated.boot())

    assert error.message == "api is unhealthy"
    assert error.log
    assert error.log.lines == ["no such table: task"]
    assert migrated.clock.now() < 1


def test_an_app_that_was_stopped_is_not_said_to_have_crashed(migrated: FakeStack) -> None:
    all_healthy(migrated)
    migrated.runtime.becomes("api", "running", instance="the first api")
    migrated.runtime.log_lines["api"] = ["bye"]
    stop(migrated.boot())
    for name in ("sso", "web"):
        migrated.runtime.becomes(name, "running", health="healthy")

    error = not_ready(migrated.boot())

    assert error.message == "api was stopped"
    assert error.hint == "start it: inv apps-up"
    assert error.first == ("apps-up",)
    assert not (error.log and error.log.lines)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (143, "api is not running: it was ended (SIGTERM)"),
        (130, "api is not running: it was ended (SIGINT)"),
        (1, "api is not running: it exited with code 1"),
        (0, "api is not running: it exited with code 0"),
    ],
)
def test_an_app_that_somebody_else_ended_is_not_said_to_have_exited(migrated: FakeStack, code: int, said: str) -> None:
    all_healthy(migrated)
    migrated.runtime.becomes("api", "exited", exit_code=code, instance="the first api")

    error = not_ready(migrated.boot())

    assert error.message == said
    assert error.seen == f"exited, exit code {code}"


def test_an_app_that_was_never_started_names_the_stage_that_starts_it(migrated: FakeStack) -> None:
    all_healthy(migrated, "sso", "api")

    error = not_ready(migrated.boot())

    assert error.message == "web was never started"
    assert "inv apps-up" in error.hint


def test_the_first_failure_ends_the_waits_for_the_others(migrated: FakeStack) -> None:
    for name in ("sso", "web"):
        migrated.config["apps"][name] = {"wait": 20_000}
        migrated.runtime.becomes(name, "running", health="starting")
    migrated.runtime.becomes("api", "exited", exit_code=1)

    assert "api" in not_ready(migrated.boot()).message
    assert migrated.clock.now() < 20_000


def test_ctrl_c_ends_the_waits_for_all_apps(migrated: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("sso", "api", "web"):
        migrated.config["apps"][name] = {"wait": 20_000}
        migrated.runtime.becomes(name, "running", health="starting")
    monkeypatch.setattr(waits, "wait", interrupted)

    with pytest.raises(KeyboardInterrupt):
        wait_apps(migrated.boot())

    assert migrated.clock.now() < 20_000


def test_an_app_that_stays_unready_is_told_after_its_own_limit_with_what_was_seen_and_its_log(
    migrated: FakeStack,
) -> None:
    all_healthy(migrated, "sso", "web")
    migrated.config["apps"]["api"] = {"wait": 5}
    migrated.runtime.becomes("api", "running", health="starting")
    migrated.runtime.log_lines["api"] = ["waiting for the sso"]

    error = not_ready(migrated.boot())

    assert error.message == "api was not ready after 5 s"
    assert error.seen == "starting"
    assert error.log
    assert error.log.lines == ["waiting for the sso"]


def test_healthy_apps_without_their_tables_fail_the_stage(stack: FakeStack) -> None:
    all_healthy(stack)
    push(stack.database)

    with pytest.raises(MigrationError, match="api: its tables are not what its tool makes"):
        wait_apps(stack.boot())


def test_a_stack_without_apps_has_nothing_to_wait_for(stack: FakeStack) -> None:
    for name in ("sso", "api", "web"):
        del stack.runtime.environments[name]
    stack.config["apps"] = {}
    del stack.config["owners"]["api"]

    assert wait_apps(stack.boot()).was_skipped


# -- one app -----------------------------------------------------------------------------------------------------------

HEALTH = AppSettings(health="/health")


def look_at(stack: FakeStack, app: AppSettings = HEALTH, **more: Any) -> Ready | NotYet | Failed:
    stack.runtime.becomes("api", "running", port=8000, **more)
    return look_at_app(stack.boot(), stack.runtime.services()["api"], app)


def test_an_app_is_asked_on_its_own_address_and_path(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    app = answering(monkeypatch, 200)

    assert isinstance(look_at(stack), Ready)
    assert app.asked == ["http://127.0.0.1:8000/health"]


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ({"state": "exited", "exit_code": 1}, "api is not running: it exited with code 1"),
        ({"state": "running", "instance": "the second api"}, "it was started anew meanwhile"),
    ],
)
def test_an_app_whose_path_another_one_answered_while_it_died_is_not_ready(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch, then: dict[str, Any], expected: str
) -> None:
    app = answering(monkeypatch, 200)

    def get(*asked: Any) -> Answer:
        stack.runtime.becomes("api", **{"port": 8000, **then})
        return app.get(*asked)

    monkeypatch.setattr(http_get, "get", get)

    look = look_at(stack, instance="the first api")

    assert expected == (look.error.message if isinstance(look, Failed) else look.seen)
    assert not isinstance(look, Ready)


def test_an_app_whose_path_answers_is_ready_before_its_container_s_check_noticed(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, 204)

    assert isinstance(look_at(stack, health="starting"), Ready)


def test_an_app_that_answers_an_error_is_not_ready_and_its_words_are_kept(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, 503)

    look = look_at(stack)

    assert look == NotYet('http://127.0.0.1:8000/health answered 503 {"missing": ["task"]}')


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
        http.client.RemoteDisconnected("Remote end closed connection without response"),
        http.client.BadStatusLine("SSH-2.0-OpenSSH_9.2"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_app_that_does_not_answer_in_http_is_not_ready_yet(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answering(monkeypatch, error)

    assert isinstance(look_at(stack), NotYet)


def test_an_app_with_a_path_but_no_published_port_says_so(stack: FakeStack) -> None:
    stack.runtime.becomes("api", "running")

    assert look_at_app(stack.boot(), stack.runtime.services()["api"], HEALTH) == NotYet("it publishes no port to ask")


def test_an_unhealthy_app_shows_what_its_path_answers(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 503)

    look = look_at(stack, health="unhealthy")

    assert isinstance(look, Failed)
    assert '{"missing": ["task"]}' in look.error.seen


@pytest.mark.parametrize(
    ("check", "app", "answer", "word"),
    [
        ("healthy", None, 500, "healthy"),
        ("starting", None, 200, "starting"),
        ("", None, 200, ""),
        ("", HEALTH, 200, "healthy"),
        ("healthy", HEALTH, 503, "unhealthy"),
    ],
)
def test_status_has_one_word_for_an_app_s_health(
    stack: FakeStack,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    app: AppSettings | None,
    answer: int,
    word: str,
) -> None:
    answering(monkeypatch, answer)

    assert (
        health(stack.boot(), Service("api", "running", health=check, address=Address("127.0.0.1", 8000)), app) == word
    )


def test_a_service_that_does_not_run_has_no_health(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    app = answering(monkeypatch, 200)

    assert health(stack.boot(), Service("api", "exited", address=Address("127.0.0.1", 8000)), HEALTH) == ""
    assert app.asked == []


def test_an_app_that_is_still_starting_is_not_called_unhealthy(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, ConnectionRefusedError(111, "Connection refused"))

    word = health(
        stack.boot(), Service("api", "running", health="starting", address=Address("127.0.0.1", 8000)), HEALTH
    )

    assert word == "starting"


# -- whose answer it is ------------------------------------------------------------------------------------------------


def test_a_redirect_is_not_healthy_says_where_it_points_and_what_to_set(
    migrated: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, 302, "https://login.example/?next=/")
    all_healthy(migrated, "sso", "web")
    migrated.config["apps"]["api"] = {"health": "/", "wait": 5}
    migrated.runtime.becomes("api", "running", port=8000)

    error = not_ready(migrated.boot())

    assert error.seen == "http://127.0.0.1:8000/ answered 302, a redirect to https://login.example/?next=/"
    assert error.hint == "set `apps.api.health` in invoke.yaml to a path that answers itself"


@pytest.mark.parametrize("status", [300, 301, 303, 304, 307, 308])
def test_no_redirect_counts_as_an_answer(stack: FakeStack, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    answering(monkeypatch, status)

    assert isinstance(look_at(stack), NotYet)


def test_an_answer_of_another_program_does_not_count(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 200)
    stack.runtime.foreign["api"] = "node (pid 4711)"

    look = look_at(stack)

    assert look == NotYet(
        "node (pid 4711) answers at 127.0.0.1:8000, and is not api", "stop it, or give api another port"
    )
    assert health(stack.boot(), stack.runtime.services()["api"], HEALTH) == "unhealthy"


def test_each_replica_that_can_be_asked_is_asked(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    app = answering(monkeypatch, 200)

    def get(host: str, port: int, path: str, seconds: float) -> Answer:
        app.answer = 503 if port == 8002 else 200
        return app.get(host, port, path, seconds)

    monkeypatch.setattr(http_get, "get", get)

    look = look_at(stack, wanted=3, up=3, more_addresses=[Address("127.0.0.1", port) for port in (8001, 8002)])

    assert isinstance(look, NotYet)
    assert look.seen.startswith("http://127.0.0.1:8002/health answered 503")


# -- the very end ------------------------------------------------------------------------------------------------------


def test_an_app_without_a_check_that_exits_while_the_others_start_is_a_failure(migrated: FakeStack) -> None:
    """It ran when it was looked at first."""
    all_healthy(migrated, "api")
    migrated.runtime.becomes("web", "running")
    migrated.runtime.becomes("web", "exited", at=1, exit_code=3)
    migrated.runtime.becomes("sso", "running", health="starting")
    migrated.runtime.becomes("sso", "running", at=2, health="healthy")

    error = not_ready(migrated.boot())

    assert error.message == "web is not running: it exited with code 3"
    assert error.first == ("apps-up",)


def test_an_app_that_becomes_unhealthy_while_the_others_start_is_a_failure(migrated: FakeStack) -> None:
    all_healthy(migrated, "api", "web")
    migrated.runtime.becomes("web", "running", at=1, health="unhealthy")
    migrated.runtime.becomes("sso", "running", health="starting")
    migrated.runtime.becomes("sso", "running", at=2, health="healthy")

    assert not_ready(migrated.boot()).message == "web is unhealthy"


def test_an_app_that_exits_while_the_tables_are_verified_is_a_failure(
    migrated: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_healthy(migrated)

    def verify_slowly(boot: Boot) -> str:
        migrated.runtime.becomes("api", "exited", exit_code=1)
        return verify_created_at_start(boot)

    monkeypatch.setattr(waits, "verify_created_at_start", verify_slowly)

    assert not_ready(migrated.boot()).message == "api is not running: it exited with code 1"


# -- replicas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code", "seen"),
    [
        ("exited", 137, "one of the others exited with code 137"),
        ("created", None, "the others were never started"),
        ("absent", None, "the others were never made"),
    ],
)
def test_a_service_of_which_a_replica_is_missing_is_not_started(
    migrated: FakeStack, state: str, code: int | None, seen: str
) -> None:
    all_healthy(migrated, "sso", "web")
    migrated.runtime.becomes("api", state, exit_code=code, wanted=3, up=1)

    error = not_ready(migrated.boot())

    assert error.message == "api is not running: only 1 of 3 replicas run"
    assert error.expected == "3 running replicas, as Compose would run"
    assert error.seen == seen
    assert error.hint.endswith("inv apps-up")


def test_what_does_its_work_in_several_replicas_has_ended_when_all_have(migrated: FakeStack) -> None:
    migrated.config["apps"]["web"] = {"ends": True}
    all_healthy(migrated, "sso", "api")
    migrated.runtime.becomes("web", "exited", exit_code=0, wanted=2, up=1)
    migrated.runtime.becomes("web", "exited", at=3, exit_code=0, wanted=2)

    wait_apps(migrated.boot())

    assert migrated.clock.now() >= 3


# -- what no wait would bring ------------------------------------------------------------------------------------------


@pytest.fixture
def with_tables(running: FakeStack) -> FakeStack:
    """Every app runs, and is known to have made the tables that its start makes."""
    for name in ("sso", "api", "web"):
        running.runtime.becomes(name, "running", health="healthy", instance=f"{name} 1")
    wait_apps(running.boot())
    return running


def test_tables_that_only_another_start_would_make_are_not_waited_for(with_tables: FakeStack) -> None:
    with_tables.runtime.becomes("api", "running", health="unhealthy", instance="api 1")
    with_tables.database.drop("worker")
    begun = with_tables.clock.now()

    with pytest.raises(NotReadyError) as caught:
        wait_apps(with_tables.boot())

    assert with_tables.clock.now() == begun
    assert caught.value.message == "api has lost tables, and api makes them only when it starts"
    assert caught.value.seen == "public.worker missing, which api had made"
    assert caught.value.first == ("apps-up",)


def test_an_app_that_was_started_since_is_waited_for(with_tables: FakeStack) -> None:
    with_tables.runtime.becomes("api", "running", health="starting", instance="api 2")
    with_tables.runtime.becomes("api", "running", health="healthy", instance="api 2", at=5)
    with_tables.database.drop("worker")

    with pytest.raises(MigrationError, match="its tables are not what its tool makes"):
        wait_apps(with_tables.boot())

    assert with_tables.clock.now() >= 5


def test_an_app_that_does_not_run_is_said_to_have_ended_and_not_to_have_lost_tables(with_tables: FakeStack) -> None:
    with_tables.runtime.becomes("api", "exited", exit_code=3, instance="api 1")
    with_tables.database.drop("worker")

    with pytest.raises(NotReadyError, match="api is not running"):
        wait_apps(with_tables.boot())


def test_apps_are_not_waited_for_without_a_database(with_tables: FakeStack) -> None:
    with_tables.runtime.becomes("postgres", "exited", exit_code=0)
    with_tables.runtime.becomes("api", "running", health="unhealthy", instance="api 1")
    begun = with_tables.clock.now()

    with pytest.raises(NotReadyError, match="the database does not answer") as caught:
        wait_apps(with_tables.boot())

    assert with_tables.clock.now() == begun
    assert caught.value.first == ("db-up", "wait-db")
