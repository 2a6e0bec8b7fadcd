"""What only the Compose runtime can get wrong: other projects, the compose file, the engine."""

from __future__ import annotations

import gc
import json
import os
import secrets
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker as docker_sdk
import pytest

from scripts.bootorder.errors import BootError, MachineError, SettingsError
from scripts.bootorder.runtimes.base import Address, Runtime
from scripts.bootorder.runtimes.compose import ComposeRuntime
from scripts.bootorder.runtimes.engine import Engine
from tests.stack import free_ports

from .tiny import FOLDER, LIMIT, PROJECT_LABEL, PYTHON_IMAGE, ComposeTiny, Part, docker, ignore, python

pytestmark = pytest.mark.usefixtures("engine")

WAIT = "import signal; signal.pause()"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ComposeTiny]:
    with ComposeTiny(tmp_path / FOLDER) as stack:
        yield stack


# -- other people's things --------------------------------------------------------------------------------------------


def test_remove_leaves_every_other_project_alone(fresh: ComposeTiny, tmp_path: Path) -> None:
    """One that runs and one that was stopped, both with volumes; their names begin and end like ours."""
    decoys = [
        ComposeTiny(tmp_path / name, name, parts={"app": Part(program=WAIT)})
        for name in (f"{fresh.project}-2", f"x{fresh.project}")
    ]
    volume = f"{fresh.project}_data_of_nobody"
    own_image, image = f"{fresh.project}-app", f"{decoys[0].project}-app"
    with decoys[0], decoys[1]:
        try:
            for decoy, run in zip(decoys, (["run", "--detach", "--init"], ["create"]), strict=True):
                label = f"{PROJECT_LABEL}={decoy.project}"
                docker("volume", "create", "--label", label, f"{decoy.project}_data")
                docker(*run, "--label", label, "--volume", f"{decoy.project}_data:/data", PYTHON_IMAGE, *python(WAIT))
            docker("volume", "create", volume)
            docker("tag", PYTHON_IMAGE, image)
            before = [(decoy.remains(), decoy.alive()) for decoy in decoys]
            assert [(len(made), len(alive)) for made, alive in before] == [(2, 1), (2, 0)]
            docker("tag", PYTHON_IMAGE, own_image)
            _label_volume(fresh)
            fresh.runtime.start(["dying"], ignore)

            removed = fresh.runtime.remove()

            assert fresh.remains() == []
            assert {kind: len(names) for kind, names in removed.items()} == {"container": 1, "volume": 1, "image": 1}
            assert removed["image"] == [own_image]
            assert [(decoy.remains(), decoy.alive()) for decoy in decoys] == before
            assert docker("volume", "ls", "--quiet", "--filter", f"name={volume}") == [volume]
            assert docker("images", "--quiet", image)
            assert not docker("images", "--quiet", own_image)
        finally:
            docker("volume", "rm", "--force", volume)
            docker("rmi", "--force", image, own_image)


def _label_volume(stack: ComposeTiny) -> str:
    """A volume of this stack that its compose file does not declare."""
    name = f"{stack.project}_old"
    docker("volume", "create", "--label", f"{PROJECT_LABEL}={stack.project}", name)
    return name


def test_remove_keeps_a_volume_that_is_declared_external(fresh: ComposeTiny) -> None:
    name = f"{fresh.project}-external"
    path = fresh.folder / "compose.yaml"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["volumes"]["data"] = {"external": True, "name": name}
    path.write_text(json.dumps(config), encoding="utf-8")
    docker("volume", "create", name)
    try:
        fresh.runtime.remove()
        assert docker("volume", "ls", "--quiet", "--filter", f"name={name}") == [name]
    finally:
        docker("volume", "rm", name)


def test_what_compose_writes_into_a_container_is_there_when_it_was_created_before(fresh: ComposeTiny) -> None:
    """It writes at the start, and not when it makes the container."""
    path = fresh.folder / "compose.yaml"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["configs"] = {"greeting": {"content": "hello"}}
    config["services"]["unhealthy"]["configs"] = [{"source": "greeting", "target": "/greeting"}]
    path.write_text(json.dumps(config), encoding="utf-8")
    runtime = ComposeTiny.open(fresh.folder)

    runtime.create(["unhealthy"], ignore)
    runtime.start(["unhealthy"], ignore)

    [container] = fresh.alive()
    assert docker("exec", container, "cat", "/greeting") == ["hello"]


def test_the_engine_tells_of_health_and_is_not_asked_in_between(
    fresh: ComposeTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    inspect = Engine.inspect

    def counted(engine: Engine, container: str) -> dict[str, Any] | None:
        looks.append(container)
        return inspect(engine, container)

    with fresh.runtime.watched(time.sleep) as watched:
        fresh.runtime.start(["unhealthy"], ignore)
        monkeypatch.setattr(Engine, "inspect", counted)
        limit = time.monotonic() + LIMIT
        while watched.service("unhealthy").health != "unhealthy" and time.monotonic() < limit:
            watched.wait(0.01)

    assert watched.service("unhealthy").health == "unhealthy"
    assert len(looks) <= 5


def test_remove_takes_a_volume_that_is_no_longer_declared(fresh: ComposeTiny) -> None:
    name = _label_volume(fresh)

    assert fresh.runtime.remove()["volume"] == [name]
    assert fresh.remains() == []


def test_remove_goes_on_where_somebody_else_uses_the_image(fresh: ComposeTiny) -> None:
    fresh.runtime.build(["app"], ignore)
    _label_volume(fresh)
    other = docker("run", "--detach", "--init", f"{fresh.project}-app", *python(WAIT))
    try:
        removed = fresh.runtime.remove()

        assert (len(removed["volume"]), list(removed["image"])) == (1, [])
        assert docker("ps", "--quiet", "--no-trunc", "--filter", f"id={other[0]}") == other
    finally:
        docker("rm", "--force", *other)


def test_remove_takes_the_nameless_volumes_of_a_one_off(fresh: ComposeTiny) -> None:
    _rewrite(fresh, "tool", volumes=["/data"])
    with fresh.running_once("import time; print('ready', flush=True); time.sleep(60)") as child:
        child.kill()
        child.wait(LIMIT)
        volume = docker("inspect", *fresh.alive(), "--format", "{{range .Mounts}}{{.Name}}{{end}}")[0]
        try:
            fresh.runtime.remove()
            assert volume not in docker("volume", "ls", "--quiet")
        finally:
            docker("volume", "rm", "--force", volume)


def test_what_a_person_runs_by_hand_goes_on_until_the_stack_is_stopped(fresh: ComposeTiny) -> None:
    """It is not the one-off of a killed run, which the next task ends."""
    by_hand = ("run", "--detach", "--no-deps", "tool", *python(WAIT))
    docker("compose", "--project-directory", str(fresh.folder), *by_hand)

    fresh.runtime.stop_one_offs()
    assert len(fresh.alive()) == 1

    fresh.runtime.stop()
    assert fresh.alive() == []


ACTS: dict[str, Callable[[Runtime], object]] = {
    "services": lambda runtime: runtime.services(),
    "build": lambda runtime: runtime.build(["app"], ignore),
    "start": lambda runtime: runtime.start(["app"], ignore),
    "stop": lambda runtime: runtime.stop(),
    "remove": lambda runtime: runtime.remove(),
    "run_once": lambda runtime: runtime.run_once("tool", python("print()"), {}, ignore),
    "logs": lambda runtime: list(runtime.logs([], tail=1, follow=False)),
    "log_tail": lambda runtime: runtime.log_tail("app"),
}


def test_the_project_of_another_folder_is_refused_and_not_touched(fresh: ComposeTiny, tmp_path: Path) -> None:
    fresh.start("dying", "unhealthy")
    fresh.once("dying", lambda service: not service.running)
    docker("tag", PYTHON_IMAGE, f"{fresh.project}-app")
    try:
        _label_volume(fresh)
        before = _all_of(fresh)
        other = ComposeTiny(tmp_path / "elsewhere", fresh.project, parts=fresh.parts)
        other.change("app", program=WAIT)

        refused = {}
        for name, act in ACTS.items():
            try:
                act(other.runtime)
            except MachineError as error:
                refused[name] = error

        assert list(refused) == list(ACTS)
        for refusal in refused.values():
            assert refusal.exit_code == 3
            assert refusal.seen == str(fresh.folder)
            assert "COMPOSE_PROJECT_NAME" in refusal.hint
        assert _all_of(fresh) == before
    finally:
        docker("rmi", "--force", f"{fresh.project}-app")


def _all_of(stack: ComposeTiny) -> list[str]:
    """Containers, whether they run, volumes, and the image, each by what changes when it is made anew."""
    containers = docker("ps", "--all", "--quiet", "--filter", f"label={PROJECT_LABEL}={stack.project}")
    image = docker("images", "--quiet", f"{stack.project}-app")
    return [*containers, *stack.alive(), *stack.remains(), *image]


def test_a_checkout_that_was_renamed_keeps_its_stack(fresh: ComposeTiny, tmp_path: Path) -> None:
    (fresh.folder / ".env").write_text(f"COMPOSE_PROJECT_NAME={fresh.project}\n", encoding="utf-8")
    fresh.start("dying")
    renamed = fresh.folder.rename(tmp_path / "renamed")

    assert ComposeTiny.open(renamed).services()["dying"].state != "absent"


def test_an_app_may_share_its_port_number_with_another_address(tmp_path: Path) -> None:
    """Loopback has more than one address; a listener on 127.0.0.2 is in nobody's way."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        port = listener.getsockname()[1]
        with ComposeTiny(tmp_path / FOLDER, parts={"app": Part(program=WAIT, ports={8000: port})}) as stack:
            stack.start("app")
            assert stack.service("app").address == Address("127.0.0.1", port)


def test_a_taken_port_is_found_wherever_it_stands_in_the_list(fresh: ComposeTiny) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        fresh.change("app", ports={**fresh.parts["app"].ports, 1234: port})
        with pytest.raises(MachineError) as refused:
            fresh.runtime.start(["app"], ignore)

    assert f"port {port} for app is taken by" in str(refused.value)
    assert str(os.getpid()) in str(refused.value)


# -- the compose file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {app: {image: x, prots: []}}", "prots"),
        ("services: [", "yaml"),
        ("services: {app: {image: '${NO_SUCH_VARIABLE:?is missing, make it}'}}", "is missing, make it"),
        ("services: {app: {image: x, depends_on: [nobody]}}", "nobody"),
        (None, "no configuration file"),
    ],
    ids=["unknown key", "no yaml", "missing variable", "unknown dependency", "no file"],
)
def test_a_broken_compose_file_is_refused_in_the_words_of_compose(tmp_path: Path, text: str | None, words: str) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    if text is not None:
        (folder / "compose.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError) as refused:
        ComposeTiny.open(folder).declared()

    assert words in refused.value.seen
    assert refused.value.exit_code == 2
    assert refused.value.hint.startswith("correct compose.yaml")


@pytest.fixture(scope="module")
def odd(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeTiny]:
    """Services that people have and that our description has no word for."""
    parts = {
        "named": Part(program="print('here | I am')"),
        "floating": Part(program=WAIT),
        "unchecked": Part(program=WAIT),
        "silenced": Part(program="print('nobody keeps this')"),
        "mounted": Part(program=WAIT),
    }
    with ComposeTiny(tmp_path_factory.mktemp("odd") / FOLDER, parts=parts) as stack:
        _rewrite(stack, "named", container_name=f"{stack.project}-of-its-own")
        _rewrite(stack, "floating", ports=["127.0.0.1::8000"])
        _rewrite(stack, "unchecked", healthcheck={"disable": True})
        _rewrite(stack, "mounted", volumes=["./sources:/sources"])
        _rewrite(stack, "silenced", logging={"driver": "none"})
        assert stack.service("floating").address is None
        stack.start(*(name for name in parts if name != "mounted"))
        yield stack


def test_a_port_that_the_engine_chooses_is_known_once_it_is_bound(odd: ComposeTiny) -> None:
    address = odd.service("floating").address

    assert address is not None
    assert address.host == "127.0.0.1"
    assert address.port > 0


def test_logs_know_a_service_by_its_name_whatever_its_container_is_called(odd: ComposeTiny) -> None:
    odd.once("named", lambda service: not service.running)

    assert list(odd.runtime.logs(["named"], tail=5, follow=False)) == [("named", "here | I am")]


def test_health_is_empty_where_the_check_is_disabled(odd: ComposeTiny) -> None:
    assert odd.service("unchecked").health == ""


def test_what_a_service_with_mounted_sources_would_run_is_not_known(odd: ComposeTiny) -> None:
    assert odd.runtime.fingerprint("floating")
    assert odd.runtime.fingerprint("mounted") == ""
    assert odd.runtime.is_built("mounted")


def test_the_log_tail_is_empty_where_no_log_is_kept(odd: ComposeTiny) -> None:
    """It is read to explain a failure, and must not be one."""
    odd.once("silenced", lambda service: not service.running)

    assert not odd.runtime.log_tail("silenced").lines


def test_a_folder_reached_through_a_link_is_the_same_folder(odd: ComposeTiny, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(odd.folder, target_is_directory=True)

    assert ComposeTiny.open(link).services()["unchecked"].running


def test_a_port_taken_by_a_container_is_refused_by_its_name(odd: ComposeTiny, tmp_path: Path) -> None:
    taken = odd.service("floating").address
    assert taken is not None
    with ComposeTiny(tmp_path / "second", parts={"app": Part(program=WAIT, ports={8000: taken.port})}) as second:
        with pytest.raises(MachineError) as refused:
            second.start("app")

        assert f"port {taken.port} for app is taken by container {odd.project}-floating-1" in str(refused.value)
        assert refused.value.hint.startswith("stop it")
        assert second.alive() == []


def test_what_is_paused_or_restarts_for_ever_is_stopped_too(tmp_path: Path) -> None:
    parts = {"paused": Part(program=WAIT), "restarting": Part(program="raise SystemExit(5)")}
    with ComposeTiny(tmp_path / FOLDER, parts=parts) as stack:
        _rewrite(stack, "restarting", restart="always")
        stack.start(*parts)
        docker("pause", f"{stack.project}-paused-1")
        restarting = stack.once("restarting", lambda service: not service.running)

        assert (restarting.state, restarting.exit_code) == ("exited", 5)
        assert "paused" in stack.runtime.stop()
        assert stack.alive() == []


def _rewrite(stack: ComposeTiny, name: str, **changes: Any) -> None:
    """Say something in the compose file that no description of ours has a word for."""
    path = stack.folder / "compose.yaml"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["services"][name] |= changes
    path.write_text(json.dumps(config), encoding="utf-8")
    stack.runtime = stack.open(stack.folder)


# -- the engine -------------------------------------------------------------------------------------------------------

# The SDK leaves a socket open that could not be connected.
leaves_a_socket = pytest.mark.filterwarnings("ignore:unclosed .*socket:ResourceWarning")


@pytest.fixture
def _collected() -> Iterator[None]:
    yield
    gc.collect()


@leaves_a_socket
@pytest.mark.usefixtures("_collected")
def test_no_engine_is_said_with_what_to_do(fresh: ComposeTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    for act in ("services", "stop", "remove"):
        with pytest.raises(MachineError, match="no Docker Engine answers") as refused:
            ACTS[act](ComposeTiny.open(fresh.folder))

        assert refused.value.exit_code == 3
        assert refused.value.hint.startswith("start Docker")


def test_the_compose_file_can_be_read_without_an_engine(fresh: ComposeTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    assert "tool" in ComposeTiny.open(fresh.folder).declared()


@pytest.fixture
def forbidden_socket() -> Iterator[Path]:
    """A socket that exists, in a folder anyone may enter, and that nobody may use."""
    with tempfile.TemporaryDirectory(prefix="bootorder-") as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o755)
        path = Path(folder, "docker.sock")
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        yield path


@leaves_a_socket
@pytest.mark.usefixtures("_collected")
def test_an_engine_that_refuses_this_user_is_told_from_a_missing_one(
    fresh: ComposeTiny, forbidden_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert docker_sdk
    assert stat.S_IMODE(forbidden_socket.stat().st_mode) == 0
    runtime = ComposeTiny.open(fresh.folder)
    runtime.declared()  # read now: another user cannot enter this test's folder
    monkeypatch.setenv("DOCKER_HOST", f"unix://{forbidden_socket}")

    refused = _as_somebody_else(runtime.services)

    assert isinstance(refused, MachineError)
    assert "refuses this user" in refused.message
    assert "docker" in refused.hint
    assert refused.exit_code == 3


def _as_somebody_else(act: Callable[[], object]) -> BootError | None:
    """What this raises for a user without rights; root is let through every door, so it steps down meanwhile."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        act()
    except BootError as error:
        return error
    finally:
        if is_root:
            os.seteuid(0)
    return None


def test_the_engine_tells_its_version(fresh: ComposeTiny) -> None:
    runtime = ComposeTiny.open(fresh.folder)
    assert isinstance(runtime, ComposeRuntime)

    assert runtime.engine.version() == docker("version", "--format", "{{.Server.Version}}")[0]


def test_an_unused_port_has_no_holder(fresh: ComposeTiny) -> None:
    assert fresh.runtime.port_holder(free_ports(["unused"])["unused"]) == ""


def test_a_project_can_be_renamed_by_the_environment(fresh: ComposeTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = f"{fresh.project}-{secrets.token_hex(2)}"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", renamed)
    runtime = ComposeTiny.open(fresh.folder)
    assert isinstance(runtime, ComposeRuntime)

    assert runtime.project == renamed


def test_a_checkout_that_was_moved_without_a_name_of_its_own_is_told_what_became_of_its_stack(
    fresh: ComposeTiny, tmp_path: Path
) -> None:
    fresh.start("dying")
    moved = fresh.folder.rename(tmp_path / "moved")

    with pytest.raises(MachineError, match="in a folder that is gone") as refused:
        ComposeTiny.open(moved).services()
    assert f"echo COMPOSE_PROJECT_NAME={fresh.project} >> {moved / '.env'}" in refused.value.hint

    (moved / ".env").write_text(f"COMPOSE_PROJECT_NAME={fresh.project}\n", encoding="utf-8")
    assert ComposeTiny.open(moved).services()["dying"].state != "absent"
