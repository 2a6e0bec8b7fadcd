"""Reaching the stack's database: connecting, one look at it, the lock, scratch databases."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from .errors import LockedError, NotReadyError, command
from .probes import Failed, Look, NotYet, Ready

# libpq gives no SQLSTATE for a refused connection, so the server's English words are all there is. In another
# language a wrong password is only found when the wait ends; it is then shown as the last thing seen.
_REFUSED_FOR_GOOD = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")
_SCRATCH_PREFIX = "bootorder_scratch_"

# Those that libpq reads without calling them options.
_MORE_VARIABLES = {"PGDATESTYLE", "PGTZ", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL"}
_ENVIRONMENT = threading.Lock()


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
        return f"postgresql://{quote(self.user)}@{self.address}/{quote(self.name)}"

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[tuple[object, ...]]:
        """A connection for queries of ours."""
        with _without_libpq_variables():
            return psycopg.connect(
                host=self.host,
                port=self.port,
                dbname=self.name,
                user=self.user,
                password=self.password,
                connect_timeout=3,
                options="-c client_min_messages=warning",
                application_name=f"bootorder {os.getpid()}",
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
def migration_lock(target: Target) -> Iterator[None]:
    """One migration at a time per database, whoever starts it and from where.

    A session lock: the server frees it when its holder dies, which a row in a table would not.
    """
    with target.connect() as connection:
        taken = connection.execute("select pg_try_advisory_lock(hashtext('bootorder'))").fetchone()
        if taken != (True,):
            raise LockedError(
                "another migration is under way in this database",
                seen=_holder(connection),
                hint="wait until it has ended, then run this again",
            )
        try:
            yield
        finally:
            # At once: the server may notice later that the connection is closed. A broken one has freed it already.
            with contextlib.suppress(psycopg.Error):
                connection.execute("select pg_advisory_unlock(hashtext('bootorder'))")


def _holder(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    row = connection.execute(
        "select a.application_name, a.pid, a.backend_start::timestamp(0) from pg_locks l"
        " join pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.granted"
        " and l.objid = hashtext('bootorder')::oid and l.database = (select oid from pg_database"
        " where datname = current_database())"
    ).fetchone()
    return f"{row[0] or 'a connection'} (server process {row[1]}, since {row[2]} server time)" if row else ""


@contextlib.contextmanager
def scratch_database(target: Target, purpose: str) -> Iterator[Target]:
    """An empty database on the same server, gone afterwards.

    Its name follows from the database and the purpose, so that what a killed run left behind is replaced.
    """
    digest = hashlib.sha256(f"{target.name}/{purpose}".encode()).hexdigest()[:12]
    name = f"{_SCRATCH_PREFIX}{digest}"

    def run(statement: LiteralString) -> None:
        with target.connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    run("drop database if exists {} with (force)")
    run("create database {} template template0")
    try:
        yield replace(target, name=name)
    finally:
        run("drop database if exists {} with (force)")


def with_database(url: str, target: Target, *, from_host: bool = False) -> str:
    """A tool's own URL turned to another database; its scheme, user and query stay.

    `from_host`: also to the address the server has on this machine.
    """
    # By hand: urlsplit refuses passwords with a bracket, urlunsplit loses the slashes of a URL without a host.
    before, mark, query = url.partition("?")
    scheme, _, rest = before.partition("://")
    server = rest.partition("/")[0]
    if from_host:
        user, at, _ = server.rpartition("@")
        server = f"{user}{at}{target.address}"
    return f"{scheme}://{server}/{quote(target.name)}{mark}{query}"
