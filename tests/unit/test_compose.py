from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.bootorder import ports
from scripts.bootorder.boot import Boot
from scripts.bootorder.errors import BuildError, MachineError, MigrationError, SettingsError
from scripts.bootorder.processes import Completed, tool_limit
from scripts.bootorder.runtimes import compose
from scripts.bootorder.runtimes.base import Address, Service
from scripts.bootorder.runtimes.compose import ComposeRuntime
from scripts.bootorder.runtimes.compose_cli import OLDEST_COMPOSE, find_compose, parse_version
from scripts.bootorder.runtimes.compose_sources import BuiltFrom
from scripts.bootorder.runtimes.engine import Engine

from .fakes import Call, FakeDocker, FakeProcesses, api_error, prints

SECRET = "s3cret-of-the-stack"

# As `docker compose config --format json` prints it: a dollar sign of a value comes out doubled.
COMPOSE: dict[str, Any] = {
    "name": "taskflow",
    "services": {
        "postgres": {
            "image": "postgres:18",
            "environment": {"POSTGRES_PASSWORD": SECRET, "POSTGRES_HOST_AUTH_METHOD": None},
            "ports": [{"mode": "ingress", "host_ip": "127.0.0.1", "target": 5432, "published": "5432"}],
        },
        "pgadmin": {"image": "dpage/pgadmin4", "ports": [{"target": 80, "published": "5050-5060"}]},
        "sso-setup": {
            "build": {"context": "sso-platform"},
            "environment": {"DATABASE_URL": f"postgresql://taskflow:{SECRET}@postgres:5432/taskflow", "PRICE": "5$$"},
        },
        "api": {
            "build": {"context": "api"},
            "ports": [{"target": 8000, "published": "8000"}, {"target": 9000, "published": "9000"}],
        },
        "web": {"build": {"context": "web"}, "image": "registry.example/web:1", "ports": [{"target": 3000}]},
    },
}


CONFIG = ("docker", "compose", "--profile", "*", "config")


class Stage:
    """A compose runtime over processes and an engine in memory."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.docker = FakeDocker()
        self.processes = FakeProcesses()
        self.processes.answer("docker", "compose", "version", with_="2.40.3\n")
        self.processes.answer(*CONFIG, with_=json.dumps(COMPOSE))
        monkeypatch.setattr(Engine, "connect", classmethod(lambda cls: cls(self.docker.client)))
        monkeypatch.setattr(ports, "is_free", lambda port: True)
        monkeypatch.setattr(psutil, "net_connections", lambda kind: [])
        self.runtime = ComposeRuntime(root, self.processes)
        self.lines: list[str] = []

    def ran(self) -> list[str]:
        """What Compose was told to do, without the questions for its version and configuration."""
        questions = ("docker compose version", " ".join(CONFIG))
        return [line for line in self.processes.lines() if not line.startswith(questions)]

    def container(self, service: str, **more: Any) -> str:
        return self.docker.container(service, **{"folder": self.root, **more})


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_compose_is_given_the_files_that_the_settings_name(stage: Stage) -> None:
    files = ["docker/compose.yaml", "compose.bootorder.yaml"]
    named = [part for name in files for part in ("--file", str(stage.root / name))]
    stage.processes.answer("docker", "compose", *named, with_=json.dumps(COMPOSE))

    assert "api" in ComposeRuntime(stage.root, stage.processes, files=files).declared()


def test_compose_that_refuses_its_files_says_which(stage: Stage) -> None:
    stage.processes.answer("docker", "compose", "--file", with_="no such file", code=15)

    with pytest.raises(SettingsError, match=r"Compose refuses docker/compose.yaml"):
        ComposeRuntime(stage.root, stage.processes, files=["docker/compose.yaml"]).declared()


@pytest.mark.parametrize("plugin", [FileNotFoundError("docker"), prints("2.23.3")], ids=["missing", "too old"])
def test_the_other_command_is_used_where_the_plugin_is_missing_or_too_old(
    stage: Stage, plugin: Completed | BaseException
) -> None:
    """Although one that is too old may well read the files."""
    stage.processes.answer("docker", "compose", "version", with_=plugin)
    stage.processes.answer("docker-compose", "version", with_="2.40.3")
    stage.processes.answer("docker-compose", "--profile", "*", "config", with_=json.dumps(COMPOSE))

    assert "api" in stage.runtime.declared()
    assert stage.processes.lines()[-1].startswith("docker-compose --profile * config")


def test_a_compose_too_old_is_refused_though_it_reads_the_files(stage: Stage) -> None:
    stage.processes.answer("docker", "compose", "version", with_="2.23.3")
    stage.processes.answer("docker-compose", "version", with_=FileNotFoundError("docker-compose"))

    with pytest.raises(MachineError, match="Docker Compose is too old"):
        stage.runtime.declared()


# -- finding Compose ---------------------------------------------------------------------------------------------------


def compose_found(root: Path, *answers: tuple[str, Completed | BaseException]) -> list[str]:
    processes = FakeProcesses()
    for words in ("docker compose version", "docker-compose version"):
        processes.answer(*words.split(), with_=FileNotFoundError(words))
    for command, answer in answers:
        processes.answer(*command.split(), "version", with_=answer)
    return list(find_compose(processes, root))


def test_the_plugin_is_preferred(tmp_path: Path) -> None:
    found = compose_found(tmp_path, ("docker compose", prints("v2.40.3")), ("docker-compose", prints("5.1.0")))

    assert found == ["docker", "compose"]


def test_the_binary_of_its_own_is_used_where_there_is_no_plugin(tmp_path: Path) -> None:
    no_plugin = prints("docker: 'compose' is not a docker command.\nSee 'docker --help'", code=1)

    assert compose_found(tmp_path, ("docker compose", no_plugin), ("docker-compose", prints("5.1.0"))) == [
        "docker-compose"
    ]
    assert compose_found(tmp_path, ("docker-compose", prints("5.1.0"))) == ["docker-compose"]


def test_the_newer_binary_is_used_beside_a_plugin_that_is_too_old(tmp_path: Path) -> None:
    found = compose_found(tmp_path, ("docker compose", prints("2.3.3")), ("docker-compose", prints("2.40.3")))

    assert found == ["docker-compose"]


@pytest.mark.parametrize("version", ["1.29.2", "v2.3.3", "2.23.9-desktop.1"])
def test_a_compose_that_is_too_old_is_refused_with_both_versions(tmp_path: Path, version: str) -> None:
    with pytest.raises(MachineError) as caught:
        compose_found(tmp_path, ("docker compose", prints(version)))

    assert caught.value.exit_code == 3
    assert caught.value.message == "Docker Compose is too old"
    assert version.lstrip("v") in caught.value.seen
    assert ".".join(map(str, OLDEST_COMPOSE)) in caught.value.expected


def test_a_missing_compose_is_refused_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        compose_found(tmp_path)

    assert caught.value.exit_code == 3
    assert caught.value.message == "Docker Compose is missing"
    assert caught.value.hint.startswith("install")


def test_a_docker_without_the_plugin_says_so_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        compose_found(tmp_path, ("docker compose", prints("docker: 'compose' is not a docker command.", code=1)))

    assert caught.value.message == "Docker Compose is missing"
    assert "is not a docker command" in caught.value.seen


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.24.1", (2, 24, 1)),
        ("v2.24.1", (2, 24, 1)),
        ("v2.24.1-desktop.1", (2, 24, 1)),
        ("2.24.1+ds1-0ubuntu1", (2, 24, 1)),
        ("5.0.0-rc.1", (5, 0, 0)),
        ("dev", ()),
        ("", ()),
    ],
)
def test_versions_are_read_as_people_write_them(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@given(st.lists(st.integers(0, 999), min_size=1, max_size=4), st.sampled_from(["", "-rc.1", "+ds1", "-desktop.2"]))
def test_any_version_is_read_whatever_follows_it(numbers: list[int], suffix: str) -> None:
    text = ".".join(map(str, numbers)) + suffix

    assert parse_version(text) == parse_version(f"v{text}") == tuple(numbers)


@given(st.text(max_size=30))
@example("2²")  # a digit that is no number
def test_any_other_words_are_no_reason_to_stumble(text: str) -> None:
    assert all(isinstance(number, int) for number in parse_version(text))


def test_versions_are_compared_by_number(tmp_path: Path) -> None:
    assert parse_version("2.9.0") < OLDEST_COMPOSE <= parse_version("2.100.0")


# -- what is declared --------------------------------------------------------------------------------------------------


def test_the_services_are_those_of_all_profiles_in_the_order_of_the_file(stage: Stage) -> None:
    assert stage.runtime.declared() == ["postgres", "pgadmin", "sso-setup", "api", "web"]
    [call] = [call for call in stage.processes.calls if "config" in call.argv]
    assert call.argv == (*CONFIG, "--format", "json")
    assert call.cwd == stage.root


def test_services_of_a_profile_are_optional(stage: Stage) -> None:
    services = {**COMPOSE["services"], "pgadmin": {**COMPOSE["services"]["pgadmin"], "profiles": ["tools"]}}
    stage.processes.answer(*CONFIG, with_=json.dumps({**COMPOSE, "services": services}))

    assert stage.runtime.optional() == ["pgadmin"]


def test_without_profiles_nothing_is_optional(stage: Stage) -> None:
    assert stage.runtime.optional() == []


def test_what_runs_of_this_folder_is_named_without_asking_compose(stage: Stage) -> None:
    stage.container("api")
    stage.container("sso-setup", one_off=True, state="paused")
    stage.container("web", state="exited")
    stage.container("postgres", folder=stage.root / "another")

    assert sorted(stage.runtime.running()) == ["api", "sso-setup"]
    assert stage.processes.calls == []


def test_what_runs_is_looked_at_and_not_searched_for_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine lists all containers that there are; a start asks often."""
    stage.container("api")
    assert stage.runtime.services(["api"])["api"].running
    lists: list[object] = []
    containers = stage.docker.containers

    def listed(**asked: Any) -> list[dict[str, Any]]:
        lists.append(asked)
        return containers(**asked)

    monkeypatch.setattr(stage.docker, "containers", listed)

    assert stage.runtime.services(["api"])["api"].running
    assert lists == []

    stage.docker.stop(stage.docker.container_names[0])
    assert stage.runtime.services(["api"])["api"].state == "exited"
    assert len(lists) == 1, "there may be another one by now"


def test_a_container_in_place_of_one_that_is_gone_is_found(stage: Stage) -> None:
    stage.container("api")
    before = stage.runtime.services(["api"])["api"]
    stage.docker.remove_container(before.instance.split()[0], force=True)
    stage.container("api", name="taskflow-api-2")

    after = stage.runtime.services(["api"])["api"]

    assert after.running
    assert after.instance != before.instance


def test_where_no_engine_answers_nothing_runs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(cls: type[Engine]) -> Engine:
        raise MachineError("no Docker Engine answers", hint="start Docker")

    monkeypatch.setattr(Engine, "connect", classmethod(unreachable))

    assert stage.runtime.running() == []


def test_compose_is_asked_once_however_often_it_is_needed(stage: Stage) -> None:
    for _ in range(3):
        stage.runtime.declared()
        stage.runtime.services()

    asked = sorted(stage.processes.lines())
    assert asked == [" ".join([*CONFIG, "--format", "json"]), "docker compose version --short"], "each takes 0.1 s"


def test_a_file_that_compose_refuses_is_a_setting_to_correct(stage: Stage) -> None:
    refusal = 'time="2026-11-22" level=warning\nservices.api.ports must be a array\n'
    stage.processes.answer(*CONFIG, with_=prints(refusal, code=15))

    with pytest.raises(SettingsError) as caught:
        stage.runtime.declared()

    assert caught.value.exit_code == 2
    assert caught.value.seen == "services.api.ports must be a array"


def test_the_environment_of_a_service_is_what_its_container_gets(stage: Stage) -> None:
    assert stage.runtime.environment("postgres") == {
        "POSTGRES_PASSWORD": SECRET,
        "POSTGRES_HOST_AUTH_METHOD": "",
    }
    assert stage.runtime.environment("api") == {}


def test_a_dollar_sign_in_a_value_is_one_dollar_sign(stage: Stage) -> None:
    """A password with one would open nothing otherwise."""
    assert stage.runtime.environment("sso-setup")["PRICE"] == "5$"


def test_an_unknown_service_is_refused_with_the_nearest_one(stage: Stage) -> None:
    with pytest.raises(SettingsError, match="unknown service `postgre`; did you mean `postgres`"):
        stage.runtime.environment("postgre")


# -- looking -----------------------------------------------------------------------------------------------------------


def test_a_service_without_a_container_is_absent_and_would_be_reached_where_the_file_says(stage: Stage) -> None:
    services = stage.runtime.services()

    assert services["postgres"] == Service("postgres", "absent", address=Address("127.0.0.1", 5432))
    assert services["api"].address == Address("127.0.0.1", 8000)
    assert services["web"].address is None
    assert services["pgadmin"].address is None


def test_a_running_service_is_reached_where_it_is_published_now(stage: Stage) -> None:
    stage.container("postgres", health="healthy", port=40123)

    service = stage.runtime.services()["postgres"]
    assert (service.state, service.health, service.exit_code) == ("running", "healthy", None)
    assert service.address == Address("127.0.0.1", 40123)


def test_a_service_published_on_every_address_is_reached_on_loopback(stage: Stage) -> None:
    name = stage.container("postgres", port=5432)
    inspected = stage.docker.inspect_container(name)
    inspected["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostIp"] = "0.0.0.0"  # noqa: S104  # as Docker spells it

    assert stage.runtime.services()["postgres"].address == Address("127.0.0.1", 5432)


def test_an_exited_service_has_its_exit_code_and_no_health(stage: Stage) -> None:
    stage.container("api", state="exited", exit_code=3, health="unhealthy")

    service = stage.runtime.services()["api"]
    assert (service.state, service.health, service.exit_code) == ("exited", "", 3)
    assert service.address == Address("127.0.0.1", 8000)


def test_a_container_that_restarts_over_and_over_does_not_count_as_running(stage: Stage) -> None:
    name = stage.container("api", exit_code=1)
    stage.docker.inspect_container(name)["State"]["Restarting"] = True

    assert not stage.runtime.services()["api"].running


def test_a_one_off_beside_a_service_is_not_taken_for_it(stage: Stage) -> None:
    stage.container("api", one_off=True)

    assert stage.runtime.services()["api"].state == "absent"


def test_a_container_that_goes_away_while_it_is_looked_at_is_absent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stage.container("api")
    listed = stage.docker.containers(all=True, filters={})
    monkeypatch.setattr(stage.docker, "containers", lambda **_: listed)
    stage.docker.remove_container(name, force=True)

    assert stage.runtime.services()["api"].state == "absent"


def test_another_project_s_containers_are_not_seen(stage: Stage) -> None:
    stage.container("api", project="decoy")

    assert stage.runtime.services()["api"].state == "absent"


@pytest.mark.parametrize("task", ["services", "build", "stop", "remove", "start", "run_once", "log_tail", "logs"])
def test_a_project_of_the_same_name_in_another_folder_is_refused_and_left_alone(stage: Stage, task: str) -> None:
    other = stage.root.parent / f"{stage.root.name}-other"
    other.mkdir()
    stage.container("postgres", folder=other)
    stage.docker.volume("taskflow_postgres-data")
    tasks: dict[str, Any] = {
        "services": stage.runtime.services,
        "stop": stage.runtime.stop,
        "remove": stage.runtime.remove,
        "start": lambda: stage.runtime.start(["postgres"], print),
        "run_once": lambda: stage.runtime.run_once("sso-setup", ["true"], {}, print),
        "log_tail": lambda: stage.runtime.log_tail("postgres"),
        "logs": lambda: list(stage.runtime.logs([], tail=1, follow=False)),
        "build": lambda: stage.runtime.build(["api"], print),
    }

    with pytest.raises(MachineError) as caught:
        tasks[task]()

    assert caught.value.seen == str(other)
    assert "COMPOSE_PROJECT_NAME" in caught.value.hint
    assert stage.ran() == []
    assert stage.docker.stopped == []
    assert stage.docker.volume_names == ["taskflow_postgres-data"]


@pytest.mark.parametrize(
    ("containers", "current"),
    [
        ([], False),
        ([{"image": "sha256:new"}], True),
        ([{"image": "sha256:old"}], False),
        ([{"image": "sha256:new", "state": "exited"}], False),
        ([{"image": "sha256:new"}, {"image": "sha256:old", "name": "another", "number": 2}], False),
    ],
    ids=["absent", "runs", "an older image", "exited", "one of an older image"],
)
def test_a_service_is_current_while_it_runs_the_image_of_now(
    stage: Stage, containers: list[dict[str, Any]], current: bool
) -> None:
    stage.docker.image_ids["postgres:18"] = "sha256:new"
    for one in containers:
        stage.container("postgres", **one)

    assert stage.runtime.is_current("postgres") is current


def test_images_are_built_beside_what_runs_and_it_is_kept_of_what(stage: Stage) -> None:
    for name in ("api", "sso-platform"):
        (stage.root / name).mkdir()
    config = {**COMPOSE, "services": {"api": {"build": {"context": str(stage.root / "api")}}}}
    stage.processes.answer(*CONFIG, with_=json.dumps(config))
    stage.processes.answer("docker", "compose", "build")
    runtime = ComposeRuntime(stage.root, stage.processes, built_from=BuiltFrom(stage.root / "images.json", print))
    before = runtime.is_touched("api")

    made = runtime.prepare_apart(["api"], print)
    built = runtime.is_touched("api")
    (stage.root / "api" / "app.py").write_text("1", encoding="utf-8")

    assert (before, list(made), built) == (False, ["api"], False)
    assert runtime.is_touched("api")


def test_a_service_with_files_mounted_from_this_machine_has_no_fingerprint(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They change without its image; whoever relied on the image would rehearse yesterday's sources."""
    stage.docker.image_ids = {"taskflow-api": "sha256:a"}
    mounted = {**COMPOSE["services"]["api"], "volumes": [{"type": "bind", "source": "/src", "target": "/app"}]}
    stage.processes.answer(
        *CONFIG,
        with_=json.dumps({**COMPOSE, "services": {**COMPOSE["services"], "api": mounted}}),
    )

    assert stage.runtime.fingerprint("api") == ""
    assert stage.runtime.is_built("api")


@pytest.mark.parametrize("folder", ["gone/since/it/was/renamed", "checkout/docker"])
def test_a_folder_that_is_gone_or_inside_has_no_claim_of_its_own(stage: Stage, folder: str) -> None:
    stage.root.joinpath("docker").mkdir()
    (stage.root / ".env").write_text("COMPOSE_PROJECT_NAME=taskflow\n", encoding="utf-8")
    claimed = stage.root / "docker" if folder == "checkout/docker" else stage.root.parent / folder
    stage.container("postgres", folder=claimed)

    assert stage.runtime.services()["postgres"].running


def test_a_folder_that_is_gone_may_be_on_another_machine(stage: Stage) -> None:
    stage.container("postgres", folder="/home/colleague/taskflow")

    with pytest.raises(MachineError, match="in a folder that is gone"):
        stage.runtime.remove()


def test_the_fingerprint_is_the_image_that_would_run(stage: Stage) -> None:
    stage.docker.image_ids = {
        "postgres:18": "sha256:p",
        "taskflow-api": "sha256:a",
        "registry.example/web:1": "sha256:w",
    }

    assert [stage.runtime.fingerprint(name) for name in ("postgres", "api", "web")] == [
        "sha256:p",
        "sha256:a",
        "sha256:w",
    ]
    assert stage.runtime.fingerprint("sso-setup") == ""


def test_another_image_counts_when_it_was_built_here(stage: Stage) -> None:
    """So that a start means one image from its first look to its last, whoever builds meanwhile."""
    stage.processes.answer("docker", "compose", "build")
    stage.docker.image_ids = {"taskflow-api": "sha256:a"}
    assert stage.runtime.fingerprint("api") == "sha256:a"

    stage.docker.image_ids = {"taskflow-api": "sha256:b"}
    assert stage.runtime.fingerprint("api") == "sha256:a"
    stage.runtime.build(["api"], print)

    assert stage.runtime.fingerprint("api") == "sha256:b"


def test_the_last_log_lines_are_those_of_the_service_and_not_of_its_one_offs(stage: Stage) -> None:
    stage.container("api", one_off=True, log="one-off")
    stage.container("api", log="\n".join(f"line {number}" for number in range(40)))

    tail = stage.runtime.log_tail("api")

    assert tail.source == "api"
    assert list(tail.lines) == [f"line {number}" for number in range(20, 40)]
    assert list(stage.runtime.log_tail("web").lines) == []


@pytest.mark.parametrize(
    ("follow", "flags"),
    [(False, ("logs", "--no-color", "--tail=5")), (True, ("logs", "--no-color", "--tail=5", "--follow"))],
)
def test_log_lines_carry_the_name_of_their_service(stage: Stage, follow: bool, flags: tuple[str, ...]) -> None:
    stage.container("postgres")
    stage.container("sso-setup")
    printed = "postgres-1   | ready | for connections\nsso-setup-1  |   indented\nno bar here\n"
    stage.processes.answer("docker", "compose", "logs", with_=printed)

    lines = list(stage.runtime.logs(["postgres", "sso-setup"], tail=5, follow=follow))

    assert lines == [
        ("postgres", "ready | for connections"),
        ("sso-setup", "  indented"),
        ("", "no bar here"),
    ]
    assert stage.processes.calls[-1].argv == ("docker", "compose", *flags, "postgres", "sso-setup")


def test_log_lines_of_a_container_with_a_name_of_its_own_carry_their_service_too(stage: Stage) -> None:
    stage.container("postgres", name="my-db")
    stage.processes.answer("docker", "compose", "logs", with_="my-db  | ready\nstranger-1  | hello\n")

    assert list(stage.runtime.logs([], tail=1, follow=False)) == [("postgres", "ready"), ("stranger-1", "hello")]


# -- changing ----------------------------------------------------------------------------------------------------------


def test_only_services_that_have_a_build_are_built(stage: Stage) -> None:
    stage.processes.answer("docker", "compose", "build", with_="#1 done\n")

    stage.runtime.build(["postgres", "api", "sso-setup"], stage.lines.append)

    assert stage.ran() == ["docker compose build api sso-setup"]
    assert stage.lines == ["#1 done"]


@pytest.mark.parametrize("names", [[], ["postgres"]])
def test_with_nothing_to_build_compose_is_not_called(stage: Stage, names: list[str]) -> None:
    stage.runtime.build(names, print)

    assert stage.ran() == []


def test_a_build_that_fails_shows_its_last_lines(stage: Stage) -> None:
    output = "\n".join(f"step {number}" for number in range(30)) + "\nfailed to solve: exit code: 1\n"
    stage.processes.answer("docker", "compose", "build", with_=prints(output, code=17))

    with pytest.raises(BuildError) as caught:
        stage.runtime.build(["api"], print)

    assert caught.value.message == "building api failed"
    assert caught.value.hint.startswith("correct what it says")
    assert caught.value.seen == "failed to solve: exit code: 1"
    assert caught.value.log
    assert len(caught.value.log.lines) == 20


def test_services_are_started_without_what_they_depend_on_and_without_building(stage: Stage) -> None:
    stage.processes.answer("docker", "compose", "up")

    stage.runtime.start(["postgres", "pgadmin"], print)

    assert stage.ran() == ["docker compose up --no-deps --no-build --detach postgres pgadmin"]


def test_a_start_tells_which_services_it_started_anew(stage: Stage) -> None:
    for service in ("postgres", "pgadmin", "web"):
        stage.container(service)

    def up(_: Call) -> Completed:
        stage.container("api")
        stage.docker.restart("taskflow-postgres-1")
        return prints("")

    stage.processes.answer("docker", "compose", "up", with_=up)

    assert stage.runtime.start(["postgres", "pgadmin", "api"], print) == ["postgres", "api"]


def test_what_was_created_is_started_without_compose_and_no_one_off_with_it(stage: Stage) -> None:
    stage.container("api", one_off=True, state="exited")

    def up(_: Call) -> Completed:
        stage.container("api", state="created")
        return prints("")

    stage.processes.answer("docker", "compose", "up", with_=up)
    stage.runtime.create(["api"], print)

    stage.runtime.start(["api"], print)

    assert stage.docker.started == ["taskflow-api-1"]
    assert stage.ran() == ["docker compose up --no-deps --no-build --no-start api"]


def test_starting_no_service_is_not_starting_all_of_them(stage: Stage) -> None:
    """`docker compose up` without a name means every service, one-offs included."""
    stage.processes.answer("docker", "compose", "up")

    stage.runtime.start([], print)

    assert stage.ran() == []


def test_a_taken_port_is_refused_before_anything_starts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port != 5432)
    stage.docker.container("db", project="decoy", port=5432)

    with pytest.raises(MachineError, match="port 5432 for postgres is taken by container decoy-db-1") as caught:
        stage.runtime.start(["postgres"], print)

    assert caught.value.hint.endswith("it stands in compose.yaml")
    assert stage.ran() == []


def test_every_port_of_a_service_has_to_be_free(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port != 9000)

    with pytest.raises(MachineError, match="port 9000 for api is taken"):
        stage.runtime.start(["api"], print)

    assert stage.ran() == []


def test_the_port_of_a_service_that_runs_is_its_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    stage.container("postgres", port=5432)
    stage.processes.answer("docker", "compose", "up")

    stage.runtime.start(["postgres"], print)

    assert len(stage.ran()) == 1


def test_a_start_that_fails_shows_what_compose_said(stage: Stage) -> None:
    said = "Container taskflow-postgres-1 Starting\nError response from daemon: no space left on device\n"
    stage.processes.answer("docker", "compose", "up", with_=prints(said, code=1))

    with pytest.raises(MachineError) as caught:
        stage.runtime.start(["postgres"], print)

    assert caught.value.seen == "Error response from daemon: no space left on device"
    assert caught.value.log


def stopping(stage: Stage) -> None:
    def stop(_: Call) -> Completed:
        stage.docker.compose_stops()
        return prints("")

    stage.processes.answer("docker", "compose", "--profile", "*", "stop", with_=stop)


def test_stop_stops_every_service_and_the_one_offs_of_killed_runs(stage: Stage) -> None:
    stage.container("postgres")
    stage.container("web", state="exited")
    one_off = stage.container("sso-setup", one_off=True)
    stopping(stage)

    assert stage.runtime.stop() == ["postgres", "sso-setup"]
    assert one_off in stage.docker.stopped
    assert stage.ran() == ["docker compose --profile * stop"]


def test_stopping_what_does_not_run_does_nothing(stage: Stage) -> None:
    stage.container("postgres", state="exited")

    assert stage.runtime.stop() == []
    assert stage.ran() == []


def test_stop_leaves_other_projects_running(stage: Stage) -> None:
    stage.container("postgres")
    decoy = stage.container("postgres", project="decoy", folder="/decoy")
    stopping(stage)

    stage.runtime.stop()

    assert decoy not in stage.docker.stopped


def test_stop_stops_what_compose_no_longer_names(stage: Stage) -> None:
    forgotten = stage.container("forgotten")
    stage.processes.answer("docker", "compose", "--profile", "*", "stop")

    assert stage.runtime.stop() == ["forgotten"]
    assert stage.docker.stopped == [forgotten]


def test_a_container_that_still_runs_afterwards_is_a_failure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.container("postgres")
    stage.processes.answer("docker", "compose", "--profile", "*", "stop")
    monkeypatch.setattr(stage.docker, "stop", lambda container, timeout: None)

    with pytest.raises(MachineError) as caught:
        stage.runtime.stop()

    assert caught.value.message == "taskflow-postgres-1 could not be stopped"
    assert caught.value.seen == "the engine said that it was stopped, and taskflow-postgres-1 runs"


def test_beside_a_container_that_cannot_be_stopped_everything_else_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, one_off = (stage.container("sso-setup", one_off=True, name=name) for name in ("stuck", "one-off"))
    stage.container("postgres")
    stopping(stage)
    stop = stage.docker.stop

    def refusing(container: str, *, timeout: int = 10) -> None:
        if container == stuck:
            raise api_error("tried to kill container, but did not receive an exit event")
        stop(container, timeout=timeout)

    monkeypatch.setattr(stage.docker, "stop", refusing)

    with pytest.raises(MachineError) as caught:
        stage.runtime.stop()

    assert caught.value.message == "stuck could not be stopped"
    assert "the Docker Engine refused" in caught.value.seen
    assert one_off in stage.docker.stopped
    assert stage.runtime.running() == ["sso-setup"]


def test_what_runs_of_this_folder_under_another_name_is_named(stage: Stage) -> None:
    stage.container("postgres")
    nothing = stage.runtime.runs_apart()
    stage.container("api", project="old one")
    stage.container("web", project="old one")
    stage.container("web", project="older", state="exited")
    stage.container("api", project="decoy", folder="/decoy")

    assert nothing == ""
    assert stage.runtime.runs_apart() == (
        "api and web of this folder run as the Compose project old one:"
        " COMPOSE_PROJECT_NAME='old one' inv stop stops that"
    )


def test_some_services_are_stopped_in_all_replicas(stage: Stage) -> None:
    replicas = [stage.container("api", number=number, name=f"api-{number}") for number in (1, 2)]
    stage.container("api", one_off=True)
    stage.container("web")

    stage.runtime.stop_services(["api"])

    assert sorted(stage.docker.stopped) == replicas


def test_of_what_was_stopped_only_services_of_now_are_remembered(stage: Stage) -> None:
    """One that was renamed since it was started has no settings to look at."""
    stage.container("forgotten")
    stage.container("api", state="exited")
    given: Any = SimpleNamespace(console=None, note=lambda _: None)
    boot = Boot(stage.root, given, stage.runtime, stage.processes, given, given)

    boot.note_stopped(["forgotten", "api"])

    assert list(json.loads((stage.root / ".bootorder" / "stopped.json").read_text())) == ["api"]


def taking_down(stage: Stage) -> None:
    def down(_: Call) -> Completed:
        stage.docker.compose_takes_down()
        return prints("")

    stage.processes.answer("docker", "compose", "--profile", "*", "down", with_=down)


def test_data_are_there_when_a_volume_of_the_service_is(stage: Stage) -> None:
    volumes = [
        {"type": "volume", "source": "data", "target": "/var/lib/postgresql"},
        {"type": "volume", "target": "/anonymous"},
        {"type": "bind", "source": "/src", "target": "/src"},
    ]
    services = {**COMPOSE["services"], "postgres": {**COMPOSE["services"]["postgres"], "volumes": volumes}}
    config = {**COMPOSE, "services": services, "volumes": {"data": {"name": "taskflow_data"}}}
    stage.processes.answer(*CONFIG, with_=json.dumps(config))
    stage.docker.volume("taskflow_pgadmin")
    stage.docker.volume("taskflow_data", project="another")
    assert not stage.runtime.has_data("postgres")

    stage.docker.volume("taskflow_data")

    assert stage.runtime.has_data("postgres")
    assert not stage.runtime.has_data("pgadmin")
    assert not stage.runtime.has_data("nobody")


def test_what_compose_yaml_says_while_data_are_looked_for_is_not_kept(stage: Stage) -> None:
    stage.runtime.has_data("postgres")
    config = json.dumps({**COMPOSE, "name": "by its .env"})
    stage.processes.answer(*CONFIG, with_=config)

    assert stage.runtime.project == "by its .env"


def test_ports_that_another_holds_are_refused_and_those_of_this_stack_are_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port not in {5432, 8000})
    stage.container("postgres", port=5432)
    stage.runtime.check_ports(["postgres"])

    with pytest.raises(MachineError, match="port 8000 for api is taken"):
        stage.runtime.check_ports(["postgres", "api"])

    assert stage.ran() == []


def test_remove_takes_containers_volumes_and_built_images_of_this_project_only(stage: Stage) -> None:
    stage.container("postgres")
    stage.container("sso-setup", one_off=True)
    stage.docker.volume("taskflow_postgres-data")
    stage.docker.image_ids = {
        "taskflow-api": "sha256:a",
        "postgres:18": "sha256:p",
        "registry.example/web:1": "sha256:w",
    }
    decoy = stage.container("postgres", project="decoy", folder="/decoy")
    stage.docker.volume("decoy_data", project="decoy")
    taking_down(stage)

    removed = stage.runtime.remove()

    assert {kind: sorted(names) for kind, names in removed.items()} == {
        "container": ["taskflow-postgres-1", "taskflow-sso-setup-run-1a2b"],
        "volume": ["taskflow_postgres-data"],
        "image": ["taskflow-api"],
    }
    assert stage.docker.container_names == [decoy]
    assert stage.docker.volume_names == ["decoy_data"]
    assert sorted(stage.docker.image_ids) == ["postgres:18", "registry.example/web:1"]
    [line] = stage.ran()
    assert line.startswith("docker compose --profile * down --volumes --remove-orphans")


def test_a_volume_that_the_file_no_longer_names_goes_too(stage: Stage) -> None:
    stage.docker.volume("taskflow_forgotten")
    stage.processes.answer("docker", "compose", "--profile", "*", "down")

    assert stage.runtime.remove()["volume"] == ["taskflow_forgotten"]
    assert stage.docker.volume_names == []


def test_removing_what_is_not_there_finds_nothing(stage: Stage) -> None:
    taking_down(stage)

    assert stage.runtime.remove() == {"container": [], "volume": [], "image": []}


def test_what_could_not_be_removed_is_named(stage: Stage) -> None:
    stage.container("postgres")
    stage.processes.answer("docker", "compose", "--profile", "*", "down", with_=prints("in use", code=1))

    with pytest.raises(MachineError) as caught:
        stage.runtime.remove()

    assert caught.value.seen == "taskflow-postgres-1"


# -- one-offs ----------------------------------------------------------------------------------------------------------


def test_a_one_off_runs_beside_its_service_without_a_terminal_and_without_what_it_depends_on(stage: Stage) -> None:
    stage.processes.answer("docker", "compose", "--progress", "quiet", "run", with_="[✓] Changes applied\n")

    done = stage.runtime.run_once("sso-setup", ["pnpm", "db:push"], {}, stage.lines.append)

    [line] = stage.ran()
    assert re.fullmatch(
        r"docker compose --progress quiet run --rm --no-deps --no-TTY"
        r" --label bootorder.run=[0-9a-f]+ --name taskflow-sso-setup-run-[0-9a-f]+ sso-setup pnpm db:push",
        line,
    )
    assert done.code == 0
    assert stage.lines == ["[✓] Changes applied"]


def test_values_for_a_one_off_travel_in_the_environment_and_only_their_names_on_the_command_line(
    stage: Stage,
) -> None:
    stage.processes.answer("docker", "compose", "--progress", "quiet", "run")
    url = f"postgresql://taskflow:{SECRET}@postgres:5432/scratch"

    stage.runtime.run_once("sso-setup", ["pnpm", "db:push"], {"DATABASE_URL": url}, print)

    call = stage.processes.calls[-1]
    assert " ".join(call.argv).endswith(" --env DATABASE_URL sso-setup pnpm db:push")
    assert call.env == {"DATABASE_URL": url}


def test_a_one_off_that_fails_is_for_its_owner_to_judge(stage: Stage) -> None:
    stage.processes.answer("docker", "compose", "--progress", "quiet", "run", with_=prints("no", code=9))

    assert stage.runtime.run_once("sso-setup", ["false"], {}, print).code == 9


def interrupted(stage: Stage) -> None:
    """Compose ends at Ctrl-C, its container goes on."""

    def run(call: Call) -> Completed:
        stage.container("sso-setup", one_off=True, name=call.argv[call.argv.index("--name") + 1])
        raise KeyboardInterrupt

    stage.processes.answer("docker", "compose", "--progress", "quiet", "run", with_=run)


def test_an_interrupted_one_off_does_not_go_on_in_its_container(stage: Stage) -> None:
    interrupted(stage)

    with pytest.raises(KeyboardInterrupt):
        stage.runtime.run_once("sso-setup", ["pnpm", "db:push"], {}, print)

    assert stage.docker.stopped == stage.docker.container_names != []


def test_ctrl_c_stays_ctrl_c_when_the_engine_cannot_be_asked_any_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise api_error("the engine is going down")

    interrupted(stage)
    monkeypatch.setattr(stage.docker, "stop", broken)

    with pytest.raises(KeyboardInterrupt):
        stage.runtime.run_once("sso-setup", ["pnpm", "db:push"], {}, print)


def test_an_unknown_service_runs_nothing(stage: Stage) -> None:
    with pytest.raises(SettingsError, match="did you mean `sso-setup`"):
        stage.runtime.run_once("sso-stup", ["true"], {}, print)

    assert stage.ran() == []


def test_no_secret_is_ever_on_a_command_line(stage: Stage) -> None:
    for words in (["build"], ["up"], ["--progress", "quiet", "run"], ["logs"]):
        stage.processes.answer("docker", "compose", *words)
    taking_down(stage)
    stopping(stage)
    stage.container("postgres")

    stage.runtime.build(stage.runtime.declared(), print)
    stage.runtime.start(["api"], print)
    stage.runtime.run_once("sso-setup", ["pnpm", "seed"], stage.runtime.environment("sso-setup"), print)
    list(stage.runtime.logs([], tail=1, follow=False))
    stage.runtime.stop()
    stage.runtime.remove()

    assert len(stage.ran()) == 6
    assert not any(SECRET in line for line in stage.processes.lines())


# -- replicas ----------------------------------------------------------------------------------------------------------


def scaled(stage: Stage, service: str, **changes: Any) -> None:
    services = {**COMPOSE["services"], service: {**COMPOSE["services"][service], **changes}}
    stage.processes.answer(*CONFIG, with_=json.dumps({**COMPOSE, "services": services}))


THREE = {"deploy": {"replicas": 3}}


@pytest.mark.parametrize(
    ("config", "wanted"),
    [({}, 1), (THREE, 3), ({"scale": 2}, 2), ({"scale": 2, **THREE}, 2), ({"deploy": {"resources": {}}}, 1)],
)
def test_as_many_are_wanted_as_compose_would_run(stage: Stage, config: dict[str, Any], wanted: int) -> None:
    scaled(stage, "api", **config)

    assert stage.runtime.services()["api"].wanted == wanted


@pytest.mark.parametrize(
    ("states", "state", "up"),
    [
        (["running", "running", "running"], "running", 3),
        (["running", "exited", "exited"], "exited", 1),
        (["running", "running", "created"], "created", 2),
        (["running", "running"], "absent", 2),
        (["exited", "created", "exited"], "exited", 0),
        (["running", "running", "running", "exited"], "running", 3),  # one that was left by a larger scale
        ([], "absent", 0),
    ],
)
def test_a_service_runs_where_all_of_its_replicas_do(stage: Stage, states: list[str], state: str, up: int) -> None:
    scaled(stage, "api", **THREE)
    for number, each in enumerate(states, 1):
        stage.container("api", number=number, state=each, exit_code=3 if each == "exited" else 0)

    service = stage.runtime.services()["api"]

    assert (service.state, service.up) == (state, up)
    assert service.exit_code == (None if state in {"running", "absent"} else 3 if state == "exited" else 0)


def test_a_replica_that_dies_later_is_noticed(stage: Stage) -> None:
    scaled(stage, "api", **THREE)
    names = [stage.container("api", number=number) for number in (1, 2, 3)]
    before = stage.runtime.services(["api"])["api"]

    stage.docker.stop(names[1])

    after = stage.runtime.services(["api"])["api"]
    assert (before.running, after.running, after.counted) == (True, False, "2 of 3 replicas run")
    assert after.instance == before.instance, "none was started anew"


@pytest.mark.parametrize(
    ("checks", "health"),
    [
        (["healthy", "healthy", "healthy"], "healthy"),
        (["healthy", "unhealthy", "starting"], "unhealthy"),
        (["healthy", "starting", "healthy"], "starting"),
        (["", "", ""], ""),
    ],
)
def test_a_service_is_as_healthy_as_its_worst_replica(stage: Stage, checks: list[str], health: str) -> None:
    scaled(stage, "api", **THREE)
    for number, check in enumerate(checks, 1):
        stage.container("api", number=number, health=check)

    assert stage.runtime.services()["api"].health == health


def test_each_replica_is_reached_where_it_is_published(stage: Stage) -> None:
    scaled(stage, "postgres", **THREE)
    for number in (1, 2, 3):
        stage.container("postgres", number=number, port=40000 + number)

    addresses = stage.runtime.services()["postgres"].addresses

    assert [address.port for address in addresses] == [40001, 40002, 40003]


def test_a_service_of_no_replica_is_started_only_when_it_is_asked_for(stage: Stage) -> None:
    scaled(stage, "pgadmin", deploy={"replicas": 0})

    assert stage.runtime.optional() == ["pgadmin"]


def test_the_log_of_a_service_is_that_of_the_replica_that_failed(stage: Stage) -> None:
    for number, state in enumerate(["running", "exited", "running"], 1):
        stage.container("api", number=number, state=state, log=f"replica {number}")

    assert stage.runtime.log_tail("api").lines == ["replica 2"]


def test_all_replicas_that_were_made_are_started(stage: Stage) -> None:
    scaled(stage, "api", **THREE)
    names = [stage.container("api", number=number, state="created") for number in (1, 2, 3)]
    stage.processes.answer("docker", "compose", "up", with_="")
    stage.runtime.create(["api"], print)

    stage.runtime.start(["api"], print)

    assert sorted(stage.docker.started) == names


# -- whose answer it is ------------------------------------------------------------------------------------------------


def test_a_container_that_runs_and_publishes_nothing_is_not_asked_for_on_the_port_of_the_file(stage: Stage) -> None:
    """Another program may listen there."""
    name = stage.container("api")
    assert stage.runtime.services()["api"].address is None

    stage.docker.inspect_container(name)["HostConfig"] = {"NetworkMode": "host"}
    assert stage.runtime.services()["api"].address == Address("127.0.0.1", 8000)


def test_another_program_before_the_published_port_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.container("postgres", port=5432)
    service = stage.runtime.services()["postgres"]
    monkeypatch.setattr(compose, "listeners", lambda host, port: [ports.Listener(host, None)])
    assert stage.runtime.foreign_listener(service) == ""

    inspected = stage.docker.inspect_container(service.instance.split()[0])
    inspected["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostIp"] = "0.0.0.0"  # noqa: S104
    assert stage.runtime.foreign_listener(service) == "a process of another user"

    monkeypatch.setattr(compose, "listeners", lambda host, port: None)
    assert stage.runtime.foreign_listener(service) == "", "the system does not say"


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_each_call_of_compose_has_the_limit_of_its_kind(stage: Stage) -> None:
    for words in ("build", "up", "--profile", "--progress", "logs"):
        stage.processes.answer("docker", "compose", words, with_="")
    stage.processes.answer(*CONFIG, with_=json.dumps(COMPOSE))
    runtime = ComposeRuntime(stage.root, stage.processes, build_wait=77)
    stage.container("api")
    runtime.build(["api"], print)
    runtime.create(["api"], print)
    list(runtime.logs([], tail=1, follow=False))
    list(runtime.logs([], tail=1, follow=True))
    runtime.run_once("sso-setup", ["pnpm", "db:push"], {}, print)
    runtime.run_once("sso-setup", ["pnpm", "db:push"], {}, print, tool_limit(5, "sso"))

    limits = [call.limit for call in stage.processes.calls if "config" not in call.argv and "version" not in call.argv]
    assert [limit and (limit.seconds, limit.what.split()[0]) for limit in limits] == [
        (77, "docker"),
        (77, "docker"),
        (120, "docker"),
        None,  # who follows logs does so until Ctrl-C
        (600, "pnpm"),
        (5, "pnpm"),
    ]
    questions = [call.limit for call in stage.processes.calls if "config" in call.argv or "version" in call.argv]
    assert {limit.seconds for limit in questions if limit} == {120}


def test_a_one_off_over_its_limit_is_stopped_where_it_runs(stage: Stage) -> None:
    over = tool_limit(5, "sso").exceeded(["pnpm", "db:push"], "")

    def run(call: Call) -> Completed:
        stage.container("sso-setup", one_off=True, name=call.argv[call.argv.index("--name") + 1])
        raise over

    stage.processes.answer("docker", "compose", "--progress", with_=run)

    with pytest.raises(MigrationError) as caught:
        stage.runtime.run_once("sso-setup", ["pnpm", "db:push"], {}, print)

    assert caught.value is over
    assert len(stage.docker.stopped) == 1
