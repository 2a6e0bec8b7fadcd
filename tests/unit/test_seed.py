from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.bootorder.errors import LockedError, MigrationError, NotReadyError
from scripts.bootorder.migrate import migrate
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed
from scripts.bootorder.seed import seed

from .fakes import SEED, FakeDatabase, FakeStack, locked, prints


@pytest.fixture
def migrated(stack: FakeStack) -> FakeStack:
    migrate(stack.boot())
    stack.runtime.ran.clear()
    stack.runtime.changed.clear()
    return stack


def failure(stack: FakeStack) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        seed(stack.boot())
    assert caught.value.exit_code == 5
    return caught.value


def test_a_seed_runs_and_says_how_many_rows_it_made(migrated: FakeStack) -> None:
    assert seed(migrated.boot()) == Outcome("sso +1 row")
    assert migrated.runtime.ran == ["pnpm seed:setup"]


def test_a_seed_that_is_recorded_is_skipped(migrated: FakeStack) -> None:
    seed(migrated.boot())

    assert seed(migrated.boot()) == Outcome.skipped("sso already seeded")
    assert migrated.runtime.ran == ["pnpm seed:setup"]


def test_a_seed_that_finds_its_rows_there_had_nothing_to_do(migrated: FakeStack) -> None:
    """Rows that somebody made before bootorder recorded anything."""
    migrated.database.rows["user"] = 1

    assert seed(migrated.boot()) == Outcome.done("sso had nothing to do")
    assert migrated.runtime.ran == ["pnpm seed:setup"]


def test_a_seed_that_changed_rows_without_adding_any_had_something_to_do(migrated: FakeStack) -> None:
    def rename(database: FakeDatabase) -> Completed:
        database.updates["user"] = 1
        return prints("renamed")

    migrated.database.rows["user"] = 1
    migrated.runtime.tools[SEED] = rename

    assert seed(migrated.boot()) == Outcome("sso rows updated")


def test_a_seed_that_had_nothing_to_do_is_recorded_as_well(migrated: FakeStack) -> None:
    migrated.database.rows["user"] = 1
    seed(migrated.boot())

    assert seed(migrated.boot()) == Outcome.skipped("sso already seeded")


def test_a_seed_whose_environment_changed_is_named_and_run_when_that_is_asked_for(migrated: FakeStack) -> None:
    seed(migrated.boot())
    migrated.runtime.environments["sso-setup"]["SSO_URL"] = "http://localhost:4001"

    outcome = seed(migrated.boot())

    assert outcome.was_skipped
    assert "changed since: inv seed --reseed sso runs it again" in outcome.text
    assert migrated.runtime.ran == ["pnpm seed:setup"]

    seed(replace(migrated.boot(), reseed=["sso"]))

    assert migrated.runtime.ran == ["pnpm seed:setup", "pnpm seed:setup"]
    assert seed(migrated.boot()) == Outcome.skipped("sso already seeded")


def test_a_record_beside_empty_tables_is_not_believed(migrated: FakeStack) -> None:
    seed(migrated.boot())
    migrated.database.rows["user"] = 0

    assert seed(migrated.boot()) == Outcome("sso +1 row")


def test_a_seed_that_exits_with_a_failure_has_failed_and_is_not_recorded(migrated: FakeStack) -> None:
    def half(database: FakeDatabase) -> Completed:
        database.rows["user"] = 1
        return prints("Error: no DEMO_PASSWORD", code=1)

    migrated.runtime.tools[SEED] = half

    error = failure(migrated)

    assert error.message == "sso: its seed failed"
    assert error.seen == "exit code 1, 1 row"
    assert error.log
    assert error.log.lines == ["Error: no DEMO_PASSWORD"]
    assert "inv seed" in error.hint
    failure(migrated)


def test_a_seed_that_exits_0_and_leaves_no_rows_has_failed(migrated: FakeStack) -> None:
    migrated.runtime.tools[SEED] = lambda _: prints("done")

    assert failure(migrated).seen == "exit code 0, 0 rows"


def test_a_seed_before_its_tables_names_the_stage_that_makes_them(stack: FakeStack) -> None:
    with pytest.raises(NotReadyError, match="sso has not migrated") as caught:
        seed(stack.boot())

    assert "inv migrate" in caught.value.hint
    assert "pnpm seed:setup" not in stack.runtime.ran


def test_a_seed_without_a_database_is_refused(migrated: FakeStack) -> None:
    migrated.server.refusal = "Connection refused"

    with pytest.raises(NotReadyError, match="does not answer"):
        seed(migrated.boot())

    assert migrated.runtime.ran == []


def test_without_seeds_the_database_is_not_even_looked_at(stack: FakeStack) -> None:
    stack.config["owners"]["sso"]["seed"] = ""
    stack.server.refusal = "Connection refused"

    assert seed(stack.boot()) == Outcome.skipped("no owner has a seed")


def test_only_owners_with_a_seed_are_built(migrated: FakeStack) -> None:
    seed(migrated.boot())

    assert migrated.runtime.changed == ["build sso-setup"]


def test_one_seed_that_ran_beside_one_that_did_not_is_done(migrated: FakeStack) -> None:
    seed(migrated.boot())
    migrated.config["owners"]["api"] |= {"migrator": "command", "seed": "python -m rows"}

    def rows(database: FakeDatabase) -> Completed:
        database.rows["worker"] = 2
        return prints("2 workers")

    migrated.runtime.tools["python", "-m", "rows"] = rows
    migrate(migrated.boot())

    assert seed(migrated.boot()) == Outcome("sso already seeded; api +2 rows")


def test_a_seed_waits_for_no_migration_but_is_refused_beside_one(migrated: FakeStack) -> None:
    with locked(), pytest.raises(LockedError):
        seed(migrated.boot())


def test_an_empty_volume_knows_of_no_seed(migrated: FakeStack) -> None:
    seed(migrated.boot())
    migrated.server.databases["taskflow"] = FakeDatabase()
    migrate(migrated.boot())

    assert seed(migrated.boot()) == Outcome("sso +1 row")


def test_rows_of_other_owners_are_not_taken_for_the_seed_s(migrated: FakeStack) -> None:
    migrated.database.create({})
    migrated.database.rows["worker"] = 9
    migrated.runtime.tools[SEED] = lambda _: prints("done")

    assert failure(migrated).seen == "exit code 0, 0 rows"
