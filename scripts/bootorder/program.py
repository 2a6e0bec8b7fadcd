"""The command line around the tasks: settings from Invoke's configuration, our errors to its exits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.program import Program
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from .errors import BootError, SettingsError, UserInterruptError, command

if TYPE_CHECKING:
    from .console import Console

_SIGPIPE = 128 + 13


class Bootorder(Program):
    """Invoke as `./inv` runs it: a wrong flag or a broken invoke.yaml is one clear line and exit code 2."""

    def parse_core(self, argv: list[str] | None) -> None:
        with _usage():
            super().parse_core(argv)

    def parse_collection(self) -> None:
        try:
            super().parse_collection()
        except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
            where = " ".join(str(error).split())
            raise _exit(
                SettingsError("invoke.yaml is not YAML", seen=where, hint="correct invoke.yaml at that line")
            ) from None
        except AttributeError as error:
            if "'items'" not in str(error) and "'get'" not in str(error) and "'keys'" not in str(error):
                raise
            raise _exit(
                SettingsError(
                    "invoke.yaml is not a mapping",
                    expected="keys at its top, `bootorder:` among them",
                    hint="correct invoke.yaml; docs/settings.md shows one",
                )
            ) from None

    def parse_tasks(self) -> None:
        with _usage():
            super().parse_tasks()


def main(root: Path) -> None:
    """Run the tasks of `root`, from whatever folder this was called."""
    Bootorder(name="bootorder", binary="inv", version="0.1.0").run(
        [sys.argv[0], "--search-root", str(root), *sys.argv[1:]]
    )


@contextlib.contextmanager
def translated(console: Console) -> Iterator[None]:
    """Ends a task with the exit code of our error. SIGTERM and SIGHUP end it as Ctrl-C does, tidily."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` has asked to ignore a hang-up
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    except BootError as error:
        if not error.shown:
            console.error(error)
        raise Exit(code=error.exit_code) from None
    except KeyboardInterrupt:
        raise Exit(code=UserInterruptError.exit_code) from None
    except BrokenPipeError:
        # The reader of our output is gone (`inv start | head`): end as a process that SIGPIPE ends, and keep Python
        # from flushing into the pipe.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise Exit(code=_SIGPIPE) from None
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
    except (ParseError, ValueError) as error:  # Invoke lets the ValueError of a number that is none through
        message = str(error).strip()
        raise _exit(
            SettingsError(
                message[:1].lower() + message[1:],
                hint=f"see {command('--list')} for the tasks, {command('TASK --help')} for their flags",
            )
        ) from None


def _exit(error: BootError) -> Exit:
    from .console import Console

    Console().error(error)
    return Exit(code=error.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
