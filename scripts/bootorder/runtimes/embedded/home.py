"""Where PostgreSQL's programs and data lie: in the checkout, or, where its account may not enter that, outside.

Outside is root's only: the checkout then has a link. Whoever copies or moves the checkout takes the link along, so a
note in the folder outside says whose link it belongs to.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from ... import state_files
from ...errors import MachineError
from .table import Account

ANYWHERE = Path(Path.cwd().anchor)  # a folder that every account may enter

_LOOK_SECONDS = 30.0
_OUTSIDE = Path("/var/lib/bootorder")
_NOTE = "checkout"
_NOWHERE = Path(os.devnull)  # a folder that nothing can lie in


class Home:
    """`path`: in the checkout; the folder itself, or a link to it."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say

    @property
    def checkout(self) -> Path:
        return self._path.parent.parent

    @property
    def folder(self) -> Path:
        """Of this checkout and no other; nothing lies in it where none was made yet."""
        return _NOWHERE if self._owner else self._path.resolve()

    @property
    def _owner(self) -> Path | None:
        """Whose link this one is a copy of. A checkout that was moved has no other: what its note names is gone."""
        folder = self._path.resolve()
        note = folder / _NOTE
        if not note.is_file():
            return None
        named = Path(os.fsdecode(note.read_bytes()))
        leads_here = named.is_symlink() and named.resolve() == folder
        # The path may have got another name, e.g. by a link from where the checkout was to where it is now.
        return named if leads_here and not named.parent.samefile(self._path.parent) else None

    def make(self, account: Account | None) -> None:
        """A folder that `account`, if not ours, may enter; the one that is there, if it is this checkout's."""
        if self.folder.is_dir():
            self.claim()
            return
        if owner := self._owner:
            self._say(f"this checkout is a copy of {owner.parent.parent}: it gets a database of its own")
        state_files.make_folder(self._path.parent)
        if self._path.is_symlink():  # to another's, or to what is gone
            self._path.unlink()
        if account is None or _can_enter(account, self._path.parent):
            self._path.mkdir()
            self._path.chmod(0o755)
            return
        # The account may not even pass through root's folders, and their modes are not ours to change.
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.checkout.name).strip("-") or "stack"
        _OUTSIDE.mkdir(parents=True, exist_ok=True)
        outside = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_OUTSIDE))
        for folder in (_OUTSIDE, outside):
            folder.chmod(0o755)  # whatever the umask
        self._path.symlink_to(outside)
        self.claim()
        self._say(f"the database lives in {outside}: the account it runs as may not enter {self._path.parent}")

    def claim(self) -> None:
        """Say whose the folder is, from now on, where the checkout that has it can be copied without it."""
        note, said = self._path / _NOTE, os.fsencode(self._path)
        if self._path.is_symlink() and not (note.is_file() and note.read_bytes() == said):
            state_files.write(note, said, 0o644)


def _can_enter(account: Account, folder: Path) -> bool:
    """Asked of the system, which knows of modes, lists and mounts."""
    # Not by the caller's PATH: root's may lead through folders that the account may not enter either.
    program = shutil.which("test", path=os.defpath) or "test"
    try:
        done = subprocess.run(
            [program, "-x", str(folder)],
            user=account.user,
            group=account.group,
            extra_groups=[],
            check=False,
            cwd=ANYWHERE,
            timeout=_LOOK_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"{folder} does not answer",
            expected=f"an answer of its file system within {_LOOK_SECONDS:g} s",
            seen="`test -x` was still waiting for it",
            hint=f"see that the disk or the network drive answers: ls {shlex.quote(str(folder))}",
        ) from None
    return done.returncode == 0
