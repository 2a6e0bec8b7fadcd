"""The line of a running stage, on a terminal: redrawn in place until the stage is settled."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TextIO

_EVERY = 0.1  # seconds
_CLEAR = "\r\x1b[K"


class LiveLine:
    """Lines from any thread go above it. Where `in_place` is false there are only lines."""

    def __init__(self, stream: TextIO, *, in_place: bool) -> None:
        self._stream = stream
        self._in_place = in_place
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._settled.set()
        self._text = self._seen = ""
        self._begun = 0.0

    def begin(self, text: str) -> None:
        """Show that something runs, for how long, and what was last seen of it."""
        self.settle()
        if not self._in_place:
            return
        self._text, self._seen, self._begun = text, "", time.monotonic()
        self._settled = threading.Event()
        with self._lock:
            self._draw()
        threading.Thread(target=self._redraw, args=[self._settled], daemon=True).start()

    def see(self, text: str) -> None:
        self._seen = text

    def settle(self) -> None:
        """End it, and leave nothing of it on the terminal."""
        with self._lock:
            self._clear()
            self._settled.set()
            self._stream.flush()

    def write(self, line: str) -> None:
        with self._lock:
            self._clear()
            self._stream.write(f"{line}\n")
            self._draw()
            self._stream.flush()

    def _redraw(self, settled: threading.Event) -> None:
        while not settled.wait(_EVERY):
            with self._lock:
                if not settled.is_set():
                    self._draw()

    def _clear(self) -> None:
        if not self._settled.is_set():
            self._stream.write(_CLEAR)

    def _draw(self) -> None:
        if self._settled.is_set():
            return
        shown = f"{self._text}  {time.monotonic() - self._begun:.1f} s  {' '.join(self._seen.split())}"
        # one line, as only one can be cleared
        self._stream.write(_CLEAR + shown.rstrip()[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()
