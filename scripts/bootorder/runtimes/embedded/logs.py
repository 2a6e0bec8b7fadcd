"""Reading what the supervisors write: lines with the time they came, in files that are turned when they are full."""

from __future__ import annotations

import contextlib
import heapq
import io
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from ... import state_files
from .supervisor import LOGS_KEPT

_POLL_SECONDS = 0.05


def tail(log: Path, count: int) -> list[tuple[str, str]]:
    """The last (time, line) pairs of this run."""
    with contextlib.closing(_Reader(log)) as reader:
        return reader.past(count)


def merged(logs: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """(service, line) pairs of all, in the order in which they were written."""
    return _in_order({name: tail(path, count) for name, path in logs.items()})


def followed(logs: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """The same, and then what comes, until the reader stops reading."""
    readers = {name: _Reader(path) for name, path in logs.items()}
    try:
        yield from _in_order({name: reader.past(count) for name, reader in readers.items()})
        while True:
            fresh = {name: reader.fresh() for name, reader in readers.items()}
            yield from _in_order(fresh)
            if not any(fresh.values()):
                time.sleep(_POLL_SECONDS)
    finally:
        for reader in readers.values():
            reader.close()


def _in_order(lines: Mapping[str, list[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    """Each log's own order stays, also where the clock was set back."""
    each = ([(when, name, line) for when, line in entries] for name, entries in lines.items())
    for _, name, line in heapq.merge(*each, key=lambda entry: entry[0]):
        yield name, line


class _Reader:
    """One log, also when it is turned or its service is started anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = ""
        self._file = _open(path)

    def past(self, count: int) -> list[tuple[str, str]]:
        """The last lines up to now, after which `fresh` goes on."""
        kept: deque[str] = deque(maxlen=max(count, 0))
        for number in range(LOGS_KEPT, 0, -1):
            if older := _open(Path(f"{self._path}.{number}")):
                with older:
                    kept.extend(older)
        kept.extend(self._lines())
        return [_parts(line) for line in kept]

    def fresh(self) -> list[tuple[str, str]]:
        lines = self._lines()
        if self._was_turned():
            lines += self._lines()
            self.close()
            self._file = _open(self._path)
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
        return self._file is None or os.fstat(self._file.fileno()).st_ino != there.st_ino

    def close(self) -> None:
        if self._file:
            self._file.close()


def _open(path: Path) -> IO[str] | None:
    """None where there is no log: no file of that name."""
    try:
        # A line ends where the supervisor ended it: those of a progress bar end with a carriage return only.
        return io.TextIOWrapper(state_files.open_file(path), encoding="utf-8", errors="replace", newline="\n")
    except (FileNotFoundError, ValueError):
        return None


def _parts(line: str) -> tuple[str, str]:
    when, _, text = line.rstrip("\n").partition(" ")
    return when, text
