"""What detection says of repositories in the shapes that people have: tests/repositories, each with its answer."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.console import Console
from scripts.bootorder.detect import files
from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.detect.findings import Detected, as_data
from scripts.bootorder.detect.showing import print_detected, show_detected
from scripts.bootorder.errors import SettingsError
from scripts.bootorder.settings import parse

ROOT = Path(__file__).parents[2]
REPOSITORIES = sorted(path.parent for path in (ROOT / "tests" / "repositories").glob("*/repository"))

POSTGRES = "services:\n  db:\n    image: postgres:18\n"


def repository(root: Path, **texts: str) -> Path:
    """`compose_yaml="..."` is compose.yaml; two underscores are a slash."""
    for name, text in texts.items():
        folder, _, last = name.replace("__", "/").rpartition("/")
        put(root, f"{folder}/{last.replace('_', '.')}".lstrip("/"), text)
    return root


def put(root: Path, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def notes(found: Detected) -> list[str]:
    return [f"{note.where}: {note.text}" for note in found.notes]


def printed(found: Detected) -> str:
    out = io.StringIO()
    print_detected(Console(out, out), found)
    return out.getvalue()


# -- whole repositories ------------------------------------------------------------------------------------------------


def test_there_are_repositories_to_look_at() -> None:
    assert len(REPOSITORIES) >= 12


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.name)
def test_of_a_repository_is_said_what_its_owner_would_say(path: Path, request: pytest.FixtureRequest) -> None:
    golden = path / "detected.json"
    now = json.dumps(as_data(detect(path / "repository")), indent=2, ensure_ascii=False) + "\n"
    if request.config.getoption("write_detected", default=False):
        golden.write_text(now, encoding="utf-8")

    assert json.loads(now) == json.loads(golden.read_text(encoding="utf-8")), (
        "write it: pytest tests/unit --write-detected"
    )


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.name)
def test_every_place_that_is_named_is_there(path: Path) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            where = value.get("where", ".")
            name, _, line = where.rpartition(":") if ":" in where else (where, "", "0")
            file = path / "repository" / name
            assert file.exists(), where
            assert not file.is_file() or int(line) <= len(file.read_text(encoding="utf-8").splitlines()), where
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(each)

    check(as_data(detect(path / "repository")))


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.name)
def test_every_guess_is_a_question(path: Path) -> None:
    found = detect(path / "repository")
    asked = {str(question.where) for question in found.questions}

    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert value.get("sure") != "guess" or value["where"] in asked, value
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(each)

    check(as_data(found))


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.name)
def test_a_repository_is_shown_in_lines_of_text(path: Path) -> None:
    found = detect(path / "repository")

    text = printed(found)

    assert all(owner.name.value in text for owner in found.owners)
    assert all(str(question.where) in text for question in found.questions if question.where)


def test_of_this_repository_is_found_what_its_invoke_yaml_says() -> None:
    config = yaml.safe_load((ROOT / "invoke.yaml").read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
    settings = parse(config)

    found = detect(ROOT)

    [database] = found.databases
    facts = (database.service, database.name, database.user, database.password)
    said = settings.database
    assert [fact.value for fact in facts if fact] == [said.service, said.name, said.user, said.password]
    assert database.port
    assert database.port.written == said.port
    assert database.major
    assert int(database.major.value) == said.major
    owners = {owner.name.value: owner for owner in found.owners}
    assert list(owners) == list(settings.owners)
    for name, owner in settings.owners.items():
        facts = (owners[name].tool, owners[name].service, owners[name].migrate, owners[name].url_variable)
        wanted = [owner.migrator, owner.service, " ".join(owner.migrate), owner.url_variable]
        assert [fact.value for fact in facts if fact] == wanted
    assert owners["sso"].seed
    assert tuple(owners["sso"].seed.value.split()) == settings.owners["sso"].seed
    apps = {service.name: service for service in found.services if service.kind.value == "app"}
    assert {name: app.health.value for name, app in apps.items() if app.health} == {
        name: app.health for name, app in settings.apps.items()
    }
    for name, app in apps.items():
        process = settings.processes[name]
        assert app.folder
        assert app.folder.value == process.directory
        assert app.port
        assert app.port.written == process.port
        assert app.command
        assert app.command.value == " ".join(process.run)
    assert tuple(each.name for each in found.services if each.kind.value == "beside") == settings.database.beside
    assert found.questions == ()


# -- what cannot be read -----------------------------------------------------------------------------------------------


def test_broken_files_are_findings_with_their_line(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES)
    put(tmp_path, "compose.override.yaml", "services:\n  db:\n  ports: [5432\n")
    put(tmp_path, "package.json", '{\n  "name": "web",\n  "scripts": {\n')
    put(tmp_path, "pyproject.toml", "[project]\nname =\n")
    put(tmp_path, ".env.example", "A=1\nB='open\n")

    found = detect(tmp_path)

    assert [database.service.value for database in found.databases if database.service] == ["db"]
    assert [note.partition(" ")[0] for note in notes(found)] == [
        ".env.example:2:",
        "compose.override.yaml:4:",
        "package.json:4:",
        "pyproject.toml:2:",
    ]


@pytest.mark.parametrize(
    "text", ['a: "\\U99999999"', "[" * 5000, "a: \x00", "%YAML 9.9\n---\na", "a: *nobody", "- a\nb: c"]
)
def test_whatever_is_no_yaml_is_one_note(tmp_path: Path, text: str) -> None:
    put(tmp_path, "compose.yaml", text)

    [note] = [note for note in notes(detect(tmp_path)) if note.startswith("compose.yaml")]

    assert "is not YAML" in note


def test_what_is_not_utf_8_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", b"# Gr\xfc\xdfe\n" + POSTGRES.encode())

    found = detect(tmp_path)

    assert found.databases
    assert notes(found) == ["compose.yaml: is not UTF-8: what is not was left out"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_windows_files_are_read(tmp_path: Path, encoding: str) -> None:
    put(tmp_path, "compose.yaml", POSTGRES.replace("\n", "\r\n").encode(encoding))
    put(tmp_path, ".env", b"POSTGRES_USER=me\r\n")

    found = detect(tmp_path)

    assert [str(database.image.where) for database in found.databases if database.image] == ["compose.yaml:3"]
    assert found.notes == ()


def test_a_file_that_is_too_large_is_not_read_and_said(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES + "#" * files.LARGEST)

    assert notes(detect(tmp_path))[-1] == "compose.yaml: is larger than 512 KiB, and was not read"


def test_of_too_many_files_the_rest_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 2)
    for name in ("a.txt", "b.txt", "c.txt"):
        put(tmp_path, name, "")

    assert ".: there are more than 2 files: the others were not looked at" in notes(detect(tmp_path))


def test_links_are_followed_within_the_repository_only(tmp_path: Path) -> None:
    put(tmp_path, "outside/compose.yaml", POSTGRES)
    put(tmp_path, "inside/real/app.yaml", POSTGRES.replace("db:", "database:"))
    (tmp_path / "inside" / "compose.yaml").symlink_to(tmp_path / "outside" / "compose.yaml")
    (tmp_path / "inside" / "infra").symlink_to(tmp_path / "outside")
    (tmp_path / "inside" / "again").symlink_to(tmp_path / "inside")
    (tmp_path / "inside" / "gone.yaml").symlink_to(tmp_path / "nowhere")

    assert detect(tmp_path / "inside").databases == ()

    (tmp_path / "inside" / "compose.yml").symlink_to("real/app.yaml")
    [database] = detect(tmp_path / "inside").databases
    assert database.service
    assert database.service.value == "database"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "compose.yaml")

    assert ".: no compose file was found" in notes(detect(tmp_path))


@pytest.mark.parametrize(
    "folder", ["node_modules/a", ".git", "dist", ".next", "tests/fixtures", "env", "scripts/bootorder"]
)
def test_what_is_installed_built_tested_or_ours_is_left_out(tmp_path: Path, folder: str) -> None:
    put(tmp_path, "env/pyvenv.cfg", "")
    put(tmp_path, f"{folder}/docker-compose.yml", POSTGRES)
    put(tmp_path, f"{folder}/drizzle.config.ts", 'export default { dialect: "postgresql" }')

    found = detect(tmp_path)

    assert found.compose == ()
    assert found.owners == ()


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder") as refusal:
        show_detected(Console(io.StringIO(), io.StringIO()), tmp_path / "nowhere", as_json=True)

    assert refusal.value.exit_code == 2


# -- what Compose understands ------------------------------------------------------------------------------------------


def test_merge_keys_and_an_alias_within_itself_do_no_harm(tmp_path: Path) -> None:
    text = """
x-env: &env
  POSTGRES_USER: app
  self: &self [*self]
x-more: &more
  <<: *more
  <<: [*env, *env]
services:
  db:
    image: postgres:18
    environment:
      <<: *more
      POSTGRES_DB: shop
"""
    put(tmp_path, "compose.yaml", text.replace("&self [*self]", "&self [*self]"))

    [database] = detect(tmp_path).databases

    assert database.user
    assert (database.user.value, str(database.user.where)) == ("app", "compose.yaml:3")


def test_an_alias_that_grows_without_end_is_no_matter(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    put(tmp_path, "compose.yaml", "\n".join(lines) + f"\n{POSTGRES}    environment: *a29\n    command: *a29\n")

    assert detect(tmp_path).databases


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["compose.yaml", "docker-compose.yml"], "compose.yaml"),
        (["docker-compose.yaml", "docker-compose.yml"], "docker-compose.yml"),
        (["compose.yml", "docker-compose.override.yaml"], "compose.yml + docker-compose.override.yaml"),
        (["infra/compose.yaml"], "infra/compose.yaml"),
        (["docker-compose.prod.yml", "docker-compose.dev.yml"], "docker-compose.dev.yml"),
        (["local.docker-compose.yml"], "local.docker-compose.yml"),
    ],
)
def test_the_files_are_those_that_compose_reads(tmp_path: Path, names: list[str], read: str) -> None:
    for name in names:
        put(tmp_path, name, POSTGRES)

    assert detect(tmp_path).compose[0].files.value == read


def test_what_an_override_says_wins_and_environments_are_merged(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", f"{POSTGRES}    environment: [POSTGRES_USER=one, POSTGRES_DB=shop]\n")
    override = "    image: postgres:17\n    environment: {POSTGRES_USER: two}\n    ports: ['5432:5432']\n"
    put(tmp_path, "compose.override.yaml", f"services:\n  db:\n{override}")

    [database] = detect(tmp_path).databases

    facts = (database.image, database.name, database.user, database.port)
    assert [(fact.value, fact.where.file) for fact in facts if fact] == [
        ("postgres:17", "compose.override.yaml"),
        ("shop", "compose.yaml"),
        ("two", "compose.override.yaml"),
        ("5432", "compose.override.yaml"),
    ]


@pytest.mark.parametrize(
    ("text", "value", "sure"),
    [
        ("app", "app", "certain"),
        ("${A}", "from .env", "certain"),
        ("$A", "from .env", "certain"),
        ("${B}", "of the template", "likely"),
        ("${B:-else}", "of the template", "likely"),
        ("${C:-else}", "else", "likely"),
        ("${C-${B}}", "of the template", "likely"),
        ("${C:?is missing}", "${C}", "guess"),
        ("a$$b", "a$b", "certain"),
    ],
)
def test_variables_are_expanded_as_compose_does(tmp_path: Path, text: str, value: str, sure: str) -> None:
    put(tmp_path, "compose.yaml", f"{POSTGRES}    environment:\n      POSTGRES_USER: '{text}'\n")
    put(tmp_path, ".env", "A=from .env\n")
    put(tmp_path, ".env.example", "A=no\nB=of the template\n")

    [database] = detect(tmp_path).databases

    assert database.user
    assert (database.user.value, database.user.sure) == (value, sure)


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("postgres", None),
        ("postgres:18.1-alpine@sha256:0123", "18"),
        ("ghcr.io/someone/pgvector:pg17", "17"),
        ("timescale/timescaledb:2.22.1-pg16", "16"),
        ("timescale/timescaledb:2.22.1", None),
        ("localhost:5000/postgis/postgis:16-3.4", "16"),
        ("our/postgres-with-extensions:3", None),
    ],
)
def test_images_of_postgresql_are_known(tmp_path: Path, image: str, major: str | None) -> None:
    put(tmp_path, "compose.yaml", f"services:\n  db:\n    image: {image}\n")

    [database] = detect(tmp_path).databases

    assert (database.major.value if database.major else None) == major


@pytest.mark.parametrize(
    "image", ["postgrest/postgrest", "edoburu/pgbouncer", "bitnami/postgres-exporter", "redis", "mongo"]
)
def test_what_stands_beside_a_postgresql_is_none(tmp_path: Path, image: str) -> None:
    put(tmp_path, "compose.yaml", f"services:\n  it:\n    image: {image}\n    environment: {{POSTGRES_PASSWORD: x}}\n")

    assert detect(tmp_path).databases == ()


def test_several_services_of_one_image_are_several_databases_and_one_question(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", "x-db: &db {image: 'postgres:18'}\nservices:\n  one: *db\n  two: *db\n")

    found = detect(tmp_path)

    [question] = [question for question in found.questions if question.about == "databases"]
    assert question.choices == ("one", "two")


def test_where_the_usual_file_has_no_database_the_one_beside_it_is_looked_into(tmp_path: Path) -> None:
    put(tmp_path, "docker-compose.yml", "services:\n  web:\n    image: nginx\n")
    put(tmp_path, "docker-compose.dev.yml", POSTGRES)

    found = detect(tmp_path)

    assert [database.service.value for database in found.databases if database.service] == ["db"]
    assert [compose.files.sure for compose in found.compose] == ["certain", "guess"]


# -- tools and packages ------------------------------------------------------------------------------------------------


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
