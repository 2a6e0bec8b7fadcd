from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from scripts.bootorder.ports import Listener
from scripts.bootorder.runtimes.base import Address
from scripts.bootorder.runtimes.compose_ports import is_answered_by

ADDRESS = Address("127.0.0.1", 8000)
EVERYWHERE = "0.0.0.0"  # noqa: S104  # as the engine spells it
PROXY = ["/usr/bin/docker-proxy", "-host-port", "8000", "-container-ip", "172.18.0.2", "-container-port", "80"]


def container(*hosts: str, network: str = "bridge") -> dict[str, Any]:
    """As the engine describes one that it publishes on these addresses of this machine."""
    return {
        "State": {"Pid": 100},
        "HostConfig": {"NetworkMode": network},
        "NetworkSettings": {
            "Ports": {"80/tcp": [{"HostIp": host, "HostPort": "8000"} for host in hosts], "90/tcp": None},
            "Networks": {"stack_default": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": ""}},
        },
    }


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pid 1 is the engine's proxy, 2 one for another container, 3 somebody's server, 101 in the container."""
    programs: dict[int, list[str]] = {
        1: PROXY,
        2: [word.replace("172.18.0.2", "172.18.0.9") for word in PROXY],
        3: ["node", "server.js"],
        4: ["rootlesskit"],
        101: ["python"],
    }

    def process(pid: int) -> Any:
        if pid not in programs:
            raise psutil.NoSuchProcess(pid)
        return SimpleNamespace(
            pid=pid,
            name=lambda: programs[pid][0].rpartition("/")[2],
            cmdline=lambda: programs[pid],
            parents=lambda: [SimpleNamespace(pid=100)] if pid == 101 else [],
        )

    monkeypatch.setattr(psutil, "Process", process)
    monkeypatch.setattr(psutil, "pid_exists", lambda pid: pid in {100, *programs})


@pytest.mark.parametrize(
    ("hosts", "listener", "answered"),
    [
        ([EVERYWHERE], Listener(EVERYWHERE, 1), True),
        (["127.0.0.1"], Listener("127.0.0.1", 1), True),
        ([EVERYWHERE], Listener(EVERYWHERE, 2), False),  # the proxy of another container
        ([EVERYWHERE], Listener("127.0.0.1", 3), False),  # somebody's server before the published port
        ([EVERYWHERE], Listener(EVERYWHERE, 3), False),
        ([EVERYWHERE], Listener(EVERYWHERE, 4), True),  # rootless Docker
        ([EVERYWHERE], Listener(EVERYWHERE, None), True),  # root's proxy, as an ordinary user sees it
        ([EVERYWHERE, "::"], Listener("::", None), True),
        ([EVERYWHERE], Listener("127.0.0.1", None), False),  # of another user, and before the published port
        (["127.0.0.1"], Listener("127.0.0.1", None), True),
        ([], Listener(EVERYWHERE, 1), False),  # it publishes nothing
        ([], Listener(EVERYWHERE, None), False),
        ([EVERYWHERE], Listener(EVERYWHERE, 9), True),  # ended meanwhile: the next look tells
    ],
)
def test_what_listens_is_the_engine_s_proxy_for_the_container(
    hosts: list[str], listener: Listener, answered: bool
) -> None:
    assert is_answered_by(container(*hosts), ADDRESS, listener) is answered


@pytest.mark.parametrize(("pid", "answered"), [(101, True), (100, True), (3, False), (1, False), (None, True)])
def test_with_the_host_s_network_it_is_a_process_of_the_container(pid: int | None, answered: bool) -> None:
    assert is_answered_by(container(network="host"), ADDRESS, Listener(EVERYWHERE, pid)) is answered


def test_a_container_of_a_machine_elsewhere_has_no_process_here_to_compare_with() -> None:
    elsewhere = container(network="host")
    elsewhere["State"]["Pid"] = 4242

    assert is_answered_by(elsewhere, ADDRESS, Listener(EVERYWHERE, 3))
