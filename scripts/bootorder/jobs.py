"""Work beside the stages: begun as soon as it may, waited for by the stage that needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .boot import Boot
from .outcome import Outcome
from .processes import end_threads


@dataclass(frozen=True)
class Job:
    """`after`: the stages and jobs that must have ended; those that are not run are not waited for.

    `before`: the stage that needs what this makes.
    """

    name: str
    does: str
    cause: str
    after: Sequence[str]
    before: str
    run: Callable[[Boot], Outcome]


class Beside:
    """The jobs of one run of stages. As a context: none of them goes on after it."""

    def __init__(self, boot: Boot, jobs: Sequence[Job], stages: Sequence[str]) -> None:
        self._boot = boot
        self._jobs = [job for job in jobs if job.before in stages]
        self._to_come = {*stages, *(job.name for job in self._jobs)}
        self._given_up = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name=job.name, args=[job], daemon=True) for job in self._jobs
        ]
        self.failures: list[tuple[str, BaseException]] = []  # by job, in the order in which they failed

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
        end_threads(self._boot.processes, self._have_ended)

    def _have_ended(self, seconds: float) -> bool:
        for thread in self._threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def ended(self, name: str) -> None:
        """Let begin what waits for this stage or job."""
        with self._changed:
            self._to_come.discard(name)
            self._changed.notify_all()

    def require(self, stage: str) -> None:
        """Wait for what this stage needs. Raises what the first job failed with, be it needed by a later stage only."""
        needed = {job.name for job in self._jobs if job.before == stage}
        with self._changed:
            self._changed.wait_for(lambda: self.failures or self._to_come.isdisjoint(needed))
        if self.failures:
            raise self.failures[0][1]

    def _run(self, job: Job) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._to_come.isdisjoint(job.after))
            if self._given_up:
                return
        try:
            with self._boot.timeline.span(job.name, "job", cause=job.cause, needs=job.after) as span:
                try:
                    span.came_to(job.run(self._boot))
                except BaseException:
                    if self._given_up:
                        span.came_to(Outcome.skipped("given up, as something else failed"))
                    raise
        except BaseException as error:  # noqa: BLE001  # raised again by `require`, where somebody can tell it
            with self._changed:
                if not self._given_up:
                    self.failures.append((job.name, error))
                self._changed.notify_all()
        else:
            self.ended(job.name)
