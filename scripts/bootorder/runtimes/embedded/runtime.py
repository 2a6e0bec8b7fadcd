"""The embedded runtime: what invoke.yaml says under `processes`, as processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ... import env_file, secret_files, sources, state_files
from ...errors import LogTail, MachineError, SettingsError, command
from ...ports import listeners, listening, refuse_taken_ports
from ...processes import Completed, Limit, Processes, at_once, find_program
from ...settings import ProcessSettings, SecretFile, Settings, unknown
from ...terminal import listed
from ..base import Address, Polled, Service, Watched
from . import logs
from .builds import Builds, Step
from .commands import Marked
from .postgres import Postgres
from .table import LABEL, Order, ProcessTable, ports_of
from .toolchain import Toolchain

_HOST = "127.0.0.1"
# How often to look whether all has ended: what starts processes all the time is not to be called stopped.
_LOOKS = 5

# What a program needs of this machine to work at all; the rest of the caller's environment stays away, as in a
# container. With it stay DATABASE_URL, PGHOST, NODE_ENV and the like of another project.
_KEPT = {"HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "CI", "NO_COLOR"}
_KEPT |= {"TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "COREPACK_HOME", "PNPM_HOME"}
_KEPT |= {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"}
_KEPT |= {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}
_KEPT |= {"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA"}
_KEPT |= {"USERPROFILE", "USERNAME", "HOMEDRIVE", "HOMEPATH", "PROGRAMFILES", "NUMBER_OF_PROCESSORS"}
_KEPT_STARTS = ("LC_", "XDG_", "PIP_", "UV_", "NPM_CONFIG_")


class EmbeddedRuntime:
    """The stack in `root`. What it keeps stands in `state`; `say` tells a person what takes long."""

    name = "embedded"

    def __init__(
        self,
        root: Path,
        state: Path,
        settings: Settings,
        processes: Processes,
        say: Callable[[str], None],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`variables`: what invoke.yaml may refer to beside .env and the environment."""
        self._root = root.resolve()
        self._env_path = env_file.path_of(self._root, settings.compose)
        self._state = state.resolve()
        self._settings = settings
        self._processes = processes
        self._say = say
        self._added = variables or {}
        self._postgres = Postgres(
            *(self._state / "postgres", settings.database, processes, say),
            lambda: self.marks(settings.database.service),
            settings.build_wait,
        )
        self._builds = Builds(self._state / "built", say, settings.build_wait)
        self.table = ProcessTable(
            self._root,
            self._state / "processes",
            self._state / "logs",
            lambda: {("postgres", self._postgres.data): settings.database.service},
            say,
        )

    def needs(self) -> Mapping[str, Callable[[], str]]:
        folders = dict.fromkeys(process.directory for process in self._settings.processes.values())
        return {
            "postgres": self._postgres.describe,
            **{f"tools of {folder}": self._tools_of(folder).describe for folder in folders},
        }

    # -- what is declared ------------------------------------------------------------------------------------------

    @property
    def _database(self) -> str:
        return self._settings.database.service

    def declared(self) -> Sequence[str]:
        return [self._database, *(name for name in self._settings.processes if name != self._database)]

    def optional(self) -> Collection[str]:
        return [name for name, process in self._settings.processes.items() if process.optional]

    def profiles(self) -> Mapping[str, Sequence[str]]:
        return {}

    def check(self, names: Sequence[str]) -> None:
        if self._database in self._settings.processes:
            raise SettingsError(
                f"`processes.{self._database}` has the name of the database",
                expected="a name of its own for each",
                seen=f"`database.service: {self._database}`",
                hint="rename or remove one of the two in invoke.yaml",
            )
        self._postgres.check()
        for name in names:
            if not self._is_database(name):
                self._folder(name)
            self.environment(name)
            if not self._is_database(name):
                self._refuse_missing_program(name)
        self._refuse_equal_ports(names)
        self._refuse_health_of_nothing(names)

    def _refuse_missing_program(self, service: str) -> None:
        """Where nothing is left to be installed or built that could bring it."""
        run, folder = self._process(service).run, self._folder(service)
        # What its tools have takes longer to say.
        if not run or find_program(run[0], folder, os.environ.get("PATH", os.defpath)):
            return
        is_whole = self.is_built(service) and not self._commands_to_run(service)
        if is_whole and not find_program(run[0], folder, self._surroundings(service)["PATH"]):
            raise SettingsError(
                f"`processes.{service}.run`: there is no command `{run[0]}`",
                expected="a program of its packages or of this machine",
                seen=" ".join(run),
                hint="correct it in invoke.yaml",
            )

    def _refuse_equal_ports(self, names: Sequence[str]) -> None:
        """The second one would die, and be called healthy: the first answers for both."""
        wanted: dict[int, str] = {}
        for name in names:
            port = self._wanted_port(name)
            if port in wanted:
                raise SettingsError(
                    f"{wanted[port]} and {name} both want port {port}",
                    expected="a port of its own for each",
                    hint=f"give {name} another one: {self._where_its_port_stands(name)}",
                )
            if port:
                wanted[port] = name

    def _wanted_port(self, service: str) -> int | None:
        """Nothing where nothing runs that could listen."""
        return self._port(service) if self._is_database(service) or self._process(service).run else None

    def _refuse_health_of_nothing(self, names: Sequence[str]) -> None:
        for name, app in self._settings.apps.items():
            process = self._settings.processes.get(name)
            if not app.health or process is None or name not in names:
                continue
            if not process.run or process.port is None:
                lacking = "port" if process.run else "run"
                raise SettingsError(
                    f"`apps.{name}.health` has nothing to ask: `processes.{name}` has no `{lacking}`",
                    expected="a process that runs and listens",
                    hint=f"add `processes.{name}.{lacking}` in invoke.yaml, or remove `apps.{name}.health`",
                )

    def has_data(self, service: str) -> bool:
        return self._postgres.is_made if self._is_database(service) else self._data_folder(service).is_dir()

    @cached_property
    def _variables(self) -> Mapping[str, str]:
        return {**env_file.read(self._env_path), **os.environ, **self._added}

    def environment(self, service: str) -> Mapping[str, str]:
        if self._is_database(service):
            return {}
        where = f"processes.{service}.env"
        given = {
            name: env_file.expand(text, self._variables, f"{where}.{name}")
            for name, text in self._process(service).env.items()
        }
        port = self._port(service)
        said = {"HOST": _HOST, "PORT": str(port)} if port else {}
        return {**said, "BOOTORDER_DATA_DIR": str(self._data_folder(service)), **given}

    def _data_folder(self, service: str) -> Path:
        """Of an app that keeps something beside the database."""
        return self._state / "data" / service  # no service's name can lead out of it

    def _is_database(self, service: str) -> bool:
        if service not in self.declared():
            raise unknown("service", service, self.declared())
        return service == self._database

    def _process(self, service: str) -> ProcessSettings:
        if self._is_database(service):
            raise SettingsError(f"{service} is the database: no command runs there", hint="name one of `processes`")
        return self._settings.processes[service]

    def _folder(self, service: str) -> Path:
        folder = self._root / self._process(service).directory
        if not folder.is_dir():
            raise SettingsError(
                f"the folder of {service} is missing",
                expected=f"`processes.{service}.directory`: {folder}",
                hint="correct it in invoke.yaml",
            )
        return folder

    def _port(self, service: str) -> int | None:
        is_database = self._is_database(service)
        text = self._settings.database.port if is_database else self._process(service).port
        if text is None:
            return None
        where = "database.port" if is_database else f"processes.{service}.port"
        port = env_file.expand(text, self._variables, where)
        if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:  # noqa: PLR2004
            raise SettingsError(
                f"`{where}` is not a port",
                expected="a number from 1 to 65535",
                seen=port,
                hint="correct it in invoke.yaml or .env",
            )
        return int(port)

    def _address(self, service: str) -> Address | None:
        """Nothing for a wrong port, too, which `check` refuses: what runs can be seen and stopped even so."""
        try:
            port = self._port(service)
        except SettingsError:
            return None
        return Address(_HOST, port) if port else None

    def marks(self, service: str) -> Mapping[str, str]:
        return {LABEL: self.table.label(service, one_off=True)}

    def _commands(self, service: str) -> Marked:
        return Marked(self._processes, lambda: self.marks(service))

    # -- looking ---------------------------------------------------------------------------------------------------

    def services(self, names: Collection[str] = ()) -> Mapping[str, Service]:
        return {
            name: Service(name, seen.state, exit_code=seen.code, instance=seen.instance, address=self._address(name))
            for name, seen in self.table.look(names or self.declared()).items()
        }

    @contextlib.contextmanager
    def watched(self, pause: Callable[[float], None]) -> Iterator[Watched]:
        yield Polled(lambda name: self.services([name])[name], pause)

    def running(self) -> list[str]:
        """What of this stack runs."""
        return [name for name, seen in self.table.look(self.declared()).items() if seen.state == "running"]

    def foreign_listener(self, service: Service) -> str:
        if service.address is None:
            return ""
        found = listeners(service.address.host, service.address.port)
        if found and all(self.table.began(service.name, one.pid) for one in found):
            return ""  # else all processes are looked through
        own = self.table.below(service.name)
        if found is None:
            ports = {port for process in own for port in ports_of(process) or ()}
            return "" if service.address.port in ports else f"something that {service.name} did not start"
        others = [one for one in found if one.pid not in {process.pid for process in own}]
        if others:  # one that left its parents is known by its label, which takes a look at all processes
            labelled = {one.process.pid for one in self.table.find() if one.service == service.name and not one.one_off}
            others = [one for one in others if one.pid not in labelled]
        # A program with capabilities of its own (`setcap`) hides what it listens on from its own user.
        if any(ports_of(process) is None for process in own):
            others = [one for one in others if one.pid is not None]
        return listed([one.name for one in others]) if others else "" if found else "nothing that the system shows"

    def port_holder(self, port: int) -> str:
        holder = self._ports().get(port)
        return f"{holder} of this stack" if holder else ""

    def _ports(self) -> Mapping[int, str]:
        """Those that this stack listens on, each with its service."""
        seen = listening()  # asking each process by itself takes as long as looking at all sockets
        return {
            port: found.service
            for found in self.table.find()
            for port in (found.ports if seen is None else seen.get(found.process.pid, ()))
        }

    def log_tail(self, name: str) -> LogTail:
        return LogTail.of(name, "\n".join(line for _, line in logs.tail(self.table.log(name), LogTail.KEPT)))

    def logs(self, names: Sequence[str], *, tail: int, follow: bool) -> Iterator[tuple[str, str]]:
        files = {name: self.table.log(name) for name in names or self.declared()}
        return logs.followed(files, tail) if follow else logs.merged(files, tail)

    # -- building --------------------------------------------------------------------------------------------------

    def is_built(self, service: str) -> bool:
        if self._is_database(service):
            return self._postgres.is_installed
        return self._toolchain(service).is_ready and all(map(self._builds.was_done, self._steps(service)))

    def is_stale(self, service: str) -> bool:
        return not self._is_database(service) and not all(map(self._builds.is_done, self._steps(service)))

    def is_touched(self, service: str) -> bool:  # noqa: ARG002  # the fingerprint says so
        return False

    def is_current(self, service: str) -> bool:
        seen, order = self.table.look([service])[service], self._order(service)
        return order is not None and seen.state == "running" and seen.made_of == order.made_of

    def fingerprint(self, service: str) -> str:
        if not self.is_built(service):
            return ""
        if self._is_database(service):
            return self._postgres.version
        return sources.digest([self._toolchain(service).version, sources.of_folder(self._folder(service))])

    def build(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        if names:
            self.stop_one_offs()  # a killed run's build would go on writing into the folder, or refuse a second one
        folders: dict[str, list[str]] = {}
        for name in names:
            if self._is_database(name):
                self._postgres.install(on_line)
            else:
                self._toolchain(name).prepare(on_line)
                folders.setdefault(self._process(name).directory, []).append(name)
        at_once(self._processes, list(folders.values()), lambda its: self._build_folder(its, on_line))

    def prepare_apart(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:  # noqa: ARG002
        """What runs has its packages and builds in these folders: only what needs no command is made."""
        return [name for name in names if self.is_built(name) and not self._commands_to_run(name)]

    def _commands_to_run(self, service: str) -> list[Step]:
        return [step for step in self._steps(service) if step.argv and not self._builds.is_done(step)]

    def _build_folder(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        """What shares a folder is made one after another."""
        for name in names:
            for step in self._steps(name):
                if not self._builds.is_done(step):
                    self._builds.do(step, self._commands(name), self._surroundings(name), on_line)

    def _toolchain(self, service: str) -> Toolchain:
        self._folder(service)  # refuses one that is not there
        return self._tools_of(self._process(service).directory)

    def _tools_of(self, directory: str) -> Toolchain:
        wait = self._settings.build_wait
        return Toolchain(self._root / directory, self._state / "tools", self._commands(directory), self._say, wait)

    def _steps(self, service: str) -> list[Step]:
        """What must have been done before this service can run, in order."""
        process, folder, toolchain = self._process(service), self._folder(service), self._toolchain(service)

        def packages() -> str:
            return sources.digest([toolchain.version, sources.of_locks(folder)])

        def everything() -> str:
            environment = (f"{name}={value}" for name, value in sorted(self.environment(service).items()))
            return sources.digest([packages(), sources.of_folder(folder), *environment])

        steps = []
        if process.install:
            does = f"installing the packages of {folder.name}"
            steps.append(Step(does, process.install, folder, packages, installs=True))
        steps.append(Step(f"building {service}", process.build, folder, everything))
        return steps

    def _surroundings(self, service: str, added: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of its commands."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.upper() in _KEPT or name.upper().startswith(_KEPT_STARTS)
        }
        tools = self._toolchain(service)
        return {**kept, **tools.trust, "PATH": tools.search_path(), **self.environment(service), **(added or {})}

    # -- changing --------------------------------------------------------------------------------------------------

    def create(self, names: Sequence[str], on_line: Callable[[str], None]) -> None:
        """Nothing: a process is made when it starts."""

    def start(self, names: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        orders = {}
        for name, seen in self.table.look(names).items():
            order = self._order(name)
            if order is not None and not (seen.state == "running" and seen.made_of == order.made_of):
                orders[name] = order
        if not orders:
            return []
        # What is to be started anew, and what killed runs left, which would hold its port or change its data.
        self.table.stop([one for one in self.table.left_over() if one.one_off or one.service in orders])
        refuse_taken_ports(
            {name: [port] for name in orders if (port := self._port(name))},
            self.port_holder,
            self._where_its_port_stands,
        )
        for name in orders:
            if name == self._database:
                self._postgres.prepare(self._password(), on_line)
                orders[name] = self._postgres.order(self._port(name) or 0)  # until now nothing may have said where
            else:
                self._data_folder(name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.table.start(orders)
        return list(orders)

    def _password(self) -> str:
        name = self._settings.database.password
        if isinstance(name, SecretFile):
            return secret_files.read(self._root, name)
        return env_file.secret(self._env_path, name)

    def check_ports(self, names: Sequence[str]) -> None:
        refuse_taken_ports(
            {name: [port] for name in names if (port := self._wanted_port(name))},
            self.port_holder,
            self._where_its_port_stands,
            self._ports,
        )

    def _where_its_port_stands(self, service: str) -> str:
        text = self._settings.database.port if service == self._database else self._process(service).port
        variable = re.match(r"\$\{(\w+)", text or "")
        return f"set {variable[1]} in .env" if variable else "it stands in invoke.yaml"

    def _order(self, service: str) -> Order | None:
        """Nothing where the service is only a home for one-offs."""
        if self._is_database(service):
            return self._postgres.order(self._port(service) or 0)
        process = self._process(service)
        if not process.run:
            return None
        # What it was built of, which may be older than the sources are now; nothing of the caller's own environment,
        # so that what runs is left alone when it is started again from another terminal.
        built = map(self._builds.made_of, self._steps(service))
        declared = json.dumps([process.run, sorted(self.environment(service).items())])
        made_of = sources.digest([*built, declared])
        return Order(process.run, self._folder(service), self._surroundings(service), made_of)

    def stop(self) -> Sequence[str]:
        found = self.table.find()
        # The database last: an app that loses it would fail before it can end.
        last = [one for one in found if one.service == self._database]
        self.table.stop([one for one in found if one not in last])
        self.table.stop(last)
        self._require_silence()
        return sorted({one.service for one in found})

    def _require_silence(self) -> None:
        """Raises MachineError where something of the stack goes on starting processes while they are ended."""
        for _ in range(_LOOKS):
            left = self.table.find()
            if not left:
                return
            self.table.stop(left)  # started while the others ended
        names = ", ".join(sorted({one.service for one in left}))
        raise MachineError(
            "the stack could not be stopped",
            expected="no process of it runs",
            seen=f"{names} goes on starting new ones, faster than they can be ended",
            hint=f"stop it again, or see what it starts: {command(f'logs --service {left[0].service}')}",
        )

    def runs_apart(self) -> str:
        return ""  # a stack has the name of its folder

    def stop_services(self, names: Collection[str]) -> None:
        self.table.stop([found for found in self.table.find() if found.service in names and not found.one_off])

    def stop_one_offs(self) -> None:
        self.table.stop([found for found in self.table.left_over() if found.one_off])

    def check_removal(self) -> None:
        """Nothing: all data stand in the state folder."""

    def remove(self) -> Mapping[str, Sequence[str]]:
        stopped = self.stop()
        data = [*self._postgres.remove(), *self._remove_app_data()]
        built = self._builds.forget()
        self.table.forget()
        return {"process": stopped, "data folder": data, "build": built}

    def _remove_app_data(self) -> Iterator[str]:
        """Also of services that invoke.yaml no longer has, and what a killed run left."""
        for folder in sorted((self._state / "data").glob("*")):
            if folder.is_dir() and any(folder.iterdir()):  # most apps keep nothing
                yield str(folder)
            if folder.name.endswith(state_files.ASIDE):
                state_files.remove(folder)
            else:
                state_files.remove_at_once(folder)

    def run_once(
        self,
        service: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: Limit | None = None,
    ) -> Completed:
        folder, surroundings = self._folder(service), self._surroundings(service, env)
        label = self.table.label(service, one_off=True)
        commands = Marked(self._processes, lambda: {LABEL: label})
        try:
            return commands.run(argv, cwd=folder, env=surroundings, on_line=on_line, inherit=False, limit=limit)
        finally:
            self.table.kill(label)  # as in a container: with its first process ends all that it started

    def psql(self, service: str, variables: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
        # What listens there instead gets no password itself (PGREQUIREAUTH is of PostgreSQL 16 and later).
        server = {"PGHOST": _HOST, "PGPORT": str(self._port(service)), "PGREQUIREAUTH": "scram-sha-256"}
        return [self._postgres.program("psql")], {**variables, **server}
