"""Which layout the tables have now, and moving them to another one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

import psycopg
from psycopg import sql

from ..boot import Boot
from ..database import Connection, Target
from ..errors import GuardError, NotReadyError, SettingsError, command
from ..outcome import Outcome
from ..own_schema import refuse_foreign_objects
from ..places import Place, places
from ..settings import LayoutName, layout_name
from ..terminal import counted
from .names import refuse_decoys
from .roles import apply, grant_repairs, require_superuser
from .triggers import trigger_repairs

# How many relations each owner's role has in each schema of the connected database.
_WHERE = """
    select r.rolname::text, n.nspname::text, count(*)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_roles r on r.oid = c.relowner
    where r.rolname = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_'
    group by 1, 2
"""
# Where each role was told to find its tables, when the guard was last in place.
_HOMES = """
    select r.rolname::text, n.nspname::text
    from pg_db_role_setting s
    join pg_database d on d.oid = s.setdatabase and d.datname = current_database()
    join pg_roles r on r.oid = s.setrole
    cross join unnest(s.setconfig) c
    join pg_namespace n on c in (format('search_path=%I', n.nspname), format('search_path=%I, public', n.nspname))
"""
# What is moved, as statements: sequences of columns, indexes and row types go with their table.
_MOVES = """
    with thing as (
        select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                              when 'f' then 'foreign table' else 'table' end as kind,
               c.oid as id, quote_ident(c.relname) as name, c.relowner as owner, c.relnamespace as namespace
        from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm', 'f')
           or c.relkind = 'S' and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
                                              and d.objid = c.oid and d.deptype in ('a', 'i'))
        union all
        select case t.typtype when 'd' then 'domain' else 'type' end, t.oid, quote_ident(t.typname),
               t.typowner, t.typnamespace
        from pg_type t left join pg_class c on c.oid = t.typrelid
        where t.typtype in ('e', 'd', 'r', 'm') or t.typtype = 'c' and c.relkind = 'c'
        union all
        select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
               p.oid,
               -- an aggregate of no arguments is written with a star
               format('%%I(%%s)', p.proname, case when p.prokind = 'a' and p.pronargs = 0 then '*'
                                                  else pg_get_function_identity_arguments(p.oid) end),
               -- the functions that make a range belong to the server's superuser, and to the type
               coalesce(t.typowner, p.proowner), p.pronamespace
        from pg_proc p
        left join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i'
                             and d.refclassid = 'pg_type'::regclass
        left join pg_type t on t.oid = d.refobjid
        union all
        select 'statistics', s.oid, quote_ident(s.stxname), s.stxowner, s.stxnamespace from pg_statistic_ext s
        union all
        select 'collation', c.oid, quote_ident(c.collname), c.collowner, c.collnamespace from pg_collation c
        union all
        select 'extension', e.oid, quote_ident(e.extname), e.extowner, e.extnamespace from pg_extension e
        where e.extrelocatable
    )
    select name, format('alter %%s %%s%%s set schema %%I', kind,
                        case when kind <> 'extension' then quote_ident(n.nspname) || '.' end, name, %(to)s::text)
    from thing
    join pg_namespace n on n.oid = thing.namespace and n.nspname = %(from)s
    join pg_roles r on r.oid = thing.owner and r.rolname = %(role)s
    where not exists (select from pg_depend d where d.objid = thing.id and d.deptype = 'e')
    -- the arguments of a function are written with their types' schemas, as these are now
    order by kind not in ('function', 'procedure', 'aggregate'), kind <> 'table', name
"""

# An owner's schema that holds nothing any more, and that nothing but default privileges refers to.
_IS_EMPTY = """
    select exists (
        select from pg_namespace n join pg_roles r on r.oid = n.nspowner
        where n.nspname = %s and r.rolname = %s and not exists (
            select from pg_depend d
            where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid
              and d.classid <> 'pg_default_acl'::regclass))
"""

_DUPLICATES = (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject, psycopg.errors.DuplicateFunction)


def refuse_another_layout(boot: Boot, target: Target, connection: Connection) -> None:
    """Raises GuardError where owners have tables that this layout would not find."""
    there, homes = _schemas(connection, boot.places.values()), _homes(connection)
    names = {name for (name,) in connection.execute("select datname::text from pg_database")}
    databases = _possible(boot, "databases")
    now, found = "", []
    for owner, place in boot.places.items():
        its, alone = there.get(place.role, {}), databases.get(owner)
        # Where it was told to find its tables; and `public`, where those of an older database are.
        left = [one for one in dict.fromkeys((homes.get(place.role, "public"), "public")) if one in its]
        if boot.layout != "databases":
            left = [one for one in left if one != place.schema]
        if left:
            now = "schemas" if left[0] != "public" or now == "schemas" else "shared"
            found.append(f"{owner} has {its[left[0]]} tables in the schema {left[0]} of {target.name}")
        elif boot.layout != "databases" and alone and alone.database in names and _has_tables(target, alone):
            now = "databases"
            found.append(f"{owner} has its tables in the database {alone.database}")
    if not found:
        return
    hint = f"set `layout: {now}` in invoke.yaml, or --layout {now}{_or_move(now, boot.layout)}"
    if now == boot.layout:
        hint = f"set `owners.NAME.schema` as it was, or move the tables: {command(f'guard --move-to {now}')}"
    raise GuardError(
        f"this stack has the layout `{now}`"
        + (", with other schemas" if now == boot.layout else f", and was asked for `{boot.layout}`"),
        expected="the layout that its tables have: in another one they would be missing, and be made anew",
        seen=f"{'; '.join(found)}; nothing was touched",
        hint=hint,
        goes_on=False,
    )


def _homes(connection: Connection) -> Mapping[str, str]:
    return dict(connection.execute(_HOMES).fetchall())


def _possible(boot: Boot, layout: LayoutName) -> Mapping[str, Place]:
    """Where the owners would live; nowhere if their names are none that this layout can have."""
    try:
        return places(boot.settings, layout, grants=layout != "databases")
    except SettingsError:
        return {}


def _or_move(now: str, wanted: str) -> str:
    if "databases" in {now, wanted}:
        return f"; or take the rows along with pg_dump after {command(f'start --clean --layout {wanted}')}"
    return f"; or move the tables: {command(f'guard --move-to {wanted}')}"


def _schemas(connection: Connection, owners: Iterable[Place]) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for role, schema, count in connection.execute(_WHERE, [[place.role for place in owners]]):
        found.setdefault(role, {})[schema] = count
    return found


def _has_tables(target: Target, place: Place) -> bool:
    with replace(target, name=place.database).connect() as connection:
        return bool(_schemas(connection, [place]))


def move(boot: Boot, wanted: str) -> Outcome:
    """Move every owner's things to where the layout `wanted` has them, rows and all, in one transaction."""
    to = layout_name(wanted, boot.settings)
    if to == "databases" or boot.layout == "databases":
        raise SettingsError(
            "no tables can be moved from one database to another",
            expected="--move-to schemas, or --move-to shared",
            hint=f"boot an empty stack with {command('start --clean --layout databases')}, then take the rows along"
            " with pg_dump",
        )
    target = boot.require_database()
    new = places(boot.settings, to)
    with target.connect() as connection, contextlib.ExitStack() as held:
        require_superuser(connection)
        lock = held.enter_context(boot.locked(target))
        refuse_foreign_objects(connection)
        _require_silence(connection, new.values())
        homes = _homes(connection)  # before they are set anew
        apply(connection, trigger_repairs(connection, [place.role for place in new.values()]))
        with connection.transaction():
            connection.execute("select bootorder.allow()")
            connection.execute("set local search_path = pg_catalog")  # what is written out is written with its schema
            for repair in grant_repairs(connection, list(new.values()), list(new.values())):
                connection.execute(repair.statement)
            moved = {
                owner: sum(
                    _move_owner(connection, old, place)
                    for old in dict.fromkeys((homes.get(place.role, "public"), "public"))
                )
                for owner, place in new.items()
            }
            refuse_decoys(connection)
            lock.require()
    if not any(moved.values()):
        return Outcome.skipped(f"every owner's tables are where the layout {to} has them")
    moves = ", ".join(
        f"{counted(count, 'object')} of {owner} to {new[owner].schema}" for owner, count in moved.items() if count
    )
    return Outcome.done(f"moved {moves}; now set `layout: {to}` in invoke.yaml")


def _move_owner(connection: Connection, old: str, new: Place) -> int:
    """`old`: the schema that it had."""
    if old == new.schema:
        return 0
    names = {"from": old, "to": new.schema, "role": new.role}
    moves = connection.execute(_MOVES.encode(), names).fetchall()
    for name, statement in moves:
        try:
            connection.execute(statement.encode())
        except _DUPLICATES as error:
            raise _in_the_way(name, old, new, error) from None
        except psycopg.errors.OutOfMemory as error:
            raise NotReadyError(
                f"the server has not enough locks to move {counted(len(moves), 'object')} of {new.owner} at once",
                expected="all or nothing: no table is left behind",
                seen=f"{' '.join(str(error).split())}; nothing was moved",
                hint="set max_locks_per_transaction of PostgreSQL to 1024, start it anew, then move again",
            ) from None
    if connection.execute(_IS_EMPTY, [old, new.role]).fetchone() == (True,):
        connection.execute(sql.SQL("drop schema {}").format(sql.Identifier(old)))
    return len(moves)


def _in_the_way(name: str, old: str, new: Place, error: psycopg.Error) -> GuardError:
    return GuardError(
        f"{new.owner}: {old}.{name} cannot be moved: {new.schema} has one of that name",
        expected="names that are free where they go",
        seen=f"{' '.join(str(error).split())}; nothing was moved",
        hint="rename one of the two, then move again",
    )


def _require_silence(connection: Connection, owners: Iterable[Place]) -> None:
    """Who is connected now would look for the tables where they were."""
    query = "select distinct usename::text from pg_stat_activity where usename = any (%s) order by 1"
    talking = [role for (role,) in connection.execute(query, [[place.role for place in owners]])]
    if talking:
        raise NotReadyError(
            "apps are connected to the database",
            expected="nobody who would look for the tables where they were",
            seen=f"connections of {', '.join(talking)}",
            hint=f"stop the apps first: {command('stop db-up wait-db')}; then move again",
            first=("stop", "db-up", "wait-db"),
        )
