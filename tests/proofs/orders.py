"""Every order of the stages, from an empty database and on one full of rows: `nox -s orders [-- --write]`.

What is asked of each stage says `scripts/bootorder/proving/orders.py`, which measures any stack. This one is brought
back to a state faster, and exactly: it is stopped, its data folder is put back, and what ran is started. What is
installed and built is no part of a state: it is there from the beginning. docs/orders.md shows what happened.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bootorder.processes import Completed
from scripts.bootorder.proving.orders import Findings, counts
from scripts.bootorder.proving.pictures import State, differences, lines
from tests.reports import report
from tests.stack import ROOT, EmbeddedStack

PAGE = ROOT / "docs" / "orders.md"
ROWS = Path(__file__).with_name("rows.sql")


@dataclass
class Restored:
    """The stack, which can be brought back to any state that was kept; a state is a whole picture."""

    stack: EmbeddedStack
    folder: Path
    kept: dict[State, Path] = field(default_factory=dict)
    now: State | None = None
    # What the data say when nobody can ask them: by the digest of their files.
    known: dict[str, State] = field(default_factory=dict)

    def key(self, there: State) -> State:
        return there

    def look(self) -> State:
        services = frozenset(f"service {name}" for name in self.stack.running())
        if "service postgres" in services:
            self.now = services | self._ask()
        else:
            unknown: State = frozenset({"made changes while the database was stopped"})
            self.now = services | self.known.get(digest(self.stack.data), unknown)
        return self.now

    def _ask(self) -> State:
        with self.stack.connect() as connection:
            return frozenset(lines(connection, lambda _: contextlib.nullcontext(connection)))

    def keep(self, state: State, *_: object) -> None:
        """Stop it, and remember how to come back."""
        self.must("stop")
        self.kept[state] = self.folder / f"data-{len(self.kept)}"
        copy(self.stack.data, self.kept[state])
        self.known[digest(self.kept[state])] = stopped(state)

    def go(self, state: State) -> State:
        if self.now == state:
            return state
        self.stack.empty()
        copy(self.kept[state], self.stack.data)
        if "service web" in state:
            self.must("db-up", "wait-db", "apps-up", "wait-apps")
        elif "service postgres" in state:
            self.must("db-up", "wait-db")
        there = self.look()
        if there != state:
            raise SystemExit("\n".join(["a state cannot be gone back to:", *differences(state, there)]))
        return there

    def inv(self, *tasks: str) -> Completed:
        self.now = None
        ran = self.stack.inv(*tasks)
        return Completed(ran.code, ran.out, ran.err)

    def must(self, *tasks: str) -> None:
        done = self.inv(*tasks)
        if done.code:
            raise SystemExit(f"inv {' '.join(tasks)} ended with {done.code}:\n{done.text}")

    def rows_change(self, *_: object) -> bool:
        """Never: the apps of the sample leave rows alone that nobody asks them to change."""
        return False


def stopped(state: State) -> State:
    return frozenset(line for line in state if not line.startswith("service "))


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


def filled(world: Restored) -> State:
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
    """docs/orders.md."""
    told = [
        "# Every order of the stages",
        "",
        "Written by `nox -s orders -- --write`, and compared by `nox -s orders`: what each stage did in every state",
        "that any order leads to. *first `x`*: it refused with exit code 4, named `x` as what to run first, and",
        "changed nothing. From every state `inv start` booted the stack, and no row was lost.",
    ]
    for findings in all_findings:
        told += ["", *findings.told()]
    return "\n".join(told) + "\n"


def main(arguments: Collection[str]) -> None:
    with report("orders") as made, tempfile.TemporaryDirectory() as name:
        with EmbeddedStack(Path(name) / "ein Stück" / "taskflow") as stack:
            all_findings = measured(Restored(stack, Path(name)))
        told = page(all_findings)
        wrong = [problem for findings in all_findings for problem in findings.wrong]
        made.counts = counts(all_findings)
        print(f"\n{told}")
        if wrong:
            raise SystemExit("\n\n".join(wrong))
        if "--write" in arguments:
            PAGE.write_text(told, encoding="utf-8")
        elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != told:
            raise SystemExit("docs/orders.md is not what happened; see what changed: nox -s orders -- --write")


def measured(world: Restored) -> Sequence[Findings]:
    full = filled(world)
    world.stack.empty()
    world.keep(frozenset())
    found = [Findings(frozenset(), "nothing"), Findings(full, "a full database")]
    for findings in found:
        findings.measure(world, print)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
