"""The stack's processes: started under a supervisor, found again by their label, stopped with all they started.

A label names the stack (by its folder), the service, and one start of it. It stands in the supervisor's command line
and in the environment of whatever the service starts, so that a number that another process got meanwhile, or a folder
copied with its records, is never taken for ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import psutil

from ... import state_files
from ...errors import MachineError, command
from ...processes import begin, within
from ...redaction import SECRETS
from ...terminal import listed

LABEL = "BOOTORDER_PROCESS"

# As long as Docker gives a container between the request to end and the end.
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.01
# A supervisor answers in hundredths of a second, also when the program that it is to start is not there.
_START_SECONDS = 60.0
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LABEL = re.compile(r"[0-9a-f]{16}/(service|one-off)/[^/]+/[0-9a-f]{16}")
_ONE_OFF = "one-off"


@dataclass(frozen=True)
class Account:
    """Whom a process belongs to; only root can say so."""

    user: int
    group: int


@dataclass(frozen=True)
class Order:
    """What is to run. `made_of` tells one declaration from another: what runs with the same one is left alone."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    made_of: str
    stop_signal: int = signal.SIGTERM
    account: Account | None = None


@dataclass(frozen=True)
class Seen:
    """One process as it is now. `state` as in Service; `code` is empty where it was killed with its supervisor.

    `made_of` is empty where it runs without a record, or without the supervisor that would note how it ends.
    """

    state: str = "absent"
    code: int | None = None
    instance: str = ""
    made_of: str = ""


@dataclass(frozen=True)
class Found:
    """A process of this stack that the system shows; `supervisor` if it keeps another one."""

    process: psutil.Process
    service: str
    one_off: bool
    supervisor: bool

    @property
    def ports(self) -> Sequence[int]:
        """Those that it listens on."""
        return ports_of(self.process) or []


def _called(process: psutil.Process) -> str:
    return f"{process.name()} (pid {process.pid})"


def ports_of(process: psutil.Process) -> Sequence[int] | None:
    """Return the ports that it listens on; None where the system does not say."""
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    except psutil.Error:
        return []
    return [one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN]


class ProcessTable:
    """Those of the stack in `root`. `homes`: programs by name, each with the folder it works in, and its service."""

    def __init__(
        self,
        root: Path,
        records: Path,
        logs: Path,
        homes: Callable[[], Mapping[tuple[str, Path], str]],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._stack = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self._records = records
        self._logs = logs
        self._homes = homes
        self._say = say

    def label(self, service: str, *, one_off: bool = False) -> str:
        kind = _ONE_OFF if one_off else "service"
        return f"{self._stack}/{kind}/{quote(service, safe='')}/{secrets.token_hex(8)}"

    def log(self, service: str) -> Path:
        return self._logs / f"{quote(service, safe='')}.log"

    # -- looking ---------------------------------------------------------------------------------------------------

    def look(self, services: Iterable[str]) -> dict[str, Seen]:
        """What the records say; where they may be wrong, what the system shows. Only that takes longer than a moment:
        a lost supervisor, or no record of anything."""
        seen = {service: self._recorded(service) for service in services}
        lost = [service for service, one in seen.items() if one.state == "exited" and one.code is None]
        if not any(self._records.glob("*.json")):
            lost = list(seen)
        alive = {found.service for found in self.find() if not found.one_off} if lost else set()
        return seen | {service: replace(seen[service], state="running", made_of="") for service in alive & set(lost)}

    def _recorded(self, service: str) -> Seen:
        record = self._read(service)
        if not record:
            return Seen()
        instance, made_of = f"{record['pid']} {record['token']}", record["made_of"]
        if record["code"] is not None:
            return Seen("exited", record["code"], instance, made_of)
        running = _is_labelled(record["pid"], record["token"])
        if not running and self._read(service) != record:
            return self._recorded(service)  # it ended between the two looks
        return Seen("running" if running else "exited", None, instance, made_of)

    def _read(self, service: str) -> dict[str, Any]:
        record = state_files.read(self._record(service), _record_of, self._say) or {}
        return record if record and record["token"].startswith(f"{self._stack}/") else {}

    def _record(self, service: str) -> Path:
        return self._records / f"{quote(service, safe='')}.json"

    def find(self) -> list[Found]:
        """Every process of the stack, whatever became of the task, the supervisor and the records."""
        found: dict[int, Found] = {}
        homes = self._homes()
        folders = {folder for _, folder in homes}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if label := self._label_of(process):
                    _, kind, service, _ = label.split("/")
                    kept = label in process.cmdline()
                    found[process.pid] = Found(process, unquote(service), kind == _ONE_OFF, kept)
                # PostgreSQL writes its state over its environment; only where it works tells whose it is. A person's
                # shell may be in that folder as well.
                elif (folder := Path(process.cwd())) in folders and (
                    service := homes.get((process.name().removesuffix(".exe"), folder), "")
                ):
                    found[process.pid] = Found(process, service, False, False)
        below = _below() if found else {}
        for one in list(found.values()):
            for child in _descendants(one.process, below):
                found.setdefault(child.pid, Found(child, one.service, one.one_off, False))
        found.pop(os.getpid(), None)
        return list(found.values())

    def below(self, service: str) -> list[psutil.Process]:
        """Return the processes of this service as its record has it: the supervisor, and all that it began."""
        record = self._read(service)
        if not record or not _is_labelled(record["pid"], record["token"]):
            return []
        supervisor = psutil.Process(record["pid"])
        return [supervisor, *_descendants(supervisor, _below())]

    def began(self, service: str, pid: int | None) -> bool:
        """Whether this process is the supervisor of the service or was begun by it, as its record has it."""
        record = self._read(service)
        if pid is None or not record or not _is_labelled(record["pid"], record["token"]):
            return False
        with contextlib.suppress(psutil.Error):
            return record["pid"] in {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        return False

    def left_over(self) -> list[Found]:
        """Those that were not begun by this very task, which may do several things at once."""
        found = self.find()
        mine = {child.pid for child in _descendants(psutil.Process(), _below())}  # asked last: it may begin more
        return [one for one in found if one.process.pid not in mine]

    def _label_of(self, process: psutil.Process) -> str:
        for parts in (process.cmdline, lambda: [process.environ().get(LABEL, "")]):  # of others only the first is shown
            for part in parts():
                if _LABEL.fullmatch(part) and part.startswith(f"{self._stack}/"):
                    return part
        return ""

    # -- changing --------------------------------------------------------------------------------------------------

    def start(self, orders: Mapping[str, Order]) -> None:
        """Start these at the same time; returns when each was started or could not be. Raises MachineError."""
        for folder in (self._records, self._logs):
            state_files.make_folder(folder)
        started = begin(lambda one: self._start_one(*one), list(orders.items()))
        try:
            failures = [future.result() for future in started]
        finally:
            wait(started, timeout=_GRACE_SECONDS)  # after Ctrl-C, too: an order that is half given starts nothing
        for failure in failures:
            if failure:
                raise failure

    def _start_one(self, service: str, order: Order) -> MachineError | None:
        label = self.label(service)
        what = {
            "argv": list(order.argv),
            "cwd": str(order.cwd),
            "env": {**order.environment, LABEL: label},
            "account": vars(order.account) if order.account else None,
            "stop_signal": int(order.stop_signal),
            "token": label,
            "made_of": order.made_of,
            "record": str(self._record(service)),
            "log": str(self.log(service)),
            "hidden": SECRETS.redactor.long_texts,
        }
        supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR), label],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        try:
            said = within(_START_SECONDS, lambda: _ordered(supervisor, json.dumps(what).encode()))
        except TimeoutError:
            self.kill(label)
            with contextlib.suppress(subprocess.TimeoutExpired):
                supervisor.wait(_GRACE_SECONDS)
            return MachineError(
                f"{service} could not be started",
                expected=f"an answer of its supervisor within {_START_SECONDS:g} s",
                seen="none; what it had begun was killed",
                hint=f"see that {order.cwd} and {_SUPERVISOR.parent} can be read: a disk or network drive may hang",
            )
        try:
            answer = json.loads(said)
        except json.JSONDecodeError:
            answer = {"error": said.strip() or "the supervisor said nothing"}
        if "pid" in answer:
            return None
        return MachineError(
            f"{service} could not be started",
            expected=f"`{' '.join(order.argv)}` in {order.cwd}",
            seen=answer["error"],
            hint=f"correct `processes.{service}` in invoke.yaml, or see what the machine lacks: {command('doctor')}",
        )

    def kill(self, label: str) -> None:
        """Kill what runs under this label, and what that began."""
        labelled = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if self._label_of(process) == label:
                    labelled.append(process)
        below = _below() if labelled else {}
        for process in [*labelled, *(child for one in labelled for child in _descendants(one, below))]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _wait(labelled)

    def stop(self, chosen: Sequence[Found]) -> None:
        """Ask these to end, and kill what does not. Raises MachineError for what is left even so."""
        # A supervisor passes the request on to all of its process; a process that lost its own is asked itself.
        below = _below() if chosen else {}
        kept = {child.pid for one in chosen if one.supervisor for child in _descendants(one.process, below)}
        asked = [one.process for one in chosen if one.process.pid not in kept]
        of_others = []
        for process in asked:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                of_others.append(process)
        _wait([process for process in asked if process not in of_others])
        left = [one.process for one in chosen if one.process not in of_others and _runs(one.process)]
        if left:
            below = _below()
            left += [child for process in left for child in _descendants(process, below)]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        alive = [process for process in _wait(left) if process not in of_others]
        if alive:
            raise MachineError(
                f"{listed([*map(_called, alive)])} could not be stopped",
                expected="no process of this stack runs",
                seen="it was killed, and goes on" if len(alive) == 1 else "they were killed, and go on",
                hint="see what holds it: a process that waits for a disk ends when the disk answers",
            )
        if of_others:
            user, verb = of_others[0].username(), "belongs" if len(of_others) == 1 else "belong"
            raise MachineError(
                f"{listed([*map(_called, of_others)])} of this stack {verb} to {user}",
                expected="processes that this user may end",
                seen="every other process of it that was asked to end has ended",
                hint=f"stop the stack as {user}",
            )

    def forget(self) -> list[str]:
        """Remove all records and logs. Returns the names of the files."""
        gone = [path for folder in (self._records, self._logs) for path in sorted(folder.glob("*")) if path.is_file()]
        for path in gone:
            path.unlink()
        return [path.name for path in gone]


def _record_of(data: Any) -> dict[str, Any]:
    """A supervisor's record. Raises where it is none."""
    code = data["code"]
    return {
        "pid": int(data["pid"]),
        "token": str(data["token"]),
        "made_of": str(data["made_of"]),
        "code": None if code is None else int(code),
    }


def _ordered(supervisor: subprocess.Popen[bytes], order: bytes) -> str:
    """Give a supervisor its order, and return what it answers."""
    assert supervisor.stdin  # noqa: S101  # for mypy: they are pipes
    assert supervisor.stdout  # noqa: S101
    with supervisor.stdin as order_pipe, supervisor.stdout as answer_pipe:
        order_pipe.write(order)
        order_pipe.close()
        said = answer_pipe.read().decode(errors="replace")
    if hasattr(os, "fork"):
        supervisor.wait()  # only of the half that ends at once
    return said


def _below() -> Mapping[int, Sequence[psutil.Process]]:
    """The processes that each one began, by its number, of all there are: one look, where psutil takes one for each."""
    below: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            below.setdefault(process.ppid(), []).append(process)
    return below


def _descendants(process: psutil.Process, below: Mapping[int, Sequence[psutil.Process]]) -> list[psutil.Process]:
    """All that it began, and those began. One that is older has as its parent a number that was another's before."""
    found: list[psutil.Process] = []
    parents = [process]
    for parent in parents:
        with contextlib.suppress(psutil.Error):
            its = [child for child in below.get(parent.pid, ()) if child.create_time() >= parent.create_time()]
            found += its
            parents += its
    return found


def _wait(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Until all have ended, for as long as the grace lasts. Returns those that have not.

    Not with psutil's own: it waits for those that nobody has buried, too, and in a container that is nobody's task.
    """
    limit = time.monotonic() + _GRACE_SECONDS
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_labelled(pid: int, label: str) -> bool:
    try:
        return label in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError, OverflowError):  # it need not be a number of one
        return False
