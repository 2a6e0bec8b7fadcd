"""`inv --list` against that of an Invoke collection with one empty task, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from tests.stack import MAIN, ROOT

from .figures import Figures
from .measure import call, timed

_EMPTY = """
from invoke import task

@task
def nothing(c):
    pass
"""
_ROUNDS = 20
# What a start with Docker needs of other people's.
_LIBRARIES = "invoke, psycopg, docker, pydantic, dotenv, filelock, psutil"


def measure(folder: Path, _rounds: int, figures: Figures) -> None:
    folder.mkdir()
    (folder / "tasks.py").write_text(_EMPTY, encoding="utf-8")
    for command in ([str(ROOT / MAIN)], ["-m", "invoke"]):
        _list(command, folder)  # what is not compiled yet is now
    pairs = [(_list([str(ROOT / MAIN)], ROOT), _list(["-m", "invoke"], folder)) for _ in range(_ROUNDS)]
    figures.add_single("`inv --list`", statistics.median(ours for ours, _ in pairs) * 1000, "ms")
    figures.add_single("`inv --list` of one empty task", statistics.median(empty for _, empty in pairs) * 1000, "ms")
    ratio = statistics.median(ours / empty for ours, empty in pairs)
    figures.add_single("`inv --list` against that of one empty task", ratio, "times", 1.15)
    _cpu_of_imports(_LIBRARIES)  # what is not compiled yet is now
    for _ in range(_ROUNDS):
        bare = _cpu_of_imports("sys")
        figures.add_single(f"CPU of importing {_LIBRARIES}", _cpu_of_imports(_LIBRARIES) - bare, "s")


def _cpu_of_imports(modules: str) -> float:
    """Seconds of CPU of a Python that imports these and does nothing."""
    program = f"import os, {modules}; print(sum(os.times()[:2]))"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def _list(command: list[str], root: Path) -> float:
    return timed(lambda: call([sys.executable, *command, "--list"], root))
