"""Speed as ratios, both sides measured in one run, in pairs: `nox -s bench [-- ROUNDS]`.

With Docker, a `start` on an empty volume, images built, against the sum of its parts run by hand (database to first
query, push, seed, slowest app to health). Without, a `start` of what is installed and built against push, seed and the
slowest app by hand, and the database's and the stop's own seconds. `inv --list` against that of an Invoke collection
with one empty task. The guard, on a PostgreSQL of its own: where nothing is to do, a snapshot compared with the one
before, and what the event triggers add to a command.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.console import Console
from scripts.bootorder.guard.snapshots import Snapshot, foreign_losses
from scripts.bootorder.opening import open_boot
from tests.contract.guarded import Guarded, guarded
from tests.postgres import throwaway
from tests.stack import ROOT, ComposeStack, EmbeddedStack

_EMPTY = """
from invoke import task

@task
def nothing(c):
    pass
"""
_LIST_ROUNDS = 20
_GUARD_ROUNDS = 7
APPS = {"sso": "/api/health", "api": "/health", "web": "/health"}


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench_guard(Path(folder))
        bench_list(Path(folder))
        with ComposeStack(Path(folder) / "taskflow") as stack:
            bench_start(stack, rounds)
        with EmbeddedStack(Path(folder) / "embedded" / "taskflow") as embedded:
            bench_embedded(embedded, rounds)


def bench_start(stack: ComposeStack, rounds: int) -> None:
    said = stack.inv("start")  # builds and rehearses: a first start is another question
    assert said.code == 0, said.err
    ratios = []
    for number in range(1, rounds + 1):
        parts = time_parts(stack)
        empty(stack)
        whole = timed(lambda: succeed(stack.inv("start").code))
        ratios.append(whole / sum(parts.values()))
        shown = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
        print(f"start {number}: {whole:.2f} s; parts {sum(parts.values()):.2f} s ({shown}); ratio {ratios[-1]:.2f}")
    print(f"start against the sum of its parts: median {statistics.median(ratios):.2f} (wanted: at most 1.3)")


def time_parts(stack: ComposeStack) -> dict[str, float]:
    """Each part alone, by hand, in seconds; pgAdmin starts beside the database as it does in `start`."""
    empty(stack)
    begun = time.monotonic()
    up(stack, "postgres", "pgadmin")
    poll(lambda: answers(stack))
    parts = {"database": time.monotonic() - begun}
    run = ("run", "--rm", "--no-deps", "--no-TTY", "sso-setup")
    parts["push"] = timed(lambda: succeed(stack.docker_compose(*run, "pnpm", "db:push").code))
    parts["seed"] = timed(lambda: succeed(stack.docker_compose(*run, "pnpm", "seed:setup").code))
    begun = time.monotonic()
    up(stack, *APPS)
    for app, path in APPS.items():
        poll(lambda app=app, path=path: healthy(stack.url(app, path)))  # type: ignore[misc]
    parts["apps"] = time.monotonic() - begun
    return parts


def bench_embedded(stack: EmbeddedStack, rounds: int) -> None:
    said = stack.inv("start")  # installs and builds
    assert said.code == 0, said.err
    figures: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        stops = seconds_of(stack, "start", "--until", "stop")
        warm = seconds_of(stack, "start", "--until", "wait-db")
        parts = time_processes(stack)
        succeed(stack.inv("stop").code)
        whole = timed(lambda: succeed(stack.inv("start").code))
        round_figures = {
            "start": whole,
            "ratio": whole / sum(parts.values()),
            "stop": stops["stop"],
            "database warm": warm["db-up"] + warm["wait-db"],
        }
        for name, value in round_figures.items():
            figures.setdefault(name, []).append(value)
        shown = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
        print(f"embedded {number}: {whole:.2f} s; parts {sum(parts.values()):.2f} s ({shown})")
    for _ in range(rounds):
        succeed(stack.inv("clean").code)
        cold = seconds_of(stack, "start", "--until", "wait-db")
        figures.setdefault("database cold", []).append(cold["db-up"] + cold["wait-db"])
    wanted = {"ratio": 1.3, "stop": 1.0, "database warm": 0.25, "database cold": 1.0}
    for name, limit in wanted.items():
        print(f"embedded: {name} median {statistics.median(figures[name]):.2f} (wanted: at most {limit})")


# Of 100, 1,000 and 10,000 tables: what is wanted of a snapshot and its comparison, in milliseconds.
_SNAPSHOT_LIMITS = {100: None, 1_000: 150, 10_000: 1_200}
_MADE_AT_ONCE = 100
_COMMANDS = 50


def bench_guard(folder: Path) -> None:
    """Best of some runs: what else the machine does is not of interest. Two owners share one database."""
    with throwaway("boot") as server:
        with server.connect() as connection:
            connection.execute("create database bench_guard")
        stack = guarded(folder, replace(server, name="bench_guard"))
        stack.guard()
        made = 0
        for tables, limit in _SNAPSHOT_LIMITS.items():
            make_tables(stack, made, tables)
            made = tables
            assert stack.guard().was_skipped
            unchanged = best(stack.guard)
            wanted = " (wanted: at most 30)" if tables == _MADE_AT_ONCE else ""
            print(f"guard of {tables} tables, nothing to do: {unchanged:.0f} ms{wanted}")
            before = Snapshot.take(stack.target, stack.role("sso"))
            look = best(lambda before=before: foreign_losses(before, Snapshot.take(stack.target, stack.role("sso"))))  # type: ignore[misc]
            wanted = f" (wanted: at most {limit})" if limit else ""
            print(f"snapshot of {tables} tables, and comparison: {look:.0f} ms{wanted}")
            bench_event_triggers(stack)


def make_tables(stack: Guarded, start: int, end: int) -> None:
    """Nine of ten are of the owner that is not looked at."""
    table = "(id int generated by default as identity primary key, name text not null, at date default now())"
    for first in range(start, end, _MADE_AT_ONCE):
        numbers = f"{first + 1}..{first + _MADE_AT_ONCE}"
        loop = f"for n in {numbers} loop execute format('create table t_%s {table}', n); end loop"
        stack.send(f"do $$ begin {loop}; end $$", by="sso" if first % (10 * _MADE_AT_ONCE) == 0 else "api")


def bench_event_triggers(stack: Guarded) -> None:
    """Commands in one transaction, which is rolled back: with the triggers, and without."""
    names = ("bootorder_drop", "bootorder_change", "bootorder_cover")

    def commands() -> None:
        with stack.connected("sso") as connection, connection.transaction(force_rollback=True):
            for number in range(_COMMANDS):
                connection.execute(f"create table bench_{number} (id int)".encode())
                connection.execute(f"alter table bench_{number} add column name text".encode())
                connection.execute(f"drop table bench_{number}".encode())

    watched = best(commands)
    stack.send("; ".join(f"alter event trigger {name} disable" for name in names))
    alone = best(commands)
    stack.send("; ".join(f"alter event trigger {name} enable always" for name in names))
    each = (watched - alone) / (3 * _COMMANDS)
    print(f"event triggers: {each:.2f} ms a command (wanted: at most 1)")


def best(action: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some runs."""
    return min(timed(action) for _ in range(_GUARD_ROUNDS)) * 1000


def seconds_of(stack: EmbeddedStack, *arguments: str) -> dict[str, float]:
    ran = stack.inv(*arguments, "--json")
    succeed(ran.code)
    return {stage["stage"]: stage["seconds"] for stage in ran.json["stages"]}


def time_processes(stack: EmbeddedStack) -> dict[str, float]:
    """Push, seed, and the slowest app from its start to its first answer, on the database that runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        config = yaml.safe_load((stack.folder / "invoke.yaml").read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
        runtime = open_boot(stack.folder, config, Console(), "embedded").runtime
        parts = {
            name: timed(lambda script=script: succeed(runtime.run_once("sso-setup", ["pnpm", script], {}, quiet).code))  # type: ignore[misc]
            for name, script in (("push", "db:push"), ("seed", "seed:setup"))
        }
        starts = []
        for app, path in APPS.items():
            begun = time.monotonic()
            runtime.start([app], quiet)
            poll(lambda app=app, path=path: healthy(stack.url(app, path)))  # type: ignore[misc]
            starts.append(time.monotonic() - begun)
    return {**parts, "app": max(starts)}


def quiet(_line: str) -> None:
    """What the tools say is not of interest here."""


def empty(stack: ComposeStack) -> None:
    """No container and no volume; the images stay."""
    succeed(stack.docker_compose("down", "--volumes").code)


def up(stack: ComposeStack, *services: str) -> None:
    succeed(stack.docker_compose("up", "--detach", "--no-deps", *services).code)


def answers(stack: ComposeStack) -> bool:
    try:
        return stack.query("select 1") == [(1,)]
    except psycopg.OperationalError:
        return False


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def poll(ready: Callable[[], bool]) -> None:
    while not ready():
        time.sleep(0.02)


def bench_list(folder: Path) -> None:
    """Medians of paired runs, ours and the empty collection's in turn."""
    (folder / "tasks.py").write_text(_EMPTY)
    ours, empty_ones = [], []
    for _ in range(_LIST_ROUNDS):
        ours.append(timed(lambda: list_tasks([str(ROOT / "tasks.py")], ROOT)))
        empty_ones.append(timed(lambda: list_tasks(["-m", "invoke"], folder)))
    ratio = statistics.median(a / b for a, b in zip(ours, empty_ones, strict=True))
    print(
        f"inv --list: {statistics.median(ours) * 1000:.0f} ms, of an empty collection"
        f" {statistics.median(empty_ones) * 1000:.0f} ms; median ratio {ratio:.2f} (wanted: at most 1.25)"
    )


def list_tasks(command: list[str], root: Path) -> None:
    succeed(
        subprocess.run(
            [sys.executable, *command, "--list"], cwd=root, stdout=subprocess.DEVNULL, check=False
        ).returncode
    )


def timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def succeed(code: int) -> None:
    assert code == 0, f"exit code {code}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
