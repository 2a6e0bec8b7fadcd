"""What a start refuses before it stops or removes anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.boot import Boot
from scripts.bootorder.errors import BootError, GuardError, LockedError, MachineError, MigrationError
from scripts.bootorder.migrate import migrate
from scripts.bootorder.preflight import CHECKS
from scripts.bootorder.running import start_stack
from scripts.bootorder.stages import STAGES

from .fakes import CREATE_ALL, PUSH, USER, FakeDatabase, FakeStack, locked, prints, table

MODEL = {"name": "Task", "state": "created", "file": "models.py", "line": 7, "module": "models"}
FORGOTTEN = {**MODEL, "name": "Forgotten", "state": "missing"}


def start(boot: Boot, **flags: Any) -> None:
    start_stack(boot, **{"with_clean": False, "until": "", "as_json": False, "dry": False, **flags})


@pytest.fixture
def known(running: FakeStack) -> FakeStack:
    """A stack that runs, whose tools were all rehearsed."""
    running.runtime.models = [MODEL]
    migrate(running.boot())
    running.runtime.ran.clear()
    running.runtime.changed.clear()
    running.talk.truncate(0)
    return running


def refused(stack: FakeStack, error: type[BootError], **flags: Any) -> BootError:
    """Start it, see that nothing was stopped, removed or migrated, and return what was said."""
    tables = set(stack.database.tables)
    with pytest.raises(error) as caught:
        start(stack.boot(), **flags)
    assert {name for name, service in stack.runtime.services().items() if service.running} >= {"sso", "api", "web"}
    assert stack.database.tables == tables
    assert caught.value.details[-1] == "found before anything was stopped"
    return caught.value


def changed(stack: FakeStack, *services: str) -> None:
    """Their sources are others: so is what is built of them."""
    for service in services:
        stack.runtime.images[service] = f"sha256:another-{service}"


def test_every_check_is_one_of_a_stage() -> None:
    assert {check.stage for check in CHECKS} <= {stage.name for stage in STAGES}


def test_nothing_is_built_or_rehearsed_before_a_stop_where_nothing_has_changed(known: FakeStack) -> None:
    begun: list[str] = []
    stop = known.runtime.stop
    known.runtime.stop = lambda: begun.extend([*known.runtime.ran, *known.runtime.changed]) or stop()  # type: ignore[func-returns-value,method-assign]

    start(known.boot())

    assert begun == []


@pytest.mark.parametrize("with_clean", [False, True])
def test_a_model_that_nobody_imports_is_refused_before_a_stop(known: FakeStack, with_clean: bool) -> None:
    changed(known, "api")
    known.runtime.models = [MODEL, FORGOTTEN]

    error = refused(known, MigrationError, with_clean=with_clean)

    assert "create_all does not know Forgotten" in error.message


@pytest.mark.parametrize("with_clean", [False, True])
def test_a_tool_that_fails_is_refused_before_a_stop(known: FakeStack, with_clean: bool) -> None:
    changed(known, "sso-setup")
    known.runtime.tools[PUSH] = lambda _: prints("Cannot find module", code=1)

    error = refused(known, MigrationError, with_clean=with_clean)

    assert "drizzle failed on an empty database" in error.message


@pytest.mark.parametrize("with_clean", [False, True])
def test_a_table_of_two_owners_is_refused_before_a_stop(known: FakeStack, with_clean: bool) -> None:
    def create(database: FakeDatabase) -> Any:
        database.create(USER, table("worker"), by="api")
        return prints("2 tables")

    changed(known, "api")
    known.runtime.tools[CREATE_ALL] = create

    error = refused(known, GuardError, with_clean=with_clean)

    assert "sso and api both make public.user" in error.message


def test_a_column_that_create_all_would_not_add_is_refused_before_a_stop(known: FakeStack) -> None:
    def create(database: FakeDatabase) -> Any:
        database.create(table("worker"), table("task", id="integer not null", title="text", due="date"), by="api")
        return prints("2 tables")

    changed(known, "api")
    known.runtime.tools[CREATE_ALL] = create

    error = refused(known, MigrationError)

    assert "task lacks the column due" in error.message


def test_a_table_that_was_altered_by_hand_is_refused_before_a_stop(known: FakeStack) -> None:
    known.database.objects = {key: text for key, text in known.database.objects.items() if key.name != "title"}

    error = refused(known, MigrationError)

    assert "task lacks the column title" in error.message


def test_rows_that_would_be_lost_are_refused_before_a_stop(known: FakeStack) -> None:
    def drop(database: FakeDatabase) -> Any:
        database.drop("session")
        database.create(USER, table("session", id="text not null", token="text"))
        return prints("[✓] Changes applied")

    known.database.rows["session"] = 3
    changed(known, "sso-setup")
    known.runtime.tools |= {PUSH: drop, (*PUSH, "--force"): drop}

    error = refused(known, MigrationError)

    assert "would lose rows of its own" in error.message


def test_rows_are_given_up_where_that_is_asked_for(known: FakeStack) -> None:
    changed(known, "sso-setup")
    known.database.drop("session")
    known.database.rows["user"] = 3

    start(known.boot())

    assert "session" in known.database.tables


def test_what_was_touched_is_built_before_a_stop(known: FakeStack) -> None:
    """The id of an image says only after a build that its sources are others."""
    known.runtime.touched.add("api")
    known.runtime.models = [MODEL, FORGOTTEN]
    build = known.runtime.build

    def building(names: list[str], on_line: Callable[[str], None]) -> None:
        build(names, on_line)
        changed(known, *names)

    known.runtime.build = building  # type: ignore[method-assign,assignment]

    refused(known, MigrationError)

    assert known.runtime.changed == ["build api"]


@pytest.mark.parametrize("why", ["another server", "a folder of what runs", "no guard", "a stopped database"])
def test_what_cannot_be_known_yet_is_left_to_its_stage(
    known: FakeStack, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    changed(known, "api")
    known.runtime.models = [MODEL, FORGOTTEN]
    if why == "another server":
        known.runtime.outdated.add("postgres")
    elif why == "a folder of what runs":
        known.runtime.shares_a_folder.add("api")
    elif why == "no guard":
        monkeypatch.setattr("scripts.bootorder.guard.stage.is_in_place", lambda *_: False)
    else:
        known.runtime.becomes("postgres", "exited", exit_code=0)

    with pytest.raises(MigrationError):
        start(known.boot())

    assert not known.runtime.services()["web"].running


def test_a_quick_start_stops_nothing_and_looks_at_nothing_first(known: FakeStack) -> None:
    changed(known, "api")
    known.runtime.models = [MODEL, FORGOTTEN]

    with pytest.raises(MigrationError) as caught:
        start(known.boot(quick=True))

    assert caught.value.details[-1] != "found before anything was stopped"


def test_models_are_looked_at_before_rows_are_removed_also_where_the_database_does_not_run(known: FakeStack) -> None:
    changed(known, "api")
    known.runtime.becomes("postgres", "exited", exit_code=0)
    known.runtime.holds_data = known.runtime.needs_no_variables = True
    known.runtime.models = [MODEL, FORGOTTEN]

    refused(known, MigrationError, with_clean=True)


def test_nothing_is_built_before_a_removal_of_nothing(stack: FakeStack) -> None:
    stack.runtime.becomes("postgres", "absent")
    begun: list[str] = []
    remove = stack.runtime.remove
    stack.runtime.remove = lambda: begun.extend(stack.runtime.changed) or remove()  # type: ignore[func-returns-value,method-assign]

    start(stack.boot(), with_clean=True, until="clean")

    assert begun == []


def test_a_migration_of_somebody_else_is_waited_for_before_its_database_is_stopped(known: FakeStack) -> None:
    with locked():
        error = refused(known, LockedError)

    assert "another migration is under way" in error.message


@pytest.mark.parametrize("with_clean", [False, True])
def test_a_command_that_this_machine_lacks_is_refused_before_a_stop(known: FakeStack, with_clean: bool) -> None:
    known.config["owners"]["sso"] |= {"run": "host", "directory": ".", "migrate": "nowhere-to-be-found push"}

    error = refused(known, MachineError, with_clean=with_clean)

    assert error.message == "owner sso: this machine has no nowhere-to-be-found"
    assert "owners.sso.migrate" in error.hint


def test_a_seed_s_command_that_this_machine_lacks_is_refused_before_rows_are_removed(known: FakeStack) -> None:
    (known.root / "push").write_text("", encoding="utf-8")
    (known.root / "push").chmod(0o700)
    known.config["owners"]["sso"] |= {"run": "host", "directory": ".", "migrate": "./push", "seed": "./not-there"}

    error = refused(known, MachineError, with_clean=True)

    assert error.message == "owner sso: this machine has no ./not-there"


def test_an_sql_file_that_was_changed_is_refused_before_a_stop(known: FakeStack, tmp_path: Path) -> None:
    (tmp_path / "roles.sql").write_text("select 2", encoding="utf-8")
    known.config["database"]["before"] = ["roles.sql"]
    known.database.records["before"] = {"roles.sql": ("another", "me")}

    error = refused(known, BootError)

    assert "roles.sql was changed after it was run" in error.message


def test_tables_of_no_owner_that_a_tool_makes_are_refused_before_a_stop(
    known: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.bootorder.guard import stage, strays

    stray = strays.Stray("taskflow", "public", "session", "table", "taskflow")
    monkeypatch.setattr(stage, "_strays", lambda *_: strays.Found([stray], set()))

    error = refused(known, GuardError)

    assert "belong to no owner" in error.message


def test_a_database_that_breaks_off_meanwhile_is_no_verdict(known: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    def breaks_off(*_: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("scripts.bootorder.guard.stage.refuse_known", breaks_off)

    start(known.boot())

    assert known.runtime.services()["web"].running
