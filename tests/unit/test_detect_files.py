"""Detection reads what Compose reads, as Compose does, and is stopped by no file."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from scripts.bootorder.console import Console
from scripts.bootorder.detect import files
from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.detect.showing import show_detected
from scripts.bootorder.errors import SettingsError

from .looked_at import POSTGRES, notes, put

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

    assert str(detect(tmp_path).compose[0]) == read


def test_where_compose_file_is_set_the_usual_names_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, ".env", "COMPOSE_FILE=a.yaml;infra/b.yaml;gone.yaml\n")
    put(tmp_path, "compose.yaml", POSTGRES)
    put(tmp_path, "a.yaml", "services: {web: {image: nginx}}")
    put(tmp_path, "infra/b.yaml", "services: {database: {image: 'postgres:17'}}")

    found = detect(tmp_path)

    assert [compose.files for compose in found.compose] == [("a.yaml", "infra/b.yaml")]
    assert [database.service.value for database in found.databases if database.service] == ["database"]
    assert notes(found) == [".env:1: names gone.yaml, which is not there"]


@pytest.mark.parametrize(
    ("build", "image", "where"),
    [
        ("{context: db}", "postgres:16", "db/Dockerfile:2"),
        ("{context: db, args: {MAJOR: 17}}", "postgres:17", "db/Dockerfile:2"),
        ("{context: db, args: [MAJOR=18]}", "postgres:18", "db/Dockerfile:2"),
        ("{context: db, target: tools}", None, ""),
        (
            "\n      dockerfile_inline: |\n        # ours\n        FROM postgis/postgis:17-3.5",
            "postgis/postgis:17-3.5",
            "compose.yaml:6",
        ),
    ],
)
def test_a_build_is_what_its_last_stage_comes_from(tmp_path: Path, build: str, image: str | None, where: str) -> None:
    put(tmp_path, "compose.yaml", f"services:\n  db:\n    build: {build}\n")
    dockerfile = "ARG MAJOR=16\nFROM postgres:$MAJOR AS base\nFROM alpine AS tools\nFROM base\nCOPY x /\n"
    put(tmp_path, "db/Dockerfile", dockerfile)

    databases = detect(tmp_path).databases

    assert [(each.image.value, str(each.image.where)) for each in databases if each.image] == (
        [(image, where)] if image else []
    )


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
        ("registry.example.com/someone/pgvector:pg17", "17"),
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
    assert [compose.sure for compose in found.compose] == ["certain", "guess"]
