"""A compose file with Docker secrets, on a real engine: the server, the tasks and a tool read the same passwords."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.bootorder.boot import Boot
from scripts.bootorder.console import Console
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.opening import prepare
from scripts.bootorder.probes import SystemClock, wait_for
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.compose import ComposeRuntime
from scripts.bootorder.settings import parse

from .tiny import LIMIT, POSTGRES_IMAGE, PYTHON_IMAGE, ComposeTiny, Part, ignore, python

pytestmark = pytest.mark.usefixtures("engine")

_SECRETS = ("postgres", "api")
_DATABASE = {
    "image": POSTGRES_IMAGE,
    "environment": {"POSTGRES_USER": "boot", "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres"},
    "secrets": ["postgres"],
    "ports": ["127.0.0.1::5432"],
}
_API = {
    "image": PYTHON_IMAGE,
    "environment": {"DB_USER": "api", "DB_NAME": "boot", "DB_PASSWORD_FILE": "/run/secrets/api"},
    "secrets": ["api"],
    "user": "1234",
}
_SETTINGS = {
    "database": {"service": "database", "name": "boot", "user": "boot", "password": {"file": "secrets/postgres"}},
    "owners": {
        "api": {
            "migrator": "command",
            "service": "api",
            "migrate": "true",
            "password": {"file": "secrets/api"},
            "variables": {"user": "DB_USER", "password_file": "DB_PASSWORD_FILE", "database": "DB_NAME"},
        }
    },
}


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    with ComposeTiny(tmp_path, parts={"database": Part()}) as stack:
        config = {
            "name": stack.project,
            "services": {"database": _DATABASE, "api": _API},
            "secrets": {name: {"file": f"./secrets/{name}"} for name in _SECRETS},
        }
        (tmp_path / "compose.yaml").write_text(json.dumps(config), encoding="utf-8")
        settings = parse({"bootorder": _SETTINGS})
        runtime = ComposeRuntime(tmp_path, SystemProcesses())
        yield Boot(tmp_path, settings, runtime, SystemProcesses(), Console(io.StringIO()), SystemClock())


def test_passwords_in_files_open_the_database_and_reach_the_tool(boot: Boot) -> None:
    prepare(boot)
    boot.runtime.start(["database"], ignore)
    wait_for(lambda: boot.target().look(), what="database", limit=LIMIT, clock=SystemClock(), hint="look at its log")
    guard(boot)
    password = (boot.root / "secrets" / "api").read_text(encoding="utf-8")

    said = boot.owners[0].run(python("import os; print(open(os.environ['DB_PASSWORD_FILE']).read())"))

    assert said.out.strip() == password
    with boot.target().as_role("api", password).connect() as connection:
        assert connection.execute("select current_user::text").fetchone() == ("api",)
    assert boot.lost_password() is None
    (boot.root / "secrets" / "postgres").unlink()
    lost = boot.lost_password()
    assert lost is not None
    assert "there is no file secrets/postgres" in lost.message
