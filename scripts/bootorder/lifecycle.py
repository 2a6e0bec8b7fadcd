"""The stages that start and stop services."""

from __future__ import annotations

from collections.abc import Sequence

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
    return _start(boot, [database.service, *database.beside])


def apps_up(boot: Boot) -> Outcome:
    """Start the apps, once the owners that must migrate first have done so."""
    names = list(boot.apps)
    first = [owner for owner in boot.owners if not owner.migrator.creates_at_start]
    target = require_database(boot)
    boot.build([*names, *(owner.settings.service for owner in first)])
    for owner in first:
        require_tables(owner, target)
    return _start(boot, names)


def _start(boot: Boot, names: Sequence[str]) -> Outcome:
    if not names:
        return Outcome.skipped("there is nothing to start")
    started = boot.runtime.start(names, boot.console.detail)
    return Outcome.done(f"{_list(started)} started") if started else Outcome.skipped(f"{_list(names)} already run")


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
