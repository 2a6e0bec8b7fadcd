"""Scratch databases on the stack's own server: empty ones for a rehearsal, clones for a trial; gone afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import replace

import psycopg
from psycopg import sql

from .database import LONG_SECONDS, Session, Target
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


@contextlib.contextmanager
def scratch_database(target: Target, purpose: str, *, clone: bool = False) -> Iterator[Target]:
    """A database on the same server, empty but for the extensions of this one, or a clone of it.

    Nobody but the tasks may connect to an empty one until it is granted. Its name is its own: who has lost the
    migration lock must not drop the one that the next start has made for the same purpose.
    """
    name = f"{_prefix(target)}{hashlib.sha256(purpose.encode()).hexdigest()[:8]}_{secrets.token_hex(3)}"
    quoted = sql.Identifier(name)

    def drop() -> None:
        with target.administrator.open(limit=LONG_SECONDS) as session:
            _drop(session, name)

    try:
        with target.administrator.open(limit=LONG_SECONDS) as session:
            if clone:
                target.let_go()
                _clone(session, target, name)
            else:
                session.execute(sql.SQL("create database {} template template0").format(quoted))
                session.execute(sql.SQL("revoke all on database {} from public").format(quoted))
        scratch = replace(target, name=name)
        if not clone:
            _copy_extensions(target, scratch)
        yield scratch
    finally:
        drop()


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
    session.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _clone(session: Session, target: Target, name: str) -> None:
    names = sql.Identifier(name), sql.Identifier(target.name)
    try:
        session.execute(sql.SQL("create database {} template {}").format(*names))
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
