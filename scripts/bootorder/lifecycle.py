"""The stages that start and stop services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .boot import Boot
from .catalog import Catalog, shortened
from .database import Target
from .guard.names import keep_names
from .guard.stage import require_guard
from .migrate import missing_tables, require_tables
from .outcome import Outcome
from .terminal import listed
from .urls import user_and_database

_WORTH_SAYING = 1.0  # seconds that a build took which nobody expects in a start


def stop(boot: Boot) -> Outcome:
    """Stop everything of this stack; its data stays."""
    # Before: where this is interrupted or killed in the middle, what it has stopped by then did not crash.
    boot.note_stopped([name for name, service in boot.runtime.services().items() if service.running or service.up])
    with boot.timeline.span("stop services", "stop"):
        stopped = boot.runtime.stop()
    if apart := boot.runtime.runs_apart():
        boot.console.note(apart)
    if not stopped:
        is_apart = apart or boot.elsewhere() is not None
        return Outcome.skipped("nothing was running" + (" under this name, with this runtime" if is_apart else ""))
    return Outcome.done(f"stopped {', '.join(stopped)}")


def clean(boot: Boot) -> Outcome:
    """Remove what ran, its data and what was built, of this stack, and nothing of anyone else's."""
    with boot.timeline.span("remove services and data", "stop"):
        removed = boot.runtime.remove()
    parts = [f"{len(names)} {_plural(kind, names)}" for kind, names in removed.items() if names]
    return Outcome.done(f"removed {', '.join(parts)}") if parts else Outcome.skipped("nothing was there")


def db_up(boot: Boot) -> Outcome:
    """Start the database and what stands beside it."""
    return start(boot, [boot.settings.database.service, *boot.beside])


def build_owners(boot: Boot) -> Outcome:
    """Build what the owners' commands run in."""
    return _build(boot, [owner.settings.service for owner in boot.owners])


def build_apps(boot: Boot) -> Outcome:
    return _build(boot, list(boot.apps))


def _build(boot: Boot, names: Sequence[str]) -> Outcome:
    boot.build(names)
    return Outcome.done(f"{listed(names)} built") if names else Outcome.skipped("there is nothing to build")


def create_apps(boot: Boot) -> Outcome:
    """Make what the start of the apps would make first."""
    if not boot.apps:
        return Outcome.skipped("there are no apps")
    with boot.timeline.span("create containers", "start"):
        boot.runtime.create(list(boot.apps), boot.console.detail)
    return Outcome.done(f"{listed(list(boot.apps))} created")


def apps_up(boot: Boot) -> Outcome:
    """Start the apps, once the owners that must migrate first have done so."""
    names = list(boot.apps)
    first = [owner for owner in boot.owners if not owner.migrator.creates_at_start]
    with boot.database() as target:
        require_guard(boot, target)
        began = boot.clock.now()
        boot.build([*names, *(owner.settings.service for owner in first)])
        seconds = boot.clock.now() - began
        require_tables(first, target)
        if len(first) < len(boot.owners):  # the others' tools are at work when their apps start
            made = {owner.name: owner.rehearsal(target) for owner in boot.owners}
            keep_names(target, list(boot.places.values()), made)
            _stop_those_that_lost_tables(boot, made, target)
    _note_superusers(boot)
    outcome = start(boot, names)
    if seconds < _WORTH_SAYING or outcome.was_skipped:
        return outcome
    return Outcome.done(f"{outcome.text} (after {seconds:.1f} s of builds)")


def _stop_those_that_lost_tables(boot: Boot, made: Mapping[str, Catalog], target: Target) -> None:
    """Stop what had made its owner's tables, and runs without some of them now: only another start makes them.

    One that never had them may be about to make them: another machine may have started it a moment ago.
    """
    creators = [owner for owner in boot.owners if owner.migrator.creates_at_start]
    missing = missing_tables(creators, made, target)
    services = boot.runtime.services([owner.settings.service for owner in creators])
    lost = {owner.settings.service: missing[owner.name] for owner in creators if owner.name in missing}
    running = [name for name in lost if services[name].up or services[name].running]
    anew = [name for name in running if boot.has_made_tables(services[name])]
    for name in anew:
        boot.console.note(f"starting {name} anew, as only its start makes {', '.join(shortened(lost[name]))}")
    if anew:
        boot.runtime.stop_services(anew)


def _note_superusers(boot: Boot) -> None:
    """The apps that no owner's role limits: the event triggers watch them, but their rows are anybody's."""
    user = boot.settings.database.user
    for name in boot.apps:
        environment = boot.runtime.environment(name)
        if found := [
            key for key, value in environment.items() if "://" in value and user_and_database(value)[0] == user
        ]:
            how = "`owners.NAME.connects` gives it a role" if boot.settings.compose else "give it the URL of an owner"
            boot.console.note(f"{name} connects as {user}, a superuser ({found[0]}): {how}")


def start(boot: Boot, names: Sequence[str]) -> Outcome:
    """Start these services, built where they were not. What a job of this boot has started counts as started."""
    if not names:
        return Outcome.skipped("there is nothing to start")
    boot.build(names)
    with boot.timeline.spans(names, "start") as spans:
        started = boot.runtime.start(names, boot.console.detail)
        for span in spans:
            span.came_to(Outcome.done("started") if span.name in started else Outcome.skipped("already runs"))
    boot.started.update(started)
    if anew := [name for name in names if name in boot.started]:
        return Outcome.done(f"{listed(anew)} started")
    return Outcome.skipped(f"{listed(names)} already {'runs' if len(names) == 1 else 'run'}")


def _plural(word: str, things: Sequence[str]) -> str:
    return word if len(things) == 1 else f"{word}es" if word.endswith("s") else f"{word}s"
