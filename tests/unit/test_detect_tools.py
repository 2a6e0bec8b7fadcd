"""How detection knows a schema tool, and who runs it; and what it never shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.detect.findings import as_data

from .looked_at import POSTGRES, notes, printed, put, repository


def test_two_lock_files_are_a_question(tmp_path: Path) -> None:
    put(tmp_path, "package.json", "{}")
    put(tmp_path, "yarn.lock", "")
    put(tmp_path, "pnpm-lock.yaml", "")

    [question] = [each for each in detect(tmp_path).questions if each.about == "packages.."]

    assert question.choices == ("pnpm", "yarn")


def test_what_is_in_a_comment_is_not_said(tmp_path: Path) -> None:
    config = """
export default {
  // dialect: "mysql",
  /* out: "./old", */
  dialect: "postgresql", // a URL has slashes, too: https://orm.drizzle.team
  schema: "./src/**/*.sql.ts",
};
"""
    repository(tmp_path, package_json="{}", drizzle_config_ts=config)

    [owner] = detect(tmp_path).owners

    assert {name: fact.value for name, fact in owner.settings.items()} == {"schema": "./src/**/*.sql.ts"}


def test_what_is_no_literal_is_less_sure(tmp_path: Path) -> None:
    config = 'export default { dialect: "postgresql", schema: globs("a", ["b"]), out: `${dir}/x` }'
    repository(tmp_path, package_json="{}", drizzle_config_ts=config)

    [owner] = detect(tmp_path).owners

    assert {name: (fact.value, fact.sure) for name, fact in owner.settings.items()} == {
        "schema": ('globs("a", ["b"])', "likely"),
        "out": ("`${dir}/x`", "likely"),
    }


def test_alembic_beside_create_all_is_a_question(tmp_path: Path) -> None:
    put(tmp_path, "pyproject.toml", '[project]\ndependencies = ["alembic", "sqlmodel"]\n')
    put(tmp_path, "alembic.ini", "[alembic]\nscript_location = migrations\n")
    put(tmp_path, "migrations/env.py", "from alembic import context\n")
    put(tmp_path, "app.py", "app = FastAPI()\n\nSQLModel.metadata.create_all(engine)\n")

    found = detect(tmp_path)

    assert [owner.tool.value for owner in found.owners] == ["alembic", "sqlmodel"]
    assert ("alembic", "sqlmodel", "each its own") in [question.choices for question in found.questions]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "drizzle.config.ts",
            'export default { dialect: "sqlite" };',
            "drizzle.config.ts:1: drizzle is used with SQLite",
        ),
        (
            "prisma/schema.prisma",
            'datasource db {\n  provider = "sqlite"\n}',
            "schema.prisma:2: prisma is used with SQLite",
        ),
        (
            "app.py",
            'e = create_engine("sqlite://")\nB.metadata.create_all(e)',
            "app.py:1: create_all is used with SQLite",
        ),
        (
            "alembic.ini",
            "[alembic]\nsqlalchemy.url = mysql+pymysql://localhost/x",
            "alembic.ini:2: alembic is used with MySQL",
        ),
        ("knexfile.js", "module.exports = { client: 'mysql2' }", "knexfile.js:1: knex is used with MySQL"),
        ("mikro-orm.config.ts", 'import "@mikro-orm/sqlite"', "mikro-orm.config.ts:1: mikro-orm is used with SQLite"),
        ("flyway.conf", "flyway.url=jdbc:mysql://localhost/x", "flyway.conf:1: flyway is used with MySQL"),
        ("liquibase.properties", "url: jdbc:mariadb://db/x", "liquibase.properties:1: liquibase is used with MariaDB"),
    ],
)
def test_what_is_used_with_another_database_is_no_owner_and_said(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    put(tmp_path, "package.json", "{}")
    put(tmp_path, name, text)

    found = detect(tmp_path)

    assert found.owners == ()
    assert notes(found)[-1].endswith(said)
    assert ".: no PostgreSQL was found: bootorder is for PostgreSQL" in notes(found)


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("app = FastAPI()\nSQLModel.metadata.create_all(engine)\n", "certain"),
        ("app = FastAPI()\ndef f():\n    pass\nSQLModel.metadata.create_all(engine)\n", "certain"),
        ("def make():\n    SQLModel.metadata.create_all(engine)\n", "guess"),
        (
            "@asynccontextmanager\nasync def lifespan(app):\n    await c.run_sync(SQLModel.metadata.create_all)\n",
            "certain",
        ),
    ],
)
def test_tables_are_made_at_start_for_sure_where_the_app_calls_for_it(tmp_path: Path, text: str, sure: str) -> None:
    repository(tmp_path, requirements_txt="sqlmodel\n", src__db_py=text)

    [owner] = detect(tmp_path).owners

    assert owner.way
    assert (owner.tool.value, owner.way.value, owner.way.sure) == ("sqlmodel", "at start", sure)


def test_what_tests_and_comments_create_is_nobodys(tmp_path: Path) -> None:
    call = "SQLModel.metadata.create_all(engine)\n"
    repository(tmp_path, requirements_txt="sqlmodel\n", conftest_py=call, app_py=f"# {call}")

    assert detect(tmp_path).owners == ()


@pytest.mark.parametrize(
    ("scripts", "way", "sure", "migrate"),
    [
        ({"push": "drizzle-kit push"}, "push", "likely", "pnpm push"),
        ({"up": "drizzle-kit migrate"}, "migrate", "likely", "pnpm up"),
        ({"up": "drizzle-kit migrate", "push": "drizzle-kit push"}, "push", "guess", "pnpm push"),
        ({"dev": "drizzle-kit push && vite dev"}, "push", "guess", "pnpm exec drizzle-kit push"),
        ({}, "push", "guess", "pnpm exec drizzle-kit push"),
    ],
)
def test_the_way_to_the_tables_is_what_there_is_a_script_for(
    tmp_path: Path, scripts: dict[str, str], way: str, sure: str, migrate: str
) -> None:
    put(tmp_path, "package.json", json.dumps({"packageManager": "pnpm@10.0.0", "scripts": scripts}))
    put(tmp_path, "drizzle.config.ts", 'export default { dialect: "postgresql" };')

    [owner] = detect(tmp_path).owners

    assert owner.way
    assert owner.migrate
    assert (owner.way.value, owner.way.sure, owner.migrate.value) == (way, sure, migrate)


def test_migrations_that_are_there_are_run(tmp_path: Path) -> None:
    scripts = {"migrate": "drizzle-kit migrate", "push": "drizzle-kit push"}
    put(tmp_path, "package.json", json.dumps({"scripts": scripts}))
    put(tmp_path, "drizzle.config.ts", 'export default { dialect: "postgresql" };')
    put(tmp_path, "drizzle/0000_first.sql", "create table a (id int);")

    found = detect(tmp_path)

    assert [owner.migrate.value for owner in found.owners if owner.migrate] == ["npm run migrate"]
    assert ("npm run migrate", "npm run push") in [question.choices for question in found.questions]


def test_what_a_service_runs_decides_over_what_lies_there(tmp_path: Path) -> None:
    scripts = {"migrate": "drizzle-kit migrate", "push": "drizzle-kit push", "up": "npm run push && node app.js"}
    put(tmp_path, "package.json", json.dumps({"scripts": scripts}))
    put(tmp_path, "drizzle.config.ts", 'export default { dialect: "postgresql" };')
    put(tmp_path, "drizzle/0000_first.sql", "create table a (id int);")
    put(tmp_path, "compose.yaml", f"{POSTGRES}  web:\n    build: .\n    command: npm run up\n")

    found = detect(tmp_path)

    [owner] = found.owners
    assert owner.way
    assert owner.migrate
    assert owner.service
    facts = (owner.way, owner.migrate, owner.service)
    assert [(fact.value, fact.sure) for fact in facts] == [
        ("push", "certain"),
        ("npm run push", "certain"),
        ("web", "certain"),
    ]
    assert not [question for question in found.questions if question.about.startswith("owners.web.way")]


def test_scripts_that_call_each_other_are_followed_once(tmp_path: Path) -> None:
    scripts = {
        "a": "npm run b && npm run b && npm run a",
        "b": "npm run a; npm run a; drizzle-kit push && node seed.js",
    }
    put(tmp_path, "package.json", json.dumps({"scripts": scripts}))
    put(tmp_path, "drizzle.config.ts", 'export default { dialect: "postgresql" };')
    put(tmp_path, "compose.yaml", f"{POSTGRES}  web:\n    build: .\n    command: npm run a\n")

    [owner] = detect(tmp_path).owners

    assert owner.migrate
    assert (owner.migrate.value, str(owner.migrate.where)) == ("npx drizzle-kit push", "compose.yaml:6")


def test_a_program_of_the_repository_is_run_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, "package.json", json.dumps({"scripts": {"start": "node src/migrate.ts && node src/server.ts"}}))
    put(tmp_path, "drizzle.config.ts", 'export default { dialect: "postgresql" };')
    put(tmp_path, "src/migrate.ts", 'import { migrate } from "drizzle-orm/node-postgres/migrator";\n')
    put(tmp_path, "compose.yaml", f"{POSTGRES}  web:\n    build: .\n    command: npm start\n")

    [owner] = detect(tmp_path).owners

    assert owner.migrate
    assert owner.migrate.value == "node src/migrate.ts"


@pytest.mark.parametrize(("rest", "sure"), [("\nserve({ fetch: app.fetch });", "likely"), ("", "guess")])
def test_a_route_of_a_chain_is_the_apps_where_the_chain_is_served(tmp_path: Path, rest: str, sure: str) -> None:
    put(tmp_path, "package.json", "{}")
    put(tmp_path, "src/app.js", f'const app = new Hono()\n  .get("/users", users)\n  .get("/healthz", ok);{rest}')
    put(tmp_path, "compose.yaml", f"{POSTGRES}  web:\n    build: .\n    ports: ['3000:3000']\n")

    health = detect(tmp_path).services[0].health

    assert health
    assert (health.value, str(health.where), health.sure) == ("/healthz", "src/app.js:3", sure)


def test_the_tool_of_a_workspace_runs_where_a_service_calls_it(tmp_path: Path) -> None:
    """The folder of the tool is another one than that of the service."""
    put(tmp_path, "package.json", '{"workspaces": ["apps/*", "packages/*"]}')
    put(tmp_path, "package-lock.json", "{}")
    put(tmp_path, "apps/api/package.json", '{"name": "api", "dependencies": {"@acme/database": "*"}}')
    command = "npm run migrate --workspace=@acme/database && node apps/api/main.js"
    put(tmp_path, "apps/api/Dockerfile", f"FROM node:24\nCMD {command}\n")
    put(tmp_path, "compose.yaml", f"{POSTGRES}  api:\n    build: {{context: ., dockerfile: apps/api/Dockerfile}}\n")
    scripts = {"migrate": "prisma migrate deploy"}
    put(tmp_path, "packages/database/package.json", json.dumps({"name": "@acme/database", "scripts": scripts}))
    put(tmp_path, "packages/database/schema.prisma", 'datasource db {\n  provider = "postgresql"\n}\n')

    [owner] = detect(tmp_path).owners

    facts = (owner.name, owner.tool, owner.way, owner.migrate, owner.service)
    assert [fact.value for fact in facts if fact] == [
        *("api", "prisma", "migrate"),
        *("npm run migrate --workspace=@acme/database", "api"),
    ]


def test_a_command_of_the_app_that_creates_tables_is_no_start(tmp_path: Path) -> None:
    program = "@cli.command()\ndef create():\n    db.create_all()\n\nif __name__ == '__main__':\n    cli()\n"
    repository(tmp_path, requirements_txt="Flask-SQLAlchemy\n", manage_py=program)
    put(tmp_path, "Dockerfile", "FROM python:3.13\nCMD python manage.py run\n")
    put(tmp_path, "compose.yaml", f"{POSTGRES}  web:\n    build: .\n")

    [owner] = detect(tmp_path).owners

    assert owner.way
    assert owner.way.sure == "guess"
    assert owner.migrate is None


def test_where_only_the_database_is_in_a_container_nobody_asks_which_service_runs_the_tool(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES)
    put(tmp_path, "package.json", '{"packageManager": "pnpm@10.0.0"}')
    put(tmp_path, "packages/database/package.json", '{"name": "@repo/database", "scripts": {"push": "prisma db push"}}')
    prisma = 'datasource db {\n  provider = "postgresql"\n  url = env("POSTGRES_URL")\n}\n'
    put(tmp_path, "packages/database/prisma/schema.prisma", prisma)

    found = detect(tmp_path)

    [owner] = found.owners
    facts = (owner.name, owner.migrate, owner.service, owner.url_variable)
    assert [fact and fact.value for fact in facts] == ["prisma", "pnpm push", None, "POSTGRES_URL"]
    assert [question.about for question in found.questions] == ["databases.db.password"]


def test_passwords_are_never_shown(tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yaml",
        """
services:
  db:
    image: postgres:18
    environment:
      POSTGRES_PASSWORD: hunter2
  other:
    image: postgres:18
    environment:
      POSTGRES_PASSWORD: ${SECRET:-hunter2}
  migrate:
    image: migrate/migrate
    command: -database postgres://me:hunter2@db/app --password hunter2 up
  cache:
    image: redis
    command: PASSWORD=hunter2 redis-server --requirepass "hunter2"
""",
    )
    put(tmp_path, ".env", "SECRET=hunter2\nDATABASE_URL=postgres://me:hunter2@localhost/app\n")

    found = detect(tmp_path)

    assert len(found.databases) == 2
    assert "hunter2" not in json.dumps(as_data(found))
    assert "hunter2" not in printed(found)


def test_text_of_others_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", 'services:\n  "d\\e[31mb\\nx":\n    image: "postgres:18\\e]0;title\\a"\n')

    text = printed(detect(tmp_path))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "db x" in text
