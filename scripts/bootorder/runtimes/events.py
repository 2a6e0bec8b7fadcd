"""Services as the engine tells of them: looked at again when it said that something became of one."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .base import Service

# Longer than this nothing is believed without a question: an engine that stands still tells of nothing either, and a
# connection may be gone without a word. It is the question that has a deadline, and an error.
_SILENT_SECONDS = 10.0
# A health check itself is an event too, twice a second for each service: those are not asked for.
ACTIONS = ("start", "die", "kill", "oom", "pause", "unpause", "restart", "destroy", "health_status")


class Told:
    """`look` at one service costs a question to the engine; `service_of` says whom an event is about."""

    def __init__(
        self,
        look: Callable[[str], Service],
        service_of: Callable[[Mapping[str, Any]], str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._service_of = service_of
        self._now = now
        self._known: dict[str, tuple[float, Service]] = {}  # each with the time until which it is believed
        self._news = 0  # how many events there were
        self._listens = True
        self._changed = threading.Condition()

    def service(self, name: str) -> Service:
        with self._changed:
            until, known = self._known.get(name, (0.0, None))
            if known and self._now() < until:
                return known
            before = self._news
            until = self._now() + _SILENT_SECONDS
        found = self._look(name)
        with self._changed:
            if self._listens and before == self._news:
                self._known[name] = (until, found)
        return found

    def wait(self, seconds: float) -> None:
        """Until there is news, but no longer than that."""
        with self._changed:
            self._changed.wait(seconds)

    def listen(self, events: Iterator[Mapping[str, Any]]) -> None:
        """Until the engine tells no more; from then on every look is a question."""
        # An engine that breaks off, or whose last word is cut off: who asks it next is told what became of it.
        with contextlib.suppress(OSError, ValueError):
            for event in events:
                with self._changed:
                    self._news += 1
                    self._known.pop(self._service_of(event), None)
                    self._changed.notify_all()
        with self._changed:
            self._listens = False
            self._known.clear()
