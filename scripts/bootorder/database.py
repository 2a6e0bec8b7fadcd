"""Reaching the stack's database: connections on which nothing waits for ever, and one look at the server."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg
import psycopg.sql

from .errors import BootError, NotReadyError, SettingsError, command
from .probes import Failed, Look, NotYet, Ready

Connection = psycopg.Connection[tuple[Any, ...]]
Value = TypeVar("Value")

CONNECT_SECONDS = 3
# A question about the catalog: 10,000 tables take 1 s.
QUESTION_SECONDS = 60.0
# Copying a database, or counting every row of one.
LONG_SECONDS = 3600.0
# For a lock that somebody else holds.
LOCK_SECONDS = 10.0
ANSWER_SECONDS = 5.0  # more than the server's own limit, for its answer to arrive
_BLOCKED_SECONDS = 0.5  # how long a statement waits before its blocker is looked for

# Those that libpq reads without calling them options.
_MORE_VARIABLES = {"PGDATESTYLE", "PGTZ", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL"}
_ENVIRONMENT = threading.Lock()
# Neither a function nor an operator that an owner made may be taken for one of PostgreSQL's.
SEARCH_PATH = "pg_catalog, pg_temp"
_SETTINGS = {
    "client_min_messages": "warning",
    # What an owner has set for its own role: in another encoding its names could not be written.
    "client_encoding": "UTF8",
    "local_preload_libraries": "",
    "search_path": SEARCH_PATH.replace(" ", ""),
    "lock_timeout": f"{LOCK_SECONDS:g}s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",  # the migration lock is held by an idle session
    # The server notices a machine that vanished, and frees its lock, after 25 s instead of two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# The same for a server that vanished; milliseconds for what was sent and not acknowledged.
_KEEPALIVE: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# What `Target.kept` keeps: none, or one connection for each; another thread has its own.
_KEPT: ContextVar[Mapping[Target, list[Session]]] = ContextVar("kept")

# An owner sets its own password, with as many iterations as it likes: 2,147,483,647 take half an hour to compute.
MOST_ITERATIONS = 100_000
_VERIFIER = """
    select substring(rolpassword from '^SCRAM-SHA-256\\$(\\d+):') from pg_authid where rolname = %s for share
"""

# Who holds what the server process `{pid}` waits for. A prepared transaction has no session: its process id is 0.
_BLOCKERS = """
    select a.pid, coalesce(a.usename::text, a.backend_type), a.application_name, coalesce(a.state, ''),
           a.xact_start::timestamp(0)::text as since, left(a.query, 300), ''
    from unnest(pg_blocking_pids({pid})) as blocking (pid) join pg_stat_activity a on a.pid = blocking.pid
    union all
    select 0, x.owner::text, '', 'prepared', x.prepared::timestamp(0)::text, x.gid, x.database::text
    from pg_prepared_xacts x
    where 0 = any (pg_blocking_pids({pid}))
      and exists (select from pg_locks own
                  join pg_locks held on held.pid is null and held.virtualtransaction = own.virtualtransaction
                  join pg_locks wanted on wanted.pid = {pid} and not wanted.granted
                  and (held.database, held.relation) is not distinct from (wanted.database, wanted.relation)
                  and held.transactionid is not distinct from wanted.transactionid
                  where own.pid is null and own.transactionid = x.transaction)
    order by since
"""
# Sessions of a tool, by its role and since when it is at work, that have waited for too long. One that waits for
# another tool that is at work goes on when that one does.
_BLOCKED = """
    with tool as (
        select a.pid, a.usename, a.query, clock_timestamp() - (
                   select min(l.waitstart) from pg_locks l where l.pid = a.pid and not l.granted) as waited
        from unnest(%(roles)s::text[], %(since)s::timestamptz[]) as work (role, since)
        join pg_stat_activity a on a.usename = work.role and a.backend_start >= work.since
    )
    select tool.pid, left(tool.query, 300), blocker.*
    from tool cross join lateral (
        BLOCKERS
    ) as blocker (pid)
    where tool.usename = %(role)s and tool.waited >= %(limit)s * interval '1 second'
      and blocker.pid not in (select pid from tool)
    order by tool.waited desc
""".replace("BLOCKERS", _BLOCKERS.format(pid="tool.pid"))
_OWN_BLOCKER = _BLOCKERS.format(pid="%(pid)s")


class BlockedError(NotReadyError):
    """A statement waited for a lock of another session until its deadline."""


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose statements have a deadline, here as on the server, and that can name who blocks them."""

    target: Target | None = None
    limit = QUESTION_SECONDS
    _blocker: Blocker | None = None

    def wait(self, gen: Generator[Any, Any, Value], interval: float = 0.1, timeout: float | None = None) -> Value:
        """As psycopg's own. Raises BlockedError, and NotReadyError where the server did not answer in time."""
        begun = time.monotonic()
        self._blocker = None
        try:
            return super().wait(self._watched(gen, begun), interval, timeout or self.limit + ANSWER_SECONDS)
        except psycopg.errors.LockNotAvailable as error:
            raise self._blocked(time.monotonic() - begun, error) from None
        except psycopg.errors.QueryCanceled as error:
            seconds = time.monotonic() - begun
            if self._blocker:
                raise self._blocked(seconds, error) from None
            if seconds < self.limit:
                raise  # somebody else canceled it
            raise self._silent(seconds, " ".join(str(error).split())) from None
        except psycopg.OperationalError as error:
            seconds = time.monotonic() - begun
            if timeout or error.sqlstate or seconds < self.limit:
                raise
            self.close()
            raise self._silent(seconds, "no answer") from None

    def set_limit(self, seconds: float) -> None:
        """Let every statement from now on take so long, here as on the server."""
        self.execute("select set_config('statement_timeout', %s, false)", [f"{seconds * 1000:.0f}"])
        self.limit = seconds

    def _watched(self, gen: Generator[Any, Any, Value], begun: float) -> Generator[Any, Any, Value]:
        """The same steps; where nothing came for a while, a look at who blocks this session."""
        looked = begun
        try:
            ready = yield next(gen)
            while True:
                if not ready and (now := time.monotonic()) - looked >= _BLOCKED_SECONDS:
                    looked = now
                    self._blocker = self._look_for_blocker() or self._blocker
                ready = yield gen.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _look_for_blocker(self) -> Blocker | None:
        if self.target is None:
            return None
        administrator = self.target.administrator
        with contextlib.suppress(psycopg.Error, BootError), administrator.open(limit=CONNECT_SECONDS) as other:
            other.target = None
            if row := other.execute(_OWN_BLOCKER, {"pid": self.info.backend_pid}).fetchone():
                return Blocker(*row)
        return None

    def _blocked(self, seconds: float, error: psycopg.Error) -> BlockedError:
        blocker = self._blocker
        return BlockedError(
            "the database waited for a lock that another session holds",
            expected=f"the lock within {seconds:.0f} s",
            seen=str(blocker) if blocker else f"{' '.join(str(error).split())}; its holder has gone meanwhile",
            hint=blocker.hint if blocker else "run this again",
        )

    def _silent(self, seconds: float, seen: str) -> NotReadyError:
        where = f" {self.target.name} on {self.target.address}" if self.target else ""
        return NotReadyError(
            f"the database{where} did not answer in time",
            expected=f"an answer within {self.limit:g} s",
            seen=f"{seen} after {seconds:.0f} s",
            hint=f"look at the server's log: {command('logs')}",
        )


@dataclass(frozen=True)
class Blocker:
    """A session that others wait for; or, with the process id 0, a prepared transaction: then `query` is its name."""

    pid: int
    role: str
    application: str
    state: str
    since: str | None
    query: str
    database: str

    def __str__(self) -> str:
        if not self.pid:
            return f"the prepared transaction {self.query} of {self.role}, since {self.since} (server time)"
        application = f", application {self.application}" if self.application else ""
        since = f" since {self.since} (server time)" if self.since else ""
        query = " ".join(self.query.split())
        return f"server process {self.pid} of {self.role}{application}, {self.state}{since}: {query}"

    @property
    def hint(self) -> str:
        """How it can be ended."""
        if not self.pid:
            name = psycopg.sql.Literal(self.query).as_string()
            return f"connect to {self.database}, then end it: rollback prepared {name}"
        shell = command("psql --as-superuser --command")
        return f'end its transaction, or the session: {shell} "select pg_terminate_backend({self.pid})"'


@dataclass(frozen=True)
class Blocked:
    """A session that waits for another one, and what it wants to do."""

    pid: int
    query: str
    blocker: Blocker


def blocked_sessions(session: Session, role: str, since: Mapping[str, object], limit: float) -> Sequence[Blocked]:
    """Sessions of a tool that have waited longer than `limit` seconds for the lock of one that is no tool's.

    `since`: for each role whose tool is at work, when it began; sessions that began before are an app's.
    """
    given = {"role": role, "roles": [*since], "since": [*since.values()], "limit": limit}
    return [Blocked(pid, query, Blocker(*rest)) for pid, query, *rest in session.execute(_BLOCKED, given)]


@dataclass(frozen=True)
class Target:
    """Where the database is and who asks. The password is kept out of repr."""

    host: str
    port: int
    name: str
    user: str
    password: str
    _administrator: Target | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Target({self.url})"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For people and `--json`: without the password."""
        return f"postgresql://{quote(self.user, safe='')}@{self.address}/{quote(self.name)}"

    @property
    def administrator(self) -> Target:
        """The server as the tasks' own role, in a database that is always there."""
        return replace(self._administrator or self, name="postgres")

    def in_database(self, name: str) -> Target:
        """Another database of the same server, as the same role."""
        return replace(self, name=name)

    def as_role(self, role: str, password: str) -> Target:
        """The same database as somebody else."""
        return replace(self, user=role, password=password, _administrator=self._administrator or self)

    def connect(self, *, autocommit: bool = True) -> AbstractContextManager[Session]:
        """A connection for questions of ours, until the block is left."""
        kept = _KEPT.get({}).get(self)
        if kept is None or not autocommit:
            return self.open(autocommit=autocommit)
        if not kept or kept[0].closed:
            kept[:] = [self.open()]
        return contextlib.nullcontext(kept[0])

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """One connection for all that this thread asks of this database within the block.

        A new one costs 5 ms of CPU, which a password takes.
        """
        if self in _KEPT.get({}):
            yield
            return
        token = _KEPT.set({**_KEPT.get({}), self: []})
        try:
            yield
        finally:
            self.let_go()
            _KEPT.reset(token)

    def let_go(self) -> None:
        """Close the connection that is kept, for a database that nobody may be connected to; the next one is new."""
        kept = _KEPT.get({}).get(self, [])
        while kept:
            kept.pop().close()

    def open(self, *, autocommit: bool = True, limit: float = QUESTION_SECONDS) -> Session:
        """A connection whose session nobody else has, with its locks and settings.

        `limit`: seconds that one statement may take.
        """
        settings = {**_SETTINGS, "statement_timeout": f"{limit * 1000:.0f}"}
        with self._quick_login(), _without_libpq_variables():
            session = Session.connect(
                host=self.host,
                port=self.port,
                dbname=self.name,
                user=self.user,
                password=self.password,
                connect_timeout=CONNECT_SECONDS,
                # No server gets the password itself, and one that does not know it is found out.
                require_auth="scram-sha-256",
                options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
                application_name=me(),
                autocommit=autocommit,
                **_KEEPALIVE,
            )
        session.target, session.limit = self, limit
        return session

    @contextlib.contextmanager
    def _quick_login(self) -> Iterator[None]:
        """Keep the password of another role as it is until that role has logged in, if that takes no longer than usual.

        libpq computes as many iterations as the server names, and cannot be interrupted while it does.
        """
        if self._administrator is None:
            yield
            return
        with self._administrator.connect() as connection, connection.transaction():
            row = connection.execute(_VERIFIER, [self.user]).fetchone()
            iterations = int(row[0]) if row and row[0] else 0
            if iterations > MOST_ITERATIONS:
                raise NotReadyError(
                    f"to log in as {self.user} would take too long",
                    expected=f"a password that is kept with {MOST_ITERATIONS} iterations (`scram_iterations`) at most",
                    seen=f"{iterations} iterations",
                    hint=f"the guard sets the password of .env anew: {command('guard')}",
                )
            yield

    def look(self) -> Look:
        """One real query over TCP, and whether it is PostgreSQL itself that answers, and can be written to."""
        try:
            with self.connect() as connection:
                pooler, is_standby = _server_of(connection)
                if pooler:
                    return Failed(pooler)
                if is_standby:
                    return NotYet(f"the server on {self.address} is a standby: it takes no changes")
        except psycopg.OperationalError as error:
            return _judge(self, error)
        except NotReadyError as error:
            return NotYet(f"{error.message}: {error.seen}")
        return Ready(f"postgres answers on {self.address}")


def me() -> str:
    """As the server shows it to others who wait; it keeps 63 bytes."""
    return f"bootorder on {platform.node()[:30]}, process {os.getpid()}"


@contextlib.contextmanager
def _without_libpq_variables() -> Iterator[None]:
    """Keep PGSERVICE, PGSSLMODE and the like of the caller's shell out of our connections.

    libpq has no way to be told so, and what it is given leaves the others in force.
    """
    names = {option.envvar.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.envvar}
    with _ENVIRONMENT:
        kept = {name: os.environ.pop(name) for name in names | _MORE_VARIABLES if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)


# -- what an answer means ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Refusal:
    """An answer that cannot get better: words of it, and what a person is to know. The rest has names of a target.

    libpq gives no SQLSTATE for a refused connection, so the server's English words are all there is. In another
    language such an answer is only found when the wait ends; it is then shown as the last thing seen.
    """

    words: Sequence[str]
    message: str
    expected: str
    hint: str


# Where there is TLS, libpq tries it first and then without: of two answers in one error the first here counts.
_REFUSALS: Sequence[_Refusal] = (
    _Refusal(
        ["password authentication failed", "no password supplied"],
        'postgres refused the password of "{user}"',
        "the password in .env opens {url}",
        "put the password that the data were made with back into .env, or give the rows up: {start_clean}",
    ),
    _Refusal(
        ["requested a hashed password"],
        'the server on {address} asks "{user}" for its password in a way that lets others find it out (md5)',
        "scram-sha-256",
        "set its password anew after `set password_encryption to 'scram-sha-256'`, and scram-sha-256 in pg_hba.conf",
    ),
    _Refusal(
        ["authentication method requirement", "server did not complete authentication", "authentication failed for"],
        'the server on {address} does not ask "{user}" for its password as it should',
        "scram-sha-256: with `trust` every owner could connect as the superuser",
        "remove POSTGRES_HOST_AUTH_METHOD from the database's service, and set scram-sha-256 in its pg_hba.conf",
    ),
    _Refusal(
        ["incorrect server signature", "invalid response to SSL negotiation", "expected authentication request"],
        "what answers on {address} is not this stack's database",
        "a PostgreSQL that knows the password of .env",
        "see what listens there: {doctor}",
    ),
    _Refusal(
        ["requires a valid client certificate", "certificate required"],
        'the server on {address} asks "{user}" for a certificate of its own, and the tasks have none',
        "scram-sha-256 alone",
        "remove `clientcert` from the line for {user} in the server's pg_hba.conf, then `select pg_reload_conf()`",
    ),
    _Refusal(
        ["SSL error:", "does not support SSL"],
        "the server on {address} and these tasks do not agree on TLS",
        "a connection with the server's TLS settings as they are",
        "correct `ssl` and the certificates in the server's settings",
    ),
    _Refusal(
        ["no pg_hba.conf entry", "pg_hba.conf rejects connection"],
        'the server does not let "{user}" in from the address that the tasks have',
        "a line for {user} and {name} in its pg_hba.conf, with scram-sha-256",
        "add the line to the server's pg_hba.conf, then `select pg_reload_conf()`; `hostssl` needs `ssl` on",
    ),
    _Refusal(
        ['database "{name}" does not exist'],
        'the server has no database "{name}"',
        '"{name}", as `database.name` in invoke.yaml says',
        "correct `database.name`, or give the rows up: {start_clean}",
    ),
)
_POOLER = ("unsupported startup parameter", "pgbouncer", "unrecognized configuration parameter in startup")


def _judge(target: Target, error: psycopg.OperationalError) -> Look:
    """Whether an answer can get better."""
    seen = " ".join(str(error).split()).removeprefix("connection failed: ")
    if any(word in seen for word in _POOLER):
        return Failed(_pooler(target.address, seen))
    names = {"user": target.user, "name": target.name, "address": target.address, "url": target.url}
    names |= {"start_clean": command("start --clean"), "doctor": command("doctor")}
    for refusal in _REFUSALS:
        if any(words.format_map(names) in seen for words in refusal.words):
            message, *rest = (text.format_map(names) for text in (refusal.message, refusal.expected, refusal.hint))
            return Failed(NotReadyError(message, expected=rest[0], seen=seen, hint=rest[1]))
    return NotYet(seen)


_SERVER = "select pg_backend_pid(), current_setting('search_path'), pg_is_in_recovery()"


def _server_of(connection: Session) -> tuple[SettingsError | None, bool]:
    """Return what is wrong where a pooler such as PgBouncer stands in between, and whether the server is a standby.

    A pooler may give every transaction another session, and with it the lock to somebody else. It makes up the process
    id that it gives its clients, or does not pass our settings on.
    """
    process, path, is_standby = connection.execute(_SERVER).fetchone() or ("nothing", "", False)
    own = connection.info.backend_pid
    if (process, path) == (own, _SETTINGS["search_path"]):
        return None, is_standby
    seen = f"server process {own} at first and {process} later, search_path `{path}`"
    return _pooler(f"{connection.info.host}:{connection.info.port}", seen), is_standby


def refuse_pooler(connection: Session) -> None:
    """Raises SettingsError where locks would not belong to this session."""
    pooler, _ = _server_of(connection)
    if pooler:
        raise pooler


def _pooler(address: str, seen: str) -> SettingsError:
    return SettingsError(
        f"the tasks reach the database through a connection pooler on {address}",
        expected="a direct connection to PostgreSQL: locks belong to a session",
        seen=seen,
        hint="publish PostgreSQL's own port, and let the tasks use that",
    )
