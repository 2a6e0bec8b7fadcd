"""An owner: a schema tool, where it is at home, how it is run, and what it would make."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from psycopg import sql

from . import catalog, env_file, sources, state_files
from .catalog import Catalog
from .database import LONG_SECONDS, Target
from .errors import LogTail, MachineError, MigrationError, SettingsError, command
from .guard.names import refuse_decoys, refuse_foreign_casts, take_names
from .guard.roles import Repair, apply, grant_repairs
from .guard.snapshots import Seen, Snapshot
from .guard.triggers import cover, trigger_repairs
from .guard.untouched import untouched
from .migrators import BY_NAME, Migrator
from .migrators.hints import hint_of
from .own_schema import refuse_foreign_objects
from .places import Place
from .pointing import as_written, connects_as, misread_password, pointed_at, variables_of
from .processes import Completed, find_program, tool_limit
from .readers import Readers
from .records import record, recorded
from .schema_copy import copy_schema
from .scratch import InUseError, let_in, scratch_database
from .settings import OwnerSettings, SecretFile
from .sources import digest
from .sql_files import read_sql, send_sql

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
        self._base: Catalog | None = None

    def target(self, stack: Target) -> Target:
        """The database that its tables are in, as the tasks reach it."""
        return replace(stack, name=self.place.database)

    def check(self) -> None:
        """Raises SettingsError where its commands could not be run, or would run as somebody else."""
        self._environment()
        self._base_files()
        if self.settings.run == "host" and not self._directory().is_dir():
            raise SettingsError(
                f"the folder of owner {self.name} is missing",
                expected=f"`owners.{self.name}.directory`: {self._directory()}",
                hint="correct it in invoke.yaml",
            )

    def require_command(self, setting: str, argv: Sequence[str]) -> None:
        """Raises MachineError where this machine is to run a command, and does not have it."""
        if self.settings.run != "host" or not argv:
            return
        path = {**os.environ, **self._environment()}.get("PATH", "")
        if not find_program(argv[0], self._directory(), path):
            raise MachineError(
                f"owner {self.name}: this machine has no {argv[0]}",
                expected=f"a program for `owners.{self.name}.{setting}`: {' '.join(argv)}",
                seen=f"none on PATH, looked for in {self._directory()}",
                hint=f"install {argv[0]}, or correct `owners.{self.name}.{setting}` in invoke.yaml",
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
        self._check_password(environment)
        for names, seen in connects_as(self.settings, environment).items():
            if seen == (place.role, place.database):
                continue
            wanted = as_written(self.settings, place, self._boot.settings.database.name)
            made = f"{place.password} is made" + ("" if isinstance(place.password, SecretFile) else " in .env")
            mend = f"write it so in compose.yaml and invoke.yaml; {made}"
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

    def _check_password(self, environment: Mapping[str, str]) -> None:
        """Raises SettingsError where its tool, or an app with the same URL, would connect with another password."""
        name, boot = self.place.password, self._boot
        password = env_file.read(boot.env_path).get(name, os.environ.get(name, ""))
        if not password or quote(password, safe="") == password:
            return
        for service in dict.fromkeys([self.settings.service, *boot.runtime.declared()]):
            given = environment if service == self.settings.service else boot.runtime.environment(service)
            variable, wrong = misread_password(self.settings, given, password)
            if not variable:
                continue
            other = f"put NAME='...' with its percent-encoded form there, and ${{NAME}} into that URL of {service}"
            if self.settings.variables.get("password") == variable:
                other = f"write ${{{name}}} into {variable} of {service}"
            raise SettingsError(
                f"owner {self.name}: {service} would connect with another password than {name}",
                expected=f"{name} as it is in a variable of its own; in a URL with %40 for @, %3A for :, %2F for /,"
                " %3F for ?, %23 for #, %25 for %",
                seen=f"{variable} of {service} {wrong}",
                hint=f"give {name} letters and digits only in {boot.env_path.name} (the guard then sets it for the role"
                f" {self.place.role}), or {other}",
            )

    def _says_variables(self) -> str:
        return "variables" if self.settings.variables else "url_variable"

    def run(
        self, argv: Sequence[str], database: Target | None = None, *, name: str = "", as_its_user: bool = False
    ) -> Completed:
        """Run one of the owner's commands at home, on the stack's database or on another one.

        `name`: what the timeline calls it, where the command does not say. `as_its_user`: not as the owner's role, but
        as the tasks connect to that database.
        """
        at_work = contextlib.nullcontext() if database is _NO_DATABASE else self._boot.tool_at_work(self.place.role)
        with self._boot.timeline.span(name or " ".join(argv), "tool") as span, at_work:
            done = self._run(argv, database, as_its_user=as_its_user)
            span.outcome, span.text = "failed" if done.code else "done", f"exit code {done.code}"
            return done

    def _run(self, argv: Sequence[str], database: Target | None, *, as_its_user: bool) -> Completed:
        given, limit, place = self._environment(), tool_limit(self.settings.wait, self.name), self.place
        if self.settings.run == "host":
            database = database or self.target(self._boot.target())
            # What this person's shell has, but no password of the stack that is exported there: an owner has its own.
            kept = {name: value for name, value in os.environ.items() if name not in self._boot.passwords}
            environment = {**kept, **given, **self._boot.runtime.marks(self.settings.service)}
            file = str(self._boot.root / place.password) if isinstance(place.password, SecretFile) else ""
            environment |= pointed_at(
                self.settings, given, database, from_host=True, as_its_user=as_its_user, password_file=file
            )
            try:
                return self._boot.processes.run(
                    argv,
                    cwd=self._directory(),
                    env=environment,
                    on_line=self._boot.console.detail,
                    inherit=False,
                    limit=limit,
                )
            except FileNotFoundError:  # as a shell says it
                text = f"{argv[0]}: command not found\n"
                return Completed(127, "", text)
        changed = pointed_at(self.settings, given, database, as_its_user=as_its_user) if database else {}
        return self._boot.runtime.run_once(self.settings.service, argv, changed, self._boot.console.detail, limit)

    def fingerprint(self) -> str:
        """Changes with the owner's sources, tool version or command, and with the server that is asked what they made.

        Empty where that is not known.
        """
        made_of = self._made_of()
        server = self._boot.runtime.fingerprint(self._boot.settings.database.service)
        home = f"{self.place.role} {self.place.schema} {self.place.needs}"
        base = [*self.settings.before, *self._base_files().values()]
        return digest([made_of, server, home, catalog.QUERY, *self.settings.migrate, *base]) if made_of else ""

    def _made_of(self) -> str:
        """Changes with the sources of its commands. Empty where they are not known."""
        if self.settings.run == "host":
            return sources.of_folder(self._directory())
        return self._boot.runtime.fingerprint(self.settings.service)

    def seed_fingerprint(self) -> str:
        """Changes with the seed: its sources, command and environment, which it may write into rows. May be empty, too.

        Not with where its tables are, which a `guard --move-to` changes.
        """
        made_of = self._made_of()
        if not made_of:
            return ""
        given = self._boot.runtime.environment(self.settings.service)
        where = {*variables_of(self.settings), *self.settings.more_urls}
        environment = {name: value for name, value in given.items() if name not in where}
        return digest([made_of, *self.settings.seed, json.dumps(environment, sort_keys=True)])

    def rehearsed(self) -> Catalog | None:
        """What the tool makes, if it was rehearsed in this boot or since its sources last changed."""
        if self._rehearsal:
            return self._rehearsal
        kept_for, made = self._kept() or ("", None)
        fingerprint = self.fingerprint()
        return made if fingerprint and kept_for == fingerprint else None

    def is_changed(self) -> bool:
        """Whether it may make something else than when it was last rehearsed."""
        is_touched = self.settings.run != "host" and self._boot.runtime.is_touched(self.settings.service)
        return is_touched or self.rehearsed() is None

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
            span.text = f"it makes {catalog.described(made)}"
            return made

    def _rehearse(self, stack: Target) -> Catalog:
        if self.check_models() is None:
            command = " ".join(self.settings.migrate)
            self._boot.console.note(f"{self.name}: whether `{command}` knows every model is not looked at")
        target, fingerprint = self.target(stack), self.fingerprint()  # what is edited meanwhile may not be in it
        with self.watched(stack), self.scratch(target, self.name) as scratch:
            for other in self._before():
                with let_in(scratch, other.place.role):
                    other.lay_base(scratch)
                    other.run(other.settings.migrate, scratch)
            with let_in(scratch, self.place.role):
                self.lay_base(scratch)
                done = self.run(self.settings.migrate, scratch)
                claim = self.migrator.claim(done)
                with scratch.connect() as connection:
                    made = catalog.read(connection).of(self.place.role)
                is_complete = claim.succeeded and not done.code
                is_doubtful = made.objects and not claim.succeeded and not done.code
                believed = is_doubtful and self._only_drops_are_left(scratch)
        if believed:
            self._boot.console.note(
                f"{self.name}: {self.migrator.name} said `{claim.text}` on an empty database; asked again, it has"
                " nothing left to make"
            )
        if not made.objects or not (is_complete or believed):
            raise MigrationError(
                f"{self.name}: {self.migrator.name} failed on an empty database: {claim.text}",
                expected="its tables in a new, empty database; the stack's own was not touched",
                seen=f"exit code {done.code}, {catalog.described(made) if made.objects else '0 tables'}",
                log=self.log_tail(self.settings.migrate, done),
                hint=self.hint(self.settings.migrate, done),
            )
        self._rehearsal = made
        state_files.make_folder(self._cache().parent)
        state_files.write(self._cache(), json.dumps({"fingerprint": fingerprint, "catalog": made.as_data()}))
        return made

    def _only_drops_are_left(self, scratch: Target) -> bool:
        """Whether a tool whose push ended in an error has made all that it makes, as it says when it is run again.

        drizzle-kit 0.31 ends by dropping what is not in its schema (the schema that a `pgSchema` names without being
        exported, a foreign sequence), and PostgreSQL refuses that.
        """
        again = self.migrator.asked_what_is_left(self.settings.migrate)
        left = self.migrator.left_to_do(self.run(again, scratch)) if again else None
        return left is not None and all(statement.upper().startswith("DROP ") for statement in left)

    def as_made(self, expected: Catalog, own: Catalog) -> Catalog:
        """What there is of what its tool makes; without what was added and does no harm, see `without_additions`."""
        return catalog.without_additions(expected, own.only(expected.relations()), self.settings.also)[0]

    def readers(self, stack: Target, gaps: Sequence[str]) -> Readers:
        """The views of other owners that stand in the way of these differences, see `Readers`."""
        if not gaps:
            return Readers([], "")
        with self.target(stack).connect() as connection:
            return Readers.of(connection, self.place.role, gaps, self._boot.places.values())

    def tables(self, stack: Target) -> set[tuple[str, str]]:
        """Those that belong to it now."""
        with self.target(stack).connect() as connection:
            return catalog.tables_of(connection, self.place.role)

    def log_tail(self, argv: Sequence[str], done: Completed) -> LogTail:
        """The last lines of a run of its tool; of one that does not say why it failed, those of the server."""
        if self.migrator.claim(done).is_silent:
            return self._boot.runtime.log_tail(self._boot.settings.database.service)
        return LogTail.of(" ".join(argv), done.text)

    def hint(self, argv: Sequence[str], done: Completed) -> str:
        """What to do about a run of its tool that failed."""
        if mistyped := done.mistyped(f"owners.{self.name}.migrate"):
            return done.hint(f"{mistyped}, then migrate again: {command('migrate')}")
        said = "\n".join([done.text, *self.log_tail(argv, done).lines])
        return done.hint(hint_of(said, self.name, self._boot.layout, self.migrator.hint))

    def base(self, stack: Target) -> Catalog:
        """What `before` makes in an empty database; nothing where there is none."""
        if not self.settings.before:
            return Catalog({})
        if self._base is None:
            with self.watched(stack), self.scratch(self.target(stack), f"base of {self.name}") as scratch:
                for other in self._before():
                    with let_in(scratch, other.place.role):
                        other.lay_base(scratch)
                        other.run(other.settings.migrate, scratch)
                with let_in(scratch, self.place.role):
                    self.lay_base(scratch)
                with scratch.connect() as connection:
                    self._base = catalog.read(connection).of(self.place.role)
        return self._base

    def lacks_base(self, stack: Target) -> bool:
        """Whether `before` is still to be run in the stack's own database: nothing it makes is there."""
        if not self.settings.before or self.name in recorded(stack, "base"):
            return False
        with self.target(stack).connect() as connection:
            there = catalog.read(connection).of(self.place.role).relations()
        return not self.base(stack).relations() & there

    def lay_base_once(self, stack: Target) -> None:
        """Lay the base schema in the stack's own database, where it is not there, and note that it is."""
        if self.lacks_base(stack):
            self.lay_base(self.target(stack))
        self.note_base(stack)

    def note_base(self, stack: Target) -> None:
        """Note that the base schema was there: later migrations may drop all of it."""
        if self.settings.before and self.name not in recorded(stack, "base"):
            record(stack, "base", self.name, digest([*self.settings.before, *self._base_files().values()]))

    def lay_base(self, database: Target) -> None:
        """Run `before` in this database as this owner. Raises MigrationError where it fails."""
        texts = self._base_files()
        if texts:
            self._send(texts, database)
        elif self.settings.before:
            done = self.run(self.settings.before, database)
            if done.code:
                raise MigrationError(
                    f"{self.name}: its base schema could not be laid",
                    expected=f"`owners.{self.name}.before` to end with exit code 0",
                    seen=f"exit code {done.code}",
                    log=LogTail.of(" ".join(self.settings.before), done.text),
                    hint=done.hint(hint_of(done.text, self.name, self._boot.layout, "correct what it says")),
                )

    def _base_files(self) -> Mapping[str, str]:
        """The SQL files of `before`, by name, with what they say; none where it is a command."""
        names = self.settings.before
        if not all(name.endswith(".sql") for name in names):
            return {}
        return {name: read_sql(self._boot.root, name, f"owners.{self.name}.before") for name in names}

    def _send(self, texts: Mapping[str, str], database: Target) -> None:
        target = database.as_role(self.place.role, self._boot.logins[self.place.role])
        path = sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys([self.place.schema, "public"])))
        for name, text in texts.items():
            # A session each: pg_dump's text empties the search path.
            with target.open(limit=LONG_SECONDS) as connection:
                connection.execute(sql.SQL("set search_path to {}").format(path))
                try:
                    send_sql(connection, name, text)
                except MigrationError as error:
                    said = "\n".join([error.message, *error.details])
                    error.hint = hint_of(said, self.name, self._boot.layout, error.hint)
                    raise

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

    def not_built(self) -> Sequence[str]:
        """Return the services that must be built before its tool, or one that is rehearsed with it, can be run."""
        services = [owner.settings.service for owner in [*self._before(), self] if owner.settings.run != "host"]
        return [name for name in dict.fromkeys(services) if not self._boot.runtime.is_built(name)]

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
        """A scratch database, see `scratch_database`, in which this owner's tool can work.

        A clone of a database that somebody is connected to is a copy by its schema. Raises NotCopiedError where it
        would not be the same.
        """
        with contextlib.ExitStack() as held:
            try:
                with self._boot.timeline.span("clone the database" if clone else "make a database", "database"):
                    scratch = held.enter_context(scratch_database(target, purpose, clone=clone))
            except InUseError as in_use:
                with self._boot.timeline.span("copy the database", "database", cause=f"in use: {in_use.seen}"):
                    scratch = held.enter_context(scratch_database(target, purpose))
                    self._copy(target, scratch)
            try:
                self._prepare(scratch, alone=not clone)
                yield scratch
            finally:
                with self._boot.timeline.span("drop the database", "database"):
                    held.close()

    def _copy(self, source: Target, copy: Target) -> None:
        """Fill an empty database with all that the owners have in this one; then it has a guard of its own.

        A guard that looks at each statement makes it take twice as long. Until it is there one owner is let in at a
        time, and nothing is copied that could run as another one.
        """
        here = [place.role for place in self._boot.places.values() if place.database == self.place.database]
        roles = [place.role for place in self._boot.places.values()]
        with source.connect() as connection:
            refuse_foreign_objects(connection)
            refuse_decoys(connection)
            refuse_foreign_casts(connection)
        self._prepare(copy, alone=True)
        copy_schema(source, copy, here, self._boot.logins)
        with source.connect() as connection, copy.connect() as there:
            apply(there, trigger_repairs(there, roles))
            take_names(connection, there)
            cover(there)

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

    @property
    def logins(self) -> Mapping[str, str]:
        """As `Boot.logins`."""
        return self._boot.logins

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
