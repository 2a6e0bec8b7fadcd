"""Reaching the stack's database: connecting, one look at it, the lock, scratch databases."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, LiteralString
from urllib.parse import quote, unquote

import psycopg
from psycopg import sql

from .errors import LockedError, NotReadyError, SettingsError, command
from .probes import Failed, Look, NotYet, Ready

Connection = psycopg.Connection[tuple[Any, ...]]

# libpq gives no SQLSTATE for a refused connection, so the server's English words are all there is. In another
# language a wrong password is only found when the wait ends; it is then shown as the last thing seen.
_REFUSED_FOR_GOOD = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")
_SCRATCH_PREFIX = "bootorder_scratch_"

# Those that libpq reads without calling them options.
_MORE_VARIABLES = {"PGDATESTYLE", "PGTZ", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL"}
_ENVIRONMENT = threading.Lock()
# The tasks are a superuser: no function or operator that an owner made may be taken for one of PostgreSQL's.
_OPTIONS = "-c client_min_messages=warning -c search_path=pg_catalog,pg_temp"

# What `Target.kept` keeps: none, or one connection for each; another thread has its own.
_KEPT: ContextVar[Mapping[Target, list[Connection]]] = ContextVar("kept")


@dataclass(frozen=True)
class Target:
    """Where the database is and who asks. The password is kept out of repr."""

    host: str
    port: int
    name: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Target({self.url})"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For people and `--json`: without the password."""
        return f"postgresql://{quote(self.user, safe='')}@{self.address}/{quote(self.name)}"

    def connect(self, *, autocommit: bool = True) -> AbstractContextManager[Connection]:
        """A connection for queries of ours, until the block is left."""
        kept = _KEPT.get({}).get(self)
        if kept is None or not autocommit:
            return self.open(autocommit=autocommit)
        if not kept:
            kept.append(self.open())
        return contextlib.nullcontext(kept[0])

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """One connection for all that this thread asks of this database within the block.

        A new one costs 5 ms of CPU, which a password takes. Not around what clones the database: nobody may be
        connected to it then.
        """
        connections: list[Connection] = []
        token = _KEPT.set({**_KEPT.get({}), self: connections})
        try:
            yield
        finally:
            _KEPT.reset(token)
            for connection in connections:
                connection.close()

    def open(self, *, autocommit: bool = True) -> Connection:
        """A connection whose session nobody else has, with its locks and settings."""
        with _without_libpq_variables():
            return psycopg.connect(
                host=self.host,
                port=self.port,
                dbname=self.name,
                user=self.user,
                password=self.password,
                connect_timeout=3,
                options=_OPTIONS,
                application_name=me(),
                autocommit=autocommit,
            )

    def look(self) -> Look:
        """One real query over TCP."""
        try:
            with self.connect() as connection:
                connection.execute("select 1")
        except psycopg.OperationalError as error:
            return self._judge(error)
        return Ready(f"postgres answers on {self.address}")

    def _judge(self, error: psycopg.OperationalError) -> Look:
        seen = " ".join(str(error).split()).removeprefix("connection failed: ")
        if any(words in seen for words in _REFUSED_FOR_GOOD):
            return Failed(
                NotReadyError(
                    f'postgres refused the password of "{self.user}"',
                    expected=f"the password in .env opens {self.url}",
                    seen=seen,
                    hint="put the password that the data were made with back into .env, or give the rows up: "
                    + command("start --clean"),
                )
            )
        if f'database "{self.name}" does not exist' in seen:
            return Failed(
                NotReadyError(
                    f'the server has no database "{self.name}"',
                    expected=f'"{self.name}", as `database.name` in invoke.yaml says',
                    seen=seen,
                    hint=f"correct `database.name`, or give the rows up: {command('start --clean')}",
                )
            )
        return NotYet(seen)


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


@contextlib.contextmanager
def migration_lock(target: Target, wait: float, say: Callable[[str], None]) -> Iterator[str]:
    """One migration at a time per database, whoever starts it and from where. Yields who was waited for, or nothing.

    A session lock: the server frees it when its holder dies, which a row in a table would not. It is held in the
    database `postgres`, as a database that somebody is connected to cannot be cloned.
    """
    key = f"bootorder {target.name}"
    with _lock_holder(target).open() as connection:  # the stack's own database may be called `postgres`
        refuse_pooler(connection)
        held_by = ""
        if connection.execute(_TRY_LOCK, [key]).fetchone() != (True,):
            held_by = _holder(connection, key)
            say(f"waiting for {held_by}")
            _wait_for_lock(connection, key, wait)
        try:
            yield held_by
        finally:
            # At once: the server may notice later that the connection is closed. A broken one has freed it already.
            with contextlib.suppress(psycopg.Error):
                connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", [key])


_TRY_LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 0))"
_HOLDER = """
    select a.application_name, a.backend_start::timestamp(0), a.pid
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
"""


def _lock_holder(target: Target) -> Target:
    return replace(target, name="postgres")


def _wait_for_lock(connection: psycopg.Connection[tuple[object, ...]], key: str, wait: float) -> None:
    connection.execute("select set_config('lock_timeout', %s, false)", [f"{round(wait * 1000)}ms"])
    try:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [key])
    except psycopg.errors.LockNotAvailable:
        raise LockedError(
            "another migration is under way in this database",
            expected=f"its end within {wait:g} s (`database.lock_wait`)",
            seen=_holder(connection, key),
            hint="wait until it has ended, then run this again",
        ) from None


def _holder(connection: psycopg.Connection[tuple[object, ...]], key: str) -> str:
    row = connection.execute(_HOLDER, [key]).fetchone()
    return (
        f"{row[0] or 'a connection'} (server process {row[2]}, since {row[1]} server time)"
        if row
        else "nobody any more"
    )


def refuse_pooler(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Raises SettingsError: a pooler such as PgBouncer may give every transaction another session.

    And with it the lock to somebody else.

    It makes up the process id that it tells its clients.
    """
    row = connection.execute("select pg_backend_pid()").fetchone()
    if row != (connection.info.backend_pid,):
        raise SettingsError(
            "the tasks reach the database through a connection pooler",
            expected="a direct connection to PostgreSQL: locks belong to a session",
            seen=f"{connection.info.host}:{connection.info.port} says server process {connection.info.backend_pid}, the"
            f" server {row[0] if row else 'nothing'}",
            hint="publish PostgreSQL's own port, and let the tasks use that",
        )


@contextlib.contextmanager
def scratch_database(target: Target, purpose: str, *, clone: bool = False) -> Iterator[Target]:
    """A database on the same server, empty but for the extensions of this one, or a clone of it; gone afterwards.

    Its name follows from the database and the purpose, so that what a killed run left behind is replaced.
    """
    digest = hashlib.sha256(f"{target.name}/{purpose}".encode()).hexdigest()[:12]
    name = f"{_SCRATCH_PREFIX}{digest}"

    def run(statement: LiteralString) -> None:
        with _lock_holder(target).connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(target.name)))

    run("drop database if exists {} with (force)")
    if clone:
        try:
            run("create database {} template {}")
        except psycopg.errors.ObjectInUse as error:  # the server has waited 5 s for those who are about to leave
            raise _in_use(target, error) from None
    else:
        run("create database {} template template0")
    try:
        scratch = replace(target, name=name)
        if not clone:
            _copy_extensions(target, scratch)
        yield scratch
    finally:
        run("drop database if exists {} with (force)")


def _copy_extensions(source: Target, scratch: Target) -> None:
    """Some only a superuser can make, or the server's image made them: a tool finds them there, and does not ask."""
    query = """
        select extname::text, nspname::text from pg_extension e join pg_namespace n on n.oid = extnamespace
        where extname <> 'plpgsql' order by e.oid
    """
    with source.connect() as connection:
        found = connection.execute(query).fetchall()
    with scratch.connect() as connection:
        for extension, schema in found:
            its, where = sql.Identifier(str(extension)), sql.Identifier(str(schema))
            connection.execute(
                sql.SQL("create schema if not exists {0}; grant usage on schema {0} to public").format(where)
            )
            connection.execute(sql.SQL("create extension if not exists {} schema {} cascade").format(its, where))


def _in_use(target: Target, error: psycopg.Error) -> NotReadyError:
    query = (
        "select distinct usename || coalesce(' (' || nullif(application_name, '') || ')', '') from pg_stat_activity"
        " where datname = %s and usename is not null order by 1"
    )
    with _lock_holder(target).connect() as connection:
        talking = [str(who) for (who,) in connection.execute(query, [target.name])]
    return NotReadyError(
        "somebody is connected to the database, which is to be cloned",
        expected=f"nobody connected to {target.name}",
        seen=", ".join(talking) or " ".join(str(error).split()),
        hint=f"stop the apps first: {command('stop db-up wait-db')}",
        first=("stop", "db-up", "wait-db"),
    )


def with_database(url: str, name: str, address: str = "") -> str:
    """A tool's own URL turned to another database; its scheme, user and query stay.

    `address`: also to this one, of the server.
    """
    # By hand: urlsplit refuses passwords with a bracket, urlunsplit loses the slashes of a URL without a host.
    before, mark, query = url.partition("?")
    scheme, _, rest = before.partition("://")
    server = rest.partition("/")[0]
    if address:
        user, at, _ = server.rpartition("@")
        server = f"{user}{at}{address}"
    return f"{scheme}://{server}/{quote(name)}{mark}{query}"


def with_user(url: str, user: str, password: str) -> str:
    """The same URL for somebody else; `password` as it is to stand there."""
    scheme, _, rest = url.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}://{quote(user)}:{password}@{server.rpartition('@')[2]}{slash}{path}"


def user_and_database(url: str) -> tuple[str, str]:
    """Whom a tool's URL connects as, and to which database; empty where it does not say."""
    server, _, database = url.partition("?")[0].partition("://")[2].partition("/")
    user = server.rpartition("@")[0].partition(":")[0]
    return unquote(user), unquote(database)
