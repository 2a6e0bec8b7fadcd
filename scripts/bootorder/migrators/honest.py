"""Tools whose exit code can be believed: they differ in words only."""

from __future__ import annotations

from .base import Migrator

COMMAND = Migrator("command", "correct what the command says, then migrate again")

PRISMA = Migrator(
    "prisma",
    "correct the schema or the migration it names, then migrate again; docs/migrators/prisma.md has the usual causes",
    only_schema="public",  # `?schema=` of its URL, whatever the search path
    force="--accept-data-loss",
    worked=r"[^\n]*(?:in sync with|migrations have been|No pending migrations)",
    failed=r"Error: (?:(?:P\d+|external connector error)\s+)?",
)
ALEMBIC = Migrator(
    "alembic",
    "correct the revision that failed, then migrate again; docs/migrators/alembic.md has the usual causes",
    worked=r"[^\n]*Running upgrade",
    failed=r"[\w.]*(?:Error|Exception):|FAILED:",
)
DJANGO = Migrator(
    "django",
    "correct the migration that failed, then migrate again; docs/migrators/django.md has the usual causes",
    worked=r"\s*(?:Applying |No migrations to apply)",
    failed=r"django\.\S*Error:|CommandError:",
)
TYPEORM = Migrator(
    "typeorm",
    "correct the entity or the migration it names, then migrate again; docs/migrators/typeorm.md has the usual causes",
    worked=r"Migration .* executed successfully|Schema synchronization|No migrations are pending",
    failed=r"Error during [^\n]*\s+",
)
MIKROORM = Migrator(
    "mikroorm",
    "correct the entities, or what it looks at, then migrate again; docs/migrators/mikroorm.md has the usual causes",
    only_schema="public",  # it compares what is there, wherever the search path has made the tables
    worked=r"Schema |Successfully migrated",
    failed=r"\w*(?:Exception|[Ee]rror): ",
)
