"""Reading what the supervisors write: lines with the time they came, in files that are turned when they are full."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from ...probes import POLL_SECONDS
from .supervisor import LOGS_KEPT


def tail(log: Path, count: int) -> list[tuple[str, str]]:
    """The last (time, line) pairs of this run."""
    kept: deque[tuple[str, str]] = deque(maxlen=max(count, 0))
    for path in (*(Path(f"{log}.{number}") for number in range(LOGS_KEPT, 0, -1)), log):
        if path.exists():
            with path.open(encoding="utf-8", errors="replace") as file:
                kept.extend(_parts(line) for line in file)
    return list(kept)


def merged(logs: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """(service, line) pairs of all, in the order in which they were written."""
    each = ([(when, name, line) for when, line in tail(path, count)] for name, path in logs.items())
    for _, name, line in heapq.merge(*each, key=lambda entry: entry[0]):
        yield name, line


def followed(logs: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """The same, and then what comes, until the reader stops reading."""
    readers = {name: _Reader(path) for name, path in logs.items()}
    try:
        yield from merged(logs, count)
        while True:
            fresh = [(when, name, line) for name, reader in readers.items() for when, line in reader.fresh()]
            for _, name, line in sorted(fresh, key=lambda entry: entry[0]):
                yield name, line
            if not fresh:
                time.sleep(POLL_SECONDS)
    finally:
        for reader in readers.values():
            reader.close()


class _Reader:
    """One log from its end on, also when it is turned or its service is started anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = ""
        self._file = self._open()
        if self._file:
            self._file.seek(0, 2)

    def _open(self) -> IO[str] | None:
        try:
            return self._path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def fresh(self) -> list[tuple[str, str]]:
        lines = self._lines()
        if self._was_turned():
            lines += self._lines()
            self.close()
            self._file = self._open()
            lines += self._lines()
        return [_parts(line) for line in lines]

    def _lines(self) -> list[str]:
        if self._file is None:
            return []
        *whole, self._rest = (self._rest + self._file.read()).split("\n")
        return whole

    def _was_turned(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False  # between two names
        import os

        return self._file is None or os.fstat(self._file.fileno()).st_ino != there.st_ino

    def close(self) -> None:
        if self._file:
            self._file.close()


def _parts(line: str) -> tuple[str, str]:
    when, _, text = line.rstrip("\n").partition(" ")
    return when, text
