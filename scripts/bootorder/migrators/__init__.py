"""The schema tools that are known, by their name in invoke.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Claim, Migrator
from .drizzle import DRIZZLE
from .honest import ALEMBIC, COMMAND, DJANGO, MIKROORM, PRISMA, TYPEORM
from .sqlmodel import SQLALCHEMY, SQLMODEL

_ALL = (ALEMBIC, COMMAND, DJANGO, DRIZZLE, MIKROORM, PRISMA, SQLALCHEMY, SQLMODEL, TYPEORM)
BY_NAME: Mapping[str, Migrator] = {migrator.name: migrator for migrator in _ALL}

# What detection calls a tool -> its name in invoke.yaml. The others are honest commands that need no adapter.
_OTHERS = ("sequelize", "knex", "flyway", "liquibase", "golang-migrate", "dbmate", "rails", "sql")
FOR_TOOL: Mapping[str, str] = {
    **{name: name for name in BY_NAME},
    "mikro-orm": MIKROORM.name,
    **dict.fromkeys(_OTHERS, COMMAND.name),
}

__all__ = ["BY_NAME", "FOR_TOOL", "Claim", "Migrator"]
