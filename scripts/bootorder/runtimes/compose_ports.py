"""Whether what listens on a published port is the engine's proxy for a container, or another program."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import psutil

from ..ports import Listener
from .base import Address

_ANYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104  # as the engine and the system spell it
# What listens on this machine for an engine, or for the virtual machine that it runs in: Docker, rootless Docker,
# Docker Desktop, Podman, WSL, Lima and Colima, OrbStack, Rancher Desktop. Beginnings of names, in small letters.
_FORWARDERS = (
    *("docker", "com.docker", "rootlesskit", "rootlessport", "slirp4netns", "pasta", "vpnkit"),
    *("podman", "gvproxy", "conmon", "wslrelay", "limactl", "colima", "orbstack", "rancher", "host-switch"),
    *(() if sys.platform == "linux" else ("ssh",)),  # by which Lima forwards the ports of its machine
)


def is_published_at(container: Mapping[str, Any], address: Address) -> bool:
    """Whether the engine publishes it on this very address, where nothing else can listen then."""
    is_of_host = container.get("HostConfig", {}).get("NetworkMode") == "host"
    return not is_of_host and address.host in _bound(container, address.port)


def is_answered_by(container: Mapping[str, Any], address: Address, listener: Listener) -> bool:
    """Whether this listener at the address answers for this container, as far as the system tells."""
    if container.get("HostConfig", {}).get("NetworkMode") == "host":
        return _is_in(container["State"].get("Pid", 0), listener)
    bound = _bound(container, address.port)
    if not bound:
        return False  # it publishes nothing there
    if listener.pid is None:  # of another user, as the proxy is of an engine that runs as root
        return listener.host in bound or (listener.host in _ANYWHERE and not bound.isdisjoint(_ANYWHERE))
    try:
        process = psutil.Process(listener.pid)
        name, argv = process.name().lower(), process.cmdline()
    except psutil.Error:
        return True  # it has ended, or hides what it is
    return name.startswith(_FORWARDERS) and _is_for(argv, container)


def _bound(container: Mapping[str, Any], port: int) -> set[str]:
    """Return the addresses of this machine on which the engine says that it publishes this port for it."""
    published = (container["NetworkSettings"]["Ports"] or {}).values()
    bindings = [binding for each in published for binding in each or ()]
    return {binding["HostIp"] for binding in bindings if binding["HostPort"] == str(port)}


def _is_for(argv: Sequence[str], container: Mapping[str, Any]) -> bool:
    """Whether a proxy passes on to this container; others than docker-proxy do not say to which."""
    target = next((after for word, after in pairwise(argv) if word == "-container-ip"), "")
    networks = (container["NetworkSettings"].get("Networks") or {}).values()
    its = {network.get(key) for network in networks for key in ("IPAddress", "GlobalIPv6Address")}
    return not target or target in its


def _is_in(first: int, listener: Listener) -> bool:
    """Whether the listener is the container's first process or below it; where that is not shown, it may be."""
    if listener.pid is None or not psutil.pid_exists(first):
        return True
    try:
        above = [process.pid for process in psutil.Process(listener.pid).parents()]
    except psutil.Error:
        return True
    return first in {listener.pid, *above}
