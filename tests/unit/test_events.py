from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from queue import Queue
from typing import Any

import pytest

from scripts.bootorder.runtimes.base import Service
from scripts.bootorder.runtimes.events import Told

from .fakes import FakeClock

LIMIT = 30.0  # seconds, for what would otherwise wait for ever
END = ConnectionResetError("the engine broke off")


class Engine:
    """Tells of services, and counts how often it is asked."""

    def __init__(self) -> None:
        self.states = {"api": "created", "web": "running"}
        self.asked: list[str] = []
        self.told = Told(self.look, lambda event: str(event["service"]))
        self._news: Queue[str] = Queue()
        self._listening = threading.Thread(target=self.told.listen, args=[self._events()], daemon=True)
        self._listening.start()

    def look(self, name: str) -> Service:
        self.asked.append(name)
        return Service(name, self.states[name])

    def becomes(self, name: str, state: str) -> None:
        """Returns when the one who waits has heard of it."""
        self.states[name] = state
        self._news.put(name)
        self._news.join()

    def ends(self) -> None:
        self._news.put("")
        self._listening.join(LIMIT)

    def _events(self) -> Iterator[Mapping[str, Any]]:
        while name := self._news.get():
            yield {"service": name}
            self._news.task_done()
        raise END


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.ends()


def test_a_service_of_which_nothing_is_told_is_looked_at_once(engine: Engine) -> None:
    assert [engine.told.service("web").state for _ in range(3)] == ["running"] * 3
    assert engine.asked == ["web"]


def test_a_service_that_something_became_of_is_looked_at_again(engine: Engine) -> None:
    assert (engine.told.service("api").state, engine.told.service("web").state) == ("created", "running")

    engine.becomes("api", "running")

    assert engine.told.service("api").state == "running"
    assert engine.told.service("web").state == "running"
    assert engine.asked == ["api", "web", "api"]


def test_what_was_seen_while_something_happened_is_not_kept(engine: Engine) -> None:
    def look_late(name: str) -> Service:
        seen = Service(name, engine.states[name])
        engine.becomes(name, "exited")
        return seen

    engine.told._look = look_late
    assert engine.told.service("web").state == "running"

    engine.told._look = engine.look
    assert engine.told.service("web").state == "exited"


def test_who_waits_is_woken_by_news(engine: Engine) -> None:
    waiting = threading.Thread(target=engine.told.wait, args=[LIMIT])
    waiting.start()

    while waiting.is_alive():  # the news may come before it waits
        engine.becomes("api", "running")
        waiting.join(0.01)


def test_when_the_engine_tells_no_more_every_look_is_a_question(engine: Engine) -> None:
    engine.told.service("api")
    engine.ends()
    engine.states["api"] = "exited"

    assert engine.told.service("api").state == "exited"
    engine.told.service("api")
    assert len(engine.asked) == 3


def test_an_engine_that_is_silent_for_long_is_asked_whether_it_still_is_there() -> None:
    """One that stands still tells of nothing either: the question has a deadline."""
    clock, asked = FakeClock(), []

    def look(name: str) -> Service:
        asked.append(clock.now())
        return Service(name, "running")

    told = Told(look, lambda event: str(event["service"]), clock.now)
    for _ in range(60):
        told.service("api")
        clock.sleep(1)

    assert asked == [0, 10, 20, 30, 40, 50]
