"""Everything that is printed: talk to stderr, data to stdout."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import colorama
from colorama import Fore, Style

from .errors import BootError
from .live import LiveLine
from .terminal import plain

_SERVICE_COLOURS = (Fore.CYAN, Fore.YELLOW, Fore.GREEN, Fore.MAGENTA, Fore.BLUE)


class Console:
    """Prints steps, notes, tables and errors.

    Colour only on a terminal without NO_COLOR; in-place lines only on a terminal outside CI.
    """

    def __init__(self, talk: TextIO | None = None, data: TextIO | None = None, *, verbose: bool = False) -> None:
        self._talk = talk or sys.stderr
        self._data = data or sys.stdout
        self.verbose = verbose
        for stream in (self._talk, self._data):
            if isinstance(stream, io.TextIOWrapper):
                # what a terminal's own alphabet lacks (`✓` on an old Windows) must not end a boot
                stream.reconfigure(errors="backslashreplace")
        self._colour = _takes_colour(self._talk)
        self._data_colour = _takes_colour(self._data)
        self._live = LiveLine(self._talk, in_place=_is_terminal(self._talk) and not os.environ.get("CI"))
        self.gave_data = False
        if self._colour or self._data_colour:
            colorama.just_fix_windows_console()

    def begin(self, number: int, total: int, name: str) -> None:
        """Show that a stage runs, until it is settled. Nothing where lines cannot be rewritten."""
        self._live.begin(f"[{number}/{total}] {name}")

    def seen(self, text: str) -> None:
        """The last thing that was seen of the running stage."""
        self._live.see(plain(text))

    def settle(self) -> None:
        """No stage runs any more."""
        self._live.settle()

    def step(self, number: int, total: int, name: str, text: str, seconds: float, *, skipped: bool = False) -> None:
        """One finished stage: `[3/7] wait-db  postgres answers on 127.0.0.1:5432  1.2 s`."""
        shown = self._paint(f"skipped ({text})", Style.DIM) if skipped else text
        elapsed = self._paint(f"{seconds:.1f} s", Style.DIM)
        self._line(f"{self._counter(number, total)} {self._paint(name, Style.BRIGHT)}  {shown}  {elapsed}")

    def note(self, text: str) -> None:
        """A line that belongs to the running stage."""
        self._line(f"      {text}")

    def detail(self, text: str) -> None:
        """A line shown with --verbose only; without it the last one is, while the stage runs."""
        self.seen(text)
        if self.verbose:
            self._line(self._paint(f"      | {plain(text)}", Style.DIM))

    def say(self, text: str = "") -> None:
        """A line of talk."""
        self._line(text)

    def answering(self) -> Console:
        """One whose talk is what the task was asked for, and so goes to stdout."""
        return Console(self._data, self._data, verbose=self.verbose)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell; health words are coloured."""
        widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]

        def line(cells: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))

        self._line(self._paint(line(heads).rstrip(), Style.DIM))
        for row in rows:
            text = line(row).rstrip()
            for word, colour in (("healthy", Fore.GREEN), ("unhealthy", Fore.RED), ("exited", Fore.RED)):
                if word in row:
                    text = text.replace(f" {word}", f" {self._paint(word, colour)}", 1)
            self._line(text)

    def check(self, ok: bool, name: str, seen: str, mend: str) -> None:
        """One finding of `doctor`."""
        mark = self._paint("ok  ", Fore.GREEN) if ok else self._paint("MEND", Fore.RED)
        self._line(f"{mark}  {name}  {'; '.join(filter(None, (seen, '' if ok else mend)))}")

    def warning(self, where: str, code: str, message: str, mend: str, page: str) -> None:
        """One finding of `check`."""
        self._line(f"{self._paint(where, Style.BRIGHT)} {self._paint(code, Fore.YELLOW)}: {message}")
        self._line(f"    {self._paint('help:', Fore.CYAN)} {mend}")
        self._line(f"    {self._paint(page, Style.DIM)}")

    def error(self, error: BootError, stage: str = "") -> None:
        """A failure: message, expected, seen, last log lines, hint, and the command that goes on."""
        where = f"{stage}: " if stage else ""
        self._line(f"{self._paint('error:', Fore.RED)} {where}{error.message}")
        for label, text in (("expected", error.expected), ("seen", error.seen)):
            if text:
                self._line(f"  {label.ljust(9)} {text}")
        for text in error.details:
            self._line(f"  {text}")
        if error.log and error.log.lines:
            self._line(f"  last {len(error.log.lines)} lines of {error.log.source}:")
            for text in error.log.lines:
                self._line(f"    | {text}")
        self._line(f"  {self._paint('hint:', Fore.YELLOW)} {error.hint}")
        if error.go_on:
            self._line(f"  go on with: {error.go_on}")

    def log_line(self, service: str, text: str, position: int) -> None:
        """One line of a service's log, on stdout: it is what `logs` was asked for."""
        name = service.ljust(12)
        if self._data_colour:
            name = f"{_SERVICE_COLOURS[position % len(_SERVICE_COLOURS)]}{name}{Style.RESET_ALL}"
        self._data.write(f"{name} | {text}\n")
        self._data.flush()

    def data(self, value: object) -> None:
        """One JSON document on stdout."""
        self.gave_data = True
        self._data.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        self._data.flush()

    def _counter(self, number: int, total: int) -> str:
        return self._paint(f"[{number}/{total}]", Style.DIM)

    def _paint(self, text: str, style: str) -> str:
        return f"{style}{text}{Style.RESET_ALL}" if self._colour else text

    def _line(self, text: str) -> None:
        self._live.write(text)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _takes_colour(stream: TextIO) -> bool:
    return _is_terminal(stream) and not os.environ.get("NO_COLOR")
