"""The command of Compose: where it is, whether it is new enough, with which files it is run, and what it said last."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import MachineError, SettingsError
from ..processes import Completed, Limit, Processes, at_once, question_limit
from .compose_given import Given

# The newest things asked of it: `--progress` as a global flag and inline `configs`.
OLDEST_COMPOSE = (2, 24, 0)
_PLUGIN = ["docker", "compose"]


class Compose:
    """Compose in a folder, with the files that it finds there or with `files` of it, then `given`.

    `variables`: what they may refer to beside .env and the environment.
    """

    def __init__(
        self,
        root: Path,
        processes: Processes,
        variables: Mapping[str, str],
        files: Sequence[str],
        given: Given | None,
    ) -> None:
        self.variables = variables
        self._root = root
        self._processes = processes
        self._files = files
        self._given = given

    @property
    def files(self) -> str:
        """What they are called, for a person."""
        return ", ".join(self._files) or "compose.yaml"

    @cached_property
    def command(self) -> Sequence[str]:
        if self._given and self._given.write(self._read_own()):
            return [*self._own_command, "--file", str(self._given.path)]
        return self._own_command

    def find(self) -> None:
        """Raises MachineError where Compose is missing or too old."""
        _ = self._own_command

    @cached_property
    def _own_command(self) -> Sequence[str]:
        return self._with_files(find_compose(self._processes, self._root))

    def _with_files(self, cli: Sequence[str]) -> Sequence[str]:
        return [*cli, *(part for name in self._files for part in ("--file", str(self._root / name)))]

    def run(
        self,
        arguments: Sequence[str],
        *,
        limit: Limit,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run Compose. What is over its limit is called as a person types it: `docker compose stop`."""
        named = limit if limit.what else replace(limit, what=" ".join(["docker compose", *arguments]))
        return self._run([*self.command, *arguments], named, env or {}, on_line)

    def _run(
        self,
        argv: Sequence[str],
        limit: Limit,
        env: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        given = {**self.variables, **env}
        return self._processes.run(argv, cwd=self._root, env=given, on_line=on_line, limit=limit)

    def stream(self, arguments: Sequence[str], limit: Limit | None) -> Iterator[str]:
        return self._processes.stream([*self.command, *arguments], cwd=self._root, limit=limit)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What the files say, once and for all."""
        return self.read()

    def read(self) -> Mapping[str, Any]:
        """What they say now. Raises SettingsError where Compose does not accept them."""
        return self._read(self.command) if self._given else self._read_own()

    def _read_own(self) -> Mapping[str, Any]:
        """Without what is given."""
        if "_own_command" in vars(self):
            return self._read(self._own_command)
        # At the same time, as each takes a tenth of a second.
        asked: Sequence[Callable[[], Any]] = (lambda: find_compose(self._processes, self._root), self._read_plugin)
        cli, config = at_once(self._processes, asked, lambda ask: ask())
        self._own_command = self._with_files(cli)
        return config if config and cli == _PLUGIN else self._read(self._own_command)

    def _read_plugin(self) -> Mapping[str, Any] | None:
        """Nothing where it is not there, too old, or refuses the files: which of them, the next call tells."""
        with contextlib.suppress(FileNotFoundError, SettingsError):
            return self._read(self._with_files(_PLUGIN))
        return None

    def _read(self, command: Sequence[str]) -> Mapping[str, Any]:
        done = self._run([*command, "--profile", "*", "config", "--format", "json"], question_limit(), {})
        if done.code:
            raise SettingsError(
                f"Compose refuses {self.files}",
                expected="what `docker compose config` accepts",
                seen=last_words(done.text),
                hint=f"correct {self.files} or .env where it says",
            )
        config: Mapping[str, Any] = json.loads(done.out)
        return config


def find_compose(processes: Processes, root: Path) -> Sequence[str]:
    """The command of Compose: docker's plugin, else the binary of its own. Raises MachineError when too old."""
    seen, found = [], False
    for cli in (_PLUGIN, ["docker-compose"]):
        try:
            done = processes.run([*cli, "version", "--short"], cwd=root, limit=question_limit())
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
