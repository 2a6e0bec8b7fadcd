"""Every order of the stages, from an empty database and on one full of rows: `nox -s orders [-- --write]`.

There are 720 orders of six stages. Not each of them must be run to know what becomes of each, as a stage sees nothing
but the world it finds. So a *state* is a whole picture of that world: each table, column, constraint and row, the
rights and triggers, and what runs. In every state that is ever reached each stage is run once for real, through the
`inv` that a person types; where it changed something, the new picture is one more state. To go back to a state the
stack is stopped, its data folder is put back, and what ran is started. In the end all 720 orders are walked over what
was measured, and docs/orders.md shows it. What is installed and built is no part of a state: it is there from the
beginning.

Of a stage is asked that it does its work, is skipped, or refuses: with exit code 4, the tasks to run first by name, and
not one thing changed. What it names must not be refused in turn. Nothing may ever remove a row or a table, and only a
stage whose work that is may add some. From every state `inv start` must boot the stack, and lose nothing either. Apps
are waited for before the next picture is taken.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from scripts.bootorder import catalog
from tests.reports import report
from tests.stack import ROOT, EmbeddedStack, Ran

STEPS = ("db-up", "wait-db", "guard", "migrate", "seed", "apps-up")
PAGE = ROOT / "docs" / "orders.md"
ROWS = Path(__file__).with_name("rows.sql")

# Apps that are not waited for make their tables at some time or other.
RUN = {"apps-up": ["apps-up", "wait-apps"]}

# A picture: a line for each thing, of which the first word says what kind it is.
State = frozenset[str]

MAY_ADD = {
    "db-up": {"service", "right"},
    "wait-db": set[str](),
    "guard": {"right"},
    "migrate": {"made", "record"},
    "seed": {"row", "record"},
    "apps-up": {"service", "made", "row"},
    "start": {"service", "right", "made", "row", "record"},
}
# An old right or record may give way to a new one, and `start` begins with `stop`; a row or a table never may.
MAY_REMOVE = {"guard": {"right"}, "migrate": {"record"}, "seed": {"record"}, "start": {"right", "record"}}

# Rights and records: how the guard and the stages left the server.
_RIGHTS = """
    select concat_ws(' ', 'right role', rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin) from pg_roles
    where rolname !~ '^pg_'
    union all select concat_ws(' ', 'right database', datname, datdba::regrole, datacl::text) from pg_database
    union all select concat_ws(' ', 'right schema', nspname, nspowner::regrole, nspacl::text) from pg_namespace
    where nspname !~ '^pg_'
    union all select concat_ws(' ', 'right trigger', evtname, evtevent, evtenabled, evttags::text) from pg_event_trigger
"""
_RECORDS = "select concat_ws(' ', 'record', {}::text, owner, fingerprint) from bootorder.{}"
_MOST_STATES = 30  # more than there can be: then something in a picture changes by itself


@dataclass(frozen=True)
class Step:
    """What became of a stage in a state. `first`: what it asked for when it refused."""

    verdict: str  # done, skipped, refused
    first: tuple[str, ...]
    after: State

    def __str__(self) -> str:
        return f"first `{' '.join(self.first)}`" if self.verdict == "refused" else self.verdict


@dataclass
class World:
    """The stack, which can be brought back to any state that was kept."""

    stack: EmbeddedStack
    folder: Path
    kept: dict[State, Path] = field(default_factory=dict)
    now: State | None = None
    # What the data say when nobody can ask them: by the digest of their files.
    known: dict[str, State] = field(default_factory=dict)

    def look(self) -> State:
        services = frozenset(f"service {name}" for name in self.stack.running())
        if "service postgres" in services:
            return services | self._ask()
        return services | self.known.get(digest(self.stack.data), {"made changes while the database was stopped"})

    def _ask(self) -> State:
        with self.stack.connect() as connection:
            return frozenset(lines(connection))

    def keep(self, state: State) -> None:
        """The world is in this state: stop it, and remember how to come back."""
        self.must("stop")
        self.kept[state] = self.folder / f"data-{len(self.kept)}"
        copy(self.stack.data, self.kept[state])
        self.known[digest(self.kept[state])] = stopped(state)
        self.now = None

    def go(self, state: State) -> None:
        if self.now == state:
            return
        self.stack.empty()
        copy(self.kept[state], self.stack.data)
        if "service web" in state:
            self.must("db-up", "wait-db", "apps-up", "wait-apps")
        elif "service postgres" in state:
            self.must("db-up", "wait-db")
        there = self.look()
        if there != state:
            raise SystemExit("\n".join(["a state cannot be gone back to:", *differences(state, there)]))
        self.now = state

    def must(self, *tasks: str) -> None:
        ran = self.stack.inv(*tasks)
        if ran.code:
            raise SystemExit(f"inv {' '.join(tasks)} ended with {ran.code}:\n{ran.err}")


@dataclass
class Findings:
    """What was measured from a first state on, and what was wrong. States are named by how they came to be."""

    first: State
    name: str
    names: dict[State, str] = field(default_factory=dict)
    steps: dict[tuple[State, str], Step] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def measure(self, world: World) -> None:
        self.names[self.first] = self.name
        found = [self.first]
        for state in found:
            for name in (*STEPS, "start"):
                world.go(state)
                ran = world.stack.inv(*RUN.get(name, [name]))
                after = world.look()
                step = Step(verdict(ran, name), asked_first(ran, name), after)
                self.steps[state, name] = step
                self._judge(state, name, ran)
                world.now = after
                if after not in self.names and name != "start" and step.verdict == "done":
                    self.names[after] = name if not state else f"{self.names[state]}, {name}"
                    world.keep(after)
                    found.append(after)
            print(f"{self.names[state]}: " + ", ".join(f"{name} {self.steps[state, name]}" for name in STEPS))
            if len(found) > _MOST_STATES:
                raise SystemExit("\n".join(["states without end:", *differences(found[-2], found[-1])]))

    def _judge(self, state: State, name: str, ran: Ran) -> None:
        step, problems = self.steps[state, name], []
        changed = differences(state, step.after)
        removed = {line.split()[0] for line in state - step.after} - MAY_REMOVE.get(name, set())
        added = {line.split()[0] for line in step.after - state} - MAY_ADD[name]
        if removed or added:
            problems.append(f"removed {', '.join(removed) or 'nothing'}, added {', '.join(added) or 'nothing'}")
        if step.verdict != "done" and changed:
            problems.append("changed something although it said that it did not")
        if step.verdict == "refused":
            hint = next((line for line in ran.err.splitlines() if line.strip().startswith("hint: ")), "")
            if ran.code != 4 or not step.first or f"inv {' '.join(step.first)}" not in hint:
                problems.append(f"ended with {ran.code}, and asks for `{' '.join(step.first)}`: {hint.strip()}")
        if name == "start" and step.verdict != "done":
            problems.append("did not boot")
        for problem in problems:
            told = "\n".join(f"    {line}" for line in (*changed[:20], *ran.err.splitlines()[-12:]))
            self.wrong.append(f"{self.names[state]}: inv {name}: {problem}\n{told}")

    def judge_advice(self) -> None:
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
                told[name] = str(self.steps[state, name])
                state = self.steps[state, name].after
            yield tuple(sorted(told.items())), state


def lines(connection: psycopg.Connection[tuple[Any, ...]]) -> Iterator[str]:
    """Everything that a database holds."""
    for key, text in catalog.read(connection).objects.items():
        yield f"made {key} {text}"
    yield from (str(line) for (line,) in connection.execute(_RIGHTS.encode()))
    for name in ("migration", "seed"):
        if connection.execute("select to_regclass(%s)", [f"bootorder.{name}"]).fetchone() != (None,):
            query = sql.SQL(_RECORDS).format(sql.Literal(name), sql.Identifier(name))
            yield from (str(line) for (line,) in connection.execute(query))
    for table in catalog.read(connection).tables():
        query = sql.SQL("select md5(t::text) from {} t").format(sql.Identifier(*table))
        yield from (f"row of {'.'.join(table)} {md5}" for (md5,) in connection.execute(query))


def differences(before: State, after: State) -> list[str]:
    return [*(f"- {line}" for line in sorted(before - after)), *(f"+ {line}" for line in sorted(after - before))]


def stopped(state: State) -> State:
    return frozenset(line for line in state if not line.startswith("service "))


def verdict(ran: Ran, name: str) -> str:
    if ran.code:
        return "refused"
    return "skipped" if re.search(rf"\] {name}  skipped \(", ran.err) else "done"


def asked_first(ran: Ran, name: str) -> tuple[str, ...]:
    """Of `go on with: inv db-up wait-db guard` what stands before the stage itself."""
    found = re.search(r"go on with: inv (.*)", ran.err)
    return tuple(task for task in found[1].split() if task != name) if found else ()


def copy(folder: Path, to: Path) -> None:
    """With its owner and modes, which PostgreSQL looks at; nothing where there is nothing."""
    if folder.exists():
        subprocess.run(["cp", "-a", folder, to], check=True)


def digest(folder: Path) -> str:
    made = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        made.update(f"{path.relative_to(folder)}\0".encode())
        made.update(path.read_bytes() if path.is_file() else b"")
    return made.hexdigest()


def filled(world: World) -> State:
    """A stack that was used and stopped, with rows in every table. It is built now, and not again."""
    world.must("start")
    world.stack.query(ROWS.read_text(encoding="utf-8"))
    empty = [name for name, count in world.stack.tables().items() if not count]
    assert not empty, f"rows.sql leaves {', '.join(empty)} empty"
    used = world.look()
    world.keep(used)
    world.kept[stopped(used)] = world.kept[used]
    return stopped(used)


def page(all_findings: Sequence[Findings]) -> str:
    """docs/orders.md: no times and no random names, so that it changes only when a stage does something else."""
    told = [
        "# Every order of the stages",
        "",
        "Written by `nox -s orders -- --write`, and compared by `nox -s orders`: what each stage did in every state",
        "that any order leads to. *first `x`*: it refused with exit code 4, named `x` as what to run first, and",
        "changed nothing. From every state `inv start` booted the stack, and no row was lost.",
    ]
    for findings in all_findings:
        told += ["", f"## From {findings.name}", ""]
        told += [f"| state | {' | '.join(STEPS)} |", f"|{'---|' * (len(STEPS) + 1)}"]
        for state, name in findings.names.items():
            told.append(f"| {name} | {' | '.join(str(findings.steps[state, step]) for step in STEPS)} |")
        walked = list(findings.walk())
        ends = Counter(findings.names[state] for _, state in walked)
        told += [
            "",
            f"{len(walked)} orders, {len({outcome for outcome, _ in walked})} different outcomes. They end in:",
            "",
            *(f"- {name}: {count}" for name, count in ends.most_common()),
        ]
    return "\n".join(told) + "\n"


def main(arguments: Collection[str]) -> None:
    with report("orders") as made, tempfile.TemporaryDirectory() as name:
        with EmbeddedStack(Path(name) / "ein Stück" / "taskflow") as stack:
            all_findings = measured(World(stack, Path(name)))
        told = page(all_findings)
        wrong = [problem for findings in all_findings for problem in findings.wrong]
        made.counts = {
            "orders": sum(1 for findings in all_findings for _ in findings.walk()),
            "states": sum(len(findings.names) for findings in all_findings),
            "stages run": sum(len(findings.steps) for findings in all_findings),
            "wrong": len(wrong),
        }
        print(f"\n{told}")
        if wrong:
            raise SystemExit("\n\n".join(wrong))
        if "--write" in arguments:
            PAGE.write_text(told, encoding="utf-8")
        elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != told:
            raise SystemExit("docs/orders.md is not what happened; see what changed: nox -s orders -- --write")


def measured(world: World) -> Sequence[Findings]:
    full = filled(world)
    world.stack.empty()
    world.keep(frozenset())
    found = [Findings(frozenset(), "nothing"), Findings(full, "a full database")]
    for findings in found:
        findings.measure(world)
        findings.judge_advice()
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
