"""SQL that the database runs on an empty volume, and that a schema tool builds on: the base of that tool's owner."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .files import Repository
from .findings import Fact
from .tools import Draft

_TABLE = r"(?:[\"`]?\w+[\"`]?\.)?[\"`]?(\w+)[\"`]?"
_CREATES = re.compile(rf"\bcreate\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?{_TABLE}", re.IGNORECASE)
_CREATES_IN_PYTHON = re.compile(r"\bcreate_table\(\s*[\"'](\w+)")
# What a migration says of a table that is there already.
_USES = (
    re.compile(rf"\balter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?{_TABLE}", re.IGNORECASE),
    re.compile(rf"\breferences\s+{_TABLE}", re.IGNORECASE),
    re.compile(r"\b(?:add_column|drop_column|alter_column|batch_alter_table)\(\s*[\"'](\w+)"),
    re.compile(r"\bForeignKey\(\s*[\"'](\w+)\."),
)
_NO_BASE = re.compile(r"--[^\n]*|/\*.*?\*/|\bcreate\s+extension\b[^;]*;|\s|;", re.IGNORECASE | re.DOTALL)
_MOST_READ = 300  # files of a folder


def with_bases(repository: Repository, drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts; SQL on which exactly one of the others builds is that one's `base`, and no owner of its own."""
    found = list(drafts)
    for base in [draft for draft in drafts if draft.tool.value == "sql" and draft.service]:
        files = _files(repository, base)
        tables = {name.lower() for path in files for name in _CREATES.findall(repository.text(path))}
        builders = [draft for draft in found if draft.tool.value != "sql" and _builds_on(repository, draft, tables)]
        if files and len(builders) == 1:
            where = base.settings["files"].where
            settings = {**builders[0].settings, "base": Fact(" ".join(files), where, "likely")}
            found[found.index(builders[0])] = replace(builders[0], settings=settings)
            found.remove(base)
    return found


def _files(repository: Repository, base: Draft) -> list[str]:
    """Those that have more than extensions, in the order in which the image runs them; none where it runs others."""
    place = base.settings["files"].value
    paths = [place] if repository.has(place) else sorted(repository.below(place, ".sql", ".sh", ".gz"))
    if any(not path.endswith(".sql") or " " in path for path in paths):
        return []
    return [path for path in paths if _NO_BASE.sub("", repository.text(path))]


def _builds_on(repository: Repository, draft: Draft, tables: set[str]) -> bool:
    """Whether its migrations change, or refer to, one of these tables that they do not make."""
    texts = [
        repository.text(path)
        for folder in draft.sql
        for path in repository.below(folder, ".py", ".sql", ".ts", ".js")[:_MOST_READ]
    ]
    made = {name.lower() for text in texts for how in (_CREATES, _CREATES_IN_PYTHON) for name in how.findall(text)}
    used = {name.lower() for text in texts for how in _USES for name in how.findall(text)}
    return bool(tables & used - made)
