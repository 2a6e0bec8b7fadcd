"""Printing warnings, in the form that linters have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..console import Console
from ..detect.findings import as_data
from ..detect.showing import one_line
from ..terminal import counted
from .checking import Checked, check


def show_checked(console: Console, root: Path, config: Mapping[str, Any] | None = None, *, as_json: bool) -> int:
    """What will hurt, on stdout. The exit code: 1 where there is something."""
    found = check(root, config)
    if as_json:
        console.data([as_data(warned) for warned in found.warnings])
    else:
        print_checked(console.answering(), found)
    for note in found.notes:
        console.say(f"note: {one_line(str(note.where))}: {one_line(note.text)}")
    return 1 if found.warnings else 0


def print_checked(console: Console, found: Checked) -> None:
    for each in found.warnings:
        where, message, mend = map(one_line, (str(each.where), each.message, each.help))
        console.warning(where, each.code, message, mend, each.page)
    console.say(counted(len(found.warnings), "warning") if found.warnings else "nothing was found that will hurt")
