"""How a boot grows.

With services on Docker, beside `docker compose up --wait` of the same stack; with owners, tables and rows without
Docker, where little else takes time.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stack import ComposeStack, EmbeddedStack

from .figures import OURS, WAITED, Figures
from .generated import give_owners, give_services
from .measure import call, compile_tasks, inv, timed

SERVICES: Sequence[int] = (1, 10, 25, 50)
OWNERS: Sequence[int] = (1, 3, 6, 12)
TABLES: Sequence[int] = (10, 100, 1_000, 10_000)
MEGABYTES: Sequence[int] = (0, 10, 100, 1_000)
# They take longer than the peers, and differ by more.
ROUNDS = 3

_MANY = 10  # tables, among which the rows are
_TABLE_OF_ROWS = "insert into data_{} (name) select repeat(md5(n::text), 31) from generate_series(1, {}) n"
_COUNT = "select count(*) from data_{}"
_ROW = 1024  # bytes, with what PostgreSQL adds to each


def services(folder: Path, rounds: int, figures: Figures, points: int | None) -> None:
    with ComposeStack(folder / "taskflow") as stack:
        compile_tasks(stack)
        for count in SERVICES[:points]:
            give_services(stack, count)
            for number in range(1, rounds + 1):
                with figures.trying(f"{count} services, round {number}"):
                    for line in _in_turn([OURS, WAITED], number):
                        stack.empty()
                        seconds = timed(lambda line=line: _boot(stack, line))  # type: ignore[misc]
                        healthy = _healthy(stack)
                        assert healthy == count + 1, f"{line}: {healthy} of {count} services and their database"
                        figures.add_growth("services", line, count, number, seconds)


def _boot(stack: ComposeStack, line: str) -> None:
    if line == OURS:
        inv(stack, "start", "--runtime", "compose")
    else:
        call(["docker", "compose", "up", "--detach", "--wait"], stack.folder, stack.environment)


def _healthy(stack: ComposeStack) -> int:
    states = [container["State"] for container in stack._containers()]
    return sum(state["Running"] and state["Health"]["Status"] == "healthy" for state in states)


def _in_turn(sides: Sequence[str], number: int) -> Sequence[str]:
    return sides if number % 2 else sides[::-1]


def owners(folder: Path, rounds: int, figures: Figures, points: int | None) -> None:
    with EmbeddedStack(folder / "taskflow") as stack:
        compile_tasks(stack)
        for count in OWNERS[:points]:
            give_owners(stack, {f"owner{number}": 3 for number in range(1, count + 1)})
            inv(stack, "start")  # installs PostgreSQL, or makes the passwords of more owners
            for number in range(1, rounds + 1):
                with figures.trying(f"{count} owners, round {number}"):
                    for line, *flags in (("never rehearsed",), ("cold",), ("second",), ("quick", "--quick")):
                        if line in {"never rehearsed", "cold"}:
                            stack.empty()
                        if line == "never rehearsed":
                            shutil.rmtree(stack.folder / ".bootorder" / "rehearsals")
                        seconds = timed(lambda flags=flags: inv(stack, "start", *flags))  # type: ignore[misc]
                        [(made,)] = stack.query("select count(*) from pg_tables where tableowner ~ '^owner'")
                        assert made == 3 * count, f"{made} tables of {count} owners"
                        figures.add_growth("owners", line, count, number, seconds)


def data(folder: Path, rounds: int, figures: Figures, points: int | None) -> None:
    with EmbeddedStack(folder / "taskflow") as stack:
        compile_tasks(stack)
        for tables in TABLES[:points]:
            with figures.trying(f"{tables} tables"):
                _give_tables(stack, tables)
                _starts(stack, "tables", tables, rounds, figures)
        with figures.trying("rows"):
            _give_tables(stack, _MANY)
            there = 0
            for size in MEGABYTES[:points]:
                _give_rows(stack, size - there)
                there = size
                _starts(stack, "megabytes", size, rounds, figures)


def _give_tables(stack: EmbeddedStack, tables: int) -> None:
    if stack.data.exists():
        stack.empty()
    give_owners(stack, {"data": tables})
    inv(stack, "start")
    stack.query("checkpoint")


def _give_rows(stack: EmbeddedStack, megabytes: int) -> None:
    """So many more, written to the disk: what a server still has to write is nobody's time here."""
    each = megabytes * 1024 * 1024 // _ROW // _MANY
    for table in range(_MANY):
        stack.query(_TABLE_OF_ROWS.format(table, each))
    stack.query("vacuum analyze")
    stack.query("checkpoint")


def _starts(stack: EmbeddedStack, series: str, size: int, rounds: int, figures: Figures) -> None:
    """Of a stack that is up."""
    before = _rows(stack)
    for number in range(1, rounds + 1):
        figures.add_growth(series, "second", size, number, timed(lambda: inv(stack, "start")))
        figures.add_growth(series, "quick", size, number, timed(lambda: inv(stack, "start", "--quick")))
    assert _rows(stack) == before


def _rows(stack: EmbeddedStack) -> Mapping[int, int]:
    return {number: stack.query(_COUNT.format(number))[0][0] for number in range(_MANY)}
