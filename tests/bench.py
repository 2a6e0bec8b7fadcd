"""Speed as ratios, both sides measured in one run, in pairs: `nox -s bench [-- ROUNDS]`.

A `start` on an empty volume, images built, against the sum of its parts run by hand (database to first query, push,
seed, slowest app to health); `inv --list` against that of an Invoke collection with one empty task.
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
from pathlib import Path

import psycopg

from tests.stack import ROOT, ComposeStack

_EMPTY = """
from invoke import task

@task
def nothing(c):
    pass
"""
_LIST_ROUNDS = 20


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench_list(Path(folder))
        with ComposeStack(Path(folder) / "taskflow") as stack:
            bench_start(stack, rounds)


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
    paths = {"sso": "/api/health", "api": "/health", "web": "/health"}
    begun = time.monotonic()
    up(stack, *paths)
    for app, path in paths.items():
        poll(lambda app=app, path=path: healthy(stack.url(app, path)))  # type: ignore[misc]
    parts["apps"] = time.monotonic() - begun
    return parts


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
