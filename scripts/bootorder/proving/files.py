"""The files of a repository, copied to where nothing was made of them yet."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from ..boot import STATE_FOLDER
from ..errors import MachineError
from ..sources import NOT_SOURCES

_GIT_SECONDS = 120.0  # a large repository on a slow disk
_KNOWN = ("--cached", "--others", "--exclude-standard")
# Folders that are ignored are named once, not gone through.
_IGNORED = ("--others", "--ignored", "--exclude-standard", "--directory")


def copy_files(root: Path, folder: Path, *, with_env: bool = False) -> None:
    """What git knows and has not ignored; without git all but installs and builds.

    `with_env`: also the `.env` files, which git ignores and services may need.
    """
    if shutil.which("git") is None or not _git(root, "rev-parse", "--is-inside-work-tree"):
        shutil.copytree(root, folder, symlinks=True, ignore=partial(_ignored, with_env=with_env))
        return
    for path in _of_git(root, with_env=with_env):
        name = path.relative_to(root)
        # Never what another run of the tasks has here: links to its data among it.
        if STATE_FOLDER not in name.parts and (path.is_file() or path.is_symlink()):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)


def _ignored(_: str, names: Iterable[str], *, with_env: bool) -> set[str]:
    return {name for name in names if name in NOT_SOURCES or (_is_env(name) and not with_env)}


def _of_git(root: Path, *, with_env: bool) -> Iterator[Path]:
    for path in _listed(root, *_KNOWN):
        if path.is_dir() and not path.is_symlink():  # a repository within this one
            yield from _of_git(path, with_env=with_env)
        else:
            yield path
    if with_env:
        yield from (path for path in _listed(root, *_IGNORED) if _is_env(path.name))


def _listed(root: Path, *flags: str) -> list[Path]:
    return [root / name for name in _git(root, "ls-files", "-z", *flags).split("\0") if name]


def _git(root: Path, *arguments: str) -> str:
    """What it says; nothing where it fails."""
    argv = ["git", *arguments]
    try:
        done = subprocess.run(
            argv, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_GIT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"git does not answer in {root}",
            expected=f"the end of `git {arguments[0]}` within {_GIT_SECONDS:g} s",
            seen="it was ended",
            hint=f"see what keeps it: git -C {shlex.quote(str(root))} status",
        ) from None
    return "" if done.returncode else done.stdout


def _is_env(name: str) -> bool:
    return name == ".env" or name.startswith(".env.")
