"""Each tool as its page in docs/migrators says: it boots beside the tables of another owner, and boots again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args
from urllib.parse import quote

import psycopg
import pytest

from scripts.bootorder.migrate import migrate
from scripts.bootorder.processes import Completed
from scripts.bootorder.settings import LayoutName, MigratorName
from tests.contract.guarded import Guarded
from tests.contract.owners import Tool, says

from .toolbox import Toolbox


@dataclass(frozen=True)
class SetUp:
    """`tables`: how many it makes, with those in which it keeps what was run."""

    migrator: MigratorName
    folder: str
    command: str
    tables: int

    def __str__(self) -> str:
        return self.command


SET_UPS = [
    SetUp("drizzle", "drizzle", "drizzle-kit push --config owner.config.ts", 2),
    SetUp("drizzle", "drizzle", "drizzle-kit migrate --config owner.config.ts", 3),
    SetUp("prisma", "prisma", "prisma db push --skip-generate --config owner.config.ts", 2),
    SetUp("prisma", "prisma", "prisma migrate deploy --config owner.config.ts", 3),
    SetUp("alembic", "alembic-versions", "alembic upgrade head", 3),
    SetUp("django", "django", "python manage.py migrate --noinput", 9),
    SetUp("typeorm", "typeorm", "typeorm migration:run -d data-source.js", 3),
    SetUp("typeorm", "typeorm", "typeorm schema:sync -d data-source.js", 2),
    SetUp("mikroorm", "mikro-orm", "mikro-orm schema:update --run --config owner.config.js", 2),
    SetUp("mikroorm", "mikro-orm", "mikro-orm migration:up --config owner.config.js", 3),
]


def real(toolbox: Toolbox, folder: str, argv: Sequence[str]) -> Tool:
    """A tool that is told where to go as every tool is: by a URL."""

    def run(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
        info = connection.info
        user, password = quote(info.user, safe=""), quote(info.password, safe="")
        url = f"postgresql://{user}:{password}@{info.host}:{info.port}/{info.dbname}"
        code, text = toolbox.run(folder, argv, {"DATABASE_URL": url}, {})
        return says(text, code)

    return run


@pytest.mark.parametrize("layout", [name for name in get_args(LayoutName) if name != "databases"])
@pytest.mark.parametrize("its", SET_UPS, ids=str)
def test_it_makes_its_tables_beside_those_of_another(
    stack: Guarded, toolbox: Toolbox, its: SetUp, layout: LayoutName
) -> None:
    stack.layout = layout
    stack.owners["sso"] |= {"migrator": its.migrator, "schema": ""}
    stack.tools["sso"] = real(toolbox, its.folder, its.command.split())
    stack.guard()
    stack.migrate("api")

    first, second = migrate(stack.boot()), migrate(stack.boot())

    assert first.text == f"sso migrated, {its.tables} tables verified; api unchanged, 4 tables verified"
    assert second.text == f"sso unchanged, {its.tables} tables verified; api unchanged, 4 tables verified"
    assert stack.query("select count(*) from worker", by="api") == [(42,)]


PUSH = "drizzle-kit push --config owner.config.ts"
UNEXPORTED = """
import { index, pgSchema, text } from "drizzle-orm/pg-core";
const auth = pgSchema("auth");
export const user = auth.table("user", { id: text("id").primaryKey(), email: text("email").notNull().unique() });
export const session = auth.table("session", { id: text("id").primaryKey() }, (t) => [index("by_id").on(t.id)]);
"""


def test_a_drizzle_schema_that_is_not_exported_is_judged_by_what_is_left_to_make(
    stack: Guarded, toolbox: Toolbox
) -> None:
    """drizzle-kit 0.31 makes its tables, then tries to drop the schema that they are in, and exits with 0."""
    folder = toolbox.copy("drizzle", "drizzle-unexported")
    (folder / "schema.ts").write_text(UNEXPORTED, encoding="utf-8")
    config = (folder / "owner.config.ts").read_text(encoding="utf-8")
    filtered = config.replace('tablesFilter: ["user", "session"]', 'schemaFilter: ["auth"]')
    (folder / "owner.config.ts").write_text(filtered, encoding="utf-8")
    stack.layout = "schemas"
    stack.owners["sso"] |= {"migrator": "drizzle", "schema": "auth"}
    stack.tools["sso"] = real(toolbox, "drizzle-unexported", PUSH.split())
    stack.owners["sso"]["migrate"] = ["sso", "push"]
    asked = real(toolbox, "drizzle-unexported", [*PUSH.split(), "--verbose"])
    plain = stack.tools["sso"]
    runs: list[str] = []

    def tool(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
        # The second run of a rehearsal is the one with --verbose.
        is_scratch = connection.info.dbname.startswith("bootorder_scratch_")
        runs.append(connection.info.dbname)
        return (asked if is_scratch and runs.count(connection.info.dbname) == 2 else plain)(connection)

    stack.tools["sso"] = tool
    stack.guard()

    first, second = migrate(stack.boot()), migrate(stack.boot())

    assert first.text.startswith("sso migrated, 2 tables verified")
    assert second.text.startswith("sso unchanged, 2 tables verified")
    assert "it has nothing left to make" in stack.talk.getvalue()
