"""Docker Compose: `docker compose` starts and builds, the Docker SDK looks."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import env_file
from ..certificates import hint_for
from ..errors import BuildError, LogTail, MachineError, command
from ..ports import listeners, refuse_taken_ports
from ..processes import (
    BUILD_SECONDS,
    Completed,
    Limit,
    Processes,
    at_once,
    build_limit,
    change_limit,
    question_limit,
    tool_limit,
)
from ..settings import unknown
from ..terminal import listed
from .base import Address, Service, Watched
from .compose_cli import OLDEST_COMPOSE, Compose, last_words
from .compose_data import KeptData, data_folder, holds_data, kept_data, mount_of, remove_data
from .compose_given import Given
from .compose_ports import is_answered_by, is_published_at
from .compose_sources import BuiltFrom, look
from .engine import Engine
from .events import ACTIONS, Told

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_ONE_OFF = "com.docker.compose.oneoff"
_NUMBER = "com.docker.compose.container-number"
_FOLDER = "com.docker.compose.project.working_dir"
_RUN = "bootorder.run"  # of one-offs that a task started, and not somebody by hand: which run of it

# What Compose looks for, in its order.
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")

_HEALTH = ("unhealthy", "starting", "healthy")  # the worst first
# How long a one-off may take to stop when its task was ended.
_CLEAN_UP_SECONDS = 20
_ALIVE = {"running", "restarting", "paused"}
# As the engine spells "on all interfaces".
_ANYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104


class ComposeRuntime:
    """The stack that compose files describe: those that Compose finds in `root`, or `files` of it."""

    name = "compose"

    def __init__(
        self,
        root: Path,
        processes: Processes,
        instead: str = "",
        variables: Mapping[str, str] | None = None,
        files: Sequence[str] = (),
        given: Given | None = None,
        build_wait: float = BUILD_SECONDS,
        built_from: BuiltFrom | None = None,
    ) -> None:
        """`instead`: a hint for where no engine is; `variables`: what the files may refer to beside .env.

        `given`: what the services are given beside what the files say. `build_wait`: how many seconds a build may take.
        `built_from`: where it is kept what images were built from.
        """
        self._root = root
        self._env_path = env_file.path_of(root, files)
        self._folder = env_file.folder_of(root, files)
        self._instead = instead
        self._compose = Compose(root, processes, variables or {}, files, given)
        self._created: set[str] = set()  # in this run, from what compose.yaml says
        self._build_wait = build_wait
        self._built_from = built_from
        self._processes = processes
        self._ids: Mapping[str, Sequence[str]] = {}  # of the containers that were there last, by service
        self._images: dict[str, str] = {}  # their ids by name, until something is built or removed
        self._run = secrets.token_hex(8)

    # -- what is declared ------------------------------------------------------------------------------------------

    @cached_property
    def engine(self) -> Engine:
        try:
            return Engine.connect()
        except MachineError as error:
            error.hint += f", or {self._instead}" if self._instead else ""
            raise

    def trouble(self) -> str:
        """Why Compose cannot be used; empty where it is there and new enough."""
        try:
            self._compose.find()
        except MachineError as error:
            return f"{error.message}: {error.seen}"
        return ""

    def needs(self) -> Mapping[str, Callable[[], str]]:
        return {"docker engine": self._engine_version, "docker compose": self._compose_version}

    def _engine_version(self) -> str:
        return self.engine.version()

    def _compose_version(self) -> str:
        version = self._compose.run(["version", "--short"], limit=question_limit()).out.strip()
        return f"{version} ({'.'.join(map(str, OLDEST_COMPOSE))} or newer is needed)"

    @property
    def project(self) -> str:
        return str(self._compose.config["name"])

    def declared(self) -> Sequence[str]:
        return list(self._compose.config["services"])

    def optional(self) -> Collection[str]:
        return [
            name
            for name, config in self._compose.config["services"].items()
            if not self._is_active(config.get("profiles") or ()) or self._wanted(name) == 0
        ]

    def _is_active(self, profiles: Collection[str]) -> bool:
        return not profiles or "*" in self._profiles or not self._profiles.isdisjoint(profiles)

    @cached_property
    def _profiles(self) -> set[str]:
        said = env_file.variable(self._env_path, "COMPOSE_PROFILES").split(",")
        return {name.strip() for name in said if name.strip()}

    def profiles(self) -> Mapping[str, Sequence[str]]:
        services = self._compose.config["services"].items()
        active: dict[str, list[str]] = {name: [] for name in sorted(self._profiles)}
        for service, config in services:
            its = config.get("profiles") or ()
            for name, started in active.items():
                if name in its or (name == "*" and its):
                    started.append(service)
        return active

    def _wanted(self, service: str) -> int:
        """Return how many containers of it Compose would run."""
        config = self._service_config(service)
        scale = config.get("scale", (config.get("deploy") or {}).get("replicas"))
        return 1 if scale is None else int(scale)

    def check(self, names: Sequence[str]) -> None:
        """Nothing that Compose did not check when it read its file."""

    def has_data(self, service: str) -> bool:
        config = self._compose.read()  # not to be kept: it is asked while .env still lacks what it will say
        declared = config["services"].get(service, {})
        folder = data_folder(declared, self.engine.image_environment(_image_name(config, service)))
        mine = {"label": f"{_PROJECT}={config['name']}"}
        if folder and (kept := self._kept_data(config, service)):
            return self._holds_data(config, kept)
        mounts = declared.get("volumes", [])
        used = {config["volumes"][mount["source"]]["name"] for mount in mounts if _is_named_volume(mount)}
        if not used.isdisjoint(self.engine.volumes(mine)):
            return True
        # A volume without a name lives as long as the container, and is given to the next one of the service.
        nameless = (
            mount["Destination"]
            for container in self.engine.containers(mine)
            if _service_of(container) == service and container["Labels"].get(_ONE_OFF) != "True"
            for mount in container.get("Mounts", [])
            if mount["Type"] == "volume"
        )
        return folder is not None and any(folder.is_relative_to(path) for path in nameless)

    def _kept_data(self, config: Mapping[str, Any], service: str) -> KeptData | None:
        """Return where this service's data outlive the removal of its containers and volumes."""
        declared = config["services"].get(service, {})
        if not declared.get("volumes"):
            return None
        folder = data_folder(declared, self.engine.image_environment(_image_name(config, service)))
        mount = mount_of(declared, folder) if folder else None
        return kept_data(service, folder, mount, config.get("volumes") or {}, self._root) if folder and mount else None

    def _holds_data(self, config: Mapping[str, Any], kept: KeptData) -> bool:
        image = _image_name(config, kept.service)
        return holds_data(kept, self.engine, self.engine.image_id(image), self._labels(config))

    def _labels(self, config: Mapping[str, Any]) -> Mapping[str, str]:
        """Of a container that only looks or empties: where its task is killed, the next `stop` finds it."""
        return {_PROJECT: config["name"], _ONE_OFF: "True", _RUN: self._run}

    def _all_kept_data(self) -> Sequence[KeptData]:
        config = self._compose.config
        found = (self._kept_data(config, service) for service in config["services"])
        return [kept for kept in found if kept]

    def check_removal(self) -> None:
        for kept in self._all_kept_data():
            if kept.why and self._holds_data(self._compose.config, kept):
                raise kept.refusal()

    def environment(self, service: str) -> Mapping[str, str]:
        given = self._service_config(service).get("environment") or {}
        # `config` prints a dollar sign as Compose reads it: doubled.
        return {key: (value or "").replace("$$", "$") for key, value in given.items()}

    def marks(self, service: str) -> Mapping[str, str]:  # noqa: ARG002  # as the protocol has it
        return {}  # only containers are looked for

    def _service_config(self, service: str) -> Mapping[str, Any]:
        services: Mapping[str, Any] = self._compose.config["services"]
        if service not in services:
            raise unknown("service", service, services)
        config: Mapping[str, Any] = services[service]
        return config

    # -- looking ---------------------------------------------------------------------------------------------------

    def _containers(self) -> list[dict[str, Any]]:
        """This project's containers. Refuses to touch a project of the same name in another folder."""
        found = self.engine.containers({"label": f"{_PROJECT}={self.project}"})
        for container in found:
            folder = container["Labels"].get(_FOLDER, "")
            if folder and not self._is_ours(Path(folder).resolve()):
                if not _exists(Path(folder)):
                    raise MachineError(
                        f'the Compose project "{self.project}" was started in a folder that is gone',
                        expected=str(self._root),
                        seen=f"{folder}, which may have become this one, or stand on another machine",
                        hint=f"if this checkout was moved, keep its containers and data: echo COMPOSE_PROJECT_NAME="
                        f"{self.project} >> {self._env_path}; else give it another name there (and other ports)",
                    )
                raise MachineError(
                    f'the Compose project "{self.project}" already belongs to another folder',
                    expected=str(self._root),
                    seen=folder,
                    hint="set COMPOSE_PROJECT_NAME (and the ports) in .env to tell the two stacks apart",
                )
        return found

    def running(self) -> list[str]:
        """What of this folder's stack runs; nothing where no engine answers. Asks the engine only, not Compose."""
        try:
            found = self.engine.containers({"label": f"{_FOLDER}={self._folder.resolve()}"})
        except MachineError:
            return []
        return [_service_of(container) for container in found if container["State"] in _ALIVE]

    def _is_ours(self, folder: Path) -> bool:
        """This folder or one in it; or, for a checkout that was renamed, one that is gone, if .env gives its name.

        That the folder is gone is not enough: on an engine of another machine everybody's is.
        """
        if folder.is_relative_to(self._root.resolve()):
            return True
        named_here = env_file.written(self._env_path).get(env_file.PROJECT) == self.project
        return named_here and not _exists(folder)

    def services(self, names: Collection[str] = ()) -> Mapping[str, Service]:
        wanted = names or self.declared()
        found = self._inspected(wanted, self._ids)
        # Those that run are those that they were. Where too few do there may be others by now.
        if not all(sum(map(_runs, found[name])) >= max(1, self._wanted(name)) for name in wanted):
            self._ids = ids = {
                service: [str(one["Id"]) for one in containers] for service, containers in self._replicas().items()
            }
            found = self._inspected(wanted, ids)
        return {name: self._service(name, found[name]) for name in wanted}

    def _inspected(self, names: Iterable[str], ids: Mapping[str, Sequence[str]]) -> Mapping[str, list[dict[str, Any]]]:
        """Return what the engine says of the containers of each service; those that are gone by now left out."""
        found = {name: [self.engine.inspect(container) for container in ids.get(name, ())] for name in names}
        return {name: [one for one in containers if one] for name, containers in found.items()}

    def _replicas(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """Return the containers of each service in the order of their numbers; one-offs aside."""
        found: dict[str, list[dict[str, Any]]] = {}
        for one in sorted(self._containers(), key=_number):
            if one["Labels"].get(_ONE_OFF) != "True":
                found.setdefault(_service_of(one), []).append(one)
        return found

    @contextlib.contextmanager
    def watched(self, pause: Callable[[float], None]) -> Iterator[Watched]:  # noqa: ARG002  # the engine tells
        def service_of(event: Mapping[str, Any]) -> str:
            return str(event["Actor"]["Attributes"].get(_SERVICE, ""))

        told = Told(lambda name: self.services([name])[name], service_of)
        with self.engine.events({"label": f"{_PROJECT}={self.project}"}, ACTIONS) as events:
            threading.Thread(target=told.listen, args=[events], daemon=True).start()
            yield told

    def _service(self, name: str, replicas: Sequence[Mapping[str, Any]]) -> Service:
        """Return all replicas as one service: it runs where enough of them do, and is as the worst one."""
        wanted = self._wanted(name)
        up = [one for one in replicas if _runs(one)]
        down = [one for one in replicas if not _runs(one)]
        runs = bool(up) and len(up) >= wanted
        if not replicas or not (runs or down):
            return Service(name, "absent", address=self._declared_address(name), wanted=wanted, up=len(up))
        counted = up if runs else replicas
        worst = None if runs else max((one["State"] for one in down), key=_how_bad)
        health = {one["State"].get("Health", {}).get("Status", "") for one in up} if runs else set()
        addresses = list(dict.fromkeys(filter(None, (self._published_address(name, one) for one in counted))))
        return Service(
            name,
            "running" if worst is None else "created" if worst["Status"] == "created" else "exited",
            health=next((word for word in _HEALTH if word in health), ""),
            exit_code=None if worst is None else worst["ExitCode"],
            instance=", ".join(f"{one['Id']} {one['State']['StartedAt']}" for one in counted),
            address=addresses[0] if addresses else None,
            more_addresses=addresses[1:],
            wanted=wanted,
            up=len(up),
        )

    def _published_address(self, name: str, inspected: Mapping[str, Any]) -> Address | None:
        """Where the first declared port is published now: it may have been another when the container was made."""
        bindings = inspected["NetworkSettings"]["Ports"] or {}
        for port in self._service_config(name).get("ports", []):
            for binding in bindings.get(f"{port['target']}/{port.get('protocol', 'tcp')}") or []:
                host = binding["HostIp"]
                return Address("127.0.0.1" if host in _ANYWHERE else host, int(binding["HostPort"]))
        # A container that runs and publishes nothing is not what listens on the port that the file says.
        return None if _runs(inspected) and not _is_on_host(inspected) else self._declared_address(name)

    def foreign_listener(self, service: Service) -> str:
        containers = self._inspected([service.name], self._ids)[service.name]
        for address in service.addresses:
            if any(is_published_at(container, address) for container in containers):
                continue
            for listener in listeners(address.host, address.port) or ():
                # Each container has its own ports: it is enough that one of them is what listens there.
                if not any(is_answered_by(container, address, listener) for container in containers):
                    return listener.name
        return ""

    def _declared_address(self, name: str) -> Address | None:
        ports = self._declared_ports(name)
        return Address("127.0.0.1", ports[0]) if ports else None

    def _declared_ports(self, name: str) -> Sequence[int]:
        published = (str(port.get("published", "")) for port in self._service_config(name).get("ports", []))
        return [int(port) for port in published if port.isdecimal()]

    def is_built(self, service: str) -> bool:
        return bool(self._image_id(service))

    def is_stale(self, service: str) -> bool:  # noqa: ARG002  # an image does not tell
        return False

    def is_touched(self, service: str) -> bool:
        return self._built_from is not None and self._built_from.is_touched(service, self._service_config(service))

    def is_current(self, service: str) -> bool:
        image, containers = self._image_id(service), self._replicas().get(service, ())
        return bool(containers) and all(one["State"] in _ALIVE and one["ImageID"] == image for one in containers)

    def fingerprint(self, service: str) -> str:
        # Files mounted from this machine change without the image: then nothing is known.
        mounts = self._service_config(service).get("volumes", [])
        return "" if any(mount["type"] == "bind" for mount in mounts) else self._image_id(service)

    def _image_id(self, service: str) -> str:
        self._service_config(service)  # refuses an unknown one
        image = _image_name(self._compose.config, service)
        known = self._images  # what another thread builds meanwhile begins a new one
        if not known.get(image):
            known[image] = self.engine.image_id(image)
        return known[image]

    def logs(self, names: Sequence[str], *, tail: int, follow: bool) -> Iterator[tuple[str, str]]:
        flags = ["logs", "--no-color", f"--tail={tail}", *(["--follow"] if follow else [])]
        # Lines begin with the container's name; without the project, unless the name was given in compose.yaml.
        services = {
            label: _service_of(container)
            for container in self._containers()
            for label in (_name(container), _name(container).removeprefix(f"{self.project}-"))
        }
        limit = None if follow else replace(question_limit(), what="docker compose logs")
        for line in self._compose.stream([*flags, *names], limit):
            name, bar, text = line.partition("|")
            yield (services.get(name.strip(), name.strip()), text.removeprefix(" ")) if bar else ("", line)

    def port_holder(self, port: int) -> str:
        return self.engine.publisher(port)

    def log_tail(self, name: str) -> LogTail:
        containers = self._replicas().get(name, ())
        # Of several the one that is said to have failed.
        failed = max(
            containers, key=lambda one: (one["State"] not in _ALIVE, "unhealthy" in one.get("Status", "")), default=None
        )
        return LogTail.of(name, self.engine.log(failed["Id"], LogTail.KEPT)) if failed else LogTail(name, ())

    # -- changing --------------------------------------------------------------------------------------------------

    def build(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        built = [name for name in names if "build" in self._service_config(name)]
        if not built:
            return
        self._containers()  # refuses a stack of another folder: its images have the same names
        looks = {name: look(self._service_config(name)) for name in built} if self._built_from else {}
        done = self._compose.run(["build", *built], limit=build_limit(self._build_wait), on_line=on_line)
        self._images = {}
        if done.code:
            correct = "correct what it says (a first build needs a network), then start again"
            raise BuildError(
                f"building {', '.join(built)} failed",
                seen=last_words(done.text),
                log=LogTail.of("the build", done.text),
                hint=done.hint(hint_for(done.text, correct, in_image=True)),
            )
        if self._built_from:
            self._built_from.keep(looks)

    def prepare_apart(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        self.build(names, on_line)  # what runs keeps the image that it was started from
        return names

    def create(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        self._up(["--no-start", *names], f"Compose could not create {', '.join(names)}", on_line)
        self._created.update(names)

    def start(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        if not names:
            return []  # `up` without a name would start everything
        self.check_ports(names)
        before = self.services(names)
        # What Compose has just made it need not look at again; where it does more than to start, it does all.
        if self._created.issuperset(names) and not any(_is_prepared(self._service_config(name)) for name in names):
            self._start_created(names)
        else:
            self._up(["--detach", *names], f"Compose could not start {', '.join(names)}", on_line)
        after = self.services(names)
        return [name for name in names if after[name].instance != before[name].instance]

    def _up(self, arguments: Sequence[str], message: str, on_line: Callable[[str], None]) -> None:
        limit = build_limit(self._build_wait, MachineError)  # it may have an image to download
        done = self._compose.run(["up", "--no-deps", "--no-build", *arguments], limit=limit, on_line=on_line)
        if done.code:
            raise MachineError(
                message,
                seen=last_words(done.text),
                log=LogTail.of("docker compose up", done.text),
                hint=hint_for(done.text, f"correct what it says; {command('doctor')} shows what this machine lacks"),
            )

    def _start_created(self, names: Sequence[str]) -> None:
        """All at once."""
        containers = self._replicas()
        ids = [one["Id"] for name in names for one in containers.get(name, ()) if one["State"] not in _ALIVE]
        at_once(self._processes, ids, self.engine.start)

    def check_ports(self, names: Sequence[str]) -> None:
        refuse_taken_ports(
            {name: self._declared_ports(name) for name in names},
            self.port_holder,
            lambda _: f"it stands in {self._compose.files}",
            self._ports,
        )

    def _ports(self) -> Collection[int]:
        """Those that this stack publishes now: another machine may have started it since we looked."""
        return {binding.get("PublicPort", 0) for one in self._containers() for binding in one["Ports"]}

    def stop(self) -> Sequence[str]:
        running = [container for container in self._containers() if container["State"] in _ALIVE]
        if not running:
            return []
        one_offs = [one for one in running if one["Labels"].get(_ONE_OFF) == "True"]
        said = self._ask_to_stop(one_offs)  # which `stop` passes by
        done = self._compose.run(["--profile", "*", "stop"], limit=change_limit())
        # Of a service that compose.yaml no longer names.
        said += self._ask_to_stop(container for container in self._containers() if container["State"] in _ALIVE)
        left = [_name(container) for container in self._containers() if container["State"] in _ALIVE]
        said += [last_words(done.text)] if done.code else []
        if left:
            raise MachineError(
                f"{listed(left)} could not be stopped",
                expected="no container of this stack runs",
                seen=said[0] if said else f"the engine said that it was stopped, and {left[0]} runs",
                hint=f"stop it again, or look at what it does: {command('logs')}",
            )
        return sorted({_service_of(container) for container in running})

    def _ask_to_stop(self, containers: Iterable[Mapping[str, Any]]) -> list[str]:
        """Stop each of them that can be; returns what the engine said of the others."""
        said = []
        for container in containers:
            try:
                self.engine.stop(container["Id"])
            except MachineError as error:
                said.append(": ".join(filter(None, (error.message, error.seen))))
        return said

    def runs_apart(self) -> str:
        found = self.engine.containers({"label": f"{_FOLDER}={self._folder.resolve()}"})
        alive = [one for one in found if one["State"] in _ALIVE and one["Labels"].get(_PROJECT) != self.project]
        if not alive:
            return ""
        other = str(alive[0]["Labels"].get(_PROJECT, ""))
        services = sorted({_service_of(one) for one in alive if one["Labels"].get(_PROJECT) == other})
        verb = "runs" if len(services) == 1 else "run"
        again = f"COMPOSE_PROJECT_NAME={shlex.quote(other)} {command('stop')}"
        return f"{listed(services)} of this folder {verb} as the Compose project {other}: {again} stops that"

    def stop_services(self, names: Collection[str]) -> None:
        containers = [one for name, replicas in self._replicas().items() if name in names for one in replicas]
        alive = [one["Id"] for one in containers if one["State"] in _ALIVE]
        at_once(self._processes, alive, self.engine.stop)

    def stop_one_offs(self) -> None:
        of_others = (one for one in self._containers() if one["Labels"].get(_RUN, self._run) != self._run)
        self._stop_all(one for one in of_others if one["State"] in _ALIVE)

    def _stop_all(self, containers: Iterable[Mapping[str, Any]]) -> None:
        for container in containers:
            self.engine.stop(container["Id"])

    def remove(self) -> Mapping[str, Sequence[str]]:
        mine = {"label": f"{_PROJECT}={self.project}"}
        containers = self._containers()
        self.check_removal()
        volumes = self.engine.volumes(mine)
        images = [
            tag
            for name in self.declared()
            if "build" in self._service_config(name) and not self._service_config(name).get("image")
            if self.engine.image_id(tag := f"{self.project}-{name}")
        ]
        for container in containers:
            if container["Labels"].get(_ONE_OFF) == "True":
                self.engine.remove(container["Id"])
        flags = ["--volumes", "--remove-orphans", "--timeout", "2"]
        done = self._compose.run(["--profile", "*", "down", *flags], limit=change_limit())
        folders = [kept.source for kept in self._all_kept_data() if not kept.why and self._remove_data(kept)]
        # Not by `down --rmi`: it leaves what a classic builder made on the way to an image.
        images = [image for image in images if self.engine.remove_image(image)]
        self._images = {}
        for volume in self.engine.volumes(mine):
            self.engine.remove_volume(volume)  # of a service that compose.yaml no longer names
        left = [*map(_name, self._containers()), *self.engine.volumes(mine)]
        if done.code or left:
            raise MachineError(
                "not everything of the stack could be removed",
                expected="no container and no volume of it left",
                seen=", ".join(left) or last_words(done.text),
                log=LogTail.of("docker compose down", done.text),
                hint="see what still uses it (docker ps --all), then run this again",
            )
        emptied = {"data folder": folders} if folders else {}
        return {"container": [*map(_name, containers)], "volume": volumes, **emptied, "image": images}

    def _remove_data(self, kept: KeptData) -> bool:
        config = self._compose.config
        image = self.engine.image_id(_image_name(config, kept.service))
        return remove_data(kept, self.engine, image, self._labels(config))

    def run_once(
        self,
        service: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: Limit | None = None,
    ) -> Completed:
        self._service_config(service)  # refuses an unknown name
        self._containers()  # refuses a stack of another folder
        # Values travel in this process's environment, names on the command line: secrets show in no process list.
        names = [part for name in env for part in ("--env", name)]
        container = f"{self.project}-{service}-run-{secrets.token_hex(6)}"
        flags = ["run", "--rm", "--no-deps", "--no-TTY", "--label", f"{_RUN}={self._run}", "--name", container, *names]
        run = ["--progress", "quiet", *flags, service, *argv]
        limit = replace(limit or tool_limit(), what=" ".join(argv))
        try:
            return self._compose.run(run, limit=limit, env=env, on_line=on_line)
        except BaseException:
            # Compose may end before what it started has. An engine that does not answer any more is not the news here:
            # the next `stop` finds what is left.
            with contextlib.suppress(MachineError):
                self.engine.stop(container, seconds=_CLEAN_UP_SECONDS)
            raise

    def psql(self, service: str, variables: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
        self._service_config(service)  # refuses an unknown name
        given = {**variables, "PGHOST": "127.0.0.1"}  # over TCP: on the socket no password is asked
        names = [part for name in given for part in ("--env", name)]
        terminal = [] if sys.stdin.isatty() else ["--no-TTY"]
        folder = ["--project-directory", str(self._folder)]
        argv = [*self._compose.command, *folder, "exec", *terminal, *names, service, "psql"]
        return argv, {**self._compose.variables, **given}


def _is_prepared(config: Mapping[str, Any]) -> bool:
    """Whether Compose writes into such a container, or runs something there, whenever it starts it."""
    return any(config.get(key) for key in ("configs", "secrets", "post_start", "models"))


def _runs(inspected: Mapping[str, Any]) -> bool:
    return bool(inspected["State"]["Running"] and not inspected["State"]["Restarting"])


def _is_on_host(inspected: Mapping[str, Any]) -> bool:
    """Whether it has the network of its engine's machine, where it publishes nothing and listens itself."""
    return bool(inspected.get("HostConfig", {}).get("NetworkMode") == "host")


def _how_bad(state: Mapping[str, Any]) -> tuple[bool, bool]:
    return state["Status"] != "created", bool(state["ExitCode"])


def _number(container: Mapping[str, Any]) -> int:
    number = container["Labels"].get(_NUMBER, "")
    return int(number) if number.isdecimal() else 0


def _service_of(container: Mapping[str, Any]) -> str:
    return str(container["Labels"].get(_SERVICE, ""))


def _name(container: Mapping[str, Any]) -> str:
    return str(container["Names"][0]).lstrip("/")


def _image_name(config: Mapping[str, Any], service: str) -> str:
    return str(config["services"].get(service, {}).get("image") or f"{config['name']}-{service}")


def _is_named_volume(mount: Mapping[str, Any]) -> bool:
    return bool(mount["type"] == "volume" and mount.get("source"))


def _exists(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:
        return True  # one that this user may not enter
