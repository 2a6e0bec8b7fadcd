"""Probes: one look at the world that answers ready, not yet, or failed for good; and waiting on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .errors import BootError, NotReadyError


class Clock(Protocol):
    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """Seconds that never jump, whatever the wall clock does."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Ready:
    seen: str


@dataclass(frozen=True)
class NotYet:
    """`hint`: what to do if it stays so, where that is known."""

    seen: str
    hint: str = ""


@dataclass(frozen=True)
class Failed:
    """It cannot become ready: waiting longer would change nothing."""

    error: BootError


Look = Ready | NotYet | Failed
Probe = Callable[[], Look]

# Of what is ready in no time nothing is lost, and what takes long is not kept from its work by being asked.
FIRST_SECONDS = 0.02
LONGEST_SECONDS = 0.1
_GROWTH = 1.3


def wait_for(
    probe: Probe,
    *,
    what: str,
    limit: float,
    clock: Clock,
    hint: str,
    given_up: Callable[[], bool] = lambda: False,
    pause: Callable[[float], None] | None = None,
) -> Ready:
    """Look until ready. Raises at once what failed for good, and NotReadyError after `limit` seconds.

    `given_up` lets another thread end the wait; `pause` waits for some seconds, or less where there is news.
    """
    begun, seconds = clock.now(), FIRST_SECONDS
    while True:
        look = probe()
        if isinstance(look, Ready):
            return look
        if isinstance(look, Failed):
            raise look.error
        waited = clock.now() - begun
        if waited >= limit or given_up():
            raise NotReadyError(
                f"{what} was not ready after {waited:.0f} s",
                expected=f"ready within {limit:g} s (`wait` in invoke.yaml)",
                seen=look.seen,
                hint=look.hint or hint,
            )
        (pause or clock.sleep)(seconds)
        seconds = min(seconds * _GROWTH, LONGEST_SECONDS)
