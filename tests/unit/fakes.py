"""The world in memory: a clock, processes, a database server, a runtime, and a stack made of them."""

from __future__ import annotations

import io
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg
import pytest
from docker.errors import APIError, NotFound
from psycopg import sql

from scripts.bootorder import catalog
from scripts.bootorder.boot import Boot
from scripts.bootorder.catalog import Catalog, Key
from scripts.bootorder.console import Console
from scripts.bootorder.database import BlockedError, Target
from scripts.bootorder.errors import BootError, LogTail
from scripts.bootorder.migration_lock import MigrationLock, migration_lock
from scripts.bootorder.processes import Completed, Limit
from scripts.bootorder.runtimes.base import Address, Polled, Service, Watched
from scripts.bootorder.settings import Settings, parse, unknown
from scripts.bootorder.timeline.spans import Timeline

PASSWORD = "c0rrect-horse"
# What a server keeps of it, hashed once.
VERIFIER = (
    "SCRAM-SHA-256$1:c2FsdCBvZiAxNiBieXRlcw==$6qaFekY91do5R6DIuvbh3Md/00mbO6fk8SacSxihfA8="
    ":F5IrGuQyV2H7DTq2g0faRVs9HeKUgoFIW+/RxjlAY20="
)
TARGET = Target("127.0.0.1", 5432, "taskflow", "taskflow", PASSWORD)


class FakeClock:
    """Sleeping takes no time and is remembered as having passed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- processes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    inherit: bool = True
    limit: Limit | None = None


Answer = Completed | BaseException | Callable[[Call], Completed]


class FakeProcesses:
    """Answers by the first words of a command line, the latest answer given first; remembers what was run."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ended = threading.Event()  # whether everything that runs was told to end
        self._answers: list[tuple[tuple[str, ...], Answer]] = []

    def answer(self, *words: str, with_: Answer | str = "", code: int = 0) -> None:
        answer = Completed(code, with_, with_) if isinstance(with_, str) else with_
        self._answers.insert(0, (words, answer))

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        inherit: bool = True,
        limit: Limit | None = None,
    ) -> Completed:
        call = Call(tuple(argv), cwd, dict(env or {}), inherit, limit)
        self.calls.append(call)
        done = self._find(call)
        for line in done.text.splitlines() if on_line else ():
            on_line(line) if on_line else None
        return done

    def stream(self, argv: Sequence[str], *, cwd: Path, limit: Limit | None = None) -> Iterator[str]:
        call = Call(tuple(argv), cwd, limit=limit)
        self.calls.append(call)
        yield from self._find(call).out.splitlines()

    def end_all(self) -> None:
        self.ended.set()

    def lines(self) -> list[str]:
        """What was run, as a person would type it."""
        return [" ".join(call.argv) for call in self.calls]

    def _find(self, call: Call) -> Completed:
        for words, answer in self._answers:
            if call.argv[: len(words)] == words:
                if isinstance(answer, BaseException):
                    raise answer
                return answer if isinstance(answer, Completed) else answer(call)
        raise AssertionError(f"no answer was prepared for: {' '.join(call.argv)}")


# -- the database server -----------------------------------------------------------------------------------------------


def table(name: str, /, **columns: str) -> dict[Key, str]:
    """The catalog's objects of one table of `public`; it has an `id` unless told otherwise."""
    columns = columns or {"id": "integer not null"}
    key = {Key("table", "public", name, name): ""}
    return key | {Key("column", "public", name, column): text for column, text in columns.items()}


def owned_by(role: str, *tables: Mapping[Key, str]) -> dict[Key, str]:
    """The same, with whose each of them is, as a catalog has it that was read."""
    objects = {key: text for part in tables for key, text in part.items()}
    return objects | {Key("owner", key.schema, key.relation, key.relation): role for key in objects}


@dataclass
class FakeDatabase:
    """One database: its catalog, whose each thing is, its rows, and what is recorded in it."""

    objects: dict[Key, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # the role of each relation
    rows: dict[str, int] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    records: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    guarded: bool = True

    def create(self, *tables: Mapping[Key, str], by: str = "sso") -> None:
        """Make what is not there."""
        for objects in tables:
            self.objects.update(objects)
            for key in objects:
                self.owners.setdefault(key.relation, by)
            self.rows.update(
                {key.relation: 0 for key in objects if key.kind == "table" and key.relation not in self.rows}
            )

    def drop(self, *relations: str) -> None:
        self.objects = {key: text for key, text in self.objects.items() if key.relation not in relations}
        self.rows = {name: count for name, count in self.rows.items() if name not in relations}
        self.owners = {name: role for name, role in self.owners.items() if name not in relations}

    def catalog(self) -> dict[Key, str]:
        whose = {
            Key("owner", key.schema, key.relation, key.relation): self.owners[key.relation]
            for key in self.objects
            if key.relation in self.owners
        }
        return self.objects | whose

    @property
    def tables(self) -> set[str]:
        return {key.relation for key in self.objects if key.kind == "table"}


class FakeServer:
    """PostgreSQL as far as bootorder asks it: understands exactly the statements that the code sends.

    Its roles, grants and triggers are in place; making them is proved on a real server.
    """

    def __init__(self) -> None:
        self.databases = {"taskflow": FakeDatabase()}
        self.roles = ["api", "sso"]
        self.opened: list[FakeConnection] = []
        self.refusal = ""  # libpq's words while nobody can connect
        self.made: list[str] = []  # scratch databases, in the order of their making
        self.locks: dict[str, FakeConnection] = {}

    @property
    def main(self) -> FakeDatabase:
        return self.databases["taskflow"]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Target, "open", lambda target, autocommit=True, limit=0: self.connect(target))

    def connect(self, target: Target) -> FakeConnection:
        where = f'connection failed: connection to server at "{target.host}", port {target.port} failed: '
        if self.refusal:
            raise psycopg.OperationalError(where + self.refusal)
        if target.password != PASSWORD:
            raise psycopg.OperationalError(where + f'FATAL:  password authentication failed for user "{target.user}"')
        if target.name == "postgres":  # every server has it
            return FakeConnection(self, FakeDatabase())
        if target.name not in self.databases:
            raise psycopg.OperationalError(where + f'FATAL:  database "{target.name}" does not exist')
        return FakeConnection(self, self.databases[target.name])


class FakeConnection:
    info = SimpleNamespace(backend_pid=31, server_version=180000)

    def __init__(self, server: FakeServer, database: FakeDatabase) -> None:
        self._server = server
        self._database = database
        self.closed = False
        server.opened.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def set_limit(self, seconds: float) -> None:
        """Nothing takes long here."""

    def close(self) -> None:
        self.closed = True
        self._server.locks = {key: holder for key, holder in self._server.locks.items() if holder is not self}

    def execute(self, query: str | bytes | sql.Composable, values: Any = ()) -> FakeCursor:
        text = query.as_string(None) if isinstance(query, sql.Composable) else query
        text = text.decode() if isinstance(text, bytes) else text
        for answer in (self._of_the_server, self._of_records, self._of_the_catalog, self._of_the_guard):
            rows = answer(text, values)
            if rows is not None:
                return FakeCursor(rows)
        raise AssertionError(f"the fake server does not know: {text}")

    def _of_the_server(self, text: str, values: Any) -> list[tuple[Any, ...]] | None:  # noqa: PLR0911
        if "advisory" in text or "'lock_timeout'" in text:
            return self._of_the_lock(text, values[0])
        known = ("bootorder.work", "bootorder.noted")
        is_known = any(words in text for words in known)
        changes = ("revoke all on database", "grant connect", "alter database", "set transaction_timeout")
        if text.startswith(changes) or is_known:
            return []
        answers: Mapping[str, list[tuple[Any, ...]]] = {
            "select pg_backend_pid(), current_setting('search_path'), pg_is_in_recovery()": [
                (31, "pg_catalog,pg_temp", False)
            ],
            "select clock_timestamp()": [("now",)],
            "select to_regproc('bootorder.allow')": [(None,)],
            "select datname::text from pg_database": [(name,) for name in self._server.databases],
        }
        nothing = (
            "from pg_extension",
            "from pg_prepared_xacts",
            "bootorder.decoy",
            "from pg_authid where rolname = %s for share",
            "as tie",
            "pg_sequence_last_value",
            "'role ' || rolname",
            "pg_stat_get",
            "nspowner from",
            "bootorder.reserved",
            "'rights on'",
            "datlocprovider",
        )
        if any(words in text for words in (*nothing, "bootorder.foreign_cast", "bootorder.curtailed")):
            return []
        if "starts_with(datname" in text and "select datname" in text:
            return [(name,) for name in self._server.databases if name.startswith(values[0])]
        if "backend_start >" in text:
            return [(False,)]
        if "pg_terminate_backend(pid" in text:
            return []
        if "from pg_stat_activity" in text:
            return []
        if "select exists (select from pg_database" in text:
            return [(values[0] in self._server.databases,)]
        return answers.get(text) if text in answers else self._of_databases(text)

    def _of_databases(self, text: str) -> list[tuple[Any, ...]] | None:
        found = re.fullmatch(
            r'(drop|create) database (?:if exists )?"((?:[^"]|"")+)"'
            r'(?: with \(force\)| template "?(.+?)"? connection limit 0)',
            text,
        )
        if not found:
            return None
        databases = self._server.databases
        verb, name, template = found.groups()
        if verb == "create":
            assert name not in databases, f"{name} already exists"
            self._server.made.append(name)
            databases[name] = FakeDatabase() if template == "template0" else deepcopy(databases[template])
        else:
            databases.pop(name, None)
        return []

    def _of_the_lock(self, text: str, key: str) -> list[tuple[Any, ...]]:
        locks = self._server.locks
        if "pg_backend_pid" in text:
            return [(locks.get(key) is self,)]
        if "pg_locks" in text:
            return [("bootorder on host, process 4711", "2026-11-22 17:00:00", 31)]
        if "pg_try_advisory_lock" in text:
            return [(locks.setdefault(key, self) is self,)]
        if "pg_advisory_unlock" in text and locks.get(key) is self:
            del locks[key]
        if "pg_advisory_lock" in text:
            raise BlockedError("the database waited for a lock", hint="run this again")
        return []

    def _of_the_guard(self, text: str, values: Any) -> list[tuple[Any, ...]] | None:
        roles = self._server.roles
        answers: Mapping[str, list[tuple[Any, ...]]] = {
            "select rolsuper": [(True,)],
            "from pg_authid": [(role, True, False, VERIFIER, [], True) for role in roles],
            "from pg_shdepend o": [],  # roles that owners had before
            "obj_description": [(self._database.guarded,)],
            "from bootorder.owner o": [(role,) for role in roles],
            "from bootorder.uncovered": [(False,)],
            "as repair": [],  # what drifted
            "pg_db_role_setting": [],
            "relowner": [],  # which owner has tables where, and what is nobody's
        }
        return next((rows for words, rows in answers.items() if words in text), None)

    def _of_records(self, text: str, values: Any) -> list[tuple[Any, ...]] | None:
        records = self._database.records
        if text == "select to_regclass(%s)" and values[0] == "bootorder.work":
            return [(None,)]
        if text == "select to_regclass(%s)":
            return [(values[0] if values[0].removeprefix("bootorder.") in records else None,)]
        found = re.search(r'bootorder\."(\w+)"', text)
        if not found:
            return None
        kind = found[1]
        if "create table if not exists" in text:
            records.setdefault(kind, {})
        elif "insert into" in text:
            owner, *record = values
            records[kind][owner] = tuple(record)
        else:
            return [(owner, *record) for owner, record in records[kind].items()]
        return []

    def _of_the_catalog(self, text: str, values: Any) -> list[tuple[Any, ...]] | None:
        held = self._database
        if "unnest(%s::text[], %s::text[])" in text:
            return [
                (schema, name, held.owners.get(name, ""), True, False) for schema, name in zip(*values, strict=True)
            ]
        if "from pg_class c join pg_namespace n" in text and "r.rolname = %s" in text:
            return list(catalog.Catalog(held.catalog()).of(values[0]).tables())
        if text == catalog.QUERY:
            return [(*_as_tuple(key), definition) for key, definition in held.catalog().items()]
        if "xmin" in text:
            tables = re.findall(r'from "\w+"\."(\w+)"', text)
            return [(1000 * held.rows[name] + held.updates.get(name, 0),) for name in tables]
        if column := re.fullmatch(r'select count\("\w+"\) from "\w+"\."(\w+)"', text):
            return [(held.rows.get(column[1], 0),)]  # each of its rows has a value
        parts = re.findall(r'select (\d+)::int, count\(\*\) from "\w+"\."(\w+)"', text)
        return [(int(position), held.rows[name]) for position, name in parts] or None


def locked(
    name: str = TARGET.name, say: Callable[[str], None] = lambda _: None
) -> AbstractContextManager[MigrationLock]:
    """The lock as a run of the tasks has it."""
    return migration_lock(replace(TARGET, name=name), 5, say)


class FakeCursor:
    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)


def _as_tuple(key: Key) -> tuple[str, str, str, str]:
    return (key.kind, key.schema, key.relation, key.name)


# -- the runtime -------------------------------------------------------------------------------------------------------

Tool = Callable[[FakeDatabase], Completed]


def prints(text: str, code: int = 0) -> Completed:
    """A finished command that said this."""
    return Completed(code, text, text)


class FakeRuntime:
    """Services whose states follow the clock; one-off commands are functions on a database."""

    name = "fake"

    def __init__(self, server: FakeServer, clock: FakeClock, environments: Mapping[str, Mapping[str, str]]) -> None:
        self.environments = {name: dict(given) for name, given in environments.items()}
        self.images = {name: f"sha256:{name}" for name in environments}
        self.tools: dict[tuple[str, ...], Tool] = {}
        self.ran: list[str] = []
        self.changed: list[str] = []
        self.log_lines: dict[str, list[str]] = {}
        self.optional_ones: list[str] = []
        self.lacks: dict[str, BootError] = {}
        self.wrong: BootError | None = None  # what a check finds
        self.taken: BootError | None = None  # what a look at the ports finds
        self.keeps: BootError | None = None  # what a removal would have to leave
        self.holds_data = False
        self.needs_no_variables = False  # its passwords are in files
        self.active_profiles: dict[str, list[str]] = {}
        self.models: list[dict[str, Any]] = []  # what the look for models finds
        self.apart = ""  # what runs under another name
        self.stale: set[str] = set()
        self.touched: set[str] = set()  # since the last build
        self.outdated: set[str] = set()  # what runs is not what would be started
        self.shares_a_folder: set[str] = set()  # its build would change what runs
        self.foreign: dict[str, str] = {}  # what else answers where a service is reached
        self.asked_ports: list[str] = []
        self._server = server
        self._clock = clock
        self._states: dict[str, list[tuple[float, Service]]] = {}

    def becomes(self, name: str, state: str, *, at: float = 0.0, port: int | None = None, **more: Any) -> None:
        """From the second `at` on, the service is in this state."""
        address = Address("127.0.0.1", port) if port else None
        self._states.setdefault(name, []).append((at, Service(name, state, address=address, **more)))

    def needs(self) -> Mapping[str, Callable[[], str]]:
        def look() -> str:
            if "tool" in self.lacks:
                raise self.lacks["tool"]
            return "a tool of version 1"

        return {"tool": look}

    def check(self, names: Sequence[str]) -> None:
        if self.wrong:
            raise self.wrong

    def check_ports(self, names: Sequence[str]) -> None:
        self.asked_ports += names
        if self.taken:
            raise self.taken

    def has_data(self, service: str) -> bool:
        assert service == "postgres"
        assert self.needs_no_variables or "POSTGRES_PASSWORD" in os.environ, "compose.yaml cannot be read without it"
        return self.holds_data

    def declared(self) -> Sequence[str]:
        return list(self.environments)

    def optional(self) -> Collection[str]:
        return self.optional_ones

    def services(self, names: Collection[str] = ()) -> Mapping[str, Service]:
        now = self._clock.now()
        for name in names:
            if name not in self.environments:
                raise unknown("service", name, list(self.environments))
        reached = {
            name: [service for at, service in self._states.get(name, []) if at <= now]
            for name in names or self.environments
        }
        return {name: states[-1] if states else Service(name, "absent") for name, states in reached.items()}

    @contextmanager
    def watched(self, pause: Callable[[float], None]) -> Iterator[Watched]:
        yield Polled(lambda name: self.services([name])[name], pause)

    def build(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        self.changed += [f"build {name}" for name in names]

    def create(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        self.changed += [f"create {name}" for name in names]

    def start(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        now = self.services()
        anew = [name for name in names if not now[name].running]
        for name in anew:
            self.becomes(name, "running", port=5432 if name == "postgres" else None)
        self.changed += [f"start {name}" for name in names]
        return anew

    def stop_one_offs(self) -> None:
        """There are none."""

    def stop(self) -> Sequence[str]:
        running = {name: service for name, service in self.services().items() if service.running}
        for name, service in running.items():
            self.becomes(name, "exited", at=self._clock.now(), exit_code=143, instance=service.instance)
        return list(running)

    def runs_apart(self) -> str:
        return self.apart

    def stop_services(self, names: Collection[str]) -> None:
        self.changed += [f"stop {name}" for name in names]
        for name in names:
            self.becomes(name, "exited", at=self._clock.now(), exit_code=143, instance=self.services()[name].instance)

    def profiles(self) -> Mapping[str, Sequence[str]]:
        return self.active_profiles

    def check_removal(self) -> None:
        if self.keeps:
            raise self.keeps

    def remove(self) -> Mapping[str, Sequence[str]]:
        there = [name for name, service in self.services().items() if service.state != "absent"]
        self._states.clear()
        return {"container": there, "volume": ["data"] if there else []}

    def run_once(
        self,
        service: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: Limit | None = None,
    ) -> Completed:
        if "-c" in argv:  # the program that looks for models, run in place of the command that makes their tables
            answer = {"reached": True, "called": [], "ended": "", "models": self.models}
            return prints(json.dumps(answer))
        given = {**self.environment(service), **env}
        name = given.get("DB_NAME") or urlsplit(given["DATABASE_URL"]).path.removeprefix("/")
        self.ran.append(" ".join(argv))
        done = self.tools[tuple(argv)](self._server.databases[name])
        for line in done.text.splitlines():
            on_line(line)
        return done

    def environment(self, service: str) -> Mapping[str, str]:
        if service not in self.environments:
            raise unknown("service", service, self.environments)
        return self.environments[service]

    def marks(self, service: str) -> Mapping[str, str]:
        return {"MARK": service}

    def is_built(self, service: str) -> bool:
        return bool(self.fingerprint(service))

    def is_stale(self, service: str) -> bool:
        return service in self.stale

    def is_touched(self, service: str) -> bool:
        return service in self.touched

    def is_current(self, service: str) -> bool:
        return service not in self.outdated and self.services([service])[service].running

    def prepare_apart(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        apart = [name for name in names if name not in self.shares_a_folder]
        self.build(apart, on_line)
        return apart

    def fingerprint(self, service: str) -> str:
        return self.images[service]

    def logs(self, names: Sequence[str], *, tail: int, follow: bool) -> Iterator[tuple[str, str]]:
        for name in names or self.environments:
            yield from ((name, line) for line in self.log_lines.get(name, [])[-tail:])

    def psql(self, service: str, variables: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
        return ["psql", service], variables

    def port_holder(self, port: int) -> str:
        return ""

    def foreign_listener(self, service: Service) -> str:
        return self.foreign.get(service.name, "")

    def log_tail(self, name: str) -> LogTail:
        return LogTail.of(name, "\n".join(self.log_lines.get(name, [])))


# -- the stack ---------------------------------------------------------------------------------------------------------

_SSO_URL = f"postgresql://sso:{PASSWORD}@postgres:5432/taskflow"
_API_URL = f"postgresql://api:{PASSWORD}@postgres:5432/taskflow"
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "postgres": {},
    "pgadmin": {},
    "sso-setup": {"DATABASE_URL": _SSO_URL},
    "sso": {"DATABASE_URL": _SSO_URL},
    "api": {"DATABASE_URL": _API_URL},
    "web": {},
}
CONFIG: Mapping[str, Any] = {
    "database": {
        "service": "postgres",
        "name": "taskflow",
        "user": "taskflow",
        "password": "POSTGRES_PASSWORD",
        "beside": ["pgadmin"],
    },
    "owners": {
        "sso": {
            "migrator": "drizzle",
            "service": "sso-setup",
            "migrate": "pnpm db:push",
            "seed": "pnpm seed:setup",
        },
        "api": {"migrator": "sqlmodel", "service": "api", "migrate": "python -m tables"},
    },
    "apps": {"sso": {}, "api": {}, "web": {}},
}
PUSH = ("pnpm", "db:push")
FORCED = (*PUSH, "--force")
SEED = ("pnpm", "seed:setup")
CREATE_ALL = ("python", "-m", "tables")
USER = table("user", id="text not null", name="text")
SESSION = table("session", id="text not null")
WORKER = table("worker")
TASK = table("task", id="integer not null", title="text")

APPLIED = "[✓] Changes applied"
NO_CHANGES = "[i] No changes detected"


def push(database: FakeDatabase) -> Completed:
    """The SSO's tool, well-behaved."""
    there = {"user", "session"} <= database.tables
    database.create(USER, SESSION)
    return prints(NO_CHANGES if there else APPLIED)


def create_all(database: FakeDatabase) -> Completed:
    """The API's tool, which makes what is not there."""
    database.create(WORKER, TASK, by="api")
    return prints("2 tables")


def seed_user(database: FakeDatabase) -> Completed:
    """The SSO's seed: one demo user, once."""
    database.rows["user"] = max(database.rows["user"], 1)
    return prints("demo user is there")


class FakeStack:
    """All of it together, and what it printed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        self.server = FakeServer()
        self.processes = FakeProcesses()
        self.runtime = FakeRuntime(self.server, self.clock, ENVIRONMENTS)
        self.runtime.tools = {PUSH: push, FORCED: push, SEED: seed_user, CREATE_ALL: create_all}
        self.talk = io.StringIO()
        self.printed = io.StringIO()
        self.elsewhere: BootError | None = None  # what is said of the same stack under another runtime
        self.config: dict[str, Any] = json.loads(json.dumps(CONFIG))
        self.database_runs()
        passwords = ("POSTGRES_PASSWORD", "SSO_DB_PASSWORD", "API_DB_PASSWORD")
        lines = "".join(f"{name}={PASSWORD}\n" for name in passwords)
        (root / ".env").write_text(lines, encoding="utf-8")
        (root / ".env").chmod(0o600)

    def database_runs(self) -> None:
        self.runtime.becomes("postgres", "running", health="healthy", port=5432)

    @property
    def database(self) -> FakeDatabase:
        return self.server.main

    @property
    def settings(self) -> Settings:
        return parse({"bootorder": self.config})

    def boot(self, *, quick: bool = False, verbose: bool = False, asked_for: Collection[str] = ()) -> Boot:
        """A new run of the tasks on this stack."""
        console = Console(self.talk, self.printed, verbose=verbose)
        return Boot(
            *(self.root, self.settings, self.runtime, self.processes, console, self.clock),
            quick=quick,
            asked_for=asked_for,
            elsewhere=lambda: self.elsewhere,
            timeline=Timeline(self.clock),
        )

    @property
    def said(self) -> str:
        return self.talk.getvalue()

    @property
    def data(self) -> Any:
        return json.loads(self.printed.getvalue())


def catalog_of(*objects: Mapping[Key, str]) -> Catalog:
    return Catalog({key: text for part in objects for key, text in part.items()})


# -- the Docker Engine -------------------------------------------------------------------------------------------------


class FakeDocker:
    """The part of the Docker SDK's low-level client that is used, over containers, volumes and images in memory."""

    def __init__(self) -> None:
        self._containers: dict[str, dict[str, Any]] = {}
        self._volumes: dict[str, dict[str, str]] = {}
        self._logs: dict[str, str] = {}
        self.image_ids: dict[str, str] = {}
        self.stopped: list[str] = []
        self.started: list[str] = []

    @property
    def client(self) -> Any:
        """As the Docker SDK's client: the low-level one is its `api`."""
        return SimpleNamespace(api=self)

    def container(
        self,
        service: str,
        *,
        project: str = "taskflow",
        folder: Path | str = "",
        one_off: bool = False,
        state: str = "running",
        exit_code: int = 0,
        health: str = "",
        port: int = 0,
        log: str = "",
        name: str = "",
        number: int = 1,
        image: str = "",
    ) -> str:
        name = name or f"{project}-{service}-{'run-1a2b' if one_off else number}"
        labels = {
            "com.docker.compose.project": project,
            "com.docker.compose.service": service,
            "com.docker.compose.oneoff": str(one_off),
            "com.docker.compose.container-number": str(number),
            "com.docker.compose.project.working_dir": str(folder),
        }
        bindings = {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]} if port else {}
        self._containers[name] = {
            "Id": name,
            "Names": [f"/{name}"],
            "Labels": labels,
            "State": state,
            "ImageID": image,
            "Ports": [{"PublicPort": port}] if port else [],
            "inspected": {
                "Id": name,
                "State": {
                    "StartedAt": "2026-11-22T17:00:00Z",
                    "Status": state,
                    "Running": state == "running",
                    "Restarting": False,
                    "ExitCode": exit_code,
                    **({"Health": {"Status": health}} if health else {}),
                },
                "NetworkSettings": {"Ports": bindings},
            },
        }
        self._logs[name] = log
        return name

    def volume(self, name: str, *, project: str = "taskflow") -> None:
        self._volumes[name] = {"com.docker.compose.project": project}

    @property
    def container_names(self) -> list[str]:
        return list(self._containers)

    @property
    def volume_names(self) -> list[str]:
        return list(self._volumes)

    def restart(self, name: str) -> None:
        self._containers[name]["inspected"]["State"]["StartedAt"] += " again"

    def compose_stops(self, project: str = "taskflow") -> None:
        """What `docker compose stop` does: one-offs are passed by."""
        for name in self._of(project):
            if not self._is_one_off(name):
                self.stop(name)

    def compose_takes_down(self, project: str = "taskflow") -> None:
        """What `docker compose down --volumes --rmi local` does."""
        for name in self._of(project):
            if not self._is_one_off(name):
                del self._containers[name]
        self._volumes = {
            name: labels for name, labels in self._volumes.items() if labels["com.docker.compose.project"] != project
        }

    def _of(self, project: str) -> list[str]:
        return [
            name
            for name, container in self._containers.items()
            if container["Labels"]["com.docker.compose.project"] == project
        ]

    def _is_one_off(self, name: str) -> bool:
        return bool(self._containers[name]["Labels"]["com.docker.compose.oneoff"] == "True")

    # The SDK's own names and signatures from here on.

    def version(self) -> dict[str, str]:
        return {"Version": "28.5.1"}

    def containers(self, *, all: bool = False, filters: Mapping[str, str]) -> list[dict[str, Any]]:  # noqa: A002
        found = [c for c in self._containers.values() if all or c["State"] == "running"]
        label = filters.get("label")
        if label:
            key, _, value = label.partition("=")
            found = [c for c in found if c["Labels"].get(key) == value]
        return [dict(c) for c in found]

    def inspect_container(self, container: str) -> dict[str, Any]:
        if container not in self._containers:
            raise NotFound(f"No such container: {container}", response=_response(404))
        found: dict[str, Any] = self._containers[container]["inspected"]
        return found

    def logs(self, container: str, *, tail: int) -> bytes:
        return "\n".join(self._logs[container].splitlines()[-tail:]).encode()

    def start(self, container: str) -> None:
        self.inspect_container(container)
        self.started.append(container)

    def stop(self, container: str, *, timeout: int = 10) -> None:
        self.inspect_container(container)
        self.stopped.append(container)
        self._containers[container]["State"] = "exited"
        self._containers[container]["inspected"]["State"].update(Status="exited", Running=False)

    def remove_container(self, container: str, *, force: bool, v: bool = False) -> None:
        if self.inspect_container(container)["State"]["Running"] and not force:
            raise api_error("You cannot remove a running container", 409)
        del self._containers[container]

    def wait(self, container: str, *, condition: str, timeout: float) -> dict[str, int]:
        assert condition == "removed"
        self.inspect_container(container)
        return {"StatusCode": 0}

    def volumes(self, *, filters: Mapping[str, str]) -> dict[str, list[dict[str, str]] | None]:
        key, _, value = filters["label"].partition("=")
        return {
            "Volumes": [{"Name": name} for name, labels in self._volumes.items() if labels.get(key) == value] or None
        }

    def remove_volume(self, name: str) -> None:
        del self._volumes[name]

    def remove_image(self, tag: str) -> list[dict[str, str]]:
        self.inspect_image(tag)
        return [{"Deleted": self.image_ids.pop(tag)}]

    def inspect_image(self, tag: str) -> dict[str, str]:
        if tag not in self.image_ids:
            raise NotFound(f"No such image: {tag}", response=_response(404))
        return {"Id": self.image_ids[tag]}


def _response(status: int) -> Any:
    return SimpleNamespace(status_code=status, url="http+docker://localhost", reason="")


def api_error(message: str, status: int = 500) -> APIError:
    """What the SDK raises when the engine refuses."""
    return APIError(message, response=_response(status))
