"""Who holds a port, as the system tells it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from scripts.bootorder import ports
from scripts.bootorder.errors import MachineError
from tests.stack import free_ports


def nobody_publishes(_port: int) -> str:
    return ""


@pytest.fixture(params=["127.0.0.1", ""], ids=["loopback", "every address"])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    with socket.create_server((request.param, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_with_a_listener_is_taken_and_free_afterwards(taken: int) -> None:
    assert not ports.is_free(taken)


@pytest.mark.skipif(not socket.has_ipv6, reason="there is one loopback only")
def test_a_listener_on_the_other_loopback_takes_the_port_too() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("IPv6 is switched off")
    with listener:
        assert not ports.is_free(listener.getsockname()[1])


def test_a_port_is_free_again_when_its_connections_linger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()  # our side closes first, and remembers it for a minute

    assert ports.is_free(port)


def test_the_holder_is_named_with_its_id(taken: int) -> None:
    assert ports.holder(taken, nobody_publishes) == f"{psutil.Process().name()} (pid {os.getpid()})"


def test_a_container_is_named_before_the_proxy_that_listens_for_it(taken: int) -> None:
    assert ports.holder(taken, lambda port: f"container of {port}") == f"container of {taken}"


def test_the_first_taken_port_of_any_service_is_refused(taken: int) -> None:
    free = free_ports(["free"])["free"]

    with pytest.raises(MachineError) as refused:
        ports.refuse_taken_ports(
            {"app": [free], "web": [free, taken]}, nobody_publishes, lambda _: "it is in the settings"
        )

    assert f"port {taken} for web is taken by" in refused.value.message
    assert str(os.getpid()) in refused.value.message
    assert refused.value.hint == "stop it, or give web another port: it is in the settings"
    assert refused.value.exit_code == 3


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_low_port_is_free_though_this_user_may_not_bind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine publishes ports, and is root."""
    port = next(port for port in range(1023, 900, -1) if ports.is_free(port))
    os.seteuid(65534)
    try:
        assert ports.is_free(port)
    finally:
        os.seteuid(0)


def test_nobody_holds_a_free_port() -> None:
    assert ports.holder(free_ports(["free"])["free"], nobody_publishes) == ""
