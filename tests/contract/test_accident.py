"""What a tool would take without the guard and what it takes with it, on a real PostgreSQL: the proof `bug`."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from scripts.bootorder.console import Console
from scripts.bootorder.guard.triggers import is_installed
from scripts.bootorder.processes import Completed
from scripts.bootorder.proving.bug import with_the_guard, without_the_guard
from scripts.bootorder.proving.stack import Stack

from .guarded import Guarded
from .owners import says

Connection = psycopg.Connection[tuple[object, ...]]


def takes_what_it_does_not_know(connection: Connection) -> Completed:
    connection.execute("drop table if exists task, worker cascade")
    return says("Changes applied")


@pytest.fixture
def harmful(settled: Guarded) -> Guarded:
    settled.tools["sso"] = takes_what_it_does_not_know
    return settled


def proved(stack: Guarded) -> Stack:
    return Stack(Path(), stack.boot(), Console())


def workers(stack: Guarded) -> int:
    [(count,)] = stack.query("select count(*) from worker")
    return int(count)


def test_without_the_guard_each_table_that_it_takes_is_told_and_the_stack_keeps_them(harmful: Guarded) -> None:
    boot = harmful.boot()
    came = without_the_guard(boot.owners[0], boot.target())

    assert {"- public.worker (42 rows) was dropped", "- public.task (7 rows) was dropped"} <= set(came.losses)
    assert came.claim.succeeded
    assert workers(harmful) == 42
    with boot.target().connect() as connection:
        assert is_installed(connection)


def test_with_the_guard_it_takes_nothing_and_fails(harmful: Guarded) -> None:
    came = with_the_guard(proved(harmful), harmful.boot().owners[0])

    assert came.losses == []
    assert not came.claim.succeeded
    assert workers(harmful) == 42


def test_a_guard_that_does_not_hold_is_found(harmful: Guarded) -> None:
    triggers = harmful.query("select evtname from pg_event_trigger where evtname like 'bootorder%'")
    for (name,) in triggers:
        harmful.send("alter event trigger {name} disable", name=name)
    harmful.send("alter role {role} superuser", role=harmful.role("sso"))

    came = with_the_guard(proved(harmful), harmful.boot().owners[0])

    assert "- made table public.worker" in came.losses
    assert sum(line.startswith("- row of public.worker") for line in came.losses) == 42


def test_a_tool_that_leaves_the_others_alone_takes_nothing_on_either_side(settled: Guarded) -> None:
    boot = settled.boot()
    for owner in boot.owners:
        assert without_the_guard(owner, owner.target(boot.target())).losses == []
        assert with_the_guard(proved(settled), owner).losses == []


def test_it_is_the_superuser_where_its_owner_would_make_its_tables(any_stack: Guarded) -> None:
    any_stack.guard()
    any_stack.migrate()
    seen: list[tuple[object, ...]] = []

    def looks(connection: Connection) -> Completed:
        query = "select current_user::text, current_schema()::text, current_database()::text"
        seen.extend(connection.execute(query).fetchall())
        return says("done")

    any_stack.tools["api"] = looks
    boot = any_stack.boot()
    owner = boot.owners[1]

    without_the_guard(owner, owner.target(boot.target()))

    [(user, schema, database)] = seen
    assert (user, schema) == (any_stack.target.user, owner.place.schema)
    assert re.fullmatch(r"bootorder_scratch_\w+", str(database))
