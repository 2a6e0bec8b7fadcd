"""What of a database is one owner's and what is everybody else's, before and after something was run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import catalog
from ..catalog import Catalog
from ..database import Target, me
from ..errors import GuardError, LogTail
from ..rows import Counts, Logins, Table, Writes, count_rows, wait_for_sessions, writes
from ..terminal import counted

# Of this database only: who is connected to another one changes nothing here. Not the tasks' own looks as an owner.
_BUSY = """
    select distinct usename::text from pg_stat_activity
    where datname = current_database() and usename is not null and application_name <> %s
"""
_SEQUENCES = """
    select n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, pg_sequence_last_value(c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_sequence s on s.seqrelid = c.oid
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder') and not s.seqcycle
"""


class Sequence(NamedTuple):
    """Its owner's role, and its last value; None before its first."""

    role: str
    value: int | None


Sequences = Mapping[Table, Sequence]


@dataclass(frozen=True)
class Seen:
    """A database as it was: its catalog, rows and sequences, and which roles were connected."""

    catalog: Catalog
    rows: Counts
    writes: Mapping[Table, Writes]
    sequences: Sequences
    busy: frozenset[str]
    at: object = None  # the server's time

    @classmethod
    def look(cls, target: Target, logins: Logins, since: object = None) -> Seen:
        """`since`: the time of a look before; what was begun since then is over, or goes on as an app does."""
        with target.kept(), target.connect() as connection:
            if since:
                wait_for_sessions(connection, [target.name], since)
            [(at,)] = connection.execute("select clock_timestamp()").fetchall()
            seen = catalog.read(connection)
            busy = frozenset(str(role) for (role,) in connection.execute(_BUSY, [me()]))
            sequences = {(schema, name): Sequence(*its) for schema, name, *its in connection.execute(_SEQUENCES)}
            rows = count_rows(target, seen.tables(), logins)
            return cls(seen, rows, writes(connection), sequences, busy, at)

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
            {table: its for table, its in self.writes.items() if table in others},
            {name: its for name, its in self.sequences.items() if its.role not in {role, *beside}},
            self.busy,
            self.at,
        )


@dataclass(frozen=True)
class Snapshot:
    """One owner's part of a database and all that it must leave alone; whose a thing is says the catalog.

    `busy`: the roles that were connected, whose apps change rows of their own meanwhile.
    """

    own: Catalog
    foreign: Catalog
    own_rows: Counts
    foreign_rows: Counts
    foreign_writes: Mapping[Table, Writes] = field(default_factory=dict)
    foreign_sequences: Sequences = field(default_factory=dict)
    busy: frozenset[str] = frozenset()
    at: object = None


def refuse_losses(who: str, before: Snapshot, after: Snapshot, log: LogTail) -> None:
    """Raises GuardError with what of the others is gone."""
    losses = foreign_losses(before, after)
    if losses:
        raise GuardError(
            f"{who} changed what is not its own",
            expected="everything of the other owners as it was",
            seen=counted(len(losses), "difference"),
            details=catalog.shortened(losses),
            log=log,
            hint="restore what was lost from a backup, then restrict the tool to its own tables",
        )


def foreign_losses(before: Snapshot, after: Snapshot) -> list[str]:
    """What of the others is gone, changed, has fewer rows, or counts from an earlier number. New things are no loss.

    Rows and sequences of an owner whose app is connected are not compared: the app may delete its own.
    """
    busy = before.busy | after.busy
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
        if _is_less(left, count) and owners.get(table, "") not in busy:
            lines.append(f"- {'.'.join(table)}: {count} rows before, {left} now")
        if count is None and owners.get(table, "") not in busy:
            lines += _deleted(table, before.foreign_writes.get(table), after.foreign_writes.get(table))
    return [*lines, *_set_back(before.foreign_sequences, after.foreign_sequences, busy)]


def _set_back(before: Sequences, after: Sequences, busy: Collection[str]) -> Iterator[str]:
    """A line for each sequence that would give again what it gave before."""
    for name, (role, value) in sorted(before.items()):
        now = after.get(name)
        if value is not None and now and (now.value is None or now.value < value) and role not in busy:
            yield f"- sequence {'.'.join(name)}: was at {value}, is at {now.value or 'its start'}"


def _deleted(table: Table, before: Writes | None, after: Writes | None) -> list[str]:
    """A line where rows of a table were deleted that cannot be counted, as the server's statistics say."""
    if before is None or after is None:
        return []
    if after.file != before.file:
        return [f"- {'.'.join(table)}: its rows were removed, or written anew"]
    if after.deleted > before.deleted:
        return [f"- {'.'.join(table)}: {counted(after.deleted - before.deleted, 'row')} deleted"]
    return []


def dropped_columns(before: Snapshot, after: Snapshot) -> list[tuple[Table, str]]:
    """Return the columns that are gone of tables that are still there."""
    return [
        ((key.schema, key.relation), key.name)
        for key in sorted(before.own.objects)
        if key.kind == "column" and key not in after.own.objects and (key.schema, key.relation) in after.own_rows
    ]


def own_losses(before: Snapshot, after: Snapshot, values: Mapping[tuple[Table, str], int] | None = None) -> list[str]:
    """What of the owner's own rows would be gone: dropped tables and columns that hold some, and rows deleted.

    `values`: how many rows have one in the dropped columns, where that was counted.
    """
    lines = []
    for key in sorted(before.own.objects):
        table = (key.schema, key.relation)
        count = before.own_rows.get(table, 0)
        if count == 0 or key.kind not in {"table", "column"} or key in after.own.objects:
            continue
        if key.kind == "table":
            lines.append(f"- {'.'.join(table)} ({_rows(count)}) would be lost")
        elif table in after.own_rows:
            count = (values or {}).get((table, key.name), count)
            if count == 0:
                continue
            lines.append(f"- {'.'.join(table)}.{key.name} (in {_rows(count)}) would be lost")
    for table, count in sorted(before.own_rows.items()):
        left = after.own_rows.get(table, count)
        if count is not None and left is not None and left < count:
            lines.append(f"- {'.'.join(table)}: {_rows(count - left)} of {count} would be lost")
    return lines


def _is_less(now: int | None, before: int | None) -> bool:
    return now is not None and before is not None and now < before


def _rows(count: int | None) -> str:
    return "rows not known" if count is None else counted(count, "row")
