"""The command line around the tasks: settings from Invoke's configuration, our errors to its exits."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from invoke.config import Config
from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.loader import Loader
from invoke.program import Program
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from . import __version__
from .errors import BootError, SettingsError, command, page

if TYPE_CHECKING:
    from .console import Console

_SIGPIPE = 128 + 13
_TASKS = f"{__package__}.tasks"


class Bootorder(Program):
    """Invoke as `./inv` runs it: a wrong flag or a broken invoke.yaml is one clear line and exit code 2."""

    def parse_core(self, argv: list[str] | None) -> None:
        with self._usage():
            super().parse_core(argv)

    def parse_collection(self) -> None:
        try:
            super().parse_collection()
        except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
            where = " ".join(str(error).split())
            raise self._exit(
                SettingsError("invoke.yaml is not YAML", seen=where, hint="correct invoke.yaml at that line")
            ) from None
        except AttributeError as error:
            if "'items'" not in str(error) and "'get'" not in str(error) and "'keys'" not in str(error):
                raise
            raise self._exit(
                SettingsError(
                    "invoke.yaml is not a mapping",
                    expected="keys at its top, `bootorder:` among them",
                    hint=f"correct invoke.yaml; {page('settings.md')} shows one",
                )
            ) from None

    def parse_tasks(self) -> None:
        with self._usage():
            super().parse_tasks()

    @contextlib.contextmanager
    def _usage(self) -> Iterator[None]:
        try:
            yield
        except (ParseError, ValueError) as error:  # Invoke lets the ValueError of a number that is none through
            message = re.sub(
                r"^invalid literal for int\(\) with base 10: (.*)", r"\1 is not a number", str(error).strip()
            )
            raise self._exit(
                SettingsError(
                    message[:1].lower() + message[1:],
                    hint=f"see {command('--list')} for the tasks, {command('TASK --help')} for their flags",
                )
            ) from None

    def _exit(self, error: BootError) -> Exit:
        from .console import Console

        console = Console()
        console.error(error)
        if not {"--json", "-j"}.isdisjoint(self.argv):
            _as_json(console, error)
        return Exit(code=error.exit_code)


class ImportedTasks(Loader):
    """Tasks by the name of their module, whatever tasks.py the repository has of its own."""

    def __init__(self, start: str, config: Config | None = None) -> None:
        super().__init__(config)
        self._start = start

    def load(self, name: str | None = None) -> tuple[ModuleType, str]:
        return import_module(name or _TASKS), self._start


def main(root: Path | None = None, tasks: str = _TASKS) -> None:
    """Run the tasks, from whatever folder this was called; `root` has the invoke.yaml."""
    if not __package__.startswith("scripts."):
        os.environ.setdefault("BOOTORDER_COMMAND", "bootorder")
    folder = root or import_module(tasks).ROOT
    given = sys.argv[1:]
    if given[1:2] in (["--help"], ["-h"]):  # which Invoke takes for the path of `copy-to`
        given = ["--help", given[0]]
    try:
        Bootorder(name="bootorder", binary="inv", version=__version__, loader_class=ImportedTasks).run(
            [sys.argv[0], "--search-root", str(folder), "--collection", tasks, *given]
        )
    except BrokenPipeError:
        raise SystemExit(_without_reader()) from None


def _without_reader() -> int:
    """The reader of our output is gone (`inv start | head`): end as a process that SIGPIPE ends, without a flush."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return _SIGPIPE


@contextlib.contextmanager
def translated(console: Console, *, as_json: bool = False) -> Iterator[None]:
    """Ends a task with the exit code of our error. SIGTERM and SIGHUP end it as Ctrl-C does, tidily.

    With `as_json` every failure is one object on stdout, too.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` has asked to ignore a hang-up
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.excepthook = lambda _kind, error, _trace: console.unexpected(error)
    threading.excepthook = lambda given: console.unexpected(given.exc_value) if given.exc_value else None
    try:
        yield
    except BrokenPipeError:
        raise Exit(code=_without_reader()) from None
    except (Exception, KeyboardInterrupt) as cause:
        error = _as_ours(cause)
        if error is None:
            raise
        if not error.shown:
            console.error(error)
        if as_json:
            _as_json(console, error)
        raise Exit(code=error.exit_code) from None


def _as_ours(cause: BaseException) -> BootError | None:
    """Also what the system or the database did outside a stage (`status`, `doctor`); nothing for a mistake of ours."""
    if isinstance(cause, BootError):
        return cause
    import psycopg

    from .stages import as_boot_error

    if not isinstance(cause, OSError | psycopg.Error | KeyboardInterrupt):
        return None
    error = as_boot_error(cause)
    error.shown = isinstance(cause, KeyboardInterrupt)  # who pressed it knows
    return error


def configuration(c: Context) -> dict[str, Any]:
    """Invoke's merged configuration (files, INVOKE_* variables) as plain values."""
    return dict(c.config.items())


def _as_json(console: Console, error: BootError) -> None:
    if not console.gave_data:  # a start that failed has told more already
        console.data({"ok": False, "error": error.as_data()})


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
