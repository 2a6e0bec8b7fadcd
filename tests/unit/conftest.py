"""Units run without processes, sockets and sleeps, and see nothing of the environment of whoever runs them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil
import psycopg
import pytest

from .fakes import FakeStack, create_all, push

_FOREIGN = ("CI", "NO_COLOR", "TERM", "BOOTORDER_COMMAND", "DATABASE_URL")
_FOREIGN_PREFIXES = ("PG", "DOCKER_", "COMPOSE_", "POSTGRES_", "INVOKE_")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-detected", action="store_true", help="write the answers of the repositories anew")


def _refused(what: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        pytest.fail(f"a unit test must not {what}: pass a fake in", pytrace=True)

    return refuse


@pytest.fixture(autouse=True)
def _no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes, connections and sleeps fail the test that needs them."""
    monkeypatch.setattr(subprocess, "Popen", _refused("start a process"))
    for name in ("fork", "kill", "killpg"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, _refused(f"{name} a process"))
    for name in ("send_signal", "terminate", "kill"):
        monkeypatch.setattr(psutil.Process, name, _refused(f"{name} a process"))
    monkeypatch.setattr(time, "sleep", _refused("sleep"))
    monkeypatch.setattr(psycopg, "connect", _refused("connect to a database"))
    for name in ("connect", "connect_ex", "bind", "listen"):
        monkeypatch.setattr(socket.socket, name, _refused(f"{name} a socket"))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith(_FOREIGN_PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _signals_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tasks take SIGTERM, SIGHUP and Python's hooks over; the test run gets them back."""
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    """A stack of two owners and three apps, in memory; nothing of it runs yet."""
    stack = FakeStack(tmp_path)
    stack.server.install(monkeypatch)
    return stack


@pytest.fixture
def running(stack: FakeStack) -> FakeStack:
    """Migrated, and every app runs."""
    push(stack.database)
    create_all(stack.database)
    for name in ("pgadmin", "sso", "api", "web"):
        stack.runtime.becomes(name, "running", health="healthy")
    return stack
