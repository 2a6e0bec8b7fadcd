"""Which runtime boots the stack: the one asked for, else the one that runs it, the last one, or what is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from . import env_file, state_files
from .console import Console
from .errors import MachineError, SettingsError, command
from .places import file_variables, places
from .pointing import as_owner
from .processes import Processes
from .runtimes.base import Runtime
from .runtimes.compose import COMPOSE_FILES, ComposeRuntime
from .runtimes.compose_given import Given, Turned
from .runtimes.compose_sources import BuiltFrom
from .runtimes.embedded.runtime import EmbeddedRuntime
from .runtimes.engine import Engine
from .settings import LayoutName, Settings, runtime_name

# An engine that is there answers in milliseconds.
_ENGINE_SECONDS = 1


_LAST = "runtime.json"


def remember(state: Path, runtime: Runtime) -> None:
    """Note with which one this stack was started last."""
    path = state / _LAST
    content = json.dumps(runtime.name)
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        state_files.write(path, content)


@dataclass(frozen=True)
class Choice:
    """A runtime, and why it was taken; `why` is empty where a person said so."""

    runtime: Runtime
    why: str = ""


def _connections(settings: Settings, layout: LayoutName) -> Mapping[str, Turned]:
    """By service; one connects as one owner."""
    found: dict[str, Turned] = {}
    for owner, place in places(settings, layout).items():
        its = settings.owners[owner]
        for service in its.connects:
            if service in found:
                raise SettingsError(
                    f"{service} is to connect as two owners",
                    expected="one owner for each service; what it reads of others `reads` says",
                    seen=f"`connects` of {owner} and of one before it",
                    hint=f"remove {service} from `owners.{owner}.connects`",
                )
            found[service] = partial(as_owner, its, place)
    return found


class Runtimes:
    """Those that this stack can be booted with."""

    def __init__(
        self, root: Path, state: Path, settings: Settings, processes: Processes, console: Console, layout: LayoutName
    ) -> None:
        self._settings = settings
        files = settings.compose or env_file.compose_file_variable(root) or COMPOSE_FILES
        self._has_compose_file = any((root / name).exists() for name in files)
        found = places(settings, layout)
        variables = {place.database_variable: place.database for place in found.values()}
        variables |= file_variables(found, root)
        instead = f"boot without Docker: {command('start --runtime embedded')}" if settings.processes else ""
        connections = _connections(settings, layout)
        given = Given(state / "compose.json", connections, settings.database.service) if settings.compose else None
        built_from = BuiltFrom(state / "images.json", console.note)
        self._compose = ComposeRuntime(
            *(root, processes, instead, variables, settings.compose, given, settings.build_wait, built_from)
        )
        self._embedded = EmbeddedRuntime(root, state, settings, processes, console.note, variables)
        self._named: Mapping[str, Runtime] = {"compose": self._compose, "embedded": self._embedded}
        self._last = state / _LAST
        self._note = console.note

    def choose(self, wanted: str) -> Choice:
        """`wanted`: the flag; where it is empty the setting decides."""
        name = runtime_name(wanted, self._settings)
        return self._automatic() if name == "auto" else Choice(self._named[name])

    def _automatic(self) -> Choice:
        if self._run_embedded:
            return Choice(self._embedded, "it runs this stack")
        if not self._has_compose_file:
            return Choice(self._embedded, "there is no compose.yaml")
        trouble = self._engine_trouble()
        if not trouble and self._compose.running():
            return Choice(self._compose, "it runs this stack")
        last = state_files.read(self._last, lambda name: self._named[name], self._note)
        if last:  # with another one there would be a second, empty database
            return Choice(last, "as the last time")
        if self._embedded.has_data(self._settings.database.service):
            return Choice(self._embedded, "its data are there")
        return self._first(trouble or self._compose.trouble())

    def _first(self, trouble: str) -> Choice:
        """`trouble`: why Compose cannot be used."""
        if not trouble:
            return Choice(self._compose, "a Docker Engine answers")
        if self._settings.processes:
            return Choice(self._embedded, trouble)
        return Choice(self._compose, "invoke.yaml has no `processes`")

    def _engine_trouble(self) -> str:
        """Why no engine can be used; empty where one answers."""
        try:
            self._compose.engine = Engine.connect(_ENGINE_SECONDS)
        except MachineError as error:
            return error.message
        return ""

    @cached_property
    def _run_embedded(self) -> bool:
        return bool(self._embedded.running())

    def elsewhere(self, chosen: Runtime) -> MachineError | None:
        """The same stack run by the other runtime, which would hold the ports."""
        if chosen is self._embedded:
            # Nothing else was started beside it; an engine takes a tenth of a second to ask.
            running = [] if self._run_embedded else self._compose.running()
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
