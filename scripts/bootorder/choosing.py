"""Which runtime boots the stack: the one that was asked for, else Docker Compose where an engine answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .console import Console
from .errors import MachineError, command
from .places import places
from .processes import Processes
from .runtimes.base import Runtime
from .runtimes.compose import COMPOSE_FILES, ComposeRuntime
from .runtimes.embedded.runtime import EmbeddedRuntime
from .runtimes.engine import Engine
from .settings import LayoutName, Settings, runtime_name

# An engine that is there answers in milliseconds.
_ENGINE_SECONDS = 1


@dataclass(frozen=True)
class Choice:
    """A runtime, and why it was taken; `why` is empty where a person said so."""

    runtime: Runtime
    why: str = ""


class Runtimes:
    """Those that this stack can be booted with."""

    def __init__(
        self, root: Path, state: Path, settings: Settings, processes: Processes, console: Console, layout: LayoutName
    ) -> None:
        self._settings = settings
        self._has_compose_file = any((root / name).exists() for name in settings.compose or COMPOSE_FILES)
        variables = {place.database_variable: place.database for place in places(settings, layout).values()}
        instead = f"boot without Docker: {command('start --runtime embedded')}" if settings.processes else ""
        self._compose = ComposeRuntime(root, processes, instead, variables, settings.compose)
        self._embedded = EmbeddedRuntime(root, state, settings, processes, console.note, variables)

    def choose(self, wanted: str) -> Choice:
        """`wanted`: the flag; where it is empty the setting decides."""
        name = runtime_name(wanted, self._settings)
        if name == "compose":
            return Choice(self._compose)
        if name == "embedded":
            return Choice(self._embedded)
        if not self._has_compose_file:
            return Choice(self._embedded, "there is no compose.yaml")
        try:
            engine = Engine.connect(_ENGINE_SECONDS)
        except MachineError as error:
            if self._settings.processes:
                return Choice(self._embedded, error.message)
            return Choice(self._compose, "invoke.yaml has no `processes`")
        self._compose.engine = engine
        return Choice(self._compose, "a Docker Engine answers")

    def elsewhere(self, chosen: Runtime) -> MachineError | None:
        """The same stack run by the other runtime, which would hold the ports."""
        if chosen is self._embedded:
            running = self._compose.running()
            other = self._compose.name
        else:
            running = self._embedded.running()
            other = self._embedded.name
        if not running:
            return None
        return MachineError(
            f"this stack already runs with the {other} runtime",
            expected="one runtime at a time: both would want the same ports",
            seen=f"{', '.join(sorted(running))} running",
            hint=f"stop it first: {command(f'stop --runtime {other}')}, or look at it:"
            f" {command(f'status --runtime {other}')}",
        )
