"""drizzle-kit push and migrate. The exit code of push (0.31) means nothing: it is 0 after SQL errors and unanswered
prompts too; that of migrate, and of a program that runs drizzle-orm's migrator, can be believed."""

from __future__ import annotations

from ..processes import Completed
from ..terminal import plain
from .base import Claim, Migrator, found, last_line

_WORKED = ("Changes applied", "No changes detected", "migrations applied successfully")
_ERROR = r"[\s┌─]*(?:query error|error|\w*Error):?\s"  # 1.0 draws a frame around it
_PUSHES = "Pulling schema from database"
_MIGRATES = "applying migrations..."


class Drizzle(Migrator):
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
