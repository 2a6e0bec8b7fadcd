"""docs/performance.md, its numbers and its plots, from the figures of one run. The words stand here."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from . import drawing
from .figures import CASES, LINEAR, OURS, SIDES, WAITED, Check, Figures, Values, exponent, medians, paired

_HEAD = """\
# Performance

`nox -s bench` writes this page: both sides of each comparison are measured in one run on one machine, in turn,
{rounds} rounds of each (growth: {growth_rounds} at most). A number is the median, in brackets the least and the
most; a ratio is the median of the ratios of each round. A second on another machine is another second; the
ratios are what to look at. No test depends on any of it."""

_PEERS = """\
## Against what people use instead
The sample stack of this repository: PostgreSQL, pgAdmin, a Next.js app with Drizzle, FastAPI with SQLModel, a
dashboard.

- *`inv start`*: the tasks, without the `./inv` wrapper. It also builds what changed, makes and checks the
  guard, compares every owner's tables with what its tool makes, and counts the others' rows before and after a
  tool ran.
- *staged script*: [tests/bench/staged.sh](../tests/bench/staged.sh): `up` of the database, `pg_isready`,
  `sleep 10`, push, seed, `up` of all, `curl`; it looks every 2 s. Its compose.yaml orders nothing.
- *`up --wait`*: `docker compose up --detach --wait` with the `depends_on` conditions and health checks of
  compose.yaml. For pgAdmin nobody waits. On an engine before 25, which knows no `start_interval`, its apps are
  looked at every 500 ms, as newer ones do.
- *its parts*: the sum of what cannot be left out, each by hand with no waiting in between: database until its first
  query, push, seed, apps until the slowest is healthy.

*Cold*: images are built, there are no data, and the tools were rehearsed before; *very first*: they were not.
*Second boot*: all is up, with rows, is stopped and boots again. *`--quick`*: nothing has changed; all is
stopped, or all is up. `up --wait` runs its one-off, push and seed, each time, also where all is up; *with
`--no-deps`* and every service by name it does not, which is no way to boot. The script does everything again.

After every boot each app was asked over HTTP, and every row counted: a boot that left one of them out is no
figure here."""

_EMBEDDED = """\
### Without Docker
The same stack from [PostgreSQL's wheel and local processes](embedded.md), installed and built before. Nobody
else boots it so; *its parts* are as above, the slowest app alone; *push, seed, app* the same where everything
is there."""

_GROWTH = f"""\
## Growth
Stacks made up for it. Services do nothing but become healthy, after a database that they depend on, and
together are looked at 20 times a second. An owner's tool is a small Python program that makes three tables.
Rows have 1 KB each. Tables and rows are those of a stack that is up: a second boot, and `--quick`.

Wanted: as many services in no more time than `{WAITED}`; and nothing that grows faster than what there is. The
*exponent* is that of the last step, from what is added to the least of the seconds: 0 is no growth, 1 is linear, 2 the
square; up to {LINEAR} counts as linear."""

_SINGLES = """\
## By itself
*Own CPU* is user and system time of the tasks' own process, without that of any command it runs. What stands
here of the guard is the best of seven runs, on a PostgreSQL that does nothing else."""

_LEFT = """\
## What is left, and what was tried
The critical paths above are what `inv start` says of itself: where its seconds went, last round.

- **Cold.** Database, push and seed need each other; the apps need tables only, and start beside the seed. Builds,
  the making of containers and pgAdmin run beside, too, and two processors share all that: the seed takes longer
  than by hand. What is dearer than the parts: half a second of Python and its imports before the first stage and
  after the last, Compose's reading of compose.yaml, the guard, and every owner's catalog before and after each
  tool. Where *the sum of its parts* is above what is wanted, the tools and the apps take that by themselves.
- **`--quick`, stopped.** No tool and no seed runs; what is left is to start the database, and then each app until
  it answers: the path above, which leaves a tenth for the tasks. Tried: all containers started at once through the
  engine's API, and not one after another by Compose.
- **Own CPU.** Half of it is importing (the libraries alone are below), each where it is first used; a start with
  Docker uses all. A connection is 5 ms, for its password; 15 are left of 28. Tried: one connection for all
  questions of a stage, each database read once for all owners, the names of tables instead of their catalog where
  names will do, one look at the processes and ports of the machine and not one for each, sources only read where
  they decide, no search for garbage among what was just imported, states of containers from the engine's events,
  one call of Compose less.
- **Owners.** Those that need nothing of each other are at work at once, on two processors. The exponent is made of
  differences that are no larger than the range of one size: that of a cold start was 0.8 in one run, 2.2 in the
  next."""

_COLUMNS = {"megabytes": "MB of rows"}


def write(figures: Figures, folder: Path) -> None:
    for name, text in pages(figures).items():
        (folder / name).write_text(text, encoding="utf-8")


def pages(figures: Figures) -> dict[str, str]:
    """By file name."""
    found = {"performance.md": document(figures)}
    if figures.peers:
        found["performance-peers.svg"] = drawing.peers(figures)
    if figures.growth:
        found["performance-growth.svg"] = drawing.growth(figures)
    return found


def document(figures: Figures) -> str:
    parts = [_HEAD.format(rounds=figures.rounds, growth_rounds=_growth_rounds(figures)), _summary(figures)]
    parts += [_table(["machine", ""], figures.machine.items())]
    if figures.peers:
        parts += [_PEERS, "![seconds of each side in each case](performance-peers.svg)", *_runtime(figures, "compose")]
    if "embedded" in figures.peers:
        parts += [_EMBEDDED, *_runtime(figures, "embedded")]
    if figures.growth:
        parts += [_GROWTH, "![seconds against size](performance-growth.svg)"]
        parts += [_growth(figures, series) for series in drawing.PANELS if series in figures.growth]
    if figures.misses():
        parts += [_LEFT]
    if figures.singles:
        parts += [_SINGLES, _singles(figures)]
    return "\n\n".join(parts) + "\n"


def _growth_rounds(figures: Figures) -> int:
    every = (values for lines in figures.growth.values() for sizes in lines.values() for values in sizes.values())
    return max((len(values) for values in every), default=0)


def _summary(figures: Figures) -> str:
    checks, misses = figures.checks(), figures.misses()
    lines = [f"**{len(checks) - len(misses)} of {len(checks)} targets are met.**"]
    lines += [f"- missed: {miss}{_because(miss)}" for miss in misses]
    lines += [f"- failed, and not in the figures: {what}" for what in figures.failed]
    return "\n".join(lines[:1] + ([""] if lines[1:] else []) + lines[1:])


def _because(miss: Check) -> str:
    return f" (the sum of its parts: {miss.floor:.2f})" if miss.floor is not None and miss.floor > miss.wanted else ""


def _runtime(figures: Figures, runtime: str) -> Iterator[str]:
    cases = figures.peers.get(runtime, {})
    there = [side for side in SIDES if any(side in sides for case, sides in cases.items() if case != "parts")]
    rows = [
        [name, *(_seconds(cases[case].get(side, {})) for side in there)]
        for case, name in CASES[runtime].items()
        if case in cases
    ]
    yield _table(["seconds", *(SIDES[side] for side in there)], rows)
    if "parts" in cases:
        yield _table([f"parts, cold: {part}" for part in cases["parts"]], [map(_seconds, cases["parts"].values())])
    if checks := figures.peer_checks(runtime):
        yield _table(["", "ratio", "at most", "sum of its parts", ""], [_peer_check(check) for check in checks])
    if paths := figures.paths.get(runtime):
        lines = [[CASES[runtime][case], path] for case, path in paths.items()]
        yield _table(["critical path of the last `inv start`", "seconds"], lines)


def _growth(figures: Figures, series: str) -> str:
    lines = figures.growth[series]
    sizes = sorted({size for line in lines.values() for size in line})
    compared = {WAITED, OURS} <= set(lines)
    rows = []
    for size in sizes:
        cells = [f"{size:,}", *(_seconds(lines[line].get(size, {})) for line in lines)]
        if compared:
            ratio = paired(lines[OURS].get(size, {}), lines[WAITED].get(size, {}))
            cells.append("" if ratio is None else f"{ratio:.2f}")
        rows.append(cells)
    grows = {line: exponent(medians(of_line)) for line, of_line in lines.items()}
    if any(value is not None for value in grows.values()):
        cells = ["exponent", *("" if value is None else f"{value:.1f}" for value in grows.values())]
        rows.append([*cells, *([""] if compared else [])])
    heads = [
        _COLUMNS.get(series, series),
        *(f"`{line}`" if " up " in line or "inv" in line else line for line in lines),
    ]
    return _table([*heads, *(["ratio"] if compared else [])], rows)


def _singles(figures: Figures) -> str:
    rows = []
    for what, one in figures.singles.items():
        wanted = f"{one.wanted:g} {one.unit}" if one.wanted is not None else ""
        met = _met(Check(what, one.median, one.wanted)) if one.wanted is not None else ""
        rows.append([what, f"{one.median:.3g} {one.unit}", wanted, met])
    return _table(["", "median", "at most", ""], rows)


def _peer_check(check: Check) -> Sequence[str]:
    floor = "" if check.floor is None else f"{check.floor:.2f}"
    return [check.what, check.told, f"{check.wanted:.2f}", floor, _met(check)]


def _met(check: Check) -> str:
    return "met" if check.is_met else "**missed**"


def _seconds(values: Values) -> str:
    if not values:
        return ""
    every = values.values()
    return f"{statistics.median(every):.1f} ({min(every):.1f} to {max(every):.1f})"


def _table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
