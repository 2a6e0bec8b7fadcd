"""The schema `bootorder`, where the guard and the records are: everything in it belongs to the tasks' own role."""

from __future__ import annotations

from .database import Connection
from .errors import GuardError

_FOREIGN = """
    with home as (select oid, nspowner from pg_namespace where nspname = 'bootorder'),
    thing (kind, name, owner) as (
        select 'schema', 'bootorder', nspowner from home
        union all
        select case c.relkind when 'v' then 'view' when 'S' then 'sequence' when 'i' then 'index' else 'table' end,
               c.relname, c.relowner
        from pg_class c join home on c.relnamespace = home.oid
        union all select 'function', p.proname, p.proowner from pg_proc p join home on p.pronamespace = home.oid
        union all select 'type', t.typname, t.typowner from pg_type t join home on t.typnamespace = home.oid
        union all select 'operator', o.oprname, o.oprowner from pg_operator o join home on o.oprnamespace = home.oid
        union all
        select 'operator class', o.opcname, o.opcowner from pg_opclass o join home on o.opcnamespace = home.oid
        union all
        select 'collation', l.collname, l.collowner from pg_collation l join home on l.collnamespace = home.oid
        union all select 'conversion', v.conname, v.conowner from pg_conversion v join home on v.connamespace = home.oid
        union all select 'event trigger', evtname, evtowner from pg_event_trigger where evtname like 'bootorder\\_%'
    )
    select kind, name::text, pg_get_userbyid(owner)::text
    from thing
    where owner <> (select oid from pg_roles where rolname = current_user)
    order by kind <> 'schema', kind, name
"""


def refuse_foreign_objects(connection: Connection) -> None:
    """Raises GuardError where somebody else made the schema, or something in it: its code would run as the tasks' role.

    Before anything in it is called, read or replaced: `create or replace` and `if not exists` keep the owner of what
    is there.
    """
    found = connection.execute(_FOREIGN).fetchall()
    if not found:
        return
    kind, name, role = found[0]
    whole = name if kind in {"schema", "event trigger"} else f"bootorder.{name}"
    raise GuardError(
        f"the {kind} {whole} belongs to {role}, and not to the tasks' role",
        expected=f"a schema `bootorder` that {connection.info.user} made, or none",
        seen="; ".join(f"{kind} {name} of {role}" for kind, name, role in found[:5])
        + (f" and {len(found) - 5} more" if len(found) > 5 else "")  # noqa: PLR2004
        + "; nothing of it was called",
        hint="see who made it and why, then remove it as a superuser: drop schema bootorder cascade"
        " (what the tasks recorded is lost with it: the next start runs the seeds again)",
        goes_on=False,
    )
