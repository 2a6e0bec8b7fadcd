"""One start, stop or clean at a time in a checkout; the system frees the lock when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import LockedError, MachineError


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Hold the checkout's lock; raises LockedError naming the holder at once, without waiting."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(
            f"cannot make the folder {folder.name}",
            expected=f"{folder}, for caches and the lock",
            seen=str(error),
            hint=f"make {folder.parent} writable, or move away what stands in its place",
        ) from None
    holder = folder / "holder.json"
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            "another task is at work on this stack",
            seen=_read(holder),
            hint="wait until it has ended, or end it with Ctrl-C where it runs",
        ) from None
    try:
        now = time.strftime("%H:%M:%S")
        holder.write_text(json.dumps({"doing": doing, "pid": os.getpid(), "since": now}), encoding="utf-8")
        yield
    finally:
        lock.release()


def _read(holder: Path) -> str:
    try:
        held = json.loads(holder.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return ""  # it has only just begun, and has not written its name yet
    return f"`{held['doing']}` (pid {held['pid']}, since {held['since']})"
