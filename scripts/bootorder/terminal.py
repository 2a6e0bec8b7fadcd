"""Text for people, without what only a terminal understands."""

from __future__ import annotations

import re

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(text: str) -> str:
    """The text without codes that colour it or move the cursor."""
    return _CODES.sub("", text)
