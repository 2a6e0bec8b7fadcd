"""Scratch databases on the stack's own server: empty ones for a rehearsal, clones for a trial; gone afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from .database import LONG_SECONDS, Connection, Session, Target
from .errors import NotReadyError, command

PREFIX = "bootorder_scratch_"

_EXTENSIONS = """
    select extname::text, nspname::text from pg_extension e join pg_namespace n on n.oid = extnamespace
    where extname <> 'plpgsql' order by e.oid
"""
_IN_USE = """
    select coalesce(usename || coalesce(' (' || nullif(application_name, '') || ')', ''), backend_type),
           usename is not null
    from pg_stat_activity
    where datname = %(name)s and (%(role)s::text is null or usename = %(role)s)
    union
    select format('the prepared transaction %%s of %%s', quote_literal(gid), owner), true from pg_prepared_xacts
    where database = %(name)s and (%(role)s::text is null or owner = %(role)s)
    order by 1
"""
# A server notices a moment later that a connection was closed, also one of the tasks.
_LEAVING_SECONDS = 0.5
_POLL_SECONDS = 0.02
# What a database has that is made as it is, and is not the default of every server.
_KIND = """
    select format('encoding %%L lc_collate %%L lc_ctype %%L locale_provider %%s', pg_encoding_to_char(d.encoding),
                  d.datcollate, d.datctype,
                  case d.datlocprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end)
           || coalesce(case d.datlocprovider when 'b' then ' builtin_locale ' else ' icu_locale ' end
                       || quote_literal(coalesce(j.has ->> 'datlocale', j.has ->> 'daticulocale')), '')
           || coalesce(' icu_rules ' || quote_literal(j.has ->> 'daticurules'), '')
    from pg_database d
    cross join lateral (select to_jsonb(d)) as j (has)  -- PostgreSQL 17 has renamed a column
    where d.datname = %s
"""

_END_SESSIONS = """
    select pg_terminate_backend(pid, %(limit)s) from pg_stat_activity where datname = %(name)s and usename = %(role)s
"""
_ENDING_MILLISECONDS = 5000


class InUseError(NotReadyError):
    """A database that cannot be cloned, as somebody is connected to it."""

    def __init__(self, name: str, by: Sequence[str]) -> None:
        super().__init__(
            "somebody is connected to the database, which is to be cloned",
            expected=f"nobody connected to {name}",
            seen=", ".join(by),
            hint=f"stop the apps first: {command('stop db-up wait-db')}",
            first=("stop", "db-up", "wait-db"),
        )


@contextlib.contextmanager
def scratch_database(target: Target, purpose: str, *, clone: bool = False) -> Iterator[Target]:
    """A database on the same server, empty but for the extensions of this one, or a clone of it.

    Raises InUseError where one that somebody is connected to is to be cloned.

    Nobody but the tasks may connect to an empty one until it is granted. Its name is its own: who has lost the
    migration lock must not drop the one that the next start has made for the same purpose.
    """
    name = f"{_prefix(target)}{hashlib.sha256(purpose.encode()).hexdigest()[:8]}_{secrets.token_hex(3)}"

    def drop() -> None:
        with target.administrator.open(limit=LONG_SECONDS) as session:
            _drop(session, name)

    try:
        with target.administrator.open(limit=LONG_SECONDS) as session:
            if clone:
                target.let_go()
                _clone(session, target, name)
            else:
                create_database(session, name, like=target.name)
        scratch = replace(target, name=name)
        if not clone:
            _copy_extensions(target, scratch)
        yield scratch
    finally:
        drop()


def create_database(session: Connection, name: str, template: str = "template0", *, like: str = "") -> None:
    """Create a database to which nobody but superusers may connect until it is granted. `like`: one with its locale.

    PostgreSQL lets everybody in until that is revoked, and who is in stays: until then the limit keeps them out.
    """
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    row = session.execute(_KIND, [like]).fetchone() if like else None
    create = sql.SQL("create database {name} template {template}{kind} connection limit 0")
    session.execute(create.format(**names, kind=sql.SQL(f" {row[0]}" if row else "")))
    session.execute(sql.SQL("revoke all on database {name} from public").format(**names))
    session.execute(sql.SQL("alter database {name} connection limit -1").format(**names))


@contextlib.contextmanager
def let_in(scratch: Target, role: str) -> Iterator[None]:
    """Let this role connect to a scratch database until the block is left: one at a time, as no guard stands there.

    What another role would make meanwhile, an operator say, could run as this one.
    """
    names = {"name": sql.Identifier(scratch.name), "role": sql.Identifier(role)}
    given = {"name": scratch.name, "role": role, "limit": _ENDING_MILLISECONDS}
    with scratch.connect() as connection:
        connection.execute(sql.SQL("grant connect, create, temporary on database {name} to {role}").format(**names))
    try:
        yield
    finally:
        with scratch.connect() as connection:
            connection.execute(sql.SQL("revoke all on database {name} from {role}").format(**names))
            _wait_until_left(connection, scratch.name, role)
            connection.execute(_END_SESSIONS, given)


def drop_left_over(target: Target) -> None:
    """Drop what killed runs left. For who holds the migration lock: nobody else uses one now."""
    query = "select datname::text from pg_database where starts_with(datname, %s)"
    with target.connect() as connection:
        left = [str(name) for (name,) in connection.execute(query, [_prefix(target)])]
    if left:
        with target.administrator.open(limit=LONG_SECONDS) as session:
            for name in left:
                _drop(session, name)


def _prefix(target: Target) -> str:
    """Of all scratch databases of this one."""
    return f"{PREFIX}{hashlib.sha256(target.name.encode()).hexdigest()[:12]}_"


def _drop(session: Session, name: str) -> None:
    _roll_back_prepared(session, name)
    _wait_until_left(session, name)
    session.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _roll_back_prepared(session: Session, name: str) -> None:
    """Roll back what is prepared there (`PREPARE TRANSACTION`): it outlives its session, and keeps the database."""
    query = "select gid from pg_prepared_xacts where database = %s"
    if not session.execute(query, [name]).fetchall() or session.target is None:
        return
    session.execute(sql.SQL("alter database {} connection limit 0").format(sql.Identifier(name)))
    with session.target.in_database(name).open() as there:
        for (gid,) in there.execute(query, [name]).fetchall():
            there.execute(sql.SQL("rollback prepared {}").format(sql.Literal(gid)))


def _clone(session: Session, target: Target, name: str) -> None:
    """Raises InUseError. The server would wait 5 s, and write an error into its log: so it is asked first."""
    if using := _wait_until_left(session, target.name):
        raise InUseError(target.name, using)
    try:
        create_database(session, name, target.name)
    except psycopg.errors.ObjectInUse as error:  # by somebody who has come since
        using = [who for who, is_client in _using(session, target.name).items() if is_client]
        raise InUseError(target.name, using or [" ".join(str(error).split())]) from None


def _wait_until_left(session: Connection, name: str, role: str | None = None) -> Sequence[str]:
    """Wait for a moment until nobody, or not this role, uses a database. Returns who still does.

    A session that is ended instead leaves an error in the server's log, as autovacuum does, which gives way to a clone.
    """
    limit = time.monotonic() + _LEAVING_SECONDS
    while (using := _using(session, name, role)) and time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)
    return [who for who, is_client in using.items() if is_client]


def _using(session: Connection, name: str, role: str | None = None) -> Mapping[str, bool]:
    """Who uses a database, and whether that is a client, or the server itself."""
    return dict(session.execute(_IN_USE, {"name": name, "role": role}).fetchall())


def _copy_extensions(source: Target, scratch: Target) -> None:
    """Some only a superuser can make, or the server's image made them: a tool finds them there, and does not ask."""
    with source.connect() as connection:
        found = connection.execute(_EXTENSIONS).fetchall()
    if not found:
        return
    with scratch.open(limit=LONG_SECONDS) as connection:
        for extension, schema in found:
            name, where = sql.Identifier(str(extension)), sql.Identifier(str(schema))
            connection.execute(
                sql.SQL("create schema if not exists {0}; grant usage on schema {0} to public").format(where)
            )
            connection.execute(sql.SQL("create extension if not exists {} schema {} cascade").format(name, where))
