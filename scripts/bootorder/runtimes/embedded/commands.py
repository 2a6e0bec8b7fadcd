"""Installs, builds and one-offs: commands that run to their end, under a mark by which they are found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import MachineError, command
from ...processes import Commands, Completed, Limit


class Marked:
    """Runs commands with `marks` in their environment: what a killed task leaves of them is then known to be ours."""

    def __init__(self, commands: Commands, marks: Callable[[], Mapping[str, str]]) -> None:
        self._commands = commands
        self._marks = marks

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        inherit: bool = True,
        limit: Limit | None = None,
    ) -> Completed:
        """Raises MachineError where there is no such command."""
        marked = {**(env or {}), **self._marks()}
        try:
            return self._commands.run(argv, cwd=cwd, env=marked, on_line=on_line, inherit=inherit, limit=limit)
        except FileNotFoundError:
            raise MachineError(
                f"there is no `{argv[0]}`",
                expected=f"`{' '.join(argv)}` in {cwd}",
                seen=f"no `{argv[0]}` on PATH",
                hint=f"install it, or correct the command in invoke.yaml; {command('doctor')} says what is there",
            ) from None
