"""Which extensions of PostgreSQL a repository asks for, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bootorder.copying.starter import starter
from scripts.bootorder.detect.detecting import detect

from .looked_at import POSTGRES, printed, put

ALEMBIC = 'op.execute("CREATE EXTENSION IF NOT EXISTS hstore")\nop.execute(\'create extension "uuid-ossp"\')\n'
DJANGO = "operations = [TrigramExtension(), CreateExtension('ltree'), SomeOtherExtension()]\n"
PRISMA = """datasource db {
  provider   = "postgresql"
  extensions = [vector, uuidOssp(map: "uuid-ossp", schema: "public"), pg_trgm(version: "1.6")]
}
"""


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("db/init/01.sql", "-- create extension no\nCREATE EXTENSION vector;\n", ["vector db/init/01.sql:2"]),
        ("dump.sql", 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;', ["uuid-ossp dump.sql:1"]),
        ("dump.sql", "CREATE EXTENSION plpgsql;", []),
        ("versions/1_a.py", ALEMBIC, ["hstore versions/1_a.py:1", "uuid-ossp versions/1_a.py:2"]),
        ("a/migrations/0001.py", DJANGO, ["pg_trgm a/migrations/0001.py:1", "ltree a/migrations/0001.py:1"]),
        ("a/models.py", DJANGO, []),
        ("db/schema.rb", 'enable_extension "citext"\n', ["citext db/schema.rb:1"]),
        ("src/1.ts", 'await q.query(`CREATE EXTENSION IF NOT EXISTS "pgcrypto"`)', ["pgcrypto src/1.ts:1"]),
        ("a.prisma", PRISMA, ["vector a.prisma:3", "uuid-ossp a.prisma:3", "pg_trgm a.prisma:3"]),
        ("requirements.txt", "pgvector==0.4\n", ["vector requirements.txt:1"]),
        ("package.json", '{"dependencies": {"pgvector": "1"}}', ["vector package.json:1"]),
    ],
)  # fmt: skip
def test_an_extension_is_found_where_it_is_asked_for(tmp_path: Path, path: str, text: str, found: list[str]) -> None:
    put(tmp_path, "compose.yaml", POSTGRES)
    put(tmp_path, path, text)

    [database] = detect(tmp_path).databases

    assert [f"{fact.value} {fact.where}" for fact in database.extensions] == found


def test_the_starter_makes_what_a_file_says_and_asks_for_what_a_package_may_need(tmp_path: Path) -> None:
    put(tmp_path, "compose.yaml", POSTGRES)
    put(tmp_path, "init.sql", "create extension citext;")
    put(tmp_path, "requirements.txt", "geoalchemy2\n")

    text = starter(detect(tmp_path))

    assert "\n    extensions: [citext] # init.sql:1\n" in text
    assert "\n    # extensions: [citext, postgis] # requirements.txt:1\n" in text
    assert "extensions" in printed(detect(tmp_path))

    put(tmp_path, "compose.yaml", POSTGRES.replace("postgres:18", "postgis/postgis:18-3.6"))
    assert "\n    extensions: [citext, postgis] # init.sql:1, requirements.txt:1\n" in starter(detect(tmp_path))


def test_each_of_two_databases_has_what_its_owner_asks_for(tmp_path: Path) -> None:
    services = {
        name: f"  {name}db:\n    image: postgres:18\n  {name}:\n    build: {name}\n    command: alembic upgrade head\n"
        f"    environment: {{DATABASE_URL: postgresql://u:p@{name}db/{name}}}\n"
        for name in ("one", "two")
    }
    put(tmp_path, "compose.yaml", "services:\n" + "".join(services.values()))
    for name, extension in (("one", "citext"), ("two", "hstore")):
        put(tmp_path, f"{name}/alembic.ini", "[alembic]\nscript_location = alembic\n")
        put(tmp_path, f"{name}/requirements.txt", "alembic\npsycopg\n")
        put(tmp_path, f"{name}/alembic/env.py", "")
        put(tmp_path, f"{name}/alembic/versions/1.py", f'op.execute("create extension {extension}")')

    found = {
        each.service.value: [fact.value for fact in each.extensions]
        for each in detect(tmp_path).databases
        if each.service
    }

    assert found == {"onedb": ["citext"], "twodb": ["hstore"]}
