"""One family of errors: what went wrong, what was expected and seen, a hint, and an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .redaction import SECRETS
from .terminal import plain


def command(arguments: str) -> str:
    """A command line as this person types it, e.g. `./inv start` (the wrapper says how it was called)."""
    return f"{os.environ.get('BOOTORDER_COMMAND', 'inv')} {arguments}"


def page(name: str) -> str:
    """Where this person has a page of the documentation: in a copy it stands among the tasks."""
    packed = Path(__file__).with_name("docs")
    if not packed.is_dir():
        return f"docs/{name}"
    return f"scripts/bootorder/docs/{name}" if __package__ == "scripts.bootorder" else str(packed / name)


@dataclass(frozen=True)
class LogTail:
    """The last lines something printed before it failed."""

    source: str
    lines: Sequence[str]

    KEPT = 20

    @classmethod
    def of(cls, source: str, text: str) -> LogTail:
        # Hidden before it is cut into lines: half of a secret is nothing that could be found in it afterwards.
        lines = [line.rstrip() for line in SECRETS.redact(plain(text)).splitlines() if line.strip()]
        return cls(source, lines[-cls.KEPT :])


class BootError(Exception):
    """A failure a person can act on. `hint` starts with a verb."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        expected: str = "",
        seen: str = "",
        log: LogTail | None = None,
        details: Sequence[str] = (),
        first: Sequence[str] = (),
        goes_on: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.expected = expected
        self.seen = seen
        self.log = log
        self.details = tuple(details)
        self.first = tuple(first)  # stages that must run before the failed one can go on
        self.goes_on = goes_on  # whether the same command can end well without another setting or flag
        self.go_on = ""  # the command that continues, set by the plan that failed
        self.shown = False  # a plan shows its failure with its stage; nobody shows it again

    def as_data(self) -> dict[str, object]:
        """The error for `--json`."""
        return {
            "message": self.message,
            "expected": self.expected,
            "seen": self.seen,
            "details": list(self.details),
            "log": list(self.log.lines) if self.log else [],
            "hint": self.hint,
            "go_on": self.go_on,
            "exit_code": self.exit_code,
        }


class SettingsError(BootError):
    """invoke.yaml, compose.yaml, .env or a flag says something that cannot be."""

    exit_code = 2


class MachineError(BootError):
    """This machine lacks something: an engine, a tool, a free port."""

    exit_code = 3


class NotReadyError(BootError):
    """A service or the database did not become ready, or a stage came before the one it needs."""

    exit_code = 4


class MigrationError(BootError):
    """A migration or a seed failed."""

    exit_code = 5


class GuardError(BootError):
    """Something of another owner was lost, or would be."""

    exit_code = 6


class LockedError(BootError):
    """Another start is at work on the same stack."""

    exit_code = 7


class BuildError(BootError):
    """A service could not be built from its sources."""

    exit_code = 8


class UserInterruptError(BootError):
    """Ctrl-C, or a polite request to end (SIGTERM, SIGHUP)."""

    exit_code = 130
