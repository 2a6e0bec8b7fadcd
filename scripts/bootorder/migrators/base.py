"""What differs from one schema tool to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..processes import Completed


@dataclass(frozen=True)
class Claim:
    """What a tool said of its run. Shown to people, never believed without the catalog."""

    succeeded: bool
    text: str


# (owner, its migrate command, a way to run another one there) -> names of its models; None where they cannot be known.
# Raises MigrationError where the tool would leave a model out without a word.
ModelsCheck = Callable[[str, Sequence[str], Callable[[Sequence[str]], Completed]], Sequence[str] | None]


class Migrator(Protocol):
    """The adapter that knows one tool."""

    name: str
    # Whether the app makes its own tables when it starts: then `migrate` only rehearses.
    creates_at_start: bool
    # The one schema that it looks into, whatever the search path; empty where it uses the path.
    only_schema: str
    # For a tool that knows only the models that something imported.
    check_models: ModelsCheck | None
    # What to try when the catalog is not what the tool makes; starts with a verb.
    hint: str

    def claim(self, done: Completed) -> Claim:
        """What this run said it did."""

    def forced(self, argv: Sequence[str]) -> Sequence[str]:
        """The command, told not to ask before it loses rows of its own."""


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was printed"
