"""The migration lock on a real PostgreSQL: one holder at a time, who stops without it; and what a killed one left."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from scripts.bootorder import tool_watch
from scripts.bootorder.database import Target, me
from scripts.bootorder.errors import LockedError
from scripts.bootorder.guard import layout, stage
from scripts.bootorder.migrate import migrate
from scripts.bootorder.migration_lock import MigrationLock, migration_lock
from scripts.bootorder.processes import Completed
from scripts.bootorder.records import at_work, end_left_sessions, recorded
from scripts.bootorder.scratch import scratch_database
from scripts.bootorder.seed import seed
from scripts.bootorder.trial import changes
from tests.contract.hand import by_hand
from tests.stack import ROOT

from .guarded import Guarded
from .owners import API, PASSWORD, SSO, Connection, Tool, Workbench, on_scratch, push, says, send, workbench
from .tiny import LIMIT


def locked(
    target: Target, wait: float = 0.2, say: Callable[[str], None] = print
) -> AbstractContextManager[MigrationLock]:
    return migration_lock(target, wait, say)


def test_the_lock_refuses_a_second_holder_when_it_has_waited_and_names_the_first(database: Target) -> None:
    said: list[str] = []
    begun = time.monotonic()

    with locked(database), pytest.raises(LockedError) as refused, locked(database, 0.5, said.append):
        pytest.fail("two migrations at once")

    assert 0.5 <= time.monotonic() - begun < LIMIT
    assert f"bootorder on {platform.node()[:30]}, process {os.getpid()} (server process " in refused.value.seen
    assert said == [f"waiting for {refused.value.seen}"]
    assert "within 0.5 s (`database.lock_wait`)" in refused.value.expected
    assert refused.value.exit_code == 7
    assert refused.value.hint.startswith("wait")


def test_the_lock_is_free_again_afterwards(database: Target) -> None:
    with locked(database):
        pass
    with contextlib.suppress(RuntimeError), locked(database):
        raise RuntimeError
    with locked(database) as lock:
        assert lock.waited_for == ""


def test_who_waits_gets_the_lock_when_it_is_freed_and_is_told_whose_it_was(database: Target) -> None:
    waiting = threading.Event()

    def wait() -> str:
        with locked(database, LIMIT, lambda _: waiting.set()) as lock:
            return lock.waited_for

    with ThreadPoolExecutor() as pool:
        with locked(database):
            second = pool.submit(wait)
            assert waiting.wait(LIMIT)
            assert not second.done()
        assert second.result(LIMIT).startswith(f"{me()} (server process ")


def test_ten_at_once_come_one_at_a_time(database: Target) -> None:
    inside: list[int] = []
    most: list[int] = []

    def run(number: int) -> str:
        with locked(database, LIMIT) as lock:
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)
            return lock.waited_for

    with ThreadPoolExecutor(10) as pool:
        told = list(pool.map(run, range(10)))

    assert most == [1] * 10
    assert any(told), "nobody had to wait"


def test_the_lock_of_another_database_is_not_in_the_way(database: Target, odd_database: Target) -> None:
    with locked(database), locked(odd_database):
        pass


def test_a_database_can_be_cloned_by_who_holds_its_lock(database: Target) -> None:
    """A database that somebody is connected to cannot: the lock is held in another one."""
    with by_hand(database) as connection:
        connection.execute("create table kept (id int); insert into kept values (7)")

    with locked(database), scratch_database(database, "trial", clone=True) as clone, by_hand(clone) as connection:
        assert connection.execute("select id from kept").fetchone() == (7,)


_HOLD = """
import sys, time
from scripts.bootorder.database import Target
from scripts.bootorder.migration_lock import migration_lock

host, port, name, user, password = sys.stdin.read().split("\\0")
with migration_lock(Target(host, int(port), name, user, password), 1, print):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_is_freed_when_its_holder_is_killed(database: Target) -> None:
    parts = (database.host, str(database.port), database.name, database.user, database.password)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\0".join(parts))
            child.stdin.close()
            assert child.stdout.readline() == "held\n"
            with pytest.raises(LockedError) as refused, locked(database):
                pytest.fail("two migrations at once")
            assert f"process {child.pid} (" in refused.value.seen
        finally:
            child.send_signal(signal.SIGKILL)
        child.wait(LIMIT)

    begun = time.monotonic()
    with locked(database, LIMIT):
        assert time.monotonic() - begun < LIMIT / 2


# -- a lock that was lost ---------------------------------------------------------------------------------------------


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end_the_lock(target: Target) -> None:
    """As an administrator, a failover or a timeout would."""
    with by_hand(replace(target, name="postgres")) as connection:
        query = """
            select pg_terminate_backend(pid, 5000) from pg_locks
            where locktype = 'advisory' and granted
              and (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0)
        """
        assert connection.execute(query, [f"bootorder {target.name}"]).fetchall() == [(True,)]


@pytest.fixture
def bench(tmp_path: Path, roles: Mapping[str, str], database: Target) -> Workbench:
    """Two owners; the SSO has not migrated yet."""
    bench = workbench(tmp_path, database, roles)
    bench.send(API, by="api")
    return bench


@pytest.fixture
def slow_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks while the tool is at work: what is done before and after it has to notice."""
    monkeypatch.setattr(tool_watch, "LOOK_SECONDS", LIMIT)


def loses(bench: Workbench, tool: Tool, *, scratch: bool = False) -> Tool:
    """The tool, while which is at work the lock is lost: in a scratch database, or in the stack's own."""

    def run(connection: Connection) -> Completed:
        if on_scratch(connection) == scratch:
            end_the_lock(bench.target)
        return tool(connection)

    return run


def refused(lost: pytest.ExceptionInfo[LockedError]) -> None:
    assert lost.value.exit_code == 7
    assert "the migration lock was lost" in lost.value.message
    assert "nothing more was changed" in lost.value.seen


@pytest.mark.usefixtures("slow_looks")
def test_a_migration_that_lost_the_lock_is_not_recorded(bench: Workbench) -> None:
    bench.runtime.tools["push"] = loses(bench, push())

    with pytest.raises(LockedError) as lost:
        migrate(bench.boot())

    refused(lost)
    assert recorded(bench.target, "migration") == {}


def test_a_rehearsal_that_lost_the_lock_is_followed_by_no_migration(bench: Workbench) -> None:
    bench.runtime.tools["push"] = loses(bench, push(), scratch=True)

    with pytest.raises(LockedError) as lost:
        migrate(bench.boot())

    refused(lost)
    assert [name for _, name in bench.runtime.runs if name == bench.target.name] == []
    assert bench.scratches() == []


@pytest.mark.usefixtures("slow_looks")
def test_a_seed_that_lost_the_lock_is_not_recorded(bench: Workbench) -> None:
    migrate(bench.boot())

    def fill(connection: Connection) -> Completed:
        send(connection, """insert into "user" (id, email) values ('1', 'a@example.com')""")
        return says("filled")

    bench.runtime.tools["seed"] = loses(bench, fill)

    with pytest.raises(LockedError) as lost:
        seed(bench.boot())

    refused(lost)
    assert recorded(bench.target, "seed") == {}


def test_a_plan_of_migrations_stops_where_the_lock_was_lost(bench: Workbench) -> None:
    migrate(bench.boot())
    bench.runtime.runs.clear()
    bench.runtime.tools["push"] = loses(bench, push(), scratch=True)

    with pytest.raises(LockedError) as lost:
        changes(bench.boot())

    refused(lost)
    assert bench.scratches() == []


def test_who_took_the_lost_lock_finishes_and_who_lost_it_takes_nothing_from_it(bench: Workbench) -> None:
    """The second start is at work in its scratch database when the first one ends, and drops what it had made."""
    bench.patience = LIMIT
    first_ended, stayed = threading.Event(), list[bool]()
    second_boot = bench.boot()
    starts = ThreadPoolExecutor(1)

    def second(connection: Connection) -> Completed:
        if on_scratch(connection):
            assert first_ended.wait(LIMIT)
            stayed.append(connection.info.dbname in bench.scratches())
        return push()(connection)

    def first(connection: Connection) -> Completed:
        if on_scratch(connection):
            return push()(connection)
        bench.runtime.tools["push"] = second
        bench.runtime.sources["sso"] = "second version"
        end_the_lock(bench.target)
        seconds.append(starts.submit(migrate, second_boot))
        until(bench.scratches)  # the second one is at work
        return push()(connection)

    seconds: list[Any] = []
    bench.runtime.tools["push"] = first
    with starts:
        with pytest.raises(LockedError) as lost:
            migrate(bench.boot())
        first_ended.set()
        outcome = seconds[0].result(LIMIT)

    refused(lost)
    assert outcome.text == "sso migrated, 2 tables verified"
    assert stayed == [True]
    assert list(recorded(bench.target, "migration")) == ["sso"]
    assert "of sso" in bench.talk.getvalue()


WAITS = """
import os, sys, time, psycopg
connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=False)
statements, wanted = sys.argv[1:]
if not connection.info.dbname.startswith("bootorder_scratch_") or wanted == "always":
    connection.execute("select 1")
    print("at work", flush=True)
    time.sleep(60)
connection.execute(statements)
connection.commit()
print("[✓] Changes applied")
"""


def host(when: str) -> Mapping[str, Any]:
    """An owner whose tool is a process of this machine, which sleeps in a transaction of the stack, or always."""
    command = [sys.executable, "-c", WAITS, SSO, when]
    return {"sso": {"migrator": "command", "service": "sso", "migrate": command, "run": "host", "directory": "tool"}}


@pytest.mark.parametrize("when", ["stack", "always"])
def test_a_tool_is_ended_soon_after_the_lock_was_lost(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(tool_watch, "LOOK_SECONDS", 0.1)
    (bench.root / "tool").mkdir()
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(migrate, bench.boot(owners=host(when)))
        until(lambda: asleep(bench))
        begun = time.monotonic()
        end_the_lock(bench.target)
        with pytest.raises(LockedError) as lost:
            start.result(LIMIT)

    refused(lost)
    assert time.monotonic() - begun < LIMIT / 2
    assert bench.scratches() == []


TIMEOUTS = ["idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"]


@pytest.mark.parametrize("where", ["role {role}", "database postgres", "system"])
def test_a_timeout_that_somebody_set_does_not_end_the_lock(server: Target, database: Target, where: str) -> None:
    place = sql.SQL(where).format(role=sql.Identifier(server.user))
    with by_hand(server) as connection:
        newer = ["transaction_timeout"] if connection.info.server_version >= 170000 else []
        timeouts = [sql.Identifier(name) for name in (*TIMEOUTS, *newer)]
        for timeout in timeouts:
            connection.execute(sql.SQL("alter {} set {} = '100ms'").format(place, timeout))
        connection.execute("select pg_reload_conf()")
        try:
            with locked(database) as lock:
                time.sleep(0.25)
                lock.require()
                with pytest.raises(LockedError), locked(database, 0.4):  # its wait is a long statement
                    pytest.fail("two migrations at once")
        finally:
            for timeout in timeouts:
                connection.execute(sql.SQL("alter {} reset {}").format(place, timeout))
            connection.execute("select pg_reload_conf()")


@contextlib.contextmanager
def lost_while_waiting_for(target: Target, stack: Target, table: sql.Composable) -> Iterator[None]:
    """Somebody keeps this table from changes; once it is waited for, the lock is lost and the table set free."""
    with by_hand(target, autocommit=False) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(sql.SQL("lock table {} in share mode").format(table))
        [(process,)] = holder.execute("select pg_backend_pid()").fetchall()

        def lose() -> None:
            with by_hand(stack) as other:
                query = "select 1 from pg_stat_activity where %s = any (pg_blocking_pids(pid))"
                until(lambda: other.execute(query, [process]).fetchone())
            end_the_lock(stack)
            holder.rollback()

        losing = pool.submit(lose)
        try:
            yield
        finally:
            losing.result(LIMIT)


def switched_off(target: Target) -> bool:
    with by_hand(target) as connection:
        query = "select evtenabled = 'D' from pg_event_trigger where evtname = 'bootorder_drop'"
        return connection.execute(query).fetchone() == (True,)


def test_the_guard_stops_between_two_databases(stack: Guarded) -> None:
    stack.layout = "databases"
    stack.guard()
    first, second = (replace(stack.target, name=stack.place(name).database) for name in ("sso", "api"))
    for target in (first, second):
        with by_hand(target) as connection:
            connection.execute("alter event trigger bootorder_drop disable")

    lock = sql.Identifier("bootorder", "owner")
    with lost_while_waiting_for(first, stack.target, lock), pytest.raises(LockedError) as lost:
        stack.guard()

    refused(lost)
    assert [switched_off(target) for target in (first, second)] == [False, True]
    stack.guard()
    assert not switched_off(second)


def owner_of(target: Target, table: str) -> str:
    with by_hand(target) as connection:
        query = "select pg_get_userbyid(relowner) from pg_class where relname = %s"
        [(role,)] = connection.execute(query, [table]).fetchall()
        return str(role)


def test_tables_are_given_to_nobody_after_the_lock_was_lost(stack: Guarded) -> None:
    stack.layout = "databases"
    stack.guard()
    stack.migrate()
    first, second = (replace(stack.target, name=stack.place(name).database) for name in ("sso", "api"))
    for target, table in ((first, "session"), (second, "worker")):
        with by_hand(target) as connection:
            connection.execute(
                sql.SQL("select bootorder.allow(); alter table {} owner to {}").format(
                    sql.Identifier(table), sql.Identifier(stack.target.user)
                )
            )

    with lost_while_waiting_for(first, stack.target, sql.Identifier("session")), pytest.raises(LockedError) as lost:
        stage.assign(stack.boot())

    refused(lost)
    assert owner_of(first, "session") == stack.role("sso")
    assert owner_of(second, "worker") == stack.target.user


def test_a_move_that_lost_the_lock_is_rolled_back(settled: Guarded) -> None:
    where = "select distinct schemaname::text from pg_tables where tablename in ('account', 'task')"

    with (
        lost_while_waiting_for(settled.target, settled.target, sql.Identifier("task")),
        pytest.raises(LockedError) as lost,
    ):
        layout.move(settled.boot(), "schemas")

    refused(lost)
    assert settled.query(where) == [("public",)]
    layout.move(settled.boot(), "schemas")
    assert sorted(settled.query(where)) == [("api",), ("sso",)]


# -- what a killed start left -----------------------------------------------------------------------------------------

_START = """
import io, json, sys
from pathlib import Path
from scripts.bootorder.database import Target
from scripts.bootorder.migrate import migrate
from tests.contract.owners import SqlRuntime, Workbench

given = json.load(sys.stdin)
target = Target(*given["target"])
runtime = SqlRuntime(target, {}, given["roles"])
migrate(Workbench(Path(given["root"]), runtime, target, sys.stderr).boot(owners=given["owners"]))
"""


def asleep(bench: Workbench) -> list[str]:
    """The databases in which a session of the SSO's tool sleeps in a transaction."""
    with by_hand(bench.target) as connection:
        query = "select datname::text from pg_stat_activity where state = 'idle in transaction' and usename = %s"
        return [str(name) for (name,) in connection.execute(query, [bench.runtime.roles["sso"]])]


def killed_while_its_tool_works(bench: Workbench, when: str) -> None:
    """A start that is killed while its tool sleeps in a transaction, in the stack's own database or a scratch one."""
    target = bench.target
    given = {
        "target": [target.host, target.port, target.name, target.user, target.password],
        "roles": bench.runtime.roles,
        "root": str(bench.root),
        "owners": host(when),
    }
    (bench.root / "tool").mkdir()
    with subprocess.Popen([sys.executable, "-c", _START], cwd=ROOT, stdin=subprocess.PIPE, text=True) as start:
        try:
            assert start.stdin is not None
            start.stdin.write(json.dumps(given))
            start.stdin.close()
            until(lambda: (when == "stack") in (name == target.name for name in asleep(bench)))
        finally:
            start.kill()


def test_sessions_that_a_killed_start_left_are_ended_and_said(bench: Workbench) -> None:
    killed_while_its_tool_works(bench, "stack")
    role = bench.runtime.roles["sso"]
    assert asleep(bench) == [bench.target.name]

    assert migrate(bench.boot()).text == "sso migrated, 2 tables verified"

    assert asleep(bench) == []
    said = [line for line in bench.talk.getvalue().splitlines() if "left at work" in line]
    assert len(said) == 1
    assert f"ended 1 database session of {role} that bootorder on {platform.node()[:30]}, process " in said[0]
    assert bench.query("select * from bootorder.work") == []


def test_scratch_databases_that_a_killed_start_left_are_dropped_though_its_tool_is_connected(bench: Workbench) -> None:
    killed_while_its_tool_works(bench, "always")
    assert bench.scratches()

    migrate(bench.boot())

    assert bench.scratches() == []


def test_no_other_session_is_ended(bench: Workbench, odd_database: Target) -> None:
    mine, other = bench.runtime.roles["sso"], bench.runtime.roles["api"]
    target = bench.target

    def connected(role: str, where: Target = target) -> psycopg.Connection[Any]:
        return by_hand(where.as_role(role, PASSWORD))

    with contextlib.ExitStack() as stay:
        before = stay.enter_context(connected(mine))
        killed = at_work(target, [mine])
        killed.__enter__()  # and no end
        others = stay.enter_context(connected(other))
        elsewhere = stay.enter_context(connected(mine, odd_database))
        person = stay.enter_context(by_hand(target))
        left = connected(mine)

        assert len(end_left_sessions(target, [target.name])) == 1

        for connection in (before, others, elsewhere, person):
            assert connection.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            left.execute("select 1")


def test_a_tool_that_works_on_is_not_ended_by_its_own_start(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_watch, "LOOK_SECONDS", 0.02)

    def slow(connection: Connection) -> Completed:
        connection.execute("select pg_sleep(0.3)")
        time.sleep(0.2)
        return push()(connection)

    bench.runtime.tools["push"] = slow

    assert migrate(bench.boot()).text == "sso migrated, 2 tables verified"
    assert "ended" not in bench.talk.getvalue()
