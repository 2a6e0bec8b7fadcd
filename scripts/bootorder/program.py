"""The command line around the tasks: settings from Invoke's configuration, our errors to its exits."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from invoke.config import AmbiguousMergeError, Config
from invoke.context import Context
from invoke.exceptions import Exit, ParseError, UnknownFileType
from invoke.loader import Loader
from invoke.program import Program

from . import __version__
from .configuration import Configuration
from .errors import BootError, SettingsError, command

if TYPE_CHECKING:
    from .console import Console

_SIGPIPE = 128 + 13
_AGAIN_SECONDS = 0.05
_TASKS = f"{__package__}.tasks"


class Bootorder(Program):
    """Invoke as `./inv` runs it: a wrong flag or a broken invoke.yaml is one clear line and exit code 2."""

    def create_config(self) -> None:
        with self._refused():
            super().create_config()

    def parse_core(self, argv: list[str] | None) -> None:
        with self._usage():
            super().parse_core(argv)

    def parse_collection(self) -> None:
        with self._refused():
            super().parse_collection()

    def update_config(self, merge: bool = True) -> None:
        path = self.args.config.value or os.environ.get("INVOKE_RUNTIME_CONFIG", "")
        with self._refused():
            if path and not Path(path).expanduser().exists():  # without a word Invoke goes on without it
                raise SettingsError(
                    f"there is no file {path}",
                    expected="a file of settings, by --config or INVOKE_RUNTIME_CONFIG",
                    hint="correct its path",
                )
            super().update_config(merge)

    def execute(self) -> None:
        with self._refused():
            super().execute()

    def parse_tasks(self) -> None:
        with self._usage():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        with self._usage():
            super().parse_cleanup()

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

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except BootError as error:
            raise self._exit(error) from None
        except UnknownFileType as error:
            mistake = SettingsError(str(error), hint="give a .yaml, .yml, .json or .py file")
            raise self._exit(mistake) from None
        except AmbiguousMergeError as error:
            mistake = SettingsError(
                "the files of settings contradict each other",
                expected="a key with keys below it in one of them has keys below it in all",
                seen=str(error).rpartition(" with ")[2],
                hint="correct invoke.yaml, or the one in your home folder or /etc",
            )
            raise self._exit(mistake) from None

    def _exit(self, error: BootError) -> Exit:
        from .console import Console

        console = Console()
        console.error(error)
        if not {"--json", "-j"}.isdisjoint(self.argv):
            _as_json(console, error)
        return Exit(code=error.exit_code)


class ImportedTasks(Loader):
    """Tasks by the name of their module, whatever tasks.py the repository has; `root` has the invoke.yaml."""

    def __init__(self, root: Path, tasks: str, *, config: Config, start: str | None) -> None:  # noqa: ARG002
        super().__init__(config)
        self._root = root
        self._tasks = tasks

    def load(self, name: str | None = None) -> tuple[ModuleType, str]:
        try:
            return import_module(name or self._tasks), str(self._root)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise SettingsError(
                f"there is no collection `{name}`",
                expected=f"the name of a module in {self._root}",
                hint=f"see {command('--list')} for the tasks without --collection",
            ) from None


def main(root: Path | None = None, tasks: str = _TASKS) -> None:
    """Run the tasks, from whatever folder this was called; `root` has the invoke.yaml."""
    if not __package__.startswith("scripts."):
        os.environ.setdefault("BOOTORDER_COMMAND", "bootorder")
    folder = root or import_module(tasks).ROOT
    given = sys.argv[1:]
    if given[1:2] in (["--help"], ["-h"]):  # which Invoke takes for the path of `copy-to`
        given = ["--help", given[0]]
    loader = partial(ImportedTasks, folder, tasks)
    names = ["invoke", "inv"] if __package__.startswith("scripts.") else ["bootorder"]  # which a shell completes
    try:
        Bootorder(
            name="bootorder",
            binary="inv",
            binary_names=names,
            version=__version__,
            loader_class=loader,  # type: ignore[arg-type]
            config_class=Configuration,
        ).run([sys.argv[0], *given])
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
    sys.unraisablehook = _interrupt_again
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


def _interrupt_again(ignored: sys.UnraisableHookArgs) -> None:
    """Repeat an interrupt that Python ignored: it arrived in a weak reference's callback or in a `__del__`.

    A moment later and from another thread, as what this function itself raises is ignored, too.
    """
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    repeat = threading.Timer(_AGAIN_SECONDS, _interrupt_main_thread)
    repeat.daemon = True
    repeat.start()


def _interrupt_main_thread() -> None:
    """Send a real signal, which also ends what the main thread waits for."""
    if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident):
        signal.pthread_kill(main, signal.SIGTERM)  # a shell starts what runs in its background with SIGINT ignored
    else:
        signal.raise_signal(signal.SIGINT)
