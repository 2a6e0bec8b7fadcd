"""What is found in a repository: values with the place where they stand, and how sure each is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

# certain: it stands there, and whoever runs the repository reads it there
# likely:  it follows from a convention, from a default, or from a template that people copy
# guess:   one of several that it may be, or a name that only looks like it
Sure = Literal["certain", "likely", "guess"]
_ORDER: Sequence[Sure] = ("certain", "likely", "guess")


@dataclass(frozen=True, order=True)
class Where:
    """A file of the repository and a line in it; line 0 is the file or folder as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Fact:
    """One value. `written`: how it stands there, where that is another text, e.g. `${POSTGRES_USER:-app}`."""

    value: str
    where: Where
    sure: Sure = "certain"
    written: str = ""

    def at_most(self, sure: Sure) -> Fact:
        """The same, no surer than that."""
        return replace(self, sure=weaker(self.sure, sure))


def weaker(*many: Sure) -> Sure:
    return max(many, key=_ORDER.index)


@dataclass(frozen=True)
class Compose:
    """Compose files that are read together, and what they include. `beside`: others of that folder, read when named."""

    folder: str
    files: tuple[str, ...]
    where: Where
    sure: Sure
    includes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " + ".join(self.files)


@dataclass(frozen=True)
class Database:
    """A PostgreSQL. `password`: the name of a variable of `.env`; else `password_file`: a file of the repository.

    Else `service_password`: a variable of the service itself.

    No value of a password is ever shown. `extensions`: those that the repository asks for.
    """

    service: Fact | None
    image: Fact | None = None
    major: Fact | None = None
    name: Fact | None = None
    user: Fact | None = None
    password: Fact | None = None
    password_file: Fact | None = None
    service_password: Fact | None = None
    port: Fact | None = None
    extensions: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Service:
    """A service of the compose files that is not the database.

    `kind`: app, one-off (does its work and ends), beside (to look into the database) or other (a finished image).
    """

    name: str
    kind: Fact
    folder: Fact | None = None
    command: Fact | None = None
    port: Fact | None = None
    health: Fact | None = None
    url_variable: Fact | None = None
    url_parts: Fact | None = None
    profile: Fact | None = None


@dataclass(frozen=True)
class Owner:
    """A schema tool in a folder.

    `way`: push, migrate, or at start. `service`: where its commands run; `users`: the services that have its folder or
    package. `settings`: what its configuration says.
    """

    name: Fact
    tool: Fact
    folder: str
    way: Fact | None = None
    migrate: Fact | None = None
    seed: Fact | None = None
    service: Fact | None = None
    users: tuple[str, ...] = ()
    database: Fact | None = None
    url_variable: Fact | None = None
    settings: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Packages:
    """Which package manager installs a folder."""

    folder: str
    manager: Fact


@dataclass(frozen=True)
class Question:
    """What the person has to say. `about`: the finding, e.g. `owners.api.way`."""

    about: str
    text: str
    choices: tuple[str, ...] = ()
    where: Where | None = None


@dataclass(frozen=True, order=True)
class Note:
    """What the person should know: a file that cannot be read, a database that is not PostgreSQL."""

    where: Where
    text: str


@dataclass(frozen=True)
class Detected:
    """Everything."""

    compose: tuple[Compose, ...] = ()
    databases: tuple[Database, ...] = ()
    owners: tuple[Owner, ...] = ()
    services: tuple[Service, ...] = ()
    packages: tuple[Packages, ...] = ()
    questions: tuple[Question, ...] = ()
    notes: tuple[Note, ...] = ()


# In URLs, in options and in variables that are set before a command; a variable in its place may be shown.
_SECRETS = re.compile(
    r"(://[^:@/\s]*:)(?!\$\{?\w+\}?@)[^@/\s]*(?=@)"
    r"|((?:--?[\w\-]*(?:pass|secret|token|pwd)[\w\-]*(?:=|\s+)|\b\w*(?:PASS|SECRET|TOKEN|PWD)\w*=)[\"']?)(?![$\s])[^\s\"']+"
)


def without_secrets(text: str) -> str:
    """What may be shown of a text of somebody's repository."""
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]}***", text)


def as_data(found: Any) -> Any:
    """For JSON: what was not found has no key, and secrets are left out."""
    if isinstance(found, str):
        return without_secrets(found)
    if isinstance(found, Where):
        return str(found)
    if is_dataclass(found):
        pairs = ((each.name, getattr(found, each.name)) for each in fields(found))
        return {name: as_data(value) for name, value in pairs if isinstance(found, Detected) or _said(value)}
    if isinstance(found, Mapping):
        return {name: as_data(value) for name, value in found.items()}
    if isinstance(found, tuple):
        return [as_data(value) for value in found]
    return found


def _said(value: object) -> bool:
    return value is not None and value not in ("", (), {})
