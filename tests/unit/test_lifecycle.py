from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from scripts.bootorder.errors import MachineError, NotReadyError
from scripts.bootorder.lifecycle import apps_up, clean, create_apps, db_up, start, stop
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed

from .fakes import CREATE_ALL, FakeDatabase, FakeStack, create_all, push, table


@pytest.fixture
def migrated(stack: FakeStack) -> FakeStack:
    push(stack.database)
    return stack


def started(stack: FakeStack) -> list[str]:
    return [change.removeprefix("start ") for change in stack.runtime.changed if change.startswith("start ")]


def test_stop_names_what_it_stopped(stack: FakeStack) -> None:
    stack.runtime.becomes("api", "running")

    assert stop(stack.boot()) == Outcome("stopped postgres, api")
    assert not any(service.running for service in stack.runtime.services().values())


def test_what_was_stopped_is_remembered_until_it_is_started_anew(stack: FakeStack) -> None:
    for name in ("api", "web"):
        stack.runtime.becomes(name, "running", instance=f"the first {name}")
    stop(stack.boot())
    stop(stack.boot())
    stack.runtime.becomes("web", "exited", exit_code=143, instance="the second web")

    services = stack.runtime.services()
    assert [name for name in services if stack.boot().was_stopped(services[name])] == ["api"]


def test_what_a_stop_that_was_interrupted_had_stopped_did_not_crash(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("api", "web"):
        stack.runtime.becomes(name, "running", instance=f"the first {name}")

    def half() -> Sequence[str]:
        stack.runtime.becomes("web", "exited", exit_code=143, instance="the first web")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stack.runtime, "stop", half)
        with pytest.raises(KeyboardInterrupt):
            stop(stack.boot())
    stop(stack.boot())

    services = stack.runtime.services()
    assert [name for name in ("api", "web") if stack.boot().was_stopped(services[name])] == ["api", "web"]


def test_what_is_not_declared_any_more_is_stopped_too(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.runtime, "stop", lambda: ["not declared any more"])

    assert stop(stack.boot()) == Outcome("stopped not declared any more")


def test_stop_again_has_nothing_to_do(stack: FakeStack) -> None:
    stop(stack.boot())

    assert stop(stack.boot()) == Outcome.skipped("nothing was running")


def test_stop_does_not_say_that_nothing_was_running_where_something_was(stack: FakeStack) -> None:
    """Under another name, or with the other runtime."""
    stack.runtime.stop()
    nothing = stop(stack.boot())
    stack.runtime.apart = "api of this folder runs as the Compose project old: COMPOSE_PROJECT_NAME=old inv stop"
    apart = stop(stack.boot())
    stack.runtime.apart = ""
    stack.elsewhere = MachineError("this stack already runs with the embedded runtime", hint="stop it")
    elsewhere = stop(stack.boot())

    assert nothing == Outcome.skipped("nothing was running")
    assert apart == elsewhere == Outcome.skipped("nothing was running under this name, with this runtime")
    assert "      api of this folder runs as the Compose project old: COMPOSE_PROJECT_NAME=old inv stop" in stack.said


def test_clean_counts_what_it_removed(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = {"container": ["a", "b"], "volume": ["data"], "image": ["x", "y", "z"]}
    monkeypatch.setattr(stack.runtime, "remove", lambda: removed)

    assert clean(stack.boot()) == Outcome("removed 2 containers, 1 volume, 3 images")


@pytest.mark.parametrize(
    ("removed", "words"),
    [
        ({"process": ["api"], "data folder": ["/data"], "build": ["0a1b"]}, "1 process, 1 data folder, 1 build"),
        ({"process": ["api", "web"], "data folder": ["/a", "/b"]}, "2 processes, 2 data folders"),
        ({"process": [], "build": ["a", "b"]}, "2 builds"),
    ],
)
def test_clean_counts_whatever_its_runtime_removes(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch, removed: dict[str, list[str]], words: str
) -> None:
    monkeypatch.setattr(stack.runtime, "remove", lambda: removed)

    assert clean(stack.boot()) == Outcome(f"removed {words}")


def test_clean_says_nothing_of_what_there_was_not(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.runtime, "remove", lambda: {"container": [], "volume": ["data"]})

    assert clean(stack.boot()) == Outcome("removed 1 volume")


def test_clean_again_has_nothing_to_do(stack: FakeStack) -> None:
    clean(stack.boot())

    assert clean(stack.boot()) == Outcome.skipped("nothing was there")


def test_the_database_is_started_with_what_stands_beside_it_and_nothing_else(stack: FakeStack) -> None:
    clean(stack.boot())

    assert db_up(stack.boot()) == Outcome("postgres and pgadmin started")
    assert started(stack) == ["postgres", "pgadmin"]


def test_the_database_s_programs_are_made_before_it_is_started(stack: FakeStack) -> None:
    db_up(stack.boot())

    assert stack.runtime.changed == ["build postgres", "build pgadmin", "start postgres", "start pgadmin"]


def test_what_is_optional_beside_the_database_is_started_when_it_is_asked_for(stack: FakeStack) -> None:
    stack.runtime.optional_ones = ["pgadmin"]

    assert db_up(stack.boot()) == Outcome.skipped("postgres already runs")
    assert db_up(stack.boot(asked_for=["pgadmin"])) == Outcome("pgadmin started")


def test_a_database_that_runs_is_left_alone(stack: FakeStack) -> None:
    db_up(stack.boot())

    assert db_up(stack.boot()) == Outcome.skipped("postgres and pgadmin already run")


def test_only_what_was_started_anew_is_named(stack: FakeStack) -> None:
    assert db_up(stack.boot()) == Outcome("pgadmin started")


def test_the_apps_are_built_and_started_once_their_owners_have_migrated(migrated: FakeStack) -> None:
    assert apps_up(migrated.boot()) == Outcome("sso, api and web started")
    assert started(migrated) == ["sso", "api", "web"]


def test_what_a_job_started_before_is_started_by_this_boot(migrated: FakeStack) -> None:
    """It took the time that the stage shows: `skipped` beside 13 s would say that nothing was to be done."""
    boot = migrated.boot()
    start(boot, ["web"])
    start(boot, ["sso", "api"])

    assert apps_up(boot) == Outcome("sso, api and web started")
    assert apps_up(migrated.boot()).was_skipped
    assert {"build sso", "build api", "build web"} <= set(migrated.runtime.changed)


def test_apps_are_refused_before_an_owner_that_must_migrate_first(stack: FakeStack) -> None:
    with pytest.raises(NotReadyError, match="sso has not migrated") as caught:
        apps_up(stack.boot())

    assert "inv migrate" in caught.value.hint
    assert started(stack) == []


def test_an_owner_that_creates_at_start_is_not_waited_for_before_its_app_starts(migrated: FakeStack) -> None:
    apps_up(migrated.boot())

    assert "worker" not in migrated.database.tables


def test_apps_are_refused_without_a_database(migrated: FakeStack) -> None:
    migrated.server.refusal = "Connection refused"

    with pytest.raises(NotReadyError, match="does not answer"):
        apps_up(migrated.boot())

    assert started(migrated) == []


def test_apps_that_run_are_left_alone(migrated: FakeStack) -> None:
    apps_up(migrated.boot())

    assert apps_up(migrated.boot()) == Outcome.skipped("sso, api and web already run")


@pytest.fixture
def with_tables(running: FakeStack) -> FakeStack:
    """Every app runs, and is known to have made the tables that its start makes."""
    for name, instance in (("sso", "s1"), ("api", "a1, a2"), ("web", "w1")):
        running.runtime.becomes(name, "running", health="healthy", instance=instance)
    running.boot().note_tables_made(["api"])
    return running


def test_an_app_whose_tables_are_there_is_left_alone(with_tables: FakeStack) -> None:
    assert apps_up(with_tables.boot()).was_skipped
    assert "stop api" not in with_tables.runtime.changed


@pytest.mark.parametrize("instance", ["a1, a2", "a2, a3"], ids=["as it was", "with a replica that came later"])
def test_an_app_that_lost_a_table_which_only_its_start_makes_is_started_anew(
    with_tables: FakeStack, instance: str
) -> None:
    with_tables.runtime.becomes("api", "running", health="unhealthy", instance=instance)
    with_tables.database.drop("worker")

    assert apps_up(with_tables.boot(quick=True)) == Outcome("api started")

    assert [change for change in with_tables.runtime.changed if change.startswith("stop")] == ["stop api"]
    assert "starting api anew, as only its start makes public.worker" in with_tables.said


def test_an_app_that_is_to_make_one_more_table_is_started_anew(with_tables: FakeStack) -> None:
    def create(database: FakeDatabase) -> Completed:
        database.create(table("invoice"), by="api")
        return create_all(database)

    with_tables.runtime.tools[CREATE_ALL] = create
    with_tables.runtime.images["api"] = "sha256:another"

    assert apps_up(with_tables.boot(quick=True)) == Outcome("api started")


def test_an_app_that_is_about_to_make_its_tables_is_left_alone(with_tables: FakeStack) -> None:
    """Another machine may have started it a moment ago, and waits for it."""
    with_tables.runtime.becomes("api", "running", health="starting", instance="a7, a8")
    with_tables.database.drop("worker", "task")

    assert apps_up(with_tables.boot()).was_skipped


def test_an_app_that_lost_its_tables_and_has_ended_is_started_once(with_tables: FakeStack) -> None:
    with_tables.runtime.becomes("api", "exited", exit_code=1, instance="a1, a2")
    with_tables.database.drop("worker")

    assert apps_up(with_tables.boot()) == Outcome("api started")
    assert "stop api" not in with_tables.runtime.changed


def test_quick_builds_no_app_that_was_built_before(migrated: FakeStack) -> None:
    apps_up(migrated.boot(quick=True))

    assert not any(change.startswith("build") for change in migrated.runtime.changed)


def test_an_app_that_does_not_run_is_started_again(migrated: FakeStack) -> None:
    apps_up(migrated.boot())
    migrated.runtime.becomes("web", "exited", exit_code=1)

    assert apps_up(migrated.boot()) == Outcome("web started")


def test_a_stack_without_apps_starts_nothing(stack: FakeStack) -> None:
    for name in ("sso", "api", "web"):
        del stack.runtime.environments[name]
    stack.config["apps"] = {}
    del stack.config["owners"]["api"]
    push(stack.database)

    assert apps_up(stack.boot()).was_skipped
    assert started(stack) == []


def test_an_app_that_connects_as_the_superuser_is_named(migrated: FakeStack) -> None:
    migrated.runtime.environments["web"] = {
        "HOME": "/",
        "DATABASE_URL": "postgresql://taskflow:x@postgres:5432/taskflow",
    }

    apps_up(migrated.boot())

    said = migrated.talk.getvalue()
    assert "web connects as taskflow, a superuser (DATABASE_URL)" in said
    assert "api connects" not in said


def test_what_the_start_of_the_apps_would_make_first_is_made_without_starting_them(stack: FakeStack) -> None:
    assert create_apps(stack.boot()) == Outcome("sso, api and web created")
    assert stack.runtime.changed == ["create sso", "create api", "create web"]


def test_a_start_says_how_long_its_builds_took(migrated: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    build = migrated.runtime.build

    def slow(names: Sequence[str], on_line: Callable[[str], None]) -> None:
        migrated.clock.sleep(44)
        build(names, on_line)

    monkeypatch.setattr(migrated.runtime, "build", slow)

    assert apps_up(migrated.boot()).text.endswith("started (after 44.0 s of builds)")
