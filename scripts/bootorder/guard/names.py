"""The names that each owner's tool makes: nobody else may have one where the tool's statements would reach it.

To plan a statement over a table is to run code of its owner, before any right is looked at: a table of another owner
that has the name of one that is yet to be made would run that owner's code as the tool.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..catalog import Catalog, shortened
from ..database import LOCK_SECONDS, Connection, Target
from ..errors import GuardError, NotReadyError, command
from ..own_schema import refuse_foreign_objects
from ..places import Place

_RESERVED = """
    select r.rolname::text, n.schema, n.name from bootorder.reserved n left join pg_roles r on r.oid = n.role
"""
_RESERVE = """
    insert into bootorder.reserved (role, schema, name)
    select r.oid, n.schema, n.name from unnest(%s::text[], %s::text[], %s::text[]) as n (role, schema, name)
    join pg_roles r on r.rolname = n.role
"""
_DECOYS = """
    select distinct format('%s of %s', d.what, d.owner::regrole)
    from bootorder.decoy d join bootorder.owner o on o.role = d.owner
    order by 1
"""
# Transactions in which names may have been made, or may yet be, without a look at those that are reserved now: they
# have changed something, see the database as it was, or were prepared.
_OLDER = """
    select format('server process %%s of %%s', pid, usename) from pg_stat_activity
    where datname = current_database() and usename = any (%(roles)s) and xact_start < %(at)s
      and (backend_xid is not null or backend_xmin is not null)
    union all
    select format('prepared transaction %%s of %%s', quote_literal(gid), owner) from pg_prepared_xacts
    where database = current_database() and owner = any (%(roles)s) and prepared < %(at)s
"""
_POLL_SECONDS = 0.05

Names = set[tuple[str, str]]  # schemas and names


def keep_names(stack: Target, places: Sequence[Place], made: Mapping[str, Catalog]) -> None:
    """Reserve what each owner's tool makes, by owner. Raises GuardError where somebody else has such a name already."""
    for database in dict.fromkeys(place.database for place in places):
        here = [place for place in places if place.database == database and place.owner in made]
        if len(here) < 2:  # noqa: PLR2004  # there is nobody else
            continue
        names = {place.role: _names(made[place.owner]) for place in here}
        with stack.in_database(database).connect() as connection:
            _reserve(connection, names)
            refuse_decoys(connection)


def refuse_decoys(connection: Connection) -> None:
    """Raises GuardError where the statements of one owner would reach what another owner has made."""
    found = [what for (what,) in connection.execute(_DECOYS)]
    if found:
        raise GuardError(
            "an owner has made what the statements of other owners would reach",
            expected="names and operators that belong to one owner: the code of one would run as the other",
            seen=f"{found[0]}; nothing was run",
            details=shortened(found[1:]),
            hint=f"see what it is, then drop or rename it as its owner: {command('psql --as OWNER')}",
            goes_on=False,
        )


def refuse_foreign_casts(connection: Connection) -> None:
    """Raises GuardError where a foreign key between two owners is checked with the code of one, as the other."""
    casts = [what for (what,) in connection.execute("select what from bootorder.foreign_cast order by 1")]
    if casts:
        raise GuardError(
            "a foreign key between two owners needs a cast that is not built in",
            expected="columns of the same type, or of types of PostgreSQL's own: a cast could run as the other",
            seen=f"{casts[0]}; nothing was changed",
            details=shortened(casts[1:]),
            hint=f"give both columns the same type, or drop the key: {command('psql --as OWNER')}",
            goes_on=False,
        )


def _reserve(connection: Connection, names: Mapping[str, Names]) -> None:
    wanted = {(role, *name) for role, its in names.items() for name in its}
    refuse_foreign_objects(connection)
    if set(connection.execute(_RESERVED).fetchall()) == wanted:
        return
    rows = sorted(wanted)
    with connection.transaction():
        connection.execute("delete from bootorder.reserved")
        connection.execute(_RESERVE, [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []])
    _wait_for_older(connection, list(names))


def take_names(connection: Connection, copy: Connection) -> None:
    """Reserve in a copy of this database what is reserved here. Both are looked after by this version of the guard."""
    with copy.cursor() as cursor:
        cursor.executemany(
            "insert into bootorder.reserved (role, schema, name) values (%s, %s, %s)",
            connection.execute("select role, schema, name from bootorder.reserved").fetchall(),
        )


def _wait_for_older(connection: Connection, roles: Sequence[str]) -> None:
    """Wait until no transaction of an owner goes on that does not see the names."""
    [(at,)] = connection.execute("select clock_timestamp()").fetchall()
    limit = time.monotonic() + LOCK_SECONDS
    while found := connection.execute(_OLDER, {"roles": roles, "at": at}).fetchall():
        if time.monotonic() > limit:
            raise NotReadyError(
                "an owner's transaction goes on that began before the names of the tables were reserved",
                expected=f"its end within {LOCK_SECONDS:g} s: it could make a table that another owner's tool makes",
                seen="; ".join(what for (what,) in found[:5]),
                hint=f"end it, or stop the apps: {command('stop db-up wait-db')}",
            )
        time.sleep(_POLL_SECONDS)


def _names(made: Catalog) -> Names:
    """Functions with their arguments, as the catalog knows them, and without, as statements name them."""
    return {(schema, name) for schema, whole in made.relations() for name in (whole, whole.partition("(")[0])}
