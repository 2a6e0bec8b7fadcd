"""Extensions that the settings name, made as the superuser where every owner finds them, without running owners' code.

The script of an extension runs as the superuser and finds PostgreSQL's names first, then those of the schema that it is
made in, then those of the schemas of the extensions that it needs. A function or operator there that fits an argument
better than PostgreSQL's own is run in its place (PostgreSQL's manual, "Security Considerations for Extension Scripts").
In the layout `shared` owners create in `public`. So an extension is made in a new schema, where nobody else may create,
and moved to `public` when it is whole: a move runs no code. For one that cannot be moved, or that needs one that is in
`public` already, nobody may create there until it is made, and what an owner made there before must not be callable.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ..database import Connection
from ..errors import GuardError, MachineError, NotReadyError, command
from ..migrators.hints import where_to_find
from ..own_schema import refuse_foreign_objects

_HOME = "public"  # it is on the search path of every owner in every layout
# What each wanted one needs, itself included: whether it can be moved, its own fixed schema, and where it is now.
_NEEDED = """
    with recursive version as (
        select e.name::text collate "C", v.relocatable, v.schema::text as home, v.requires::text[] as requires
        from pg_available_extensions e
        join pg_available_extension_versions v on (v.name, v.version) = (e.name, e.default_version)
    ),
    needed (name) as (
        select %s::text collate "C"
        union
        select r.name collate "C" from needed n join version v using (name) cross join unnest(v.requires) r (name)
    )
    select n.name, v.relocatable, v.home, s.nspname::text
    from needed n
    left join version v using (name)
    left join pg_extension e on e.extname = n.name
    left join pg_namespace s on s.oid = e.extnamespace
    order by 1
"""
_THERE = """
    select e.extname::text, n.nspname::text, o.rolname::text, e.extrelocatable
    from pg_extension e
    join pg_namespace n on n.oid = e.extnamespace
    left join pg_roles o on o.oid = n.nspowner and o.rolname = any (%s)
    where e.extname = any (%s)
"""
# Schemas that belong to somebody else: whoever owns one may always create in it.
_FOREIGN = """
    select format('the schema %%s belongs to %%s', quote_ident(n.nspname), r.rolname)
    from pg_namespace n
    join pg_database d on d.datname = current_database()
    join pg_roles r on r.oid = case when n.nspowner = 'pg_database_owner'::regrole then d.datdba else n.nspowner end
    where n.nspname = any (%s) and not r.rolsuper
    order by 1
"""
_CREATORS = """
    select n.nspname::text, coalesce(r.rolname::text, ''), bool_or(a.is_grantable)
    from pg_namespace n
    cross join lateral aclexplode(n.nspacl) a
    left join pg_roles r on r.oid = a.grantee
    where n.nspname = any (%s) and a.privilege_type = 'CREATE' and a.grantee <> n.nspowner
      and not coalesce(r.rolsuper, false)
    group by 1, 2
    order by 1, 2
"""
# What the script could call instead of what it means. A trigger's function is called by triggers only.
_CALLABLE = """
    select format('function %%s of %%s', p.oid::regprocedure, r.rolname) as what
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
    where n.nspname = any (%(schemas)s) and not r.rolsuper
      and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    union all
    select format('operator %%s of %%s', o.oid::regoperator, r.rolname)
    from pg_operator o join pg_namespace n on n.oid = o.oprnamespace join pg_roles r on r.oid = o.oprowner
    where n.nspname = any (%(schemas)s) and not r.rolsuper
    order by 1
"""
# Transactions that began while they still might create there: what they made is not seen until they end.
_AT_WORK = """
    select format('server process %s of %s', a.pid, r.rolname)
    from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
    where a.datname = current_database() and not r.rolsuper and a.xact_start is not null
    union all
    select format('the prepared transaction %L of %s', p.gid, p.owner)
    from pg_prepared_xacts p join pg_roles r on r.rolname = p.owner
    where p.database = current_database() and not r.rolsuper
    order by 1
"""
_TAKEN = (psycopg.errors.DuplicateObject, psycopg.errors.DuplicateFunction, psycopg.errors.DuplicateTable)
_SHOWN = 5


@dataclass(frozen=True)
class _Needed:
    """An extension as the server has it. `home`: its own fixed schema; `schema`: where it is now."""

    name: str
    relocatable: bool | None
    home: str | None
    schema: str | None


def require_available(connection: Connection, wanted: Sequence[str]) -> None:
    """Raises MachineError for an extension that the server does not have, and says where it can be found."""
    if not wanted:
        return
    available = {name for (name,) in connection.execute("select name::text from pg_available_extensions")}
    missing = [name for name in wanted if name not in available]
    if missing:
        raise MachineError(
            f"this PostgreSQL does not have the extension {missing[0]}",
            expected=f"{', '.join(wanted)}, as `database.extensions` in invoke.yaml says",
            seen=f"no {', '.join(missing)} among those that the server could make; nothing was touched",
            hint=f"use a server that has it: {where_to_find(missing[0])}",
        )


def make_extensions(connection: Connection, wanted: Sequence[str], owners: Sequence[str], *, repair: bool) -> list[str]:
    """Make in the connected database those that it lacks. Returns what was done, or would be, for people.

    One that an owner has made for itself in a schema of its own is moved to where all find it. `owners`: their roles.
    """
    if not wanted:
        return []
    rows = connection.execute(_THERE, [list(owners), list(wanted)]).fetchall()
    there = {str(name) for name, *_ in rows}
    hidden = [str(name) for name, _, owner, can_move in rows if owner and can_move]
    if repair:
        for name in hidden:
            _run(connection, name, [_moved(name)])
        for name in wanted:
            if name not in there:
                _make(connection, name)
                there |= {needed.name for needed in _needed(connection, name)}
    missing = [name for name in wanted if name not in {str(name) for name, *_ in rows}]
    return [f"extension {name} made" for name in missing] + [f"extension {name} moved to {_HOME}" for name in hidden]


def _needed(connection: Connection, name: str) -> list[_Needed]:
    return [_Needed(*row) for row in connection.execute(_NEEDED, [name])]


def _make(connection: Connection, name: str) -> None:
    needed = _needed(connection, name)
    missing = [one for one in needed if one.schema is None]
    looked_into = {one.schema for one in needed if one.schema} | {one.home for one in missing if one.home}
    extension = sql.Identifier(name)
    if all(one.relocatable and not one.home for one in missing):
        apart = sql.Identifier(f"bootorder_{secrets.token_hex(8)}")
        statements = [
            sql.SQL("create schema {}").format(apart),
            sql.SQL("create extension {} schema {} cascade").format(extension, apart),
            *(_moved(one.name) for one in missing),
            sql.SQL("drop schema {}").format(apart),
        ]
    else:
        looked_into.add(_HOME)
        own = next((one.home for one in missing if one.name == name), None)
        where = sql.SQL("") if own else sql.SQL(" schema {}").format(sql.Identifier(_HOME))
        statements = [sql.SQL("create extension {}{} cascade").format(extension, where)]
    with _closed(connection, name, sorted(looked_into - {"pg_catalog"})):
        _run(connection, name, statements)


def _moved(name: str) -> sql.Composed:
    return sql.SQL("alter extension {} set schema {}").format(sql.Identifier(name), sql.Identifier(_HOME))


def _run(connection: Connection, name: str, statements: Sequence[sql.Composed]) -> None:
    try:
        with connection.transaction():
            refuse_foreign_objects(connection)
            if connection.execute("select to_regproc('bootorder.allow')").fetchone() != (None,):
                connection.execute("select bootorder.allow()")
            for statement in statements:
                connection.execute(statement)
    except _TAKEN as error:
        raise GuardError(
            f"the extension {name} would create an object with a name that is taken",
            expected=f"no function, type or table in the schema {_HOME} of a name that the extension has",
            seen=f"{_first_line(error)}; nothing was changed",
            hint=f"see which owner has it, then rename or drop it as that owner: {command('psql --as OWNER')}",
            goes_on=False,
        ) from None
    except psycopg.Error as error:
        raise MachineError(
            f"the server could not make the extension {name}",
            expected=f"`create extension {name}` as the superuser",
            seen=f"{_first_line(error)}; nothing was changed",
            hint="see what its manual asks for (e.g. `shared_preload_libraries`), and the server's log:"
            f" {command('logs')}",
        ) from None


def _first_line(error: psycopg.Error) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _closed(connection: Connection, name: str, schemas: list[str]) -> Iterator[None]:
    """Nobody but superusers creates in these schemas within the block, nor did make there what a script could call."""
    if not schemas:
        yield
        return
    if foreign := [str(what) for (what,) in connection.execute(_FOREIGN, [schemas])]:
        raise _unsafe(name, foreign)
    creators = connection.execute(_CREATORS, [schemas]).fetchall()
    try:
        for schema, role, _ in creators:
            connection.execute(
                sql.SQL("revoke create on schema {} from {} cascade").format(sql.Identifier(schema), _grantee(role))
            )
        if creators and (at_work := [str(who) for (who,) in connection.execute(_AT_WORK)]):
            raise NotReadyError(
                f"the extension {name} cannot be made while somebody is at work in the database",
                expected="no open transaction of another role: its script runs as the superuser",
                seen=", ".join(at_work[:_SHOWN]),
                hint=f"stop the apps first: {command('stop db-up wait-db')}; then {command('guard')}",
                first=("stop", "db-up", "wait-db"),
            )
        found = connection.execute(_CALLABLE, {"schemas": schemas})
        if callable_there := [str(what) for (what,) in found]:
            raise _unsafe(name, callable_there)
        yield
    finally:
        for schema, role, can_grant in creators:
            option = sql.SQL(" with grant option" if can_grant else "")
            grant = sql.SQL("grant create on schema {} to {}{}")
            connection.execute(grant.format(sql.Identifier(schema), _grantee(role), option))


def _grantee(role: str) -> sql.Composable:
    return sql.Identifier(role) if role else sql.SQL("public")


def _unsafe(name: str, found: Sequence[str]) -> GuardError:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return GuardError(
        f"the extension {name} cannot be made safely in this database",
        expected="nothing of another role that its script, which runs as the superuser, could call by accident",
        seen=f"{', '.join(found[:_SHOWN])}{more}; nothing was changed",
        hint="look at what it does; then make the extension by hand, or move that out of the way:"
        f" {command('psql --as-superuser')}, or begin anew: {command('start --clean')}",
        goes_on=False,
    )
