"""A PostgreSQL for one test run, without Docker: from its wheel, or another major version; gone afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from psycopg import sql

from scripts.bootorder.database import Target
from scripts.bootorder.probes import SystemClock, wait_for
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded.runtime import EmbeddedRuntime
from scripts.bootorder.settings import parse
from tests.stack import free_ports, other_postgres

_LIMIT = 60  # seconds
_ENOUGH_MEMORY = 4 * 2**30  # bytes, for the servers of some tests at once
_LINES = 100_000
_RUNTIMES: dict[str, EmbeddedRuntime] = {}  # by the address of its server


@contextlib.contextmanager
def throwaway(user: str = "postgres", password: str = "", name: str = "postgres") -> Iterator[Target]:
    """A server that answers. Its password is random where none is given."""
    port = free_ports(["database"])["database"]
    target = Target("127.0.0.1", port, name, user, password or secrets.token_hex(16))
    database = {"service": "database", "name": name, "user": user, "password": "PASSWORD", "port": port}
    database |= other_postgres()
    with tempfile.TemporaryDirectory(prefix="bootorder-postgres-", dir=_memory()) as folder:
        root = Path(folder)
        root.chmod(0o755)  # of root's tests PostgreSQL runs as another account
        quoted = target.password.replace("\\", "\\\\").replace("'", "\\'")
        (root / ".env").write_text(f"PASSWORD='{quoted}'\n", encoding="utf-8")
        settings = parse({"bootorder": {"database": database}})
        runtime = EmbeddedRuntime(root, root / ".bootorder", settings, SystemProcesses(), _nobody_listens)
        try:
            runtime.build(["database"], _nobody_listens)
            runtime.start(["database"], _nobody_listens)
            wait_for(target.look, what="postgres", limit=_LIMIT, clock=SystemClock(), hint="look at its log")
            _make_quick(target)
            _RUNTIMES[target.address] = runtime
            yield target
        finally:
            _RUNTIMES.pop(target.address, None)
            runtime.remove()


def server_log(target: Target) -> Sequence[str]:
    """What such a server has written into its log."""
    return [line for _, line in _RUNTIMES[target.address].logs(["database"], tail=_LINES, follow=False)]


@contextlib.contextmanager
def own_database(server: Target, name: str) -> Iterator[Target]:
    """An empty database of this name, gone afterwards."""
    quoted = sql.Identifier(name)
    with server.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(quoted))
    try:
        yield replace(server, name=name)
    finally:
        with server.connect() as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(quoted))


def _memory() -> str | None:
    """Return a folder in memory, where there is enough of it: to make or drop a database is to write 300 files."""
    folder = Path("/dev/shm")  # noqa: S108
    if sys.platform != "linux" or not os.access(folder, os.W_OK):
        return None
    state = os.statvfs(folder)
    free = min(state.f_bavail * state.f_frsize, psutil.virtual_memory().available)
    return None if state.f_flag & os.ST_NOEXEC or free < _ENOUGH_MEMORY else str(folder)


def _make_quick(target: Target) -> None:
    """Its rows need not survive a power cut; and hashing passwords is most of what a connection costs."""
    with target.connect() as connection:
        for setting, value in (("fsync", "off"), ("full_page_writes", "off"), ("scram_iterations", "1")):
            connection.execute(f"alter system set {setting} to {value}".encode())
        connection.execute("set scram_iterations to 1")
        role, password = sql.Identifier(target.user), sql.Literal(target.password)
        connection.execute(sql.SQL("alter role {} password {}").format(role, password))
        connection.execute("select pg_reload_conf()")


def _nobody_listens(_line: str) -> None:
    """What is installed and started is of no interest to the tests."""
