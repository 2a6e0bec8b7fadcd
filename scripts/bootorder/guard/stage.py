"""The stage `guard`: roles, schemas, databases, grants and triggers as the layout has them; nothing where they are."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from .. import catalog
from ..boot import Boot
from ..database import Connection, Session, Target, refuse_pooler
from ..errors import BuildError, GuardError, MigrationError, NotReadyError, command
from ..migration_lock import MigrationLock
from ..outcome import Outcome
from ..places import Place
from ..scratch import create_database
from ..terminal import counted
from . import strays
from .before import run_before
from .extensions import make_extensions, require_available
from .layout import refuse_another_layout
from .names import refuse_decoys, refuse_foreign_casts
from .roles import Repair, apply, former_owners, grant_repairs, require_superuser, role_repairs
from .sequences import sequences_behind
from .triggers import cover, is_installed, trigger_repairs, uncovered

_TOLD = 4  # things done that fit into a line
_NAMED = 5  # of what is left alone
_ALL_ASSIGNED = "every table that an owner's tool makes belongs to its owner"


def guard(boot: Boot) -> Outcome:
    """Make what is missing, repair what drifted. Raises GuardError where an owner wants what belongs to nobody."""
    if not boot.places:
        return Outcome.skipped("no owners in invoke.yaml")
    with boot.database() as target, target.connect() as connection:
        require_superuser(connection)
        refuse_pooler(connection)
        refuse_another_layout(boot, target, connection)
        require_available(connection, boot.settings.database.extensions)
        told = _settle(boot, target, connection)
        if told:
            _note_former_owners(boot, connection)
        _refuse_strays(boot, target, connection)
        _look_at_accidents(boot, target, connection)
    if told:
        return Outcome.done(_summary(boot, told))
    return Outcome.skipped(f"roles and triggers of {', '.join(boot.places)} are in place")


def refuse_known(boot: Boot, target: Target, connection: Session) -> None:
    """Raises what `guard` would refuse, as far as that takes a moment to know. Changes nothing, and asks no tool."""
    require_superuser(connection)
    refuse_pooler(connection)
    refuse_another_layout(boot, target, connection)
    run_before(boot, target, repair=False)
    if found := _strays(boot, target, connection):
        # Not those of an owner with a base: what is of its base is assigned without a question.
        known = {o.name: made for o in boot.owners if not o.settings.before and (made := o.rehearsed())}
        _refuse_claimed(boot, target, strays.claimed(found.nobodys, known, boot.places, found.owned))


def is_in_place(boot: Boot, target: Target, connection: Session) -> bool:
    """Whether the guard has nothing to make. Changes nothing."""
    return not _pass(boot, target, connection, None)


def _summary(boot: Boot, told: Sequence[str]) -> str:
    for line in told:
        boot.console.detail(line)
    more = len(told) - _TOLD
    return "; ".join(told[:_TOLD]) + (f"; and {more} more (--verbose shows them)" if more > 0 else "")


def _settle(boot: Boot, target: Target, connection: Connection) -> list[str]:
    """Bring everything into place. Returns what was done, for people."""
    if not _pass(boot, target, connection, None):
        return []
    with boot.locked(target) as lock:
        return _pass(boot, target, connection, lock)


def _pass(boot: Boot, target: Target, connection: Connection, lock: MigrationLock | None) -> list[str]:
    """Look at everything in the order in which it is made; without the lock only until the first finding."""
    repair = lock is not None
    places = list(boot.places.values())
    roles = [place.role for place in places]
    passwords = {place.owner: boot.secret(place.password) for place in places}
    told = _run(connection, role_repairs(connection, places, passwords), repair=repair)
    if not told or repair:
        told += _make_databases(connection, places, repair=repair)
    for name, here in {target.name: (), **by_database(places)}.items():
        if told and not repair:
            break
        if lock:
            lock.require()
        with _connected(target, name, connection) as its:
            if here:
                # The triggers first: those that were tampered with may refuse what follows.
                told += _run(its, trigger_repairs(its, roles), repair=repair)
            # Before the rights: where nobody may create yet, no script of an extension can call what somebody made.
            told += make_extensions(its, boot.settings.database.extensions, roles, repair=repair)
            if name == target.name and (ran := run_before(boot, target, repair=repair)):
                told += [*ran, *_run(connection, role_repairs(connection, places, passwords), repair=repair)]
            if here:
                told += _rights(its, here, places, repair=repair, first=not told)
    return told


def _rights(
    connection: Connection, here: Sequence[Place], places: Sequence[Place], *, repair: bool, first: bool
) -> list[str]:
    """Schemas and grants, then what the triggers cover. `first`: nothing was found to be done before."""
    if repair:
        told = apply(connection, grant_repairs(connection, here, places))
        covered = cover(connection)
        return told + ([f"tables and views guarded: {covered}"] if covered else [])
    told = [one.what for one in grant_repairs(connection, here, places)] if first else []
    if first and not told and uncovered(connection):
        told.append("tables are not guarded")
    return told


@contextlib.contextmanager
def _connected(target: Target, name: str, connection: Connection) -> Iterator[Connection]:
    """To a database of the server: the connection that there is, or one of its own."""
    if name == target.name:
        yield connection
        return
    with replace(target, name=name).connect() as its:
        yield its


def _run(connection: Connection, repairs: Sequence[Repair], *, repair: bool) -> list[str]:
    return apply(connection, repairs) if repair else [repair.what for repair in repairs]


def _make_databases(connection: Connection, places: Sequence[Place], *, repair: bool) -> list[str]:
    there = {name for (name,) in connection.execute("select datname::text from pg_database")}
    missing = sorted({place.database for place in places} - there)
    for name in missing if repair else ():
        create_database(connection, name)
    return [f"database {name} made" for name in missing]


def by_database(places: Sequence[Place]) -> Mapping[str, Sequence[Place]]:
    """Those that live in each database."""
    return {
        name: [place for place in places if place.database == name] for name in {place.database: 0 for place in places}
    }


def require_guard(boot: Boot, target: Target) -> None:
    """Raises NotReadyError where the guard is not in place: then the tools could do harm."""
    for name in {place.database: 0 for place in boot.places.values()}:
        there = name == target.name or _exists(target, name)
        if there:
            with replace(target, name=name).connect() as connection:
                there = is_installed(connection)
        if not there:
            raise NotReadyError(
                "the guard is not in place",
                expected=f"roles for {', '.join(boot.places)}, and the event triggers, in the database {name}",
                seen="none, older ones, or some that are switched off",
                hint=f"run the guard first: {command('guard')}",
                first=("guard",),
            )


def _exists(target: Target, name: str) -> bool:
    with target.connect() as connection:
        row = connection.execute("select exists (select from pg_database where datname = %s)", [name]).fetchone()
    return row == (True,)


def _look_at_accidents(boot: Boot, target: Target, connection: Connection) -> None:
    """Raises GuardError for what could run an owner's code as another one; notes what a superuser took away."""
    for name in by_database(list(boot.places.values())):
        with _connected(target, name, connection) as its:
            refuse_foreign_casts(its)
            refuse_decoys(its)
            for (what,) in its.execute("select what from bootorder.curtailed order by 1").fetchall():
                boot.console.note(f"an owner lost rights on what it owns: {what}; it can grant them to itself again")
        if not boot.quick:
            for line in sequences_behind(replace(target, name=name), boot.logins):
                boot.console.note(line)


# -- what belongs to nobody -------------------------------------------------------------------------------------------


def _refuse_strays(boot: Boot, target: Target, connection: Connection) -> None:
    found = _strays(boot, target, connection)
    if not found:
        return
    rehearsals = _rehearsals(boot, target, {role for role, _ in found.owned}, everyone=False)
    claimed = strays.claimed(found.nobodys, rehearsals, boot.places, found.owned)
    proposal = _without_bases(boot, target, connection, claimed)
    _refuse_claimed(boot, target, proposal)
    nobodys = [stray for stray in found.nobodys if stray not in claimed]
    left = [f"{stray.schema}.{stray.name}" for stray in nobodys if stray.kind not in strays.ROUTINES]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        names = f"{', '.join(left[:_NAMED])}{more}"
        if len(rehearsals) == len(boot.places):
            boot.console.note(f"no owner's tool makes {names}: left alone")
        else:
            boot.console.note(
                f"no owner has {names}: left alone; {command('guard --assign')} asks every tool whether it makes them"
            )


def _refuse_claimed(boot: Boot, target: Target, proposal: Mapping[strays.Stray, str]) -> None:
    """Raises GuardError where an owner's tool makes what belongs to no owner."""
    lost = {stray: owner for stray, owner in proposal.items() if boot.places[owner].database != stray.database}
    if lost:
        raise GuardError(
            f"tables in the database {target.name} belong to no owner, and the layout `databases` does not look there",
            expected="the rows of an owner in its own database: a tool would make the tables anew there, and empty",
            seen="nothing was touched",
            details=catalog.shortened(_told(boot, lost)),
            hint=f"give them to their owners first: {command('guard --assign --layout shared')}",
        )
    if proposal:
        roles = ", ".join(sorted({stray.role for stray in proposal}))
        raise GuardError(
            f"tables, types or functions belong to no owner: {len(proposal)}",
            expected="tables, types and functions that belong to the role of the owner that makes them",
            seen=f"owned by {roles}, which is no owner's role; nothing was assigned",
            details=catalog.shortened(_told(boot, proposal)),
            hint=f"look at the list, then assign them as it says: {command('guard --assign')}",
            first=("guard --assign",),
        )


def _without_bases(
    boot: Boot, target: Target, connection: Connection, proposal: Mapping[strays.Stray, str]
) -> dict[strays.Stray, str]:
    """Give what an owner's `before` makes to that owner: invoke.yaml says whose it is. Returns the rest.

    The image of a database lays such a base as the superuser, when it makes its volume.
    """
    bases = {owner.name: owner.base(target).relations() for owner in boot.owners if owner.name in proposal.values()}
    laid = {
        stray: owner
        for stray, owner in proposal.items()
        if (stray.schema, stray.name) in bases[owner] and boot.places[owner].database == stray.database
    }
    if laid:
        with boot.locked(target) as lock:
            for name, repairs in strays.assignments(laid, boot.places).items():
                lock.require()
                with _connected(target, name, connection) as its:
                    for line in apply(its, repairs):
                        boot.console.note(f"{line}, as its base schema has it")
                    cover(its)
    return {stray: owner for stray, owner in proposal.items() if stray not in laid}


def _told(boot: Boot, proposal: Mapping[strays.Stray, str]) -> list[str]:
    roles = {owner: "" if place.role == owner else f" (role {place.role})" for owner, place in boot.places.items()}
    return [f"{stray} -> {owner}{roles[owner]}" for stray, owner in proposal.items()]


def assign(boot: Boot) -> Outcome:
    """Give every table that belongs to nobody to the owner whose rehearsal makes it."""
    target = boot.require_database()
    with target.connect() as connection:
        require_superuser(connection)
        _settle(boot, target, connection)
        found = _strays(boot, target, connection)
        if not found:
            return Outcome.skipped(_ALL_ASSIGNED)
        rehearsals = _rehearsals(boot, target, (), everyone=True)
        proposal = strays.claimed(found.nobodys, rehearsals, boot.places, found.owned)
        repairs = strays.assignments(proposal, boot.places)
        if not repairs:
            return Outcome.skipped(_ALL_ASSIGNED)
        with boot.locked(target) as lock:
            for name, its_repairs in repairs.items():
                lock.require()
                with _connected(target, name, connection) as its:
                    for line in apply(its, its_repairs):
                        boot.console.detail(line)
                    cover(its)
        _settle(boot, target, connection)
        _note_former_owners(boot, connection)
    counts = Counter(proposal.values())
    return Outcome.done(", ".join(f"{counted(count, 'object')} given to {owner}" for owner, count in counts.items()))


def _strays(boot: Boot, target: Target, connection: Connection) -> strays.Found | None:
    """What is nobody's in the databases of the owners, and in the stack's own."""
    places = list(boot.places.values())
    names = [target.name, *(name for name in by_database(places) if name != target.name)]
    nobodys: list[strays.Stray] = []
    for name in names:
        with _connected(target, name, connection) as its:
            nobodys += strays.find(its, places)
    if not nobodys:
        return None
    owned: set[tuple[str, str]] = set()
    for name in names:
        with _connected(target, name, connection) as its:
            owned |= strays.owned(its, places)
    return strays.Found(nobodys, owned)


def _rehearsals(
    boot: Boot, target: Target, settled: Collection[str], *, everyone: bool
) -> Mapping[str, catalog.Catalog]:
    """What the owners' tools make, by owner: of those that have nothing yet, or are known; or of everyone.

    `settled`: the roles that have something. A tool that fails is told by `migrate`, and is no matter of the guard.
    """
    found = {owner.name: known for owner in boot.owners if (known := owner.rehearsed())}
    asked = [owner for owner in boot.owners if everyone or owner.place.role not in settled]
    try:
        boot.build([owner.settings.service for owner in asked])
        for owner in asked:
            found[owner.name] = owner.rehearsal(target)
    except (BuildError, MigrationError) as error:
        if everyone:
            raise
        boot.console.note(f"which owner's tool makes what belongs to no owner is not known: {error.message}")
    return found


def _note_former_owners(boot: Boot, connection: Connection) -> None:
    places = boot.places.values()
    for role, has_things in former_owners(connection, places):
        name, several = sql.Identifier(role).as_string(), len(by_database(list(places))) > 1
        boot.console.note(
            f"{role} is no owner's role any more, and may still connect"
            + (
                "; it owns tables or other objects"
                if has_things
                else f"; to remove it: drop owned by {name}{' (in each database)' if several else ''}; drop role {name}"
            )
        )
