"""Spans with begin, end, cause and result: recorded while a boot runs, kept as a file."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from .. import state_files
from ..errors import BootError
from ..outcome import Outcome
from ..probes import Clock, SystemClock
from ..redaction import SECRETS

Kind = Literal["stage", "job", "check", "owner", "verify", "tool", "build", "start", "stop", "wait", "database"]
# In these our own code runs, the others within them aside: a child process, a wait, the making of a whole database.
OURS: frozenset[Kind] = frozenset({"stage", "job", "check", "owner", "verify"})


@dataclass
class Span:
    """One piece of a boot. `begin` and `end` are seconds since the boot began; `parent`: the span it was begun in.

    `needs`: names of spans that had to end first, where that is known. `outcome`: done, skipped or failed.
    """

    id: int
    parent: int | None
    name: str
    kind: Kind
    begin: float
    end: float = math.inf
    outcome: str = ""
    text: str = ""
    cause: str = ""
    needs: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def came_to(self, outcome: Outcome) -> None:
        self.outcome, self.text = "skipped" if outcome.was_skipped else "done", outcome.text


class _Within(threading.local):
    """The span that this thread is in. A new thread is in none: what it begins is within the stage."""

    span: Span | None = None


class Timeline:
    """Records the spans of one run, from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._zero = self._clock.now()
        self._began = time.time()
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self._stage: Span | None = None
        self._within = _Within()

    @contextlib.contextmanager
    def span(self, name: str, kind: Kind, *, cause: str = "", needs: Sequence[str] = ()) -> Iterator[Span]:
        """Record what is done in the block; an exception is its failure."""
        with self.spans([name], kind, cause=cause, needs=needs) as (span,):
            yield span

    @contextlib.contextmanager
    def spans(
        self, names: Sequence[str], kind: Kind, *, cause: str = "", needs: Sequence[str] = ()
    ) -> Iterator[Sequence[Span]]:
        """Several that begin and end together, e.g. services that are started at once."""
        begun = [self._begin(name, kind, cause, needs) for name in names]
        within, self._within.span = self._within.span, begun[0]
        try:
            yield begun
        except BaseException as error:
            self._end(begun, Outcome(_said(error)), failed=True)
            raise
        else:
            self._end(begun, Outcome(""))
        finally:
            self._within.span = within

    def _begin(self, name: str, kind: Kind, cause: str, needs: Sequence[str]) -> Span:
        with self._lock:
            parent = None if kind == "job" else self._within.span or self._stage  # a job is within no stage
            known = parent.id if parent else None
            span = Span(len(self._spans), known, name, kind, self._now(), cause=cause, needs=tuple(needs))
            self._spans.append(span)
            if kind == "stage":
                self._stage = span
        return span

    def _end(self, spans: Sequence[Span], outcome: Outcome, *, failed: bool = False) -> None:
        with self._lock:
            now = self._now()
            for span in spans:
                span.end = now
                span.outcome = span.outcome or ("failed" if failed else "done")
                span.text = span.text or outcome.text
                if span is self._stage:
                    self._stage = None

    def _now(self) -> float:
        return self._clock.now() - self._zero

    @property
    def stages(self) -> Sequence[Span]:
        """Those that were begun, in their order."""
        return [span for span in self._spans if span.kind == "stage"]

    def recording(self, about: Mapping[str, str]) -> Recording:
        """What was recorded so far."""
        with self._lock:
            now = self._now()
            spans = tuple(replace(span, end=min(span.end, now)) for span in self._spans)
        return Recording(self._began, dict(about), spans)


@dataclass(frozen=True)
class Recording:
    """The spans of a run that has ended. `began`: by the wall clock, in seconds since 1970."""

    began: float
    about: dict[str, str]
    spans: tuple[Span, ...]
    version: Literal[1] = 1

    @property
    def seconds(self) -> float:
        """From the begin of the boot to the end of its last span."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def failed(self) -> str:
        """The stage that failed, if one did: a tool may fail and have done its work."""
        return next((span.name for span in self.spans if (span.kind, span.outcome) == ("stage", "failed")), "")

    def lineage(self, span: Span) -> Sequence[Span]:
        """The span and those around it, the innermost first."""
        found = [span]
        while found[-1].parent is not None:
            found.append(self._by_id[found[-1].parent])
        return found

    @cached_property
    def _by_id(self) -> Mapping[int, Span]:
        return {span.id: span for span in self.spans}

    def save(self, path: Path) -> None:
        """Write the file that `load` reads, without secrets. Raises OSError."""
        state_files.write(path, json.dumps(SECRETS.redacted(asdict(self))))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Raises FileNotFoundError, or ValueError where the file is not what `save` writes."""
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(path.read_bytes())


def _said(error: BaseException) -> str:
    if isinstance(error, BootError):
        return error.message
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return " ".join(str(error).split()) or type(error).__name__
