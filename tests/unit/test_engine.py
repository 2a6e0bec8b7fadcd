from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException
from requests.exceptions import ReadTimeout

from scripts.bootorder.errors import MachineError
from scripts.bootorder.runtimes import engine as engine_module
from scripts.bootorder.runtimes.engine import Engine, _endpoint

from .fakes import FakeDocker, api_error

LIMIT = 30.0  # seconds, for what would otherwise wait for ever

# -- which engine ------------------------------------------------------------------------------------------------------


@pytest.fixture
def docker_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the `docker` command, empty."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(docker, "DockerClient", lambda **_: FakeDocker().client)
    return tmp_path


def context(folder: Path, name: str, host: str) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    described = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (meta / "meta.json").write_text(json.dumps(described), encoding="utf-8")


def current(folder: Path, name: str) -> None:
    (folder / "config.json").write_text(json.dumps({"currentContext": name}), encoding="utf-8")


def test_docker_host_is_where_the_engine_is(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(docker_folder, "colima", "unix:///colima.sock")
    current(docker_folder, "colima")
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")

    assert _endpoint()["base_url"] == "tcp://192.0.2.1:2375"


def test_the_current_context_is_where_the_engine_is(docker_folder: Path) -> None:
    context(docker_folder, "colima", "unix:///colima.sock")
    current(docker_folder, "colima")

    assert _endpoint()["base_url"] == "unix:///colima.sock"


def test_docker_context_wins_over_the_current_context(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(docker_folder, "colima", "unix:///colima.sock")
    context(docker_folder, "rootless", "unix:///rootless.sock")
    current(docker_folder, "colima")
    monkeypatch.setenv("DOCKER_CONTEXT", "rootless")

    assert _endpoint()["base_url"] == "unix:///rootless.sock"


def test_without_any_of_them_it_is_the_default_socket(docker_folder: Path) -> None:
    assert _endpoint().get("base_url", "unix:///var/run/docker.sock") in {
        "unix:///var/run/docker.sock",
        "http+unix:///var/run/docker.sock",
        "npipe:////./pipe/docker_engine",
    }


def test_a_context_that_does_not_exist_is_refused_as_the_docker_command_refuses_it(
    docker_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise Compose would work on one engine, and what looks at its work on another."""
    monkeypatch.setenv("DOCKER_CONTEXT", "no-such-context")

    with pytest.raises(MachineError, match="no-such-context"):
        Engine.connect()


def test_a_context_that_cannot_be_read_is_one_clear_error(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(docker_folder, "broken", "unix:///x.sock")
    [meta] = docker_folder.glob("contexts/meta/*/meta.json")
    meta.write_text("{", encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONTEXT", "broken")

    with pytest.raises(MachineError, match="broken"):
        Engine.connect()


# -- connecting --------------------------------------------------------------------------------------------------------


def connecting(monkeypatch: pytest.MonkeyPatch, error: Exception) -> MachineError:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(docker, "DockerClient", refuse)
    with pytest.raises(MachineError) as caught:
        Engine.connect()
    assert caught.value.exit_code == 3
    return caught.value


def test_an_engine_that_does_not_answer_is_to_be_started(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cause = FileNotFoundError(2, "No such file or directory")
    error = connecting(monkeypatch, DockerException(f"Error while fetching server API version: {cause!r}"))

    assert error.message == "no Docker Engine answers"
    assert "No such file" in error.seen
    assert error.hint.startswith("start Docker")


def test_an_engine_that_this_user_may_not_use_is_told_from_a_missing_one(
    docker_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = PermissionError(13, "Permission denied")
    error = connecting(monkeypatch, DockerException(f"Error while fetching server API version: {cause!r}"))

    assert error.message == "the Docker Engine refuses this user"
    assert "docker` group" in error.hint


def test_connecting_takes_seconds_at_most(docker_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def connect(**options: Any) -> Any:
        asked.update(options)
        return FakeDocker().client

    monkeypatch.setattr(docker, "DockerClient", connect)

    Engine.connect()

    assert 0 < asked["timeout"] <= 60


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake() -> FakeDocker:
    return FakeDocker()


@pytest.fixture
def engine(fake: FakeDocker) -> Engine:
    return Engine(fake.client)


def test_the_version_is_the_engine_s(engine: Engine) -> None:
    assert engine.version() == "28.5.1"


def test_stopped_containers_are_found_too(engine: Engine, fake: FakeDocker) -> None:
    fake.container("api", state="exited")
    fake.container("api", project="decoy")

    found = engine.containers({"label": "com.docker.compose.project=taskflow"})

    assert [container["Names"] for container in found] == [["/taskflow-api-1"]]


def test_what_does_not_exist_is_nothing_and_no_error(engine: Engine) -> None:
    assert engine.inspect("gone") is None
    assert engine.image_id("gone:latest") == ""
    assert engine.volumes({"label": "com.docker.compose.project=gone"}) == []


def test_removing_what_is_gone_already_is_no_error(engine: Engine) -> None:
    engine.remove("gone")


def test_removing_what_is_just_being_removed_is_no_error(
    engine: Engine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fake.container("sso-setup", one_off=True)

    def going(*_: object, **__: object) -> None:
        raise api_error("removal of container is already in progress", 409)

    monkeypatch.setattr(fake, "remove_container", going)

    engine.remove(name)


def test_a_container_that_goes_between_two_looks_is_removed(
    engine: Engine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fake.container("sso-setup", one_off=True)

    def gone(*_: object, **__: object) -> None:
        raise api_error("No such container", 404)

    monkeypatch.setattr(fake, "remove_container", gone)

    engine.remove(name)


@pytest.mark.parametrize(
    "error", [api_error("driver failed"), ReadTimeout("read timed out"), DockerException("broken")]
)
def test_an_engine_that_breaks_off_is_one_clear_error(
    engine: Engine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(fake, "containers", break_off)

    with pytest.raises(MachineError, match="refused a request, or closed the connection"):
        engine.containers({})


def test_logs_are_text_whatever_their_bytes(engine: Engine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "logs", lambda container, tail: b"caf\xe9\n")

    assert engine.log("api", 20) == "caf\ufffd\n"


def test_the_container_that_publishes_a_port_is_named(engine: Engine, fake: FakeDocker) -> None:
    fake.container("postgres", project="decoy", port=5432)
    fake.container("api", state="exited", port=8000)

    assert engine.publisher(5432) == "container decoy-postgres-1"
    assert engine.publisher(8000) == ""


def test_as_many_threads_as_there_are_ask_no_more_at_once_than_the_sdk_can_bear(fake: FakeDocker) -> None:
    at_once: list[int] = []
    asking = threading.Semaphore(0)
    lock, count = threading.Lock(), 0

    def version() -> dict[str, str]:
        nonlocal count
        with lock:
            count += 1
            at_once.append(count)
        asking.acquire(timeout=0.01)  # so that others come in
        with lock:
            count -= 1
        return {"Version": "1"}

    fake.client.api.version = version
    engine = Engine(fake.client)
    with ThreadPoolExecutor(max_workers=50) as pool:
        assert list(pool.map(lambda _: engine.version(), range(100))) == ["1"] * 100

    assert max(at_once) <= 10


# -- an engine that does not answer, or not to the end -----------------------------------------------------------------


@pytest.fixture
def frozen() -> Iterator[threading.Event]:
    """Whatever waits for it does so until the test is over."""
    over = threading.Event()
    yield over
    over.set()


def test_a_request_that_is_never_answered_is_one_clear_error(
    engine: Engine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch, frozen: threading.Event
) -> None:
    monkeypatch.setattr(fake, "containers", lambda **_: frozen.wait(LIMIT))

    with pytest.raises(MachineError, match="does not answer any more") as caught:
        engine._ask(fake.containers, seconds=0.05)

    assert caught.value.exit_code == 3
    assert "0.05 s" in caught.value.expected
    assert "docker ps" in caught.value.hint


def test_who_waits_for_his_turn_behind_frozen_requests_waits_no_longer(
    engine: Engine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch, frozen: threading.Event
) -> None:
    """Ten at one time is all that the SDK can bear."""
    monkeypatch.setattr(engine_module, "_AT_ONCE", threading.BoundedSemaphore(1))
    for _ in range(2):
        with pytest.raises(MachineError, match="does not answer any more"):
            engine._ask(lambda: frozen.wait(LIMIT), seconds=0.05)


def test_an_engine_that_takes_a_connection_and_never_answers_is_no_engine(
    docker_folder: Path, monkeypatch: pytest.MonkeyPatch, frozen: threading.Event
) -> None:
    monkeypatch.setattr(docker, "DockerClient", lambda **_: frozen.wait(LIMIT))

    with pytest.raises(MachineError, match="no Docker Engine answers") as caught:
        Engine.connect(0.05)

    assert caught.value.seen == "no whole answer within 0.05 s"


def test_an_engine_behind_ssh_has_a_connection_to_make_first(
    docker_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def connect(**options: Any) -> Any:
        asked.update(options)
        return FakeDocker().client

    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    monkeypatch.setattr(docker, "DockerClient", connect)

    Engine.connect(1)

    assert asked["timeout"] > 5
