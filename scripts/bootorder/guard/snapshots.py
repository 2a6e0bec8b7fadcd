"""What of a database is one owner's and what is everybody else's, before and after something was run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .. import catalog
from ..catalog import Catalog
from ..database import Target
from ..errors import GuardError, LogTail

Table = tuple[str, str]

# Of this database only: who is connected to another one changes nothing here.
_BUSY = """
    select distinct usename::text from pg_stat_activity where datname = current_database() and usename is not null
"""


@dataclass(frozen=True)
class Seen:
    """A database as it was: its catalog, how many rows each table had, and which roles were connected."""

    catalog: Catalog
    rows: Mapping[Table, int]
    busy: frozenset[str]

    @classmethod
    def look(cls, target: Target) -> Seen:
        with target.connect() as connection:
            seen = catalog.read(connection)
            rows = catalog.count_rows(connection, seen.tables())
            busy = connection.execute(_BUSY)
            return cls(seen, rows, frozenset(str(role) for (role,) in busy))

    def of(self, role: str, beside: Collection[str] = ()) -> Snapshot:
        """One owner's view. `beside`: roles whose tools are at work at the same time; theirs is not looked at."""
        own = self.catalog.of(role)
        passed_by = {relation for other in {role, *beside} for relation in self.catalog.of(other).relations()}
        foreign = self.catalog.without(passed_by)
        mine, others = set(own.tables()), set(foreign.tables())
        return Snapshot(
            own,
            foreign,
            {table: count for table, count in self.rows.items() if table in mine},
            {table: count for table, count in self.rows.items() if table in others},
            self.busy,
        )


@dataclass(frozen=True)
class Snapshot:
    """One owner's part of a database and all that it must leave alone; whose a thing is says the catalog.

    `busy`: the roles that were connected, whose apps change rows of their own meanwhile.
    """

    own: Catalog
    foreign: Catalog
    own_rows: Mapping[Table, int]
    foreign_rows: Mapping[Table, int]
    busy: frozenset[str] = frozenset()

    @classmethod
    def take(cls, target: Target, role: str) -> Snapshot:
        return Seen.look(target).of(role)


def refuse_losses(who: str, before: Snapshot, after: Snapshot, log: LogTail) -> None:
    """Raises GuardError with what of the others is gone."""
    losses = foreign_losses(before, after)
    if losses:
        raise GuardError(
            f"{who} changed what is not its own",
            expected="everything of the other owners as it was",
            seen=f"{len(losses)} differences",
            details=catalog.shortened(losses),
            log=log,
            hint="restore what was lost from a backup, then make the tool blind to foreign tables",
        )


def foreign_losses(before: Snapshot, after: Snapshot) -> list[str]:
    """What of the others is gone, changed, or has fewer rows. New things are no loss.

    Rows of an owner whose app is connected are not compared: the app may delete its own.
    """
    lines = []
    for key, text in sorted(before.foreign.objects.items()):
        now, table = after.foreign.objects.get(key), (key.schema, key.relation)
        if now == text:
            continue
        if key.kind == "owner" and now is None:
            continue  # said by what it is the owner of
        if key.kind == "table":
            lines.append(f"- {'.'.join(table)} ({_rows(before.foreign_rows[table])}) was dropped")
        elif table not in before.foreign_rows or table in after.foreign_rows:
            lines.append(f"- {key} {text}" + (f" -> {now}" if now is not None else ""))
    owners = {(key.schema, key.relation): role for key, role in before.foreign.objects.items() if key.kind == "owner"}
    for table, count in sorted(before.foreign_rows.items()):
        left = after.foreign_rows.get(table, count)
        if left < count and owners.get(table, "") not in before.busy | after.busy:
            lines.append(f"- {'.'.join(table)}: {count} rows before, {left} now")
    return lines


def own_losses(before: Snapshot, after: Snapshot) -> list[str]:
    """What of the owner's own rows would be gone: dropped tables and columns that hold some, and rows deleted."""
    lines = []
    for key in sorted(before.own.objects):
        table = (key.schema, key.relation)
        count = before.own_rows.get(table, 0)
        if not count or key.kind not in {"table", "column"} or key in after.own.objects:
            continue
        if key.kind == "table":
            lines.append(f"- {'.'.join(table)} ({_rows(count)}) would be lost")
        elif table in after.own_rows:
            lines.append(f"- {'.'.join(table)}.{key.name} (in {_rows(count)}) would be lost")
    for table, count in sorted(before.own_rows.items()):
        if table in after.own_rows and after.own_rows[table] < count:
            lines.append(f"- {'.'.join(table)}: {_rows(count - after.own_rows[table])} of {count} would be lost")
    return lines


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
