"""The stage that runs each owner's seed once; the database remembers it, so an empty volume starts from nothing."""

from __future__ import annotations

from collections.abc import Sequence

from . import catalog
from .boot import Boot
from .database import Target, migration_lock
from .errors import LogTail, MigrationError, command
from .migrate import Snapshot, refuse_losses, require_database, require_tables
from .outcome import Outcome
from .owners import Owner

# One row an owner: what its seed was made of when it last ran.
_MAKE = """
    create schema if not exists bootorder;
    create table if not exists bootorder.seed
        (owner text primary key, fingerprint text not null, at timestamptz not null default now())
"""
_READ = "select fingerprint from bootorder.seed where owner = %s"
_WRITE = """
    insert into bootorder.seed (owner, fingerprint) values (%s, %s)
    on conflict (owner) do update set fingerprint = excluded.fingerprint, at = now()
"""


def seed(boot: Boot) -> Outcome:
    """Run the seeds that are not recorded for what they are now."""
    with_seed = [owner for owner in boot.owners if owner.settings.seed]
    if not with_seed:
        return Outcome.skipped("no owner has a seed")
    target = require_database(boot)
    boot.build([owner.settings.service for owner in with_seed])
    told = []
    for owner in with_seed:
        require_tables(owner, target)
        with migration_lock(target):
            told.append(_seed_owner(owner, target))
    if all(outcome.was_skipped for outcome in told):
        return Outcome.skipped("; ".join(outcome.text for outcome in told))
    return Outcome.done("; ".join(outcome.text for outcome in told))


def _seed_owner(owner: Owner, target: Target) -> Outcome:
    fingerprint = owner.seed_fingerprint()
    expected = owner.rehearse(target)
    tables = expected.tables()
    before, versions_before = _rows(target, tables)
    # A record beside empty tables is of rows that somebody removed: seed again.
    if before and fingerprint and _recorded(owner, target) == fingerprint:
        return Outcome.skipped(f"{owner.name} already seeded")
    everything = Snapshot.take(target, expected, frozenset())
    done = owner.run(owner.settings.seed)
    log = LogTail.of(" ".join(owner.settings.seed), done.text)
    refuse_losses(f"{owner.name}: its seed", everything, Snapshot.take(target, expected, frozenset()), log)
    after, versions_after = _rows(target, tables)
    if done.code or not after:
        raise MigrationError(
            f"{owner.name}: its seed failed",
            expected="exit code 0 and rows in its tables",
            seen=f"exit code {done.code}, {after} rows",
            log=log,
            hint=f"correct what the seed says, then run it again: {command('seed')}",
        )
    _record(owner, target, fingerprint)
    if versions_after == versions_before:
        return Outcome.skipped(f"{owner.name} had nothing to do")
    return Outcome.done(f"{owner.name} {after - before:+d} rows" if after != before else f"{owner.name} rows updated")


def _rows(target: Target, tables: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """How many rows the tables hold, and their versions."""
    with target.connect() as connection:
        return sum(catalog.count_rows(connection, tables).values()), catalog.row_versions(connection, tables)


def _recorded(owner: Owner, target: Target) -> str:
    with target.connect() as connection:
        if connection.execute("select to_regclass('bootorder.seed')").fetchone() == (None,):
            return ""
        row = connection.execute(_READ, [owner.name]).fetchone()
    return str(row[0]) if row else ""


def _record(owner: Owner, target: Target, fingerprint: str) -> None:
    with target.connect(autocommit=False) as connection:
        connection.execute(_MAKE)
        connection.execute(_WRITE, [owner.name, fingerprint])
