"""The stage that runs each owner's tool as that owner, and believes only what the catalog says afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from . import catalog
from .boot import Boot
from .catalog import Catalog
from .database import Target
from .drift import also_hint, refuse_drift
from .errors import GuardError, MigrationError, NotReadyError, command
from .guard.names import keep_names
from .guard.snapshots import Snapshot, own_losses
from .guard.stage import require_guard
from .migration_lock import MigrationLock
from .outcome import Outcome
from .owners import Owner
from .processes import Completed, at_once
from .records import NO_RECORD, Record, at_work, not_noted_yet, record, recorded
from .terminal import counted
from .trial import Trial, loses_rows
from .waves import Worked, refuse_losses_of_all, seen_by, waves

_INCOMPLETE = "its tables are to be made"
_UNKNOWN = "its tables are there, what its tool says of them is not"


@dataclass(frozen=True)
class _Migration:
    """An owner whose tool is to be run, what it is to come to, and why it is run.

    `fingerprint`: of the owner before it is run. `argv` and `given_up`: the command, and which rows of its own it may
    take. `lacks_base`: whether its base schema is laid first.
    """

    owner: Owner
    expected: Catalog
    fingerprint: str
    cause: str
    argv: Sequence[str] = ()
    given_up: Sequence[str] = ()
    lacks_base: bool = False


class Now:
    """What there is in the owners' databases, each looked at once, when it is first asked for."""

    def __init__(self, stack: Target) -> None:
        self.stack = stack
        self._read: dict[str, Catalog] = {}

    def own_part(self, owner: Owner, expected: Catalog) -> Catalog:
        """What there is of what an owner makes, and is its own; without what was added and does no harm."""
        return owner.as_made(expected, self.all_of(owner))

    def all_of(self, owner: Owner) -> Catalog:
        """What there is of an owner, whoever made it."""
        name = owner.place.database
        if name not in self._read:
            with owner.target(self.stack).connect() as connection:
                self._read[name] = catalog.read(connection)
        return self._read[name].of(owner.place.role)


def migrate(boot: Boot) -> Outcome:
    """Run every owner's tool under a lock; each must leave exactly its own tables and touch no other's."""
    with boot.database() as target:
        require_guard(boot, target)
        boot.build([owner.settings.service for owner in boot.owners])
        with boot.locked(target) as lock:
            done = _migrate_all(boot, target, lock)
    if not done:
        return Outcome.skipped("no owners in invoke.yaml")
    text = "; ".join(done[owner.name].text for owner in boot.owners)
    return Outcome(text, was_skipped=all(outcome.was_skipped for outcome in done.values()))


def _migrate_all(boot: Boot, target: Target, lock: MigrationLock) -> Mapping[str, Outcome]:
    """What became of each owner, by name."""
    boot.runtime.stop_one_offs()
    rehearsals: dict[str, Catalog] = {}
    for wave in waves(boot.owners):
        lock.require()
        made = at_once(boot.processes, wave, lambda owner: owner.rehearse(target))
        rehearsals |= zip((owner.name for owner in wave), made, strict=True)
    refuse_shared_names([(owner, rehearsals[owner.name]) for owner in boot.owners])
    now = Now(target)
    for owner in boot.owners:
        if owner.migrator.creates_at_start:
            refuse_drift(owner.name, rehearsals[owner.name], now.own_part(owner, rehearsals[owner.name]))
            _note_additions(boot, owner, rehearsals[owner.name], now.all_of(owner), target)
    done: dict[str, Outcome] = {}
    for wave in waves(boot.owners):
        done |= _migrate_wave(boot, wave, rehearsals, now, lock)
        if not all(done[owner.name].was_skipped for owner in wave):
            now = Now(target)
    return done


def _migrate_wave(
    boot: Boot, wave: Sequence[Owner], rehearsals: Mapping[str, Catalog], now: Now, lock: MigrationLock
) -> Mapping[str, Outcome]:
    """What became of each owner, by name. Those of the wave whose tools are to be run are run at the same time."""
    outcomes: dict[str, Outcome] = {}
    to_do: list[_Migration] = []
    records = recorded(now.stack, "migration")
    there = {owner.name: now.own_part(owner, rehearsals[owner.name]) for owner in wave}
    for owner in wave:
        expected = rehearsals[owner.name]
        complete = not catalog.differences(expected, there[owner.name])
        last = records.get(owner.name, NO_RECORD)
        why = _why_not(boot, owner, last, complete=complete, waited_for=lock.waited_for)
        if why:
            if owner.migrator.creates_at_start:
                owner.lay_base_once(now.stack)
            outcomes[owner.name] = Outcome.skipped(f"{owner.name} {why}")
            if complete:
                _note_additions(boot, owner, expected, now.all_of(owner), now.stack)
        else:
            cause = _UNKNOWN if complete else _INCOMPLETE
            to_do.append(
                _Migration(owner, expected, owner.fingerprint(), cause, lacks_base=owner.lacks_base(now.stack))
            )
    if not to_do:
        return outcomes
    owners = [migration.owner for migration in to_do]
    keep_names(now.stack, list(boot.places.values()), rehearsals)
    before = seen_by(owners, now.stack, boot.logins)
    # One after another: a clone can only be made of a database that nobody is connected to.
    migrations = [_with_command(boot, migration, before[migration.owner.name], now.stack) for migration in to_do]
    lock.require()
    with at_work(now.stack, [owner.place.role for owner in owners]):
        done = at_once(boot.processes, migrations, lambda migration: _run(boot, migration))
    lock.require()
    # When no tool is at work any more: the catalog stands still.
    after = seen_by(owners, now.stack, boot.logins, before)
    worked = [
        _worked(migration, completed, before, after) for migration, completed in zip(migrations, done, strict=True)
    ]
    refuse_losses_of_all(worked)
    for migration, completed, its in zip(migrations, done, worked, strict=True):
        name = migration.owner.name
        with boot.timeline.span(f"verify {name}", "verify") as span:
            span.text = _verified(boot, migration, completed, its, now.stack)
        _note_additions(boot, migration.owner, migration.expected, its.after.own, now.stack)
        outcomes[name] = Outcome.done(span.text)
        lock.require()
        migration.owner.note_base(now.stack)
        record(now.stack, "migration", name, migration.fingerprint)
    return outcomes


def _worked(
    migration: _Migration, done: Completed, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]
) -> Worked:
    owner, log = migration.owner, migration.owner.log_tail(migration.argv, done)
    who = f"{owner.name}: {owner.migrator.name}"
    return Worked(owner, who, log, before[owner.name], after[owner.name], migration.given_up)


def _why_not(boot: Boot, owner: Owner, last: Record, *, complete: bool, waited_for: str) -> str:
    """Why its tool is not run, if it is not; whether its tables are `complete` says the catalog."""
    if owner.migrator.creates_at_start:
        return "makes its tables when it starts"
    is_recorded = complete and last.fingerprint != "" and last.fingerprint == owner.fingerprint()
    if is_recorded and waited_for:
        return f"done by {last.by}"
    return "unchanged" if (complete and boot.quick) or (is_recorded and boot.skips_unchanged) else ""


def _run(boot: Boot, migration: _Migration) -> Completed:
    with boot.timeline.span(f"migrate {migration.owner.name}", "owner", cause=migration.cause):
        if migration.lacks_base:
            migration.owner.lay_base(migration.owner.target(boot.target()))
            boot.console.note(f"{migration.owner.name}: its base schema was laid")
        return migration.owner.run(migration.argv)


def _verified(boot: Boot, migration: _Migration, done: Completed, worked: Worked, stack: Target) -> str:
    """What it came to, as the catalog says. Raises MigrationError for what lacks."""
    owner, expected, after = migration.owner, migration.expected, worked.after
    claim = owner.migrator.claim(done)
    own = owner.as_made(expected, after.own)
    gaps = catalog.differences(expected, own)
    if gaps or done.code:
        readers = owner.readers(stack, gaps)
        raise MigrationError(
            f"{owner.name}: {owner.migrator.name} did not finish: {claim.text}",
            expected=f"the {catalog.described(expected)} it makes on an empty database, and exit code 0",
            seen=f"{counted(len(gaps), 'difference')}, exit code {done.code}"
            + (" (which means nothing)" if not done.code else ""),
            details=catalog.shortened([*gaps, *readers.lines]),
            log=worked.log,
            hint=readers.hint or also_hint(owner.name, expected, own) or owner.hint(migration.argv, done),
        )
    if not claim.succeeded:
        # drizzle-kit 0.31 tries to drop the sequences of foreign identity keys, is refused, and has done its own work.
        boot.console.note(f"{owner.name}: {owner.migrator.name} said `{claim.text}`, but its tables are complete")
    changed = "migrated" if catalog.differences(worked.before.own, after.own) else "unchanged"
    return f"{owner.name} {changed}, {catalog.described(expected)} verified"


def _note_additions(boot: Boot, owner: Owner, expected: Catalog, own: Catalog, stack: Target) -> None:
    """Say what an owner has beside what its tool makes, once: the database remembers what was said."""
    also = owner.settings.also
    _, added = catalog.without_additions(expected, own, also)
    things = {f"{key} {own.objects[key]}".rstrip(): key for key in [*added, *catalog.beyond(expected, own, also)]}
    if new := not_noted_yet(stack, owner.name, list(things)):
        names = ", ".join(catalog.shortened([str(things[thing]) for thing in new]))
        boot.console.note(
            f"{owner.name} also has {names}, which its tool does not make (any more): left alone, and not said again;"
            f" `owners.{owner.name}.also` lists what is meant to be there"
        )


def _with_command(boot: Boot, migration: _Migration, before: Snapshot, stack: Target) -> _Migration:
    """The owner's command, tried on a clone first where rows of its own are at stake; there is no other force."""
    owner, expected = migration.owner, migration.expected
    plain = replace(migration, argv=owner.settings.migrate)
    tried = _tried(boot, owner, expected, before, stack)
    if tried is None:
        return plain
    trial, losses = tried
    given_up = own_losses(trial.before, trial.after)
    if not losses:
        return replace(plain, given_up=given_up)
    for line in losses:
        boot.console.note(f"{owner.name}, accepted: {line.removeprefix('- ')}")
    return replace(migration, argv=owner.migrator.forced(owner.settings.migrate), given_up=given_up)


def refuse_lost_rows(boot: Boot, owner: Owner, expected: Catalog, stack: Target) -> None:
    """Raises MigrationError where the owner's tool would take rows that are not given up. Changes nothing."""
    if not boot.accept_data_loss:
        _tried(boot, owner, expected, owner.look(owner.target(stack)), stack)


def _tried(
    boot: Boot, owner: Owner, expected: Catalog, before: Snapshot, stack: Target
) -> tuple[Trial, Sequence[str]] | None:
    """Try an owner's command on a clone. Returns what it would lose, too; None where no row of its own is at stake.

    Raises MigrationError where it would take rows that are not given up, or take them and fail.
    """
    # Rows that are not known are at stake, too.
    if all(count == 0 for count in before.own_rows.values()) or not catalog.differences(
        expected, before.own.only(expected.relations())
    ):
        return None
    with boot.timeline.span(f"try {owner.name}", "owner", cause="rows of its own are at stake"):
        tried = Trial.run(owner, stack)
    losses = tried.losses(owner, stack)
    if losses and (gaps := catalog.differences(expected, owner.as_made(expected, tried.after.own))):
        raise _fails_and_loses(owner, tried, losses, gaps, stack)
    if losses and not boot.accept_data_loss:
        raise loses_rows(owner.name, losses)
    return tried, losses


def _fails_and_loses(
    owner: Owner, tried: Trial, losses: Sequence[str], gaps: Sequence[str], stack: Target
) -> MigrationError:
    """The error of a migration that would take rows, and not come to its end even so."""
    readers = owner.readers(stack, gaps)
    return MigrationError(
        f"{owner.name}: {owner.migrator.name} would lose rows and not finish: {owner.migrator.claim(tried.done).text}",
        expected="a migration that keeps every row, and makes its tables (it was tried on a clone)",
        seen=f"{counted(len(losses), 'loss', 'losses')}, {counted(len(gaps), 'difference')}; nothing was touched",
        details=catalog.shortened([*losses, *gaps, *readers.lines]),
        log=owner.log_tail(owner.settings.migrate, tried.done),
        hint=readers.hint or owner.hint(owner.settings.migrate, tried.done),
        goes_on=False,
    )


def refuse_shared_names(rehearsals: Sequence[tuple[Owner, Catalog]]) -> None:
    """Raises GuardError where two owners make something of the same name in the same place."""
    owned: dict[tuple[str, ...], str] = {}
    for owner, expected in rehearsals:
        for relation in sorted(expected.relations()):
            place = (owner.place.database, *relation)
            if place in owned:
                raise GuardError(
                    f"{owned[place]} and {owner.name} both make {'.'.join(relation)}",
                    expected="names that belong to one owner: each would take the other's for its own",
                    seen="the same name in both rehearsals, nothing was touched",
                    hint=f"rename it in {owner.name}, or keep the two apart: `layout: schemas`, or, where both of their"
                    " tools keep to one schema, `layout: databases`",
                )
            owned[place] = owner.name


def verify_created_at_start(boot: Boot) -> str:
    """After the apps are healthy: every owner has all that its tool makes. Returns a phrase for the step."""
    made = []
    now = Now(boot.target())
    for owner in boot.owners:
        expected = owner.rehearsal(now.stack)
        there = now.own_part(owner, expected)
        if owner.migrator.creates_at_start:
            refuse_drift(owner.name, expected, there)
        gaps = catalog.differences(expected, there)
        if gaps:
            raise MigrationError(
                f"{owner.name}: its tables are not what its tool makes on an empty database",
                expected=f"its {catalog.described(expected)}, when all apps are healthy",
                seen=counted(len(gaps), "difference"),
                details=catalog.shortened(gaps),
                log=boot.runtime.log_tail(owner.settings.service),
                hint=owner.migrator.hint,
            )
        if owner.migrator.creates_at_start:
            made.append(f"{catalog.described(expected)} of {owner.name} verified")
            _note_additions(boot, owner, expected, now.all_of(owner), now.stack)
    return ", ".join(made)


def _found(owner: Owner, made: Catalog, target: Target) -> set[tuple[str, str]]:
    """The tables of an owner; of one that makes none, all that it has, which takes longer to ask."""
    if made.tables():
        return owner.tables(target)
    with owner.target(target).connect() as connection:
        return catalog.read(connection).of(owner.place.role).relations()


def missing_tables(owners: Sequence[Owner], made: Mapping[str, Catalog], target: Target) -> Mapping[str, Sequence[str]]:
    """Return, by owner, the tables that its tool makes and that are not there; nothing of an owner that has all."""
    with target.kept():
        found = {owner.name: _found(owner, made[owner.name], target) for owner in owners}
    missing = {}
    for owner in owners:
        wanted = made[owner.name].tables() or sorted(made[owner.name].relations())
        missing[owner.name] = [".".join(one) for one in wanted if one not in found[owner.name]]
    return {name: tables for name, tables in missing.items() if tables}


def require_tables(owners: Sequence[Owner], target: Target) -> None:
    """Raises NotReadyError when a table of one of them is missing, and names the stage that makes it."""
    made = {owner.name: owner.rehearsal(target) for owner in owners}
    for name, missing in missing_tables(owners, made, target).items():
        raise NotReadyError(
            f"{name} has not migrated",
            expected=f"its {catalog.described(made[name])}",
            seen=f"{', '.join(missing)} missing",
            hint=f"migrate first: {command('migrate')}",
            first=("migrate",),
        )
