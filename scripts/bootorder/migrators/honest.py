"""Tools whose exit code can be believed: they differ in words only."""

from __future__ import annotations

from .base import Migrator

COMMAND = Migrator("command", "correct what the command says, then migrate again")

PRISMA = Migrator(
    "prisma",
    "correct the schema or the migration it names, then migrate again; docs/migrators/prisma.md has the usual causes",
    only_schema="public",  # `?schema=` of its URL, whatever the search path
    force="--accept-data-loss",
    worked=r".*(?:in sync with|migrations have been|No pending migrations)",
    failed=r"Error:\s*\S",
)
ALEMBIC = Migrator(
    "alembic",
    "correct the revision that failed, then migrate again; docs/migrators/alembic.md has the usual causes",
    worked=r".*Running upgrade",
    failed=r"(?:[\w.]*(?:Error|Exception)\b|FAILED:)",
)
DJANGO = Migrator(
    "django",
    "correct the migration that failed, then migrate again; docs/migrators/django.md has the usual causes",
    worked=r"Applying |No migrations to apply",
    failed=r"(?:django\.\S*Error\b|CommandError\b)",
)
TYPEORM = Migrator(
    "typeorm",
    "correct the entity or migration it names, then migrate again; docs/migrators/typeorm.md has the usual causes",
    worked=r".*(?:executed successfully|finished successfully|No migrations are pending)",
    failed=r"(?:\w*Error\b|Error )",
)
MIKROORM = Migrator(
    "mikroorm",
    "correct the entities, or what it may drop, then migrate again; docs/migrators/mikroorm.md has the usual causes",
    worked=r".*(?:Schema |Successfully migrated|migrated)",
    failed=r".*(?:\w*Exception\b|\w*Error\b)",
)
