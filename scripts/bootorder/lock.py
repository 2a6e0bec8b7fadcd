"""One start, stop or clean at a time in a checkout; the system frees the lock when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from . import state_files
from .errors import LockedError, MachineError


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Hold the checkout's lock; raises LockedError naming the holder at once, without waiting."""
    from filelock import FileLock, Timeout

    try:
        state_files.make_folder(folder)
        lock = FileLock(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            "another task is at work on this stack",
            seen=_read(folder / "holder.json"),
            hint="wait until it has ended, or end it with Ctrl-C where it runs",
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        held = {"doing": doing, "pid": os.getpid(), "since": time.strftime("%H:%M:%S")}
        state_files.write(folder / "holder.json", json.dumps(held))
    except OSError as error:
        lock.release()
        raise _unwritable(folder, error) from None
    try:
        yield
    finally:
        (folder / "holder.json").unlink(missing_ok=True)
        lock.release()


def _unwritable(folder: Path, error: OSError) -> MachineError:
    return MachineError(
        f"cannot write to {folder.name}",
        expected=f"{folder}, for caches and the lock",
        seen=str(error),
        hint=f"make {folder} writable and see that the disk has room",
    )


def _read(holder: Path) -> str:
    try:
        held = json.loads(holder.read_bytes())
        return f"`{held['doing']}` (pid {held['pid']}, since {held['since']})"
    except (OSError, ValueError, TypeError, KeyError):
        return ""  # it has only just begun and has not written its name yet, or the file is not its own
