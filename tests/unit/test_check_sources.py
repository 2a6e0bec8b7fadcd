"""What `inv check` warns of in scripts and sources: forced pushes, migrations at start, tables, models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bootorder.check.looking import Stack
from scripts.bootorder.check.tables import tables_of
from scripts.bootorder.owners import rehearsal_file

from .looked_at import POSTGRES, put, repository, warned

SETTINGS = "bootorder:\n  database: {service: db, name: app, user: app, password: P}\n"
FORCED = ["drizzle-kit push --force", "prisma db push --accept-data-loss", "npx prisma db push --force-reset"]
FORCED += ["mikro-orm schema:update --run", "pnpm exec mikro-orm schema:update -r --verbose"]
FORCED += ["tsc && NODE_ENV=x drizzle-kit push --config a.ts --force"]
HARMLESS = ["drizzle-kit push", "drizzle-kit push && rm --force x", "drizzle-kit migrate --force", "prisma db push"]
HARMLESS += ["mikro-orm schema:update --run --safe", "mikro-orm schema:update --dump", "git push --force"]


@pytest.mark.parametrize(("command", "is_warned"), [*((each, 1) for each in FORCED), *((each, 0) for each in HARMLESS)])
def test_a_push_that_asks_nobody_is_found_in_package_json(tmp_path: Path, command: str, is_warned: int) -> None:
    package = json.dumps({"scripts": {"build": "tsc", "db:push": command}}, indent=1)

    assert warned(tmp_path, package_json=package) == ["package.json:4 push-with-force"] * is_warned


@pytest.mark.parametrize("name", ["Makefile", "scripts/setup.sh", "justfile"])
def test_and_in_what_people_run(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "push:\n\t@npx drizzle-kit push \\\n\t  --force\n")

    assert warned(tmp_path) == [f"{name}:2 push-with-force"]


def test_and_in_what_is_given_to_a_script(tmp_path: Path) -> None:
    put(tmp_path, "package.json", '{"scripts": {"db:push": "tsc && drizzle-kit push"}}')
    put(tmp_path, "Makefile", "push:\n\tnpm run db:push -- --force\n\tnpm run db:push\n")

    assert warned(tmp_path) == ["Makefile:2 push-with-force"]


def test_and_in_a_service_and_in_the_settings(tmp_path: Path) -> None:
    put(tmp_path, "api/package.json", "{}")
    text = f"{POSTGRES}  push:\n    build: api\n    command: prisma db push --accept-data-loss\n"
    api = "      migrator: command\n      service: push\n      migrate: prisma db push --force-reset\n"

    found = warned(tmp_path, compose_yaml=text, invoke_yaml=f"{SETTINGS}  owners:\n    api:\n{api}")

    assert found == ["compose.yaml:6 push-with-force", "invoke.yaml:7 push-with-force"]


def prisma_app(root: Path, command: str, scripts: str = "{}") -> list[str]:
    put(root, "web/schema.prisma", 'datasource db {\n  provider = "postgresql"\n}\n')
    put(root, "web/package.json", f'{{"dependencies": {{"prisma": "6"}}, "scripts": {scripts}}}')
    return warned(
        root, compose_yaml=f"{POSTGRES}  web:\n    build: web\n    command: {command}\n    ports: [3000:3000]\n"
    )


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("sh -c 'npx prisma migrate deploy && npm start'", "compose.yaml:6"),
        ("sh -c 'npx prisma db push; npm start'", "compose.yaml:6"),
        ("npm run boot", "compose.yaml:6"),
        ("./boot.sh", "web/boot.sh:2"),
        ("npm start", ""),
        ("sh -c 'npx prisma generate && npm start'", ""),
    ],
)
def test_an_app_only_serves_when_it_starts(tmp_path: Path, command: str, place: str) -> None:
    put(tmp_path, "web/boot.sh", "set -e\nprisma migrate deploy\nexec node server.js\n")
    scripts = '{"boot": "prisma migrate deploy && node server.js", "start": "node server.js"}'

    assert prisma_app(tmp_path, command, scripts) == ([f"{place} migrates-at-start-too"] if place else [])


def test_a_one_off_is_there_to_migrate(tmp_path: Path) -> None:
    assert prisma_app(tmp_path, "prisma migrate deploy") == []


def test_in_the_image_it_is_the_same(tmp_path: Path) -> None:
    put(tmp_path, "web/Dockerfile", "FROM node\nENTRYPOINT npx prisma migrate deploy && exec npm start\n")

    assert prisma_app(tmp_path, "[]") == ["web/Dockerfile:2 migrates-at-start-too"]


def test_a_tool_with_common_words_counts_in_its_own_service_only(tmp_path: Path) -> None:
    """`dbmate up` is also what `up` may be of something else."""
    put(tmp_path, "db/migrations/1_a.sql", "-- migrate:up\ncreate table a();\n")
    put(tmp_path, "web/package.json", "{}")
    text = f"{POSTGRES}  web:\n    build: web\n    command: up\n    ports: [1:1]\n"

    assert warned(tmp_path, compose_yaml=text) == []


def test_a_program_that_calls_the_migrator_of_drizzle_is_found_as_well(tmp_path: Path) -> None:
    put(tmp_path, "web/package.json", '{"dependencies": {"pg": "8"}}')
    put(tmp_path, "web/drizzle.config.ts", 'export default { dialect: "postgresql", out: "sql" }\n')
    put(tmp_path, "web/sql/0000_a.sql", "create table a();\n")
    put(tmp_path, "web/migrate.ts", 'import { migrate } from "drizzle-orm/node-postgres/migrator";\n')
    text = (
        f"{POSTGRES}  web:\n    build: web\n    command: sh -c 'node migrate.ts && node server.ts'\n    ports: [1:1]\n"
    )

    assert warned(tmp_path, compose_yaml=text) == ["compose.yaml:6 migrates-at-start-too"]


# -- tables ------------------------------------------------------------------------------------------------------------

TABLES = {
    "drizzle": {
        "package.json": '{"dependencies": {"pg": "8"}}',
        "drizzle.config.ts": 'export default { dialect: "postgresql" }',
        "schema.ts": "pgTable('one', {}); pgTable(\n  `two`, {}); // pgTable('three')\npgTable(`${x}four`, {});\n"
        'auth.table("five", {});',
    },
    "prisma": {
        "schema.prisma": 'datasource db {\n provider = "postgresql"\n}\nmodel one {\n id Int\n}\n'
        'model Two {\n @@map("two")\n}\nmodel three {\n @@schema("auth")\n}\n'
    },
    "sqlmodel": {
        "requirements.txt": "sqlmodel",
        "main.py": "class One(SQLModel, table=True): ...\nclass X(SQLModel, table=True):\n    __tablename__ = 'two'\n"
        "class Three(SQLModel): ...\nclass Four(SQLModel, table=True):\n    __table_args__ = {'schema': 'auth'}\n"
        "SQLModel.metadata.create_all(engine)\n",
    },
    "alembic": {
        "alembic.ini": "[alembic]\nscript_location = migrations\n",
        "migrations/env.py": "context.configure(version_table='two')\n",
        "migrations/versions/1.py": "op.create_table('one', sa.Column('id'))\n# op.create_table('three')\n"
        "op.create_table('four', sa.Column('id'),\n    schema='auth')\n",
    },
    "knex": {
        "package.json": '{"dependencies": {"pg": "8"}}',
        "knexfile.js": 'module.exports = { client: "pg", migrations: { tableName: "two" } }',
        "migrations/1.js": "knex.schema.createTable('one', t => {})",
    },
    "dbmate": {
        "db/migrations/1.sql": "-- migrate:up\ncreate table if not exists public.one ();\ncreate table auth.two ();\n"
    },
    "rails": {
        "Gemfile": "gem 'rails'\ngem 'pg'\n",
        "config/database.yml": "adapter: postgresql\n",
        "db/schema.rb": '  create_table "one", force: :cascade do |t|\n',
    },
}


@pytest.mark.parametrize("tool", TABLES)
def test_the_tables_of_an_owner_are_read_from_its_sources(tmp_path: Path, tool: str) -> None:
    for name, text in TABLES[tool].items():
        put(tmp_path, name, text)
    stack = Stack(tmp_path)
    [owner] = [each for each in stack.looked.found.owners if each.tool.value == tool]

    found = tables_of(stack, owner)

    second = "schema_migrations" if tool in {"dbmate", "rails"} else "two"
    assert list(found) == ["one", second]


def test_the_tables_of_django_are_called_after_their_app(tmp_path: Path) -> None:
    put(tmp_path, "web/manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "web.settings")\n')
    put(tmp_path, "web/web/settings.py", 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}\n')
    models = "class Region(models.Model): ...\nclass Base(models.Model):\n    class Meta:\n        abstract = True\n"
    put(tmp_path, "web/regions/models.py", models + "class NotOne: ...\n")
    put(tmp_path, "web/users/models/user.py", "class U(AbstractUser):\n    class Meta:\n        db_table = 'user'\n")
    stack = Stack(tmp_path)
    [owner] = stack.looked.found.owners

    assert list(tables_of(stack, owner)) == ["regions_region", "user", "django_migrations"]


def two(root: Path, one: str, other: str) -> list[str]:
    """Two owners with drizzle, each with its schema."""
    for name, text in (("sso", one), ("api", other)):
        put(root, f"{name}/package.json", '{"dependencies": {"pg": "8"}}')
        put(root, f"{name}/drizzle.config.ts", 'export default { dialect: "postgresql", tablesFilter: names }')
        put(root, f"{name}/schema.ts", text)
    return warned(root)


def test_two_owners_do_not_make_one_table(tmp_path: Path) -> None:
    assert two(tmp_path, "pgTable('user')", "\npgTable('team')\npgTable('user')") == [
        "sso/schema.ts:1 same-table-twice"
    ]
    assert two(tmp_path, "pgTable('user')", "pgTable('User')") == []


def test_nor_do_they_in_layouts_that_keep_them_apart(tmp_path: Path) -> None:
    put(tmp_path, "invoke.yaml", SETTINGS + "  layout: schemas\n")

    assert two(tmp_path, "pgTable('user')", "pgTable('user')") == []


@pytest.mark.parametrize(("schemas", "is_warned"), [('"auth"', False), ('"auth", "public"', True)])
def test_nor_do_those_whose_tool_is_told_a_schema(tmp_path: Path, schemas: str, is_warned: bool) -> None:
    for folder, said in (("a", f"schemas = [{schemas}]"), ("b", "")):
        source = f'datasource db {{\n  provider = "postgresql"\n  {said}\n}}\nmodel user {{\n}}\n'
        put(tmp_path, f"{folder}/prisma/schema.prisma", source)
        put(tmp_path, f"{folder}/prisma/migrations/1/migration.sql", "")
        put(tmp_path, f"{folder}/package.json", "{}")

    assert warned(tmp_path) == ["b/prisma/schema.prisma:5 same-table-twice"] * is_warned


def test_with_two_databases_a_pair_is_known_to_share_one(tmp_path: Path) -> None:
    text = "services:\n  db:\n    image: postgres\n  other:\n    image: postgres\n"
    put(tmp_path, "compose.yaml", text)

    assert two(tmp_path, "pgTable('user')", "pgTable('user')") == []

    put(tmp_path, "compose.yaml", text.replace("  other:\n    image: postgres\n", ""))
    assert warned(tmp_path) == ["sso/schema.ts:1 same-table-twice"]


def test_an_owner_within_the_folder_of_another_is_not_part_of_it(tmp_path: Path) -> None:
    for folder in ("", "apps/web/"):
        put(tmp_path, f"{folder}package.json", '{"dependencies": {"pg": "8"}}')
        put(tmp_path, f"{folder}drizzle.config.ts", 'export default { dialect: "postgresql", tablesFilter: names }')
    put(tmp_path, "apps/web/schema.ts", "pgTable('user')")

    assert warned(tmp_path) == []


def alembic(root: Path, name: str, env: str = "") -> None:
    put(root, f"{name}/requirements.txt", "alembic\n")
    put(root, f"{name}/alembic.ini", "[alembic]\nscript_location = migrations\n")
    put(root, f"{name}/migrations/env.py", f"context.configure({env})\n")


def test_tools_of_one_kind_need_a_history_each(tmp_path: Path) -> None:
    alembic(tmp_path, "a")
    alembic(tmp_path, "b")
    assert warned(tmp_path) == ["b/alembic.ini:2 same-table-twice"]

    alembic(tmp_path, "b", env="version_table='b_version'")
    assert warned(tmp_path) == []

    alembic(tmp_path, "b", env="version_table_schema='b'")
    assert warned(tmp_path) == []


@pytest.mark.parametrize(("named", "is_warned"), [("", True), ("migrationsTableName: 'b',", False)])
def test_a_history_of_another_name_is_not_looked_up(tmp_path: Path, named: str, is_warned: bool) -> None:
    for folder, more in (("a", ""), ("b", named)):
        put(tmp_path, f"{folder}/package.json", '{"dependencies": {"typeorm": "1"}}')
        text = f"new DataSource({{\n  type: 'postgres',\n  {more}\n  migrations: ['m/*'],\n}});"
        put(tmp_path, f"{folder}/data.ts", text)

    assert warned(tmp_path) == ["b/data.ts:2 same-table-twice"] * is_warned


def test_sql_that_nobody_is_known_to_run_makes_no_table(tmp_path: Path) -> None:
    put(tmp_path, "sql/tables.sql", "create table task ();\n")
    put(tmp_path, "requirements.txt", "sqlmodel\n")
    put(tmp_path, "main.py", "class Task(SQLModel, table=True): ...\nSQLModel.metadata.create_all(e)\n")

    assert warned(tmp_path) == []


def test_a_rehearsal_says_which_tables_there_are(tmp_path: Path) -> None:
    """A schema of which nothing is literal."""
    owners = "".join(f"    {name}: {{migrator: drizzle, service: {name}, migrate: push}}\n" for name in ("sso", "api"))
    put(tmp_path, "invoke.yaml", f"{SETTINGS}  owners:\n{owners}")
    rows = [["table", "public", "user", "user", ""], ["table", "auth", "team", "team", ""]]
    put(tmp_path, f"{rehearsal_file(Path('.bootorder'), 'sso')}", json.dumps({"catalog": rows}))

    assert two(tmp_path, "", "pgTable('team')") == []
    assert two(tmp_path, "", "pgTable('user')") == ["sso/drizzle.config.ts:1 same-table-twice"]

    put(tmp_path, f"{rehearsal_file(Path('.bootorder'), 'sso')}", '{"catalog": [[1]]}')
    assert warned(tmp_path) == []


# -- models ------------------------------------------------------------------------------------------------------------

MODEL = "from sqlmodel import SQLModel\n\nclass Invoice(SQLModel, table=True): ...\n"
START = "from sqlmodel import SQLModel\nIMPORT\ndef start():\n    INNER\n    SQLModel.metadata.create_all(engine)\n"


def python(root: Path, at_top: str = "", inner: str = "pass", **more: str) -> list[str]:
    put(root, "requirements.txt", "sqlmodel\n")
    put(root, "app/__init__.py", more.pop("package", ""))
    put(root, "app/billing/__init__.py", "")
    put(root, "app/billing/invoice.py", more.pop("model", MODEL))
    put(root, "app/main.py", START.replace("IMPORT", at_top).replace("INNER", inner))
    return warned(repository(root, **more))


@pytest.mark.parametrize(
    ("at_top", "inner"),
    [
        ("from app.billing.invoice import Invoice", "pass"),
        ("from app.billing import invoice", "pass"),
        ("import app.billing.invoice", "pass"),
        ("from .billing import invoice", "pass"),
        ("from .billing.invoice import *", "pass"),
        ("from app.billing import (\n    price,\n    invoice,\n)", "pass"),
        ("", "from app.billing import invoice"),
        ("try:\n    import app.billing.invoice\nexcept ImportError: pass", "pass"),
        ("import importlib", "importlib.import_module('app.billing.' + name)"),
    ],
)
def test_a_model_that_is_imported_is_known(tmp_path: Path, at_top: str, inner: str) -> None:
    assert python(tmp_path, at_top, inner) == []


@pytest.mark.parametrize(
    "at_top",
    [
        "",
        "import app.billing",
        "from app import other as invoice",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from app.billing.invoice import Invoice",
    ],
)
def test_a_model_that_is_not_is_told_with_its_line(tmp_path: Path, at_top: str) -> None:
    assert python(tmp_path, at_top) == ["app/billing/invoice.py:3 unregistered-models"]


def test_a_model_that_only_another_one_imports_is_told_too(tmp_path: Path) -> None:
    other = MODEL.replace("Invoice", "Line") + "from .invoice import Invoice\n"
    put(tmp_path, "app/billing/line.py", other)

    found = python(tmp_path)

    assert found == ["app/billing/invoice.py:3 unregistered-models", "app/billing/line.py:3 unregistered-models"]
    assert python(tmp_path, "from app.billing import line") == []


def test_a_package_is_run_before_what_is_in_it(tmp_path: Path) -> None:
    put(tmp_path, "app/billing/price.py", "")

    assert python(tmp_path, "import app.billing.price", model="", package=MODEL) == []
    assert python(tmp_path, "import price", model="", package=MODEL) == ["app/__init__.py:3 unregistered-models"]


def test_the_module_that_makes_the_tables_knows_its_own(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "sqlmodel\n")
    put(tmp_path, "main.py", MODEL + "SQLModel.metadata.create_all(engine)\n")

    assert warned(tmp_path) == []


@pytest.mark.parametrize(
    ("comment", "is_silent"),
    [
        ("# bootorder: ignore", True),
        ("# bootorder: ignore[unregistered-models]", True),
        ("# bootorder: ignore[same-table-twice]", False),
    ],
)
def test_a_model_of_another_metadata_is_marked_as_for_check_models(
    tmp_path: Path, comment: str, is_silent: bool
) -> None:
    model = MODEL.replace(": ...", f":  {comment}\n    ...")

    assert (python(tmp_path, model=model) == []) is is_silent


def test_what_python_cannot_read_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "app/broken.py", "class Invoice(SQLModel, table=True:\n")
    put(tmp_path, "app/old.py", "print 'invoice'\nx = '\\d'\n")

    assert python(tmp_path) == ["app/billing/invoice.py:3 unregistered-models"]
