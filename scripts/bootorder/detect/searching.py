"""Words in the sources, looked for once in all of them: which files are worth reading."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from .files import Repository, by_depth, is_within

# Bounds: generated and bundled sources are larger, and no repository has its answer in the last thousands.
_LARGEST = 256 * 1024  # bytes
_USUAL = 16 * 1024  # bytes, nearly always all
_MOST = 30_000  # files

_ROUTES = ("health", "/ready", "/livez", "/ping")
_TABLES = ("pgTable(", "createTable", "@Entity(")
_EXTENSIONS = ("CREATE EXTENSION", "create extension")
_SCRIPT = (
    "DataSource(",
    "TypeOrmModule",
    "sequelize",
    "/migrator",
    "setGlobalPrefix",
    *_EXTENSIONS,
    *_TABLES,
    *_ROUTES,
)
_PYTHON = (
    "create_all",
    "lifespan",
    "on_event",
    "create_table",
    "__tablename__",
    "table=True",
    "Extension(",
    *_EXTENSIONS,
    *_ROUTES,
)
WORDS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys((".ts", ".js", ".mts", ".mjs", ".cts", ".cjs", ".tsx", ".jsx"), _SCRIPT),
    ".py": _PYTHON,
    ".rb": ("create_table", "enable_extension", *_EXTENSIONS, *_ROUTES),
    **dict.fromkeys((".go", ".java", ".kt", ".rs", ".php", ".cs", ".ex"), _ROUTES),
}


class Sources:
    """The program texts of a repository."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def with_word(self, word: str, folder: str) -> list[str]:
        """Files in this folder that contain it, those nearest to the root first."""
        return sorted((path for path in self._found[word] if is_within(path, folder)), key=by_depth)

    @cached_property
    def _found(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        wanted = {ending: [(word, word.encode()) for word in words] for ending, words in WORDS.items()}
        for path in self.repository.below(".", *WORDS)[:_MOST]:
            content = self._content(path)
            for word, encoded in wanted[posixpath.splitext(path)[1]]:
                if encoded in content:
                    found[word].append(path)
        return found

    def _content(self, path: str) -> bytes:
        """Nothing of what is too large: nobody wrote it by hand. By calls of the system: there are thousands."""
        try:
            file = os.open(f"{self.repository.root}/{path}", os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError:
            return b""  # noted where its text is asked for
        try:
            content = os.read(file, _USUAL)
            while len(content) <= _LARGEST and (more := os.read(file, _LARGEST)):
                content += more
        except OSError:
            return b""
        finally:
            os.close(file)
        return content if len(content) <= _LARGEST else b""
