"""Shapes that repositories of people have, each of which was once taken for another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.copying.starter import starter
from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.detect.env_files import is_of_env
from scripts.bootorder.detect.findings import Fact
from scripts.bootorder.env_file import TEMPLATES
from scripts.bootorder.settings import parse

from .looked_at import POSTGRES, notes, put, repository

PRISMA = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
URL = "postgresql://app:secret@db:5432/app"


def values(*facts: Fact | None) -> list[str]:
    return [fact.value if fact else "" for fact in facts]


def with_service(service: str) -> str:
    return f"{POSTGRES}  {service}"


# -- compose files -----------------------------------------------------------------------------------------------------


def test_another_stack_of_the_same_folder_is_not_put_over_the_one_that_starts_by_itself(tmp_path: Path) -> None:
    put(tmp_path, "docker-compose.yml", POSTGRES)
    put(tmp_path, "docker-compose.dev.yml", "services:\n  db:\n    image: postgres:16\n")
    put(tmp_path, "package.json", '{"scripts": {"infra": "docker compose -f docker-compose.dev.yml up -d"}}')

    assert "  compose: [docker-compose.yml]\n" in starter(detect(tmp_path))


def test_a_file_whose_services_are_extended_is_no_stack_of_its_own(tmp_path: Path) -> None:
    base = "services:\n  db:\n    extends: {file: ./parts/docker-compose.yml, service: db}\n"
    put(tmp_path, "stack/docker-compose.yml", base)
    put(tmp_path, "stack/parts/docker-compose.yml", POSTGRES)

    found = detect(tmp_path)

    assert [each.files for each in found.compose] == [("stack/docker-compose.yml",)]
    assert "compose" not in [question.about for question in found.questions]


# -- databases ---------------------------------------------------------------------------------------------------------


def test_a_database_that_only_a_profile_starts_is_no_choice(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", with_service("db-test:\n    image: postgres:18\n    profiles: [test]\n"))

    found = detect(tmp_path)

    assert [values(each.service) for each in found.databases] == [["db"]]
    assert "databases" not in [question.about for question in found.questions]


def test_the_database_is_the_one_of_the_urls_where_a_script_makes_it(tmp_path: Path) -> None:
    url = URL.replace("/app", "/shop_development")
    put(tmp_path, "compose.yaml", with_service(f"web:\n    image: web\n    environment:\n      DATABASE_URL: {url}\n"))

    [database] = detect(tmp_path).databases

    assert values(database.name) == ["shop_development"]


def test_two_databases_of_one_server_leave_it_at_the_one_that_its_image_makes(tmp_path: Path) -> None:
    urls = "".join(f"      {name}_URL: {URL}_{name}\n" for name in ("A_DB", "B_DB"))
    put(tmp_path, "compose.yaml", with_service(f"web:\n    image: web\n    environment:\n{urls}"))

    [database] = detect(tmp_path).databases

    assert values(database.name) == ["postgres"]


def test_detection_reads_the_templates_that_a_new_env_begins_as() -> None:
    assert all(is_of_env(name) for name in TEMPLATES)


def test_a_template_may_have_its_mark_in_the_middle(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES + "    environment:\n      POSTGRES_DB: ${DATABASE_NAME}\n")
    put(tmp_path, "env-example-relational", "DATABASE_NAME=shop\n")

    [database] = detect(tmp_path).databases

    assert values(database.name) == ["shop"]


# -- commands ----------------------------------------------------------------------------------------------------------


def _prisma(root: Path, compose: str, scripts: str = "{}") -> None:
    put(root, "compose.yaml", compose)
    put(root, "web/package.json", f'{{"scripts": {scripts}, "devDependencies": {{"prisma": "6"}}}}')
    put(root, "web/prisma/schema.prisma", PRISMA)
    put(root, "web/prisma/migrations/1_init/migration.sql", "CREATE TABLE a (id int);\n")


WEB = f"web:\n    build: web\n    environment:\n      DATABASE_URL: {URL}\n"


def test_a_command_that_asks_is_replaced_by_the_one_that_does_not(tmp_path: Path) -> None:
    _prisma(tmp_path, with_service(f'{WEB}    command: sh -c "npx prisma migrate dev --name init && npm start"\n'))

    [owner] = detect(tmp_path).owners

    assert values(owner.migrate) == ["npx prisma migrate deploy"]


def test_of_two_scripts_the_one_that_asks_is_not_taken(tmp_path: Path) -> None:
    scripts = '{"db:migrate": "prisma migrate dev", "db:deploy": "prisma migrate deploy"}'
    _prisma(tmp_path, with_service(WEB), scripts)

    [owner] = detect(tmp_path).owners

    assert values(owner.migrate) == ["npm run db:deploy"]


def test_a_script_is_called_as_a_whole_where_what_stands_before_the_tool_prepares_it(tmp_path: Path) -> None:
    scripts = '{"migrate": "node rename.js && prisma migrate deploy", "boot": "prisma migrate deploy && node app.js"}'
    for command, wanted in (("npm run migrate", "npm run migrate"), ("npm run boot", "npx prisma migrate deploy")):
        _prisma(tmp_path, with_service(f"{WEB}    command: {command}\n"), scripts)

        [owner] = detect(tmp_path).owners

        assert values(owner.migrate) == [wanted]


def test_what_a_script_was_called_with_is_no_part_of_a_command(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", with_service("api:\n    build: api\n    command: ./bin/entrypoint.sh\n"))
    put(tmp_path, "api/Dockerfile", "FROM python:3.14\n")
    put(tmp_path, "api/bin/entrypoint.sh", '#!/bin/sh\npython manage.py migrate $1 "$@"\n')
    put(tmp_path, "api/manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n')
    put(tmp_path, "api/shop/settings.py", 'DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}\n')

    [owner] = detect(tmp_path).owners

    assert values(owner.migrate, owner.service) == ["python manage.py migrate", "api"]


def test_a_switch_of_typeorm_is_off_where_there_are_migrations(tmp_path: Path) -> None:
    source = """
new DataSource({
  type: "postgres",
  synchronize: process.env.SYNC === "true",
  migrations: ["dist/migrations/*.js"],
});
"""
    package = '{"scripts": {"migrate": "typeorm -d dist/db.js migration:run"}, "dependencies": {"typeorm": "0.3"}}'
    repository(tmp_path, package_json=package, src__db_ts=source)

    [owner] = detect(tmp_path).owners

    assert values(owner.way, owner.migrate) == ["migrate", "npm run migrate"]


def test_migrations_for_another_kind_of_database_have_no_owner(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES)
    sql = "CREATE TABLE traces (id String)\nENGINE = MergeTree ORDER BY id;\n"
    put(tmp_path, "clickhouse/migrations/0001_traces.up.sql", sql)

    found = detect(tmp_path)

    assert not found.owners
    assert "clickhouse/migrations/0001_traces.up.sql: is for MergeTree tables, which PostgreSQL has not" in notes(found)


# -- services ----------------------------------------------------------------------------------------------------------


def test_the_stage_that_is_built_says_which_folder_a_service_runs(tmp_path: Path) -> None:
    dockerfile = """\
FROM node:24 AS base
COPY packages/api/a packages/api/b packages/api/c ./
FROM base AS api
COPY packages/api/dist ./
FROM base AS site
COPY packages/site/dist ./
"""
    build = "    build: {{context: ., dockerfile: all.Dockerfile, target: {}}}\n"
    services = f"api:\n{build.format('api')}  site:\n{build.format('site')}"
    repository(tmp_path, compose_yaml=with_service(services), all_Dockerfile=dockerfile)
    for name in ("api", "site"):
        put(tmp_path, f"packages/{name}/package.json", "{}")

    assert {each.name: values(each.folder) for each in detect(tmp_path).services} == {
        "api": ["packages/api"],
        "site": ["packages/site"],
    }


def test_what_does_its_work_and_ends_is_known_without_its_sources(tmp_path: Path) -> None:
    services = (
        'buckets:\n    image: minio/mc\n    entrypoint: /bin/sh -c "mc mb store/a; exit 0;"\n'
        '  rights:\n    image: ubuntu\n    command: bash -c "chown 1000 /a && chown 1000 /b"\n'
        "  playwright:\n    build: .\n    ports: ['9323:9323']\n"
    )
    repository(tmp_path, compose_yaml=with_service(services), Dockerfile="FROM node:24\n")

    assert [each.kind.value for each in detect(tmp_path).services] == ["one-off"] * 3


def test_of_several_services_of_a_folder_nobody_knows_which_one_answers(tmp_path: Path) -> None:
    services = "".join(f"  {name}:\n    build: .\n    ports: ['{name[-1]}000:80']\n" for name in ("web1", "rpc2"))
    put(tmp_path, "compose.yaml", POSTGRES + services)
    put(tmp_path, "Dockerfile", "FROM python:3.14\n")
    put(tmp_path, "main.py", 'app = FastAPI()\n\n@app.get("/health")\ndef health(): ...\n')

    assert [each.health and each.health.sure for each in detect(tmp_path).services] == ["guess", "guess"]


def test_a_service_of_an_owners_folder_without_its_database_does_not_connect(tmp_path: Path) -> None:
    parts = "    environment:\n" + "".join(f"      DB_{part}: a\n" for part in ("HOST", "USER", "PASSWORD", "NAME"))
    services = f"api:\n    build: api\n{parts}    command: alembic upgrade head\n  model:\n    build: api\n"
    put(tmp_path, "compose.yaml", with_service(services))
    put(tmp_path, "api/Dockerfile", "FROM python:3.14\n")
    put(tmp_path, "api/alembic.ini", "[alembic]\nscript_location = alembic\n")

    assert "connects: [api]\n" in starter(detect(tmp_path))


def test_an_owner_that_no_service_could_run_is_a_question(tmp_path: Path) -> None:
    _prisma(tmp_path, POSTGRES)

    text = starter(detect(tmp_path))

    assert "# ? no compose service has the URL of web, and its commands need one that has: which?" in text
    assert "    # web:\n" in text
    assert "\n      service: ?" not in text


def test_a_service_with_the_url_may_be_where_the_commands_run(tmp_path: Path) -> None:
    service = f"server:\n    image: somebody/server\n    environment:\n      DATABASE_URL: {URL}\n"
    _prisma(tmp_path, with_service(service))

    [asked] = [each for each in detect(tmp_path).questions if each.about == "owners.web.service"]

    assert asked.choices == ("server", "this machine")


def test_a_user_who_is_no_superuser_is_a_question(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", "services:\n  db:\n    image: supabase/postgres:15\n")

    [asked] = [each for each in detect(tmp_path).questions if each.about == "databases.db.user"]

    assert asked.choices == ("supabase_admin",)


def test_the_password_of_an_env_file_of_another_name_is_the_services(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES + "    env_file: .envs/.local/.postgres\n")
    put(tmp_path, ".envs/.local/.postgres", "POSTGRES_PASSWORD=secret\nPOSTGRES_DB=shop\n")

    [database] = detect(tmp_path).databases

    facts = (database.name, database.password, database.service_password)
    assert values(*facts) == ["shop", "", "POSTGRES_PASSWORD"]


# -- who runs it -------------------------------------------------------------------------------------------------------


def test_what_a_person_runs_in_a_service_is_how_its_tables_are_made(tmp_path: Path) -> None:
    _prisma(tmp_path, with_service(WEB))
    put(
        tmp_path,
        "Makefile",
        "COMPOSE = docker compose\n\nmigrate:\n\t$(COMPOSE) exec -T web npx prisma migrate deploy\n",
    )

    [owner] = detect(tmp_path).owners

    assert values(owner.service, owner.migrate) == ["web", "npx prisma migrate deploy"]
    assert owner.migrate
    assert str(owner.migrate.where) == "Makefile:4"


def test_a_program_for_a_shell_needs_no_ending(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", with_service("api:\n    build: api\n    command: /start\n"))
    put(tmp_path, "api/Dockerfile", "FROM python:3.14\n")
    put(tmp_path, "api/alembic.ini", "[alembic]\nscript_location = alembic\n")
    put(tmp_path, "api/docker/start", "#!/bin/bash\nalembic upgrade heads\nexec uvicorn main:app\n")

    [owner] = detect(tmp_path).owners

    assert values(owner.migrate, owner.service) == ["alembic upgrade heads", "api"]


def test_an_app_that_makes_its_url_of_parts_learns_the_database_from_the_parts(tmp_path: Path) -> None:
    parts = "".join(f"      POSTGRES_{part}: a\n" for part in ("HOST", "USER", "PASSWORD", "DB"))
    put(tmp_path, "compose.yaml", with_service(f"api:\n    build: .\n    environment:\n{parts}"))
    put(tmp_path, "Dockerfile", "FROM python:3.14\n")
    put(tmp_path, "manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")\n')
    put(tmp_path, "settings.py", 'DATABASES = {"default": env.db("DATABASE_URL")}\n')

    text = starter(detect(tmp_path))

    assert "{host: POSTGRES_HOST, user: POSTGRES_USER, password: POSTGRES_PASSWORD, database: POSTGRES_DB}" in text


# Where a container has the file of a password from: what the service says, what stands beside the services, the file.
FILES = {
    "a secret": ("secrets: [pg]", "pg: {file: ./secrets/pg}", "/run/secrets/pg", "secrets/pg"),
    "a secret of another name": (
        "secrets: [{source: pg, target: password}]",
        "pg: {file: secrets/pg.txt}",
        "/run/secrets/password",
        "secrets/pg.txt",
    ),
    "a secret elsewhere in the container": (
        "secrets: [{source: pg, target: /etc/password}]",
        'pg: {file: "${WHERE:-secrets}/pg"}',
        "/etc/password",
        "secrets/pg",
    ),
    "a mounted file": ("volumes: [./secrets/pg:/password:ro]", "", "/password", "secrets/pg"),
    "a mounted folder": ("volumes: [./secrets:/run/secrets:ro]", "", "/run/secrets/pg", "secrets/pg"),
}


@pytest.mark.parametrize(("of_service", "beside", "path", "file"), FILES.values(), ids=FILES)
def test_the_file_of_a_password_is_found_where_the_container_has_it_from(
    tmp_path: Path, of_service: str, beside: str, path: str, file: str
) -> None:
    database = f"    environment: {{POSTGRES_PASSWORD_FILE: {path}}}\n    {of_service}\n"
    put(tmp_path, "compose.yaml", f"{POSTGRES}{database}secrets:\n  other: {{file: ./other}}\n  {beside}\n")

    found = detect(tmp_path)

    assert values(*(each.password_file for each in found.databases)) == [file]
    assert found.questions == ()
    assert f"    password: {{file: {file}}} # compose.yaml:" in starter(found)


def test_a_secret_that_is_made_of_a_variable_is_that_variable(tmp_path: Path) -> None:
    database = "    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pg}\n    secrets: [pg]\n"
    put(tmp_path, "compose.yaml", f"{POSTGRES}{database}secrets:\n  pg: {{environment: DATABASE_SECRET}}\n")

    assert "    password: DATABASE_SECRET # compose.yaml:4\n" in starter(detect(tmp_path))


@pytest.mark.parametrize("secret", ["{file: ../secrets/pg}", "{file: /etc/pg}", "{external: true}"])
def test_a_password_file_that_is_not_of_the_repository_is_a_question(tmp_path: Path, secret: str) -> None:
    database = "    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pg}\n    secrets: [pg]\n"
    put(tmp_path, "compose.yaml", f"{POSTGRES}{database}secrets:\n  pg: {secret}\n")

    assert [question.about for question in detect(tmp_path).questions] == ["databases.db.password"]


def with_password_files(root: Path, file_of_api: str) -> None:
    parts = "DB_HOST: db, DB_USER: api, DB_NAME: app, DB_PASSWORD_FILE: /run/secrets/api"
    api = f"  api:\n    build: ./api\n    command: alembic upgrade head\n    environment: {{{parts}}}\n"
    database = "    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pg}\n    secrets: [pg]\n"
    secrets = f"secrets:\n  pg: {{file: ./secrets/pg}}\n  api: {{file: {file_of_api}}}\n"
    put(root, "compose.yaml", f"{POSTGRES}{database}{api}    secrets: [api]\n{secrets}")
    put(root, "api/Dockerfile", 'FROM python:3.14\nCMD ["python", "-m", "api"]\n')
    put(root, "api/alembic.ini", "[alembic]\nscript_location = migrations\n")
    put(root, "api/migrations/env.py", "from sqlalchemy import pool\n")


def test_an_owner_with_a_password_file_gets_its_password_there(tmp_path: Path) -> None:
    with_password_files(tmp_path, "./secrets/api")

    text = starter(detect(tmp_path))

    assert "variables: {host: DB_HOST, user: DB_USER, password_file: DB_PASSWORD_FILE, database: DB_NAME}" in text
    assert "      password: {file: secrets/api} # compose.yaml:9\n" in text
    config = yaml.safe_load(text)  # type: ignore[no-untyped-call]
    settings = parse(config)
    assert settings.database.password == "secrets/pg"
    assert settings.owners["api"].password == "secrets/api"


def test_an_owner_that_reads_the_superusers_password_file_is_a_question(tmp_path: Path) -> None:
    with_password_files(tmp_path, "./secrets/pg")

    found = detect(tmp_path)

    [question] = [question for question in found.questions if question.about == "owners.api.password"]
    assert question.choices == ("secrets/api_db_password",)
    assert str(question.where) == "compose.yaml:9"


def test_in_an_image_with_the_built_app_only_the_tool_may_be_missing(tmp_path: Path) -> None:
    _prisma(tmp_path, with_service(WEB))
    put(
        tmp_path,
        "web/Dockerfile",
        "FROM node:24 AS builder\nFROM node:24\nCOPY --from=builder /a/.next/standalone ./\n",
    )

    [asked] = [each for each in detect(tmp_path).questions if each.about == "owners.web.service"]

    assert asked.choices == ("web", "this machine")


def test_a_command_that_names_its_database_is_a_question_without_the_password(tmp_path: Path) -> None:
    service = f'migrate:\n    image: migrate/migrate\n    command: ["-path", "/m", "-database", "{URL}", "up"]\n'
    put(tmp_path, "compose.yaml", with_service(service))
    put(tmp_path, ".env.example", f"DATABASE_URL={URL}\n")

    text = starter(detect(tmp_path))

    assert "# ? the command of golang-migrate names its database itself: which variable" in text
    assert "secret" not in text


def test_a_jdbc_url_is_a_question(tmp_path: Path) -> None:
    environment = "{FLYWAY_URL: 'jdbc:postgresql://db:5432/a', FLYWAY_USER: a, FLYWAY_PASSWORD: a}"
    service = f"flyway:\n    image: flyway/flyway:11\n    command: migrate\n    environment: {environment}\n"
    put(tmp_path, "compose.yaml", with_service(service))

    [asked] = [each for each in detect(tmp_path).questions if each.about == "owners.flyway.url_variable"]

    assert asked.text.startswith("FLYWAY_URL of flyway is a JDBC URL")
