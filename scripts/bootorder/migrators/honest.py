"""Tools whose exit code can be believed: they differ in words only."""

from __future__ import annotations

from .base import Migrator

COMMAND = Migrator("command", "correct what the command says")

PRISMA = Migrator(
    "prisma",
    "correct the schema or the migration it names",
    only_schema="public",  # `?schema=` of its URL, whatever the search path
    begins_alone=True,  # P3005
    force="--accept-data-loss",
    worked=r"[^\n]*(?:in sync with|migrations have been|No pending migrations)",
    failed=r"Error: (?:(?:P\d+|external connector error)\s+)?",
)
ALEMBIC = Migrator(
    "alembic",
    "correct the revision that failed",
    worked=r"[^\n]*Running upgrade",
    failed=r"[\w.]*(?:Error|Exception):|FAILED:",
)
DJANGO = Migrator(
    "django",
    "correct the migration that failed",
    worked=r"\s*(?:Applying |No migrations to apply)",
    failed=r"django\.\S*Error:|CommandError:",
)
TYPEORM = Migrator(
    "typeorm",
    "correct the entity or the migration it names",
    worked=r"Migration .* executed successfully|Schema synchronization|No migrations are pending",
    failed=r"Error during [^\n]*\s+",
)
MIKROORM = Migrator(
    "mikroorm",
    "correct the entities, or what it looks at",
    only_schema="public",  # it compares what is there, wherever the search path has made the tables
    worked=r"Schema |Successfully migrated",
    failed=r"\w*(?:Exception|[Ee]rror): (?:[^\n]*;\n)*",  # 6 says first what it sent
)
