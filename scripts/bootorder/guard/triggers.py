"""The event triggers of guard.sql: whether they are as they should be, and installing them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from psycopg import sql

from ..database import Connection
from ..own_schema import refuse_foreign_objects
from .roles import Repair

_GUARD = Path(__file__).with_name("guard.sql").read_text(encoding="utf-8")
_MARK = f"bootorder {hashlib.sha256(_GUARD.encode()).hexdigest()[:12]}"
_COVERED_AT_ONCE = 1000  # every covered table holds a lock until the end of its transaction
# What is there now, as text that changes with every part of it. No server would say it in the words of guard.sql, so it
# is looked at when it was installed, and kept.
_THERE = """
    select md5(string_agg(part, ' ' order by part collate "C")) from (
        select concat_ws(' ', pg_get_functiondef(oid), proowner, proacl::text) from pg_proc
        where pronamespace = to_regnamespace('bootorder')
        union all
        select concat_ws(' ', relname, relkind, relowner, relacl::text,
                         case relkind when 'v' then pg_get_viewdef(oid) end)
        from pg_class where relnamespace = to_regnamespace('bootorder') and (relkind = 'v' or relname = 'owner')
        union all
        select concat_ws(' ', nspowner, nspacl::text) from pg_namespace where nspname = 'bootorder'
        union all
        select concat_ws(' ', evtname, evtevent, evtenabled, evttags::text, evtfoid::regproc::text)
        from pg_event_trigger where evtname like 'bootorder\\_%'
    ) as things (part)
"""
_LOOK = "select coalesce(obj_description(to_regnamespace('bootorder'), 'pg_namespace') = {} || ' ' || ({}), false)"
_KEEP = "do $do$ begin execute format('comment on schema bootorder is %L', {} || ' ' || ({})); end $do$"


def is_installed(connection: Connection) -> bool:
    """This version of it, switched on, as it was installed. Raises GuardError where somebody else made some of it."""
    refuse_foreign_objects(connection)
    return connection.execute(sql.SQL(_LOOK).format(sql.Literal(_MARK), sql.SQL(_THERE))).fetchone() == (True,)


def trigger_repairs(connection: Connection, roles: Iterable[str]) -> list[Repair]:
    """What installs the triggers in the connected database, and tells them whose tables to guard."""
    wanted = sorted(roles)
    installed = is_installed(connection)
    repairs = []
    if not installed:
        repairs.append(Repair("event triggers installed", sql.SQL(_GUARD)))
        repairs.append(Repair("", sql.SQL(_KEEP).format(sql.Literal(_MARK), sql.SQL(_THERE))))
    if not installed or _guarded(connection) != set(wanted):
        fill = (
            "delete from bootorder.owner; insert into bootorder.owner select oid from pg_roles where rolname = any ({})"
        )
        repairs.append(Repair(f"tables of {', '.join(wanted)} guarded", sql.SQL(fill).format(sql.Literal(wanted))))
    return repairs


def _guarded(connection: Connection) -> set[str]:
    query = "select r.rolname::text from bootorder.owner o left join pg_roles r on r.oid = o.role"
    return {role for (role,) in connection.execute(query)}


def cover(connection: Connection) -> int:
    """Guard the owners' tables against TRUNCATE, and their types, those that are not yet. Returns how many."""
    found = [relation for (relation,) in connection.execute("select relation::oid from bootorder.uncovered")]
    for start in range(0, len(found), _COVERED_AT_ONCE):
        with connection.transaction():
            connection.execute("select bootorder.allow()")
            some = found[start : start + _COVERED_AT_ONCE]
            connection.execute("select bootorder.cover(relation) from unnest(%s::oid[]) as few (relation)", [some])
    return len(found)


def uncovered(connection: Connection) -> bool:
    """Whether a table of an owner could be truncated by accident, or its type be used by others."""
    return connection.execute("select exists (select from bootorder.uncovered)").fetchone() == (True,)
