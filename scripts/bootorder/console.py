"""Everything that is printed: talk to stderr, data to stdout.

All of it passes `_shown` or `data`, where secrets are hidden and what a terminal would obey is escaped.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import colorama
from colorama import Fore, Style

from .errors import BootError
from .live import LiveLine
from .redaction import SECRETS
from .terminal import json_safe, plain, visible

_HEALTH_COLOURS = {"healthy": Fore.GREEN, "unhealthy": Fore.RED, "exited": Fore.RED}
_SERVICE_COLOURS = (Fore.CYAN, Fore.YELLOW, Fore.GREEN, Fore.MAGENTA, Fore.BLUE)


@dataclass(frozen=True)
class _Painted:
    """A part of a line in a colour of ours."""

    text: str
    style: str


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
        self._live.begin(_shown(f"[{number}/{total}] {name}"))

    def seen(self, text: str) -> None:
        """The last thing that was seen of the running stage."""
        self._live.see(_shown(text))  # whole, as the line is cut to the width of the terminal

    def settle(self) -> None:
        """No stage runs any more."""
        self._live.settle()

    def step(self, number: int, total: int, name: str, text: str, seconds: float, *, skipped: bool = False) -> None:
        """One finished stage: `[3/7] wait-db  postgres answers on 127.0.0.1:5432  1.2 s`."""
        shown = _Painted(f"skipped ({text})", Style.DIM) if skipped else text
        counter, elapsed = _Painted(f"[{number}/{total}]", Style.DIM), _Painted(f"{seconds:.1f} s", Style.DIM)
        self._line(counter, " ", _Painted(name, Style.BRIGHT), "  ", shown, "  ", elapsed)

    def note(self, text: str) -> None:
        """A line that belongs to the running stage."""
        self._line(f"      {text}")

    def detail(self, text: str) -> None:
        """A line shown with --verbose only; without it the last one is, while the stage runs."""
        self.seen(text)
        if self.verbose:
            self._line(_Painted(f"      | {text}", Style.DIM))

    def say(self, text: str = "") -> None:
        """A line of talk."""
        self._line(text)

    def reveal(self, text: str) -> None:
        """A line with a secret in it that somebody asked for."""
        self._live.write(visible(text))

    def answering(self) -> Console:
        """One whose talk is what the task was asked for, and so goes to stdout."""
        return Console(self._data, self._data, verbose=self.verbose)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell; health words are coloured."""
        shown = [[_shown(cell) for cell in row] for row in [heads, *rows]]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in shown]
        self._line(_Painted("  ".join(lines[0]).rstrip(), Style.DIM))
        for row, cells in zip(shown[1:], lines[1:], strict=True):
            parts: list[str | _Painted] = []
            for position, (word, cell) in enumerate(zip(row, cells, strict=True)):
                colour = _HEALTH_COLOURS.get(word) if position else None
                parts += ["  " if position else "", _Painted(word, colour) if colour else word, cell[len(word) :]]
            while parts and isinstance(parts[-1], str) and not parts[-1].strip():
                parts.pop()
            self._line(*parts)

    def check(self, ok: bool, name: str, seen: str, mend: str) -> None:
        """One finding of `doctor`."""
        mark = _Painted("ok  ", Fore.GREEN) if ok else _Painted("FIX ", Fore.RED)
        self._line(mark, f"  {name}  {'; '.join(filter(None, (seen, '' if ok else mend)))}")

    def warning(self, where: str, code: str, message: str, mend: str, page: str) -> None:
        """One finding of `check`."""
        self._line(_Painted(where, Style.BRIGHT), " ", _Painted(code, Fore.YELLOW), f": {message}")
        self._line("    ", _Painted("help:", Fore.CYAN), f" {mend}")
        self._line("    ", _Painted(page, Style.DIM))

    def error(self, error: BootError, stage: str = "") -> None:
        """A failure: message, expected, seen, last log lines, hint, and the command that goes on."""
        where = f"{stage}: " if stage else ""
        self._line(_Painted("error:", Fore.RED), f" {where}{error.message}")
        for label, text in (("expected", error.expected), ("seen", error.seen)):
            if text:
                self._line(f"  {label.ljust(9)} {text}")
        for text in error.details:
            self._line(f"  {text}")
        if error.log and error.log.lines:
            self._line(f"  last {len(error.log.lines)} lines of {error.log.source}:")
            for text in error.log.lines:
                self._line(f"    | {text}")
        self._line("  ", _Painted("hint:", Fore.YELLOW), f" {error.hint}")
        if error.go_on:
            self._line(f"  go on with: {error.go_on}")

    def unexpected(self, error: BaseException) -> None:
        """A mistake of ours, with its trace."""
        for line in SECRETS.redact("".join(traceback.format_exception(error))).splitlines():
            self._line(line)

    def log_line(self, service: str, text: str, position: int) -> None:
        """One line of a service's log, on stdout: it is what `logs` was asked for."""
        name = _shown(service).ljust(12)
        if self._data_colour:
            name = f"{_SERVICE_COLOURS[position % len(_SERVICE_COLOURS)]}{name}{Style.RESET_ALL}"
        self._data.write(f"{name} | {_shown(text)}\n")
        self._data.flush()

    def data(self, value: object) -> None:
        """One JSON document on stdout."""
        self.gave_data = True
        text = json.dumps(SECRETS.redacted(value), indent=2, ensure_ascii=False)
        self._data.write(f"{json_safe(text)}\n")
        self._data.flush()

    def _line(self, *parts: str | _Painted) -> None:
        self._live.write("".join(map(self._part, parts)))

    def _part(self, part: str | _Painted) -> str:
        if isinstance(part, str):
            return _shown(part)
        return f"{part.style}{_shown(part.text)}{Style.RESET_ALL}" if self._colour else _shown(part.text)


def _shown(text: str) -> str:
    """The text as it may leave these tasks, in one line."""
    return visible(SECRETS.redact(plain(text)))


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _takes_colour(stream: TextIO) -> bool:
    return _is_terminal(stream) and not os.environ.get("NO_COLOR")
