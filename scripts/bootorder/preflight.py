"""What a start finds out before it stops or removes anything: whatever can be known by then and would end it later.

The database that runs is asked while it does. What only a build in a folder of running services, another server or the
guard could change first is left to the stages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property

import psycopg

from .boot import Boot
from .catalog import Catalog
from .database import Target
from .drift import refuse_drift
from .errors import BootError, NotReadyError
from .guard import stage as guard
from .migrate import Now, refuse_lost_rows, refuse_shared_names
from .owners import Owner
from .probes import Ready
from .processes import at_once
from .waves import waves

_STOPPING = {"stop", "clean"}


class Known:
    """What a start can know. `stack`: the database that runs; None where none answers. `rows_stay`: not removed."""

    def __init__(self, boot: Boot, stack: Target | None, *, rows_stay: bool) -> None:
        self.boot = boot
        self.stack = stack
        self.rows_stay = rows_stay

    @cached_property
    def changed(self) -> Sequence[Owner]:
        """The owners whose tools may make something else than when they were last rehearsed."""
        return [owner for owner in self.boot.owners if owner.is_changed()]

    @cached_property
    def scratch(self) -> Target | None:
        """Where changed tools can be rehearsed: they would find what they find in their stage."""
        boot, name = self.boot, self.boot.settings.database.service
        # Another image may have other extensions.
        if self.stack is None or boot.runtime.is_touched(name) or not boot.runtime.is_current(name):
            return None
        with suppress(BootError), self.stack.connect() as connection:
            return self.stack if guard.is_in_place(boot, self.stack, connection) else None
        return None

    def are_made_apart(self, owners: Sequence[Owner]) -> bool:
        """Make what these tools run in. Whether that is done: it must not change what runs."""
        services = list(dict.fromkeys(owner.settings.service for owner in owners if owner.settings.run != "host"))
        return not services or set(services) <= set(self.boot.runtime.prepare_apart(services, self.boot.console.detail))

    @property
    def rehearsals(self) -> Mapping[str, Catalog]:
        return {owner.name: made for owner in self.boot.owners if (made := owner.rehearsed())}


@dataclass(frozen=True)
class Check:
    """One thing that a stage would refuse. `of_rows`: only where the rows stay."""

    name: str
    stage: str
    run: Callable[[Known], None]
    of_rows: bool = False


def _guard(known: Known) -> None:
    if known.stack and known.boot.places:
        with known.stack.connect() as connection:
            guard.refuse_known(known.boot, known.stack, connection)


def _commands(known: Known) -> None:
    for owner in known.changed if known.rows_stay else known.boot.owners:
        owner.require_command("migrate", owner.settings.migrate)


def _seed_commands(known: Known) -> None:
    for owner in () if known.rows_stay else known.boot.owners:
        owner.require_command("seed", owner.settings.seed)


def _models(known: Known) -> None:
    """Without a database, before rows are removed; with one they are looked at in the rehearsals."""
    if known.rows_stay or known.scratch or not known.changed:
        return
    owners = [owner for owner in known.changed if owner.migrator.check_models]
    has_data = known.boot.runtime.has_data(known.boot.settings.database.service)
    for owner in owners if owners and has_data and known.are_made_apart(owners) else ():
        owner.check_models()


def _rehearsals(known: Known) -> None:
    if not known.changed or (stack := known.scratch) is None or not known.are_made_apart(known.changed):
        return
    for wave in waves(known.changed):
        at_once(known.boot.processes, wave, lambda owner: owner.rehearse(stack))


def _shared_names(known: Known) -> None:
    made = known.rehearsals
    refuse_shared_names([(owner, made[owner.name]) for owner in known.boot.owners if owner.name in made])


def _drift(known: Known) -> None:
    if known.stack is None:
        return
    now, made = Now(known.stack), known.rehearsals
    for owner in known.boot.owners:
        if owner.migrator.creates_at_start and owner.name in made:
            refuse_drift(owner.name, made[owner.name], now.own_part(owner, made[owner.name]))


def _lost_rows(known: Known) -> None:
    if not known.changed or (stack := known.scratch) is None:
        return
    made = known.rehearsals
    for owner in known.changed:
        if owner.name in made and not owner.migrator.creates_at_start:
            refuse_lost_rows(known.boot, owner, made[owner.name], stack)


# In the order in which the stages would refuse.
CHECKS: Sequence[Check] = (
    Check("layout, SQL files, tables of no owner", "guard", _guard, of_rows=True),
    Check("commands on this machine", "migrate", _commands),
    Check("commands on this machine", "seed", _seed_commands),
    Check("models", "migrate", _models),
    Check("rehearsals", "migrate", _rehearsals),
    Check("names of two owners", "migrate", _shared_names),
    Check("tables that create_all would not alter", "migrate", _drift, of_rows=True),
    Check("rows that would be lost", "migrate", _lost_rows, of_rows=True),
)


def preflight(boot: Boot, stages: Collection[str]) -> None:
    """Raises what one of these stages would end with, as far as that can be known before the first stop."""
    if not _STOPPING & set(stages):
        return
    try:
        _look(boot, stages)
    except BootError as error:
        error.details = (*error.details, "found before anything was stopped")
        raise


def _look(boot: Boot, stages: Collection[str]) -> None:
    rows_stay = "clean" not in stages
    # What a database says that is broken or blocked is no verdict: it is started anew.
    with suppress(NotReadyError, psycopg.Error), ExitStack() as held:
        stack = _answering(boot)
        if stack:
            held.enter_context(stack.kept())
            held.enter_context(boot.locked(stack))  # whoever migrates there keeps the database to the end
        known = Known(boot, stack, rows_stay=rows_stay)
        for check in CHECKS:
            if check.stage in stages and (rows_stay or not check.of_rows):
                check.run(known)


def _answering(boot: Boot) -> Target | None:
    """Return the stack's database where it runs and answers."""
    if not boot.database_service().running:
        return None
    target = boot.target()
    return target if isinstance(target.look(), Ready) else None
