"""The stage that runs each owner's tool, and believes only what the catalog says afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from . import catalog
from .boot import Boot
from .catalog import Catalog
from .database import Target, migration_lock
from .errors import GuardError, LogTail, MigrationError, NotReadyError, command
from .outcome import Outcome
from .owners import Owner
from .probes import Failed, Ready

_SHOWN = 20


@dataclass(frozen=True)
class Snapshot:
    """Everything in the database that one owner must leave alone, and its own part."""

    own: Catalog
    foreign: Catalog
    foreign_rows: Mapping[tuple[str, str], int]

    @classmethod
    def take(cls, target: Target, expected: Catalog, once_own: AbstractSet[tuple[str, str]]) -> Snapshot:
        with target.connect() as connection:
            seen = catalog.read(connection)
            foreign = seen.without(expected.relations() | once_own)
            return cls(seen.only(expected.relations()), foreign, catalog.count_rows(connection, foreign.tables()))


def migrate(boot: Boot) -> Outcome:
    """Run every owner's tool under a lock; each must leave exactly its own tables and touch no other's."""
    target = require_database(boot)
    boot.build([owner.settings.service for owner in boot.owners])
    told = []
    with migration_lock(target):
        boot.runtime.stop_one_offs()
        rehearsals = [(owner, owner.rehearse(target)) for owner in boot.owners]
        _refuse_shared_names(rehearsals)
        claimed = {owner.name: expected.relations() for owner, expected in rehearsals}
        for owner, expected in rehearsals:
            others = set().union(*(made for name, made in claimed.items() if name != owner.name))
            if owner.migrator.creates_at_start:
                told.append((f"{owner.name} makes its tables when it starts", True))
            elif boot.quick and not catalog.differences(expected, own_part(target, expected)):
                told.append((f"{owner.name} unchanged", True))
            else:
                told.append((_migrate_owner(boot, owner, expected, target, owner.ever_made() - others), False))
    if not told:
        return Outcome.skipped("no owners in invoke.yaml")
    text = "; ".join(part for part, _ in told)
    return Outcome(text, was_skipped=all(skipped for _, skipped in told))


def _refuse_shared_names(rehearsals: Sequence[tuple[Owner, Catalog]]) -> None:
    owned: dict[tuple[str, str], str] = {}
    for owner, expected in rehearsals:
        for relation in sorted(expected.relations()):
            if relation in owned:
                raise GuardError(
                    f"{owned[relation]} and {owner.name} both make {'.'.join(relation)}",
                    expected="names that belong to one owner: each would take the other's for its own, and change it",
                    seen="the same name in both rehearsals, nothing was touched",
                    hint=f"rename it in {owner.name}, or give {owner.name} a database of its own",
                )
            owned[relation] = owner.name


def _migrate_owner(
    boot: Boot, owner: Owner, expected: Catalog, target: Target, once_own: AbstractSet[tuple[str, str]]
) -> str:
    before = Snapshot.take(target, expected, once_own)
    done = owner.run(owner.settings.migrate)
    claim = owner.migrator.claim(done)
    after = Snapshot.take(target, expected, once_own)

    log = LogTail.of(" ".join(owner.settings.migrate), done.text)
    refuse_losses(f"{owner.name}: {owner.migrator.name}", before, after, log)
    gaps = catalog.differences(expected, after.own)
    if gaps or done.code:
        raise MigrationError(
            f"{owner.name}: {owner.migrator.name} did not finish: {claim.text}",
            expected=f"the {len(expected.tables())} tables it makes on an empty database, and exit code 0",
            seen=f"{len(gaps)} differences, exit code {done.code}"
            + (" (which means nothing)" if not done.code else ""),
            details=_shortened(gaps),
            log=log,
            hint=owner.migrator.hint,
        )
    if not claim.succeeded:
        # drizzle-kit 0.31 tries to drop the sequences of foreign identity keys, is refused, and has done its own work.
        boot.console.note(f"{owner.name}: {owner.migrator.name} said `{claim.text}`, but its tables are complete")
    changed = "migrated" if catalog.differences(before.own, after.own) else "unchanged"
    return f"{owner.name} {changed}, {len(expected.tables())} tables verified"


def refuse_losses(who: str, before: Snapshot, after: Snapshot, log: LogTail) -> None:
    """Raises GuardError with what of the others is gone."""
    losses = foreign_losses(before, after)
    if losses:
        raise GuardError(
            f"{who} changed what is not its own",
            expected="every table of the other owners as it was",
            seen=f"{len(losses)} differences",
            details=_shortened(losses),
            log=log,
            hint="restore what was lost from a backup, then make the tool blind to foreign tables (an app that runs"
            " meanwhile can delete rows too: stop the stack before you migrate)",
        )


def foreign_losses(before: Snapshot, after: Snapshot) -> list[str]:
    """What of the others is gone, changed, or has fewer rows. New things are no loss."""
    rows = before.foreign_rows
    lines = []
    for key, text in sorted(before.foreign.objects.items()):
        now = after.foreign.objects.get(key)
        table = (key.schema, key.relation)
        if now == text:
            if key.kind == "table" and after.foreign_rows.get(table, 0) < rows[table]:
                lines.append(f"- {table[0]}.{table[1]}: {rows[table]} rows before, {after.foreign_rows[table]} now")
        elif key.kind == "table" and now is None:
            lines.append(f"- {table[0]}.{table[1]} ({rows[table]} rows) was dropped")
        elif table not in rows or table in after.foreign_rows:
            lines.append(f"- {key} {text}" + (f" -> {now}" if now is not None else ""))
    return lines


def verify_created_at_start(boot: Boot) -> str:
    """After the apps are healthy: owners that create at start have all their tables. Returns a phrase for the step."""
    made = []
    for owner in boot.owners:
        if not owner.migrator.creates_at_start:
            continue
        target = boot.target()
        expected = rehearsal(owner, target)
        gaps = catalog.differences(expected, own_part(target, expected))
        if gaps:
            raise MigrationError(
                f"{owner.name}: its app is healthy, its tables are not what it makes on an empty database",
                expected=f"its {len(expected.tables())} tables",
                seen=f"{len(gaps)} differences",
                details=_shortened(gaps),
                log=boot.runtime.log_tail(owner.settings.service),
                hint=owner.migrator.hint,
            )
        made.append(f"{len(expected.tables())} tables of {owner.name} verified")
    return ", ".join(made)


def own_part(target: Target, expected: Catalog) -> Catalog:
    """What there is now of what an owner makes."""
    with target.connect() as connection:
        return catalog.read(connection).only(expected.relations())


def require_tables(owner: Owner, target: Target) -> None:
    """Raises NotReadyError when a table of this owner is missing, and names the stage that makes it."""
    expected = rehearsal(owner, target)
    with target.connect() as connection:
        there = catalog.read(connection).tables()
    missing = [".".join(table) for table in expected.tables() if table not in there]
    if missing:
        raise NotReadyError(
            f"{owner.name} has not migrated",
            expected=f"its {len(expected.tables())} tables",
            seen=f"{', '.join(missing)} missing",
            hint=f"migrate first: {command('migrate')}",
            first=("migrate",),
        )


def rehearsal(owner: Owner, target: Target) -> Catalog:
    """What the owner's tool makes; rehearsed now, under the lock, when nobody has since its sources changed."""
    known = owner.rehearsed()
    if known:
        return known
    with migration_lock(target):
        return owner.rehearse(target)


def require_database(boot: Boot) -> Target:
    """The database, if it answers now; otherwise names the stage that makes it do so."""
    target = boot.target()
    look = target.look()
    if isinstance(look, Ready):
        return target
    if isinstance(look, Failed):
        raise look.error
    raise NotReadyError(
        "the database does not answer",
        expected=f"an answer on {target.address}",
        seen=look.seen,
        hint=f"start it first: {command('db-up wait-db')}",
        first=("db-up", "wait-db"),
    )


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])]
