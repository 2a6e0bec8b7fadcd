"""`inv` while it is at work: what it says, line by line as it comes, and a blow at any moment."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self

import psutil

from tests.stack import MAIN, Ran, Stack

LIMIT = 300.0  # seconds, for anything; what takes longer hangs


class Task:
    """As a person types it. Leave the block and it has ended."""

    def __init__(self, stack: Stack, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(stack.folder / MAIN), *arguments],
            cwd=stack.folder,
            env={**stack.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[tuple[float, str]] = []  # each with when it came
        self._news = threading.Condition()
        self._is_silent = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.end()

    def _read(self) -> None:
        with self.process.stderr or sys.stdin as talk:
            for line in talk:
                with self._news:
                    self.lines.append((time.monotonic(), line))
                    self._news.notify_all()
        with self._news:
            self._is_silent = True
            self._news.notify_all()

    @property
    def said(self) -> str:
        return "".join(line for _, line in self.lines)

    @property
    def is_at_work(self) -> bool:
        return self.process.poll() is None

    def ended(self, stage: str) -> float | None:
        """When the line of this stage came; of the first line without a name."""
        return next((when for when, line in self.lines if not stage or f"] {stage}  " in line), None)

    def until(self, stage: str) -> None:
        """Wait for the end of this stage, or without a name for its first word. Raises where it ends before that."""
        with self._news:
            while self.ended(stage) is None:
                assert not self._is_silent, f"it ended before {stage or 'it said anything'}:\n{self.said}"
                assert self._news.wait(LIMIT), f"{stage} has not ended in {LIMIT:.0f} s:\n{self.said}"

    def until_begun(self, stage: str, stages: Sequence[str]) -> None:
        """Wait for the end of the stage before it."""
        self.until(stages[stages.index(stage) - 1] if stage != stages[0] else "")

    def until_seen(self, happens: Callable[[], object], what: str) -> None:
        """Poll for what it does and does not say. Raises where it ends before that."""
        limit = time.monotonic() + LIMIT
        while not happens():
            assert self.is_at_work, f"it ended before {what}:\n{self.end().err}"
            assert time.monotonic() < limit, f"waited {LIMIT:.0f} s in vain for {what}:\n{self.said}"
            time.sleep(0.01)

    def kill(self) -> Ran:
        """As the system does when it has no memory left: nothing can be tidied up."""
        self.process.kill()
        return self.end()

    def end(self) -> Ran:
        """Wait for its end. Raises TimeoutExpired where it hangs."""
        code = self.process.wait(LIMIT)
        self._reader.join()
        return Ran(code, "", self.said)


def until_at_work(process: subprocess.Popen[str], word: str) -> None:
    """Wait until it has begun a process with this word on its command line."""
    limit = time.monotonic() + LIMIT
    while not any(word in " ".join(child) for child in _command_lines_below(process.pid)):
        assert process.poll() is None, f"it ended with {process.returncode} before it began a {word}"
        assert time.monotonic() < limit, f"waited {LIMIT:.0f} s in vain for a {word}"
        time.sleep(0.01)


def _command_lines_below(pid: int) -> list[list[str]]:
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                found.append(child.cmdline())
    return found
