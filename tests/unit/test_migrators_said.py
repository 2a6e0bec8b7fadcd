"""What the tools printed, without a terminal, on PostgreSQL 18; shortened where lines repeat. See docs/migrators."""

from __future__ import annotations

import pytest

from scripts.bootorder.migrators import BY_NAME

from .fakes import prints

_DRIZZLE = """Reading config file '/app/drizzle.config.ts'
Using 'pg' driver for database querying
[⣷] applying migrations..."""
_PRISMA = """Loaded Prisma config from prisma.config.ts.

Prisma schema loaded from schema.prisma
Datasource "db": PostgreSQL database "taskflow", schema "public" using driver adapter "@prisma/adapter-pg"

"""
_ALEMBIC = """INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.
INFO  [alembic.runtime.migration] Will assume transactional DDL.
"""
_DJANGO = """Operations to perform:
  Apply all migrations: auth, contenttypes, owner
Running migrations:
"""
_TYPEORM = """query: SELECT version()
query: SELECT * FROM current_schema()
"""
_MIKROORM = """mikro-orm schema:update

Update database schema based on current metadata

Options:
      --safe                    Allows to disable table and column dropping
                                                      [boolean] [default: false]
  -h, --help                    Show help                              [boolean]

"""
_TRACEBACK = """Traceback (most recent call last):
  File "/app/lib/python3.11/site-packages/psycopg/cursor.py", line 117, in execute
    raise ex.with_traceback(None)
psycopg.errors.InsufficientPrivilege: must be owner of table task

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/lib/python3.11/site-packages/psycopg/cursor.py", line 117, in execute
    raise ex.with_traceback(None)
"""
_P3005 = (
    "The database schema is not empty. Read more about how to baseline an existing production database:"
    " https://pris.ly/d/migrate-baseline"
)
_PRISMA_ASKS = (
    "Error: Use the --accept-data-loss flag to ignore the data loss warnings like prisma db push --accept-data-loss"
)


@pytest.mark.parametrize(
    ("migrator", "output", "text"),
    [
        ("drizzle", _DRIZZLE + "[✓] migrations applied successfully!\n", "migrations applied successfully"),
        ("drizzle", "the program's own words\n", "the program's own words"),
        (
            "prisma",
            _PRISMA + "🚀  Your database is now in sync with your Prisma schema. Done in 65ms\n\n",
            "🚀 Your database is now in sync with your Prisma schema. Done in 65ms",
        ),
        (
            "prisma",
            _PRISMA + "The database is already in sync with the Prisma schema.\n\n✔ Generated Prisma Client\n",
            "The database is already in sync with the Prisma schema.",
        ),
        (
            "prisma",
            _PRISMA + "The following migration(s) have been applied:\n\nmigrations/\n  └─ 0_first/\n"
            "    └─ migration.sql\n\nAll migrations have been successfully applied.\n",
            "All migrations have been successfully applied.",
        ),
        ("prisma", _PRISMA + "No pending migrations to apply.\n", "No pending migrations to apply."),
        (
            "alembic",
            _ALEMBIC + "INFO  [alembic.runtime.migration] Running upgrade  -> first\n"
            "INFO  [alembic.runtime.migration] Running upgrade first -> second, a column\n",
            "INFO [alembic.runtime.migration] Running upgrade first -> second, a column",
        ),
        ("alembic", _ALEMBIC, "INFO  [alembic.runtime.migration] Will assume transactional DDL."),
        (
            "django",
            _DJANGO + "  Applying auth.0001_initial... OK\n  Applying owner.0001_initial... OK\n",
            "Applying owner.0001_initial... OK",
        ),
        (
            "django",
            _DJANGO + "  No migrations to apply.\n  Your models in app(s): 'owner' have changes that are not yet"
            " reflected in a migration, and so won't be applied.\n",
            "No migrations to apply.",
        ),
        (
            "typeorm",
            _TYPEORM + "Migration First1795428387550 has been executed successfully.\nquery: COMMIT\n",
            "Migration First1795428387550 has been executed successfully.",
        ),
        ("typeorm", _TYPEORM + "No migrations are pending\n", "No migrations are pending"),
        (
            "typeorm",
            _TYPEORM + "query: COMMIT\nSchema synchronization finished successfully.\n",
            "Schema synchronization finished successfully.",
        ),
        ("mikroorm", "Schema successfully updated\n", "Schema successfully updated"),
        (
            "mikroorm",
            "[migrator] Applied 'First'\nSuccessfully migrated up to the latest version\n",
            "Successfully migrated up to the latest version",
        ),
    ],
)
def test_what_a_tool_says_that_did_its_work(migrator: str, output: str, text: str) -> None:
    said = BY_NAME[migrator].claim(prints(output))

    assert (said.succeeded, said.text) == (True, text)


@pytest.mark.parametrize(
    ("migrator", "output", "text"),
    [
        ("drizzle", _DRIZZLE + "\n", "[⣷] applying migrations..."),  # whatever went wrong: it says no more
        ("prisma", f"{_PRISMA}Error: P3005\n\n{_P3005}\n\n", f"Error: P3005 {_P3005}"),
        (
            "prisma",
            _PRISMA + "2 migrations found in prisma/migrations\n\nError: external connector error\n"
            "Error querying the database: ERROR: must be owner of table task\n"
            "   0: sql_schema_connector::apply_migration::apply_script\n",
            "Error: external connector error Error querying the database: ERROR: must be owner of table task",
        ),
        (
            "prisma",
            f"{_PRISMA}⚠️  There might be data loss when applying the changes:\n\n  • You are about to drop the column"
            f" `email` on the `user` table, which still contains 1 non-null values.\n\n{_PRISMA_ASKS}\n",
            _PRISMA_ASKS,
        ),
        (
            "prisma",
            _PRISMA + "Error: Can't reach database server at `127.0.0.1:1`\n\nPlease make sure your database server is"
            " running at `127.0.0.1:1`.\n",
            "Error: Can't reach database server at `127.0.0.1:1`",
        ),
        (
            "alembic",
            _ALEMBIC + _TRACEBACK + "sqlalchemy.exc.ProgrammingError: (psycopg.errors.InsufficientPrivilege) must be"
            " owner of table task\n[SQL: \nDROP TABLE task]\n(Background on this error at:"
            " https://sqlalche.me/e/21/f405)\n",
            "sqlalchemy.exc.ProgrammingError: (psycopg.errors.InsufficientPrivilege) must be owner of table task",
        ),
        (
            "alembic",
            "ERROR [alembic.util.messaging] Multiple head revisions are present\n  FAILED: Multiple head revisions are"
            " present\n",
            "FAILED: Multiple head revisions are present",
        ),
        (
            "django",
            f"{_DJANGO}  Applying owner.0002_evil...{_TRACEBACK}django.db.utils.ProgrammingError: must be owner of table"
            " task\n",
            "django.db.utils.ProgrammingError: must be owner of table task",
        ),
        (
            "django",
            "django.db.utils.OperationalError: connection failed: connection to server at \"127.0.0.1\", port 1 failed:"
            " Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n",
            'django.db.utils.OperationalError: connection failed: connection to server at "127.0.0.1", port 1 failed:'
            " Connection refused",
        ),
        (
            "typeorm",
            _TYPEORM + 'Migration "Second" failed, error: must be owner of table task\nquery: ROLLBACK\nError during'
            " migration run:\nQueryFailedError: must be owner of table task\n    at PostgresQueryRunner.query\n  code:"
            " '42501'\n}\n",
            "Error during migration run: QueryFailedError: must be owner of table task",
        ),
        (
            "typeorm",
            "Error during schema synchronization:\nError: connect ECONNREFUSED 127.0.0.1:1\n  port: 1\n}\n",
            "Error during schema synchronization: Error: connect ECONNREFUSED 127.0.0.1:1",
        ),
        (
            "mikroorm",
            _MIKROORM + "DriverException: must be owner of materialized view busy\n    at PostgreSqlExceptionConverter\n"
            "  code: '42501'\n}\n",
            "DriverException: must be owner of materialized view busy",
        ),
        (
            "mikroorm",
            _MIKROORM + "error: permission denied for schema api\n    at node_modules/pg/lib/client.js\n}\n",
            "error: permission denied for schema api",
        ),
    ],
)
def test_what_a_tool_says_that_did_not(migrator: str, output: str, text: str) -> None:
    said = BY_NAME[migrator].claim(prints(output, 1))

    assert (said.succeeded, said.text) == (False, text)
