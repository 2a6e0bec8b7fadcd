"""What a proof leaves behind: one small file for programs, `.bootorder/reports/NAME.json`, and one line for people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import state_files
from ..boot import STATE_FOLDER
from ..console import Console


@dataclass
class Report:
    """Of one run in `root`. `counts`: how many of what; `seed`: what repeats its random choices. Making it begins it.

    `figures`: what was measured, asked at the end.
    """

    root: Path
    session: str
    seed: int | None = None
    ok: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    figures: Callable[[], Mapping[str, Any]] | None = None
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.path.unlink(missing_ok=True)  # a run that is killed must not leave the praise of the one before

    @property
    def path(self) -> Path:
        return self.root / STATE_FOLDER / "reports" / f"{self.session}.json"

    def end(self) -> str:
        """Write the file. Returns the line."""
        seconds = round(time.monotonic() - self.begun, 1)
        made = {"session": self.session, "ok": self.ok, "seconds": seconds, "counts": self.counts, "seed": self.seed}
        made |= {"figures": self.figures()} if self.figures else {}
        state_files.make_folder(self.path.parent)
        state_files.write(self.path, json.dumps(made, indent=2) + "\n")
        told = [f"{count} {what}" for what, count in self.counts.items()]
        told += [f"seed {self.seed}"] if self.seed is not None else []
        counts = f" ({', '.join(told)})" if told else ""
        return f"{self.session}: {'proved' if self.ok else 'FAILED'} in {seconds:.0f} s{counts}"


@contextmanager
def report(root: Path, session: str, seed: int | None = None) -> Iterator[Report]:
    """`ok` unless the block raises something."""
    made = Report(root, session, seed)
    try:
        yield made
        made.ok = True
    finally:
        Console().answering().say(made.end())
