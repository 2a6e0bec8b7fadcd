"""What a stage came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """`text` completes the step's line; for a skipped stage it says why."""

    text: str
    was_skipped: bool = False

    @classmethod
    def done(cls, text: str) -> Outcome:
        return cls(text)

    @classmethod
    def skipped(cls, why: str) -> Outcome:
        return cls(why, was_skipped=True)
