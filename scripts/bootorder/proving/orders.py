"""`orders`: every order of the stages, of which 720 can be made.

Not each of them must be run to know what becomes of each, as a stage sees nothing but the world it finds. So a *state*
is a whole picture of that world: each table, column, constraint and row, the rights and triggers, and what runs. In
every state that is ever reached each stage is run once for real, through the `inv` that a person types; where it
changed something, the new picture is one more state. In the end all 720 orders are walked over what was measured.

Of a stage is asked that it does its work, is skipped, or refuses: with exit code 4, the tasks to run first by name, and
not one thing changed. What it names must not be refused in turn. Nothing may ever remove a row or a table, and only a
stage whose work that is may add some. From every state `inv start` must boot the stack, and lose nothing either. What
is started is waited for before the next picture is taken.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import BootError
from ..processes import Completed
from .pictures import ONCE, ROW, State, by_number, differences
from .report import Report
from .stack import Stack

STEPS = ("db-up", "wait-db", "guard", "migrate", "seed", "apps-up")
WITH_WAITING = {"db-up": ["db-up", "wait-db"], "apps-up": ["apps-up", "wait-apps"]}

MAY_ADD = {
    "db-up": {"service", "right", "made", "row"},  # an image may fill its database when it is first started
    "wait-db": set[str](),
    "guard": {"right"},
    "migrate": {"made", "row", "record", "right"},
    "seed": {"row", "record"},
    "apps-up": {"service", "made", "row"},
    "start": {"service", "right", "made", "row", "record"},
}
# An old right or record may give way to a new one, and `start` begins with `stop`; a row or a table never may.
MAY_REMOVE = {"guard": {"right"}, "migrate": {"record"}, "seed": {"record"}, "start": {"right", "record"}}

_MOST_STATES = 30  # more than there can be: then something in a picture changes by itself


class World(Protocol):
    """A stack that can be brought back to any state that was kept."""

    def key(self, there: State) -> State:
        """What of a picture is the same whenever one comes there: the state."""

    def keep(self, state: State, came_from: State, tasks: Sequence[str]) -> None:
        """The world is in this state, which is new: remember how to come back."""

    def go(self, state: State) -> State:
        """Bring the world there, if it is not. Returns the picture."""

    def inv(self, *tasks: str) -> Completed:
        """What a person types."""

    def look(self) -> State:
        """Take a picture."""

    def rows_change(self, name: str, before: State, after: State) -> bool:
        """Whether rows may have been changed by those whose they are, with this step: then they are counted only."""


@dataclass(frozen=True)
class Step:
    """What became of a stage in a state. `first`: what it asked for when it refused."""

    verdict: str  # done, skipped, refused
    first: tuple[str, ...]
    after: State

    def __str__(self) -> str:
        return f"first `{' '.join(self.first)}`" if self.verdict == "refused" else self.verdict


@dataclass
class Findings:
    """What was measured from a first state on, and what was wrong. States are named by how they came to be."""

    first: State
    name: str
    names: dict[State, str] = field(default_factory=dict)
    steps: dict[tuple[State, str], Step] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def measure(self, world: World, say: Callable[[str], None]) -> None:
        self.names[self.first] = self.name
        found = [self.first]
        for state in found:
            known = len(self.wrong)
            for name in ("start", *STEPS):  # in this order the last one often leads to the next state
                before = world.go(state)
                tasks = WITH_WAITING.get(name, [name])
                done = world.inv(*tasks)
                there = world.look()
                after = world.key(there)
                self.steps[state, name] = step = Step(verdict(done, name), asked_first(done, name), after)
                self._judge(state, name, done, world.rows_change(name, before, there), before, there)
                if after not in self.names and name != "start" and step.verdict == "done":
                    self.names[after] = name if not state else f"{self.names[state]}, {name}"
                    world.keep(after, state, tasks)
                    found.append(after)
            say(f"{self.names[state]}: " + ", ".join(f"{name} {self.steps[state, name]}" for name in STEPS))
            for problem in self.wrong[known:]:
                say(f"    wrong: {problem.splitlines()[0]}")
            if len(found) > _MOST_STATES:
                raise BootError(
                    "states without end: something in them changes by itself",
                    details=differences(found[-2], found[-1])[:20],
                    hint="look at what differs between the last two",
                )
        self._judge_advice()

    def _judge(self, state: State, name: str, done: Completed, rows_change: bool, before: State, after: State) -> None:
        step, problems = self.steps[state, name], []
        if rows_change:
            before, after = by_number(before, after)
        changed = differences(before, after)
        removed = {line.split()[0] for line in before - after} - MAY_REMOVE.get(name, set())
        added = {line.split()[0] for line in after - before} - MAY_ADD[name]
        if removed or added:
            problems.append(f"removed {', '.join(removed) or 'nothing'}, added {', '.join(added) or 'nothing'}")
        if step.verdict != "done" and changed:
            problems.append("changed something although it said that it did not")
        if step.verdict == "refused":
            hint = next((line for line in done.text.splitlines() if line.strip().startswith("hint: ")), "")
            if done.code != 4 or not step.first or f"inv {' '.join(step.first)}" not in hint:  # noqa: PLR2004
                problems.append(f"ended with {done.code}, and asks for `{' '.join(step.first)}`: {hint.strip()}")
        if name == "start" and step.verdict != "done":
            problems.append("did not boot")
        for problem in problems:
            told = "\n".join(f"    {line}" for line in (*changed[:20], *done.text.splitlines()[-12:]))
            self.wrong.append(f"{self.names[state]}: inv {name}: {problem}\n{told}")

    def _judge_advice(self) -> None:
        """A task that was named must be one that can be run there."""
        for (state, name), step in self.steps.items():
            there = state
            for named in step.first:
                followed = self.steps.get((there, named))
                if followed is None or followed.verdict == "refused":
                    self.wrong.append(f"{self.names[state]}: inv {name} asks for {named}, which does not help")
                    break
                there = followed.after

    def walk(self) -> Iterator[tuple[tuple[tuple[str, str], ...], State]]:
        """Of each order: what became of each stage, and where it ended."""
        for order in itertools.permutations(STEPS):
            state, told = self.first, {}
            for name in order:
                if (state, name) not in self.steps:
                    break  # what a stage that failed has left behind: it is told as wrong
                told[name] = str(self.steps[state, name])
                state = self.steps[state, name].after
            yield tuple(sorted(told.items())), state

    def told(self) -> list[str]:
        """As a table in Markdown: no times and no random names, so that it changes only when a stage does."""
        told = [f"## From {self.name}", ""]
        told += [f"| state | {' | '.join(STEPS)} |", f"|{'---|' * (len(STEPS) + 1)}"]
        for state, name in self.names.items():
            told.append(f"| {name} | {' | '.join(str(self.steps[state, step]) for step in STEPS)} |")
        walked = list(self.walk())
        ends = Counter(self.names.get(state, "what no stage may leave behind") for _, state in walked)
        told += [
            "",
            f"{len(walked)} orders, {len({outcome for outcome, _ in walked})} different outcomes. They end in:",
        ]
        return [*told, "", *(f"- {name}: {count}" for name, count in ends.most_common())]


def verdict(done: Completed, name: str) -> str:
    if done.code:
        return "refused"
    return "skipped" if re.search(rf"\] {name}  skipped \(", done.text) else "done"


def asked_first(done: Completed, name: str) -> tuple[str, ...]:
    """Of `go on with: inv db-up wait-db guard` what stands before the stage itself."""
    found = re.search(r"go on with: inv (.*)", done.text)
    return tuple(task for task in found[1].split() if task != name) if found else ()


def counts(all_findings: Sequence[Findings]) -> dict[str, int]:
    """For the report."""
    return {
        "orders": sum(1 for findings in all_findings for _ in findings.walk()),
        "states": sum(len(findings.names) for findings in all_findings),
        "stages run": sum(len(findings.steps) for findings in all_findings),
        "wrong": sum(len(findings.wrong) for findings in all_findings),
    }


# -- any stack ---------------------------------------------------------------------------------------------------------


@dataclass
class Replayed:
    """A world that is brought back by `clean` and the tasks that led to a state.

    What differs from one time to the next (rows with times and random keys in them, fingerprints of images, numbers of
    tables) is no part of a state. It must stay as it is between two pictures without a `clean` between them.
    """

    stack: Stack
    ways: dict[State, list[Sequence[str]]] = field(default_factory=lambda: {frozenset(): []})
    now: State | None = None
    _data: State = frozenset()  # as they were last seen: nobody changes a database that is stopped

    def key(self, there: State) -> State:
        kept = (line for line in there if not line.startswith((ROW, ONCE)))
        return frozenset(line.rpartition(" ")[0] if line.startswith("record ") else line for line in kept)

    def keep(self, state: State, came_from: State, tasks: Sequence[str]) -> None:
        self.ways[state] = [*self.ways[came_from], tasks]

    def go(self, state: State) -> State:
        if self.now is not None and self.key(self.now) == state:
            return self.now
        self._data = frozenset()
        there = self.come("clean")
        for tasks in self.ways[state]:
            there = self.come(*tasks)
        if self.key(there) != state:
            raise BootError(
                "the same tasks did not lead to the same state again",
                details=differences(state, self.key(there))[:20],
                hint="look at what differs: something in the stack changes by itself",
            )
        return there

    def come(self, *tasks: str, aloud: bool = False) -> State:
        """By tasks that must not fail; looking after each, as who is stopped cannot be asked."""
        self.now = None
        self.stack.must(*tasks, aloud=aloud)
        return self.look()

    def inv(self, *tasks: str) -> Completed:
        self.now = None
        return self.stack.inv(*tasks)

    def look(self) -> State:
        running = self.stack.running() - set(self.stack.boot.beside)  # which nobody waits for: they may end at any time
        if self.stack.boot.settings.database.service in running:
            self._data = self.stack.picture()
        self.now = self._data | {f"service {name}" for name in running}
        return self.now

    def rows_change(self, name: str, before: State, after: State) -> bool:
        services = {line for line in before | after if line.startswith("service ")}
        return name == "seed" or bool(services - {f"service {self.stack.boot.settings.database.service}"})


def prove(stack: Stack, made: Report) -> None:
    world, say = Replayed(stack), stack.console.say
    world.come("start", aloud=True)
    used = world.key(world.come("stop", aloud=True))
    say("")
    say("each stage in each state that any order leads to; back to a state by `clean` and the tasks that led there")
    world.ways[used] = [["start"], ["stop"]]
    found = [Findings(used, "a used stack"), Findings(frozenset(), "nothing")]
    for findings in found:
        findings.measure(world, say)
    made.counts = counts(found)
    for findings in found:
        for line in ("", *findings.told()):
            stack.console.answering().say(line)
    if wrong := [line for findings in found for problem in findings.wrong for line in problem.splitlines()]:
        raise BootError(
            "an order of the stages does what it may not", details=wrong, hint="see what it changed, and what it said"
        )
