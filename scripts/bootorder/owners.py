"""An owner: a schema tool, where it is at home, how it is run, and what it would make."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql

from . import catalog, sources, state_files
from .catalog import Catalog
from .database import Target
from .errors import LogTail, MigrationError, SettingsError
from .guard.roles import Repair, apply, grant_repairs
from .guard.snapshots import Seen, Snapshot
from .guard.untouched import untouched
from .migrators import BY_NAME, Migrator
from .places import Place
from .pointing import as_written, connects_as, pointed_at, variables_of
from .processes import Completed, tool_limit
from .scratch import let_in, scratch_database
from .settings import OwnerSettings
from .sources import digest
from .terminal import counted

if TYPE_CHECKING:
    from .boot import Boot


# What a tool is pointed at that needs no database: nothing listens there, and no server has it.
_NO_DATABASE = Target("127.0.0.1", 1, "bootorder_no_database", "", "")


class Owner:
    """One owner in one boot."""

    def __init__(self, place: Place, settings: OwnerSettings, boot: Boot) -> None:
        self.name = place.owner
        self.place = place
        self.settings = settings
        self.migrator: Migrator = BY_NAME[settings.migrator]
        self._boot = boot
        self._rehearsal: Catalog | None = None

    def target(self, stack: Target) -> Target:
        """The database that its tables are in, as the tasks reach it."""
        return replace(stack, name=self.place.database)

    def check(self) -> None:
        """Raises SettingsError where its commands could not be run, or would run as somebody else."""
        self._environment()
        if self.settings.run == "host" and not self._directory().is_dir():
            raise SettingsError(
                f"the folder of owner {self.name} is missing",
                expected=f"`owners.{self.name}.directory`: {self._directory()}",
                hint="correct it in invoke.yaml",
            )

    def _environment(self) -> Mapping[str, str]:
        """What its tool is given: this owner's role, in this owner's database."""
        place, service = self.place, self.settings.service
        environment = self._boot.runtime.environment(service)
        variables = variables_of(self.settings)
        missing = ", ".join(name for name in variables if not environment.get(name))
        if missing:
            raise SettingsError(
                f"owner {self.name}: service {service} has no {missing}",
                expected=f"{missing} in its environment, so that its tool can be pointed at a database",
                hint=f"add {missing} to {service}, or set `owners.{self.name}.{self._says_variables()}`",
            )
        for names, seen in connects_as(self.settings, environment).items():
            if seen == (place.role, place.database):
                continue
            wanted = as_written(self.settings, place, self._boot.settings.database.name)
            mend = f"write it so in compose.yaml and invoke.yaml; {place.password} is made in .env"
            if self._boot.settings.compose:
                mend = f"add {service} to `owners.{self.name}.connects`: then the tasks give it that"
            raise SettingsError(
                f"owner {self.name}: {names} of {service} does not connect as its own role",
                expected=", ".join(wanted.values() if len(wanted) == 1 else map("=".join, wanted.items())),
                seen=f"the role {seen[0] or '(none)'} and the database {seen[1] or '(none)'}, not {place.role} and"
                f" {place.database}",
                hint=mend,
            )
        return environment

    def _says_variables(self) -> str:
        return "variables" if self.settings.variables else "url_variable"

    def run(
        self, argv: Sequence[str], database: Target | None = None, *, name: str = "", as_its_user: bool = False
    ) -> Completed:
        """Run one of the owner's commands at home, on the stack's database or on another one.

        `name`: what the timeline calls it, where the command does not say. `as_its_user`: not as the owner's role, but
        as the tasks connect to that database.
        """
        with self._boot.timeline.span(name or " ".join(argv), "tool") as span:
            done = self._run(argv, database, as_its_user=as_its_user)
            span.outcome, span.text = "failed" if done.code else "done", f"exit code {done.code}"
            return done

    def _run(self, argv: Sequence[str], database: Target | None, *, as_its_user: bool) -> Completed:
        given, limit = self._environment(), tool_limit(self.settings.wait, self.name)
        if self.settings.run == "host":
            database = database or self.target(self._boot.target())
            environment = {**given, **self._boot.runtime.marks(self.settings.service)}
            environment |= pointed_at(self.settings, given, database, from_host=True, as_its_user=as_its_user)
            return self._boot.processes.run(
                argv, cwd=self._directory(), env=environment, on_line=self._boot.console.detail, limit=limit
            )
        changed = pointed_at(self.settings, given, database, as_its_user=as_its_user) if database else {}
        return self._boot.runtime.run_once(self.settings.service, argv, changed, self._boot.console.detail, limit)

    def fingerprint(self) -> str:
        """Changes with the owner's sources, tool version or command, and with the server that is asked what they made.

        Empty where that is not known.
        """
        runtime = self._boot.runtime
        made_of = (
            sources.of_folder(self._directory())
            if self.settings.run == "host"
            else runtime.fingerprint(self.settings.service)
        )
        server = runtime.fingerprint(self._boot.settings.database.service)
        home = f"{self.place.role} {self.place.schema} {self.place.needs}"
        return digest([made_of, server, home, catalog.QUERY, *self.settings.migrate]) if made_of else ""

    def seed_fingerprint(self) -> str:
        """Changes also with the environment: a seed writes addresses and passwords into its rows. May be empty, too."""
        made_of = self.fingerprint()
        if not made_of:
            return ""
        environment = self._boot.runtime.environment(self.settings.service)
        return digest([made_of, *self.settings.seed, json.dumps(environment, sort_keys=True)])

    def rehearsed(self) -> Catalog | None:
        """What the tool makes, if it was rehearsed in this boot or since its sources last changed."""
        if self._rehearsal:
            return self._rehearsal
        kept_for, made = self._kept() or ("", None)
        fingerprint = self.fingerprint()
        return made if fingerprint and kept_for == fingerprint else None

    def rehearse(self, stack: Target) -> Catalog:
        """Run the tool on an empty scratch database: what it leaves there is what this owner owns.

        The owners whose tables it reads or refers to make theirs there first.
        """
        known = self.rehearsed()
        if known:
            return known
        cause = "it was not rehearsed since its sources changed"
        with self._boot.timeline.span(f"rehearse {self.name}", "owner", cause=cause) as span:
            made = self._rehearse(stack)
            span.text = f"it makes {counted(len(made.tables()), 'table')}"
            return made

    def _rehearse(self, stack: Target) -> Catalog:
        if self.check_models() is None:
            command = " ".join(self.settings.migrate)
            self._boot.console.note(f"{self.name}: whether `{command}` knows every model is not looked at")
        target, fingerprint = self.target(stack), self.fingerprint()  # what is edited meanwhile may not be in it
        with self.watched(stack), self.scratch(target, self.name) as scratch:
            for other in self._before():
                with let_in(scratch, other.place.role):
                    other.run(other.settings.migrate, scratch)
            with let_in(scratch, self.place.role):
                done = self.run(self.settings.migrate, scratch)
            with scratch.connect() as connection:
                made = catalog.read(connection).of(self.place.role)
        claim = self.migrator.claim(done)
        if not claim.succeeded or done.code or not made.tables():
            raise MigrationError(
                f"{self.name}: {self.migrator.name} failed on an empty database: {claim.text}",
                expected="its tables in a new, empty database; the stack's own was not touched",
                seen=f"exit code {done.code}, {len(made.tables())} tables",
                log=self.log_tail(self.settings.migrate, done),
                hint=done.hint(self.migrator.hint),
            )
        self._rehearsal = made
        state_files.make_folder(self._cache().parent)
        state_files.write(self._cache(), json.dumps({"fingerprint": fingerprint, "catalog": made.as_data()}))
        return made

    def tables(self, stack: Target) -> set[tuple[str, str]]:
        """Those that belong to it now."""
        with self.target(stack).connect() as connection:
            return catalog.tables_of(connection, self.place.role)

    def log_tail(self, argv: Sequence[str], done: Completed) -> LogTail:
        """The last lines of a run of its tool; of one that does not say why it failed, those of the server."""
        if self.migrator.claim(done).is_silent:
            return self._boot.runtime.log_tail(self._boot.settings.database.service)
        return LogTail.of(" ".join(argv), done.text)

    def check_models(self) -> Sequence[str] | None:
        """Its models, by name; None where they cannot be known. Raises MigrationError where one would get no table."""
        check = self.migrator.check_models
        if not check:
            return []

        def run(command: Sequence[str]) -> Completed:
            return self.run(command, _NO_DATABASE, name=f"look for the models of {self.name}")

        return check(self.name, self.settings.migrate, run)

    def rehearsal(self, stack: Target) -> Catalog:
        """What the tool makes; rehearsed now, under the lock, when nobody has since its sources changed."""
        known = self.rehearsed()
        if known:
            return known
        with self._boot.locked(stack):
            return self.rehearse(stack)

    def _before(self) -> Sequence[Owner]:
        """Those that must have migrated first, in their order."""
        needed: dict[str, None] = {}

        def add(place: Place) -> None:
            for other in place.needs:
                if other.owner not in needed:
                    needed[other.owner] = None
                    add(other)

        add(self.place)
        return [owner for owner in self._boot.owners if owner.name in needed]

    @contextlib.contextmanager
    def scratch(self, target: Target, purpose: str, *, clone: bool = False) -> Iterator[Target]:
        """A scratch database, see `scratch_database`, in which this owner's tool can work."""
        with contextlib.ExitStack() as held:
            with self._boot.timeline.span("clone the database" if clone else "make a database", "database"):
                scratch = held.enter_context(scratch_database(target, purpose, clone=clone))
            try:
                self._prepare(scratch, alone=not clone)
                yield scratch
            finally:
                with self._boot.timeline.span("drop the database", "database"):
                    held.close()

    def _prepare(self, scratch: Target, *, alone: bool) -> None:
        """The schemas, rights and search paths of the stack's own database, which no copy of it has.

        `alone`: nobody may connect until it is let in.
        """
        places = self._boot.places.values()
        here = [place for place in places if place.database == self.place.database]
        with scratch.connect() as connection:
            repairs = grant_repairs(connection, here, places)
            if alone:
                roles = sql.SQL(", ").join(sql.Identifier(place.role) for place in here)
                keep_out = sql.SQL("revoke all on database {} from {}").format(sql.Identifier(scratch.name), roles)
                repairs.append(Repair("", keep_out))
            apply(connection, repairs)

    def look(self, target: Target) -> Snapshot:
        """What of this database is its own and what is not."""
        return Seen.look(target, self._boot.logins).of(self.place.role)

    @contextlib.contextmanager
    def watched(self, stack: Target) -> Iterator[None]:
        """Raises GuardError where its tool, sent to a scratch database, changed something of the stack instead."""
        places = self._boot.places.values()
        databases = dict.fromkeys([stack.name, *(place.database for place in places)])
        variables = ", ".join(variables_of(self.settings))
        with untouched(
            [replace(stack, name=name) for name in databases],
            self.place.role,
            [place.role for place in places],
            f"{self.name}: {self.migrator.name}",
            f"point the tool at {variables}, or set `owners.{self.name}.{self._says_variables()}`",
        ):
            yield

    def _kept(self) -> tuple[str, Catalog] | None:
        """The cache: a fingerprint, and what the tool made then. None where there is none that can be read."""
        return state_files.read(
            self._cache(),
            lambda data: (data["fingerprint"], Catalog.from_data(data["catalog"])),
            self._boot.console.note,
        )

    def _cache(self) -> Path:
        return rehearsal_file(self._boot.state_folder, self.name)

    def _directory(self) -> Path:
        return self._boot.root / self.settings.directory


def rehearsal_file(state_folder: Path, owner: str) -> Path:
    """What its tool made when it was last rehearsed."""
    return state_folder / "rehearsals" / f"{digest([owner])[:12]}.json"
