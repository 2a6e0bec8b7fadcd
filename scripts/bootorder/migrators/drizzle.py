"""drizzle-kit push. The exit code of 0.31 means nothing: it is 0 after SQL errors and unanswered prompts too."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..processes import Completed
from ..terminal import plain
from .base import Claim, ModelsCheck, last_line

_WORKED = ("Changes applied", "No changes detected")
_ERROR = re.compile(r"^\s*(?:error|\w*Error):?\s.*", re.MULTILINE)


class Drizzle:
    name = "drizzle"
    only_schema = "public"  # pushes and looks there, unless its config has a schemaFilter
    creates_at_start = False
    check_models: ModelsCheck | None = None
    hint = "correct the schema or its tablesFilter, then migrate again; docs/migrators/drizzle.md has the usual causes"

    def claim(self, done: Completed) -> Claim:
        text = plain(done.text)
        for words in _WORKED:
            if words in text:
                return Claim(done.code == 0, words.lower())
        error = _ERROR.search(text)
        return Claim(False, error.group().strip() if error else last_line(text))

    def forced(self, argv: Sequence[str]) -> Sequence[str]:
        return [*argv, "--force"]
