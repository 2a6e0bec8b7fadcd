"""The files that something is made of, as one digest: it changes when one of them does."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

# What tools leave in the folder: installs, and builds.
PACKAGES = frozenset({"node_modules"})
BUILT = frozenset({".next", "build", "dist"})

# What is made from the sources, or is not part of them.
NOT_SOURCES = PACKAGES | BUILT | {".bootorder", ".git", ".nox", ".venv", "__pycache__", "next-env.d.ts"}
NOT_SOURCES |= {".mypy_cache", ".pytest_cache", ".ruff_cache"}
# Of a larger file size and time of change say whether it is another one.
_LARGE = 64 * 1024 * 1024
_NOT_ENDINGS = (".log", ".pyc", ".tsbuildinfo")

# Those that say which packages are installed, for whatever package manager.
_LOCKS = {"package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "package-lock.json", "npm-shrinkwrap.json"}
_LOCKS |= {"yarn.lock", ".npmrc", ".yarnrc.yml", "pyproject.toml", "poetry.lock", "uv.lock", "Pipfile.lock"}


def made_in(folder: Path, names: Iterable[str]) -> list[str]:
    """What of these tools left there: packages or builds."""
    return sorted(name for name in names if (folder / name).is_dir())


def digest(parts: Iterable[str]) -> str:
    # A name of a file need not be text.
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def of_folder(folder: Path) -> str:
    """All its files, by name and content, but not what is made from them."""
    return _of_files(folder, _files(folder))


def of_locks(folder: Path) -> str:
    """Only what says which packages it needs."""
    names = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    wanted = (path for path in names if path.name in _LOCKS or path.match("requirements*.txt"))
    return _of_files(folder, wanted)


def _of_files(folder: Path, files: Iterable[Path]) -> str:
    return digest(part for path in files for part in (path.relative_to(folder).as_posix(), _content(path)))


def _content(path: Path) -> str:
    """Return what changes with the content of a file. It may be anything by now: nothing is waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return _outside(path)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGE:
            return _outside(path)
        # Not to its end, which a file of the kernel need not have.
        return hashlib.sha256(file.read(found.st_size)).hexdigest()


def _outside(path: Path) -> str:
    """Return what can be seen of a file without reading it."""
    try:
        found = path.stat()
    except OSError as error:
        return type(error).__name__
    return f"{found.st_size} {found.st_mtime_ns}"


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_SOURCES)
        for name in sorted(set(names) - NOT_SOURCES):
            if not name.endswith(_NOT_ENDINGS) and (path := Path(parent, name)).is_file():
                yield path
