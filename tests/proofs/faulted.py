"""What is the same for every fault: a stack to strike, one `start` afterwards, and what must be true then."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
from filelock import FileLock, Timeout

from scripts.bootorder.proving.pictures import ROW, State, differences, lines
from scripts.bootorder.stages import STAGES, plan
from tests.proofs.orders import ROWS, copy
from tests.stack import EmbeddedStack, Ran, Stack
from tests.task import LIMIT, Task

# The pasts a fault may strike: a stack full of rows that runs, the same that is to be given up, and a first boot.
USED, GIVEN_UP, NOTHING = "used", "given up", "nothing"
MOVED = "moved"  # what a task leads to: a stack full of rows whose owners have a schema each

# How the task that is struck is called. A first boot goes on from where it was brought to.
CALLED = {USED: ["start"], GIVEN_UP: ["start", "--clean"], NOTHING: ["start", "--quick"]}

_NOT_TO_STAY = ("*.new", "*.spoilt", "holder.json")  # half-written, cut short, of a task that has ended

# The README's, of what a fault outside of the tasks may end in.
CLEAR = {3, 4, 5, 7}
_SERVICES = {"postgres", "sso", "api", "web"}
_SCRATCH = "select datname from pg_database where datname like 'bootorder%'"
_LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"
_MOST_TYPED = 4  # times a command, where each refusal says what to type before it
_SAYS = re.compile(r"^  (?:go on with: |hint: .*\b)inv ([a-z][-a-z ]*)", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """`strike` ends when the harm is done; what follows its `yield` runs after the stack was started again.

    `before`: of a first boot the stage that comes next. `first`: types what comes before the start, and returns what is
    wrong then. `leads_to`: what the database holds in the end, where it is not what it held. `led`: whether a start may
    be refused, with a message that says what to type.
    """

    kind: str
    name: str
    strike: Callable[[], AbstractContextManager[None]]
    past: str = NOTHING
    before: str = ""
    mended_by: Sequence[str] = ("start",)
    first: Callable[[], list[str]] = list
    leads_to: str = ""
    led: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a fault."""

    kind: str
    name: str
    mended_by: Sequence[str]
    seconds: float
    problems: Sequence[str]

    def __str__(self) -> str:
        told = f"{self.kind}, {self.name}; then {' '.join(self.mended_by)}"
        if not self.problems:
            return f"{told}: as if nothing had happened ({self.seconds:.1f} s)"
        return "\n".join([f"{told}: WRONG", *(f"    {line}" for text in self.problems for line in text.splitlines())])


def fault(
    kind: str,
    name: str,
    strike: Callable[[], Iterator[None]],
    past: str,
    before: str,
    random: Random,
    *,
    quick: bool = False,
) -> Fault:
    """Mended by a start, or by an everyday one."""
    mended_by = random.choice((["start"], ["start", "--quick"]))
    return Fault(kind, name, contextmanager(strike), past, before, ["start", "--quick"] if quick else mended_by)


def stages(past: str) -> Sequence[str]:
    """Those of the task that is struck."""
    return [stage.name for stage in plan(with_clean=past == GIVEN_UP, quick=past == NOTHING)]


@dataclass
class World(ABC):
    """A stack that can be brought into its pasts again and again. `booted`: what a database holds after a boot."""

    stack: Stack
    booted: dict[str, State] = field(default_factory=dict)
    lasts: dict[tuple[str, str], float] = field(default_factory=dict)  # seconds of each stage in each past
    struck: Counter[bool] = field(default_factory=Counter)  # kills, by whether they fell into their stage
    now: str = ""

    @abstractmethod
    def prepare(self) -> None:
        """Boot it once in every past: what is it to look like, and how long does each stage take?"""

    @abstractmethod
    def go(self, fault: Fault) -> None:
        """Into the fault's past."""

    @abstractmethod
    def strangers(self) -> list[str]:
        """What of the stack runs and is none of its services; what was made and is no part of it."""

    @abstractmethod
    def kill_database(self, how: str) -> None:
        """Without any warning."""

    def must(self, *tasks: str) -> None:
        ran = self.stack.inv(*tasks)
        assert ran.code == 0, f"inv {' '.join(tasks)} ended with {ran.code}:\n{ran.err}"

    def led_by_messages(self, line: str) -> list[str]:
        """Type it until it ends well, after each refusal what that says. Returns why it did not."""
        typed: list[str] = []
        for _ in range(_MOST_TYPED):
            typed.append(line)
            ran = self.stack.inv(*shlex.split(line))
            if ran.code == 0:
                return []
            if not (said := _SAYS.findall(ran.err)):
                break
            typed.append(said[-1].strip())
            ran = self.stack.inv(*shlex.split(typed[-1]))
            if ran.code:
                break
        return [f"{'; '.join(f'inv {tasks}' for tasks in typed)}: the last one ended with {ran.code}:\n{ran.err}"]

    def remains(self) -> list[str]:
        """What `clean` was to remove."""
        return self.stack.remains()

    def boot(self, past: str, *arguments: str) -> None:
        """Without any fault."""
        with Task(self.stack, *arguments) as task:
            ran = task.end()
            assert ran.code == 0, ran.err
            self.lasts |= {(past, stage): seconds for stage, seconds in lasted(task)}

    def look(self) -> State:
        with self.stack.connect() as connection:
            return frozenset(lines(connection, lambda _: contextlib.nullcontext(connection)))

    def fill(self) -> None:
        """So that there is something to lose."""
        self.stack.query(ROWS.read_text(encoding="utf-8"))
        empty = [name for name, count in self.stack.tables().items() if not count]
        assert not empty, f"rows.sql leaves {', '.join(empty)} empty"
        self.booted[USED] = self.look()

    def mend(self, fault: Fault) -> list[str]:
        """One `start`. Returns what is not as if nothing had happened."""
        problems = fault.first()
        self.keep_builds(fault)
        if fault.led:
            refused = self.led_by_messages(shlex.join(fault.mended_by))
        else:
            with Task(self.stack, *fault.mended_by) as task:
                ran = task.end()
            refused = [f"inv {' '.join(fault.mended_by)} ended with {ran.code}:\n{ran.err}"] if ran.code else []
        if refused:
            return [*problems, *refused]
        problems += self.strangers()
        if set(self.stack.running()) != _SERVICES:
            problems.append(f"there run {', '.join(self.stack.running())}")
        problems += [f"a one-off of {service} was left" for service in self.stack.one_offs()]
        problems += [f"{name} was left" for (name,) in self.stack.query(_SCRATCH)]
        problems += ["an advisory lock is held"] if self.stack.query(_LOCKS) != [(0,)] else []
        problems += [f"{path.name} is locked" for path in _locked(self._state)]
        problems += [f"{path.name} was left" for name in _NOT_TO_STAY for path in self._state.rglob(name)]
        changed = self._changed(fault.leads_to or fault.past, self.look())
        return [*problems, *changed[:20]]

    @abstractmethod
    def keep_builds(self, fault: Fault) -> None:
        """What a fault removed that was built is built again, but not from nothing: that is not what is asked here."""

    @property
    def _state(self) -> Path:
        return self.stack.folder / ".bootorder"

    def _changed(self, past: str, seen: State) -> list[str]:
        if past == NOTHING:
            return differences(counted(self.booted[NOTHING]), counted(seen))
        if past == MOVED:  # what it looks like the first time, and the same rows in other schemas
            made = differences(self.booted.setdefault(MOVED, counted(seen)), counted(seen))
            return [*made, *differences(rows_alone(self.booted[USED]), rows_alone(seen))]
        lost = differences(self.booted[USED], seen)
        # Whoever gives the rows up has all of them or none.
        return differences(counted(self.booted[NOTHING]), counted(seen)) if lost and past == GIVEN_UP else lost


@dataclass
class EmbeddedWorld(World):
    """Data folders are kept from one boot, and put back."""

    stack: EmbeddedStack
    kept: dict[str, Path] = field(default_factory=dict)

    def prepare(self) -> None:
        self.must("start")  # installs and builds everything, which no fault is to wait for
        copy(self._state / "built", self.built)
        self.stack.empty()
        for before, stages in (
            ("wait-db", ["db-up", "wait-db"]),
            ("migrate", ["db-up", "wait-db", "guard"]),
            ("seed", ["db-up", "wait-db", "migrate"]),
            ("apps-up", ["db-up", "wait-db", "seed"]),
        ):
            self.must(*stages)
            self._keep(before)
        self.kept |= {"guard": self.kept["wait-db"], "wait-apps": self.kept["apps-up"]}
        self._begin("")
        self.boot(NOTHING, "start")
        self.booted[NOTHING] = self.look()
        self.fill()
        self.boot(USED, "start")
        self._keep(USED)
        self.must("start", "--quick")
        self.boot(GIVEN_UP, "start", "--clean", "--until", "clean")

    def go(self, fault: Fault) -> None:
        if fault.past == NOTHING:
            self._begin(fault.before)
        elif self.now != USED:
            self._begin(USED)
            self.must("start", "--quick")
        self.now = ""

    def mend(self, fault: Fault) -> list[str]:
        problems = super().mend(fault)
        self.now = USED if (fault.leads_to or fault.past) == USED else ""
        return problems

    def keep_builds(self, fault: Fault) -> None:
        if fault.past == GIVEN_UP:
            copy_over(self.built, self._state / "built")

    def strangers(self) -> list[str]:
        found = self.stack._found()
        supervisors = {process.pid: service for process, kind, service in found if kind == "supervisor"}
        doubled = [service for service, count in Counter(supervisors.values()).items() if count > 1]
        left = [f"{service} runs twice" for service in doubled]
        for process, _, service in found:
            with suppress(psutil.NoSuchProcess):
                if supervisors.keys().isdisjoint({process.pid, *(parent.pid for parent in process.parents())}):
                    left.append(f"{process.name()} of {service} runs, and nobody keeps it")
        return [*left, *(f"{path.name} was left" for path in self.stack.data.parent.glob("data.*"))]

    def kill_database(self, how: str) -> None:
        """`how`: the server only, as it is killed by a mistake, or with all that it started, as by a power cut."""
        server = [process for process, _, _ in self.stack._found() if process.name() == "postgres"]
        pids = {process.pid for process in server}
        for process in server:
            with suppress(psutil.NoSuchProcess):
                if how == "with its children" or process.ppid() not in pids:
                    process.kill()

    def crash(self) -> None:
        """Everything at once, and wait until it is gone."""
        self.stack.kill_all()
        until(lambda: not self.stack.remaining_processes(), "its end")

    @property
    def built(self) -> Path:
        """Which says that all is built."""
        return self.stack.folder.parent / "built"

    def _keep(self, name: str) -> None:
        self.must("stop")
        self.kept[name] = self.stack.folder.parent / f"before {name}"
        copy(self.stack.data, self.kept[name])

    def _begin(self, past: str) -> None:
        """Nothing runs, and the data are those of then. What a tool makes is to be found out anew."""
        self.crash()
        if past in {"", "migrate"}:
            shutil.rmtree(self._state / "rehearsals", ignore_errors=True)
        copy_over(self.built, self._state / "built")
        if past in self.kept:
            copy_over(self.kept[past], self.stack.data)
        else:
            shutil.rmtree(self.stack.data, ignore_errors=True)


def tried(world: World, fault: Fault) -> Outcome:
    """Strike, start, compare."""
    begun, problems = time.monotonic(), []
    try:
        world.go(fault)
        with fault.strike():
            problems = world.mend(fault)
    except (AssertionError, OSError, psycopg.Error, subprocess.SubprocessError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    if problems:
        world.now = ""
    return Outcome(fault.kind, fault.name, fault.mended_by, round(time.monotonic() - begun, 1), problems)


def copy_over(folder: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    copy(folder, to)


def lasted(task: Task) -> Iterator[tuple[str, float]]:
    """Of each stage that it ran the seconds between the line before and its own."""
    before = task.ended("")
    for stage in STAGES:
        after = task.ended(stage.name)
        if before is not None and after is not None:
            yield stage.name, after - before
            before = after


def counted(state: State) -> State:
    """Rows by their number only: of two boots each has its own keys and times."""
    rows = Counter(line.rpartition(" ")[0] for line in state if line.startswith("row "))
    return frozenset(line for line in state if not line.startswith("row ")) | {
        f"{count} {table}" for table, count in rows.items()
    }


def rows_alone(state: State) -> State:
    """Rows with their tables, whichever schema these are in."""
    return frozenset(line.removeprefix(ROW).partition(".")[2] for line in state if line.startswith(ROW))


def until(happens: Callable[[], object], what: str, task: Task | None = None) -> None:
    """Poll for what nobody announces."""
    limit = time.monotonic() + LIMIT
    while not happens():
        assert time.monotonic() < limit, f"waited in vain for {what}"
        assert task is None or task.is_at_work, f"it ended before {what}:\n{task.end().err if task else ''}"
        time.sleep(0.005)


def server_connection(stack: Stack) -> psycopg.Connection[tuple[Any, ...]]:
    """To no database of the stack: one that somebody is connected to cannot be cloned."""
    return stack.connect(database="postgres")


def failed_clearly(ran: Ran, codes: Collection[int] = CLEAR) -> None:
    """One of ours: an exit code of the README's, what was seen, a hint, the command that goes on."""
    assert ran.code in codes, f"ended with {ran.code}:\n{ran.err}"
    assert "Traceback" not in ran.err, ran.err
    for word in ("error: ", "hint: ", "go on with: inv "):
        assert word in ran.err, f"no `{word}`:\n{ran.err}"


def _locked(state: Path) -> Iterator[Path]:
    for path in (state / "lock", state / "env.lock"):
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            yield path
