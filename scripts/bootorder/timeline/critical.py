"""The critical path: the chain of child processes and waits that determined when a boot ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .spans import OURS, Recording, Span

# Parts of the path that are shorter than this share of the boot are summed.
_SHOWN = 0.05


@dataclass(frozen=True)
class Part:
    """What one service or owner contributed to the path."""

    name: str
    seconds: float


def outside(recording: Recording) -> Sequence[Span]:
    """The spans in which something else than our own code was at work; of those within each other the innermost."""
    found = [span for span in recording.spans if span.kind not in OURS]
    around = {span.parent for span in found}
    return [span for span in found if span.id not in around]


def own_seconds(recording: Recording) -> float:
    """How long nothing but our own code ran."""
    own, reached = 0.0, 0.0
    for span in sorted(outside(recording), key=lambda span: span.begin):
        own += max(0.0, span.begin - reached)
        reached = max(reached, span.end)
    return own + max(0.0, recording.seconds - reached)


def critical_path(recording: Recording) -> Sequence[Span]:
    """From what ended last back to what it came after, again and again; in the order of time.

    Where a stage failed, from what failed in it: what was given up for that ended later.
    """
    work = list(outside(recording))
    path: list[Span] = []
    failed = [span for span in work if all(around.outcome == "failed" for around in recording.lineage(span))]
    last = max(failed or work, key=_ended, default=None)
    while last:
        path.append(last)
        work.remove(last)
        last = _before(last, work, recording)
    return path[::-1]


def _before(span: Span, work: Sequence[Span], recording: Recording) -> Span | None:
    """What this one came after: the last to end of those that it needs, else of those in the same place.

    From the inside out: in its own rehearsal or migration first, then in its stage, then in the whole boot.
    """
    earlier = [(other, recording.lineage(other)) for other in work if other.end <= span.begin]
    for level in recording.lineage(span):
        needs = _needed(level, recording)
        needed = [other for other, around in earlier if not needs.isdisjoint(its.name for its in around)]
        beside = [other for other, around in earlier if level.parent in {None, *(its.id for its in around)}]
        if needed or beside:
            return max(needed or beside, key=_ended)
    return None


def _needed(span: Span, recording: Recording) -> set[str]:
    """What it needs; of a stage or a job also what those need again: some do nothing that takes time."""
    steps = {its.name: its.needs for its in recording.spans if its.kind in {"stage", "job"}}
    needed = set(span.needs)
    reached = list(span.needs)
    for name in reached:
        if span.kind in {"stage", "job"} and name in steps:
            reached += (other for other in steps[name] if other not in needed)
            needed.update(steps[name])
    return needed


def _ended(span: Span) -> tuple[float, int]:
    """Of those that end at once the one that was begun last comes last: it may take no time."""
    return span.end, span.id


def parts(recording: Recording) -> Sequence[Part]:
    """The path by what people know: a service with its start and its wait, an owner's rehearsal with all its steps."""
    found: list[Part] = []
    for span in critical_path(recording):
        name = [around for around in recording.lineage(span) if around.kind != "stage"][-1].name
        before = found.pop().seconds if found and found[-1].name == name else 0.0
        found.append(Part(name, before + span.seconds))
    return found


def told(recording: Recording) -> str:
    """`critical path 4.1 s: postgres 1.3 → migrate sso 1.1 → api 1.6; 0.1 s own`."""
    whole, own = recording.seconds, own_seconds(recording)
    shown = [part for part in parts(recording) if part.seconds >= _SHOWN * whole]
    other = whole - own - sum(part.seconds for part in shown)
    chain = " → ".join(f"{part.name} {part.seconds:.1f}" for part in shown)
    rest = [f"{seconds:.1f} s {what}" for seconds, what in ((other, "other"), (own, "own")) if seconds >= _SHOWN]
    return f"critical path {whole:.1f} s: {'; '.join(filter(None, (chain, ', '.join(rest))))}"
