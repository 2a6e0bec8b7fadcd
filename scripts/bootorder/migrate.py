"""The stage that runs each owner's tool as that owner, and believes only what the catalog says afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from . import catalog
from .boot import Boot
from .catalog import Catalog
from .database import Target
from .drift import refuse_drift
from .errors import GuardError, LogTail, MigrationError, NotReadyError, command
from .guard.snapshots import Snapshot, own_losses, refuse_losses
from .guard.stage import require_guard
from .outcome import Outcome
from .owners import Owner
from .processes import Completed
from .records import record, recorded
from .terminal import counted
from .trial import Trial, loses_rows
from .waves import at_once, waves


@dataclass(frozen=True)
class _Migration:
    """An owner's tool, as it is to be run on what there is. `before`: what must be as it was afterwards."""

    owner: Owner
    expected: Catalog
    before: Snapshot
    argv: Sequence[str]
    cause: str


def migrate(boot: Boot) -> Outcome:
    """Run every owner's tool under a lock; each must leave exactly its own tables and touch no other's."""
    target = boot.require_database()
    require_guard(boot, target)
    boot.build([owner.settings.service for owner in boot.owners])
    told: dict[str, Outcome] = {}
    with boot.locked(target) as waited_for:
        boot.runtime.stop_one_offs()
        rehearsals: dict[str, Catalog] = {}
        for wave in waves(boot.owners):
            made = at_once(boot, wave, lambda owner: owner.rehearse(target))
            rehearsals |= zip((owner.name for owner in wave), made, strict=True)
        refuse_shared_names([(owner, rehearsals[owner.name]) for owner in boot.owners])
        for owner in boot.owners:
            if owner.migrator.creates_at_start:
                refuse_drift(owner.name, rehearsals[owner.name], own_part(owner, target, rehearsals[owner.name]))
        for wave in waves(boot.owners):
            told |= _migrate_wave(boot, wave, rehearsals, target, waited_for)
    if not told:
        return Outcome.skipped("no owners in invoke.yaml")
    text = "; ".join(told[owner.name].text for owner in boot.owners)
    return Outcome(text, was_skipped=all(outcome.was_skipped for outcome in told.values()))


def _migrate_wave(
    boot: Boot, wave: Sequence[Owner], rehearsals: Mapping[str, Catalog], target: Target, waited_for: str
) -> Mapping[str, Outcome]:
    """What became of each owner, by name. Those of the wave whose tools are to be run are run at the same time."""
    told: dict[str, Outcome] = {}
    to_do = []
    for owner in wave:
        expected = rehearsals[owner.name]
        complete = not catalog.differences(expected, own_part(owner, target, expected))
        why = _why_not(boot, owner, target, complete=complete, waited_for=waited_for)
        if why:
            told[owner.name] = Outcome.skipped(f"{owner.name} {why}")
        else:
            to_do.append((owner, complete))
    beside = [owner.place.role for owner, _ in to_do]
    migrations = [
        _prepare(boot, owner, rehearsals[owner.name], target, beside, complete=complete) for owner, complete in to_do
    ]
    done = at_once(boot, migrations, lambda migration: _run(boot, migration))
    # One after another, when no tool is at work any more: the catalog stands still.
    for migration, completed in zip(migrations, done, strict=True):
        owner = migration.owner
        with boot.timeline.span(f"verify {owner.name}", "verify") as span:
            span.text = _verified(boot, migration, completed, owner.target(target))
        told[owner.name] = Outcome.done(span.text)
        record(target, "migration", owner.name, owner.fingerprint())
    return told


def _why_not(boot: Boot, owner: Owner, target: Target, *, complete: bool, waited_for: str) -> str:
    """Why its tool is not run, if it is not; whether its tables are `complete` says the catalog."""
    if owner.migrator.creates_at_start:
        return "makes its tables when it starts"
    fingerprint, by = recorded(target, "migration", owner.name)
    is_recorded = complete and fingerprint != "" and fingerprint == owner.fingerprint()
    if is_recorded and waited_for:
        return f"done by {by}"
    return "unchanged" if (complete and boot.quick) or (is_recorded and boot.skips_unchanged) else ""


def _prepare(
    boot: Boot, owner: Owner, expected: Catalog, stack: Target, beside: Collection[str], *, complete: bool
) -> _Migration:
    """One after another: a clone can only be made of a database that nobody is connected to."""
    target = owner.target(stack)
    before = Snapshot.take(target, owner.place.role, beside)
    cause = "its tables are there, what its tool says of them is not" if complete else "its tables are to be made"
    return _Migration(owner, expected, before, _command(boot, owner, expected, before, target), cause)


def _run(boot: Boot, migration: _Migration) -> Completed:
    with boot.timeline.span(f"migrate {migration.owner.name}", "owner", cause=migration.cause):
        return migration.owner.run(migration.argv)


def _verified(boot: Boot, migration: _Migration, done: Completed, target: Target) -> str:
    """What it came to, as the catalog says. Raises GuardError for what others lost, MigrationError for what lacks."""
    owner, expected, before = migration.owner, migration.expected, migration.before
    claim = owner.migrator.claim(done)
    after = Snapshot.take(target, owner.place.role, before.beside)
    log = LogTail.of(" ".join(migration.argv), done.text)
    refuse_losses(f"{owner.name}: {owner.migrator.name}", before, after, log)
    own = after.own.only(expected.relations())
    gaps = catalog.differences(expected, own)
    if gaps or done.code:
        raise MigrationError(
            f"{owner.name}: {owner.migrator.name} did not finish: {claim.text}",
            expected=f"the {len(expected.tables())} tables it makes on an empty database, and exit code 0",
            seen=f"{len(gaps)} differences, exit code {done.code}"
            + (" (which means nothing)" if not done.code else ""),
            details=catalog.shortened(gaps),
            log=log,
            hint=done.hint(owner.migrator.hint),
        )
    if not claim.succeeded:
        # drizzle-kit 0.31 tries to drop the sequences of foreign identity keys, is refused, and has done its own work.
        boot.console.note(f"{owner.name}: {owner.migrator.name} said `{claim.text}`, but its tables are complete")
    left = sorted(set(after.own.tables()) - set(expected.tables()))
    if left:
        names = ", ".join(".".join(table) for table in left)
        boot.console.note(f"{owner.name} also owns {names}, which its tool does not make (any more): left alone")
    changed = "migrated" if catalog.differences(before.own, after.own) else "unchanged"
    return f"{owner.name} {changed}, {counted(len(expected.tables()), 'table')} verified"


def _command(boot: Boot, owner: Owner, expected: Catalog, before: Snapshot, target: Target) -> Sequence[str]:
    """The owner's command, tried on a clone first where rows of its own are at stake; there is no other force."""
    argv = owner.settings.migrate
    if not any(before.own_rows.values()) or not catalog.differences(expected, before.own.only(expected.relations())):
        return argv
    with boot.timeline.span(f"try {owner.name}", "owner", cause="rows of its own are at stake"):
        tried = Trial.run(owner, target)
    losses = own_losses(tried.before, tried.after)
    if not losses:
        return argv
    if not boot.accept_data_loss:
        raise loses_rows(owner.name, losses)
    for line in losses:
        boot.console.note(f"{owner.name}, accepted: {line.removeprefix('- ')}")
    return owner.migrator.forced(argv)


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
                    hint=f"rename it in {owner.name}, or give each owner a schema: `layout: schemas`",
                )
            owned[place] = owner.name


def verify_created_at_start(boot: Boot) -> str:
    """After the apps are healthy: every owner has all that its tool makes. Returns a phrase for the step."""
    made = []
    for owner in boot.owners:
        target = boot.target()
        expected = owner.rehearsal(target)
        there = own_part(owner, target, expected)
        if owner.migrator.creates_at_start:
            refuse_drift(owner.name, expected, there)
        gaps = catalog.differences(expected, there)
        if gaps:
            raise MigrationError(
                f"{owner.name}: its tables are not what its tool makes on an empty database",
                expected=f"its {len(expected.tables())} tables, when all apps are healthy",
                seen=f"{len(gaps)} differences",
                details=catalog.shortened(gaps),
                log=boot.runtime.log_tail(owner.settings.service),
                hint=owner.migrator.hint,
            )
        if owner.migrator.creates_at_start:
            made.append(f"{counted(len(expected.tables()), 'table')} of {owner.name} verified")
    return ", ".join(made)


def own_part(owner: Owner, stack: Target, expected: Catalog) -> Catalog:
    """What there is now of what an owner makes, and is its own."""
    with owner.target(stack).connect() as connection:
        return catalog.read(connection).of(owner.place.role).only(expected.relations())


def require_tables(owner: Owner, target: Target) -> None:
    """Raises NotReadyError when a table of this owner is missing, and names the stage that makes it."""
    expected = owner.rehearsal(target)
    there = set(own_part(owner, target, expected).tables())
    missing = [".".join(table) for table in expected.tables() if table not in there]
    if missing:
        raise NotReadyError(
            f"{owner.name} has not migrated",
            expected=f"its {len(expected.tables())} tables",
            seen=f"{', '.join(missing)} missing",
            hint=f"migrate first: {command('migrate')}",
            first=("migrate",),
        )
