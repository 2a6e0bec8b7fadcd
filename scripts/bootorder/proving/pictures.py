"""Pictures of a stack: a line for each thing in it, of which the first word says what kind it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from psycopg import sql

from .. import catalog
from ..boot import Boot
from ..database import Connection, Session, Target
from ..terminal import counted

State = frozenset[str]
AsRole = Callable[[str], AbstractContextManager[Connection] | None]
ROW = "row of "
ONCE = "made only once: "

# Rights and records: how the guard and the stages left the server.
_RIGHTS = """
    select concat_ws(' ', 'right role', rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin) from pg_roles
    where rolname !~ '^pg_'
    union all select concat_ws(' ', 'right database', datname, datdba::regrole, datacl::text) from pg_database
    union all select concat_ws(' ', 'right schema', nspname, nspowner::regrole, nspacl::text) from pg_namespace
    where nspname !~ '^pg_'
    union all select concat_ws(' ', 'right trigger', evtname, evtevent, evtenabled, evttags::text) from pg_event_trigger
"""
_RECORDS = "select concat_ws(' ', 'record', {}::text, owner, fingerprint) from bootorder.{}"
_OIDS = """
    select concat_ws('.', n.nspname, c.relname), c.oid::bigint
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
"""
_ROWS = "select count(*), md5(t::text) from {} t group by 2"


def lines(connection: Connection, as_role: AsRole, database: str = "") -> Iterator[str]:
    """Everything that a database holds. `database`: its name, where there are several.

    Rows are read as the role that owns them; None of `as_role` says that they cannot be.
    """
    inside = f"{database}." if database else ""
    made = catalog.read(connection)
    for key, text in made.objects.items():
        yield f"made {key._replace(schema=f'{inside}{key.schema}')} {text}".rstrip()
    yield from (str(line) for (line,) in connection.execute(_RIGHTS))
    for name in ("migration", "seed"):
        if connection.execute("select to_regclass(%s)", [f"bootorder.{name}"]).fetchone() != (None,):
            query = sql.SQL(_RECORDS).format(sql.Literal(name), sql.Identifier(name))
            yield from (str(line) for (line,) in connection.execute(query))
    roles = {(key.schema, key.relation): role for key, role in made.objects.items() if key.kind == "owner"}
    for role in sorted({roles[table] for table in made.tables()}):
        if not (reader := as_role(role)):
            continue
        with reader as its:
            for table in (table for table in made.tables() if roles[table] == role):
                for times, md5 in its.execute(sql.SQL(_ROWS).format(sql.Identifier(*table))):
                    yield f"{ROW}{inside}{'.'.join(table)} {times}x{md5}"


def _identities(connection: Connection, database: str) -> Iterator[str]:
    """What tells a server and a table from those that were made anew in their place, also where both are empty."""
    for (server,) in connection.execute("select system_identifier from pg_control_system()"):
        yield f"{ONCE}the server's data ({server})"
    for table, oid in connection.execute(_OIDS).fetchall():
        yield f"{ONCE}{database}.{table} (oid {oid})"


def of_databases(boot: Boot) -> State:
    """What the databases of a stack hold that runs; of those that were made by now."""
    stack, logins = boot.target(), boot.logins
    found: set[str] = set()
    with stack.connect() as connection:
        there = {name for (name,) in connection.execute("select datname::text from pg_database")}
    for name in dict.fromkeys([stack.name, *(place.database for place in boot.places.values())]):
        if name not in there:
            continue
        target = replace(stack, name=name)

        def as_role(role: str, target: Target = target) -> Session | None:
            return target.as_role(role, logins[role]).open() if role in logins else None

        with target.connect() as connection:
            found |= {*lines(connection, as_role, "" if name == stack.name else name), *_identities(connection, name)}
    return frozenset(found)


def differences(before: State, after: State) -> list[str]:
    return [*(f"- {line}" for line in sorted(before - after)), *(f"+ {line}" for line in sorted(after - before))]


def rows(state: State) -> Counter[str]:
    """How many each table has."""
    counts: Counter[str] = Counter()
    for line in state:
        if line.startswith(ROW):
            table, _, row = line.removeprefix(ROW).rpartition(" ")
            counts[table] += int(row.partition("x")[0])
    return counts


def by_number(before: State, after: State) -> tuple[State, State]:
    """Both, without the rows, but for a line where there are fewer: whoever may add rows may change its own, too."""
    had, has = rows(before), rows(after)
    fewer = {f"{ROW}{table}: {count} before, {has[table]} now" for table, count in had.items() if has[table] < count}
    return _without_rows(before) | fewer, _without_rows(after)


def _without_rows(state: State) -> State:
    return frozenset(line for line in state if not line.startswith(ROW))


def losses(before: State, after: State, *, rows_by_number: bool = False) -> list[str]:
    """Tables, columns, constraints and rows that are not there as they were."""
    if rows_by_number:
        before, after = by_number(before, after)
    return [f"- {line}" for line in sorted(before - after) if line.startswith(("made ", ROW))]


def summary(state: State) -> str:
    """`16 tables, 6 rows`."""
    tables = sum(line.startswith("made table ") for line in state)
    return f"{counted(tables, 'table')}, {counted(sum(rows(state).values()), 'row')}"
