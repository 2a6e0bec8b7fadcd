"""Speed, both sides measured in one run: `nox -s bench [-- --rounds 5 --only peers]`.

A whole run writes docs/performance.md with its plots; a part of one does with `--write` only.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.reports import report
from tests.stack import ROOT

from . import embedded, growth, guard, listing, machine, peers
from .document import write
from .figures import Figures, say

Part = Callable[[Path, int, Figures], None]
_GROWTH = {"services": growth.services, "owners": growth.owners, "data": growth.data}


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5, help=f"of each part; growth has {growth.ROUNDS} at most")
    parser.add_argument("--only", action="append", choices=["guard", "list", "peers", "embedded", "growth", *_GROWTH])
    parser.add_argument("--points", type=int, help="only so many sizes of each growth, the smallest")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md of a partial run, too")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)

    figures = Figures(machine.describe(), asked.rounds)
    with report("bench") as made, tempfile.TemporaryDirectory(prefix="bootorder-bench-") as name:
        made.figures = figures.as_data
        Path(name).chmod(0o755)  # of root's stacks PostgreSQL runs as another account
        for what, part in _parts(asked.only or [], asked.points).items():
            say(f"-- {what}")
            with figures.trying(what):
                part(Path(name) / what, asked.rounds, figures)
        made.counts = {"targets missed": len(figures.misses()), "parts failed": len(figures.failed)}
        for line in figures.misses():
            say(f"missed: {line}")
        if asked.write or not (asked.only or asked.points):
            write(figures, ROOT / "docs")
        if figures.failed:
            raise SystemExit("\n".join(figures.failed))


def _parts(only: list[str], points: int | None) -> Mapping[str, Part]:
    def grown(measure: Callable[[Path, int, Figures, int | None], None]) -> Part:
        return lambda folder, rounds, figures: measure(folder, min(rounds, growth.ROUNDS), figures, points)

    every: dict[str, Part] = {
        "guard": guard.measure,
        "list": listing.measure,
        "peers": peers.measure,
        "embedded": embedded.measure,
        **{name: grown(measure) for name, measure in _GROWTH.items()},
    }
    wanted = {*only, *(_GROWTH if "growth" in only else ())}
    return {name: part for name, part in every.items() if name in wanted or not only}


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
