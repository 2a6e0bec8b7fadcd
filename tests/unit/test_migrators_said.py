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


@pytest.mark.parametrize(
    ("migrator", "output", "text"),
    [
        ("drizzle", _DRIZZLE + "[✓] migrations applied successfully!\n", "migrations applied successfully"),
        ("drizzle", "a program that runs the migrations has its own words\n", None),
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
            _PRISMA
            + """The following migration(s) have been applied:

migrations/
  └─ 0_first/
    └─ migration.sql

All migrations have been successfully applied.
""",
            "All migrations have been successfully applied.",
        ),
        ("prisma", _PRISMA + "No pending migrations to apply.\n", "No pending migrations to apply."),
        (
            "alembic",
            _ALEMBIC + "INFO  [alembic.runtime.migration] Running upgrade  -> first, tables\n",
            "INFO [alembic.runtime.migration] Running upgrade -> first, tables",
        ),
        ("alembic", _ALEMBIC, None),
        (
            "django",
            _DJANGO + "  Applying auth.0001_initial... OK\n  Applying owner.0001_initial... OK\n",
            "Applying owner.0001_initial... OK",
        ),
        (
            "django",
            _DJANGO
            + """  No migrations to apply.
  Your models in app(s): 'owner' have changes that are not yet reflected in a migration, and so won't be applied.
""",
            "No migrations to apply.",
        ),
        (
            "typeorm",
            _TYPEORM + "Migration First1795428387550 has been executed successfully.\nquery: COMMIT\n",
            "Migration First1795428387550 has been executed successfully.",
        ),
        ("typeorm", _TYPEORM + "No migrations are pending\n", None),
        ("typeorm", _TYPEORM + "query: COMMIT\nSchema synchronization finished successfully.\n", None),
        ("mikroorm", "Schema successfully updated\n", None),
        ("mikroorm", "[migrator] Applied 'First'\nSuccessfully migrated up to the latest version\n", None),
    ],
)
def test_what_a_tool_says_that_did_its_work(migrator: str, output: str, text: str | None) -> None:
    """Without a text: its last line."""
    said = BY_NAME[migrator].claim(prints(output))

    assert (said.succeeded, said.text) == (True, text or output.splitlines()[-1])


_DRIZZLE_1 = """Using 'pg' driver for database querying
[✓] Pulling schema from database...
┌── query error: must be owner of sequence ticket

DROP SEQUENCE "public"."ticket";
└──
"""
_P3005 = """Error: P3005

The database schema is not empty. Read more about how to baseline an existing production database: https://pris.ly/d/x
"""
_PRISMA_REFUSED = """2 migrations found in prisma/migrations

Error: external connector error
Error querying the database: ERROR: must be owner of table task
   0: sql_schema_connector::apply_migration::apply_script
"""
_PRISMA_ASKS = """⚠️  There might be data loss when applying the changes:

  • You are about to drop the column `email` on the `user` table, which still contains 1 non-null values.

Error: Use the --accept-data-loss flag to ignore the data loss warnings like prisma db push --accept-data-loss
"""
_PRISMA_UNREACHABLE = """Error: Can't reach database server at `127.0.0.1:1`

Please make sure your database server is running at `127.0.0.1:1`.
"""
_ALEMBIC_REFUSED = """
sqlalchemy.exc.ProgrammingError: (psycopg.errors.InsufficientPrivilege) must be owner of table task
[SQL:
DROP TABLE task]
(Background on this error at: https://sqlalche.me/e/21/f405)
"""
_ALEMBIC_HEADS = """ERROR [alembic.util.messaging] Multiple head revisions are present for given argument 'head'
FAILED: Multiple head revisions are present for given argument 'head'
"""
_DJANGO_REFUSED = "django.db.utils.ProgrammingError: must be owner of table task\n"
_DJANGO_UNREACHABLE = """django.db.utils.OperationalError: connection failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?
"""
_TYPEORM_REFUSED = """Migration "Second" failed, error: must be owner of table task
query: ROLLBACK
Error during migration run:
QueryFailedError: must be owner of table task
    at PostgresQueryRunner.query (/app/node_modules/typeorm/driver/postgres/PostgresQueryRunner.js:216:19) {
  code: '42501'
}
"""
_TYPEORM_UNREACHABLE = """Error during schema synchronization:
Error: connect ECONNREFUSED 127.0.0.1:1
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1637:16) {
  port: 1
}
"""
_MIKROORM_REFUSED = """DriverException: must be owner of materialized view busy
    at PostgreSqlExceptionConverter.convertException (/app/node_modules/@mikro-orm/core/platforms/ExceptionConverter.js)
  code: '42501'
}
"""
_MIKROORM_6 = """TableExistsException: create table "user" ("id" text not null);
alter table "user" add constraint "user_email_unique" unique ("email"); - relation "user" already exists

    at PostgreSqlExceptionConverter.convertException (/app/node_modules/@mikro-orm/postgresql/index.js:42:24)
"""


@pytest.mark.parametrize(
    ("migrator", "output", "text"),
    [
        ("drizzle", _DRIZZLE + "\n\u2009ELIFECYCLE\u2009 Command failed with exit code 1.\n", "it does not say"),
        (
            "drizzle",
            "DrizzleQueryError: Failed query: drop table task\n    at x\n",
            "DrizzleQueryError: Failed query: drop",
        ),
        ("drizzle", _DRIZZLE_1, "query error: must be owner of sequence ticket"),
        ("prisma", _PRISMA + _P3005, "Error: P3005 The database schema is not empty."),
        ("prisma", _PRISMA + _PRISMA_REFUSED, "ERROR: must be owner of table task"),
        ("prisma", _PRISMA + _PRISMA_ASKS, "Error: Use the --accept-data-loss flag"),
        ("prisma", _PRISMA + _PRISMA_UNREACHABLE, "Error: Can't reach database server at `127.0.0.1:1`"),
        ("alembic", _ALEMBIC + _TRACEBACK + _ALEMBIC_REFUSED, "must be owner of table task"),
        ("alembic", _ALEMBIC_HEADS, "FAILED: Multiple head revisions are present"),
        (
            "django",
            f"{_DJANGO}  Applying owner.0002...{_TRACEBACK}" + _DJANGO_REFUSED,
            "django.db.utils.ProgrammingError: must be owner of table task",
        ),
        ("django", _DJANGO_UNREACHABLE, "OperationalError: connection failed: Connection refused"),
        ("typeorm", _TYPEORM + _TYPEORM_REFUSED, "migration run: QueryFailedError: must be owner of table task"),
        ("typeorm", _TYPEORM_UNREACHABLE, "synchronization: Error: connect ECONNREFUSED 127.0.0.1:1"),
        ("mikroorm", _MIKROORM + _MIKROORM_6, 'relation "user" already exists'),
        ("mikroorm", _MIKROORM + _MIKROORM_REFUSED, "DriverException: must be owner of materialized view busy"),
        (
            "mikroorm",
            _MIKROORM + "error: permission denied for schema api\n    at pg\n",
            "permission denied for schema",
        ),
    ],
)
def test_what_a_tool_says_that_did_not(migrator: str, output: str, text: str) -> None:
    """What went wrong is in it, and nothing of where."""
    said = BY_NAME[migrator].claim(prints(output, 1))

    assert not said.succeeded
    assert text in said.text
    assert " at " not in said.text.replace("server at", "")
