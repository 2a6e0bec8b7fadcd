"""Running a command: argument list in, lines out, never a shell, never left behind on Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from typing import IO, Any, Protocol, TypeVar

from .errors import BootError, BuildError, LogTail, MachineError, MigrationError, UserInterruptError, command
from .redaction import SECRETS

Thing = TypeVar("Thing")
Result = TypeVar("Result")

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.05
# How long to read on when the command has ended and something that it left behind still holds its pipes.
_LEFT_OVER_SECONDS = 5.0
# How long a killed process may take to be gone: one that waits for a disk ends when the disk answers.
_KILLED_SECONDS = 5.0
# How long threads may take to end when all that they ran has ended: to read on, and to stop a container. Then they are
# left to the end of this process.
_THREADS_SECONDS = _LEFT_OVER_SECONDS + 3
# Characters of one line, and of a command's whole output, that are kept in memory: of a longer line the begin, of a
# longer output the end. The longest that these tasks read whole is Compose's configuration, less than 1 MB.
_LONGEST_LINE = 1024 * 1024
_LONGEST_OUTPUT = 16 * 1024 * 1024
BUILD_SECONDS = 1800  # as `build_wait` of the settings has it
_SHOWN = 200  # characters of a command line in a message
# As shells and containers tell that a signal was the end.
_BY_SIGNAL = 128
# As shells, containers, Node's package managers and Python say that there is no such command.
_NO_PROGRAM = {126, 127}
_NOT_FOUND = re.compile(
    r"Missing script: |ERR_PNPM_NO_SCRIPT|Command \S+ not found|executable file not found|command not found"
    r"|^\S*python\S*: (?:No module named |can't open file )|^error: Script not found",
    re.MULTILINE,
)
_FROM_OUTSIDE = {1: "SIGHUP", 2: "SIGINT", 9: "SIGKILL", 15: "SIGTERM"}
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


@dataclass(frozen=True)
class Completed:
    """A finished command. `text` is both streams in the order they arrived. Of very long ones the end is kept."""

    code: int
    out: str
    text: str

    def hint(self, otherwise: str) -> str:
        """What to do about its end: the tool is not to blame where a signal ended it."""
        number = -self.code if self.code < 0 else self.code - _BY_SIGNAL
        if number not in _FROM_OUTSIDE:
            return otherwise
        return f"run this again: it was ended from outside ({_FROM_OUTSIDE[number]}), e.g. by a `stop` meanwhile"

    def mistyped(self, setting: str) -> str:
        """What to do where its end says that there is no such command, or none that can be run; else ""."""
        not_there = self.code in _NO_PROGRAM or (self.code and _NOT_FOUND.search(self.text))
        return f"correct `{setting}` in invoke.yaml: there is no such command" if not_there else ""


def find_program(name: str, folder: Path, path: str) -> str:
    """Return where a command that begins with this name finds its program in a folder; empty where there is none."""
    is_path = Path(name).name != name
    return shutil.which(str(folder / name) if is_path else name, path=path) or ""


@dataclass(frozen=True)
class Limit:
    """How long a command may take. `longer`: a hint for who needs more; `what`: its name, where argv is not."""

    seconds: float
    longer: str
    what: str = ""
    error: type[BootError] = MachineError

    def exceeded(self, argv: Sequence[str], text: str, *, ended: bool = True) -> BootError:
        """Return the error of a command that was over it, and had printed this."""
        shown = _shown(self.what or argv)
        log = LogTail.of(shown, text)
        return self.error(
            f"`{shown}` took longer than {self.seconds:g} s",
            expected=f"its end within {self.seconds:g} s",
            seen=f"it {'was ended' if ended else 'could not even be killed'}"
            + ("; its last lines are below" if log.lines else ", and had printed nothing"),
            log=log,
            hint=self.longer,
        )


def _shown(command_line: Any) -> str:
    """Return a command line, or its name, as it stands in a message."""
    shown = command_line if isinstance(command_line, str) else " ".join(map(str, command_line))
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def question_limit() -> Limit:
    """Return the limit of a command that only asks something."""
    return Limit(120, f"see what keeps it from answering: {command('doctor')}")


def change_limit() -> Limit:
    """Return the limit of a command that starts, stops or removes services."""
    return Limit(900, f"see what keeps it from ending: {command('doctor')}")


def build_limit(seconds: float, error: type[BootError] = BuildError) -> Limit:
    """Return the limit of a build, a download or an installation: `build_wait` of the settings."""
    return Limit(seconds, "see what it waits for, or set a longer `build_wait` in invoke.yaml", error=error)


def tool_limit(seconds: float = 600, owner: str = "NAME") -> Limit:
    """Return the limit of an owner's schema tool or seed: `owners.NAME.wait` of the settings."""
    longer = f"see what it waits for, or set a longer `owners.{owner}.wait` in invoke.yaml"
    return Limit(seconds, longer, error=MigrationError)


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
        limit: Limit | None = None,
    ) -> Completed:
        """`limit`: that of an owner's tool, where none is given. Raises its error when it is over."""


class Processes(Commands, Protocol):
    """What the rest needs of the operating system; replaced in unit tests."""

    def stream(self, argv: Sequence[str], *, cwd: Path, limit: Limit | None = None) -> Iterator[str]:
        """`limit`: None for what is endless on purpose."""

    def end_all(self) -> None:
        """End every command that runs now, whichever thread waits for it."""


class SystemProcesses:
    """Real processes, each in a group of its own, so that Ctrl-C reaches them once, from here."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._interrupted: set[subprocess.Popen[str]] = set()

    def end_all(self) -> None:
        for process in list(self._running):
            self._interrupted.add(process)  # what it says from now on is no error of its own
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
                interrupted = process in self._interrupted
                self._interrupted.discard(process)
        if interrupted:
            raise UserInterruptError(
                f"`{_shown(process.args)}` was interrupted",
                seen="it was ended together with the task",
                hint="run it again whenever you like: what is done stays done",
            )

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        inherit: bool = True,
        limit: Limit | None = None,
    ) -> Completed:
        """Run to the end. `env` is added to this process's environment, or replaces it. Raises FileNotFoundError.

        What is over its limit is ended as Ctrl-C ends it; then the error of the limit is raised.
        """
        limit = limit or tool_limit()
        given = {**(os.environ if inherit else {}), **(env or {})}
        over: BootError | None = None
        with self._ended(_start(argv, cwd, given, stderr=subprocess.PIPE)) as process:
            output = _Output(process, on_line)
            code = output.code(limit.seconds)
            if code is None:
                text = output.both.text()  # before it says that it was ended
                over = limit.exceeded(argv, text, ended=_end(process))
            if not output.is_whole():
                _tell(process, _KILL)
            output.pass_on_rest()
        if output.failures:
            raise output.failures[0]
        if over:
            raise over
        return Completed(code or 0, output.out.text(), output.both.text())

    def stream(self, argv: Sequence[str], *, cwd: Path, limit: Limit | None = None) -> Iterator[str]:
        """The command's lines as they come; the command ends when the reader stops reading.

        The limit is the command's: how long the reader takes for a line does not count.
        """
        with self._ended(_start(argv, cwd, os.environ, stderr=subprocess.STDOUT)) as process:
            lines = process.stdout or io.StringIO()
            if limit is None:
                with lines:
                    for line in _lines_of(lines):
                        yield line.rstrip("\r\n")
                return
            last: list[str] = []
            for found in _lines_within(limit.seconds, lines):
                if found is None:
                    raise limit.exceeded(argv, "".join(last), ended=_end(process))
                last = [*last[-LogTail.KEPT :], found]
                yield found.rstrip("\r\n")


def _lines_within(seconds: float, stream: IO[str]) -> Iterator[str | None]:
    """Yield the lines; None where there is no end of them within these seconds."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    end = time.monotonic() + seconds
    over = False

    def read() -> None:
        nonlocal over
        with stream:
            for line in _lines_of(stream):
                over = time.monotonic() > end
                if over:
                    break
                lines.put(line)
        lines.put(None)

    Thread(target=read, daemon=True).start()
    try:
        while (line := lines.get(timeout=max(0.0, end - time.monotonic()))) is not None:
            yield line
    except Empty:
        over = True
    if over:
        yield None


def _lines_of(stream: IO[str]) -> Iterator[str]:
    """Yield the lines; of one that is very long the begin, without the half of a secret where it is cut."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith("\n"):
            yield line
            continue
        longest = max(map(len, SECRETS.redactor.texts), default=0)
        kept, left_out = SECRETS.redact(line)[: len(line) - longest], longest
        while (more := stream.readline(_LONGEST_LINE)) and not more.endswith("\n"):
            left_out += len(more)
        yield f"{kept}... ({left_out + len(more.rstrip())} more characters)\n"


class _LastLines:
    """The last lines that were added, as many as there is room for. Threads may add and take at the same time."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0
        self._ended = False
        self._news = Condition()

    def add(self, line: str) -> None:
        with self._news:
            self._lines.append(line)
            self._size += len(line)
            while self._size > _LONGEST_OUTPUT:
                self._size -= len(self._lines.popleft())
            self._news.notify_all()

    def end(self) -> None:
        """Nothing is added any more."""
        with self._news:
            self._ended = True
            self._news.notify_all()

    def taken(self) -> Iterator[str]:
        """Take out line by line, until the end."""
        while (line := self._next()) is not None:
            yield line

    def _next(self) -> str | None:
        with self._news:
            self._news.wait_for(lambda: self._lines or self._ended)
            if not self._lines:
                return None
            line = self._lines.popleft()
            self._size -= len(line)
            return line

    def text(self) -> str:
        with self._news:
            return "".join(self._lines)


class _Output:
    """What a command prints, read in threads while it runs, and passed on to a listener in another one.

    A listener that stands still (`| less`) must not keep the command from writing, nor its deadline from coming: when
    it goes on, it hears the last lines.
    """

    def __init__(self, process: subprocess.Popen[str], on_line: Callable[[str], None] | None) -> None:
        self.out = _LastLines()
        self.both = _LastLines()
        self.failures: list[BaseException] = []
        self._process = process
        self._on_line = on_line
        self._to_pass_on = _LastLines()
        self._readers = [
            Thread(target=self._read, args=(stream, keep), daemon=True)
            for stream, keep in ((process.stdout, self.out), (process.stderr, None))
            if stream
        ]
        self._listener = Thread(target=self._pass_on, daemon=True)
        for thread in [*self._readers, *([self._listener] if on_line else [])]:
            thread.start()

    def _read(self, stream: IO[str], keep: _LastLines | None) -> None:
        with stream:
            for line in _lines_of(stream):
                if keep is not None:
                    keep.add(line)
                self.both.add(line)
                if self._on_line:
                    self._to_pass_on.add(line)

    def _pass_on(self) -> None:
        for line in self._to_pass_on.taken():
            if self._on_line and not self.failures:
                try:
                    self._on_line(line.rstrip())
                except Exception as error:  # noqa: BLE001  # raised again where the caller of the command is
                    self.failures.append(error)

    def code(self, seconds: float) -> int | None:
        """Return the command's exit code; None where it has not ended within these seconds."""
        process, end = self._process, time.monotonic() + seconds
        # The end of what it prints is an event, its own is not: that is looked for while something holds its pipes.
        while process.poll() is None and (left := end - time.monotonic()) > 0:
            reading = next((reader for reader in self._readers if reader.is_alive()), None)
            if reading is None:
                break
            reading.join(min(left, _LOOK_SECONDS))
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(max(0.0, end - time.monotonic()))
        return None

    def is_whole(self) -> bool:
        """Return whether all was read, after a moment: what the command left behind may hold its pipes for ever."""
        _join(self._readers)
        return not any(reader.is_alive() for reader in self._readers)

    def pass_on_rest(self) -> None:
        """Let the listener come to the last line; a slow one does not for long, and hears the rest later."""
        self._to_pass_on.end()
        if self._on_line:
            _join([self._listener])


def _join(threads: Sequence[Thread]) -> None:
    end = time.monotonic() + _LEFT_OVER_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def begin(work: Callable[[Thing], Result], things: Sequence[Thing]) -> Sequence[Future[Result]]:
    """Begin this for each at the same time, in threads that do not keep this process from ending."""

    def run(future: Future[Result], thing: Thing) -> None:
        try:
            future.set_result(work(thing))
        except BaseException as error:  # noqa: BLE001  # it is the future's, for who asks for its result
            future.set_exception(error)

    futures: list[Future[Result]] = []
    for thing in things:
        futures.append(Future())
        Thread(target=run, args=(futures[-1], thing), daemon=True).start()
    return futures


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what this returns, or raise TimeoutError: then it goes on in a thread that nobody waits for.

    For what has a timeout for each read at best, and so none for an answer that comes byte by byte.
    """
    [future] = begin(lambda _: work(), [None])
    return future.result(timeout=seconds)


def at_once(processes: Processes, things: Sequence[Thing], work: Callable[[Thing], Result]) -> Sequence[Result]:
    """What becomes of each, worked on at the same time. One that fails lets the others come to their end.

    Then the first error is raised. There is no limit here: each part of the work has one of its own.
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

    futures = begin(run, things)
    try:
        wait(futures)
    finally:
        end_threads(processes, lambda seconds: not wait(futures, timeout=seconds).not_done)
    if failures:
        raise failures[0]
    return [future.result() for future in futures]


def end_threads(processes: Processes, ended: Callable[[float], bool]) -> None:
    """End what threads wait for, until they have `ended`, which is told how many seconds it may wait for that.

    A thread that waits for something else, e.g. for an engine that does not answer, is given up after some seconds.
    """
    for _ in range(round(_THREADS_SECONDS / _LOOK_SECONDS)):
        if ended(0):
            return
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


def _end(process: subprocess.Popen[str]) -> bool:
    """Ask it to end, and kill it after a grace period. Return whether it has ended."""
    if process.poll() is None:
        try:
            _tell(process, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        finally:
            # Also at a second Ctrl-C, and for children that did not listen.
            _tell(process, _KILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_SECONDS)
    return process.poll() is not None


def _tell(process: subprocess.Popen[str], number: int) -> None:
    """Signal the command and everything it started; on Windows only the break event reaches all of them."""
    if hasattr(os, "killpg"):
        # It ended meanwhile; macOS answers EPERM for the group of one that did.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    elif process.poll() is None:
        process.send_signal(number)
