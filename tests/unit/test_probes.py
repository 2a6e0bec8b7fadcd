from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from scripts.bootorder.errors import NotReadyError
from scripts.bootorder.probes import (
    FIRST_SECONDS,
    LONGEST_SECONDS,
    Failed,
    Look,
    NotYet,
    Probe,
    Ready,
    SystemClock,
    wait_for,
)

from .fakes import FakeClock


def answering(*looks: Look) -> Probe:
    """A probe that gives these answers, the last one for ever."""
    left: Iterator[Look] = iter(looks)
    last = looks[-1]
    return lambda: next(left, last)


def wait(probe: Probe, clock: FakeClock, limit: float = 10) -> Ready:
    return wait_for(probe, what="postgres", limit=limit, clock=clock, hint="look at its log")


def test_what_is_ready_at_the_first_look_is_not_waited_for() -> None:
    clock = FakeClock()

    assert wait(answering(Ready("it answers")), clock) == Ready("it answers")
    assert clock.now() == 0


def test_a_wait_ends_with_the_look_that_finds_it_ready() -> None:
    clock = FakeClock()

    assert wait(answering(NotYet("no"), NotYet("no"), Ready("yes")), clock) == Ready("yes")
    assert 2 * FIRST_SECONDS < clock.now() < 3 * FIRST_SECONDS


def test_the_longer_it_takes_the_less_it_is_asked_and_still_often() -> None:
    looks: list[float] = []
    clock = FakeClock()

    def look() -> Look:
        looks.append(clock.now())
        return NotYet("no") if clock.now() < 5 else Ready("yes")

    wait(look, clock)

    gaps = [after - before for before, after in itertools.pairwise(looks)]
    assert gaps[0] == pytest.approx(FIRST_SECONDS)
    assert gaps[-1] == pytest.approx(LONGEST_SECONDS)
    assert max(gaps) <= 0.1 + 1e-9


def test_what_failed_for_good_is_raised_at_once() -> None:
    clock = FakeClock()
    error = NotReadyError("postgres refused the password", hint="correct it")

    with pytest.raises(NotReadyError) as caught:
        wait(answering(NotYet("no"), Failed(error)), clock, limit=3600)

    assert caught.value is error
    assert clock.now() < 1


def test_after_its_limit_a_wait_ends_with_what_it_last_saw() -> None:
    clock = FakeClock()

    with pytest.raises(NotReadyError) as caught:
        wait(answering(NotYet("first"), NotYet("connection refused")), clock, limit=12)

    assert caught.value.seen == "connection refused"
    assert caught.value.message == "postgres was not ready after 12 s"
    assert caught.value.hint == "look at its log"
    assert "12 s" in caught.value.expected
    assert clock.now() == pytest.approx(12, abs=LONGEST_SECONDS)


def test_what_becomes_ready_at_the_limit_is_still_seen() -> None:
    clock = FakeClock()

    def ready_at_the_limit() -> Look:
        return Ready("just in time") if clock.now() >= 5 else NotYet("no")

    assert wait(ready_at_the_limit, clock, limit=5) == Ready("just in time")


def test_a_wait_that_another_thread_gave_up_ends_before_its_limit() -> None:
    clock = FakeClock()

    with pytest.raises(NotReadyError, match="after 1 s"):
        wait_for(
            answering(NotYet("no")),
            what="web",
            limit=3600,
            clock=clock,
            hint="look at its log",
            given_up=lambda: clock.now() >= 1,
        )


def test_the_real_clock_never_jumps_and_really_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 12.5)

    SystemClock().sleep(0.25)

    assert SystemClock().now() == 12.5
    assert slept == [0.25]


def test_what_is_ready_counts_even_when_the_wait_was_given_up() -> None:
    looked = wait_for(
        answering(Ready("yes")), what="web", limit=1, clock=FakeClock(), hint="look", given_up=lambda: True
    )

    assert looked == Ready("yes")
