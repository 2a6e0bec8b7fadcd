"""Locks of a checkout: one start, stop or clean at a time. The system frees a lock when its holder dies."""

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
    refusal = LockedError(
        "another task is at work on this stack", hint="wait until it has ended, or end it with Ctrl-C where it runs"
    )
    with contextlib.ExitStack() as until_done:
        try:
            state_files.make_folder(folder)
            until_done.enter_context(hold(folder / "lock", folder / "holder.json", doing, 0, refusal))
        except OSError as error:
            raise _unwritable(folder, error) from None
        yield


@contextlib.contextmanager
def hold(lock: Path, note: Path, doing: str, seconds: float, refusal: LockedError) -> Iterator[None]:
    """Hold a lock, for which another task is waited for so long; `note`: the file that says who has it.

    Raises `refusal` with what that says, or OSError.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        held.acquire(timeout=seconds)
    except Timeout:
        refusal.seen = _read(note)
        raise refusal from None
    try:
        holder = {"doing": doing, "pid": os.getpid(), "since": time.strftime("%H:%M:%S")}
        state_files.write(note, json.dumps(holder))
    except OSError:
        held.release()
        raise
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
        held.release()


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
