"""What an owner's tool would do, found out on a clone of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import catalog
from .boot import Boot
from .database import Target
from .errors import MigrationError, command
from .guard.snapshots import Snapshot, dropped_columns, foreign_losses, own_losses
from .guard.stage import require_guard
from .owners import Owner
from .processes import Completed
from .rows import count_values
from .terminal import counted, listed


@dataclass(frozen=True)
class Trial:
    """A clone before and after the owner's tool, which was told to go on whatever would be lost."""

    before: Snapshot
    after: Snapshot
    done: Completed

    @classmethod
    def run(cls, owner: Owner, stack: Target) -> Trial:
        with owner.scratch(owner.target(stack), f"trial of {owner.name}", clone=True) as clone:
            if owner.lacks_base(stack):
                owner.lay_base(clone)
            before = owner.look(clone)
            with owner.watched(stack):
                done = owner.run(owner.migrator.forced(owner.settings.migrate), clone)
            return cls(before, owner.look(clone), done)

    def losses(self, owner: Owner, stack: Target) -> list[str]:
        """What of the owner's rows would be gone. The values of dropped columns are counted where they still are."""
        dropped = dropped_columns(self.before, self.after)
        values = count_values(owner.target(stack), dropped, owner.logins) if dropped else {}
        return own_losses(self.before, self.after, values)


def loses_rows(owner: str, losses: Sequence[str]) -> MigrationError:
    """What a migration is refused with that would take its own rows."""
    return MigrationError(
        f"{owner}: its migration would lose rows of its own",
        expected="a migration that keeps every row (it was tried on a clone; the database was not touched)",
        seen=counted(len(losses), "loss", "losses"),
        details=catalog.shortened(losses),
        hint=f"change the schema so that the rows stay, or give them up: {command('migrate --accept-data-loss')}",
        goes_on=False,
    )


def changes(boot: Boot) -> Sequence[Mapping[str, Any]]:
    """Return for each owner what its tool would add, change and lose. Builds, installs and changes nothing.

    `said`: the tool's own words; `problems`: why it could not make its tables what they are on an empty database;
    `not_planned`: why nothing of this is known; `hint`: what to do about them.
    """
    with boot.database() as stack:
        require_guard(boot, stack)
    with boot.locked(stack) as lock:
        found = []
        for owner in boot.owners:
            lock.require()
            found.append(_change(owner, stack))
        return found


def _change(owner: Owner, stack: Target) -> Mapping[str, Any]:
    change: dict[str, Any] = {"owner": owner.name, "hint": "", "not_planned": ""}
    change |= {"changes": [], "losses": [], "foreign_losses": [], "problems": []}
    if missing := owner.not_built():
        hint = f"build first, then plan: {command('migrate --plan --build')}"
        return {**change, "not_planned": f"{listed(missing)} not built yet", "hint": hint, "said": ""}
    try:
        expected = owner.rehearse(stack)
        tried = Trial.run(owner, stack)
    except MigrationError as error:  # its models, or the tool on an empty database
        return {**change, "problems": [error.message, *error.details], "hint": error.hint, "said": ""}
    claim = owner.migrator.claim(tried.done)
    gaps = catalog.differences(expected, owner.as_made(expected, tried.after.own))
    return {
        **change,
        "changes": catalog.differences(tried.before.own, tried.after.own),
        "losses": tried.losses(owner, stack),
        "foreign_losses": foreign_losses(tried.before, tried.after),
        "problems": [f"it would not finish: {claim.text}", *gaps] if gaps else [],
        "hint": owner.hint(owner.settings.migrate, tried.done) if gaps else "",
        "said": claim.text,
    }
