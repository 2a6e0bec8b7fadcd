"""Somebody's repository, as far as files are put into it: what may be written where, and what git says."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import __version__
from ..errors import MachineError, SettingsError
from .payload import HOME, MANIFEST, PACKAGE

_GIT_SECONDS = 120.0  # a large repository on a slow disk


class Target:
    """The root of the repository. Raises SettingsError where nothing can be copied to."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise SettingsError(f"{path} is not there", expected="the root of a repository", hint="give its folder")
        if not path.is_dir():
            raise SettingsError(f"{path} is a file", expected="the root of a repository", hint="give its folder")
        self.root = path.resolve()
        source = PACKAGE.parents[1]
        is_copy_of_itself = self.root == source and self.root / HOME == PACKAGE
        if is_copy_of_itself or self.root.is_relative_to(PACKAGE) or self._is_in(source):
            raise SettingsError(
                f"{path} is inside what would be copied",
                expected="another repository",
                seen=f"{self.root}, in {source}",
                hint="give the folder of the other repository",
            )
        if not os.access(self.root, os.W_OK):
            raise SettingsError(
                f"{path} is not writable",
                expected="a folder that this user may change",
                hint="change its owner or mode",
            )

    def _is_in(self, source: Path) -> bool:
        """Below the repository that these tasks are in, and no repository of its own."""
        return (
            (source / HOME) == PACKAGE
            and self.root.is_relative_to(source)
            and not any((folder / ".git").exists() for folder in (self.root, *self.root.parents) if folder != source)
        )

    def read(self, path: str) -> bytes | None:
        """What is there now; nothing where there is no file. Refuses what could not be written."""
        place = self.root
        for part in Path(path).parts:
            if place.exists() and not place.is_dir():
                raise self._in_the_way(place, "a file where a folder should be")
            place /= part
            if place.is_symlink():
                raise self._in_the_way(place, "a link, which may lead out of the repository")
        if place.is_dir():
            raise self._in_the_way(place, "a folder where a file should be")
        return place.read_bytes() if place.exists() else None

    def _in_the_way(self, place: Path, what: str) -> SettingsError:
        return SettingsError(
            f"{place.relative_to(self.root)} is {what}",
            expected="nothing in the way of what is copied; nothing was written",
            seen=str(place),
            hint=f"move {place.name} away, then copy again",
        )

    def write(self, path: str, content: bytes, *, is_program: bool = False) -> None:
        """Whole or not at all."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{place.name}.new")
        new.write_bytes(content)
        if is_program:
            new.chmod(0o755)
        elif place.exists():
            shutil.copymode(place, new)
        new.replace(place)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    # -- what was copied before ------------------------------------------------------------------------------------

    def written(self) -> Mapping[str, str]:
        """The digests of what `copy-to` wrote, by path; empty where it never did."""
        text = self.read(MANIFEST)
        if text is None:
            return {}
        try:
            files = json.loads(text)["files"]
            return {str(path): str(digest) for path, digest in files.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError(
                f"{MANIFEST} cannot be read",
                expected="the digests of the files that copy-to wrote",
                hint=f"restore {MANIFEST} from git",
            ) from None

    def note(self, digests: Mapping[str, str]) -> None:
        said = {"version": __version__, "files": dict(sorted(digests.items()))}
        self.write(MANIFEST, f"{json.dumps(said, indent=2)}\n".encode())

    # -- git -------------------------------------------------------------------------------------------------------

    def changed(self) -> Sequence[str] | None:
        """What is not committed; None where this is no repository of git, or git is not there."""
        said = self._git("status", "--porcelain", "--untracked-files=all")
        return None if said is None else said.splitlines()

    def ignores(self, path: str) -> bool:
        """Whether git leaves this path out."""
        return self._git("check-ignore", "--quiet", "--no-index", path) is not None

    def _git(self, *arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                encoding="utf-8",
                timeout=_GIT_SECONDS,
            )
        except FileNotFoundError:
            return None
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"git does not answer in {self.root}",
                expected=f"the end of `git {arguments[0]}` within {_GIT_SECONDS:g} s",
                seen="it was ended",
                hint=f"see what keeps it: git -C {shlex.quote(str(self.root))} status",
            ) from None
        return done.stdout if done.returncode == 0 else None
