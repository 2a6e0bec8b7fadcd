"""What differs from one schema tool to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..processes import Completed


@dataclass(frozen=True)
class Claim:
    """What a tool said of its run. Shown to people, never believed without the catalog."""

    succeeded: bool
    text: str


class Migrator(Protocol):
    """The adapter that knows one tool."""

    name: str
    # Whether the app makes its own tables when it starts: then `migrate` only rehearses.
    creates_at_start: bool
    # What to try when the catalog is not what the tool makes; starts with a verb.
    hint: str

    def claim(self, done: Completed) -> Claim:
        """What this run said it did."""


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was printed"
