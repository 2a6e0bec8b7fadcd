"""Reaching the database by hand, as an owner or as the tasks do; and every table in it, with whose it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from urllib.parse import quote

import psycopg

from .boot import Boot
from .database import Target
from .errors import MachineError, NotReadyError, SettingsError, command
from .places import Place
from .rows import Counts, count_rows
from .settings import unknown

_TABLES = """
    select n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, pg_total_relation_size(c.oid)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                      and d.deptype = 'e')
    order by 1, 2
"""


@dataclass(frozen=True)
class Table:
    """`state`: `missing` where an owner's tool makes it and it is not there, `unowned` where no owner has it.

    Where another layout has it: `is in public`. `rows`: None where they are not known: they are counted as the owner,
    and what is unowned is not read.
    """

    owner: str | None
    database: str
    schema: str
    name: str
    rows: int | None
    bytes: int | None
    state: str = ""

    def as_data(self) -> dict[str, object]:
        return asdict(self)


def place_of(boot: Boot, owner: str, *, as_superuser: bool) -> Place | None:
    """Return where this owner lives: the only one where no name is given; None for the tasks' superuser.

    Only where that is asked for: it may do everything. Asks nothing but the settings.
    """
    if as_superuser and owner:
        raise SettingsError("--as and --as-superuser at once", hint="give one of the two")
    if as_superuser:
        return None
    if owner and owner not in boot.places:
        raise unknown("owner", owner, boot.places)
    if not owner and len(boot.places) != 1:
        raise SettingsError(
            "which owner is meant?" if boot.places else "this stack has no owners",
            expected=" or ".join([*(f"--as {name}" for name in boot.places), "--as-superuser"]),
            hint="say as whom to connect; as a superuser, one wrong statement reaches every owner's tables",
        )
    return boot.places[owner or next(iter(boot.places))]


def target_as(boot: Boot, owner: str, *, as_superuser: bool) -> Target:
    """The database as this owner reaches it from this machine, see `place_of`."""
    place = place_of(boot, owner, as_superuser=as_superuser)
    target = boot.target()
    if place is None:
        return target
    return replace(target, name=place.database).as_role(place.role, boot.secret(place.password))


def url(boot: Boot, owner: str, *, as_superuser: bool = False) -> str:
    """With the password: for tools that are run by hand."""
    target = target_as(boot, owner, as_superuser=as_superuser)
    user, password = quote(target.user, safe=""), quote(target.password, safe="")
    return f"postgresql://{user}:{password}@{target.address}/{quote(target.name, safe='')}"


def shell(boot: Boot, owner: str, statement: str, *, as_superuser: bool = False) -> int:
    """psql on this terminal, or one statement of it. Returns its exit code."""
    place_of(boot, owner, as_superuser=as_superuser)
    boot.require_database()
    target = target_as(boot, owner, as_superuser=as_superuser)
    # Not as arguments: psql would read a database `a=b` as more than a name, and passwords show in process lists.
    given = {"PGUSER": target.user, "PGPASSWORD": target.password, "PGDATABASE": target.name}
    if as_superuser:
        # Names of PostgreSQL only: what an owner made is reached by its schema, and not by accident.
        given["PGOPTIONS"] = "-c search_path="
        boot.console.say(
            f"warning: {target.user} is a superuser: a query on an owner's table runs that owner's code with all rights"
            f" (index expressions, views, policies); use {command('psql --as OWNER')}"
        )
    argv, environment = boot.runtime.psql(boot.settings.database.service, given)
    arguments = ["--command", statement] if statement else []
    try:
        return subprocess.run([*argv, *arguments], env={**os.environ, **environment}, check=False).returncode
    except FileNotFoundError:
        raise MachineError(
            "there is no psql", expected=f"`{argv[0]}`", hint="install PostgreSQL's client (Debian: postgresql-client)"
        ) from None


def tables(boot: Boot) -> list[Table]:
    """Every table of every database of the stack, by owner; then what is unowned."""
    stack = boot.require_database()
    owners = {place.role: place.owner for place in boot.places.values()}
    found = []
    for database in dict.fromkeys([*(place.database for place in boot.places.values()), stack.name]):
        target = replace(stack, name=database)
        with target.kept(), target.connect() as connection:
            rows = connection.execute(_TABLES).fetchall()
            counts = _counts(boot, target, [(schema, name) for schema, name, *_ in rows])
        for schema, name, role, size in rows:
            owner = owners.get(role)
            state = "" if owner else "unowned"
            found.append(Table(owner, database, schema, name, counts.get((schema, name)), size, state))
    there = {(table.owner, table.name): table for table in found}
    at_home = {(table.owner, table.database, table.schema, table.name) for table in found}
    for one in boot.owners:
        expected, database = one.rehearsed(), one.place.database
        for schema, name in expected.tables() if expected else []:
            if (one.name, database, schema, name) not in at_home:
                its = there.get((one.name, name))
                where = its and (its.schema if its.database == database else f"{its.database}.{its.schema}")
                state = f"is in {where}" if where else "missing"
                found.append(Table(one.name, database, schema, name, None, None, state))
    order = {name: position for position, name in enumerate(boot.places)}
    return sorted(found, key=lambda table: (order.get(table.owner or "", len(order)), table.schema, table.name))


def _counts(boot: Boot, target: Target, tables: Sequence[tuple[str, str]]) -> Counts:
    """The rows that can be counted: before the guard is in place, owners may not be able to connect."""
    try:
        return count_rows(target, tables, boot.logins, lambda line: boot.console.say(f"note: {line}"))
    except (psycopg.OperationalError, NotReadyError, SettingsError) as error:
        boot.console.say(f"note: rows are not known: {' '.join(str(error).split())}")
        return {}


def sized(size: int | None) -> str:
    """For people: `24 kB`."""
    if size is None:
        return "-"
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1024 and len(units) > 1:  # noqa: PLR2004
        number /= 1024
        units.pop(0)
    return f"{number:.0f} {units[0]}"
