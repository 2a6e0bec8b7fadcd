"""The schema tools: what their commands look like, and what a tool's own files tell before it is known who runs it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .findings import Fact

# push: compares and changes; migrate: runs files one after the other; at start: the app itself does it
Way = Literal["push", "migrate", "at start"]
Language = Literal["node", "python", ""]


@dataclass(frozen=True)
class Command:
    """How one is recognised, and how it is called where nobody calls it."""

    pattern: re.Pattern[str]
    usual: str


def _command(pattern: str, usual: str) -> Command:
    return Command(re.compile(rf"(?:^|[\s/'\"])(?:{pattern})"), usual)


@dataclass(frozen=True)
class Tool:
    """`language`: whose package manager runs it."""

    name: str
    language: Language
    commands: Mapping[Way, Command]

    def ways_of(self, text: str) -> list[Way]:
        """What this command line does, where it is one of the tool."""
        return [way for way, command in self.commands.items() if command.pattern.search(text)]


_ALL = (
    Tool(
        "drizzle",
        "node",
        {
            "push": _command(r"drizzle-kit\s+push", "drizzle-kit push"),
            "migrate": _command(r"drizzle-kit\s+migrate", "drizzle-kit migrate"),
        },
    ),
    Tool(
        "prisma",
        "node",
        {
            "push": _command(r"prisma\s+db\s+push", "prisma db push"),
            "migrate": _command(r"prisma\s+migrate\s+(?:deploy|dev)", "prisma migrate deploy"),
        },
    ),
    Tool(
        "typeorm",
        "node",
        {
            "push": _command(r"typeorm\S*\s.*schema:sync", "typeorm schema:sync"),
            "migrate": _command(r"typeorm\S*\s.*migration:run", "typeorm migration:run"),
        },
    ),
    Tool(
        "sequelize", "node", {"migrate": _command(r"sequelize(?:-cli)?\s+db:migrate(?!:)", "sequelize-cli db:migrate")}
    ),
    Tool(
        "mikro-orm",
        "node",
        {
            "push": _command(r"mikro-orm\S*\s+schema:update", "mikro-orm schema:update --run"),
            "migrate": _command(r"mikro-orm\S*\s+migration:up", "mikro-orm migration:up"),
        },
    ),
    Tool("knex", "node", {"migrate": _command(r"knex\s.*migrate:(?:latest|up)", "knex migrate:latest")}),
    Tool(
        "alembic", "python", {"migrate": _command(r"alembic\s.*upgrade|flask\s+db\s+upgrade", "alembic upgrade head")}
    ),
    Tool(
        "django", "python", {"migrate": _command(r"(?:manage\.py|django-admin)\s+migrate", "python manage.py migrate")}
    ),
    Tool("sqlmodel", "python", {}),
    Tool("sqlalchemy", "python", {}),
    Tool("flyway", "", {"migrate": _command(r"flyway\s.*migrate|^migrate\b", "flyway migrate")}),
    Tool("liquibase", "", {"migrate": _command(r"liquibase\s.*update|^update\b|\supdate$", "liquibase update")}),
    Tool("golang-migrate", "", {"migrate": _command(r"migrate\s.*\bup\b|-path\s.*\bup\b", "migrate up")}),
    Tool(
        "dbmate", "", {"migrate": _command(r"dbmate\s.*\b(?:up|migrate)\b|^(?:--\S+\s+)*(?:up|migrate)\b", "dbmate up")}
    ),
    Tool(
        "rails", "", {"migrate": _command(r"(?:rails|rake)\s+db:(?:migrate|prepare|setup)\b", "bin/rails db:migrate")}
    ),
    Tool("sql", "", {}),
)
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _ALL}


def unattended(text: str) -> str:
    """The command as it runs where nobody answers: `prisma migrate dev` asks, and may reset the database."""
    return re.sub(r"(\bprisma\s+migrate\s+)dev\b.*?(\s--schema[=\s]\S+)?.*", r"\1deploy\2", text)


SEEDS = re.compile(r"(?:^|[\s/'\":_\-])(?:seeds?|initial_data|loaddata)(?:\b|[_:\-.])|db:fixtures:load")


@dataclass(frozen=True)
class Draft:
    """A schema tool as its own files tell of it.

    `way`: what they suggest; `command`: what makes the tables, where a file says it; `url`: the variable with the URL;
    `sql`: folders of SQL that it runs; `service`: a container that is nothing else; `programs`: of the repository.
    """

    tool: Fact
    folder: str
    way: Fact | None = None
    command: Fact | None = None
    url: Fact | None = None
    settings: Mapping[str, Fact] = field(default_factory=dict)
    sql: tuple[str, ...] = ()
    service: Fact | None = None
    seed: Fact | None = None
    programs: tuple[str, ...] = ()

    def ways_of(self, text: str) -> list[Way]:
        """What this command line does to its tables, by the tool or by a program that calls it."""
        called = any(re.search(rf"(?:^|[\s/]){re.escape(_stem(path))}\.[cm]?[jt]s\b", text) for path in self.programs)
        return TOOLS[self.tool.value].ways_of(text) or (["migrate"] if called else [])


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]
