from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.choosing import Choice, Runtimes, remember
from scripts.bootorder.console import Console
from scripts.bootorder.errors import MachineError, SettingsError
from scripts.bootorder.runtimes.compose import COMPOSE_FILES
from scripts.bootorder.runtimes.embedded.table import ProcessTable, Seen
from scripts.bootorder.runtimes.engine import Engine
from scripts.bootorder.settings import parse

from .fakes import CONFIG, FakeDocker, FakeProcesses


class Machine:
    """A checkout, an engine that answers or does not, and processes that run or do not."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.settings: dict[str, Any] = {"processes": {"api": {"run": "python"}, "web": {"run": "node"}}}
        self.docker = FakeDocker()
        self.trouble: MachineError | None = None
        self.patience: list[float] = []
        self.local: set[str] = set()
        self.compose: str | FileNotFoundError = "2.40.0"
        self.talk = io.StringIO()
        (root / "compose.yaml").touch()
        monkeypatch.setattr(Engine, "connect", self._connect)
        monkeypatch.setattr(
            ProcessTable,
            "look",
            lambda table, names: {name: Seen("running" if name in self.local else "exited") for name in names},
        )

    def last(self, name: str) -> None:
        """It was started with this one before."""
        (self.root / ".bootorder").mkdir(exist_ok=True)
        (self.root / ".bootorder" / "runtime.json").write_text(f'"{name}"', encoding="utf-8")

    def _connect(self, seconds: float = 5) -> Engine:
        self.patience.append(seconds)
        if self.trouble:
            raise self.trouble
        return Engine(self.docker.client)

    @property
    def runtimes(self) -> Runtimes:
        settings = parse({"bootorder": {**CONFIG, **self.settings}})
        processes = FakeProcesses()
        processes.answer("docker", "compose", "version", with_=self.compose)
        processes.answer("docker-compose", with_=FileNotFoundError())
        return Runtimes(self.root, self.root / ".bootorder", settings, processes, Console(self.talk), "shared")

    def choose(self, wanted: str = "") -> Choice:
        return self.runtimes.choose(wanted)

    def elsewhere(self, name: str) -> MachineError | None:
        runtimes = self.runtimes
        return runtimes.elsewhere(runtimes.choose(name).runtime)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def without_engine(machine: Machine) -> Machine:
    machine.trouble = MachineError("no Docker Engine answers", seen="connection refused", hint="start Docker")
    return machine


# -- which one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compose", "embedded"])
def test_the_flag_decides_and_nothing_is_asked_or_said(machine: Machine, name: str) -> None:
    machine.settings["runtime"] = "auto"

    choice = machine.choose(name)

    assert (choice.runtime.name, choice.why) == (name, "")
    assert machine.patience == []


@pytest.mark.parametrize("name", ["compose", "embedded"])
def test_without_a_flag_the_setting_decides(machine: Machine, name: str) -> None:
    machine.settings["runtime"] = name

    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == (name, "")


def test_the_flag_wins_over_the_setting(machine: Machine) -> None:
    machine.settings["runtime"] = "compose"

    assert machine.choose("embedded").runtime.name == "embedded"
    assert machine.choose("auto").why


@pytest.mark.parametrize(
    ("processes", "hint"),
    [({"api": {}}, "start Docker, or boot without Docker: inv start --runtime embedded"), ({}, "start Docker")],
)
def test_without_an_engine_compose_names_the_other_runtime_where_the_stack_can_have_it(
    without_engine: Machine, processes: dict[str, Any], hint: str
) -> None:
    without_engine.settings["processes"] = processes

    with pytest.raises(MachineError, match="no Docker Engine answers") as caught:
        without_engine.choose("compose").runtime.needs()["docker engine"]()

    assert caught.value.hint == hint


def test_an_unknown_runtime_is_refused_with_the_nearest(machine: Machine) -> None:
    with pytest.raises(SettingsError, match="unknown runtime `embeded`; did you mean `embedded`"):
        machine.choose("embeded")


def test_compose_is_chosen_where_an_engine_answers(machine: Machine) -> None:
    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == ("compose", "a Docker Engine answers")


def test_the_engine_that_answered_is_the_one_that_is_used(machine: Machine) -> None:
    runtimes = machine.runtimes
    chosen = runtimes.choose("").runtime

    assert chosen.needs()["docker engine"]() == "28.5.1"
    assert len(machine.patience) == 1


def test_an_engine_that_does_not_answer_is_not_waited_for(machine: Machine) -> None:
    machine.choose()

    assert machine.patience == [1]


def test_without_an_engine_the_services_are_processes_and_why_is_said(without_engine: Machine) -> None:
    choice = without_engine.choose()

    assert (choice.runtime.name, choice.why) == ("embedded", "no Docker Engine answers")


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_any_file_that_compose_would_find_is_one(machine: Machine, name: str) -> None:
    (machine.root / "compose.yaml").rename(machine.root / name)

    assert machine.choose().runtime.name == "compose"


def test_without_a_compose_file_no_engine_is_asked(machine: Machine) -> None:
    (machine.root / "compose.yaml").unlink()

    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == ("embedded", "there is no compose.yaml")
    assert machine.patience == []


def test_a_stack_that_says_nothing_of_processes_stays_with_compose_whose_absence_is_told_then(
    without_engine: Machine,
) -> None:
    without_engine.settings = {}

    choice = without_engine.choose()

    assert (choice.runtime.name, choice.why) == ("compose", "invoke.yaml has no `processes`")
    with pytest.raises(MachineError, match="no Docker Engine answers"):
        choice.runtime.needs()["docker engine"]()


# -- which one runs it -------------------------------------------------------------------------------------------------


def test_the_runtime_that_runs_the_stack_is_the_one_that_is_meant(machine: Machine) -> None:
    machine.local = {"api"}
    machine.last("compose")

    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == ("embedded", "it runs this stack")
    assert machine.patience == [], "no engine is asked"
    assert machine.elsewhere("") is None


def test_containers_that_run_are_it_too(machine: Machine) -> None:
    machine.docker.container("api", folder=machine.root)
    machine.last("embedded")

    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == ("compose", "it runs this stack")


@pytest.mark.parametrize("name", ["compose", "embedded"])
def test_where_nothing_runs_it_is_the_last_one(machine: Machine, name: str) -> None:
    machine.last(name)

    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == (name, "as the last time")


def test_the_last_one_is_meant_also_where_its_engine_is_gone(without_engine: Machine) -> None:
    """The other one would boot a second, empty database."""
    without_engine.last("compose")

    choice = without_engine.choose()

    assert choice.runtime.name == "compose"
    with pytest.raises(MachineError, match="no Docker Engine answers") as caught:
        choice.runtime.needs()["docker engine"]()
    assert "--runtime embedded" in caught.value.hint


@pytest.mark.parametrize("name", ["compose", "embedded"])
def test_a_named_runtime_is_taken_whatever_runs(machine: Machine, name: str) -> None:
    machine.local = {"api"}
    machine.last("embedded")

    assert machine.choose(name).runtime.name == name


def test_where_the_last_one_is_not_known_data_say_which_it_was(machine: Machine) -> None:
    (machine.root / ".bootorder" / "postgres" / "data").mkdir(parents=True)
    (machine.root / ".bootorder" / "postgres" / "data" / "PG_VERSION").write_text("18", encoding="utf-8")

    choice = machine.choose()

    assert (choice.runtime.name, choice.why) == ("embedded", "its data are there")


@pytest.mark.parametrize("content", ["", '"podman"', "[]", '{"a": 1'])
def test_a_spoilt_note_of_the_last_one_is_set_aside(machine: Machine, content: str) -> None:
    machine.last("compose")
    (machine.root / ".bootorder" / "runtime.json").write_text(content, encoding="utf-8")

    assert machine.choose().why == "a Docker Engine answers"
    assert "runtime.json was cut short" in machine.talk.getvalue()


@pytest.mark.parametrize("compose", [FileNotFoundError(), "2.2.3", "1.29.2"])
def test_an_engine_without_a_compose_that_is_new_enough_is_not_taken(
    machine: Machine, compose: str | FileNotFoundError
) -> None:
    """Debian's docker.io brings none."""
    machine.compose = compose

    choice = machine.choose()

    assert choice.runtime.name == "embedded"
    assert "Docker Compose is" in choice.why


def test_what_was_started_is_remembered_once(machine: Machine) -> None:
    machine.last("embedded")
    compose = machine.choose("compose").runtime

    remember(machine.root / ".bootorder", compose)
    remember(machine.root / ".bootorder", compose)

    assert machine.choose().runtime.name == "compose"


def test_choosing_touches_nothing(without_engine: Machine) -> None:
    without_engine.choose()

    assert [path.name for path in without_engine.root.iterdir()] == ["compose.yaml"]


# -- the other one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compose", "embedded"])
def test_where_nothing_runs_nothing_is_in_the_way(machine: Machine, name: str) -> None:
    assert machine.elsewhere(name) is None


def test_containers_of_this_stack_are_in_the_way_of_its_processes(machine: Machine) -> None:
    for service in ("web", "api"):
        machine.docker.container(service, folder=machine.root)
    machine.docker.container("sso", folder=machine.root, state="exited")
    machine.docker.container("postgres", folder=machine.root / "another")

    error = machine.elsewhere("embedded")

    assert error
    assert error.exit_code == 3
    assert error.message == "this stack already runs with the compose runtime"
    assert error.seen == "api, web running"
    assert error.hint == "stop it first: inv stop --runtime compose, or look at it: inv status --runtime compose"


def test_processes_of_this_stack_are_in_the_way_of_its_containers(machine: Machine) -> None:
    machine.local = {"web", "api"}

    error = machine.elsewhere("compose")

    assert error
    assert error.message == "this stack already runs with the embedded runtime"
    assert error.seen == "api, web running"
    assert error.hint == "stop it first: inv stop --runtime embedded, or look at it: inv status --runtime embedded"


@pytest.mark.parametrize("name", ["compose", "embedded"])
def test_what_runs_with_the_chosen_runtime_itself_is_in_nobody_s_way(machine: Machine, name: str) -> None:
    if name == "compose":
        machine.docker.container("api", folder=machine.root)
    else:
        machine.local = {"api"}

    assert machine.elsewhere(name) is None


def test_where_no_engine_answers_no_container_is_in_the_way(without_engine: Machine) -> None:
    assert without_engine.elsewhere("embedded") is None


def test_a_service_connects_as_one_owner_only(machine: Machine) -> None:
    owners = {name: {**owner, "connects": ["web"]} for name, owner in CONFIG["owners"].items()}
    machine.settings |= {"compose": ["compose.yaml"], "owners": owners}

    with pytest.raises(SettingsError, match="web is to connect as two owners"):
        machine.choose("compose")
