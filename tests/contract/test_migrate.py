"""Migrating on a real PostgreSQL 18, with tools that do right, do nothing, lie, or take what is not theirs."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from scripts.bootorder import catalog
from scripts.bootorder.catalog import Catalog
from scripts.bootorder.database import Target, me
from scripts.bootorder.errors import GuardError, LockedError, MigrationError, NotReadyError, SettingsError
from scripts.bootorder.migrate import migrate, require_tables, verify_created_at_start
from scripts.bootorder.migration_lock import migration_lock
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed
from scripts.bootorder.seed import seed
from scripts.bootorder.trial import changes
from tests.contract.hand import by_hand, rows_by_hand
from tests.stack import free_ports

from .owners import (
    API,
    BOTH,
    OWNERS,
    PASSWORD,
    SSO,
    Connection,
    Tool,
    Workbench,
    is_rehearsal,
    on_scratch,
    push,
    says,
    send,
    workbench,
)


@pytest.fixture
def bench(tmp_path: Path, roles: Mapping[str, str], database: Target) -> Workbench:
    """The API has made its tables and rows; the SSO has not migrated yet."""
    bench = workbench(tmp_path, database, roles)
    bench.send(API, by="api")
    return bench


@pytest.fixture
def settled(bench: Workbench) -> Workbench:
    """Both have their tables."""
    migrate(bench.boot())
    bench.runtime.runs.clear()
    return bench


# -- owners that need nothing of each other ---------------------------------------------------------------------------

PEERS: Mapping[str, Any] = {
    "sso": OWNERS["sso"],
    "api": {"migrator": "command", "service": "api", "migrate": "create", "seed": "fill"},
}


def together(*tools: Tool) -> list[Tool]:
    """These tools; none of them is done before the others are at work, too. On a clone each is alone."""
    meetings = {is_scratch: threading.Barrier(len(tools), timeout=20) for is_scratch in (False, True)}

    def meeting(tool: Tool) -> Tool:
        def run(connection: Connection) -> Completed:
            is_scratch = on_scratch(connection)
            if is_scratch and not is_rehearsal(connection):
                return tool(connection)
            meetings[is_scratch].wait()
            done = tool(connection)
            meetings[is_scratch].wait()
            return done

        return run

    return [meeting(tool) for tool in tools]


def create(connection: Connection) -> Completed:
    send(connection, API)
    return says("made")


def takes(bench: Workbench, statement: str) -> Tool:
    """A tool that does something as the superuser, and says that nothing happened."""

    def run(_: Connection) -> Completed:
        bench.send(statement)
        return says("[i] No changes detected")

    return run


@pytest.fixture
def peers(tmp_path: Path, roles: Mapping[str, str], database: Target) -> Workbench:
    """Two owners, neither of whom has migrated."""
    bench = workbench(tmp_path, database, roles)
    bench.runtime.tools["push"], bench.runtime.tools["create"] = together(push(), create)
    return bench


def test_they_are_rehearsed_and_migrated_at_the_same_time(peers: Workbench) -> None:
    outcome = migrate(peers.boot(owners=PEERS))

    assert outcome.text == "sso migrated, 2 tables verified; api migrated, 2 tables verified"
    assert (peers.count("session"), peers.count("worker")) == (0, 42)


def test_what_is_nobodys_of_theirs_is_watched_while_they_migrate(peers: Workbench) -> None:
    migrate(peers.boot(owners=PEERS))
    peers.send("create table precious (id int); insert into precious values (1), (2)")

    peers.runtime.tools["push"], peers.runtime.tools["create"] = together(
        takes(peers, "drop table precious"), lambda _: says("made")
    )

    with pytest.raises(GuardError, match="changed what is not its own") as refused:
        migrate(peers.boot(owners=PEERS))

    assert refused.value.details == ("- public.precious (rows not known) was dropped",)


@pytest.mark.parametrize(
    "statement", ["truncate worker cascade", "delete from task", "drop view open_task; drop table task cascade"]
)
def test_rows_of_one_that_go_while_the_other_is_at_work_are_told(peers: Workbench, statement: str) -> None:
    migrate(peers.boot(owners=PEERS))
    peers.runtime.tools["push"], peers.runtime.tools["create"] = together(
        takes(peers, statement), lambda _: says("made")
    )

    with pytest.raises(
        GuardError, match="rows of api are gone, while the tools of sso and api were at work"
    ) as refused:
        migrate(peers.boot(owners=PEERS))

    assert any("were lost" in line for line in refused.value.details)


def test_rows_that_were_given_up_are_no_loss_beside_another(peers: Workbench) -> None:
    migrate(peers.boot(owners=PEERS))
    smaller = API.replace(", name text not null", "").replace(" (name) select 'worker ' || n from", " select n from")

    def shrinks(connection: Connection) -> Completed:
        send(connection, smaller if is_rehearsal(connection) else "alter table worker drop column name cascade")
        return says("made")

    peers.runtime.sources |= {"sso": "second version", "api": "second version"}
    peers.runtime.tools["push"], peers.runtime.tools["create"] = together(push(), shrinks)

    outcome = migrate(peers.boot(owners=PEERS, accept_data_loss=True))

    assert outcome.text == "sso unchanged, 2 tables verified; api migrated, 2 tables verified"


def test_a_loss_is_told_before_what_another_one_did_not_finish(peers: Workbench) -> None:
    migrate(peers.boot(owners=PEERS))
    peers.send("create table precious (id int); insert into precious values (1)")
    peers.runtime.tools["push"], peers.runtime.tools["create"] = together(
        lambda _: says("error: no", 1), takes(peers, "drop table precious")
    )

    with pytest.raises(GuardError, match=r"^sso: drizzle or api: command changed what is not its own"):
        migrate(peers.boot(owners=PEERS))


def test_what_one_changes_of_its_own_is_no_loss_for_the_other(peers: Workbench) -> None:
    migrate(peers.boot(owners=PEERS))

    def changing(makes: str, change: str) -> Tool:
        def run(connection: Connection) -> Completed:
            send(connection, makes + change if is_rehearsal(connection) else change)
            return says("[✓] Changes applied")

        return run

    peers.runtime.sources |= {"sso": "second version", "api": "second version"}
    peers.runtime.tools["push"], peers.runtime.tools["create"] = together(
        changing(SSO, "alter table session alter column id type varchar(90);"),
        changing(API, "alter table worker alter column name type varchar(90); drop index task_title;"),
    )

    outcome = migrate(replace(peers.boot(owners=PEERS), accept_data_loss=True))

    assert outcome.text == "sso migrated, 2 tables verified; api migrated, 2 tables verified"


def test_they_are_seeded_at_the_same_time(peers: Workbench) -> None:
    migrate(peers.boot(owners=PEERS))

    def fill(statement: str) -> Tool:
        def run(connection: Connection) -> Completed:
            send(connection, statement)
            return says("filled")

        return run

    peers.runtime.tools["seed"], peers.runtime.tools["fill"] = together(
        fill("""insert into "user" (id, email) values ('1', 'demo@example.com')"""),
        fill("insert into worker (name) values ('one'), ('two')"),
    )

    assert seed(peers.boot(owners=PEERS)).text == "sso +1 row; api +2 rows"


# -- tools that do right ----------------------------------------------------------------------------------------------


def test_a_first_push_makes_the_tables_and_leaves_the_others(bench: Workbench) -> None:
    outcome = migrate(bench.boot())

    assert (outcome.text, outcome.was_skipped) == ("sso migrated, 2 tables verified", False)
    assert (bench.count("user"), bench.count("session")) == (0, 0)
    assert (bench.count("worker"), bench.count("task")) == (42, 7)


def test_a_tool_is_rehearsed_before_it_may_touch_the_stack(bench: Workbench) -> None:
    migrate(bench.boot())

    (first, rehearsed), second = bench.runtime.runs
    assert (first, rehearsed.startswith("bootorder_scratch_")) == ("push", True)
    assert second == ("push", bench.target.name)


def test_a_second_push_is_unchanged(settled: Workbench) -> None:
    assert migrate(settled.boot()).text == "sso unchanged, 2 tables verified"


def test_a_tool_finds_an_extension_that_somebody_else_made(bench: Workbench) -> None:
    bench.send("create schema tools; create extension citext schema tools; grant usage on schema tools to public")

    def makes_a_note(connection: Connection) -> Completed:
        send(connection, "create table note (text tools.citext)")
        return says("[✓] Changes applied")

    bench.runtime.tools["push"] = makes_a_note

    assert migrate(bench.boot()).text == "sso migrated, 1 table verified"


def test_a_rehearsal_is_not_repeated_while_the_sources_are_the_same(settled: Workbench) -> None:
    migrate(settled.boot())

    assert settled.runtime.runs == [("push", settled.target.name)]


def test_a_rehearsal_is_repeated_when_the_sources_changed(settled: Workbench) -> None:
    settled.runtime.sources["sso"] = "second version"
    migrate(settled.boot())

    assert len(settled.runtime.runs) == 2


def test_a_rehearsal_is_repeated_when_the_server_is_another_one(settled: Workbench) -> None:
    """Another version of PostgreSQL may tell the same things in other words."""
    settled.runtime.sources["postgres"] = "next version"
    migrate(settled.boot())

    assert len(settled.runtime.runs) == 2


def test_a_rehearsal_is_repeated_in_every_boot_while_the_sources_are_not_known(settled: Workbench) -> None:
    settled.runtime.sources["sso"] = ""
    first, second = settled.boot(), settled.boot()
    migrate(first)
    migrate(first)
    migrate(second)

    assert [name == settled.target.name for _, name in settled.runtime.runs] == [False, True, True, False, True]


def test_a_quick_boot_skips_an_owner_whose_tables_are_complete(settled: Workbench) -> None:
    outcome = migrate(settled.boot(quick=True))

    assert (outcome.text, outcome.was_skipped) == ("sso unchanged", True)
    assert settled.runtime.runs == []


def test_a_quick_boot_migrates_an_owner_whose_tables_are_not_complete(settled: Workbench) -> None:
    settled.send('drop table session; alter table "user" drop column email')
    settled.runtime.tools["push"] = push(makes=_part("session") + 'alter table "user" add email text not null unique')

    assert migrate(settled.boot(quick=True)).text == "sso migrated, 2 tables verified"


def test_an_owner_that_creates_at_start_is_only_rehearsed(bench: Workbench) -> None:
    bench.runtime.tools["create"] = creates(API)

    outcome = migrate(bench.boot(owners=BOTH))

    assert outcome.text == "sso migrated, 2 tables verified; api makes its tables when it starts"
    assert ("create", bench.target.name) not in bench.runtime.runs


def test_a_foreign_key_of_another_owner_to_an_own_table_is_the_others(settled: Workbench) -> None:
    settled.send('alter table task add owner text references "user"')

    assert migrate(settled.boot()).text == "sso unchanged, 2 tables verified"


def test_what_others_make_meanwhile_is_no_loss(settled: Workbench) -> None:
    does = "create table invoice (id int); insert into worker (name) values ('new')"
    settled.runtime.tools["push"] = meanwhile(settled, does)

    assert migrate(settled.boot()).text == "sso unchanged, 2 tables verified"


def test_an_owner_may_drop_what_it_made_itself(settled: Workbench) -> None:
    """A table and a type that the next version of its schema does not have any more."""
    settled.send("insert into \"user\" values ('1', 'a@example.com')")
    next_version(settled)

    assert migrate(settled.boot(accept_data_loss=True)).text == "sso migrated, 1 table verified"
    assert settled.count("user") == 1


def test_an_owner_may_not_drop_what_another_made_after_it(settled: Workbench) -> None:
    """`session` is the API's now: whoever made a table once has no claim to it for ever."""
    boot = settled.boot(owners=BOTH)
    next_version(settled)
    settled.send("drop table session")
    settled.send("create table session (id int)", by="api")
    settled.runtime.sources["api"] = "second version"
    settled.runtime.tools["create"] = creates("create table session (id int)")

    with pytest.raises(MigrationError, match="must be owner of table session"):
        migrate(boot)

    assert settled.count("session") == 0


def next_version(bench: Workbench) -> None:
    """The SSO without sessions, and its users without anything but an id."""

    def tool(connection: Connection) -> Completed:
        if is_rehearsal(connection):
            send(connection, 'create table "user" (id text primary key)')
        else:
            send(connection, 'drop table session; alter table "user" drop email, drop role; drop type role')
        return says("[✓] Changes applied")

    bench.runtime.sources["sso"] = "second version"
    bench.runtime.tools["push"] = tool


# -- rows of its own --------------------------------------------------------------------------------------------------


def test_rows_that_its_migration_would_lose_are_found_on_a_clone_which_is_gone_afterwards(settled: Workbench) -> None:
    settled.send("insert into \"user\" values ('1', 'a@example.com'); insert into session values ('1', '1')")
    next_version(settled)

    with pytest.raises(MigrationError, match="would lose rows of its own") as refused:
        migrate(settled.boot())

    assert list(refused.value.details) == [
        "- public.user.email (in 1 row) would be lost",
        "- public.user.role (in 1 row) would be lost",
        "- public.session (1 row) would be lost",
    ]
    assert (settled.count("user"), settled.count("session")) == (1, 1)
    assert settled.target.name not in [name for _, name in settled.runtime.runs]
    assert settled.scratches() == []


def test_rows_that_are_lost_are_told_though_it_was_accepted(settled: Workbench) -> None:
    settled.send("insert into \"user\" values ('1', 'a@example.com'); insert into session values ('1', '1')")
    next_version(settled)

    migrate(settled.boot(accept_data_loss=True))

    assert "sso, accepted: public.session (1 row) would be lost" in settled.talk.getvalue()
    assert settled.count("user") == 1


def test_a_trial_waits_for_those_who_are_about_to_leave(settled: Workbench) -> None:
    """A server notices a moment later that a connection was closed: of the tasks too."""
    settled.send("insert into \"user\" values ('1', 'a@example.com')")
    next_version(settled)
    leaving = by_hand(settled.target)
    later = threading.Timer(0.7, leaving.close)
    later.start()
    try:
        assert migrate(settled.boot(accept_data_loss=True)).text == "sso migrated, 1 table verified"
    finally:
        later.join()


def test_beside_an_app_that_is_connected_the_trial_is_on_a_copy(settled: Workbench) -> None:
    settled.send("insert into \"user\" values ('1', 'a@example.com')")
    next_version(settled)

    with by_hand(settled.target), pytest.raises(MigrationError, match="would lose rows of its own") as refused:
        migrate(settled.boot())

    assert list(refused.value.details) == [
        "- public.user.email (in 1 row) would be lost",
        "- public.user.role (in 1 row) would be lost",
    ]
    assert settled.count("user") == 1
    assert settled.scratches() == []


def test_an_oddly_named_database_is_migrated(tmp_path: Path, roles: Mapping[str, str], odd_database: Target) -> None:
    bench = workbench(tmp_path, odd_database, roles)

    assert migrate(bench.boot()).text == "sso migrated, 2 tables verified"


# -- tools that do not finish -----------------------------------------------------------------------------------------


def test_exit_code_0_without_tables_is_a_failure(bench: Workbench) -> None:
    bench.runtime.tools["push"] = push(makes="", text="Error: Interactive prompts require a TTY terminal")

    with pytest.raises(MigrationError) as failed:
        migrate(bench.boot())

    assert failed.value.exit_code == 5
    assert "Interactive prompts require a TTY" in failed.value.message
    assert list(failed.value.details) == [
        "- enum public.role 'admin', 'user'",
        "- table public.session",
        "- table public.user",
    ]
    assert "exit code 0 (which means nothing)" in failed.value.seen
    assert failed.value.log is not None
    assert "Error: Interactive prompts require a TTY terminal" in failed.value.log.lines


def test_tables_half_made_are_a_failure_that_says_what_lacks(bench: Workbench) -> None:
    half = SSO.replace("email text not null unique, ", "").replace(
        'create index session_by_user on session ("userId");', ""
    )
    bench.runtime.tools["push"] = push(makes=half, text="error: something half-way")

    with pytest.raises(MigrationError) as failed:
        migrate(bench.boot())

    assert [line.partition(" CREATE")[0].partition(" UNIQUE")[0] for line in failed.value.details] == [
        "- column public.user.email text not null",
        "- constraint public.user.user_email_key",
        "- index public.session.session_by_user",
    ]


def test_a_column_too_many_that_every_insert_fails_at_is_a_failure(settled: Workbench) -> None:
    settled.send('alter table "user" add phone text not null')

    with pytest.raises(MigrationError) as failed:
        migrate(settled.boot())

    assert list(failed.value.details) == ["+ column public.user.phone text not null"]
    assert """`owners.sso.also: ["column public.user.phone"]`""" in failed.value.hint


def test_an_error_is_only_a_note_where_the_tables_are_complete(bench: Workbench) -> None:
    said = "error: cannot drop sequence worker_id_seq because column id of table worker requires it"
    bench.runtime.tools["push"] = push(text=said)

    outcome = migrate(bench.boot())

    assert outcome.text == "sso migrated, 2 tables verified"
    assert said in bench.talk.getvalue()
    assert "its tables are complete" in bench.talk.getvalue()


def test_an_honest_exit_code_is_believed_though_the_tables_are_complete(bench: Workbench) -> None:
    bench.runtime.tools["push"] = push(text="[✓] Changes applied", code=1)

    with pytest.raises(MigrationError, match="did not finish") as failed:
        migrate(bench.boot())

    assert "exit code 1" in failed.value.seen
    assert "means nothing" not in failed.value.seen


@pytest.mark.parametrize(
    ("text", "code", "makes"),
    [
        ("Error: connect ECONNREFUSED", 1, ""),
        ("Error: a prompt", 0, SSO),
        ("[✓] Changes applied", 0, ""),
        ("[✓] Changes applied", 3, SSO),
    ],
    ids=["fails", "claims nothing", "makes nothing", "exits with 3"],
)
def test_a_tool_that_fails_its_rehearsal_never_touches_the_stack(
    bench: Workbench, text: str, code: int, makes: str
) -> None:
    def tool(connection: Connection) -> Completed:
        send(connection, makes)
        return says(text, code)

    bench.runtime.tools["push"] = tool
    with pytest.raises(MigrationError, match="failed on an empty database") as failed:
        migrate(bench.boot())

    assert failed.value.exit_code == 5
    assert f"exit code {code}" in failed.value.seen
    assert failed.value.log is not None
    assert text in failed.value.log.lines
    assert bench.target.name not in [name for _, name in bench.runtime.runs]
    assert bench.scratches() == []


def test_a_tool_that_does_not_go_where_it_is_sent_is_found_out(bench: Workbench) -> None:
    def wayward(_connection: Connection) -> Completed:
        bench.send("drop table task cascade")
        return says("[✓] Changes applied")

    bench.runtime.tools["push"] = wayward
    with pytest.raises(GuardError, match="did not stay in the scratch database") as refused:
        migrate(bench.boot())

    assert any("public.task" in line for line in refused.value.details)
    assert len(bench.runtime.runs) == 1


# The API's tool is another one's than the one that is watched: it has made its tables.
KNOWN: Mapping[str, Any] = {**OWNERS, "api": {"migrator": "command", "service": "api", "migrate": "made"}}
WAYWARD = {
    "makes its tables there": ('create table "user" (id int)', "+ table public.user"),
    "adds a column": ("alter table task add more int", "+ column public.task.more integer"),
    "inserts": ("insert into worker (name) values ('x')", "rows of public.worker were changed"),
    "updates": ("update task set title = 'x' where id = 1", "rows of public.task were changed"),
    "deletes": ("delete from task where id = 1", "rows of public.task were changed"),
    "truncates": ("truncate task", "rows of public.task were changed"),
    "makes a function": ("create function f() returns int language sql as 'select 1'", "+ function public.f()"),
    "makes a type": ("create type mood as enum ('x')", "+ enum public.mood 'x'"),
    "grants": ("grant select on task to public", "rights on public.task was added"),
    "makes a schema": ("create schema wayward", "rights on the schema wayward was added"),
    "makes a role": ("create role {tag}_wayward", "role {tag}_wayward was added"),
    "changes a role": ("alter role {sso} createdb", "role {sso} was changed"),
    "changes a password": ("alter role {sso} password 'x'", "role {sso} was changed"),
    "sets a role's path": ("alter role {sso} set search_path = x", "was added"),
    "joins a role": ("grant {api} to {sso}", "member {sso} of {api} was added"),
    "drops the guard": ("drop event trigger bootorder_drop", "the event trigger bootorder_drop was removed"),
    "switches it off": ("alter event trigger bootorder_drop disable", "the event trigger bootorder_drop was changed"),
}


@pytest.mark.parametrize("what", WAYWARD)
def test_whatever_a_rehearsal_changes_of_the_stack_is_found_out_and_named(bench: Workbench, what: str) -> None:
    """A tool that ignores the URL it is given, and has one of a superuser of its own."""
    names = {**bench.runtime.roles, "tag": bench.target.name}
    quoted = {name: sql.Identifier(value).as_string() for name, value in names.items() if name != "tag"}
    does, said = (text.format(**quoted, tag=names["tag"]) for text in WAYWARD[what])

    def wayward(connection: Connection) -> Completed:
        with by_hand(bench.target) as direct:
            send(direct, f"begin; select bootorder.allow(); {does}; commit")
        return push()(connection)

    bench.runtime.tools["push"] = wayward
    try:
        with pytest.raises(GuardError, match="did not stay in the scratch database") as refused:
            migrate(bench.boot())
    finally:
        bench.send(f"drop role if exists {bench.target.name}_wayward")

    assert any(said.replace('"', "") in line.replace('"', "") for line in refused.value.details), refused.value.details
    assert refused.value.exit_code == 6


def test_a_trial_that_does_not_stay_in_its_clone_is_found_out_too(settled: Workbench) -> None:
    def wayward(connection: Connection) -> Completed:
        if on_scratch(connection):
            settled.send("delete from worker where id > 40")
        return push("alter table session add column if not exists more text")(connection)

    settled.runtime.tools["push"] = wayward
    settled.runtime.sources["sso"] = "first version"

    with pytest.raises(GuardError, match="did not stay in the scratch database") as refused:
        changes(settled.boot())

    assert "rows of public.worker were changed" in refused.value.details


def makes_api(connection: Connection) -> Completed:
    if connection.execute("select to_regclass('worker')").fetchone() == (None,):
        send(connection, API)
    return says("done")


def test_what_the_app_of_another_owner_does_meanwhile_is_no_matter_of_a_rehearsal(bench: Workbench) -> None:
    with by_hand(bench.target.as_role(bench.runtime.roles["api"], PASSWORD)) as app:

        def beside(connection: Connection) -> Completed:
            send(app, "insert into worker (name) values ('x'); create table if not exists made_by_the_app (id int)")
            return push()(connection)

        bench.runtime.tools["made"] = makes_api
        migrate(bench.boot(owners=KNOWN))
        bench.runtime.sources["sso"] = "second version"
        bench.runtime.tools["push"] = beside
        migrate(bench.boot(owners=KNOWN))

    assert bench.count("worker") > 42


@pytest.mark.parametrize("error", [OSError("docker is gone"), KeyboardInterrupt()], ids=["crash", "ctrl-c"])
def test_the_scratch_database_and_the_lock_are_gone_when_the_tool_crashes(
    bench: Workbench, error: BaseException
) -> None:
    def crash(connection: Connection) -> Completed:
        send(connection, "create table half (id int)")
        raise error

    bench.runtime.tools["push"] = crash
    with pytest.raises(type(error)):
        migrate(bench.boot())

    assert bench.scratches() == []
    with migration_lock(bench.target, 1, print):
        pass


def test_a_rehearsal_that_failed_is_not_remembered(bench: Workbench) -> None:
    bench.runtime.tools["push"] = lambda _: says("Error: no", 1)
    with pytest.raises(MigrationError):
        migrate(bench.boot())
    bench.runtime.tools["push"] = push()

    assert migrate(bench.boot()).text == "sso migrated, 2 tables verified"


# -- tools that take what is not theirs -------------------------------------------------------------------------------

OTHERS = (
    "create type mood as enum ('good');"
    ' create schema other; create table other."Wör""k" (id int); insert into other."Wör""k" values (1), (2), (3)'
)


def whole(bench: Workbench) -> tuple[Catalog, Mapping[tuple[str, str], int]]:
    """All that there is."""
    with by_hand(bench.target) as connection:
        seen = catalog.read(connection)
        return seen, rows_by_hand(connection, seen.tables())


def meanwhile(bench: Workbench, does: str, **said: Any) -> Tool:
    """A tool that is well-behaved, while a superuser does something on purpose."""

    def run(connection: Connection) -> Completed:
        if not on_scratch(connection):
            bench.send(does)
        return push(**said)(connection)

    return run


CHANGES = [
    ("drop table worker, task cascade", ["public.worker (rows not known)", "public.task (rows not known)"]),
    ("alter table worker rename to person", ["public.worker (rows not known)"]),
    ("create schema s; alter table worker set schema s", ["public.worker (rows not known)"]),
    ("alter table worker drop name", ["column public.worker.name text not null"]),
    ("alter table worker alter name drop not null", ["column public.worker.name text not null"]),
    ("alter table worker alter id drop identity", ["public.worker.id integer not null identity"]),
    ("drop index task_title", ["index public.task.task_title"]),
    ("alter table task drop constraint of_worker", ["constraint public.task.of_worker FOREIGN KEY"]),
    ("alter table task drop constraint task_pkey", ["constraint public.task.task_pkey"]),
    ("drop view open_task", ["view public.open_task"]),
    ("drop materialized view busy", ["materialized view public.busy"]),
    ("drop sequence ticket", ["sequence public.ticket"]),
    ("drop trigger touched on task", ["trigger public.task.touched"]),
    ("drop policy everyone on worker", ["policy public.worker.everyone"]),
    ("alter table worker disable row level security", ["public.worker"]),
    ("drop type mood", ["enum public.mood 'good'"]),
    ("alter type mood rename value 'good' to 'bad'", ["enum public.mood 'good'"]),
    ("drop schema other cascade", ['other.Wör"k (rows not known)']),
    ("delete from worker where id > 41", ["public.worker: 1 row deleted"]),
    ("truncate task", ["public.task: its rows were removed, or written anew"]),
    ('delete from other."Wör""k"', ['other.Wör"k: 3 rows deleted']),
]


@pytest.mark.parametrize("does", [does for does, _ in CHANGES])
def test_a_tool_can_change_nothing_of_another_owner(settled: Workbench, does: str) -> None:
    settled.send(OTHERS, by="api")
    before = whole(settled)
    settled.runtime.tools["push"] = push(does, text="[✓] Changes applied")

    with pytest.raises(MigrationError, match="sso: drizzle did not finish: error: ") as failed:
        migrate(settled.boot())

    assert failed.value.exit_code == 5
    assert whole(settled) == before


@pytest.mark.parametrize(("does", "told"), CHANGES)
def test_a_foreign_loss_is_found_out_whoever_it_was(settled: Workbench, does: str, told: list[str]) -> None:
    settled.send(OTHERS, by="api")
    settled.runtime.tools["push"] = meanwhile(settled, does)

    with pytest.raises(GuardError) as refused:
        migrate(settled.boot())

    assert refused.value.exit_code == 6
    for words in told:
        assert any(words in line for line in refused.value.details), refused.value.details
    assert not [line for line in refused.value.details if "\n" in line]
    assert "backup" in refused.value.hint
    assert refused.value.log is not None


REFERRING = """
alter table task add owner text constraint of_user references "user";
create view emails as select email from "user"
"""


@pytest.fixture
def referring(settled: Workbench) -> Workbench:
    """The API's tables refer to the SSO's, and its tool drops them and makes them anew."""
    with by_hand(settled.target) as connection:
        grant = sql.SQL('grant select, references on "user" to {}')
        connection.execute(grant.format(sql.Identifier(settled.runtime.roles["api"])))
    settled.send(REFERRING, by="api")
    settled.runtime.tools["push"] = push(f'drop table session, "user" cascade; drop type role; {SSO}')
    return settled


def test_an_own_drop_that_would_take_foreign_things_with_it_is_refused(referring: Workbench) -> None:
    before = whole(referring)

    with pytest.raises(MigrationError, match="bootorder refused DROP TABLE") as failed:
        migrate(referring.boot())

    assert failed.value.log is not None
    said = "\n".join(failed.value.log.lines)
    assert "table constraint of_user on public.task of" in said
    assert "view public.emails of" in said
    assert whole(referring) == before


def test_what_it_took_with_it_is_found_out_where_the_guard_was_switched_off(referring: Workbench) -> None:
    """The proof that the catalog is looked at: nothing else would tell."""
    forgetful = referring.runtime.tools["push"]

    def tool(connection: Connection) -> Completed:
        for name in ("drop", "change"):
            referring.send(f"alter event trigger bootorder_{name} disable")
        return forgetful(connection)

    referring.runtime.tools["push"] = tool

    with pytest.raises(GuardError) as refused:
        migrate(referring.boot())

    assert refused.value.exit_code == 6
    assert any("constraint public.task.of_user" in line for line in refused.value.details)
    assert any("view public.emails" in line for line in refused.value.details)
    assert len(refused.value.details) == 2


@pytest.mark.parametrize("trigger", ["bootorder_drop", "bootorder_change", "bootorder_cover"])
def test_no_tool_runs_while_the_guard_is_switched_off(settled: Workbench, trigger: str) -> None:
    settled.send(f"alter event trigger {trigger} disable")

    with pytest.raises(NotReadyError, match="the guard is not in place") as refused:
        migrate(settled.boot())

    assert refused.value.first == ("guard",)
    assert settled.runtime.runs == []


def test_a_tool_that_connects_as_the_superuser_is_refused(settled: Workbench) -> None:
    settled.runtime.variables["DATABASE_URL"] = f"postgresql://boot:x@127.0.0.1:5432/{settled.target.name}"
    settled.runtime.sources["sso"] = "second version"

    with pytest.raises(SettingsError, match="does not connect as its own role") as refused:
        migrate(settled.boot())

    assert "the role boot and the database" in refused.value.seen

    assert settled.runtime.runs == []


def test_a_loss_is_told_before_a_gap(settled: Workbench) -> None:
    settled.runtime.tools["push"] = meanwhile(
        settled, 'drop table task cascade; drop table session, "user"', makes="", text="Error: half-way", code=1
    )

    with pytest.raises(GuardError) as refused:
        migrate(settled.boot())

    assert any("public.task (rows not known)" in line for line in refused.value.details)


def test_a_long_list_of_losses_is_cut(settled: Workbench) -> None:
    settled.send(";".join(f"create table t{number:02} (id int)" for number in range(30)), by="api")
    settled.runtime.tools["push"] = meanwhile(settled, ";".join(f"drop table t{number:02}" for number in range(30)))

    with pytest.raises(GuardError) as refused:
        migrate(settled.boot())

    assert refused.value.seen == "30 differences"
    assert len(refused.value.details) == 21
    assert refused.value.details[-1] == "... and 10 more"


def test_two_owners_of_one_name_are_refused_before_anything_is_touched(bench: Workbench) -> None:
    bench.runtime.tools["create"] = creates("create table invoice (id int); create table session (id int);")

    with pytest.raises(GuardError, match="sso and api both make public") as refused:
        migrate(bench.boot(owners=BOTH))

    assert refused.value.exit_code == 6
    assert bench.target.name not in [name for _, name in bench.runtime.runs]


# -- before and around ------------------------------------------------------------------------------------------------


def test_migrate_refuses_while_another_migration_is_under_way(bench: Workbench) -> None:
    with migration_lock(bench.target, 1, print), pytest.raises(LockedError) as refused:
        migrate(bench.boot())

    assert f"bootorder on {platform.node()[:30]}, process {os.getpid()}" in refused.value.seen
    assert "waiting for bootorder on" in bench.talk.getvalue()
    assert bench.runtime.runs == []


def test_the_lock_is_held_while_a_tool_runs(bench: Workbench) -> None:
    seen = []

    def look(connection: Connection) -> Completed:
        with pytest.raises(LockedError), migration_lock(bench.target, 0.1, print):
            pytest.fail("two migrations at once")
        seen.append(on_scratch(connection))
        return push()(connection)

    bench.runtime.tools["push"] = look
    migrate(bench.boot())

    assert seen == [True, False]


def test_who_waited_for_a_migration_finds_it_done(bench: Workbench) -> None:
    bench.patience = 60
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> Completed:
        begun.set()
        assert go_on.wait(60)
        return push()(connection)

    bench.runtime.tools["push"] = slow
    with ThreadPoolExecutor() as pool:
        first = pool.submit(migrate, bench.boot())
        assert begun.wait(60)
        second = pool.submit(migrate, bench.boot())
        while "waiting for" not in bench.talk.getvalue() and not second.done():
            time.sleep(0.01)
        go_on.set()

    assert first.result().text == "sso migrated, 2 tables verified"
    assert second.result() == Outcome.skipped(f"sso done by {me()}")
    assert [name == bench.target.name for _, name in bench.runtime.runs] == [False, True]


def test_migrate_names_the_stage_that_starts_a_missing_database(bench: Workbench) -> None:
    bench.runtime.target = replace(bench.target, port=free_ports(["unused"])["unused"])

    with pytest.raises(NotReadyError, match="does not answer") as refused:
        migrate(bench.boot())

    assert "db-up wait-db" in refused.value.hint
    assert bench.runtime.runs == []


def test_a_wrong_password_is_said_before_anything_is_run(bench: Workbench) -> None:
    (bench.root / ".env").write_text("PASSWORD=guessed\n", encoding="utf-8")

    with pytest.raises(NotReadyError) as refused:
        migrate(bench.boot())

    assert "password authentication failed" in refused.value.seen
    assert bench.runtime.runs == []


def test_tables_that_are_missing_are_named_with_the_stage_that_makes_them(bench: Workbench) -> None:
    owner = bench.boot().owners[0]

    with pytest.raises(NotReadyError, match="sso has not migrated") as refused:
        require_tables([owner], bench.target)

    assert refused.value.seen == "public.session, public.user missing"
    assert refused.value.hint.endswith("migrate")
    assert refused.value.exit_code == 4


def test_nothing_is_required_of_an_owner_that_has_its_tables(settled: Workbench) -> None:
    require_tables(settled.boot().owners[:1], settled.target)


def test_a_table_of_that_name_that_is_somebody_elses_is_none_of_its_own(settled: Workbench) -> None:
    settled.send("alter table public.session owner to current_user")

    with pytest.raises(NotReadyError) as refused:
        require_tables(settled.boot().owners[:1], settled.target)

    assert refused.value.seen == "public.session missing"


# -- tables made when the app starts ----------------------------------------------------------------------------------


def test_tables_made_at_start_are_verified(bench: Workbench) -> None:
    bench.runtime.tools["create"] = creates(API)
    migrate(bench.boot())

    assert verify_created_at_start(bench.boot(owners=BOTH)) == "2 tables of api verified"


def test_a_table_that_was_not_made_at_start_is_a_failure(bench: Workbench) -> None:
    bench.runtime.tools["create"] = creates(API + "create table audit_log (id int);")
    migrate(bench.boot())

    with pytest.raises(MigrationError, match="api: its tables are not what its tool makes") as failed:
        verify_created_at_start(bench.boot(owners=BOTH))

    assert list(failed.value.details) == ["- table public.audit_log"]
    assert failed.value.log is not None
    assert list(failed.value.log.lines) == ["the app's last line"]


def creates(statements: str) -> Tool:
    """A rehearsal of what an app makes when it starts; a program that only tells has no business on the stack."""

    def run(connection: Connection) -> Completed:
        assert on_scratch(connection)
        send(connection, statements)
        return says("2 tables")

    return run


def _part(table: str) -> str:
    """The statements of the SSO that make this table."""
    return "".join(f"{statement};" for statement in SSO.split(";") if f" {table} " in statement)
