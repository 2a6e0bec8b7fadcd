"""Two owners in one database: their tools are Python functions that send SQL, run by a runtime made of nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from scripts.bootorder.boot import Boot
from scripts.bootorder.console import Console
from scripts.bootorder.database import Target
from scripts.bootorder.errors import LogTail
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.probes import SystemClock
from scripts.bootorder.processes import Completed, Limit, SystemProcesses
from scripts.bootorder.runtimes.base import Address, Service, Watched
from scripts.bootorder.settings import parse
from tests.contract.hand import by_hand, rows_by_hand

Connection = psycopg.Connection[tuple[object, ...]]

PASSWORD = "p@ss/wo rd%41'\""  # of every owner

# One command of an owner: sends its SQL, and says what came of it.
Tool = Callable[[Connection], Completed]


def says(text: str, code: int = 0) -> Completed:
    return Completed(code, f"{text}\n", f"{text}\n")


@dataclass
class SqlRuntime:
    """One-offs only: a command is a tool by its name, sent to DATABASE_URL of what is added, else of the service.

    `roles`: of each owner, whose service has its name.
    """

    target: Target
    tools: dict[str, Tool]
    roles: Mapping[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    runs: list[tuple[str, str]] = field(default_factory=list)  # (command, database)
    name: str = "sql"

    def needs(self) -> Mapping[str, Callable[[], str]]:
        return {}

    def declared(self) -> Sequence[str]:
        return ["postgres", "sso", "api"]

    def optional(self) -> Collection[str]:
        return []

    def services(self, names: Collection[str] = ()) -> Mapping[str, Service]:
        address = Address(self.target.host, self.target.port)
        return {name: Service(name, "running", "healthy", address=address) for name in names or self.declared()}

    def watched(self, pause: Callable[[float], None]) -> AbstractContextManager[Watched]:
        raise NotImplementedError

    def environment(self, service: str) -> Mapping[str, str]:
        if service not in self.roles:
            return self.variables
        user, password = quote(self.roles[service], safe=""), quote(PASSWORD, safe="")
        url = f"postgresql://{user}:{password}@{self.target.address}/{quote(self.target.name, safe='')}"
        return {"DATABASE_URL": url, **self.variables}

    def marks(self, service: str) -> Mapping[str, str]:
        return {}

    def run_once(
        self,
        service: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: Limit | None = None,
    ) -> Completed:
        with psycopg.connect({**self.environment(service), **env}["DATABASE_URL"], autocommit=True) as connection:
            self.runs.append((argv[0], connection.info.dbname))
            try:
                done = self.tools[argv[0]](connection)
            except psycopg.Error as error:
                done = says(f"error: {error}", 1)
        for line in done.text.splitlines():
            on_line(line)
        return done

    def is_built(self, service: str) -> bool:
        return True

    def fingerprint(self, service: str) -> str:
        return self.sources.get(service, "first version")

    def build(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        """There is nothing to build."""

    def create(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        raise NotImplementedError

    def start(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        raise NotImplementedError

    def stop_one_offs(self) -> None:
        """There are none."""

    def stop(self) -> Sequence[str]:
        raise NotImplementedError

    def runs_apart(self) -> str:
        return ""

    def stop_services(self, names: Collection[str]) -> None:
        raise NotImplementedError

    def remove(self) -> Mapping[str, Sequence[str]]:
        raise NotImplementedError

    def logs(self, names: Sequence[str], *, tail: int, follow: bool) -> Iterator[tuple[str, str]]:
        raise NotImplementedError

    def check(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    def check_ports(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    def is_stale(self, service: str) -> bool:
        return False

    def is_touched(self, service: str) -> bool:
        return False

    def is_current(self, service: str) -> bool:
        return True

    def prepare_apart(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        return names

    def check_removal(self) -> None:
        """Nothing is removed."""

    def profiles(self) -> Mapping[str, Sequence[str]]:
        return {}

    def has_data(self, service: str) -> bool:
        raise NotImplementedError

    def psql(self, service: str, variables: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
        raise NotImplementedError

    def foreign_listener(self, service: Service) -> str:
        return ""

    def port_holder(self, port: int) -> str:
        return ""

    def log_tail(self, name: str) -> LogTail:
        return LogTail(name, ["the app's last line"])


# What the two owners make.
SSO = """
create type role as enum ('admin', 'user');
create table "user" (id text primary key, email text not null unique, role role not null default 'user');
create table session (id text primary key, "userId" text not null references "user" on delete cascade);
create index session_by_user on session ("userId");
"""
API = """
create type status as enum ('open', 'done');
create sequence ticket;
create table worker (id int generated by default as identity primary key, name text not null);
create table task (
    id int generated by default as identity primary key,
    title text not null,
    status status not null default 'open',
    worker_id int constraint of_worker references worker
);
create index task_title on task (title);
create view open_task as select id, title from task where status = 'open';
create materialized view busy as select worker_id, count(*) from task group by worker_id;
create function touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touched before update on task for each row execute function touch();
alter table worker enable row level security;
create policy everyone on worker using (true);
insert into worker (name) select 'worker ' || n from generate_series(1, 42) n;
insert into task (title, worker_id) select 'task ' || n, n from generate_series(1, 7) n;
"""


def on_scratch(connection: Connection) -> bool:
    return connection.info.dbname.startswith("bootorder_scratch_")


def is_rehearsal(connection: Connection) -> bool:
    """A scratch database that is no clone of the stack's: nothing in it is this owner's yet."""
    query = "select exists (select from pg_class where relowner = quote_ident(current_user)::regrole)"
    return on_scratch(connection) and connection.execute(query).fetchone() == (False,)


def push(then: str = "", *, makes: str = SSO, text: str = "", code: int = 0) -> Tool:
    """A tool like drizzle-kit push: makes what is missing, and says so.

    In the stack's database it also does what it should not (`then`, or less in `makes`), and says what it is told to.
    """

    def run(connection: Connection) -> Completed:
        if is_rehearsal(connection):
            send(connection, SSO)
            return says("[✓] Changes applied")
        is_there = connection.execute("select to_regclass('session')").fetchone() != (None,)
        send(connection, then if is_there else makes + then)
        return says(text or ("[i] No changes detected" if is_there else "[✓] Changes applied"), code)

    return run


def send(connection: Connection, statements: str) -> None:
    connection.execute(statements.encode())


DRIZZLE = {"migrator": "drizzle", "service": "sso", "migrate": "push", "seed": "seed"}
SQLMODEL = {"migrator": "sqlmodel", "service": "api", "migrate": "create"}
OWNERS: Mapping[str, Any] = {"sso": DRIZZLE}
BOTH: Mapping[str, Any] = {"sso": DRIZZLE, "api": SQLMODEL}


@dataclass
class Workbench:
    """An owner whose tool is to be watched, `sso`, in a database that another one, `api`, already uses.

    Both have a role, and the guard is in place.
    """

    root: Path
    runtime: SqlRuntime
    target: Target
    talk: io.StringIO
    patience: float = 0.3  # seconds that the lock is waited for
    blocked_wait: float = 30  # seconds that a tool may wait for a lock of somebody else

    def send(self, statements: str, by: str = "") -> None:
        """As this owner; else as the superuser who may do anything, on purpose."""
        with by_hand(self.target) as connection:
            if by:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(self.runtime.roles[by])))
            send(connection, statements if by else f"select bootorder.allow(); {statements}")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with by_hand(self.target) as connection:
            return connection.execute(statement.encode()).fetchall()

    def count(self, table: str) -> int:
        with by_hand(self.target) as connection:
            return rows_by_hand(connection, [("public", table)])["public", table]

    def scratches(self) -> list[str]:
        return [name for (name,) in self.query("select datname from pg_database where datname ~ 'scratch'")]

    def boot(
        self,
        *,
        quick: bool = False,
        accept_data_loss: bool = False,
        owners: Mapping[str, Any] = OWNERS,
        reseed: Collection[str] = (),
    ) -> Boot:
        """A boot as a new process would have it."""
        database = {
            "service": "postgres",
            "name": self.target.name,
            "user": self.target.user,
            "password": "PASSWORD",
            "lock_wait": self.patience,
            "blocked_wait": self.blocked_wait,
        }
        with_roles = {name: {**its, "role": self.runtime.roles[name]} for name, its in owners.items()}
        settings = parse({"bootorder": {"database": database, "owners": with_roles, "apps": {"api": {}}}})
        return Boot(
            *(self.root, settings, self.runtime, SystemProcesses(), Console(self.talk), SystemClock()),
            quick=quick,
            accept_data_loss=accept_data_loss,
            reseed=reseed,
        )


def workbench(root: Path, target: Target, roles: Mapping[str, str]) -> Workbench:
    passwords = {"PASSWORD": target.password, "SSO_DB_PASSWORD": PASSWORD, "API_DB_PASSWORD": PASSWORD}
    lines = ["{}='{}'\n".format(name, password.replace("'", "\\'")) for name, password in passwords.items()]
    (root / ".env").write_text("".join(lines), encoding="utf-8")
    runtime = SqlRuntime(target, {"push": push(), "seed": lambda _: says("nothing to do")}, roles)
    bench = Workbench(root, runtime, target, io.StringIO())
    guard(bench.boot(owners=BOTH))
    return bench
