"""Owners that may be at work at the same time: those of one wave need nothing of each other's tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .catalog import shortened
from .database import Target
from .errors import GuardError, LogTail
from .guard.snapshots import Seen, Snapshot, own_losses, refuse_losses
from .owners import Owner
from .rows import Logins
from .terminal import counted


def waves(owners: Sequence[Owner]) -> Sequence[Sequence[Owner]]:
    """Each owner as early as those that it needs allow, in the order in which they are given.

    One whose tool begins in an empty schema only has it before the others.
    """
    first = [owner for owner in owners if owner.migrator.begins_alone and not owner.place.needs]
    found: list[list[Owner]] = []
    wave_of: dict[str, int] = {}
    for owner in [*first, *(owner for owner in owners if owner not in first)]:
        before = [place.owner for place in owner.place.needs]
        before += [other.name for other in first if owner not in first and _share_a_schema(owner, other)]
        wave = max((wave_of[name] for name in before if name in wave_of), default=-1) + 1
        wave_of[owner.name] = wave
        found += [[]] if wave == len(found) else []
        found[wave].append(owner)
    return found


def _share_a_schema(one: Owner, other: Owner) -> bool:
    return (one.place.database, one.place.schema) == (other.place.database, other.place.schema)


def seen_by(
    owners: Sequence[Owner], stack: Target, logins: Logins, before: Mapping[str, Snapshot] | None = None
) -> Mapping[str, Snapshot]:
    """What each is to leave alone while they are all at work, by name. Looks at each database once.

    `before`: what was seen before they were.
    """
    roles = [owner.place.role for owner in owners]
    targets = {owner.place.database: owner.target(stack) for owner in owners}
    since = {owner.place.database: before[owner.name].at for owner in owners} if before else {}
    seen = {name: Seen.look(target, logins, since.get(name)) for name, target in targets.items()}
    return {owner.name: seen[owner.place.database].of(owner.place.role, roles) for owner in owners}


@dataclass(frozen=True)
class Worked:
    """An owner whose tool, `who`, was at work. `given_up`: losses of its own rows, as `own_losses` says them."""

    owner: Owner
    who: str
    log: LogTail
    before: Snapshot
    after: Snapshot
    given_up: Collection[str] = ()


def refuse_losses_of_all(wave: Sequence[Worked]) -> None:
    """Raises GuardError for what is nobody's of theirs and gone, or of one's while another was at work beside it."""
    for one in wave:
        # Which of those that were at work there it was cannot be told.
        refuse_losses(" or ".join(other.who for other in _beside(one, wave)), one.before, one.after, one.log)
    for one in wave:
        here = [other.owner.name for other in _beside(one, wave)]
        is_busy = one.owner.place.role in one.before.busy | one.after.busy  # its app may delete rows of its own
        lost = [line for line in own_losses(one.before, one.after) if line not in one.given_up]
        if lost and len(here) > 1 and not is_busy:
            raise GuardError(
                f"rows of {one.owner.name} are gone, while the tools of {' and '.join(here)} were at work",
                expected="every row that was there before",
                seen=f"{counted(len(lost), 'difference')}; which of the tools it was is not known",
                details=shortened([line.replace("would be", "were") for line in lost]),
                log=one.log,
                hint="restore what was lost from a backup, then look at what each of these tools does",
            )


def _beside(one: Worked, wave: Sequence[Worked]) -> Sequence[Worked]:
    """It and the others in its database."""
    return [other for other in wave if other.owner.place.database == one.owner.place.database]
