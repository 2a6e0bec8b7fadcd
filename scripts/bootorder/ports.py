"""Who holds a port."""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import MachineError

# The engine's program listens a moment before the engine says for which container: perhaps for one of ours.
_ENGINE = "docker-proxy"
_SOON = 10.0  # a busy engine; what it publishes for others is known at once
_POLL_SECONDS = 0.05
_FRESH_SECONDS = 0.1
_LOOKING = threading.Lock()
_SEEN: list[tuple[float, Sequence[Any]]] = []  # the last look at all sockets, and when it began


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of both loopbacks now: browsers try ::1 first for `localhost`."""
    families = [(socket.AF_INET, "127.0.0.1"), *([(socket.AF_INET6, "::1")] if socket.has_ipv6 else [])]
    return all(_is_free(port, family, host) for family, host in families)


def _is_free(port: int, family: socket.AddressFamily, host: str) -> bool:
    try:
        probe = socket.socket(family)
    except OSError:
        if family == socket.AF_INET6:
            return True  # built in, and switched off
        raise
    with probe:
        # Not on Windows, where the flag would let the bind succeed beside a listener.
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            if error.errno == errno.EADDRNOTAVAIL and family == socket.AF_INET6:
                return True  # no such loopback here
            # A low port is not this user's to bind, and may be the engine's to publish. On Windows it is what a
            # listener with exclusive use answers.
            if error.errno != errno.EACCES:
                raise
            return sys.platform != "win32"
    return True


def holder(port: int, publisher: Callable[[int], str]) -> str:
    """The container or process that listens there, as far as the system tells."""
    import psutil

    container = publisher(port)
    if container:
        return container
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})" if connection.pid else ""
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return "a process of another user"
    return ""


@dataclass(frozen=True)
class Listener:
    """Who listens on a port. `pid` is None where the system shows it to its owner only."""

    host: str
    pid: int | None

    @property
    def name(self) -> str:
        """The program and its number, for a person."""
        import psutil

        if self.pid is None:
            return "a process of another user"
        try:
            return f"{psutil.Process(self.pid).name()} (pid {self.pid})"
        except psutil.Error:
            return f"pid {self.pid}"


def listeners(host: str, port: int) -> list[Listener] | None:
    """Return those that answer at this address; None where the system does not say.

    Who listens on the very address is asked before who listens on all of them.
    """
    import psutil

    try:
        found = _sockets()
    except (psutil.Error, OSError):  # macOS shows them to root only
        return None
    ranked = [
        (rank, Listener(one.laddr[0], one.pid))
        for one in found
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr[1] == port
        if (rank := _rank(one.laddr[0], host)) is not None
    ]
    best = min((rank for rank, _ in ranked), default=0)
    return [listener for rank, listener in ranked if rank == best]


def listening() -> Mapping[int, Collection[int]] | None:
    """Return the ports that each process listens on, by its number; None where the system does not say."""
    import psutil

    try:
        found = _sockets()
    except (psutil.Error, OSError):  # macOS shows them to root only
        return None
    ports: dict[int, set[int]] = {}
    for one in found:
        if one.status == psutil.CONN_LISTEN and one.laddr and one.pid is not None:
            ports.setdefault(one.pid, set()).add(one.laddr[1])
    return ports


def _sockets() -> Sequence[Any]:
    """Return every TCP socket with its process: a look of 20 to 40 ms, shared by services that are asked at once."""
    import psutil

    asked = time.monotonic()
    with _LOOKING:
        if not _SEEN or _SEEN[0][0] < asked - _FRESH_SECONDS:
            begun = time.monotonic()
            _SEEN[:] = [(begun, psutil.net_connections(kind="tcp"))]
        return _SEEN[0][1]


def _rank(bound: str, host: str) -> int | None:
    """Return how closely a socket that is bound there answers for this host: the lowest first; None: not at all."""
    everywhere = "::" if ":" in host else "0.0.0.0"  # noqa: S104
    if bound.removeprefix("::ffff:") == host:
        return 0
    return 1 if bound == everywhere else 2 if bound == "::" else None


def refuse_taken_ports(
    wanted: Mapping[str, Sequence[int]],
    publisher: Callable[[int], str],
    where: Callable[[str], str],
    ours: Callable[[], Container[int]] = tuple,
) -> None:
    """`wanted`: service -> its ports. Raises MachineError for the first one that is not free.

    `where`: how a person gives a service another port. `ours`: the ports that the stack itself holds, which is no harm.
    """
    taken = [(service, port) for service, ports in wanted.items() for port in ports if not is_free(port)]
    held = ours() if taken else ()
    for service, port in taken:
        limit = time.monotonic() + _SOON
        while port not in held and not is_free(port):
            who = holder(port, publisher)
            if who.startswith(_ENGINE) and time.monotonic() < limit:
                time.sleep(_POLL_SECONDS)
                held = ours()
                continue
            raise MachineError(
                f"port {port} for {service} is taken" + (f" by {who}" if who else ""),
                expected=f"port {port} free on 127.0.0.1 and ::1",
                seen=who or "the system does not say who",
                hint=f"stop it, or give {service} another port: {where(service)}",
            )
