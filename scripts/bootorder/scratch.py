"""Scratch databases on the stack's own server: empty ones for a rehearsal, clones for a trial; gone afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
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
_TALKING = """
    select distinct usename || coalesce(' (' || nullif(application_name, '') || ')', '') from pg_stat_activity
    where datname = %s and usename is not null order by 1
"""

_END_SESSIONS = """
    select pg_terminate_backend(pid, %(limit)s) from pg_stat_activity where datname = %(name)s and usename = %(role)s
"""
_ENDING_MILLISECONDS = 5000


@contextlib.contextmanager
def scratch_database(target: Target, purpose: str, *, clone: bool = False) -> Iterator[Target]:
    """A database on the same server, empty but for the extensions of this one, or a clone of it.

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
                create_database(session, name)
        scratch = replace(target, name=name)
        if not clone:
            _copy_extensions(target, scratch)
        yield scratch
    finally:
        drop()


def create_database(session: Connection, name: str, template: str = "template0") -> None:
    """Create a database to which nobody but superusers may connect until it is granted.

    PostgreSQL lets everybody in until that is revoked, and who is in stays: until then the limit keeps them out.
    """
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    session.execute(sql.SQL("create database {name} template {template} connection limit 0").format(**names))
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
    try:
        create_database(session, name, target.name)
    except psycopg.errors.ObjectInUse as error:  # the server has waited 5 s for those who are about to leave
        talking = [str(who) for (who,) in session.execute(_TALKING, [target.name])]
        raise NotReadyError(
            "somebody is connected to the database, which is to be cloned",
            expected=f"nobody connected to {target.name}",
            seen=", ".join(talking) or " ".join(str(error).split()),
            hint=f"stop the apps first: {command('stop db-up wait-db')}",
            first=("stop", "db-up", "wait-db"),
        ) from None


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
