"""What every stage is given: the stack, the runtime, the database, the owners, and whom to talk to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from . import env_file, records, scratch, secret_files, state_files
from .console import Console
from .database import Target
from .errors import BootError, NotReadyError, SettingsError, command
from .migration_lock import MigrationLock, migration_lock
from .owners import Owner
from .places import Place, places
from .probes import Clock, Failed, NotYet
from .processes import Processes
from .redaction import SECRETS
from .rows import Logins
from .runtimes.base import Runtime, Service
from .settings import AppSettings, LayoutName, SecretFile, Settings, unknown
from .sql_files import read_sql
from .timeline.spans import Timeline
from .tool_watch import watched

STATE_FOLDER = ".bootorder"


@dataclass(frozen=True)
class Boot:
    """One stack on one runtime."""

    root: Path
    settings: Settings
    runtime: Runtime
    processes: Processes
    console: Console
    clock: Clock
    layout: LayoutName = "shared"
    quick: bool = False
    skips_unchanged: bool = False  # whether a tool is left out that did its work on what there is
    accept_data_loss: bool = False
    reseed: Collection[str] = ()  # the owners that are to be seeded again
    asked_for: Collection[str] = ()  # optional services to start too
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)  # --runtime and --with, as they were given
    elsewhere: Callable[[], BootError | None] = lambda: None  # whether the other runtime runs this stack
    timeline: Timeline = field(default_factory=Timeline)
    started: set[str] = field(default_factory=set)  # services, in this boot
    _built: set[str] = field(default_factory=set)
    _locks: list[MigrationLock] = field(default_factory=list)  # the migration lock, while it is held

    @property
    def state_folder(self) -> Path:
        """Caches, the lock, logs; and, without Docker, the database."""
        return self.root / STATE_FOLDER

    @cached_property
    def env_path(self) -> Path:
        return env_file.path_of(self.root, self.settings.compose)

    @property
    def secrets(self) -> Sequence[str]:
        """The variables that .env must have."""
        owners = [place.password for place in self.places.values()]
        database = self.settings.database.password
        names = dict.fromkeys([*([database] if database else []), *owners, *self.settings.secrets])
        return [name for name in names if not isinstance(name, SecretFile)]

    @property
    def secret_files(self) -> Sequence[SecretFile]:
        """The files that must hold a password."""
        names = [self.settings.database.password, *(place.password for place in self.places.values())]
        return [name for name in names if isinstance(name, SecretFile)]

    def secret(self, name: str) -> str:
        """Return a password by its variable or file. Raises SettingsError where there is none."""
        if isinstance(name, SecretFile):
            return secret_files.read(self.root, name)
        return env_file.secret(self.env_path, name)

    @property
    def passwords(self) -> Sequence[str]:
        """The variables that hold what only one part of the stack is to know, wherever they are set."""
        in_service = self.settings.database.service_password
        return [*self.secrets, *([in_service] if in_service else [])]

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """Where each owner lives, in the order in which they migrate."""
        return places(self.settings, self.layout)

    @cached_property
    def owners(self) -> Sequence[Owner]:
        return [Owner(place, self.settings.owners[name], self) for name, place in self.places.items()]

    @cached_property
    def beside(self) -> Sequence[str]:
        """What is started with the database; of the optional ones those that were asked for."""
        return [name for name in self.settings.database.beside if self._is_wanted(name)]

    def _is_wanted(self, name: str) -> bool:
        return name in self.asked_for or name not in self.runtime.optional()

    @cached_property
    def apps(self) -> Mapping[str, AppSettings]:
        """Every service that is not the database, not beside it, not a one-off and not left out; with its settings."""
        database = self.settings.database
        # An owner that creates at start is at home in its app; the others may have a one-off of their own.
        one_offs = {owner.settings.service for owner in self.owners if not owner.migrator.creates_at_start}
        others = {database.service, *database.beside, *(one_offs - set(self.settings.apps))}
        declared = self.runtime.declared()
        wanted = [name for name in declared if name not in others and self._is_wanted(name)]
        return {name: self.settings.apps.get(name, AppSettings()) for name in wanted}

    def check(self) -> None:
        """Raises what a boot would fail with later, when the stack has been stopped already or its data are gone."""
        env_file.check(self.env_path)
        self.check_names()
        for name in self.settings.database.before:
            read_sql(self.root, name, "database.before")
        for owner in self.owners:
            owner.check()
        used = [self.settings.database.service, *self.beside, *self.apps, *(o.settings.service for o in self.owners)]
        self.runtime.check(list(dict.fromkeys(used)))

    def check_names(self) -> None:
        """Raises SettingsError where invoke.yaml names a service that the runtime does not know."""
        database = self.settings.database
        owners = (owner.service for owner in self.settings.owners.values())
        declared = self.runtime.declared()
        for name in (database.service, *database.beside, *owners, *self.settings.apps):
            if name not in declared:
                raise unknown("service in invoke.yaml", name, declared)
        for owner in self.owners:
            app = self.settings.apps.get(owner.settings.service, AppSettings())
            if owner.migrator.creates_at_start and app.after not in {"migrate", "seed"}:
                raise SettingsError(
                    f"{owner.settings.service} cannot start after {app.after}: it makes the tables of {owner.name}",
                    expected="a start after the others have migrated",
                    hint=f"set `apps.{owner.settings.service}.after` to migrate, or remove it",
                )
        for name in self.asked_for:
            if name not in declared:
                raise unknown("service to start --with", name, self.runtime.optional() or declared)

    def learn_secrets(self) -> None:
        """Let nothing be printed of what .env or the environment say. Names that are no secrets are learnt, too."""
        database = self.settings.database
        names = {database.name, database.user, database.service, *database.beside, *self.settings.owners}
        names |= {*self.settings.apps, *self.settings.processes}
        for place in self.places.values():
            names |= {place.role, place.schema, place.database}
        given = {name: os.environ[name] for name in self.secrets if name in os.environ}
        SECRETS.learn(given, required=self.secrets, names=names)
        with suppress(BootError):  # a .env that cannot be read is refused where it is needed
            env_file.read(self.env_path)
        secret_files.learn(self.root, self.secret_files)

    def learn_declared(self) -> None:
        """The same of what the runtime says, which is asked a moment later."""
        database = self.settings.database
        SECRETS.learn(names=self.runtime.declared())
        if name := database.service_password:
            SECRETS.learn({name: self._password()}, required=[name])

    def lost_password(self) -> SettingsError | None:
        """That there are data, and .env does not have their password: a new one would not open them."""
        name = self.settings.database.password
        written = env_file.written(self.env_path)
        if isinstance(name, SecretFile):
            return self._lost_file(name)
        if not name or written.get(name) or name in os.environ:
            return None
        with env_file.lent(self.env_path, self.secrets):
            if not self.runtime.has_data(self.settings.database.service):
                return None
        lacking, back = f".env has no {name}", f"{name} back into .env"
        if not self.env_path.exists():
            lacking, back = "there is no .env", ".env back"
        first = f"remove the empty line of {name}, then " if name in written else ""
        return SettingsError(
            f"this stack has data, and their password is lost: {lacking}",
            expected=f"{self.env_path} with the {name} that the data were made with",
            hint=f"put {back}, or give the rows up: {first}{command('start --clean')}",
        )

    def _lost_file(self, name: SecretFile) -> SettingsError | None:
        if not secret_files.missing(self.root, name):
            return None
        with env_file.lent(self.env_path, self.secrets):
            if not self.runtime.has_data(self.settings.database.service):
                return None
        return SettingsError(
            f"this stack has data, and their password is lost: there is no file {name}",
            expected=f"{self.root / name} with the password that the data were made with",
            hint=f"put the file back, or give the rows up: {command('start --clean')}",
        )

    def target(self) -> Target:
        """The stack's database as it is reached from this machine now."""
        database = self.settings.database
        service = self.database_service()
        address = service.address
        if not service.running:  # what answers on its port now would be somebody else's
            raise self._not_there(f"a running {database.service}", service.state)
        if address is None and self.settings.compose:
            seen = f"{database.service} runs without one: the tasks did not start it"
            raise self._not_there("the port that the tasks give it", seen)
        if address is None:
            raise SettingsError(
                f"{database.service} publishes no port",
                expected="a loopback port in compose.yaml, so that the tasks reach the database",
                hint=f'add `ports: ["127.0.0.1:5432:5432"]` to {database.service} in compose.yaml',
            )
        return Target(address.host, address.port, database.name, database.user, self._password())

    def _password(self) -> str:
        """That of the tasks' own role."""
        database = self.settings.database
        if database.password:
            return self.secret(database.password)
        return self.runtime.environment(database.service).get(database.service_password, "")

    @property
    def logins(self) -> Logins:
        """How the tasks connect as each owner, to read rows of its own."""
        return {place.role: self.secret(place.password) for place in self.places.values()}

    def require_database(self) -> Target:
        """The database, if it answers now; otherwise names the stage that makes it do so."""
        with self.database() as target:
            return target

    @contextmanager
    def database(self) -> Iterator[Target]:
        """The same, with one connection for what is asked of it within the block. See `Target.kept`."""
        target = self.target()
        with target.kept():
            self._require_answer(target)
            yield target

    def _require_answer(self, target: Target) -> None:
        look = target.look()
        if isinstance(look, Failed):
            raise look.error
        if isinstance(look, NotYet):
            raise self._not_there(f"an answer on {target.address}", look.seen)

    def _not_there(self, expected: str, seen: str) -> NotReadyError:
        return NotReadyError(
            "the database does not answer",
            expected=expected,
            seen=seen,
            hint=f"start it first: {command('db-up wait-db')}",
            first=("db-up", "wait-db"),
        )

    @contextmanager
    def locked(self, target: Target) -> Iterator[MigrationLock]:
        """One at a time of guard, migrate and seed, whoever runs them and from where. See `migration_lock`.

        What a start that was killed left in the database is ended first.
        """
        with ExitStack() as held:
            with self.timeline.span("the lock", "wait", cause="one migration at a time") as span:
                lock = held.enter_context(migration_lock(target, self.settings.database.lock_wait, self.console.note))
                span.text = f"held by {lock.waited_for}" if lock.waited_for else "free"
            for line in records.end_left_sessions(target, self._databases(target)):
                self.console.note(line)
            scratch.drop_left_over(target)
            self._locks.append(lock)
            try:
                yield lock
            finally:
                self._locks.remove(lock)

    def _databases(self, target: Target) -> Sequence[str]:
        """The names of all that the stack has."""
        return list(dict.fromkeys([target.name, *(place.database for place in self.places.values())]))

    @contextmanager
    def tool_at_work(self, role: str) -> Iterator[None]:
        """Watch the database while a tool works as this role, where the migration lock is held. See `tool_watch`."""
        if not self._locks:
            yield
            return
        with watched(self._locks[-1], role, self.settings.database.blocked_wait, self.processes.end_all):
            yield

    def database_service(self) -> Service:
        name = self.settings.database.service
        return self.runtime.services([name])[name]

    def note_stopped(self, names: Sequence[str]) -> None:
        """Remember what is stopped on purpose: its exit code looks like a crash."""
        self._note_instances("stopped.json", names)

    def was_stopped(self, service: Service) -> bool:
        """Whether this instance of it was, and not one that was started since."""
        return bool(service.instance) and self._noted_instances("stopped.json").get(service.name) == service.instance

    def note_tables_made(self, names: Sequence[str]) -> None:
        """Remember which instances have made the tables that their start makes: they make none later."""
        self._note_instances("tables-made.json", names)

    def has_made_tables(self, service: Service) -> bool:
        """Whether one of its replicas that run now has, and not only such as were started since."""
        noted = self._noted_instances("tables-made.json").get(service.name, "")
        return bool(service.instance) and not set(service.instance.split(", ")).isdisjoint(noted.split(", "))

    def _note_instances(self, file: str, names: Sequence[str]) -> None:
        declared = set(self.runtime.declared())
        known = [name for name in names if name in declared]  # not a service that was renamed since it was started
        if not known:
            return
        services = self.runtime.services(known)
        instances = {**self._noted_instances(file), **{name: services[name].instance for name in known}}
        state_files.make_folder(self.state_folder)
        state_files.write(self.state_folder / file, json.dumps(instances))

    def _noted_instances(self, file: str) -> Mapping[str, str]:
        path = self.state_folder / file
        return state_files.read(path, lambda data: {str(n): str(i) for n, i in data.items()}, self.console.note) or {}

    def build(self, names: Sequence[str]) -> None:
        """Make the images of these services, once a boot; with `quick` only those that were never made."""
        wanted = [name for name in dict.fromkeys(names) if name not in self._built]
        kept = [name for name in wanted if self.quick and self.runtime.is_built(name)]
        for name in kept:
            if self.runtime.is_stale(name):
                self.console.note(
                    f"{name} runs what was built of other sources, packages or `env`; {command('start')} builds it anew"
                )
        if anew := [name for name in wanted if name not in kept]:
            with self.timeline.span(f"build {', '.join(anew)}", "build", cause="services run what was built"):
                self.runtime.build(anew, self.console.detail)
        self._built.update(wanted)
