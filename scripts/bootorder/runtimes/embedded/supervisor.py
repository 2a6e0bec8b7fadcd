"""Keeps one process: starts it, writes its lines to a log of limited size, notes how it ended, ends what it left.

A program of its own, of nothing but the standard library, so that it starts in a few hundredths of a second; it goes on
when the task that started it has ended. What it is to do comes as JSON on stdin: the environment holds secrets, which
a command line would show. Its own command line carries the label by which it is found again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False  # as `typing` has it, without the time that its import takes
if TYPE_CHECKING:
    from typing import IO, Any

LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 2  # full ones, beside the one that is written
_CHUNK = 65536
_TAKES_ORPHANS = sys.platform == "linux"
_ORPHANS_SECONDS = 5.0
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def main() -> None:
    """Answer on stdout with `{"pid": ...}` or `{"error": ...}` as soon as the process was started, and stay."""
    order = json.load(sys.stdin)
    if hasattr(os, "fork") and os.fork():
        os._exit(0)  # so that the task has no child left to wait for
    process = None
    _take_orphans()
    try:
        process = _start(order)
        answer: dict[str, Any] = {"pid": os.getpid()}
    except OSError as error:
        answer = {"error": str(error)}
    if process:
        _listen(process, order["stop_signal"])
        _note(order, None)
    os.write(1, json.dumps(answer).encode())
    if process:  # without one the pipe ends with this program: who reads it does not find this one running any more
        _let_go()
        _keep(order, process)


def _start(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    windows = sys.platform == "win32"
    account = order["account"]
    return subprocess.Popen(
        order["argv"],
        cwd=order["cwd"],
        env=order["env"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=not windows,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if windows else 0,
        user=account["user"] if account else None,
        group=account["group"] if account else None,
        extra_groups=[] if account else None,
    )


def _take_orphans() -> None:
    """Become the parent of what the process starts and leaves: whatever it changes about itself, it is found below.

    Linux has this (prctl(2), PR_SET_CHILD_SUBREAPER); elsewhere such a process is found by its environment only.
    """
    if _TAKES_ORPHANS:
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _listen(process: subprocess.Popen[bytes], stop_signal: int) -> None:
    """Pass on the request to end; Ctrl-C and a closed terminal are not meant for a stack that goes on."""
    signal.signal(signal.SIGTERM, lambda *_: _tell(process.pid, stop_signal))
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _let_go() -> None:
    """Of the pipes and the folder of the task that started this."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    os.chdir(os.path.abspath(os.sep))  # noqa: PTH100  # pathlib takes as long to import as all the rest


def _keep(order: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
    pump = threading.Thread(target=_pump, args=(process.stdout, _Log(order["log"]), order["hidden"]), daemon=True)
    pump.start()
    code = _wait_for(process)
    # As in a container: with its first process ends all that it started.
    _tell(process.pid, _KILL)
    _end_orphans()
    pump.join(2)
    _note(order, 128 - code if code < 0 else code)


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait for its end, and bury the orphans that end before."""
    if not _TAKES_ORPHANS:
        return process.wait()
    while True:
        number, status = os.waitpid(-1, 0)
        if number == process.pid:
            return os.waitstatus_to_exitcode(status)


def _end_orphans() -> None:
    """Kill them and what becomes an orphan by that, for some seconds at most."""
    if not _TAKES_ORPHANS:
        return
    limit = time.monotonic() + _ORPHANS_SECONDS
    with contextlib.suppress(OSError):  # ChildProcessError: there are none
        while time.monotonic() < limit:
            for number in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(number, _KILL)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.01)


def _children() -> list[int]:
    """The numbers of all processes that this one is the parent of."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208  # as above
        with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123
            found += map(int, file.read().split())
    return found


def _tell(group: int, number: int) -> None:
    if hasattr(os, "killpg"):
        # It ended meanwhile; macOS answers EPERM for the group of one that did.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _note(order: dict[str, Any], code: int | None) -> None:
    """What the runtime reads. Replaced at once, so that nobody reads half of it."""
    record = {"pid": os.getpid(), "token": order["token"], "made_of": order["made_of"], "code": code}
    fresh = order["record"] + ".new"
    # A full disk must not end the process that is kept; what is running is then known by its label only.
    with contextlib.suppress(OSError):
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(record, file)
        os.replace(fresh, order["record"])  # noqa: PTH105


def _pump(stream: IO[bytes], log: _Log, hidden: list[str]) -> None:
    """Write what comes. `hidden`: what is not to stand in the file, the longest first."""
    secrets = [text.encode(errors="surrogatepass") for text in hidden]
    kept = max(map(len, secrets), default=1) - 1  # so many bytes at the end may be the begin of one

    def without_secrets(text: bytes) -> bytes:
        for secret in secrets:
            text = text.replace(secret, b"***")
        return text

    rest = b""
    while chunk := os.read(stream.fileno(), _CHUNK):
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            log.write(without_secrets(whole).split(b"\n"))
        if len(rest) > _CHUNK:
            rest = without_secrets(rest)
            log.write([rest[: len(rest) - kept]])
            rest = rest[len(rest) - kept :]
    if rest:
        log.write([without_secrets(rest)])


class _Log:
    """Lines, each with the time it came. `x.log.1` is older than `x.log`; `x.previous.log` is of the run before."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lost = 0
        for number in range(1, LOGS_KEPT + 1):
            with contextlib.suppress(FileNotFoundError):
                os.remove(f"{path}.{number}")  # noqa: PTH107
        self._move(path, path.removesuffix(".log") + ".previous.log")
        self._file = self._open()

    def _open(self) -> IO[bytes]:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "ab", buffering=0)

    def write(self, lines: list[bytes]) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z "
        try:
            if self._file.closed:
                self._file = self._open()  # it could not be turned
            if self._lost:
                self._file.write(f"{stamp}({self._lost} lines could not be written)\n".encode())
                self._lost = 0
            self._file.write(b"".join(stamp.encode() + line.rstrip(b"\r") + b"\n" for line in lines))
        except OSError:
            # A full disk. The process must not stand still for its log; how much is missing is said when there is room.
            self._lost += len(lines)
            return
        with contextlib.suppress(OSError):
            if self._file.tell() > LOG_BYTES:
                self._turn()

    def _turn(self) -> None:
        self._file.close()
        for number in range(LOGS_KEPT, 0, -1):
            self._move(f"{self._path}.{number - 1}" if number > 1 else self._path, f"{self._path}.{number}")
        self._file = self._open()

    @staticmethod
    def _move(old: str, new: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.replace(old, new)  # noqa: PTH105


if __name__ == "__main__":
    main()
