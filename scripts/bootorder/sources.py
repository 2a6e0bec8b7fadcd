"""The files that something is made of, as one digest: it changes when one of them does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

# What tools leave in the folder: installs, and builds.
PACKAGES = frozenset({"node_modules"})
BUILT = frozenset({".next", "build", "dist"})

# What is made from the sources, or is not part of them.
NOT_SOURCES = PACKAGES | BUILT | {".bootorder", ".git", ".nox", ".venv", "__pycache__", "next-env.d.ts"}
NOT_SOURCES |= {".mypy_cache", ".pytest_cache", ".ruff_cache"}
_NOT_ENDINGS = (".log", ".pyc", ".tsbuildinfo")

# Those that say which packages are installed, for whatever package manager.
_LOCKS = {"package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "package-lock.json", "npm-shrinkwrap.json"}
_LOCKS |= {"yarn.lock", ".npmrc", ".yarnrc.yml", "pyproject.toml", "poetry.lock", "uv.lock", "Pipfile.lock"}


def made_in(folder: Path, names: Iterable[str]) -> list[str]:
    """What of these tools left there: packages or builds."""
    return sorted(name for name in names if (folder / name).is_dir())


def digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def of_folder(folder: Path) -> str:
    """All its files, by name and content, but not what is made from them."""
    return _of_files(folder, _files(folder))


def of_locks(folder: Path) -> str:
    """Only what says which packages it needs."""
    names = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    wanted = (path for path in names if path.name in _LOCKS or path.match("requirements*.txt"))
    return _of_files(folder, wanted)


def _of_files(folder: Path, files: Iterable[Path]) -> str:
    return digest(
        part
        for path in files
        for part in (path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
    )


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_SOURCES)
        for name in sorted(set(names) - NOT_SOURCES):
            if not name.endswith(_NOT_ENDINGS) and (path := Path(parent, name)).is_file():
                yield path
