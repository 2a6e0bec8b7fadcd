"""What is copied: the tasks, how a person runs them, and the lines that Invoke and nox look for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
HOME = "scripts/bootorder"
MANIFEST = f"{HOME}/manifest.json"
LAUNCHERS = ("inv", "inv.cmd")

_TASKS = '''\
"""What `inv` finds here: the tasks of scripts/bootorder/tasks.py. `./inv` runs them without this file."""

from scripts.bootorder.bootstrap import enter_from_invoke

enter_from_invoke()  # whichever Python runs plain `inv`: the packages of the tasks are in .venv

from scripts.bootorder.tasks import ns  # noqa: E402

__all__ = ["ns"]
'''
_NOXFILE = '''\
"""The proofs of this stack: `nox -l` lists them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import scripts.bootorder.sessions  # noqa: E402, F401
'''

# What somebody's own file of the name needs instead of being replaced: its last line.
LINES = {
    "tasks.py": "from scripts.bootorder.tasks import beside; ns = beside(__name__)  # `inv boot.start`",
    "noxfile.py": 'import sys; sys.path.insert(0, "."); import scripts.bootorder.sessions',
}


@dataclass(frozen=True)
class File:
    """`path` from the root of a repository, with slashes."""

    path: str
    content: bytes

    @property
    def is_program(self) -> bool:
        return self.path in LAUNCHERS

    @property
    def digest(self) -> str:
        return digest_of(self.content)


def digest_of(content: bytes) -> str:
    """The same for a file that git gave the line ends of Windows."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def payload() -> list[File]:
    """All files, and the documentation, as they are here: in this repository, a copy, or an installed package."""
    sources = [path for path in sorted(PACKAGE.rglob("*")) if _is_source(path)]
    files = [File(f"{HOME}/{path.relative_to(PACKAGE).as_posix()}", path.read_bytes()) for path in sources]
    files += [File(name, _launcher(name).read_bytes()) for name in LAUNCHERS]
    pages = PACKAGE.parents[1] / "docs"
    if not (PACKAGE / "docs").exists():
        found = (path for path in sorted(pages.rglob("*")) if path.is_file())
        files += [File(f"{HOME}/docs/{path.relative_to(pages).as_posix()}", path.read_bytes()) for path in found]
    return [*files, File("tasks.py", _TASKS.encode()), File("noxfile.py", _NOXFILE.encode())]


def _is_source(path: Path) -> bool:
    inside = path.relative_to(PACKAGE)
    is_made = "__pycache__" in inside.parts or inside.as_posix() in {"manifest.json", *LAUNCHERS}
    return path.is_file() and not is_made


def _launcher(name: str) -> Path:
    """At the root of a repository; in an installed package among its modules."""
    packed = PACKAGE / name
    return packed if packed.exists() else PACKAGE.parents[1] / name
