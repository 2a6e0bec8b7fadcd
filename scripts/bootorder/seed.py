"""The stage that runs each owner's seed once; the database remembers it, so an empty volume starts from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import catalog
from .boot import Boot
from .database import Target
from .errors import LogTail, MigrationError, command
from .guard.stage import require_guard
from .migrate import require_tables
from .outcome import Outcome
from .owners import Owner
from .processes import Completed, at_once
from .records import NO_RECORD, Record, record, recorded
from .waves import Worked, refuse_losses_of_all, seen_by, waves


@dataclass(frozen=True)
class _Seeding:
    """An owner whose seed is to be run, and what it had before: how many rows, and their versions."""

    owner: Owner
    fingerprint: str
    tables: Sequence[tuple[str, str]]
    rows: int
    versions: int


def seed(boot: Boot) -> Outcome:
    """Run the seeds that are not recorded for what they are now."""
    with_seed = [owner for owner in boot.owners if owner.settings.seed]
    if not with_seed:
        return Outcome.skipped("no owner has a seed")
    with boot.database() as target:
        require_guard(boot, target)
    boot.build([owner.settings.service for owner in with_seed])
    require_tables(with_seed, target)
    told: dict[str, Outcome] = {}
    with boot.locked(target):
        for wave in waves(with_seed):
            told |= _seed_wave(boot, wave, target)
    text = "; ".join(told[owner.name].text for owner in with_seed)
    return Outcome(text, was_skipped=all(outcome.was_skipped for outcome in told.values()))


def _seed_wave(boot: Boot, wave: Sequence[Owner], target: Target) -> Mapping[str, Outcome]:
    """What became of each owner, by name. The seeds that are to be run are run at the same time."""
    with target.kept():
        records = recorded(target, "seed")
        looked = {owner.name: _look(owner, target, records.get(owner.name, NO_RECORD)) for owner in wave}
    told = {name: Outcome.skipped(f"{name} already seeded") for name, seeding in looked.items() if seeding is None}
    to_do = [seeding for seeding in looked.values() if seeding]
    owners = [seeding.owner for seeding in to_do]
    before = seen_by(owners, target)
    done = at_once(boot.processes, to_do, lambda seeding: _run(boot, seeding))
    after = seen_by(owners, target)
    worked = [
        Worked(
            *(seeding.owner, f"{seeding.owner.name}: its seed"),
            LogTail.of(" ".join(seeding.owner.settings.seed), completed.text),
            *(before[seeding.owner.name], after[seeding.owner.name]),
        )
        for seeding, completed in zip(to_do, done, strict=True)
    ]
    refuse_losses_of_all(worked)
    for seeding, completed, its in zip(to_do, done, worked, strict=True):
        told[seeding.owner.name] = _verified(seeding, completed, target, its.log)
        record(target, "seed", seeding.owner.name, seeding.fingerprint)
    return told


def _look(owner: Owner, stack: Target, last: Record) -> _Seeding | None:
    """Nothing where it was seeded with what its seed is now."""
    fingerprint, tables = owner.seed_fingerprint(), owner.rehearse(stack).tables()
    rows, versions = _rows(owner.target(stack), tables)
    # A record beside empty tables is of rows that somebody removed: seed again.
    if rows and fingerprint and last.fingerprint == fingerprint:
        return None
    return _Seeding(owner, fingerprint, tables, rows, versions)


def _run(boot: Boot, seeding: _Seeding) -> Completed:
    with boot.timeline.span(f"seed {seeding.owner.name}", "owner"):
        return seeding.owner.run(seeding.owner.settings.seed)


def _verified(seeding: _Seeding, done: Completed, stack: Target, log: LogTail) -> Outcome:
    """What it came to, as the rows say. Raises MigrationError for what lacks."""
    owner = seeding.owner
    rows, versions = _rows(owner.target(stack), seeding.tables)
    if done.code or not rows:
        raise MigrationError(
            f"{owner.name}: its seed failed",
            expected="exit code 0 and rows in its tables",
            seen=f"exit code {done.code}, {rows} rows",
            log=log,
            hint=done.hint(f"correct what the seed says, then run it again: {command('seed')}"),
        )
    if versions == seeding.versions:
        return Outcome.skipped(f"{owner.name} had nothing to do")
    return Outcome.done(
        f"{owner.name} {rows - seeding.rows:+d} rows" if rows != seeding.rows else f"{owner.name} rows updated"
    )


def _rows(target: Target, tables: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """How many rows the tables hold, and their versions."""
    with target.connect() as connection:
        return sum(catalog.count_rows(connection, tables).values()), catalog.row_versions(connection, tables)
