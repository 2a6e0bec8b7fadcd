"""Rows of tables, counted over a connection of the role that owns them.

To plan a query is to run code of the table's owner: the planner evaluates functions in index expressions, predicates
and statistics as whoever asks (PostgreSQL 18, `get_relation_info`). A superuser's session asks `pg_catalog` only.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql

from .database import Session, Target, me
from .errors import NotReadyError

Table = tuple[str, str]  # its schema and its name
Logins = Mapping[str, str]  # the password of each owner's role
Counts = Mapping[Table, int | None]  # None: not known

_SECONDS = 300.0
_POLL_SECONDS = 0.02
_LEAVING_SECONDS = 2.0
# Each counted table holds a lock until its query has ended, of which a server has some thousands.
_AT_ONCE = 500

_ABOUT = """
    select n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text,
           c.relkind in ('p', 'f') or pg_relation_size(c.oid) > 0,
           c.relrowsecurity and c.relforcerowsecurity
    from unnest(%s::text[], %s::text[]) as wanted (schema, name)
    join pg_namespace n on n.nspname = wanted.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
"""
# What PostgreSQL counts for each table; nothing is asked of the table itself.
_WRITES = """
    select n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, c.relfilenode::bigint,
           pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
"""
_LEAVING = """
    select exists (select from pg_stat_activity
                   where datname = any (%s) and usename is not null and application_name <> %s
                     and backend_start > %s)
"""
_COUNT = sql.SQL("select {}::int, count(*) from {}")
_VALUES = sql.SQL("select count({}) from {}")
# `xmin` is the transaction that wrote a row.
_VERSIONS = sql.SQL("select coalesce(sum(xmin::text::bigint), 0) from {}")


class Writes(NamedTuple):
    """What was written to a table since the server's statistics began. A TRUNCATE gives it another file."""

    role: str
    file: int
    inserted: int
    updated: int
    deleted: int


def writes(connection: Session) -> Mapping[Table, Writes]:
    """Of every table. Complete for sessions that have ended: see `wait_for_sessions`."""
    return {(schema, name): Writes(*rest) for schema, name, *rest in connection.execute(_WRITES)}


def wait_for_sessions(connection: Session, databases: Sequence[str], since: object) -> None:
    """Wait until those that began after this time of the server have ended, for a moment: an app's may stay."""
    limit = time.monotonic() + _LEAVING_SECONDS
    given = [databases, me(), since]
    while connection.execute(_LEAVING, given).fetchone() == (True,) and time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)


def count_rows(
    target: Target, tables: Iterable[Table], logins: Logins, say: Callable[[str], None] = lambda _: None
) -> Counts:
    """Exact counts: an estimate would not notice one lost row.

    `target`: the database as the tasks' own role. Not known are the rows of what belongs to no owner, of what its own
    policies hide from its owner, of a table that its owner cannot read, and of an owner that cannot log in (`say`).
    """
    counts: dict[Table, int | None] = {}
    by_role: dict[str, list[Table]] = {}
    for table, role, may_have_rows, is_hidden in _about(target, list(tables)):
        counts[table] = None
        if not may_have_rows:
            counts[table] = 0
        elif role in logins and not is_hidden:
            by_role.setdefault(role, []).append(table)
    for role, its_tables in by_role.items():
        try:
            with target.as_role(role, logins[role]).open(limit=_SECONDS) as session:
                for start in range(0, len(its_tables), _AT_ONCE):
                    counts |= _count(session, its_tables[start : start + _AT_ONCE])
        except (psycopg.Error, NotReadyError) as error:  # what its role was set to is no matter of the other owners
            say(f"the rows of {role} are not known: {' '.join(str(error).split())}")
    return counts


def count_values(
    target: Target, columns: Iterable[tuple[Table, str]], logins: Logins
) -> Mapping[tuple[Table, str], int]:
    """How many rows have a value in each of these columns; without those of which that cannot be known."""
    by_role: dict[str, list[tuple[Table, str]]] = {}
    wanted = list(columns)
    for table, role, may_have_rows, is_hidden in _about(target, list({table for table, _ in wanted})):
        if may_have_rows and role in logins and not is_hidden:
            by_role.setdefault(role, []).extend(column for column in wanted if column[0] == table)
    counts: dict[tuple[Table, str], int] = {}
    for role, its_columns in by_role.items():
        with target.as_role(role, logins[role]).open(limit=_SECONDS) as session:
            for table, column in its_columns:
                query = _VALUES.format(sql.Identifier(column), sql.Identifier(*table))
                with contextlib.suppress(psycopg.Error, NotReadyError):  # as in `_count`
                    [(counts[table, column],)] = session.execute(query).fetchall()
    return counts


def row_versions(target: Target, role: str, tables: Iterable[Table], logins: Logins) -> int:
    """A number that changes when a row of these tables, all of this role, is added, updated or removed."""
    parts = [_VERSIONS.format(sql.Identifier(*table)) for table in tables]
    if not parts:
        return 0
    with target.as_role(role, logins[role]).open(limit=_SECONDS) as session:
        return sum(int(total) for (total,) in session.execute(sql.SQL(" union all ").join(parts)))


def _about(target: Target, tables: Sequence[Table]) -> Iterator[tuple[Table, str, bool, bool]]:
    if not tables:
        return
    with target.connect() as connection:
        rows = connection.execute(_ABOUT, [[schema for schema, _ in tables], [name for _, name in tables]]).fetchall()
    for schema, name, role, may_have_rows, is_hidden in rows:
        yield (schema, name), role, may_have_rows, is_hidden


def _count(session: Session, tables: Sequence[Table]) -> Counts:
    """All in one query; where that fails, each by itself."""
    parts = [_COUNT.format(sql.Literal(position), sql.Identifier(*table)) for position, table in enumerate(tables)]
    try:
        found = session.execute(sql.SQL(" union all ").join(parts)).fetchall()
        return {tables[position]: count for position, count in found}
    except (psycopg.Error, NotReadyError, UnicodeError):
        # Its owner's code failed, e.g. in an index expression, took too long, or changed the session's encoding: no
        # matter of the other tables.
        if len(tables) == 1 or session.closed:
            return {}
    return {table: count for one in tables for table, count in _count(session, [one]).items()}
