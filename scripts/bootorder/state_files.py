"""Files of `.bootorder`: for this user only, replaced as a whole, and made again where they are spoilt."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

Kept = TypeVar("Kept")

# What a file can raise that was cut short, or that something else wrote.
_SPOILT = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
ASIDE = ".old"  # a name that ends so is of what is being removed
_LARGEST = 64 * 1024 * 1024  # bytes; what these tasks write is smaller


def make_folder(folder: Path) -> None:
    """Make a folder that no other user may look into, with those above it; close one that is open to others.

    Of root's, others may pass through: PostgreSQL runs as another account there, and its data may lie below.
    """
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    mode = 0o711 if is_root else 0o700
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        one.chmod(mode)  # whatever the umask
    folder.mkdir(exist_ok=True)  # refuses a file of that name
    if not folder.is_symlink() and stat.S_IMODE(folder.stat().st_mode) & ~mode & 0o777:
        with contextlib.suppress(PermissionError):  # it belongs to somebody else
            folder.chmod(mode)


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a file. Of a link only the link: what it leads to is somebody's."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def remove_at_once(path: Path) -> None:
    """Remove a folder so that whoever is killed in the middle leaves all of it under its name, or nothing."""
    aside = path.with_name(f"{path.name}{ASIDE}")
    remove(aside)  # of one who was killed
    if os.path.lexists(path):
        path.rename(aside)
        remove(aside)


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace the file at once: a reader finds the old one or the new one, and a full disk leaves the old one.

    Raises OSError. The folder must be there.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".new")  # made with 0600
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError, or ValueError where it is a pipe or a device, which could be waited for.

    Programs of the stack may write here as well: without Docker they run as the same user.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is no file")
    return os.fdopen(descriptor, "rb")


def read(path: Path, made_of: Callable[[Any], Kept], note: Callable[[str], None]) -> Kept | None:
    """What `made_of` makes of the JSON in the file; None where there is none that this user can read.

    A file that is spoilt is set aside with a note. `made_of` refuses it with what its wrong types raise by themselves.
    """
    try:
        with open_file(path) as file:
            return made_of(json.loads(file.read(_LARGEST)))
    except (FileNotFoundError, PermissionError):  # of another user: whoever writes it next hears of that
        return None
    except _SPOILT:
        aside = path.with_name(f"{path.name}.spoilt")
        with contextlib.suppress(OSError):  # another task was first, or a folder of that name is in the way
            path.replace(aside)
            note(f"{path.name} was cut short or is not what these tasks write: it is {aside.name} now, and made again")
        return None
