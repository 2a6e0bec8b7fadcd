"""Views of one owner on columns of another: PostgreSQL lets nobody alter or drop such a column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .database import Connection
from .errors import command
from .places import Place

# A view depends on columns by its rule. A rule of a view is called `_RETURN`.
_READERS = """
    select distinct n.nspname::text, t.relname::text, a.attname::text,
           v.relnamespace::regnamespace::text || '.' || quote_ident(v.relname), v.relkind::text,
           pg_get_userbyid(v.relowner)::text
    from pg_depend d
    join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid and r.rulename = '_RETURN'
    join pg_class v on v.oid = r.ev_class
    join pg_class t on d.refclassid = 'pg_class'::regclass and t.oid = d.refobjid
    join pg_namespace n on n.oid = t.relnamespace
    join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
    where pg_get_userbyid(t.relowner) = %s and v.relowner <> t.relowner
    order by 1, 2, 3, 4
"""


@dataclass(frozen=True)
class Readers:
    """The views of others on what an owner's tool could not change: a line for each, and what to do."""

    lines: Sequence[str]
    hint: str

    @classmethod
    def of(cls, connection: Connection, role: str, gaps: Sequence[str], places: Collection[Place]) -> Readers:
        """`gaps`: what differs from what its tool makes, as `catalog.differences` says it."""
        owners = {place.role: place.owner for place in places}
        lines, first = [], ""
        for schema, table, column, view, kind, reader in connection.execute(_READERS, [role]):
            if not any(line[2:].startswith(f"column {schema}.{table}.{column} ") for line in gaps):
                continue
            what, who = "materialized view" if kind == "m" else "view", owners.get(str(reader), "")
            lines.append(f"! {what} {view} of {who or reader} reads {schema}.{table}.{column}")
            psql = f"psql --as {who}" if who else "psql --as-superuser"
            again = f"{who}'s tool makes it again" if who else "make it again"
            drop = command(f'{psql} --command "drop {what} {view}"')
            first = (
                first
                or f"drop {view} first, PostgreSQL alters no column that a view reads: {drop}; then migrate, {again}"
            )
        return cls(lines, first)
