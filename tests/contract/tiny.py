"""A stack small enough to start in two seconds, described once and made for each runtime by a factory of its own."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psutil

from scripts.bootorder.database import Target
from scripts.bootorder.probes import Look, NotYet, Ready, SystemClock, wait_for
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.base import Runtime, Service
from scripts.bootorder.runtimes.compose import ComposeRuntime
from tests.stack import ROOT, free_ports

# A path as people have them: a space, and a letter that is not ASCII.
FOLDER = "tiny stäck"
PYTHON_IMAGE = "python:3.13-slim-bookworm"
POSTGRES_IMAGE = "postgres:18"
LIMIT = 30.0  # seconds, for anything that should take one or two


@dataclass(frozen=True)
class Part:
    """One service, said so that every runtime can be given it. Without a program it is PostgreSQL."""

    program: str = ""
    check: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)  # where it listens -> where this machine reaches it
    needs: Sequence[str] = ()
    one_off: bool = False
    built: bool = False  # of sources in a folder of its own


_SERVE = """\
import http.server

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass

print("serving | hello", flush=True)
http.server.ThreadingHTTPServer(("", 8000), Hello).serve_forever()
"""
_FETCH = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000', timeout=2)"
_DIE = "for number in range(1, 31): print('line', number)\nraise SystemExit(3)"
_WAIT = "import signal; signal.pause()"

DATABASE = Target("127.0.0.1", 0, "tiny", "tiny", "a$b c")


def tiny_parts() -> dict[str, Part]:
    """Description of the tiny stack, on ports that are free now."""
    port = free_ports(["database", "app", "debug"])
    return {
        "database": Part(ports={5432: port["database"]}),
        "app": Part(
            program=_SERVE,
            check=_FETCH,
            # The first one is what the app is reached at, whatever the order of the numbers.
            ports={8000: port["app"], 1234: port["debug"]},
            needs=["database", "dying"],
            built=True,
        ),
        "dying": Part(program=_DIE),
        "unhealthy": Part(program=_WAIT, check="raise SystemExit(1)", needs=["database"]),
        "tool": Part(
            program="print('the tool')",
            environment={"PRICE": "5 $ or $$", "REPLACED": "by the service", "DATABASE_ADDRESS": "database:5432"},
            needs=["database"],
            one_off=True,
        ),
    }


class TinyStack(ABC):
    """A tiny stack that a runtime can be asked about. Leave the block and nothing of it is left."""

    # Under which name `RUNTIMES` has it.
    kind: str

    def __init__(self, folder: Path, project: str = "", parts: Mapping[str, Part] | None = None) -> None:
        self.folder = folder
        self.project = project or f"bootorder-tiny-{secrets.token_hex(4)}"
        self.parts = dict(parts or tiny_parts())
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write()
        self.runtime = self.open(self.folder)

    @staticmethod
    @abstractmethod
    def open(folder: Path) -> Runtime:
        """The runtime under test, as another process would open it too."""

    @abstractmethod
    def write(self) -> None:
        """The files that describe the stack to its runtime."""

    @abstractmethod
    def alive(self) -> list[str]:
        """What of it runs now, one-offs too, without asking the runtime under test."""

    @abstractmethod
    def remains(self) -> list[str]:
        """Names of whatever was made for it: what ran or runs, its data, what was built."""

    @abstractmethod
    def wipe(self) -> None:
        """Remove every trace, without the runtime under test."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def change(self, name: str, **changes: Any) -> None:
        """Describe one service differently, and look at the stack anew."""
        self.parts[name] = replace(self.parts[name], **changes)
        self.write()
        self.runtime = self.open(self.folder)

    def start(self, *names: str) -> None:
        self.runtime.build(names, ignore)
        self.runtime.start(names, ignore)

    def service(self, name: str) -> Service:
        return self.runtime.services()[name]

    def once(self, name: str, until: Callable[[Service], bool]) -> Service:
        """The service, once it is as asked for."""

        def look() -> Look:
            found.append(self.service(name))
            return Ready("") if until(found[-1]) else NotYet(str(found[-1]))

        found: list[Service] = []
        wait_for(look, what=name, limit=LIMIT, clock=SystemClock(), hint="look at it")
        return found[-1]

    def database(self) -> Target:
        """The stack's PostgreSQL, once it answers."""
        address = self.service("database").address
        assert address is not None
        target = replace(DATABASE, host=address.host, port=address.port)
        wait_for(target.look, what="database", limit=LIMIT, clock=SystemClock(), hint="look at its log")
        return target

    @contextlib.contextmanager
    def running_once(self, program: str) -> Iterator[subprocess.Popen[str]]:
        """Another process of ours that runs this program in a one-off; entered when the one-off says `ready`."""
        child = subprocess.Popen(
            [sys.executable, "-c", _RUN_ONCE, self.kind, str(self.folder), program],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with child:
            try:
                said = []
                for line in child.stdout or ():
                    said.append(line)
                    if line == "ready\n":
                        break
                else:
                    raise AssertionError("".join(said))
                yield child
            finally:
                child.kill()

    def workers(self) -> list[str]:
        """Command lines of the processes that work in the stack's folder."""
        return [
            " ".join(process.info["cmdline"] or [process.info["name"]])
            for process in psutil.process_iter(["cwd", "cmdline", "name"])
            if process.info["cwd"] == str(self.folder)
        ]


_RUN_ONCE = """
import sys
from pathlib import Path
from tests.contract.tiny import RUNTIMES

kind, folder, program = sys.argv[1:]
RUNTIMES[kind].open(Path(folder)).run_once(
    "tool", ["python", "-u", "-c", program], {}, lambda line: print(line, flush=True)
)
"""


class ComposeTiny(TinyStack):
    """The tiny stack as a compose file (JSON is YAML too), on Docker."""

    kind = "compose"

    @staticmethod
    def open(folder: Path) -> Runtime:
        return ComposeRuntime(folder, SystemProcesses())

    def write(self) -> None:
        for name, part in self.parts.items():
            if part.built:
                sources = self.folder / name
                sources.mkdir(exist_ok=True)
                (sources / "Dockerfile").write_text(
                    f'FROM {PYTHON_IMAGE}\nCOPY serve.py /\nCMD ["python", "/serve.py"]\n', encoding="utf-8"
                )
                (sources / "serve.py").write_text(part.program, encoding="utf-8")
        config = {
            "name": self.project,
            "services": {name: self._service(name, part) for name, part in self.parts.items()},
            "volumes": {"data": {}},
        }
        (self.folder / "compose.yaml").write_text(json.dumps(config), encoding="utf-8")

    def _service(self, name: str, part: Part) -> dict[str, Any]:
        service: dict[str, Any] = {
            "init": True,
            "environment": _literal(part.environment),
            "ports": [f"127.0.0.1:{outside}:{inside}" for inside, outside in part.ports.items()],
            "depends_on": list(part.needs),
        }
        if part.built:
            service["build"] = {"context": name, "labels": {_LABEL: self.project}}
        elif part.program:
            service |= {"image": PYTHON_IMAGE, "command": _literal(["python", "-u", "-c", part.program])}
        else:
            service |= _POSTGRES
        if part.check:
            test = ["CMD", "python", "-c", part.check]
            service["healthcheck"] = {"test": _literal(test), "interval": "300ms", "timeout": "3s", "retries": 2}
        if part.one_off:
            service["profiles"] = ["setup"]
        return service

    def alive(self) -> list[str]:
        return docker("ps", "--filter", self._mine, "--format", "{{.Names}}")

    def remains(self) -> list[str]:
        listed = (
            ["ps", "--all", "--filter", self._mine, "--format", "{{.Names}}"],
            ["volume", "ls", "--filter", self._mine, "--format", "{{.Name}}"],
            ["images", "--filter", self._built, "--format", "{{.Repository}}"],
        )
        with ThreadPoolExecutor() as pool:
            return sorted(name for names in pool.map(lambda arguments: docker(*arguments), listed) for name in names)

    def wipe(self) -> None:
        kinds: Sequence[tuple[str, list[str], list[str]]] = (
            ("container", ["--all", "--filter", self._mine], ["--force", "--volumes"]),
            ("volume", ["--filter", self._mine], ["--force"]),
            ("network", ["--filter", self._mine], []),
            ("image", ["--filter", self._built], ["--force"]),
        )
        with ThreadPoolExecutor() as pool:
            listed = list(pool.map(lambda kind: docker(kind[0], "ls", "--quiet", *kind[1]), kinds))
            for (kind, _, flags), found in zip(kinds, listed, strict=True):
                removals = [(kind, "rm", *flags, one) for one in dict.fromkeys(found)]
                list(pool.map(lambda arguments: docker(*arguments), removals))

    @property
    def _mine(self) -> str:
        return f"label={PROJECT_LABEL}={self.project}"

    @property
    def _built(self) -> str:
        return f"label={_LABEL}={self.project}"


PROJECT_LABEL = "com.docker.compose.project"
_LABEL = "bootorder.tiny"  # images carry no project: this tells whose they are
_POSTGRES: Mapping[str, Any] = {
    "image": POSTGRES_IMAGE,
    "command": ["postgres", "-c", "fsync=off"],
    "environment": {
        "POSTGRES_USER": DATABASE.user,
        "POSTGRES_PASSWORD": DATABASE.password.replace("$", "$$"),
        "POSTGRES_DB": DATABASE.name,
    },
    "volumes": ["data:/var/lib/postgresql"],
}

RUNTIMES: Mapping[str, type[TinyStack]] = {"compose": ComposeTiny}


def docker(*arguments: str) -> list[str]:
    """What one docker command prints, line by line."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.splitlines()


def ignore(_line: str) -> None:
    """Nobody listens."""


def python(program: str) -> list[str]:
    """A one-off's command."""
    return ["python", "-u", "-c", textwrap.dedent(program)]


def _literal(value: Any) -> Any:
    """A value that Compose is not to interpolate."""
    return json.loads(json.dumps(value).replace("$", "$$"))
