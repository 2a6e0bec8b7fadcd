"""What belongs to no owner: tables of an older volume, where everything was one role's. Listed, proposed, assigned."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from ..catalog import Catalog
from ..database import Connection
from ..places import Place
from .roles import Repair

ROUTINES = {"function", "procedure", "aggregate"}
_QUERY = """
    with place as (
        select oid, nspname::text as name from pg_namespace
        where nspname !~ '^pg_' and nspname not in ('information_schema', 'bootorder')
    ),
    thing as (
        select 'pg_class'::regclass as class, c.oid, n.name as schema, c.relname::text as name,
               case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                              when 'f' then 'foreign table' else 'table' end as kind,
               c.relowner as owner, '' as arguments
        from pg_class c join place n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        union all
        select 'pg_type'::regclass, t.oid, n.name, t.typname::text,
               case t.typtype when 'd' then 'domain' else 'type' end, t.typowner, ''
        from pg_type t
        join place n on n.oid = t.typnamespace
        left join pg_class c on c.oid = t.typrelid
        where t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and c.relkind = 'c'
        union all
        select 'pg_proc'::regclass, p.oid, n.name,
               format('%%s(%%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
               case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end, p.proowner,
               format('(%%s)', pg_get_function_identity_arguments(p.oid))
        from pg_proc p join place n on n.oid = p.pronamespace
        -- the functions of a range come with it
        where not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                                              and d.objid = p.oid and d.deptype = 'i')
    )
    select current_database()::text, t.schema, t.name, t.kind, pg_get_userbyid(t.owner)::text, t.arguments
    from thing t
    where t.owner not in (select oid from pg_roles where rolname = any (%(owners)s))
      -- not what came with an extension, nor a sequence that goes where its table goes
      and not exists (select from pg_depend d where d.classid = t.class and d.objid = t.oid
                      and (d.deptype = 'e' or t.kind = 'sequence' and d.deptype in ('a', 'i')))
    order by t.schema, t.name
"""


@dataclass(frozen=True)
class Stray:
    """`kind` is the word of `alter ... owner to`; `role`: whose it is now, which is no owner."""

    database: str
    schema: str
    name: str  # of a function: with its arguments
    kind: str
    role: str
    arguments: str = ""  # with their brackets, as the name ends with them

    def __str__(self) -> str:
        return f"{self.kind} {self.schema}.{self.name} of the role {self.role}"


@dataclass(frozen=True)
class Found:
    """What belongs to no owner, and the role and name of everything that an owner has."""

    nobodys: Sequence[Stray]
    owned: Collection[tuple[str, str]]


def find(connection: Connection, owners: Iterable[Place]) -> list[Stray]:
    """Everything of the connected database that belongs to no owner's role."""
    roles = [place.role for place in owners]
    rows = connection.execute(_QUERY, {"owners": roles})
    return [Stray(*map(str, row)) for row in rows]


def owned(connection: Connection, owners: Iterable[Place]) -> set[tuple[str, str]]:
    """The role and the name of everything that an owner has in the connected database."""
    query = """
        with thing as (
            select relowner as owner, relname::text as name from pg_class
            where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            union all
            select typowner, typname::text from pg_type
            union all
            select proowner, format('%%s(%%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
        )
        select r.rolname::text, t.name from thing t join pg_roles r on r.oid = t.owner where r.rolname = any (%s)
    """
    return set(connection.execute(query, [[place.role for place in owners]]).fetchall())


def claimed(
    strays: Sequence[Stray],
    rehearsals: Mapping[str, Catalog],
    places: Mapping[str, Place],
    there: Collection[tuple[str, str]],
) -> dict[Stray, str]:
    """Those that one owner's rehearsal makes too, each with the owner. `there`: what is owned already.

    By name, where the schema is another one than in the rehearsal: they may lie where another layout has them.
    """
    found = {}
    for stray in strays:
        # One that lies in the stack's database may be anybody's where each owner has a database of its own.
        its = {o: made for o, made in rehearsals.items() if places[o].database == stray.database} or rehearsals
        makers = [owner for owner, made in its.items() if (stray.schema, stray.name) in made.relations()]
        makers = makers or [
            owner
            for owner, made in its.items()
            if (places[owner].role, stray.name) not in there and any(stray.name == name for _, name in made.relations())
        ]
        if len(makers) == 1:
            found[stray] = makers[0]
    return found


def assignments(proposal: Mapping[Stray, str], places: Mapping[str, Place]) -> Mapping[str, Sequence[Repair]]:
    """The statements that give each to its owner, if it has one, by database: what lies in another one stays.

    A schema that a tool made for itself stays whose it is, as others may have made theirs there; its owner works in it.
    """
    homes = {"public", *(place.schema for place in places.values())}
    entered: set[tuple[str, str, str]] = set()
    repairs: dict[str, list[Repair]] = {}
    for stray, owner in proposal.items():
        if owner and stray.database == places[owner].database:
            role = sql.Identifier(places[owner].role)
            statement = sql.SQL("alter {} {}{} owner to {}").format(
                sql.SQL(stray.kind),  # one of the words above
                sql.Identifier(stray.schema, stray.name.removesuffix(stray.arguments)),
                sql.SQL(stray.arguments),
                role,
            )
            what = f"{stray.schema}.{stray.name} belongs to {places[owner].role}"
            its = repairs.setdefault(stray.database, [])
            its.append(Repair(what, statement))
            if stray.schema not in homes and (stray.database, stray.schema, owner) not in entered:
                entered.add((stray.database, stray.schema, owner))
                grant = sql.SQL("grant usage, create on schema {} to {}").format(sql.Identifier(stray.schema), role)
                its.append(Repair(f"{places[owner].role} may create in the schema {stray.schema}", grant))
    return repairs
