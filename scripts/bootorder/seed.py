"""The stage that runs each owner's seed once; the database remembers it, so an empty volume starts from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .boot import Boot
from .database import Target
from .errors import LogTail, MigrationError, command
from .guard.stage import require_guard
from .migrate import require_tables
from .migration_lock import MigrationLock
from .outcome import Outcome
from .owners import Owner
from .processes import Completed, at_once
from .records import Record, at_work, record, recorded
from .rows import Counts, Logins, Table, count_rows, row_versions
from .terminal import counted
from .waves import Worked, refuse_losses_of_all, seen_by, waves


@dataclass(frozen=True)
class _Seeding:
    """An owner whose seed is to be run, and what it had before: how many rows, and their versions."""

    owner: Owner
    fingerprint: str
    tables: Sequence[Table]
    counts: Counts
    versions: int = 0


def seed(boot: Boot) -> Outcome:
    """Run the seeds that were not run before, and those that are to be run again (`--reseed`)."""
    with_seed = [owner for owner in boot.owners if owner.settings.seed]
    if not with_seed:
        return Outcome.skipped("no owner has a seed")
    outcomes: dict[str, Outcome] = {}
    with boot.database() as target:
        require_guard(boot, target)
        boot.build([owner.settings.service for owner in with_seed])
        require_tables(with_seed, target)
        with boot.locked(target) as lock:
            for wave in waves(with_seed):
                outcomes |= _seed_wave(boot, wave, target, lock)
    text = "; ".join(outcomes[owner.name].text for owner in with_seed)
    return Outcome(text, was_skipped=all(outcome.was_skipped for outcome in outcomes.values()))


def _seed_wave(boot: Boot, wave: Sequence[Owner], target: Target, lock: MigrationLock) -> Mapping[str, Outcome]:
    """What became of each owner, by name. The seeds that are to be run are run at the same time."""
    logins, records = boot.logins, recorded(target, "seed")
    outcomes: dict[str, Outcome] = {}
    to_do = []
    for owner in wave:
        seeding, last = _look(owner, target, logins), records.get(owner.name)
        # A record beside empty tables is of rows that somebody removed: seed again.
        has_rows = _has_rows(seeding.counts) or not seeding.tables
        if last and has_rows and owner.name not in boot.reseed:
            outcomes[owner.name] = Outcome.skipped(_already(owner.name, last, seeding.fingerprint))
        else:
            to_do.append(replace(seeding, versions=_versions(owner, target, seeding.counts, logins)))
    if not to_do:
        return outcomes
    owners = [seeding.owner for seeding in to_do]
    before = seen_by(owners, target, logins)
    lock.require()
    with at_work(target, [owner.place.role for owner in owners]):
        done = at_once(boot.processes, to_do, lambda seeding: _run(boot, seeding))
    lock.require()
    after = seen_by(owners, target, logins, before)
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
        outcomes[seeding.owner.name] = _verified(seeding, completed, target, logins, its.log)
        lock.require()
        record(target, "seed", seeding.owner.name, seeding.fingerprint)
    return outcomes


def _look(owner: Owner, stack: Target, logins: Logins) -> _Seeding:
    tables = owner.rehearse(stack).tables()
    return _Seeding(owner, owner.seed_fingerprint(), tables, count_rows(owner.target(stack), tables, logins))


def _already(name: str, last: Record, fingerprint: str) -> str:
    """Why a seed is not run again. A changed one would add rows beside those of the old one: a person decides."""
    if not fingerprint or last.fingerprint in {"", fingerprint}:
        return f"{name} already seeded"
    again = command(f"seed --reseed {name}")
    return f"{name} already seeded; its seed, its sources or its environment have changed since: {again} runs it again"


def _run(boot: Boot, seeding: _Seeding) -> Completed:
    with boot.timeline.span(f"seed {seeding.owner.name}", "owner"):
        return seeding.owner.run(seeding.owner.settings.seed)


def _verified(seeding: _Seeding, done: Completed, stack: Target, logins: Logins, log: LogTail) -> Outcome:
    """What it came to, as the rows say. Raises MigrationError for what lacks."""
    owner = seeding.owner
    counts = count_rows(owner.target(stack), seeding.tables, logins)
    if done.code or (seeding.tables and not _has_rows(counts)):
        correct = done.mistyped(f"owners.{owner.name}.seed") or "correct what the seed says"
        raise MigrationError(
            f"{owner.name}: its seed failed",
            expected="exit code 0 and rows in its tables",
            seen=f"exit code {done.code}, {counted(_total(counts), 'row')}",
            log=log,
            hint=done.hint(f"{correct}, then run it again: {command('seed')}"),
        )
    if _versions(owner, stack, counts, logins) == seeding.versions:
        return Outcome.done(f"{owner.name} had nothing to do")
    more = _total(counts) - _total(seeding.counts)
    return Outcome.done(
        f"{owner.name} {more:+d} {'row' if abs(more) == 1 else 'rows'}" if more else f"{owner.name} rows updated"
    )


def _has_rows(counts: Counts) -> bool:
    """A table whose rows are not known may have some."""
    return any(count != 0 for count in counts.values())


def _total(counts: Counts) -> int:
    return sum(count or 0 for count in counts.values())


def _versions(owner: Owner, stack: Target, counts: Counts, logins: Logins) -> int:
    """Of the tables that have rows and can be read."""
    filled = [table for table, count in counts.items() if count]
    return row_versions(owner.target(stack), owner.place.role, filled, logins)
