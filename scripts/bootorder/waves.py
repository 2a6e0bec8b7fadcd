"""Owners that may be at work at the same time: those of one wave need nothing of each other's tables."""

from __future__ import annotations

from collections.abc import Sequence

from .owners import Owner


def waves(owners: Sequence[Owner]) -> Sequence[Sequence[Owner]]:
    """Each owner as early as those that it needs allow, in the order in which they are given."""
    found: list[list[Owner]] = []
    wave_of: dict[str, int] = {}
    for owner in owners:
        before = (wave_of[place.owner] for place in owner.place.needs if place.owner in wave_of)
        wave = max(before, default=-1) + 1
        wave_of[owner.name] = wave
        found += [[]] if wave == len(found) else []
        found[wave].append(owner)
    return found
