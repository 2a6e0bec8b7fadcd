"""Owners at work at the same time: those of one wave need nothing of each other's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from .boot import Boot
from .owners import Owner

Thing = TypeVar("Thing")
Result = TypeVar("Result")

_POLL_SECONDS = 0.05


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


def at_once(boot: Boot, things: Sequence[Thing], work: Callable[[Thing], Result]) -> Sequence[Result]:
    """What becomes of each. One that fails lets the others come to their end; then the first error is raised."""
    if len(things) == 1:
        return [work(things[0])]
    failures: list[BaseException] = []

    def run(thing: Thing) -> Result:
        try:
            return work(thing)
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(max_workers=len(things) or 1) as pool:
        futures = [pool.submit(run, thing) for thing in things]
        try:
            wait(futures)
        finally:
            # At Ctrl-C; again and again, as between two looks one may have begun its next command.
            while wait(futures, timeout=0).not_done:
                boot.processes.end_all()
                wait(futures, timeout=_POLL_SECONDS)
    if failures:
        raise failures[0]
    return [future.result() for future in futures]
