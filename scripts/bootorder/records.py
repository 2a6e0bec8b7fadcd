"""What was done to the stack's database, and what is under way, kept in it: an empty one starts from nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql

from .database import Connection, Target, me
from .errors import NotReadyError, command
from .own_schema import refuse_foreign_objects
from .terminal import counted

# One row an owner: what its seed or its schema was made of when it was last run to a good end, and who ran it.
_MAKE = """
    create schema if not exists bootorder;
    create table if not exists bootorder.{}
        (owner text primary key, fingerprint text not null, at timestamptz not null default now());
    alter table bootorder.{} add column if not exists by text not null default ''
"""
# `by` came later than the first records.
_READ = "select s.owner, s.fingerprint, to_jsonb(s) ->> 'by' from bootorder.{} s"
_WRITE = """
    insert into bootorder.{} (owner, fingerprint, by) values (%s, %s, %s)
    on conflict (owner) do update set fingerprint = excluded.fingerprint, by = excluded.by, at = now()
"""
# One row for each role whose tool is at work, from before its start until after its end.
_MAKE_WORK = """
    create schema if not exists bootorder;
    create table if not exists bootorder.work
        (role text primary key, by text not null, since timestamptz not null default clock_timestamp())
"""
_BEGIN_WORK = """
    insert into bootorder.work (role, by) select unnest(%s::text[]), %s
    on conflict (role) do update set by = excluded.by, since = excluded.since
"""
_LEFT = """
    select w.role, w.by, a.pid
    from bootorder.work w left join pg_stat_activity a on a.usename = w.role and a.backend_start >= w.since
                                                       and a.datname = any (%s)
    order by 1
"""
# What a person has read once, of what an owner has beside what its tool makes.
_MAKE_NOTED = """
    create schema if not exists bootorder;
    create table if not exists bootorder.noted (owner text, thing text, primary key (owner, thing))
"""
_FORGET = "delete from bootorder.noted where owner = %s and thing <> all (%s::text[])"
_NOTE = """
    insert into bootorder.noted (owner, thing) select %s, unnest(%s::text[]) on conflict do nothing returning thing
"""
_ENDING_MILLISECONDS = 5000

Kind = Literal["seed", "migration", "before", "base"]  # the last two: SQL files of the stack, of an owner


@dataclass(frozen=True)
class Record:
    """A good run: what it was made of, and by whom it was."""

    fingerprint: str
    by: str


NO_RECORD = Record("", "")


def recorded(target: Target, kind: Kind) -> Mapping[str, Record]:
    """The last good run of each owner, by name."""
    with target.connect() as connection:
        if not _is_there(connection, kind):
            return {}
        rows = connection.execute(sql.SQL(_READ).format(sql.Identifier(kind))).fetchall()
    return {str(owner): Record(str(fingerprint), str(by or "")) for owner, fingerprint, by in rows}


def record(target: Target, kind: Kind, owner: str, fingerprint: str) -> None:
    """Note a good run."""
    name = sql.Identifier(kind)
    with target.connect(autocommit=False) as connection:
        refuse_foreign_objects(connection)
        connection.execute(sql.SQL(_MAKE).format(name, name))
        connection.execute(sql.SQL(_WRITE).format(name), [owner, fingerprint, me()])


def not_noted_yet(target: Target, owner: str, things: Sequence[str]) -> Sequence[str]:
    """Return those of these things that were not noted before, and note them; what is gone is forgotten."""
    if not things:
        return []
    with target.connect(autocommit=False) as connection:
        refuse_foreign_objects(connection)
        connection.execute(_MAKE_NOTED)
        connection.execute(_FORGET, [owner, list(things)])
        new = {str(thing) for (thing,) in connection.execute(_NOTE, [owner, list(things)])}
    return [thing for thing in things if thing in new]


@contextlib.contextmanager
def at_work(target: Target, roles: list[str]) -> Iterator[None]:
    """Note that the tools of these roles are at work, until the block is left; whoever is killed leaves the note."""
    if not roles:
        yield
        return
    with target.connect(autocommit=False) as connection:
        refuse_foreign_objects(connection)
        connection.execute(_MAKE_WORK)
        connection.execute(_BEGIN_WORK, [roles, me()])
    try:
        yield
    finally:
        # A database that is gone keeps the note: the next start ends what is left.
        with contextlib.suppress(psycopg.Error, NotReadyError), target.open() as connection:
            connection.execute("delete from bootorder.work where role = any (%s) and by = %s", [roles, me()])


def end_left_sessions(target: Target, databases: Sequence[str]) -> list[str]:
    """End the sessions in these databases of tools that an earlier start left at work.

    For who holds the migration lock.

    Returns what was ended, for people. An app of the same role that has connected since connects again.
    """
    with target.connect() as connection:
        if not _is_there(connection, "work"):
            return []
        left = connection.execute(_LEFT, [databases]).fetchall()
        if not left:
            return []
        ended: dict[tuple[str, str], int] = {}
        for role, by, process in left:
            if process is None:
                continue
            query = "select pg_terminate_backend(%s, %s)"
            if connection.execute(query, [process, _ENDING_MILLISECONDS]).fetchone() != (True,):
                raise _still_at_work(role, by, process)
            ended[role, by] = ended.get((role, by), 0) + 1
        connection.execute("delete from bootorder.work")
    return [
        f"ended {counted(count, 'database session')} of {role} that {by} left at work"
        for (role, by), count in ended.items()
    ]


def _is_there(connection: Connection, table: str) -> bool:
    """Whether there is such a table of ours."""
    refuse_foreign_objects(connection)
    return connection.execute("select to_regclass(%s)", [f"bootorder.{table}"]).fetchone() != (None,)


def _still_at_work(role: str, by: str, process: int) -> NotReadyError:
    return NotReadyError(
        f"a tool of {role} that {by} left is still at work in the database",
        expected=f"its session to end within {_ENDING_MILLISECONDS / 1000:g} s when it is told to",
        seen=f"server process {process} goes on",
        hint=f"wait until it has ended, or start the database anew: {command('stop db-up wait-db')}",
    )
