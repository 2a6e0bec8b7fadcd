"""Text for people, and without a terminal's colours."""

from __future__ import annotations

import re
from collections.abc import Sequence

# As ECMA-48 has them: a sequence, a text for the terminal (a link, the window's title), any other, or one cut off.
_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])?",
)


def plain(text: str) -> str:
    """The text without codes that colour it or move the cursor."""
    return _CODES.sub("", text)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def listed(names: Sequence[str], most: int | None = None) -> str:
    """`a, b and c`; of more than `most` the first ones: `a, b, c and 4 more`."""
    more = [f"{len(names) - most} more"] if most and len(names) > most else []
    *first, last = [*names[:most], *more]
    return f"{', '.join(first)} and {last}" if first else last
