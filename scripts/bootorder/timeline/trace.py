"""The spans as a Chrome trace, which Perfetto and chrome://tracing open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .critical import critical_path
from .spans import Recording, Span


def trace(recording: Recording) -> Mapping[str, Any]:
    """One complete event a span, in microseconds; spans that overlap lie in lanes of their own."""
    critical = {span.id for span in critical_path(recording)}
    named = {"name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": "bootorder"}}
    events = [
        {
            "name": span.name,
            "cat": span.kind,
            "ph": "X",
            "ts": _micro(span.begin),
            "dur": _micro(span.end) - _micro(span.begin),
            "pid": 1,
            "tid": lane,
            "args": {
                "outcome": span.outcome,
                "text": span.text,
                "cause": span.cause,
                "needs": list(span.needs),
                "critical": span.id in critical,
            },
        }
        for span, lane in _lanes(recording.spans)
    ]
    return {"traceEvents": [named, *events], "displayTimeUnit": "ms", "otherData": recording.about}


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _lanes(spans: Sequence[Span]) -> Sequence[tuple[Span, int]]:
    """Each span with the first lane in which it lies beside nothing and within its parent only."""
    lanes: list[list[Span]] = []  # of each lane what is open, the innermost last
    placed = []
    for span in sorted(spans, key=lambda span: (span.begin, span.id)):
        for opened in lanes:
            while opened and _micro(opened[-1].end) <= _micro(span.begin) and opened[-1].id != span.parent:
                opened.pop()
        free = (lane for lane, opened in enumerate(lanes) if not opened or _encloses(opened[-1], span))
        lane = next(free, len(lanes))
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(span)
        placed.append((span, lane + 1))
    return placed


def _encloses(outer: Span, inner: Span) -> bool:
    return outer.id == inner.parent and outer.end >= inner.end
