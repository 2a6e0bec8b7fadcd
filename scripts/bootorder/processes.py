"""Running a command: argument list in, lines out, never a shell, never left behind on Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Protocol, TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.05
# How long to read on when the command has ended and something that it left behind still holds its pipes.
_LEFT_OVER_SECONDS = 5.0
# As shells and containers tell that a signal was the end.
_BY_SIGNAL = 128
_FROM_OUTSIDE = {1: "SIGHUP", 2: "SIGINT", 9: "SIGKILL", 15: "SIGTERM"}
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


@dataclass(frozen=True)
class Completed:
    """A finished command. `text` is both streams in the order they arrived."""

    code: int
    out: str
    text: str

    def hint(self, otherwise: str) -> str:
        """What to do about its end: the tool is not to blame where a signal ended it."""
        number = -self.code if self.code < 0 else self.code - _BY_SIGNAL
        if number not in _FROM_OUTSIDE:
            return otherwise
        return f"run this again: it was ended from outside ({_FROM_OUTSIDE[number]}), e.g. by a `stop` meanwhile"


class Commands(Protocol):
    """Runs a command to its end."""

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        inherit: bool = True,
    ) -> Completed: ...


class Processes(Commands, Protocol):
    """What the rest needs of the operating system; replaced in unit tests."""

    def stream(self, argv: Sequence[str], *, cwd: Path) -> Iterator[str]: ...

    def end_all(self) -> None:
        """End every command that runs now, whichever thread waits for it."""


class SystemProcesses:
    """Real processes, each in a group of its own, so that Ctrl-C reaches them once, from here."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()

    def end_all(self) -> None:
        for process in list(self._running):
            _end(process)

    @contextlib.contextmanager
    def _ended(self, process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
        """Whatever ends the block, the process has ended too."""
        self._running.add(process)
        try:
            yield process
        finally:
            try:
                _end(process)
            finally:
                self._running.discard(process)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        inherit: bool = True,
    ) -> Completed:
        """Run to the end. `env` is added to this process's environment, or replaces it. Raises FileNotFoundError."""
        out: list[str] = []
        both: list[str] = []
        failures: list[BaseException] = []

        def read(stream: IO[str], keep: list[str] | None) -> None:
            with stream:
                for line in stream:
                    if keep is not None:
                        keep.append(line)
                    both.append(line)
                    if on_line and not failures:
                        try:
                            on_line(line.rstrip())
                        except Exception as error:  # noqa: BLE001  # raised again below, where the caller is
                            failures.append(error)

        given = {**(os.environ if inherit else {}), **(env or {})}
        with self._ended(_start(argv, cwd, given, stderr=subprocess.PIPE)) as process:
            readers = [
                Thread(target=read, args=(stream, keep), daemon=True)
                for stream, keep in ((process.stdout, out), (process.stderr, None))
                if stream
            ]
            for reader in readers:
                reader.start()
            code = process.wait()
            limit = time.monotonic() + _LEFT_OVER_SECONDS
            for reader in readers:
                reader.join(max(0.0, limit - time.monotonic()))
            if any(reader.is_alive() for reader in readers):
                _tell(process, _KILL)
        if failures:
            raise failures[0]
        return Completed(code, "".join(out), "".join(both))

    def stream(self, argv: Sequence[str], *, cwd: Path) -> Iterator[str]:
        """The command's lines as they come; the command ends when the reader stops reading."""
        with (
            self._ended(_start(argv, cwd, os.environ, stderr=subprocess.STDOUT)) as process,
            process.stdout or io.StringIO() as lines,
        ):
            for line in lines:
                yield line.rstrip("\r\n")


def at_once(processes: Processes, things: Sequence[Thing], work: Callable[[Thing], Result]) -> Sequence[Result]:
    """What becomes of each, worked on at the same time. One that fails lets the others come to their end.

    Then the first error is raised.
    """
    if len(things) == 1:
        return [work(things[0])]
    failures: list[BaseException] = []

    def run(thing: Thing) -> Result:
        try:
            return work(thing)
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(max_workers=len(things) or 1) as pool:
        futures = [pool.submit(run, thing) for thing in things]
        try:
            wait(futures)
        finally:
            end_threads(processes, lambda seconds: not wait(futures, timeout=seconds).not_done)
    if failures:
        raise failures[0]
    return [future.result() for future in futures]


def end_threads(processes: Processes, ended: Callable[[float], bool]) -> None:
    """End what threads wait for, until they have `ended`, which is told how many seconds it may wait for that."""
    while not ended(0):
        # A second Ctrl-C kills what it meets, and why they are to end is known by now.
        with contextlib.suppress(KeyboardInterrupt):
            # Again and again: between two looks a thread may have begun its next command.
            processes.end_all()
            ended(_LOOK_SECONDS)


def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], *, stderr: int) -> subprocess.Popen[str]:
    windows = sys.platform == "win32"
    return subprocess.Popen(
        # on Windows `pnpm` is `pnpm.cmd`, which only a full path finds
        [shutil.which(argv[0], path=env.get("PATH")) or argv[0], *argv[1:]] if windows else list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=not windows,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if windows else 0,
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Asked first, killed after a grace period."""
    if process.poll() is None:
        try:
            _tell(process, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        finally:
            # Also at a second Ctrl-C, and for children that did not listen.
            _tell(process, _KILL)
            process.wait()


def _tell(process: subprocess.Popen[str], number: int) -> None:
    """Signal the command and everything it started; on Windows only the break event reaches all of them."""
    if hasattr(os, "killpg"):
        # It ended meanwhile; macOS answers EPERM for the group of one that did.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    elif process.poll() is None:
        process.send_signal(number)
