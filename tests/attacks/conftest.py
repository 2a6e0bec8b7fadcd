"""The attacks that were asked for, run two at a time on one PostgreSQL; what came of each waits for its test."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.bootorder.database import Target
from scripts.bootorder.errors import MachineError
from tests.conftest import unavailable
from tests.contract.guarded import Guarded, guarded
from tests.postgres import own_database, throwaway
from tests.stack import ROOT

from .attacks import TOOLS, Layout, Outcome, run_statements, run_tool
from .toolbox import Toolbox
from .world import Who, Worlds

_AT_ONCE = 2
# The layout, empty without the guard, and who attacks.
Way = tuple[Layout, Who]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write docs/guard-attacks.md from what happened")


class Attacks:
    """Runs what is asked for, once; what is announced beforehand runs meanwhile."""

    def __init__(self, worlds: Worlds, toolbox: Toolbox, pool: ThreadPoolExecutor) -> None:
        self._worlds = worlds
        self._toolbox = toolbox
        self._pool = pool
        self._tools: dict[tuple[str, Way], Future[Outcome]] = {}
        self._statements: dict[Way, Future[dict[str, Outcome]]] = {}

    def announce(self, attack: str, way: Way) -> None:
        found = next((tool for tool in TOOLS if tool.name == attack), None)
        if found and (attack, way) not in self._tools:
            self._tools[attack, way] = self._pool.submit(run_tool, found, self._worlds, self._toolbox, *way)
        elif not found and way not in self._statements:
            self._statements[way] = self._pool.submit(run_statements, self._worlds, *way)

    def outcome(self, attack: str, way: Way) -> Outcome:
        self.announce(attack, way)
        if (attack, way) in self._tools:
            return self._tools[attack, way].result()
        return self._statements[way].result()[attack]


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_caller() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("COMPOSE_", "PG", "POSTGRES_"))]:
            patch.delenv(name)
        for name in ("DATABASE_URL", "SSO_DB_PASSWORD", "API_DB_PASSWORD", "PASSWORD"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    made = Toolbox(ROOT / ".nox" / "attack-tools")
    try:
        made.prepare()
    except MachineError as error:
        unavailable(str(error))
    return made


@pytest.fixture(scope="session")
def server() -> Iterator[Target]:
    try:
        with throwaway("boot") as target:
            yield target
    except MachineError as error:
        unavailable(str(error))


@pytest.fixture(scope="session")
def attacks(request: pytest.FixtureRequest, toolbox: Toolbox, server: Target) -> Iterator[Attacks]:
    """All that the selected tests ask for are under way."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        made = Attacks(Worlds(server, Path(folder)), toolbox, pool)
        for item in request.session.items:
            wanted = getattr(item, "callspec", None)
            if wanted and {"attack", "way"} <= set(wanted.params):
                made.announce(wanted.params["attack"], wanted.params["way"])
        try:
            yield made
        finally:
            pool.shutdown(cancel_futures=True)


@pytest.fixture
def stack(tmp_path: Path, server: Target) -> Iterator[Guarded]:
    """Two owners in a database of their own; nothing was guarded yet."""
    with own_database(server, f"test_{secrets.token_hex(4)}") as database:
        made = guarded(tmp_path, database)
        yield made
        made.drop()
