"""Several commands at once on one stack: running them, other machines among them, and judging what became of each."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import count
from pathlib import Path

from tests.conftest import unavailable
from tests.stack import MAIN, Ran, Stack, run

# The README's list of exit codes. 1, which is not among them, is a mistake of ours or of Invoke's.
_DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8, 130}
# Words of Python and of libraries, and the two messages for what nobody foresaw.
_RAW = re.compile(
    r"Errno|psycopg|APIError|HTTPConnection|Connection aborted|the operating system refused an operation"
    r"|the Docker Engine refused a request"
)
_BLOCK = re.compile(r"(?m)^error: (.+)\n((?:  .*\n)*)")

# A machine of its own: it sees its own processes, and what it writes into the checkout no other machine sees. The
# network, and with it the database and the engine, is that of all.
_MACHINE = (
    'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/made,workdir=$2/work" "$1" && cd "$1" && shift 2 && exec "$@"'
)
_OWN_PROCESSES = ["--pid", "--fork", "--kill-child", "--mount-proc"]
_NUMBERS = count(1)


def at_once(*commands: Callable[[], Ran]) -> list[Ran]:
    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(lambda command: command(), commands))


def after(seconds: float, command: Callable[[], Ran]) -> Callable[[], Ran]:
    """The same command, begun so much later; at once where that is in the past."""

    def run_it() -> Ran:
        time.sleep(max(seconds, 0))
        return command()

    return run_it


def on_another_machine(stack: Stack, folder: Path, *arguments: str) -> Callable[[], Ran]:
    """`inv` in the same checkout on another machine, which writes into `folder`. Skips where none can be made."""
    if trouble := _no_machines():
        unavailable(f"no other machines can be made here: {trouble}")
    own = folder / f"machine-{next(_NUMBERS)}"
    for part in ("made", "work"):
        (own / part).mkdir(parents=True)
    argv = [str(stack.folder), str(own), sys.executable, str(stack.folder / MAIN), *arguments]
    return partial(
        run, [*_unshared(), *_OWN_PROCESSES, "sh", "-c", _MACHINE, "sh", *argv], stack.folder, stack.environment
    )


def _unshared() -> Sequence[str]:
    as_root = [] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *as_root, "--mount"]


@cache
def _no_machines() -> str:
    try:
        done = run([*_unshared(), *_OWN_PROCESSES, "true"])
    except FileNotFoundError as error:
        return str(error)
    return done.err.strip() if done.code else ""


def understood(ran: Ran) -> None:
    """Whoever did not get their way is told what happened, what was expected or seen, and what to do."""
    assert "Traceback" not in ran.err, ran.err
    assert ran.code in _DOCUMENTED, f"{ran.code}: {ran.err}"
    told = _BLOCK.findall(ran.err)
    assert bool(told) == bool(ran.code), ran.err
    for message, lines in told:
        assert not _RAW.search(message), ran.err
        assert re.search(r"(?m)^  hint: [a-z]+ ", lines), ran.err
        # By a signal, which is not the schema's fault.
        if "is not running" not in message and re.search(r"exit code (129|130|137|143)", lines):
            assert "hint: run this again" in lines, ran.err
        # Who holds a lock may not have written its name yet.
        assert re.search(r"(?m)^  (expected|seen|last \d+ lines|-|\+) ", lines) or ran.code == 7, ran.err


def honest(stack: Stack) -> None:
    """What `status` says is all there is: no process, one-off or scratch database beside it."""
    ran = stack.inv("status", "--json")
    assert ran.code == 0, ran.err
    said = [service["name"] for service in ran.json["services"] if service["state"] == "running"]
    assert stack.running() == sorted(said), ran.out
    assert stack.one_offs() == []
    if ran.json["services"][0]["health"] == "healthy":
        assert scratch_databases(stack) == []


def scratch_databases(stack: Stack) -> list[str]:
    return [name for (name,) in stack.query("select datname::text from pg_database where datname like 'bootorder%'")]
