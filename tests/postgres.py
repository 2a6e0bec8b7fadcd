"""A PostgreSQL for one test run: from its wheel, so that no Docker is needed; gone afterwards."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.bootorder.database import Target
from scripts.bootorder.probes import SystemClock, wait_for
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded.runtime import EmbeddedRuntime
from scripts.bootorder.settings import parse
from tests.stack import free_ports

_LIMIT = 60  # seconds


@contextlib.contextmanager
def throwaway(user: str = "postgres", password: str = "", name: str = "postgres") -> Iterator[Target]:
    """A server that answers. Its password is random where none is given."""
    port = free_ports(["database"])["database"]
    target = Target("127.0.0.1", port, name, user, password or secrets.token_hex(16))
    database = {"service": "database", "name": name, "user": user, "password": "PASSWORD", "port": port}
    with tempfile.TemporaryDirectory(prefix="bootorder-postgres-") as folder:
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
            yield target
        finally:
            runtime.remove()


def _nobody_listens(_line: str) -> None:
    """What is installed and started is of no interest to the tests."""
