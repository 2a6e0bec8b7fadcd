"""A stack of its own for a test: a copy of this checkout, a random project name, free ports, its own volumes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil
import psycopg

from scripts.bootorder.proving.files import copy_files

ROOT = Path(__file__).resolve().parent.parent
MAIN = "scripts/bootorder/__main__.py"  # what `./inv` runs
PORTS = ("POSTGRES_PORT", "PGADMIN_PORT", "SSO_PORT", "API_PORT", "WEB_PORT")

# What pip and npm need to reach an index at all; on an ordinary machine none of it is set.
NETWORK = ("PIP_CERT", "PIP_INDEX_URL", "PIP_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")

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


# compose.yaml makes roles with the server; databases of their own the guard makes.
_CAN_BE_ASKED = "select 1 from pg_roles, pg_database where rolname = %s and datname = %s"


@dataclass
class Stack(ABC):
    """One checkout with its stack; leave the block and nothing of it is left. One subclass for each runtime."""

    folder: Path
    layout: str = "shared"
    project: str = field(default_factory=lambda: f"bootorder-test-{secrets.token_hex(4)}")
    ports: Mapping[str, int] = field(default_factory=lambda: free_ports(PORTS))

    runtime: ClassVar[str]
    beside: ClassVar[Sequence[str]]  # what db-up starts with the database

    def __enter__(self) -> Self:
        copy_files(ROOT, self.folder)
        self.declare("  layout: shared", f"  layout: {self.layout}")
        return self

    def __exit__(self, *_: object) -> None:
        cleaned = self.inv("clean")
        left = self.remains()
        assert cleaned.code == 0, cleaned.err
        assert left == [], left

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        ports = {name: str(port) for name, port in self.ports.items()}
        return {**kept, **ports, "COMPOSE_PROJECT_NAME": self.project, "PYTHONDONTWRITEBYTECODE": "1"}

    @abstractmethod
    def started(self) -> list[str]:
        """The services that were started since the stack was clean, also those that ended."""

    @abstractmethod
    def instances(self) -> dict[str, str]:
        """What tells one start of a running service from the next, one-offs too. Asked of the system."""

    @abstractmethod
    def exit_codes(self) -> dict[str, int]:
        """Of the services that ended."""

    @abstractmethod
    def one_offs(self) -> list[str]:
        """Those that run or were left."""

    @abstractmethod
    def listening(self) -> dict[int, set[str]]:
        """The ports on which this stack can be reached, each with the addresses it is bound to."""

    @abstractmethod
    def remains(self) -> list[str]:
        """Names of whatever was made for it, and `clean` is to remove."""

    @abstractmethod
    def empty(self) -> None:
        """Stopped, and without a database; what was installed and built stays, which `clean` would remove."""

    @abstractmethod
    def running_instead(self, app: str, *argv: str) -> AbstractContextManager[None]:
        """The app declared with another command, for as long as the block lasts."""

    @abstractmethod
    def not_building(self) -> AbstractContextManager[None]:
        """An app whose build asks for `not-there.txt`, for as long as the block lasts."""

    def running(self) -> list[str]:
        """The services that run now."""
        return sorted(self.instances())

    def inv(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        """What a person types, run by this Python's environment."""
        argv = [sys.executable, str(self.folder / MAIN), *arguments]
        return run(argv, cwd or self.folder, {**self.environment, **(env or {})})

    def secret(self, name: str) -> str:
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)[name]

    def url(self, service: str, path: str = "") -> str:
        return f"http://localhost:{self.ports[f'{service.upper()}_PORT']}{path}"

    def schema(self, owner: str) -> str:
        """Where the layout has its tables; drizzle-kit 0.31 knows `public` only."""
        return owner if (self.layout, owner) == ("schemas", "api") else "public"

    def database(self, owner: str) -> str:
        return f"taskflow_{owner}" if owner and self.layout == "databases" else "taskflow"

    def connect(
        self, owner: str = "", *, database: str = "", autocommit: bool = True
    ) -> psycopg.Connection[tuple[Any, ...]]:
        """As an owner where its tables are, or as the admin, over TCP; or to another database."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.ports["POSTGRES_PORT"],
            dbname=database or self.database(owner),
            user=owner or "taskflow",
            password=self.secret(f"{owner.upper()}_DB_PASSWORD" if owner else "POSTGRES_PASSWORD"),
            autocommit=autocommit,
        )

    def query(self, statement: str, *values: object, owner: str = "") -> list[tuple[Any, ...]]:
        """Rows, asked as `connect` says."""
        with self.connect(owner) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> dict[str, int]:
        """Every table of the owners, of whom there are none before the guard, with its exact row count."""
        return {name: count for name, (count, _) in self.fingerprint().items()}

    def fingerprint(self) -> dict[str, tuple[int, str]]:
        """Every table of the owners with its row count and a digest of all its rows."""
        digest = "select count(*), md5(string_agg(t::text, chr(10) order by t::text))"
        found = {}
        for owner in ("api", "sso"):
            if not self.query(_CAN_BE_ASKED, owner, self.database(owner)):
                continue
            for (name,) in self.query("select tablename from pg_tables where tableowner = current_user", owner=owner):
                found[name] = self.query(f'{digest} from "{name}" t', owner=owner)[0]
        return found

    def declare(self, old: str, new: str) -> None:
        """Say something else in invoke.yaml, for good."""
        path = self.folder / "invoke.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text, f"invoke.yaml has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

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


class ComposeStack(Stack):
    """On a Docker Engine."""

    runtime = "compose"
    beside = ("pgadmin",)

    def docker_compose(self, *arguments: str) -> Ran:
        return run(["docker", "compose", *arguments], self.folder, self.environment)

    def _containers(self) -> list[dict[str, Any]]:
        """Every one of the project, one-offs and stopped ones too."""
        found = listed("container", self.project, "{{.ID}}")
        return json.loads(run(["docker", "inspect", *found]).out) if found else []

    def started(self) -> list[str]:
        return sorted(service_of(container) for container in self._containers())

    def instances(self) -> dict[str, str]:
        running = (container for container in self._containers() if container["State"]["Running"])
        return {service_of(container): f"{container['Id']} {container['State']['StartedAt']}" for container in running}

    def exit_codes(self) -> dict[str, int]:
        ended = (container for container in self._containers() if not container["State"]["Running"])
        return {service_of(container): container["State"]["ExitCode"] for container in ended}

    def one_offs(self) -> list[str]:
        labels = (container["Config"]["Labels"] for container in self._containers())
        return [label["com.docker.compose.service"] for label in labels if label[_ONE_OFF] == "True"]

    def listening(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for container in self._containers():
            for bindings in (container["NetworkSettings"]["Ports"] or {}).values():
                for binding in bindings or []:
                    found.setdefault(int(binding["HostPort"]), set()).add(binding["HostIp"])
        return found

    def remains(self) -> list[str]:
        return [
            *(service_of(container) for container in self._containers()),
            *listed("volume", self.project, "{{.Name}}"),
            *listed("image", self.project, "{{.Repository}}"),
        ]

    def empty(self) -> None:
        removed = self.docker_compose("down", "--volumes", "--timeout", "2")
        assert removed.code == 0, removed.err

    def running_instead(self, app: str, *argv: str) -> AbstractContextManager[None]:
        return self.added("compose.override.yaml", json.dumps({"services": {app: {"command": argv}}}))

    def not_building(self) -> AbstractContextManager[None]:
        return self.edited("web/Dockerfile", "RUN npm", "COPY not-there.txt .\nRUN npm")


_ONE_OFF = "com.docker.compose.oneoff"


def service_of(container: Mapping[str, Any]) -> str:
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def listed(kind: str, project: str, shown: str) -> list[str]:
    """Containers, volumes or images that carry the project's label."""
    every = ["--all"] if kind == "container" else []
    label = f"label=com.docker.compose.project={project}"
    done = run(["docker", kind, "ls", *every, "--filter", label, "--format", shown])
    assert done.code == 0, done.err
    return sorted(done.out.split())


class EmbeddedStack(Stack):
    """On a machine with no Docker and no Node, with an empty HOME."""

    runtime = "embedded"
    beside = ()

    def __enter__(self) -> Self:
        super().__enter__()
        self._home.mkdir(exist_ok=True)  # a second checkout beside it is the same person's
        self._programs.mkdir(exist_ok=True)
        for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
            for program in folder.iterdir() if folder.is_dir() else ():
                if not re.match(r"docker|node|np[mx]$|pnpm|corepack|yarn|postgres$|pyenv|python", program.name):
                    with suppress(FileExistsError):  # the first one on PATH is the one
                        (self._programs / program.name).symlink_to(program)
        for key, value in other_postgres().items():
            self.declare("    port: ${POSTGRES_PORT", f"    {key}: {value}\n    port: ${{POSTGRES_PORT")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            super().__exit__()
        finally:
            postgres = self.folder / ".bootorder" / "postgres"
            if postgres.is_symlink():  # for root, whose folders the database's account may not enter
                shutil.rmtree(postgres.resolve(), ignore_errors=True)
            shutil.rmtree(self.folder)  # hundreds of megabytes of packages

    @property
    def data(self) -> Path:
        """The database's files."""
        return self.folder / ".bootorder" / "postgres" / "data"

    def empty(self) -> None:
        stopped = self.inv("stop")
        assert stopped.code == 0, stopped.err
        if self.data.exists():
            shutil.rmtree(self.data)

    @property
    def _home(self) -> Path:
        return self.folder.parent / "home"

    @property
    def _programs(self) -> Path:
        return self.folder.parent / "programs"

    @property
    def environment(self) -> dict[str, str]:
        network = {name: os.environ[name] for name in NETWORK if name in os.environ}
        postgres = [str(Path(shutil.which("postgres") or "").parent)] if other_postgres() else []
        machine = {"HOME": str(self._home), "PATH": os.pathsep.join([*postgres, str(self._programs)])}
        return {**super().environment, **network, **machine, "DOCKER_HOST": "unix:///no/engine.sock"}

    def _found(self) -> list[tuple[psutil.Process, str, str]]:
        """(process, kind, service) of all that carry this folder's label or work below it, however they came there."""
        homes = (self.folder.resolve(), self.data.resolve())  # the second one is elsewhere for root
        stack = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                label = re.search(rf"\b{stack}/(service|one-off)/([^/]+)/", " ".join(process.cmdline()))
                given = re.search(
                    rf"^{stack}/(service|one-off)/([^/]+)/", process.environ().get("BOOTORDER_PROCESS", "")
                )
                if label:
                    found.append((process, "supervisor", label[2]))
                elif given:
                    found.append((process, given[1], given[2]))
                elif any(Path(process.cwd()).is_relative_to(home) for home in homes):
                    found.append((process, "", process.name()))
        return found

    def _records(self) -> dict[str, Any]:
        files = (self.folder / ".bootorder" / "processes").glob("*.json")
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}

    def started(self) -> list[str]:
        return sorted(self._records())

    def instances(self) -> dict[str, str]:
        return {service: str(process.pid) for process, kind, service in self._found() if kind == "supervisor"}

    def exit_codes(self) -> dict[str, int]:
        return {name: record["code"] for name, record in self._records().items() if record["code"] is not None}

    def one_offs(self) -> list[str]:
        return [service for _, kind, service in self._found() if kind == "one-off"]

    def listening(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for process, _, _ in self._found():
            family = [process]
            with suppress(psutil.NoSuchProcess):  # the database's workers come and go
                family += process.children(recursive=True)
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    for connection in one.net_connections(kind="tcp"):
                        if connection.status == psutil.CONN_LISTEN:
                            found.setdefault(connection.laddr.port, set()).add(connection.laddr.ip)
        return found

    def remaining_processes(self) -> list[str]:
        return [service for _, _, service in self._found()]

    def kill_all(self) -> None:
        """Everything at once, as when the machine loses power."""
        for process, _, _ in self._found():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_supervisors(self) -> None:
        for process, kind, _ in self._found():
            if kind == "supervisor":
                process.kill()

    def signal(self, service: str, number: int) -> None:
        """Send it to the service's own process, and return when it is gone."""
        supervisor = next(process for process, kind, name in self._found() if (kind, name) == ("supervisor", service))
        process = supervisor.children()[0]
        process.send_signal(number)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)

    def remains(self) -> list[str]:
        state = self.folder / ".bootorder"
        made = ("processes/*", "logs/*", "built/*", "data/*", "postgres/data*")
        return [
            *self.remaining_processes(),
            *(str(path) for pattern in made for path in state.glob(pattern)),
        ]

    def running_instead(self, app: str, *argv: str) -> AbstractContextManager[None]:
        return self._declared(app, "run", json.dumps(argv))

    def not_building(self) -> AbstractContextManager[None]:
        return self._declared("sso", "build", "cat not-there.txt")

    def _declared(self, app: str, key: str, value: str) -> AbstractContextManager[None]:
        text = (self.folder / "invoke.yaml").read_text(encoding="utf-8")
        found = re.search(rf"(?m)^    {app}:\n(?:      .*\n)*?(      {key}: .*\n)", text)
        assert found, f"{app} has no `{key}`"
        passage = found[0]
        return self.edited("invoke.yaml", passage, passage.replace(found[1], f"      {key}: {value}\n"))


STACKS: Mapping[str, type[Stack]] = {stack.runtime: stack for stack in (ComposeStack, EmbeddedStack)}


def run(argv: Sequence[str], cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Ran:
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def other_postgres() -> dict[str, str | int]:
    """What `database` of invoke.yaml needs for the PostgreSQL on PATH, if TEST_MAJOR asks for that of this version."""
    major = os.environ.get("TEST_MAJOR", "")
    return {"binaries": "path", "major": int(major)} if major else {}


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as open_sockets:
        ports = {}
        for name in names:
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
        return ports
