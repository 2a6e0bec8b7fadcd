"""A stack of its own for a test: a copy of this checkout, a random project name, free ports, its own volumes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

ROOT = Path(__file__).resolve().parent.parent
PORTS = ("POSTGRES_PORT", "PGADMIN_PORT", "SSO_PORT", "API_PORT", "WEB_PORT")

# What of the caller's environment a person on a fresh machine has too.
_KEPT = ("PATH", "TERM", "LANG", "HOME", "CI", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Ran:
    """A finished command: its exit code, data (stdout) and talk (stderr)."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Stack:
    """One checkout with its stack; leave the block and nothing of it is left."""

    folder: Path
    project: str = field(default_factory=lambda: f"bootorder-test-{secrets.token_hex(4)}")
    ports: Mapping[str, int] = field(default_factory=lambda: free_ports(PORTS))

    def __enter__(self) -> Self:
        copy_checkout(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        cleaned = self.inv("clean")
        left = containers(self.project)
        assert cleaned.code == 0, cleaned.err
        assert left == [], left

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        ports = {name: str(port) for name, port in self.ports.items()}
        return {**kept, **ports, "COMPOSE_PROJECT_NAME": self.project, "PYTHONDONTWRITEBYTECODE": "1"}

    def inv(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        """What a person types, run by this Python's environment."""
        done = subprocess.run(
            [sys.executable, str(self.folder / "tasks.py"), *arguments],
            cwd=cwd or self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def docker_compose(self, *arguments: str) -> Ran:
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def secret(self, name: str) -> str:
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)[name]

    def url(self, service: str, path: str = "") -> str:
        return f"http://localhost:{self.ports[f'{service.upper()}_PORT']}{path}"

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows, asked as the admin over TCP."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.ports["POSTGRES_PORT"],
            dbname="taskflow",
            user="taskflow",
            password=self.secret("POSTGRES_PASSWORD"),
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> dict[str, int]:
        """Every table of `public` with its exact row count."""
        names = [name for (name,) in self.query("select tablename from pg_tables where schemaname = 'public'")]
        return {name: self.query(f'select count(*) from "{name}"')[0][0] for name in sorted(names)}  # noqa: S608

    def fingerprint(self) -> dict[str, tuple[int, str]]:
        """Every table of `public` with its row count and a digest of all its rows."""
        digest = "select count(*), md5(string_agg(t::text, chr(10) order by t::text))"
        return {name: self.query(f'{digest} from "{name}" t')[0] for name in self.tables()}

    def running(self) -> list[str]:
        """The services that run now."""
        return sorted(self.docker_compose("ps", "--services", "--status", "running").out.split())

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """A file of the checkout with one passage replaced, for as long as the block lasts."""
        path = self.folder / name
        before = path.read_text(encoding="utf-8")
        assert old in before, f"{name} has no {old!r}"
        path.write_text(before.replace(old, new, 1), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    @contextmanager
    def added(self, name: str, text: str) -> Iterator[None]:
        """A file that is there for as long as the block lasts."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.unlink()


def copy_checkout(folder: Path) -> None:
    """The files git would commit, and nothing that was made here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as open_sockets:
        ports = {}
        for name in names:
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
        return ports


def containers(project: str) -> list[str]:
    """Every container of a project, one-offs and stopped ones too."""
    listed = subprocess.run(
        ["docker", "ps", "--all", "--filter", f"label=com.docker.compose.project={project}", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(listed.stdout.split())
