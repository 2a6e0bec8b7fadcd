"""Seeding on a real PostgreSQL 18: once, again when it is another seed, and again when its rows are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder import catalog
from scripts.bootorder.database import Target
from scripts.bootorder.errors import GuardError, LockedError, MigrationError, NotReadyError
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.migrate import migrate
from scripts.bootorder.migration_lock import migration_lock
from scripts.bootorder.processes import Completed
from scripts.bootorder.seed import seed
from tests.contract.hand import by_hand

from .owners import DRIZZLE, OWNERS, Connection, Tool, Workbench, says, send, workbench

USERS = """
insert into "user" values ('1', 'a@example.com'), ('2', 'b@example.com'), ('3', 'c@example.com')
on conflict (id) do update set email = excluded.email where "user".email <> excluded.email
"""


@pytest.fixture
def bench(tmp_path: Path, roles: Mapping[str, str], database: Target) -> Workbench:
    """The SSO has migrated; its seed makes three users, and changes nothing when it is run twice."""
    bench = workbench(tmp_path, database, roles)
    migrate(bench.boot())
    bench.runtime.runs.clear()
    bench.runtime.tools["seed"] = seeds(USERS)
    return bench


def seeds(statements: str, text: str = "seeded", code: int = 0) -> Tool:
    def run(connection: Connection) -> Completed:
        send(connection, statements)
        return says(text, code)

    return run


def ran(bench: Workbench) -> int:
    return [command for command, _ in bench.runtime.runs].count("seed")


def test_a_first_seed_makes_rows(bench: Workbench) -> None:
    outcome = seed(bench.boot())

    assert (outcome.text, outcome.was_skipped) == ("sso +3 rows", False)
    assert bench.count("user") == 3
    assert bench.runtime.runs == [("seed", bench.target.name)]


INVOICES = "create table invoice (id int); insert into invoice select generate_series(1, 42)"


@pytest.mark.parametrize("taking", ["delete from invoice where id > 40", "truncate invoice", "drop table invoice"])
def test_a_seed_cannot_take_rows_of_another_owner(bench: Workbench, taking: str) -> None:
    bench.send(INVOICES, by="api")
    bench.runtime.tools["seed"] = seeds(f"{USERS}; {taking}")

    with pytest.raises(MigrationError, match="sso: its seed failed") as failed:
        seed(bench.boot())

    assert failed.value.log is not None
    assert any("invoice" in line for line in failed.value.log.lines)
    assert (bench.count("invoice"), bench.count("user")) == (42, 0)


def test_rows_of_another_owner_that_are_lost_while_it_runs_are_found_out(bench: Workbench) -> None:
    bench.send(INVOICES, by="api")

    def taking(connection: Connection) -> Completed:
        bench.send("delete from invoice where id > 40")
        return seeds(USERS)(connection)

    bench.runtime.tools["seed"] = taking

    with pytest.raises(GuardError, match="sso: its seed changed what is not its own") as refused:
        seed(bench.boot())

    assert refused.value.details == ("- public.invoice: 2 rows deleted",)


def test_a_recorded_seed_is_not_run_again(bench: Workbench) -> None:
    seed(bench.boot())
    outcome = seed(bench.boot())

    assert (outcome.text, outcome.was_skipped) == ("sso already seeded", True)
    assert ran(bench) == 1


def changed_sources(bench: Workbench) -> Mapping[str, Any]:
    bench.runtime.sources["sso"] = "second version"
    return OWNERS


def changed_command(bench: Workbench) -> Mapping[str, Any]:
    bench.runtime.tools["reseed"] = bench.runtime.tools["seed"]
    return {"sso": {**DRIZZLE, "seed": "reseed"}}


def changed_environment(bench: Workbench) -> Mapping[str, Any]:
    bench.runtime.variables["WEB_URL"] = "http://localhost:4000"
    return OWNERS


ADDS = "insert into \"user\" select 'u' || n, 'u' || n || '@example.com' from generate_series({}, {}) n"


@pytest.mark.parametrize("change", [changed_sources, changed_command, changed_environment])
def test_a_changed_seed_is_named_and_run_again_only_when_that_is_asked_for(
    bench: Workbench, change: Callable[[Workbench], Mapping[str, Any]]
) -> None:
    """It may add its rows beside those of the old one."""
    bench.runtime.tools["seed"] = seeds(ADDS.format(1, 3))
    seed(bench.boot())
    bench.runtime.tools["seed"] = seeds(ADDS.format(4, 5))
    owners = change(bench)

    outcome = seed(bench.boot(owners=owners))

    assert outcome.was_skipped
    assert outcome.text.endswith("have changed since: inv seed --reseed sso runs it again")
    assert bench.count("user") == 3

    assert seed(bench.boot(owners=owners, reseed=["sso"])).text == "sso +2 rows"
    assert bench.count("user") == 5
    assert seed(bench.boot(owners=owners)).text == "sso already seeded"


def test_a_seed_is_run_once_while_its_sources_are_not_known(bench: Workbench) -> None:
    bench.runtime.sources["sso"] = ""
    seed(bench.boot())

    assert seed(bench.boot()).text == "sso already seeded"
    assert ran(bench) == 1


def test_a_seed_that_only_updates_says_so(bench: Workbench) -> None:
    seed(bench.boot())
    bench.runtime.tools["seed"] = seeds(USERS.replace("c@", "cc@"))
    outcome = seed(bench.boot(reseed=["sso"]))

    assert (outcome.text, outcome.was_skipped) == ("sso rows updated", False)


def test_a_seed_that_has_nothing_to_do_is_recorded(bench: Workbench) -> None:
    bench.send(USERS)
    outcome = seed(bench.boot())

    assert (outcome.text, outcome.was_skipped) == ("sso had nothing to do", False)  # it was run
    assert seed(bench.boot()).text == "sso already seeded"
    assert ran(bench) == 1


def test_a_seed_that_fails_is_a_failure_and_is_not_recorded(bench: Workbench) -> None:
    bench.runtime.tools["seed"] = seeds(USERS, "TypeError: no such column", 1)
    with pytest.raises(MigrationError, match="sso: its seed failed") as failed:
        seed(bench.boot())

    assert failed.value.exit_code == 5
    assert "exit code 1" in failed.value.seen
    assert failed.value.log is not None
    assert "TypeError: no such column" in failed.value.log.lines
    bench.runtime.tools["seed"] = seeds(USERS)
    assert seed(bench.boot()).text == "sso had nothing to do"
    assert ran(bench) == 2


def test_a_seed_without_rows_is_a_failure(bench: Workbench) -> None:
    bench.runtime.tools["seed"] = lambda _: says("seeded")

    with pytest.raises(MigrationError) as failed:
        seed(bench.boot())

    assert failed.value.expected == "exit code 0 and rows in its tables"
    assert "0 rows" in failed.value.seen


def test_rows_that_are_gone_are_seeded_again(bench: Workbench) -> None:
    seed(bench.boot())
    bench.send('truncate "user", session')

    assert seed(bench.boot()).text == "sso +3 rows"


def test_an_empty_volume_is_seeded_whatever_was_recorded_on_the_old_one(bench: Workbench, odd_database: Target) -> None:
    seed(bench.boot())
    bench.target = bench.runtime.target = odd_database
    guard(bench.boot())
    migrate(bench.boot())

    assert seed(bench.boot()).text == "sso +3 rows"


def test_a_seed_names_the_stage_that_makes_its_tables(bench: Workbench) -> None:
    bench.send("drop table session")

    with pytest.raises(NotReadyError, match="sso has not migrated") as refused:
        seed(bench.boot())

    assert "public.session missing" in refused.value.seen
    assert ran(bench) == 0


def test_a_seed_refuses_while_a_migration_is_under_way(bench: Workbench) -> None:
    with migration_lock(bench.target, 1, print), pytest.raises(LockedError):
        seed(bench.boot())

    assert ran(bench) == 0


def test_a_seed_that_crashes_is_not_recorded_and_frees_the_lock(bench: Workbench) -> None:
    def crash(connection: Connection) -> Completed:
        send(connection, USERS)
        raise KeyboardInterrupt

    bench.runtime.tools["seed"] = crash
    with pytest.raises(KeyboardInterrupt):
        seed(bench.boot())
    bench.runtime.tools["seed"] = seeds(USERS)

    assert seed(bench.boot()).text == "sso had nothing to do"


def test_an_owner_without_a_seed_has_nothing_to_seed(bench: Workbench) -> None:
    outcome = seed(bench.boot(owners={"sso": {**DRIZZLE, "seed": ""}}))

    assert (outcome.text, outcome.was_skipped) == ("no owner has a seed", True)


def test_a_record_is_no_table_of_the_stack(bench: Workbench) -> None:
    seed(bench.boot())
    with by_hand(bench.target) as connection:
        names = [name for _, name in catalog.read(connection).tables()]

    assert names == ["session", "user"]
    assert migrate(bench.boot()).text == "sso unchanged, 2 tables verified"
