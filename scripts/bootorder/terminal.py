"""Text for people, and without a terminal's colours."""

from __future__ import annotations

import re
from collections.abc import Sequence

# As ECMA-48 has them: a sequence, a text for the terminal (a link, the window's title), any other, or one cut off.
_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])?",
)

# What moves the cursor, ends a line, turns the text around it, or is no character at all. A tab stays.
_UNSEEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r"}


def visible(text: str) -> str:
    """The text in one line, with escapes such as `\\x1b` and `\\u202e` for what a terminal would obey."""
    return _UNSEEN.sub(lambda found: _escape(found[0]), text)


def json_safe(document: str) -> str:
    """A JSON document, with escapes for what a terminal would obey. Its own line breaks stay."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", document)


def _escape(letter: str) -> str:
    number = ord(letter)
    return _SHORT.get(letter) or (f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}")  # noqa: PLR2004


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
