"""What every runtime does, whatever it starts services with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ..errors import LogTail
from ..processes import Completed, Limit


@dataclass(frozen=True)
class Address:
    """Where a service is reached from this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """For people, as `localhost`: the apps' cookies and redirects are made for that name."""
        return f"http://{'localhost' if self.host == '127.0.0.1' else self.host}:{self.port}"


@dataclass(frozen=True)
class Service:
    """One service as it is now, all of its replicas together.

    `state`: running, exited, created or absent; running only where as many run as are `wanted`, else as the worst of
    them is. `health`: healthy, unhealthy, starting, or empty where nothing checks it; of the worst one. `instance`
    changes whenever one is started anew. `more_addresses`: where further replicas are reached; `up`: how many run.
    """

    name: str
    state: str
    health: str = ""
    exit_code: int | None = None
    instance: str = ""
    address: Address | None = None
    more_addresses: Sequence[Address] = ()
    wanted: int = 1
    up: int = 0

    @property
    def addresses(self) -> Sequence[Address]:
        return [self.address, *self.more_addresses] if self.address else []

    @property
    def counted(self) -> str:
        """`2 of 3 replicas run`; empty for a service of one."""
        return "" if max(self.wanted, self.up) == 1 or self.wanted == 0 else f"{self.up} of {self.wanted} replicas run"

    @property
    def running(self) -> bool:
        return self.state == "running"


class Watched(Protocol):
    """The services, for who waits for one of them."""

    def service(self, name: str) -> Service:
        """It as it is now."""

    def wait(self, seconds: float) -> None:
        """Until one of them may have changed, but no longer than that."""


@dataclass(frozen=True)
class Polled:
    """Watched by looking each time."""

    service: Callable[[str], Service]
    wait: Callable[[float], None]


class Runtime(Protocol):
    """Starting, stopping and looking at the services of one stack. One contract suite runs over all of them."""

    name: str

    def needs(self) -> Mapping[str, Callable[[], str]]:
        """What the machine must have: by name, a look that says what is there or raises a BootError."""

    def declared(self) -> Sequence[str]:
        """Every service of the stack, one-offs included."""

    def check(self, names: Sequence[str]) -> None:
        """Raises what the settings of these services would fail with later: asked before anything is stopped."""

    def check_ports(self, names: Sequence[str]) -> None:
        """Raises MachineError where something that is not of this stack holds a port that these services want."""

    def has_data(self, service: str) -> bool:
        """Whether there are data of this service, of an earlier run."""

    def optional(self) -> Collection[str]:
        """Those that are only started when they are asked for by name (`--with`)."""

    def profiles(self) -> Mapping[str, Sequence[str]]:
        """Return the active profiles, each with the services that it starts."""

    def services(self, names: Collection[str] = ()) -> Mapping[str, Service]:
        """Every declared service as it is now, or those named only."""

    def watched(self, pause: Callable[[float], None]) -> AbstractContextManager[Watched]:
        """For who looks again and again. `pause`: waits for some seconds, where nothing tells of what happens."""

    def build(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        """Make what these services run, if sources changed. Raises MachineError with the tool's last lines."""

    def prepare_apart(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        """Make what one-offs of these services run, of the sources as they are, where that leaves alone what runs now.

        Returns those for which it is made. Raises what `build` does.
        """

    def create(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        """Make what a start of these services would make first; what was made so is left alone."""

    def start(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        """Start these services and nothing they depend on; what runs as declared is left alone.

        Returns when they are started, not when healthy, with the names of those that were started anew.
        """

    def stop(self) -> Sequence[str]:
        """Stop everything of this stack, one-offs of killed runs too; keeps data. Returns what was stopped."""

    def runs_apart(self) -> str:
        """Return what of this folder runs under another name than this stack's, and how to stop it; else nothing."""

    def stop_services(self, names: Collection[str]) -> None:
        """Stop these services, in all their replicas; their one-offs go on."""

    def stop_one_offs(self) -> None:
        """End what killed runs left of one-offs: their locks are free, they go on. This run's own are left alone."""

    def check_removal(self) -> None:
        """Raises SettingsError where `remove` would have to leave rows: asked before anything is stopped."""

    def remove(self) -> Mapping[str, Sequence[str]]:
        """Remove what runs, its data and what was built, of this stack only. Returns names by kind: `volume` ..."""

    def run_once(
        self,
        service: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: Limit | None = None,
    ) -> Completed:
        """Run one command where this service is at home, on top of its environment, and wait for its end.

        `limit`: that of an owner's tool, where none is given. What is over it is ended, wherever it runs.
        """

    def environment(self, service: str) -> Mapping[str, str]:
        """The service's environment as it is given to it."""

    def marks(self, service: str) -> Mapping[str, str]:
        """What the environment of this service's commands is to have where they run beside the runtime, on this
        machine: so that `stop` finds what a killed run left of them."""

    def is_built(self, service: str) -> bool:
        """Whether what this service runs was made already, from these sources or older ones."""

    def is_stale(self, service: str) -> bool:
        """Whether what was made is known to be made of older sources."""

    def is_touched(self, service: str) -> bool:
        """Whether files that it is built from were changed since, where its fingerprint says so only after a build."""

    def is_current(self, service: str) -> bool:
        """Whether it runs, and is what would be started now from what is built."""

    def fingerprint(self, service: str) -> str:
        """Changes when what the service would run changes; empty where that is not known."""

    def logs(self, names: Sequence[str], *, tail: int, follow: bool) -> Iterator[tuple[str, str]]:
        """(service, line) pairs; with `follow` until the reader stops."""

    def foreign_listener(self, service: Service) -> str:
        """Return what else answers where this service is reached; empty where it is the service itself.

        Also empty where the system does not say who listens.
        """

    def port_holder(self, port: int) -> str:
        """What this runtime knows to listen there, of this stack or not; empty where it knows nothing."""

    def log_tail(self, name: str) -> LogTail:
        """The last lines of one service."""

    def psql(self, service: str, variables: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
        """psql on the database's service: a command, and what its environment needs.

        `variables`: PGUSER, PGPASSWORD and the like, which show in no process list.
        """
