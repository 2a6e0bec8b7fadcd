"""Installing what an app needs and building it, when its lock file or its sources are not those of the last time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import sources, state_files
from ...certificates import hint_for
from ...errors import BuildError, LogTail, MachineError
from ...processes import BUILD_SECONDS, Commands, build_limit
from .toolchain import last_error


@dataclass(frozen=True)
class Step:
    """A command that is run once for each state of what it is made of. `does`: for people, e.g. `building web`.

    `made_of`: a digest of the files as they are when it is asked for, which means reading them all.

    Without a command it only notes what the service was started from.
    """

    does: str
    argv: Sequence[str]
    folder: Path
    made_of: Callable[[], str]
    installs: bool = False  # packages that others made; else it builds from the sources

    @property
    def left(self) -> list[str]:
        """What there is now of what such a step leaves in the folder."""
        return sources.made_in(self.folder, sources.PACKAGES if self.installs else sources.BUILT)

    @property
    def key(self) -> str:
        """The same for two services that share a folder: what one installed, the other has. A note is its service's."""
        return sources.digest([str(self.folder), *(self.argv or [self.does])])[:16]


class Builds:
    """`records`: a folder with what each step was last made of. `wait`: how many seconds each may take."""

    def __init__(self, records: Path, say: Callable[[str], None], wait: float = BUILD_SECONDS) -> None:
        self._records = records
        self._wait = wait
        self._say = say

    def was_done(self, step: Step) -> bool:
        """From these sources or older ones."""
        return bool(self._read(step))

    def is_done(self, step: Step) -> bool:
        """From what the sources are now, and what it left in the folder is still there."""
        record = self._read(step)
        return bool(record) and record["made_of"] == step.made_of() and set(record["left"]) <= set(step.left)

    def made_of(self, step: Step) -> str:
        """What it was last made of; empty before the first time."""
        return str(self._read(step).get("made_of", ""))

    def do(
        self, step: Step, commands: Commands, environment: Mapping[str, str], on_line: Callable[[str], None]
    ) -> None:
        """Raises MachineError or BuildError with the tool's last lines."""
        self._record(step).unlink(missing_ok=True)  # one that fails leaves nothing that can be relied on
        made_of = step.made_of()  # what changes from now on may not be in it
        if step.argv:
            self._run(step, commands, environment, on_line)
        record = {"does": step.does, "made_of": made_of, "left": step.left}
        state_files.make_folder(self._records)
        state_files.write(self._record(step), json.dumps(record))

    def _run(
        self, step: Step, commands: Commands, environment: Mapping[str, str], on_line: Callable[[str], None]
    ) -> None:
        shown = " ".join(step.argv)
        self._say(f"{step.does}: {shown}")
        if step.installs:
            # Nobody can be asked here, and without this pnpm asks before it replaces packages of another store.
            environment = {"CI": "true", **environment}
        error = MachineError if step.installs else BuildError
        limit = build_limit(self._wait, error)
        done = commands.run(step.argv, cwd=step.folder, env=environment, on_line=on_line, inherit=False, limit=limit)
        if done.code:
            network = " (a first install needs a network)" if step.installs else ""
            raise error(
                f"{step.does} failed",
                expected=f"`{shown}` in {step.folder} ends with 0",
                seen=last_error(done.text),
                log=LogTail.of(shown, done.text),
                hint=done.hint(hint_for(done.text, f"correct what it says{network}, then start again")),
            )

    def forget(self) -> list[str]:
        """All is to be done again. Returns what was forgotten."""
        gone = sorted(self._records.glob("*.json"))
        for path in gone:
            path.unlink()
        return [path.stem for path in gone]

    def _read(self, step: Step) -> dict[str, Any]:
        return state_files.read(self._record(step), _record_of, self._say) or {}

    def _record(self, step: Step) -> Path:
        return self._records / f"{step.key}.json"


def _record_of(data: Any) -> dict[str, Any]:
    return {"made_of": str(data["made_of"]), "left": list(map(str, data["left"]))}
