"""SQL of an empty volume on which a schema tool builds: it is the base of that tool's owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bootorder.copying.starter import starter
from scripts.bootorder.detect.detecting import detect

from .looked_at import put

COMPOSE = """services:
  db:
    image: postgres:18
    volumes: ["./init:/docker-entrypoint-initdb.d:ro"]
  api:
    build: api
    command: alembic upgrade head
    environment: {DATABASE_URL: "postgresql://u:p@db/app"}
"""
BUILDS = {
    "a column": "op.add_column('account', sa.Column('level', sa.Integer()))",
    "a foreign key": "op.create_table('session', sa.Column('of', sa.ForeignKey('account.id')))",
    "SQL": 'op.execute("ALTER TABLE public.account ADD COLUMN level int")',
    "a batch": "with op.batch_alter_table('account') as batch: ...",
}


def stack(root: Path, revision: str) -> None:
    put(root, "compose.yaml", COMPOSE)
    put(root, "init/00-extensions.sql", "-- first\ncreate extension if not exists citext;\n")
    put(root, "init/10-tables.sql", 'CREATE TABLE IF NOT EXISTS public."account" (id int primary key);')
    put(root, "init/20-rows.sql", "insert into account values (1);")
    put(root, "api/alembic.ini", "[alembic]\nscript_location = alembic\n")
    put(root, "api/requirements.txt", "alembic\npsycopg\n")
    put(root, "api/alembic/env.py", "")
    put(root, "api/alembic/versions/1.py", revision)


@pytest.mark.parametrize("revision", BUILDS.values(), ids=BUILDS)
def test_sql_that_a_tool_s_migrations_change_is_its_base(tmp_path: Path, revision: str) -> None:
    stack(tmp_path, revision)

    found = detect(tmp_path)

    assert [owner.tool.value for owner in found.owners] == ["alembic"]
    text = starter(found)
    assert "\n      before: [init/10-tables.sql, init/20-rows.sql] # compose.yaml:4\n" in text
    assert "\n    extensions: [citext] # init/00-extensions.sql:2\n" in text


@pytest.mark.parametrize(
    "revision",
    ["op.create_table('session')", "op.create_table('account')\nop.add_column('account', level)", ""],
    ids=["other tables", "tables that it makes itself", "nothing"],
)
def test_sql_that_no_tool_builds_on_is_asked_for(tmp_path: Path, revision: str) -> None:
    stack(tmp_path, revision)

    found = detect(tmp_path)

    assert {owner.tool.value for owner in found.owners} == {"alembic", "sql"}
    assert "before:" not in starter(found)


def test_a_script_among_it_is_not_plain(tmp_path: Path) -> None:
    stack(tmp_path, BUILDS["a column"])
    put(tmp_path, "init/05-more.sh", "psql -c 'create table more ()'")

    assert "before:" not in starter(detect(tmp_path))
