"""Locks that somebody else holds, and servers that fall silent: nothing waits for ever, and the error says for whom."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from scripts.bootorder import access, database, tool_watch
from scripts.bootorder.database import BlockedError, Target
from scripts.bootorder.errors import LockedError, NotReadyError
from scripts.bootorder.guard import layout
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.migrate import migrate
from scripts.bootorder.migration_lock import migration_lock
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed
from scripts.bootorder.scratch import drop_left_over, scratch_database
from scripts.bootorder.seed import seed
from scripts.bootorder.status import status
from tests.contract.hand import by_hand

from .guarded import Guarded
from .owners import API, PASSWORD, Connection, Tool, Workbench, on_scratch, push, says, send, workbench
from .servers import copied
from .tiny import LIMIT, EmbeddedTiny

PATIENCE = 0.8  # seconds that a statement waits for a lock here
SOON = 10.0  # on a busy machine; what would be waited for without a limit takes 30 s or has no end


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database._SETTINGS, "lock_timeout", f"{PATIENCE}s")
    monkeypatch.setattr(database, "_BLOCKED_SECONDS", 0.2)


@contextlib.contextmanager
def held(connection: psycopg.Connection[Any], statement: str) -> Iterator[int]:
    """A transaction that did this, and goes on doing nothing. Gives its server process."""
    with connection:
        connection.execute("set application_name to 'the app'")
        connection.execute(f"begin; {statement}".encode())
        yield connection.info.backend_pid
        with contextlib.suppress(psycopg.OperationalError):  # the test has ended it
            connection.rollback()


def names_the_holder(error: NotReadyError, process: int, role: str, query: str) -> None:
    assert error.exit_code == 4
    assert f"server process {process} of {role}, application the app, idle in transaction since 20" in error.seen
    assert query in error.seen
    assert f"pg_terminate_backend({process})" in error.hint


# -- the tasks themselves ---------------------------------------------------------------------------------------------

LOCK = "lock table task in access exclusive mode"


def _guards(stack: Guarded) -> Outcome:
    return guard(stack.boot())


def _migrates(stack: Guarded) -> Outcome:
    return migrate(stack.boot())


def _moves(stack: Guarded) -> Outcome:
    return layout.move(stack.boot(), "schemas")


def _seeds(stack: Guarded) -> Outcome:
    stack.owners["api"]["seed"] = "api"
    return seed(stack.boot())


def _lists(stack: Guarded) -> Sequence[access.Table]:
    return access.tables(stack.boot())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("does", [_guards, _migrates, _moves, _seeds, _lists])
def test_a_task_names_who_holds_the_table_that_it_must_touch(
    settled: Guarded, monkeypatch: pytest.MonkeyPatch, does: Callable[[Guarded], object]
) -> None:
    if does is _guards:
        settled.allowed("alter table task disable trigger user")
    if does is _moves:
        monkeypatch.setattr(layout, "_require_silence", lambda *_: None)  # of the role that holds it
    if does is _seeds:
        migrate(settled.boot())
    begun = time.monotonic()

    with (
        settled.connected("api") as app,
        held(app, LOCK) as process,
        pytest.raises(BlockedError) as blocked,
    ):
        does(settled)

    assert time.monotonic() - begun < 6 * PATIENCE
    names_the_holder(blocked.value, process, settled.role("api"), LOCK)


def test_a_status_needs_no_table(settled: Guarded) -> None:
    migrate(settled.boot())
    with settled.connected("api") as app, held(app, LOCK):
        owners = {owner["name"]: owner["missing"] for owner in status(settled.boot())["owners"]}

    assert owners == {"sso": [], "api": []}


@pytest.mark.usefixtures("impatient", "postgres_programs")
def test_the_command_that_the_error_names_ends_the_holder(settled: Guarded) -> None:
    programs = EmbeddedTiny.programs
    assert programs is not None
    boot = settled.boot()
    given = {"PGHOST": settled.target.host, "PGPORT": str(settled.target.port)}
    boot.runtime.psql = lambda _, variables: ([_psql(programs)], {**variables, **given})  # type: ignore[assignment]

    with settled.connected("api") as app, held(app, LOCK):
        with pytest.raises(BlockedError) as blocked:
            migrate(settled.boot())
        _, _, command = blocked.value.hint.partition(": ")
        _, task, *arguments = shlex.split(command)
        assert (task, arguments[:2]) == ("psql", ["--as-superuser", "--command"])
        assert access.shell(boot, "", arguments[2], as_superuser=True) == 0

    migrate(settled.boot())


def _psql(programs: Path) -> str:
    return str(next(programs.rglob("bin/psql")))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("verb", ["create", "drop"])
def test_who_keeps_a_database_from_being_cloned_or_dropped_is_named(
    server: Target, database: Target, verb: str
) -> None:
    with contextlib.ExitStack() as scratch:
        name = database.name
        if verb == "drop":
            name = scratch.enter_context(scratch_database(database, "trial")).name
        comment = f"""comment on database "{name}" is 'looked at'"""
        with held(by_hand(server), comment) as process, pytest.raises(BlockedError) as blocked:
            scratch.close() if verb == "drop" else scratch.enter_context(
                scratch_database(database, "trial", clone=True)
            )

    names_the_holder(blocked.value, process, server.user, comment)
    drop_left_over(database)


def test_no_statement_waits_for_a_lock_for_ever_whatever_the_role_is_set_to(server: Target, database: Target) -> None:
    role = sql.Identifier(server.user)
    with by_hand(server) as connection:
        connection.execute(sql.SQL("alter role {} set lock_timeout = 0").format(role))
        try:
            with database.open() as session:
                asked = "select current_setting('lock_timeout'), current_setting('statement_timeout')"
                assert session.execute(asked).fetchone() == ("10s", "1min")
        finally:
            connection.execute(sql.SQL("alter role {} reset lock_timeout").format(role))


def test_a_holder_that_went_is_no_mystery(database: Target) -> None:
    """Nobody is there to be named: then the statement has what it waited for."""
    with by_hand(database) as connection:
        connection.execute("create table kept ()")
    with held(by_hand(database), "lock table kept"), database.open() as session:
        session.execute("set lock_timeout to '10ms'")
        with pytest.raises(BlockedError) as blocked:
            session.execute("select * from public.kept")

    assert "its holder has gone meanwhile" in blocked.value.seen
    assert blocked.value.hint == "run this again"


@pytest.mark.usefixtures("impatient")
def test_a_prepared_transaction_is_named_with_the_statement_that_ends_it(
    server: Target, new_folder: Callable[[], Path]
) -> None:
    """It has no session: who prepared it is gone, and its locks stay, also when the server is started anew."""
    with copied(server, new_folder()) as copy, by_hand(copy.target) as connection:
        connection.execute("create table kept (); create table other ()")
        connection.execute("begin; lock table other; prepare transaction 'not this one'")
        connection.execute("begin; lock table kept; prepare transaction 'it''s left'")
        with copy.target.connect() as session:
            with pytest.raises(BlockedError) as blocked:
                session.execute("select * from public.kept")
            assert "the prepared transaction it's left of boot, since 20" in blocked.value.seen
            connect, _, statement = blocked.value.hint.partition(": ")
            assert connect == "connect to postgres, then end it"
            connection.execute(statement.encode())
            assert session.execute("select * from public.kept").fetchall() == []


def test_a_statement_that_takes_too_long_on_the_server_is_said_with_its_limit(database: Target) -> None:
    with database.open(limit=0.3) as session, pytest.raises(NotReadyError) as silent:
        session.execute("select pg_sleep(30)")

    assert "canceling statement due to statement timeout" in silent.value.seen
    assert silent.value.message == f"the database {database.name} on {database.address} did not answer in time"
    assert silent.value.expected == "an answer within 0.3 s"


# -- a server that falls silent ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def stopped(process: int, after: float = 0) -> Iterator[None]:
    """A process of the server that does nothing any more, from so many seconds on."""
    stop = threading.Timer(after, os.kill, (process, signal.SIGSTOP))
    stop.start()
    if not after:
        stop.join()
    try:
        yield
    finally:
        stop.join()
        os.kill(process, signal.SIGCONT)


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot stop a process")
def test_a_server_process_that_is_stopped_is_not_waited_for_beyond_the_limit(
    database: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.bootorder.database.ANSWER_SECONDS", 0.3)
    with database.kept():
        session = database.connect().__enter__()
        session.set_limit(0.3)
        begun = time.monotonic()
        with stopped(session.info.backend_pid, after=0.1), pytest.raises(NotReadyError) as silent:
            session.execute("select pg_sleep(30)")

        assert time.monotonic() - begun < SOON
        assert database.name in silent.value.message
        assert "no answer" in silent.value.seen
        assert session.closed
        with database.connect() as another:  # it is not given out again
            assert another.execute("select 1").fetchone() == (1,)


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot stop a process")
def test_a_lock_of_which_nothing_is_heard_is_lost(database: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.bootorder.database.ANSWER_SECONDS", 0.3)
    with migration_lock(database, 1, print) as lock:
        lock.session.set_limit(0.3)
        begun = time.monotonic()
        with stopped(lock.session.info.backend_pid), pytest.raises(LockedError) as lost:
            lock.require()

    assert time.monotonic() - begun < SOON
    assert f"the database postgres on {database.address} did not answer in time" in lost.value.seen


# -- an owner's tool --------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, roles: Mapping[str, str], database: Target, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Both owners have their tables; a tool may wait for a lock for a moment only."""
    monkeypatch.setattr(tool_watch, "LOOK_SECONDS", 0.05)
    bench = workbench(tmp_path, database, roles)
    bench.send(API, by="api")
    migrate(bench.boot())
    bench.blocked_wait = 0.4
    return bench


def sends(statement: str) -> Tool:
    def run(connection: Connection) -> Completed:
        send(connection, statement)
        return says("[✓] Changes applied")

    return run


def is_waited_for(bench: Workbench, process: int) -> bool:
    with by_hand(bench.target) as connection:
        query = "select exists (select from pg_stat_activity where %s = any (pg_blocking_pids(pid)))"
        return connection.execute(query, [process]).fetchone() == (True,)


READ = """select * from "user" """
TOUCH = """alter table "user" alter column email drop default"""


@pytest.mark.parametrize(
    ("holds", "statement"),
    [
        (READ, TOUCH),
        ("select pg_advisory_xact_lock(42)", "select pg_advisory_lock(42)"),
        (
            """insert into "user" values ('1', 'a@example.com')""",
            """insert into "user" values ('1', 'b@example.com')""",
        ),
    ],
    ids=["table", "advisory", "row"],
)
def test_a_tool_that_waits_for_a_lock_of_somebody_is_canceled_and_the_holder_named(
    bench: Workbench, holds: str, statement: str
) -> None:
    bench.runtime.tools["push"] = sends(statement)
    begun = time.monotonic()

    with held(by_hand(bench.target), holds) as process, pytest.raises(BlockedError) as blocked:
        migrate(bench.boot())

    assert time.monotonic() - begun < SOON
    names_the_holder(blocked.value, process, bench.target.user, holds.strip())
    assert f"was canceled: {statement}" in blocked.value.seen
    assert blocked.value.expected == "the lock within 0.4 s (`database.blocked_wait`)"
    assert "a tool of sso" in blocked.value.message


def test_a_seed_that_waits_for_a_lock_is_canceled_and_not_recorded(bench: Workbench) -> None:
    bench.runtime.tools["seed"] = sends("""insert into "user" values ('1', 'a@example.com')""")

    lock = """lock table "user" in share mode"""
    with held(by_hand(bench.target), lock), pytest.raises(BlockedError, match="a tool of sso"):
        seed(bench.boot())

    assert seed(bench.boot()).text == "sso +1 row"


def test_a_rehearsal_that_waits_for_a_lock_is_canceled(bench: Workbench) -> None:
    def waits(connection: Connection) -> Completed:
        if on_scratch(connection):
            with held(by_hand(replace(bench.target, name=connection.info.dbname)), "select pg_advisory_xact_lock(7)"):
                send(connection, "select pg_advisory_lock(7)")
        return push()(connection)

    bench.runtime.sources["sso"] = "second version"
    bench.runtime.tools["push"] = waits

    with pytest.raises(BlockedError):
        migrate(bench.boot())

    assert bench.scratches() == []


def test_a_tool_that_says_that_all_is_well_though_it_was_canceled_is_not_believed(bench: Workbench) -> None:
    def tries(connection: Connection) -> Completed:
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            send(connection, TOUCH)
        return says("[✓] Changes applied")

    bench.runtime.tools["push"] = tries

    with held(by_hand(bench.target), READ), pytest.raises(BlockedError):
        migrate(bench.boot())


def test_a_lock_that_is_set_free_in_time_is_waited_for(bench: Workbench) -> None:
    bench.blocked_wait = LIMIT
    bench.runtime.tools["push"] = sends(TOUCH)
    with held(by_hand(bench.target), READ) as process, ThreadPoolExecutor(1) as pool:
        done = pool.submit(migrate, bench.boot())
        until(lambda: is_waited_for(bench, process))
        bench.query(f"select pg_terminate_backend({process})")

        assert done.result(LIMIT).text == "sso unchanged, 2 tables verified"


def test_an_app_of_the_same_role_waits_as_long_as_it_likes(bench: Workbench) -> None:
    """Its session is older than the tool."""

    def slow(_: Connection) -> Completed:
        time.sleep(3 * bench.blocked_wait)
        return says("[✓] Changes applied")

    bench.runtime.tools["push"] = slow
    app = by_hand(bench.target.as_role(bench.runtime.roles["sso"], PASSWORD))
    with app, ThreadPoolExecutor(1) as pool, held(by_hand(bench.target), "select pg_advisory_xact_lock(42)") as process:
        waits = pool.submit(app.execute, "select pg_advisory_lock(42)")
        until(lambda: is_waited_for(bench, process))

        assert migrate(bench.boot()).text == "sso unchanged, 2 tables verified"
        assert not waits.done()
        bench.query(f"select pg_terminate_backend({process})")
        waits.result(LIMIT)


PEERS: Mapping[str, Any] = {
    "sso": {"migrator": "command", "service": "sso", "migrate": "push", "seed": "first"},
    "api": {"migrator": "command", "service": "api", "migrate": "create", "seed": "second"},
}


def test_one_tool_waits_for_another_as_long_as_that_one_works(bench: Workbench) -> None:
    has_it = threading.Event()

    def first(connection: Connection) -> Completed:
        send(connection, "select pg_advisory_lock(42)")
        has_it.set()
        time.sleep(3 * bench.blocked_wait)
        send(connection, """insert into "user" values ('1', 'a@example.com')""")
        return says("filled")

    def second(connection: Connection) -> Completed:
        assert has_it.wait(LIMIT)
        send(connection, "select pg_advisory_lock(42); insert into worker (name) values ('one')")
        return says("filled")

    bench.runtime.tools |= {"create": sends(API), "first": first, "second": second}

    assert seed(bench.boot(owners=PEERS)).text == "sso +1 row; api +1 row"
