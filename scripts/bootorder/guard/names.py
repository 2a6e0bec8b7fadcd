"""The names that each owner's tool makes: nobody else may have one where the tool's statements would reach it.

To plan a statement over a table is to run code of its owner, before any right is looked at: a table of another owner
that has the name of one that is yet to be made would run that owner's code as the tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..catalog import Catalog, shortened
from ..database import Connection, Target
from ..errors import GuardError, command
from ..own_schema import refuse_foreign_objects
from ..places import Place

_RESERVED = "select r.rolname::text, n.name from bootorder.reserved n left join pg_roles r on r.oid = n.role"
_RESERVE = """
    insert into bootorder.reserved (role, name)
    select r.oid, n.name from unnest(%s::text[], %s::text[]) as n (role, name) join pg_roles r on r.rolname = n.role
"""
# What has one of these names, in a schema that the role looks into, and is neither its own nor a superuser's.
_DECOYS = """
    with thing (name, home, owner, what) as (
        select c.relname, c.relnamespace, c.relowner, format('table or view %%s', c.oid::regclass) from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        union all
        select t.typname, t.typnamespace, t.typowner, format('type %%s', t.oid::regtype)
        from pg_type t left join pg_class c on c.oid = t.typrelid
        where coalesce(c.relkind, 'c') = 'c' and t.typcategory <> 'A'
        union all
        select p.proname, p.pronamespace, p.proowner, format('function %%s', p.oid::regprocedure) from pg_proc p
    )
    select distinct format('%%s of %%s', t.what, r.rolname)
    from thing t
    join pg_namespace n on n.oid = t.home and n.nspname in ('public', %(schema)s)
    join pg_roles r on r.oid = t.owner and not r.rolsuper and r.rolname <> %(role)s
    where t.name = any (%(names)s)
      and not exists (select from bootorder.reserved own where (own.role, own.name) = (t.owner, t.name::text))
    order by 1
"""


def keep_names(stack: Target, places: Sequence[Place], made: Mapping[str, Catalog]) -> None:
    """Reserve what each owner's tool makes, by owner. Raises GuardError where somebody else has such a name already."""
    for database in dict.fromkeys(place.database for place in places):
        here = [place for place in places if place.database == database and place.owner in made]
        if len(here) < 2:  # noqa: PLR2004  # there is nobody else
            continue
        names = {place.role: _names(made[place.owner]) for place in here}
        with stack.in_database(database).connect() as connection:
            _reserve(connection, names)
            for place in here:
                given = {"schema": place.schema, "role": place.role, "names": sorted(names[place.role])}
                if found := [what for (what,) in connection.execute(_DECOYS.encode(), given)]:
                    raise _taken(place.owner, found)


def _reserve(connection: Connection, names: Mapping[str, set[str]]) -> None:
    wanted = {(role, name) for role, its in names.items() for name in its}
    refuse_foreign_objects(connection)
    if set(connection.execute(_RESERVED).fetchall()) == wanted:
        return
    pairs = sorted(wanted)
    with connection.transaction():
        connection.execute("delete from bootorder.reserved")
        connection.execute(_RESERVE, [[role for role, _ in pairs], [name for _, name in pairs]])


def _names(made: Catalog) -> set[str]:
    """Of what statements name: not the arguments of a function."""
    return {name.partition("(")[0] for _, name in made.relations()}


def _taken(owner: str, found: Sequence[str]) -> GuardError:
    return GuardError(
        f"another owner has what the tool of {owner} makes",
        expected="names that belong to one owner: the statements of its tool would run the other's code",
        seen=f"{found[0]}; nothing was run",
        details=shortened(found[1:]),
        hint=f"see what it is, then drop or rename it as its owner: {command('psql --as OWNER')}",
        goes_on=False,
    )
