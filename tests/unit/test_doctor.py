from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from scripts.bootorder import ports
from scripts.bootorder.boot import Boot
from scripts.bootorder.doctor import Finding, examine
from scripts.bootorder.errors import MachineError, SettingsError
from scripts.bootorder.runtimes.compose import ComposeRuntime
from scripts.bootorder.runtimes.engine import Engine

from .fakes import FakeDocker, FakeStack, prints


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room enough, every port free, no tool installed."""
    room = SimpleNamespace(free=90 * 1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setattr(ports, "holder", lambda port, publisher: "")


def findings(boot: Boot) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(boot)}


def compose_boot(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch, connect: Callable[[type[Engine]], Engine] | None = None
) -> Boot:
    """The same stack on Docker Compose, with an engine that answers or does not."""
    docker = FakeDocker()
    monkeypatch.setattr(Engine, "connect", classmethod(connect or (lambda cls: cls(docker.client))))
    services = {name: {"environment": given} for name, given in stack.runtime.environments.items()}
    config = {"name": "taskflow", "services": services}
    services["postgres"] = {"ports": [{"published": "5432", "target": 5432}]}  # type: ignore[dict-item]
    stack.processes.answer("docker", "compose", "version", with_="2.40.3\n")
    stack.processes.answer("docker", "compose", "--profile", with_=json.dumps(config))
    return replace(stack.boot(), runtime=ComposeRuntime(stack.root, stack.processes))


def test_a_machine_that_has_everything_needs_no_mending(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(compose_boot(stack, monkeypatch))

    assert [name for name, finding in found.items() if not finding.ok] == []
    assert list(found) == ["python", "docker engine", "docker compose", "disk", "secrets", "settings", "port 5432"]
    assert found["docker engine"].seen == "28.5.1"
    assert "2.40.3" in found["docker compose"].seen


def test_what_is_in_order_has_no_mend(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for finding in examine(compose_boot(stack, monkeypatch)):
        assert finding.as_data()["mend"] == "", finding.name


def test_a_python_that_is_too_old_is_to_be_replaced(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))

    python = findings(stack.boot())["python"]

    assert not python.ok
    assert python.mend == "install Python 3.11 or newer"


def test_an_engine_that_does_not_answer_is_found_and_nothing_is_asked_of_it(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(cls: type[Engine]) -> Engine:
        raise MachineError("no Docker Engine answers", seen="connection refused", hint="start Docker")

    found = findings(compose_boot(stack, monkeypatch, unreachable))

    assert not found["docker engine"].ok
    assert found["docker engine"].mend == "start Docker"
    assert "connection refused" in found["docker engine"].seen
    assert found["docker compose"].ok
    assert not any(name.startswith("port") for name in found)


def test_a_missing_compose_is_found(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = compose_boot(stack, monkeypatch)
    for words in (("docker", "compose"), ("docker-compose",)):
        stack.processes.answer(*words, with_=FileNotFoundError("docker"))

    found = findings(boot)

    assert not found["docker compose"].ok
    assert found["docker compose"].mend.startswith("install")
    assert found["disk"].ok


def test_a_compose_file_that_is_refused_is_found(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = compose_boot(stack, monkeypatch)
    stack.processes.answer("docker", "compose", "--profile", with_=prints("services must be a mapping", code=15))

    found = findings(boot)

    assert not found["settings"].ok
    assert "services must be a mapping" in found["settings"].seen
    assert "stack" not in found, "it would say the same"


def test_whatever_a_runtime_needs_is_a_finding(stack: FakeStack) -> None:
    assert findings(stack.boot())["tool"] == Finding("tool", True, "a tool of version 1")

    stack.runtime.lacks["tool"] = MachineError("there is no tool", hint="install the tool")
    assert findings(stack.boot())["tool"] == Finding("tool", False, "there is no tool", "install the tool")

    stack.runtime.lacks["tool"] = SettingsError("it is too old", seen="0.9", hint="install a newer one")
    assert findings(stack.boot())["tool"] == Finding("tool", False, "it is too old: 0.9", "install a newer one")


def test_settings_that_a_start_would_refuse_are_found_without_an_end(stack: FakeStack) -> None:
    assert findings(stack.boot())["settings"] == Finding("settings", True, "in order")

    stack.runtime.wrong = SettingsError("api and web both want port 8000", hint="give web another one")
    found = findings(stack.boot())
    assert found["settings"] == Finding("settings", False, "api and web both want port 8000", "give web another one")
    assert "port 5432" not in found

    stack.runtime.wrong = None
    stack.config["database"]["beside"] = ["pgadmn"]
    assert "did you mean `pgadmin`?" in findings(stack.boot())["settings"].seen


def test_a_password_that_is_lost_while_its_data_are_there_is_found(stack: FakeStack) -> None:
    (stack.root / ".env").unlink()
    stack.runtime.holds_data = True

    secrets = findings(stack.boot())["secrets"]

    assert not secrets.ok
    assert "there is no .env" in secrets.seen
    assert secrets.mend == "put .env back, or give the rows up: inv start --clean"


def test_an_engine_that_cannot_be_asked_for_data_is_no_end(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(service: str) -> bool:
        raise MachineError("no Docker Engine answers", hint="start Docker")

    (stack.root / ".env").unlink()
    monkeypatch.setattr(stack.runtime, "has_data", refuse)

    assert findings(stack.boot())["secrets"].ok


def test_the_ports_of_a_runtime_that_lacks_something_are_not_looked_at(stack: FakeStack) -> None:
    assert "port 5432" in findings(stack.boot())

    stack.runtime.lacks["tool"] = MachineError("there is no tool", hint="install the tool")

    assert "port 5432" not in findings(stack.boot())


@pytest.mark.parametrize(("free", "ok"), [(1.0, False), (2.9, False), (3.0, True), (90.0, True)])
def test_a_disk_with_less_than_3_gib_is_found(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch, free: float, ok: bool
) -> None:
    room = SimpleNamespace(free=free * 1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)

    disk = findings(stack.boot())["disk"]

    assert disk.ok is ok
    assert disk.seen == f"{free:.1f} GiB free"
    assert disk.mend == ("" if ok else "make room: at least 3 GiB")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_secrets_that_others_can_read_are_found(stack: FakeStack, mode: int, ok: bool) -> None:
    (stack.root / ".env").chmod(mode)

    secrets = findings(stack.boot())["secrets"]

    assert secrets.ok is ok
    assert (secrets.mend == "") is ok


def test_secrets_that_are_not_made_yet_are_no_fault(stack: FakeStack) -> None:
    (stack.root / ".env").unlink()

    assert findings(stack.boot())["secrets"].ok


def test_tools_of_this_machine_are_looked_for_only_where_the_settings_run_them_here(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pnpm" not in findings(stack.boot())

    stack.config["owners"]["sso"] |= {"run": "host", "directory": "sso-platform"}
    missing = findings(stack.boot())["pnpm"]
    assert not missing.ok
    assert missing.mend.startswith("install pnpm")

    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    assert findings(stack.boot())["pnpm"].ok


def test_a_port_is_free_held_by_the_stack_itself_or_by_somebody_who_is_named(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in (("sso", 3001), ("api", 8000)):
        stack.runtime.becomes(name, "absent", port=port)
    monkeypatch.setattr(ports, "is_free", lambda port: port == 3001)
    monkeypatch.setattr(ports, "holder", lambda port, publisher: "python (pid 7)")

    found = findings(stack.boot())

    assert found["port 5432"].ok
    assert "postgres of this stack" in found["port 5432"].seen
    assert found["port 3001"].ok
    assert not found["port 8000"].ok
    assert found["port 8000"].seen == "wanted by api, held by python (pid 7)"


def test_how_a_port_is_freed_is_said_as_a_start_says_it(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.runtime.becomes("api", "absent", port=8000)
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    monkeypatch.setattr(ports, "holder", lambda port, publisher: "")
    stack.runtime.taken = MachineError("port 8000 for api is taken", hint="stop it, or set API_PORT in .env")

    port = findings(stack.boot())["port 8000"]

    assert port.seen == "wanted by api, held by a program that the system does not name"
    assert port.mend == "stop it, or set API_PORT in .env"


def test_the_port_of_what_nobody_asked_for_is_no_finding(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """No start would want it."""
    stack.runtime.optional_ones = ["pgadmin"]
    stack.runtime.becomes("pgadmin", "absent", port=5050)
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    monkeypatch.setattr(ports, "holder", lambda port, publisher: "nc (pid 7)")

    assert "port 5050" not in findings(stack.boot())
    assert not findings(stack.boot(asked_for=["pgadmin"]))["port 5050"].ok


def test_an_unreadable_setting_of_the_runtime_is_a_finding_and_no_end(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise SettingsError("Compose refuses compose.yaml", seen="line 3", hint="correct it")

    monkeypatch.setattr(stack.runtime, "services", refuse)

    assert not findings(stack.boot())["stack"].ok


def test_a_line_of_env_that_is_none_is_found(stack: FakeStack) -> None:
    (stack.root / ".env").write_text("POSTGRES_PASSWORD=x\nA BAD LINE\n", encoding="utf-8")

    assert findings(stack.boot())["settings"].seen == ".env, line 2, is not understood"
