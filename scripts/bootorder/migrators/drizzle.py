"""drizzle-kit push and migrate. The exit code of push (0.31) means nothing: it is 0 after SQL errors and unanswered
prompts too; that of migrate, and of a program that runs drizzle-orm's migrator, can be believed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..processes import Completed
from ..terminal import plain
from .base import Claim, Migrator, found, last_line

_WORKED = ("Changes applied", "No changes detected", "migrations applied successfully")
_ERROR = r"[\s┌─]*(?:query error|error|\w*Error):?\s"  # 1.0 draws a frame around it
_PUSHES = "Pulling schema from database"
_MIGRATES = "applying migrations..."


_STATEMENTS = re.compile(
    r"You are about to execute current statements:(.*?)(?:^\s*Warning|^\s*\[|^\w*[Ee]rror|\Z)", re.MULTILINE | re.DOTALL
)


class Drizzle(Migrator):
    def asked_what_is_left(self, argv: Sequence[str]) -> Sequence[str]:
        return self._with_flag(argv, "--verbose") if self._is_push(argv) else []

    def left_to_do(self, done: Completed) -> Sequence[str] | None:
        text = plain(done.text)
        if "No changes detected" in text:
            return []
        found = _STATEMENTS.search(text)
        lines = [line.strip() for line in found[1].splitlines()] if found else []
        return [line for line in lines if line] or None

    def claim(self, done: Completed) -> Claim:
        text = plain(done.text)
        for words in _WORKED:
            if words in text:
                return Claim(done.code == 0, words.lower())
        errors = found(_ERROR, text)
        if errors or _PUSHES in text:
            return Claim(False, errors[0] if errors else last_line(text))
        if done.code and _MIGRATES in text:
            return Claim(False, "it does not say what went wrong", is_silent=True)
        return super().claim(done)


DRIZZLE = Drizzle(
    "drizzle",
    "correct the schema or its tablesFilter",
    only_schema="public",  # pushes and looks there, unless its config has a schemaFilter
    force="--force",
)
