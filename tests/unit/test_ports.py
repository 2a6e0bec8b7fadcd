from __future__ import annotations

import errno
import socket
import sys
import time
from types import SimpleNamespace
from typing import Any, Self

import psutil
import pytest

from scripts.bootorder import ports
from scripts.bootorder.errors import MachineError


class FakeSocket:
    """A socket whose bind the system refuses with this error, or allows."""

    def __init__(self, refusal: int, bound: list[tuple[str, int]]) -> None:
        self._refusal = refusal
        self._bound = bound

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def setsockopt(self, *_: int) -> None: ...

    def bind(self, address: tuple[str, int]) -> None:
        self._bound.append(address)
        if self._refusal:
            raise OSError(self._refusal, "refused")


def binding(
    monkeypatch: pytest.MonkeyPatch, refusal: int = 0, *, on_6: int | None = None, has_6: bool = True
) -> list[tuple[str, int]]:
    """The addresses that are tried; each refused with this error, those of IPv6 with another one if it is given."""
    bound: list[tuple[str, int]] = []

    def make(family: socket.AddressFamily) -> FakeSocket:
        if family == socket.AF_INET6 and not has_6:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        is_6 = family == socket.AF_INET6 and on_6 is not None
        return FakeSocket(on_6 or 0 if is_6 else refusal, bound)

    monkeypatch.setattr(socket, "socket", make)
    monkeypatch.setattr(socket, "has_ipv6", True)
    return bound


def listening(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, int | None, str]) -> None:
    """What the system's table of connections says: (port, pid, status)."""
    table = [SimpleNamespace(laddr=SimpleNamespace(port=port), pid=pid, status=status) for port, pid, status in found]
    monkeypatch.setattr(ports, "_SEEN", [])
    monkeypatch.setattr(psutil, "net_connections", lambda kind: table)
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(name=lambda: f"process{pid}"))


def no_container(_: int) -> str:
    return ""


def test_a_port_that_can_be_bound_on_loopback_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = binding(monkeypatch)

    assert ports.is_free(5432)
    assert bound == [("127.0.0.1", 5432), ("::1", 5432)]


def test_a_port_in_use_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    binding(monkeypatch, errno.EADDRINUSE)

    assert not ports.is_free(5432)


def test_a_port_in_use_on_the_other_loopback_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that is sent to `localhost` would find the other one."""
    binding(monkeypatch, on_6=errno.EADDRINUSE)

    assert not ports.is_free(5432)


def test_a_machine_without_ipv6_has_one_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    binding(monkeypatch, on_6=errno.EADDRNOTAVAIL)
    assert ports.is_free(5432)

    binding(monkeypatch, has_6=False)
    assert ports.is_free(5432)

    bound = binding(monkeypatch)
    monkeypatch.setattr(socket, "has_ipv6", False)
    assert ports.is_free(5432)
    assert bound == [("127.0.0.1", 5432)]


@pytest.mark.skipif(sys.platform == "win32", reason="there it means that another holds the port alone")
def test_a_low_port_is_not_called_taken_only_because_this_user_may_not_bind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine publishes it, not this user."""
    binding(monkeypatch, errno.EACCES)

    assert ports.is_free(80)


def test_a_network_without_loopback_is_not_taken_for_a_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    binding(monkeypatch, errno.EADDRNOTAVAIL)

    with pytest.raises(OSError, match="refused"):
        ports.is_free(5432)


def test_a_container_that_holds_the_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch, (5432, 7, psutil.CONN_LISTEN))

    assert ports.holder(5432, lambda port: f"container other-postgres-{port}") == "container other-postgres-5432"


def test_a_process_that_holds_the_port_is_named_with_its_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    listening(
        monkeypatch,
        (5433, 5, psutil.CONN_LISTEN),
        (5432, 6, psutil.CONN_ESTABLISHED),
        (5432, 7, psutil.CONN_LISTEN),
    )

    assert ports.holder(5432, no_container) == "process7 (pid 7)"


def test_where_the_system_does_not_tell_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    listening(monkeypatch, (5432, None, psutil.CONN_LISTEN))
    assert ports.holder(5432, no_container) == ""

    listening(monkeypatch)
    assert ports.holder(5432, no_container) == ""


def test_where_the_table_is_forbidden_it_is_said_to_be_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(kind: str) -> list[Any]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", forbidden)

    assert ports.holder(5432, no_container) == "a process of another user"


def where(service: str) -> str:
    return f"set {service.upper()}_PORT"


def test_a_taken_port_is_refused_with_service_and_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port != 8001)
    listening(monkeypatch, (8001, 7, psutil.CONN_LISTEN))

    with pytest.raises(MachineError) as caught:
        ports.refuse_taken_ports({"sso": [3001], "api": [8000, 8001]}, no_container, where)

    assert caught.value.exit_code == 3
    assert caught.value.message == "port 8001 for api is taken by process7 (pid 7)"
    assert caught.value.hint == "stop it, or give api another port: set API_PORT"


def test_a_taken_port_is_refused_too_when_nobody_knows_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    listening(monkeypatch)

    with pytest.raises(MachineError) as caught:
        ports.refuse_taken_ports({"api": [8000]}, no_container, where)

    assert caught.value.message == "port 8000 for api is taken"
    assert caught.value.seen


def test_free_ports_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: True)

    ports.refuse_taken_ports({"sso": [3001], "api": [8000, 8001]}, no_container, where)


def test_what_the_engine_has_only_just_begun_to_publish_may_be_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine starts the same stack: the engine listens, and does not say yet for which container."""
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(ports, "holder", lambda port, publisher: "docker-proxy (pid 7)")
    answers = iter([[], [], [3000]])

    ports.refuse_taken_ports({"web": [3000]}, no_container, where, lambda: next(answers))

    assert list(answers) == []


def test_what_the_engine_publishes_for_another_is_refused_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    monkeypatch.setattr(ports, "_SOON", 0)
    monkeypatch.setattr(ports, "holder", lambda port, publisher: "docker-proxy (pid 7)")

    with pytest.raises(MachineError, match="taken by docker-proxy"):
        ports.refuse_taken_ports({"web": [3000]}, no_container, where, list)


# -- who answers at an address -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "answering"),
    [
        ({"0.0.0.0": 1}, [1]),  # noqa: S104
        ({"0.0.0.0": 1, "127.0.0.1": 2}, [2]),  # noqa: S104
        ({"::": 1, "127.0.0.1": 2}, [2]),
        ({"::": 1, "0.0.0.0": 2}, [2]),  # noqa: S104
        ({"::": 1}, [1]),
        ({"::ffff:127.0.0.1": 1, "0.0.0.0": 2}, [1]),  # noqa: S104
        ({"::1": 1, "192.0.2.1": 2}, []),
    ],
)
def test_who_listens_on_the_very_address_answers_before_who_listens_on_all(
    monkeypatch: pytest.MonkeyPatch, bound: dict[str, int], answering: list[int]
) -> None:
    table = [SimpleNamespace(laddr=(host, 8000), pid=pid, status=psutil.CONN_LISTEN) for host, pid in bound.items()]
    table += [SimpleNamespace(laddr=("127.0.0.1", 8001), pid=7, status=psutil.CONN_LISTEN)]
    table += [SimpleNamespace(laddr=("127.0.0.1", 8000), pid=8, status=psutil.CONN_ESTABLISHED)]
    table += [SimpleNamespace(laddr=(), pid=9, status=psutil.CONN_LISTEN)]
    monkeypatch.setattr(ports, "_SEEN", [])
    monkeypatch.setattr(psutil, "net_connections", lambda kind: table)

    found = ports.listeners("127.0.0.1", 8000)

    assert found is not None
    assert [listener.pid for listener in found] == answering


def test_a_system_that_does_not_show_who_listens_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(ports, "_SEEN", [])
    monkeypatch.setattr(psutil, "net_connections", refused)

    assert ports.listeners("127.0.0.1", 8000) is None
    assert ports.listening() is None


def test_the_ports_of_each_process_are_those_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def bound(port: int, pid: int | None, status: str = psutil.CONN_LISTEN) -> SimpleNamespace:
        return SimpleNamespace(laddr=("127.0.0.1", port), pid=pid, status=status)

    table = [bound(8000, 7), bound(8001, 7), bound(9000, 8), bound(9001, 8, psutil.CONN_ESTABLISHED), bound(9002, None)]
    table += [SimpleNamespace(laddr=(), pid=9, status=psutil.CONN_LISTEN)]
    monkeypatch.setattr(ports, "_SEEN", [])
    monkeypatch.setattr(psutil, "net_connections", lambda kind: table)

    assert ports.listening() == {7: {8000, 8001}, 8: {9000}}
