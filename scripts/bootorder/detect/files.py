"""The files of a repository: one walk that leaves out what is installed, built or a test, and text of bounded size."""

from __future__ import annotations

import os
import posixpath
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ..sources import BUILT, PACKAGES
from .findings import Note, Where

Made = TypeVar("Made")

# Bounds: what is beyond them is said, not read.
MOST_FILES = 100_000
DEEPEST = 12
LARGEST = 512 * 1024  # bytes

# What tools install or build, what is somebody else's, and what is no part of the stack that people boot.
_SKIPPED = PACKAGES | BUILT | {"__pycache__", "bower_components", "coverage", "out", "target", "tmp", "venv"}
_SKIPPED |= {"site-packages", "third_party", "thirdparty", "vendor"}
_SKIPPED |= {
    "__fixtures__",
    "__mocks__",
    "__tests__",
    "cypress",
    "e2e",
    "example",
    "examples",
    "fixtures",
    "playwright",
}
_SKIPPED |= {"spec", "test", "tests"}
_OURS = {"scripts/bootorder", "scripts/pgadmin"}  # these tasks, which are copied into other repositories
_HIDDEN_BUT_USUAL = {".devcontainer", ".docker", ".envs"}


class Repository:
    """What detection may read of a folder. Paths are relative to it, with slashes. Nothing of it is ever run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: set[Note] = set()
        self.paths = sorted(self._walk())
        self._known = set(self.paths)
        self._texts: dict[str, str] = {}
        self._made: dict[tuple[str, str], Any] = {}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_ending: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            name = posixpath.basename(path)
            self._by_name[name].append(path)
            self._by_ending[posixpath.splitext(name)[1]].append(path)

    def has(self, path: str) -> bool:
        return path in self._known

    def named(self, *names: str) -> list[str]:
        """Files of these names, those nearest to the root first."""
        return sorted((path for name in names for path in self._by_name.get(name, ())), key=by_depth)

    def like(self, name: str) -> list[str]:
        """Files whose whole name this regular expression matches, those nearest to the root first."""
        pattern = re.compile(name)
        return self.named(*(known for known in self._by_name if pattern.fullmatch(known)))

    def below(self, folder: str, *endings: str) -> list[str]:
        """Files in that folder and those in it, with one of these endings (`.py`), those nearest to the root first."""
        start = "" if folder == "." else f"{folder}/"
        found: list[str] = []
        for ending in endings:
            paths = self._by_ending.get(ending, [])
            for position in range(bisect_left(paths, start), len(paths)):
                if not paths[position].startswith(start):
                    break
                found.append(paths[position])
        return sorted(found, key=by_depth)

    def text(self, path: str) -> str:
        """The file's text, with lines that end in one `\\n`; nothing where it cannot be read, which is noted."""
        if path not in self._texts:
            self._texts[path] = self._read(path) if path in self._known else ""
        return self._texts[path]

    def once(self, path: str, kind: str, make: Callable[[], Made]) -> Made:
        """What is made of a file, made one time."""
        if (path, kind) not in self._made:
            self._made[path, kind] = make()
        made: Made = self._made[path, kind]
        return made

    def note(self, path: str, text: str, line: int = 0) -> None:
        self.notes.add(Note(Where(path, line), text))

    def _read(self, path: str) -> str:
        try:
            with (self.root / path).open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            self.note(path, f"cannot be read: {error.strerror}")
            return ""
        if len(content) > LARGEST:
            self.note(path, f"is larger than {LARGEST // 1024} KiB, and was not read")
            return ""
        return self._decoded(path, content).replace("\r\n", "\n").replace("\r", "\n")

    def _decoded(self, path: str, content: bytes) -> str:
        encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            self.note(path, "is not UTF-8: what is not was left out")
            return content.decode("utf-8-sig", errors="ignore")

    def _walk(self) -> Iterator[str]:
        waiting, count = [("", 0)], 0
        while waiting:
            folder, depth = waiting.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self.note(folder or ".", f"cannot be read: {error.strerror}")
                continue
            for entry in found:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEEPEST and path not in _OURS and _is_looked_into(entry, folder):
                        waiting.append((path, depth + 1))
                elif _is_text_of_ours(entry, self.root):
                    count += 1
                    if count > MOST_FILES:
                        self.note(".", f"there are more than {MOST_FILES} files: the others were not looked at")
                        return
                    yield path


def _is_looked_into(entry: os.DirEntry[str], folder: str) -> bool:
    name = entry.name
    is_usual = name in _HIDDEN_BUT_USUAL or folder == ".envs"
    if name in _SKIPPED or (name.startswith(".") and not is_usual):
        return False
    return not os.path.lexists(os.path.join(entry.path, "pyvenv.cfg"))  # noqa: PTH118  # a path for each folder is slow


def _is_text_of_ours(entry: os.DirEntry[str], root: Path) -> bool:
    """A plain file, or a link to one of this repository; no pipe or device, which would be waited for."""
    if not entry.is_symlink():
        return entry.is_file(follow_symlinks=False)
    try:
        return entry.is_file() and Path(entry.path).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False


def by_depth(path: str) -> tuple[int, str]:
    return path.count("/"), path


def folder_of(path: str) -> str:
    return posixpath.dirname(path) or "."


def joined(folder: str, path: str) -> str | None:
    """A path that a file of that folder names; nothing where it leads out of the repository."""
    if path.startswith(("/", "~")) or "\0" in path or "://" in path:
        return None
    whole = posixpath.normpath(posixpath.join(folder, path.replace("\\", "/")))
    return None if whole == ".." or whole.startswith("../") else whole


def is_within(path: str, folder: str) -> bool:
    return folder in {".", path} or path.startswith(f"{folder}/")


def line_at(text: str, offset: int) -> int:
    """The number of the line in which this character stands."""
    return text.count("\n", 0, offset) + 1
