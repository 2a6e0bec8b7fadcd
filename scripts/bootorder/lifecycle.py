"""The stages that start and stop services."""

from __future__ import annotations

from .boot import Boot
from .migrate import require_database, require_tables
from .outcome import Outcome


def stop(boot: Boot) -> Outcome:
    """Stop everything of this stack; its data stays."""
    stopped = boot.runtime.stop()
    return Outcome.done(f"stopped {', '.join(stopped)}") if stopped else Outcome.skipped("nothing was running")


def clean(boot: Boot) -> Outcome:
    """Remove this stack's containers, volumes and built images, and nothing of anyone else's."""
    removed = boot.runtime.remove()
    parts = [
        f"{len(things)} {what}{'s' if len(things) != 1 else ''}"
        for what, things in (
            ("container", removed.containers),
            ("volume", removed.volumes),
            ("image", removed.images),
        )
        if things
    ]
    return Outcome.done(f"removed {', '.join(parts)}") if parts else Outcome.skipped("nothing was there")


def db_up(boot: Boot) -> Outcome:
    """Start the database and what stands beside it."""
    database = boot.settings.database
    names = [database.service, *database.beside]
    services = boot.runtime.services()
    if boot.quick and all(services[name].running for name in names):
        return Outcome.skipped(f"{' and '.join(names)} already run")
    boot.runtime.start(names, boot.console.detail)
    return Outcome.done(f"{' and '.join(names)} started")


def apps_up(boot: Boot) -> Outcome:
    """Start the apps, once the owners that must migrate first have done so."""
    names = list(boot.apps)
    first = [owner for owner in boot.owners if not owner.migrator.creates_at_start]
    target = require_database(boot)
    boot.build([*names, *(owner.settings.service for owner in first)])
    for owner in first:
        require_tables(owner, target)
    services = boot.runtime.services()
    if boot.quick and all(services[name].running for name in names):
        return Outcome.skipped(f"{', '.join(names)} already run")
    boot.runtime.start(names, boot.console.detail)
    return Outcome.done(f"{', '.join(names)} started")
