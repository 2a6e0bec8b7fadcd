"""What copying would do, file by file; nothing is written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..detect.findings import Detected
from ..errors import SettingsError
from .payload import HOME, LINES, File, digest_of, payload
from .starter import place_of_env, starter
from .target import Target

SETTINGS = "invoke.yaml"
IGNORE = ".gitignore"

# add: it is not there; extend: lines of ours are added; replace, remove: it is as copy-to wrote it; same; older: as it
# wrote it, and another one now; changed: by somebody since; theirs: never written by copy-to
Kind = Literal["add", "extend", "replace", "remove", "same", "older", "changed", "theirs"]


@dataclass(frozen=True)
class Step:
    """`content`: what is written; `line`: what a file of theirs needs; `diff`: what was changed since it was copied."""

    kind: Kind
    path: str
    content: bytes = b""
    is_program: bool = False
    line: str = ""
    diff: Sequence[str] = ()

    @property
    def writes(self) -> bool:
        return self.kind in {"add", "extend", "replace"}


def steps(target: Target, found: Detected, *, upgrade: bool) -> list[Step]:
    written = target.written()
    files = payload()
    planned = [_step(target, file, written, upgrade=upgrade) for file in files]
    paths = {file.path for file in files}
    planned += [_left_over(target, path, written, upgrade=upgrade) for path in written if path not in paths]
    return [*planned, *_settings(target, found), *_ignored(target, found)]


def _step(target: Target, file: File, written: Mapping[str, str], *, upgrade: bool) -> Step:
    there = target.read(file.path)
    if there is None:
        return Step("add", file.path, file.content, file.is_program)
    now = digest_of(there)
    if now == file.digest:
        return Step("same", file.path)
    if file.path not in written:
        return _theirs(file)
    if now != written[file.path]:
        return Step("changed", file.path, diff=_diff(file, there))
    return Step("replace" if upgrade else "older", file.path, file.content, file.is_program)


def _theirs(file: File) -> Step:
    if file.path.startswith(f"{HOME}/"):
        raise SettingsError(
            f"{file.path} is there, and was not written by copy-to",
            expected=f"no {HOME}, or one that copy-to made; nothing was written",
            hint=f"move {HOME} away, then copy again",
        )
    instead = f"run `python {HOME}/__main__.py` instead"
    return Step("theirs", file.path, line=LINES.get(file.path, instead))


def _left_over(target: Target, path: str, written: Mapping[str, str], *, upgrade: bool) -> Step:
    """What was copied once, and is no more among the files."""
    there = target.read(path)
    if there is None:
        return Step("same", path)
    if digest_of(there) != written[path]:
        return Step("changed", path)
    return Step("remove" if upgrade else "older", path)


def _diff(file: File, there: bytes) -> list[str]:
    theirs, ours = (text.decode(errors="replace").splitlines() for text in (there, file.content))
    return list(difflib.unified_diff(ours, theirs, f"{file.path} (as it would be copied)", file.path, lineterm="", n=1))


def _settings(target: Target, found: Detected) -> list[Step]:
    """Once: from then on they are the person's."""
    there = target.read(SETTINGS)
    if there is not None and b"bootorder:" in there:
        return [Step("same", SETTINGS)]
    text = starter(found)
    if there is None:
        return [Step("add", SETTINGS, text.encode())]
    return [Step("theirs", SETTINGS, line=text)]


def _ignored(target: Target, found: Detected) -> list[Step]:
    """Secrets and what the tasks make have no place in git."""
    wanted = {place_of_env(found): ".env", ".venv/bin": ".venv/", ".bootorder/x": ".bootorder/", ".nox/x": ".nox/"}
    there = target.read(IGNORE)
    lines = (there or b"").decode(errors="replace").splitlines()
    missing = [line for path, line in wanted.items() if line not in lines and not target.ignores(path)]
    if not missing:
        return []
    before = (there or b"") + (b"" if not there or there.endswith(b"\n") else b"\n")
    return [Step("extend" if there else "add", IGNORE, before + "".join(f"{line}\n" for line in missing).encode())]
