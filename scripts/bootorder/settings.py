"""The `bootorder:` part of invoke.yaml as frozen, validated settings; unknown keys name the nearest known one."""

from __future__ import annotations

import difflib
import reprlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from . import KEY
from .errors import SettingsError, page
from .redaction import HIDDEN, SECRETS

RuntimeName = Literal["auto", "compose", "embedded"]
LayoutName = Literal["shared", "schemas", "databases"]
StageName = Literal["db-up", "wait-db", "guard", "migrate", "seed"]
ConnectionPart = Literal["host", "port", "user", "password", "password_file", "database"]
MigratorName = Literal[
    "alembic", "command", "django", "drizzle", "mikroorm", "prisma", "sqlalchemy", "sqlmodel", "typeorm"
]


def _as_arguments(value: object) -> object:
    # `pnpm db:push` reads better in YAML than a list; both end as a list, no shell is involved.
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("no name, path or command can have a NUL in it")
    return text


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


String = Annotated[str, AfterValidator(_without_nul)]
Arguments = Annotated[tuple[String, ...], BeforeValidator(_as_arguments)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Name = Annotated[String, Field(min_length=1)]
# A number, or text with `${NAME:-default}` in it, of which a number comes when .env has been read.
Port = Annotated[
    String, BeforeValidator(lambda value: str(value) if type(value) is int else value), Field(min_length=1)
]
Text = Annotated[String, BeforeValidator(lambda value: str(value) if type(value) in {int, float} else value)]
# It names folders and files.
_PROCESS_NAME = r"^[^./\\][^/\\]*$"
_VARIABLE = "^[A-Za-z_][A-Za-z0-9_]*$"
_PATH = "^(/.*)?$"
# A key below which everything is commented out.
_Optional = BeforeValidator(lambda value: {} if value is None else value)
ProcessName = Annotated[String, Field(pattern=_PROCESS_NAME)]
Variable = Annotated[str, Field(pattern=_VARIABLE)]


class SecretFile(str):
    """The path of a file that holds a password, from the root of the repository, where others name a variable."""

    __slots__ = ()


def _password(value: object, otherwise: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, Mapping):
        return otherwise(value)
    path = value.get("file")
    if set(value) != {"file"} or not isinstance(path, str) or not path or "\0" in path:
        raise ValueError("should be a variable's name, or `{file: PATH}`")
    return SecretFile(path)


Password = Annotated[Variable | Literal[""], WrapValidator(_password)]


def _not_reserved(name: str) -> str:
    if name.startswith("pg_"):
        raise ValueError("PostgreSQL keeps names that begin with `pg_` for itself")
    return name


Files = Annotated[tuple[Name, ...], BeforeValidator(_as_list)]
Role = Annotated[Name, AfterValidator(_not_reserved)]

# pydantic's kinds of mistakes in a person's words.
_WORDS = {
    "string_type": "should be text",
    "string_too_short": "should not be empty",
    "too_short": "should not be empty",
    "tuple_type": "should be a list",
    "dict_type": "should have names and values below it",
    "model_type": "should have keys below it",
    "float_type": "should be a number",
    "int_type": "should be a whole number",
    "finite_number": "should be a number",
    "bool_type": "should be `true` or `false`",
    "bool_parsing": "should be `true` or `false`",
    "greater_than": "should be more than {gt:g}",
    "greater_than_equal": "should be at least {ge:g}",
    "literal_error": "should be {expected}",
}
_PATTERNS = {
    _PROCESS_NAME: "should be a name without slashes that does not begin with a dot",
    _VARIABLE: "should be a variable's name: letters, digits and `_`, no digit first",
    _PATH: "should be a path that begins with `/`",
}


class _Short(reprlib.Repr):
    """What was written instead may be a whole part of the file. Secrets are hidden first: half of one is none."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(SECRETS.redact(x), level)


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 100


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Part):
    """The one PostgreSQL that all share. `password` names the variable in .env, or the file, that holds it.

    `service_password` instead: the variable of the service's own environment, where compose.yaml has it.

    `port`, `major` and `binaries` are for the embedded runtime: compose.yaml says them for Compose.
    `extensions` and `before`, SQL files, are made and run by `guard` as the superuser.
    """

    service: Name
    name: Name
    user: Role
    password: Password = ""
    service_password: Variable | Literal[""] = ""
    beside: tuple[Name, ...] = ()
    extensions: tuple[Name, ...] = ()
    before: Files = ()
    wait: Seconds = 60
    lock_wait: Seconds = 300
    blocked_wait: Seconds = 30
    port: Port = "5432"
    major: Annotated[int, Field(ge=14, strict=True)] = 18
    binaries: Literal["wheel", "path"] = "wheel"

    @model_validator(mode="after")
    def _one_password(self) -> DatabaseSettings:
        if bool(self.password) == bool(self.service_password):
            raise ValueError("`password`, a variable of .env, is needed (or `service_password`, one of the service)")
        return self


class OwnerSettings(_Part):
    """A schema tool: how it is run, where it is at home, and how it is told which database to use.

    `role`, `password`, `database` and `in_schema` follow from the owner's name where they are not given: see places.py.
    `variables`: where it takes the database in parts, the variable of each; then `url_variable` says nothing.
    `more_urls`: variables with URLs of the same database, e.g. one past a pooler.
    `connects`: the services that are to connect as this owner, whatever compose.yaml gives them.
    `reads` and `references` name owners whose rows it may read, or whose tables its foreign keys may point to.
    `also`: patterns of what its tables are to have beside what its tool makes, e.g. `index public.task.*`.
    `before`: SQL files, or a command, that lay the base schema on which its tool builds.
    """

    migrator: MigratorName
    service: Name
    migrate: Arguments = Field(min_length=1)
    before: Arguments = ()
    seed: Arguments = ()
    url_variable: Variable = "DATABASE_URL"
    variables: dict[ConnectionPart, Variable] = {}
    more_urls: tuple[Variable, ...] = ()
    connects: tuple[Name, ...] = ()
    run: Literal["service", "host"] = "service"
    directory: String = ""
    role: String = ""
    password: Password = ""
    database: Variable | Literal[""] = ""
    in_schema: String = Field("", alias="schema")
    reads: tuple[Name, ...] = ()
    references: tuple[Name, ...] = ()
    also: tuple[Name, ...] = ()
    wait: Seconds = 600

    @model_validator(mode="after")
    def _parts_are_complete(self) -> OwnerSettings:
        password = "password_file" if "password_file" in self.variables else "password"
        if self.variables and (missing := {"user", password, "database"} - self.variables.keys()):
            raise ValueError(f"`variables` needs {' and '.join(sorted(missing))}, too")
        if {"password", "password_file"} <= self.variables.keys():
            raise ValueError("`variables` has `password` and `password_file`: which of the two does the tool read?")
        if "password_file" in self.variables and not isinstance(self.password, SecretFile):
            raise ValueError("`variables.password_file` needs `password: {file: PATH}`")
        if self.connects and isinstance(self.password, SecretFile) and "password_file" not in self.variables:
            raise ValueError("`connects` with `password: {file: PATH}` needs `variables.password_file`")
        return self

    @model_validator(mode="after")
    def _host_needs_a_directory(self) -> OwnerSettings:
        if self.run == "host" and not self.directory:
            raise ValueError("`run: host` needs `directory`, the folder the commands run in")
        return self


class AppSettings(_Part):
    """A service with tables or pages of its own. Without `health` its container's health check decides.

    `after`: the stage that it waits for; a later one than `seed` it may not, an earlier one where it needs no rows.
    `ends`: it does its work and ends, with exit code 0.
    """

    health: Annotated[str, Field(pattern=_PATH)] = ""
    after: StageName = "seed"
    ends: bool = False
    wait: Seconds = 60


class ProcessSettings(_Part):
    """What compose.yaml says of a service, for the embedded runtime: a process of this machine, started in `directory`.

    Without `run` it is only where one-offs are at home. An `optional` one is started with `--with` only.
    """

    directory: Name = "."
    install: Arguments = ()
    build: Arguments = ()
    run: Arguments = ()
    port: Port | None = None
    env: dict[Variable, Text] = {}
    optional: bool = False


class CheckSettings(_Part):
    """What `check` passes over: codes."""

    ignore: tuple[Name, ...] = ()


class Settings(_Part):
    """One stack. `compose`: its compose files, from the root; where there are none, those that Compose finds there.

    `build_wait`: how long one build, download or installation may take.
    """

    runtime: RuntimeName = "auto"
    compose: tuple[Name, ...] = ()
    layout: LayoutName = "shared"
    secrets: tuple[Variable, ...] = ()
    build_wait: Seconds = 1800
    database: DatabaseSettings
    owners: Annotated[dict[Name, OwnerSettings], _Optional] = {}
    apps: Annotated[dict[Name, AppSettings], _Optional] = {}
    processes: Annotated[dict[ProcessName, ProcessSettings], _Optional] = {}
    check: CheckSettings = CheckSettings()

    @model_validator(mode="after")
    def _what_is_needed_together(self) -> Settings:
        if self.processes and not self.database.password:
            raise ValueError("`processes` needs `database.password`, a variable of .env")
        connecting = [name for name, owner in self.owners.items() if owner.connects]
        if connecting and not self.compose:
            raise ValueError(
                f"`owners.{connecting[0]}.connects` needs `compose`, the list of the stack's compose files"
            )
        return self


def parse(config: Mapping[str, Any]) -> Settings:
    """Invoke's merged configuration in, settings out. Raises SettingsError with the path of what is wrong."""
    part = config.get(KEY)
    if not isinstance(part, Mapping):
        known = nearest(KEY, (key for key in config if isinstance(key, str) and key != KEY))
        raise SettingsError(
            f"invoke.yaml has no `{KEY}:` part" + (f"; `{known}` is not it" if known else ""),
            hint=f"write the stack's database, owners and apps under `{KEY}:` in invoke.yaml",
        )
    try:
        return Settings.model_validate(part)
    except ValidationError as error:
        # A misspelt key is two problems, an unknown one and a missing one: the first says more.
        found = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        problems = [_problem(item) for item in found]
        raise SettingsError(
            f"invoke.yaml: {problems[0]}",
            details=[f"also: {problem}" for problem in problems[1:]],
            hint=f"correct invoke.yaml; {page('settings.md')} lists every key",
        ) from None


def runtime_name(wanted: str, settings: Settings) -> RuntimeName:
    """The flag where it is given, else the setting. Raises SettingsError on an unknown name."""
    return cast("RuntimeName", _one_of("runtime", wanted or settings.runtime, get_args(RuntimeName)))


def layout_name(wanted: str, settings: Settings) -> LayoutName:
    """As `runtime_name`."""
    return require_layout(wanted or settings.layout)


def require_layout(name: str) -> LayoutName:
    """Return it. Raises SettingsError where there is none of this name."""
    return cast("LayoutName", _one_of("layout", name, get_args(LayoutName)))


def _one_of(what: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        raise unknown(what, name, known)
    return name


def unknown(what: str, name: str, known: Iterable[str]) -> SettingsError:
    """An error that names the nearest known word, and all of them."""
    known = list(known)
    near = nearest(name, known)
    return SettingsError(
        f"unknown {what} `{name}`" + (f"; did you mean `{near}`?" if near else ""),
        expected=", ".join(known),
        hint="use one of these" if known else "leave it out: there is none",
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """The most similar known word, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)), "")


def _problem(item: Any) -> str:
    path = tuple(str(part) for part in item["loc"] if part != "[key]")
    dotted = ".".join((KEY, *path))
    if item["type"] == "extra_forbidden":
        near = nearest(path[-1], _keys_beside(path))
        return f"unknown key `{dotted}`" + (f"; did you mean `{near}`?" if near else "")
    if item["type"] == "missing":
        return f"`{dotted}` is missing"
    return f"`{dotted}`{':' if item['type'] == 'value_error' else ''} {problem_in_words(item)}"


def problem_in_words(item: Any) -> str:
    """Return what pydantic found wrong with a value, without the name of its key."""
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    said = _WORDS.get(item["type"]) or _PATTERNS.get(item.get("ctx", {}).get("pattern"), "")
    words = said.format(**item.get("ctx", {})) or f"{item['msg'][:1].lower()}{item['msg'][1:]}"
    path = tuple(str(part) for part in item["loc"])
    return f"{words}, not {_shown(path, item['input'])}"


def _shown(path: Sequence[str], given: object) -> str:
    """What was written instead, shortened. A password that stands where the name of its variable belongs is hidden."""
    if isinstance(given, str) and given and "password" in path:
        return HIDDEN
    return _SHORT.repr(given)


def _keys_beside(path: tuple[str, ...]) -> Iterable[str]:
    parts: dict[str, type[_Part]] = {
        "database": DatabaseSettings,
        "owners": OwnerSettings,
        "apps": AppSettings,
        "processes": ProcessSettings,
        "check": CheckSettings,
    }
    fields = (Settings if len(path) == 1 else parts.get(path[0], Settings)).model_fields
    return [field.alias or name for name, field in fields.items()]
