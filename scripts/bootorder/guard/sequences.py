"""Sequences that are behind the rows of their column: `setval` is no command that a trigger could see."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import sql

from ..database import Target
from ..errors import NotReadyError
from ..rows import Logins

# Ascending ones that belong to a column of an owner.
_SEQUENCES = """
    select r.rolname::text, n.nspname::text, t.relname::text, a.attname::text, s.seqrelid::regclass::text,
           quote_literal(s.seqrelid::regclass), coalesce(pg_sequence_last_value(s.seqrelid), s.seqstart - 1)
    from pg_sequence s
    join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.seqrelid
                    and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
    join pg_class t on t.oid = d.refobjid and t.relkind in ('r', 'p')
    join pg_namespace n on n.oid = t.relnamespace
    join pg_roles r on r.oid = t.relowner
    join pg_attribute a on (a.attrelid, a.attnum) = (d.refobjid, d.refobjsubid)
    where s.seqincrement > 0 and not s.seqcycle and r.rolname = any (%s)
      -- not a number that Python could not compare, such as NaN: its owner may give a sequence to any column
      and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
      -- its highest value is found without reading the table
      and exists (select from pg_index i where i.indrelid = t.oid and i.indisvalid and i.indkey[0] = a.attnum)
    order by 1, 5
"""
_HIGHEST = sql.SQL("select {}::int, max({})::numeric from {}")


def sequences_behind(target: Target, logins: Logins) -> Iterator[str]:
    """A line for each sequence whose next value its column has already."""
    by_role: dict[str, list[tuple[sql.Composed, str, str, int]]] = {}
    with target.connect() as connection:
        for role, schema, table, column, sequence, quoted, value in connection.execute(
            _SEQUENCES, [list(logins)]
        ).fetchall():
            its = by_role.setdefault(role, [])
            where = sql.Identifier(schema, table)
            query = _HIGHEST.format(sql.Literal(len(its)), sql.Identifier(column), where)
            its.append((query, sequence, quoted, value))
    for role, found in by_role.items():
        query = sql.SQL(" union all ").join([query for query, *_ in found])
        # A table that its owner cannot read: its rows are told as not known elsewhere.
        with (
            contextlib.suppress(psycopg.Error, NotReadyError),
            target.as_role(role, logins[role]).open() as session,
        ):
            for position, highest in session.execute(query):
                _, sequence, quoted, value = found[position]
                if highest is not None and highest > value:
                    yield (
                        f"sequence {sequence} of {role} is at {value}, and its column has {highest} already: the next"
                        f" insert would fail; set it: select setval({quoted}, {highest})"
                    )
