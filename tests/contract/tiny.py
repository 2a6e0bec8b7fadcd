"""A stack small enough to start in two seconds, described once and made for each runtime by a factory of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import secrets
import shutil
import subprocess
import sys
import textwrap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote, unquote

import psutil

from scripts.bootorder.database import Target
from scripts.bootorder.probes import Look, NotYet, Ready, SystemClock, wait_for
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.base import Runtime, Service
from scripts.bootorder.runtimes.compose import ComposeRuntime
from scripts.bootorder.runtimes.embedded.runtime import EmbeddedRuntime
from scripts.bootorder.settings import parse
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
import os

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass

print("serving | hello", flush=True)
address = os.environ.get("HOST", ""), int(os.environ.get("PORT", "8000"))
http.server.ThreadingHTTPServer(address, Hello).serve_forever()
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
            environment={"PRICE": "5 $ or $$", "REPLACED": "by the service", "DATABASE_ADDRESS": "{database}"},
            needs=["database"],
            one_off=True,
        ),
    }


class TinyStack(ABC):
    """A tiny stack that a runtime can be asked about. Leave the block and nothing of it is left."""

    # Under which name `RUNTIMES` has it, and the fixture without which it cannot be.
    kind: str
    needs: str
    # What the checks of its services come to; empty where nothing checks.
    health: ClassVar[Mapping[str, str]]
    # How many things of each kind an app, a database and a one-off leave.
    makes: ClassVar[Mapping[str, int]]
    # Whether logs are followed by a process of their own.
    follows_with_a_process: bool

    asked = DATABASE

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
    def break_build(self, name: str, words: str) -> None:
        """Let the next build of this service fail with these words."""

    @property
    @abstractmethod
    def database_inside(self) -> str:
        """Where the services of the stack reach its database."""

    @abstractmethod
    def alive(self) -> list[str]:
        """What of it runs now, one-offs too, without asking the runtime under test."""

    @abstractmethod
    def workers(self) -> list[str]:
        """Command lines of what works on the stack now and is none of its services."""

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
        target = replace(self.asked, host=address.host, port=address.port)
        wait_for(target.look, what="database", limit=LIMIT, clock=SystemClock(), hint="look at its log")
        return target

    def answer(self, name: str) -> bytes:
        """What the service says over HTTP, once it does."""
        address = self.service(name).address
        assert address is not None

        def look() -> Look:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
            try:
                connection.request("GET", "/")
                said.append(connection.getresponse().read())
            except OSError as error:
                return NotYet(str(error))
            finally:
                connection.close()
            return Ready("")

        said: list[bytes] = []
        wait_for(look, what=name, limit=LIMIT, clock=SystemClock(), hint="look at its log")
        return said[-1]

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

    def _environment(self, part: Part) -> dict[str, str]:
        return {name: value.replace("{database}", self.database_inside) for name, value in part.environment.items()}


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
    needs = "engine"
    health: ClassVar = {"app": "healthy", "unhealthy": "unhealthy", "database": ""}
    makes: ClassVar = {"container": 3, "volume": 1, "image": 1}
    follows_with_a_process = True
    database_inside = "database:5432"

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
            "environment": _literal(self._environment(part)),
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

    def break_build(self, name: str, words: str) -> None:
        with (self.folder / name / "Dockerfile").open("a", encoding="utf-8") as recipe:
            recipe.write(f"COPY {words} /\n")

    def alive(self) -> list[str]:
        return docker("ps", "--filter", self._mine, "--format", "{{.Names}}")

    def workers(self) -> list[str]:
        return [
            " ".join(process.info["cmdline"] or [process.info["name"]])
            for process in psutil.process_iter(["cwd", "cmdline", "name"])
            if process.info["cwd"] == str(self.folder)
        ]

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


class EmbeddedTiny(TinyStack):
    """The tiny stack as settings, in a file that other processes read too."""

    kind = "embedded"
    needs = "postgres_programs"
    health: ClassVar = {"app": "", "unhealthy": "", "database": ""}
    makes: ClassVar = {"process": 3, "data folder": 1, "build": 1}
    follows_with_a_process = False

    # Installed once for all stacks.
    programs: ClassVar[Path]

    @staticmethod
    def open(folder: Path) -> EmbeddedRuntime:
        config = json.loads((folder / "tiny.json").read_text(encoding="utf-8"))
        return EmbeddedRuntime(folder, folder / ".bootorder", parse(config), SystemProcesses(), ignore)

    def write(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        programs = self.home / self.programs.name
        if not programs.exists():
            programs.symlink_to(self.programs)
        # In single quotes nothing but these two means anything.
        password = self.asked.password.replace("\\", "\\\\").replace("'", "\\'")
        (self.folder / ".env").write_text(f"TINY_PASSWORD='{password}'\n", encoding="utf-8")
        config = {
            "database": {
                "service": "database",
                "name": self.asked.name,
                "user": self.asked.user,
                "password": "TINY_PASSWORD",
                "port": self._port,
            },
            "processes": {name: self._process(name, part) for name, part in self.parts.items() if part.program},
        }
        (self.folder / "tiny.json").write_text(json.dumps({"bootorder": config}), encoding="utf-8")

    def _process(self, name: str, part: Part) -> dict[str, Any]:
        sources = self.folder / quote(name, safe="")
        sources.mkdir(exist_ok=True)
        process: dict[str, Any] = {
            "directory": sources.name,
            "run": [] if part.one_off else ["python", "-u", "-c", part.program],
            "env": _literal(self._environment(part)),
            "optional": part.one_off,
        }
        if part.built:
            (sources / "make.py").write_text(_MAKE, encoding="utf-8")
            (sources / "serve.py").write_text(part.program, encoding="utf-8")
            process |= {"build": "python make.py", "run": "python -u build/serve.py"}
        if part.ports:
            process["port"] = next(iter(part.ports.values()))
        return process

    @property
    def _port(self) -> int:
        return self.parts["database"].ports[5432] if "database" in self.parts else 5432

    @property
    def database_inside(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def state(self) -> Path:
        """Where the runtime keeps what it keeps."""
        return self.folder / ".bootorder"

    @property
    def home(self) -> Path:
        """Of PostgreSQL: its programs and its data."""
        return self.state / "postgres"

    def break_build(self, name: str, words: str) -> None:
        (self.folder / name / "make.py").write_text(f"raise SystemExit('error: {words}')\n", encoding="utf-8")

    def alive(self) -> list[str]:
        return sorted({label for _, label in self.processes()})

    def workers(self) -> list[str]:
        return [" ".join(process.cmdline()) for process, label in self.processes() if "/service/" not in label]

    def processes(self) -> list[tuple[psutil.Process, str]]:
        """Every process of the stack with its label, else with one that says where it works."""
        stack = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        # PostgreSQL writes over its environment.
        homes = {self.home.resolve(): f"{stack}/service/database", self.folder.resolve(): f"{stack}/nobody/nothing"}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                words = [*process.cmdline(), process.environ().get("BOOTORDER_PROCESS", "")]
                labels = [word for word in words if word.startswith(f"{stack}/")]
                labels += [label for home, label in homes.items() if Path(process.cwd()).is_relative_to(home)]
                found += [(process, label) for label in labels[:1]]
        return found

    def remains(self) -> list[str]:
        ran = {unquote(label.split("/")[2]) for label in self.alive()}
        ran |= {unquote(path.name.partition(".")[0]) for path in self._kept("processes/*", "logs/*")}
        built = {path.stem for path in self._kept("built/*")}
        data = [path for path in self._kept("postgres/data*", "data/*") if any(path.iterdir())]
        return sorted([*ran, *built, *map(str, data)])

    def _kept(self, *patterns: str) -> list[Path]:
        return [path for pattern in patterns for path in self.state.glob(pattern)]

    def wipe(self) -> None:
        while found := self.processes():
            for process, _ in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.01)
        for folder in (self.home.resolve(), self.folder):
            shutil.rmtree(folder, ignore_errors=True)


_MAKE = """\
import pathlib, shutil

pathlib.Path("build").mkdir(exist_ok=True)
shutil.copy("serve.py", "build")
"""

RUNTIMES: Mapping[str, type[TinyStack]] = {"compose": ComposeTiny, "embedded": EmbeddedTiny}


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
