"""The stage that runs each owner's seed once; the database remembers it, so an empty volume starts from nothing."""

from __future__ import annotations

from collections.abc import Sequence

from . import catalog
from .boot import Boot
from .database import Target
from .errors import LogTail, MigrationError, command
from .guard.snapshots import Snapshot, refuse_losses
from .guard.stage import require_guard
from .migrate import require_tables
from .outcome import Outcome
from .owners import Owner
from .records import record, recorded


def seed(boot: Boot) -> Outcome:
    """Run the seeds that are not recorded for what they are now."""
    with_seed = [owner for owner in boot.owners if owner.settings.seed]
    if not with_seed:
        return Outcome.skipped("no owner has a seed")
    target = boot.require_database()
    require_guard(boot, target)
    boot.build([owner.settings.service for owner in with_seed])
    told = []
    for owner in with_seed:
        require_tables(owner, target)
        with boot.locked(target), boot.timeline.span(f"seed {owner.name}", "owner") as span:
            told.append(_seed_owner(owner, target))
            span.came_to(told[-1])
    if all(outcome.was_skipped for outcome in told):
        return Outcome.skipped("; ".join(outcome.text for outcome in told))
    return Outcome.done("; ".join(outcome.text for outcome in told))


def _seed_owner(owner: Owner, stack: Target) -> Outcome:
    target, role = owner.target(stack), owner.place.role
    fingerprint = owner.seed_fingerprint()
    tables = owner.rehearse(stack).tables()
    before, versions_before = _rows(target, tables)
    # A record beside empty tables is of rows that somebody removed: seed again.
    if before and fingerprint and recorded(stack, "seed", owner.name)[0] == fingerprint:
        return Outcome.skipped(f"{owner.name} already seeded")
    everything = Snapshot.take(target, role)
    done = owner.run(owner.settings.seed)
    log = LogTail.of(" ".join(owner.settings.seed), done.text)
    refuse_losses(f"{owner.name}: its seed", everything, Snapshot.take(target, role), log)
    after, versions_after = _rows(target, tables)
    if done.code or not after:
        raise MigrationError(
            f"{owner.name}: its seed failed",
            expected="exit code 0 and rows in its tables",
            seen=f"exit code {done.code}, {after} rows",
            log=log,
            hint=done.hint(f"correct what the seed says, then run it again: {command('seed')}"),
        )
    record(stack, "seed", owner.name, fingerprint)
    if versions_after == versions_before:
        return Outcome.skipped(f"{owner.name} had nothing to do")
    return Outcome.done(f"{owner.name} {after - before:+d} rows" if after != before else f"{owner.name} rows updated")


def _rows(target: Target, tables: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """How many rows the tables hold, and their versions."""
    with target.connect() as connection:
        return sum(catalog.count_rows(connection, tables).values()), catalog.row_versions(connection, tables)
