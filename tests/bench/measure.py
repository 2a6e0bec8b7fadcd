"""Taking the time of what others do, and looking whether they did it."""

from __future__ import annotations

import compileall
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg

from scripts.bootorder.boot import STATE_FOLDER
from scripts.bootorder.showing import TIMELINE
from scripts.bootorder.timeline.critical import told
from scripts.bootorder.timeline.spans import Recording
from tests.proofs.soak import ROWS
from tests.stack import MAIN, Stack

LIMIT = 600  # seconds, for one command; what takes longer hangs
APPS = {"sso": "/api/health", "api": "/health", "web": "/health"}


def timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def call(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run it to a good end. What it says is kept for the case that it fails."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=LIMIT,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-30:])
        typed = " ".join(word.rpartition("/")[2] or word for word in argv)  # it may come to stand in the page
        raise AssertionError(f"{typed} ended with {done.returncode}:\n{last}")


def compile_tasks(stack: Stack) -> None:
    """As after the first use of a checkout; a stack of a test keeps no bytecode of its own."""
    compileall.compile_dir(stack.folder / "scripts", quiet=1)


def inv(stack: Stack, *arguments: str) -> None:
    call([sys.executable, str(stack.folder / MAIN), *arguments], stack.folder, stack.environment)


def critical_path(stack: Stack) -> str:
    """What the last start spent its time on, as it says itself."""
    return told(Recording.load(stack.folder / STATE_FOLDER / TIMELINE)).removeprefix("critical path ")


def inv_with_cpu(stack: Stack, *arguments: str) -> float:
    """The same. Returns the seconds of CPU of the task's own process, without those of what it started."""
    own = Path(__file__).with_name("own_cpu.py")
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "seconds"
        argv = [sys.executable, str(own), str(said), str(stack.folder / MAIN), *arguments]
        call(argv, stack.folder, stack.environment)
        return float(said.read_text(encoding="utf-8"))


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def answers(stack: Stack) -> bool:
    try:
        return stack.query("select 1") == [(1,)]
    except psycopg.OperationalError:
        return False


def poll(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < end, f"nothing came in {LIMIT} s"
        time.sleep(0.02)


def counted(stack: Stack) -> dict[str, int]:
    """The rows of every owner's tables, for a stack on which all apps are healthy now: asked over HTTP, once."""
    sick = [app for app, path in APPS.items() if not healthy(stack.url(app, path))]
    assert not sick, f"not healthy at the end: {', '.join(sick)}"
    return stack.tables()


def fill(stack: Stack) -> dict[str, int]:
    """Some rows in a stack that was just made, beside the seed's. Returns how many there are."""
    seeded = counted(stack)
    assert seeded.get("user") == 1, f"the seed's user is missing: {seeded}"
    stack.query(ROWS.format(1))
    stack.query("insert into worker (sub, name, email) values ('u-1', 'Grace', 'grace-1@example.com')")
    return counted(stack)


def require(stack: Stack, rows: Mapping[str, int]) -> None:
    """Healthy, and every row still there."""
    found = counted(stack)
    assert found == rows, f"rows were {rows}, and are {found}"
