"""The command of Compose: where it is, whether it is new enough, what it said last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import MachineError
from ..processes import Processes

# The newest things asked of it: `--progress` as a global flag and inline `configs`.
OLDEST_COMPOSE = (2, 24, 0)


def find_compose(processes: Processes, root: Path) -> Sequence[str]:
    """The command of Compose: docker's plugin, else the binary of its own. Raises MachineError when too old."""
    seen, found = [], False
    for cli in (["docker", "compose"], ["docker-compose"]):
        try:
            done = processes.run([*cli, "version", "--short"], cwd=root)
        except FileNotFoundError:
            continue
        version = done.out.strip().lstrip("v")
        if done.code == 0 and parse_version(version) >= OLDEST_COMPOSE:
            return cli
        found |= done.code == 0
        seen.append(f"{' '.join(cli)}: {version if done.code == 0 else last_words(done.text)}")
    raise MachineError(
        "Docker Compose is too old" if found else "Docker Compose is missing",
        expected=f"`docker compose` {'.'.join(map(str, OLDEST_COMPOSE))} or newer",
        seen="; ".join(seen) or "neither `docker compose` nor `docker-compose`",
        hint="install the Compose plugin of Docker",
    )


def parse_version(text: str) -> tuple[int, ...]:
    """`v2.24.1-desktop.1` -> (2, 24, 1); nothing readable -> ()."""
    numbers = text.lstrip("v").split("-")[0].split("+")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdecimal())


def last_words(text: str) -> str:
    """The line that says what went wrong: the last one that is not progress."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
