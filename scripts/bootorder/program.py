"""The command line around the tasks: settings from Invoke's configuration, our errors to its exits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.program import Program
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from .console import Console
from .errors import BootError, SettingsError, UserInterruptError, command


class Bootorder(Program):
    """Invoke as `./inv` runs it: a wrong flag or a broken invoke.yaml is one clear line and exit code 2."""

    def parse_core(self, argv: list[str] | None) -> None:
        with _usage():
            super().parse_core(argv)

    def parse_collection(self) -> None:
        try:
            super().parse_collection()
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise _exit(
                SettingsError("invoke.yaml is not YAML", seen=where, hint="correct invoke.yaml at that line")
            ) from None

    def parse_tasks(self) -> None:
        with _usage():
            super().parse_tasks()


def main(root: Path) -> None:
    """Run the tasks of `root`, from whatever folder this was called."""
    Bootorder().run([sys.argv[0], "--search-root", str(root), *sys.argv[1:]])


@contextlib.contextmanager
def translated(console: Console) -> Iterator[None]:
    """Ends a task with the exit code of our error. SIGTERM and SIGHUP end it as Ctrl-C does, tidily."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        yield
    except BootError as error:
        if not error.shown:
            console.error(error)
        raise Exit(code=error.exit_code) from None
    except KeyboardInterrupt:
        raise Exit(code=UserInterruptError.exit_code) from None
    except BrokenPipeError:
        # The reader of our output is gone (`inv logs | head`): end quietly, and keep Python from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=0) from None
    except Exception as cause:
        outside = _of_the_world(cause)
        if outside is None:
            raise
        console.error(outside)
        raise Exit(code=outside.exit_code) from None


def _of_the_world(cause: Exception) -> BootError | None:
    """What the system or the database did outside a stage (`status`, `doctor`); nothing for a mistake of ours."""
    import psycopg

    from .stages import as_boot_error

    return as_boot_error(cause) if isinstance(cause, OSError | psycopg.Error) else None


def configuration(c: Context) -> dict[str, Any]:
    """Invoke's merged configuration (files, INVOKE_* variables) as plain values."""
    return dict(c.config.items())


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        message = str(error).strip()
        raise _exit(
            SettingsError(
                message[:1].lower() + message[1:],
                hint=f"see {command('--list')} for the tasks, {command('TASK --help')} for their flags",
            )
        ) from None


def _exit(error: BootError) -> Exit:
    Console().error(error)
    return Exit(code=error.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
