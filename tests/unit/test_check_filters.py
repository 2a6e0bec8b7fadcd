"""Which tables drizzle-kit looks at: `inv check` decides as drizzle-kit 0.31.11 and 1.0.0-rc.5 do."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bootorder.check.filters import lets_in

from .looked_at import POSTGRES, put, warned

CODE = "filter-lets-foreign-tables-in"
CONFIG = 'export default {\n  dialect: "postgresql",\n  tablesFilter: FILTER,\n};\n'
SERVICES = POSTGRES + "".join(
    f"  {name}:\n    build: {name}\n    environment: {{DATABASE_URL: 'postgres://a@db/app'}}\n"
    for name in ("sso", "api")
)
MODELS = (
    "class Task(SQLModel, table=True): ...\nclass AppTmp(SQLModel, table=True): ...\nSQLModel.metadata.create_all(e)\n"
)


@pytest.mark.parametrize(
    ("patterns", "inside"),
    [
        ([], ["user", "task", "app_x"]),
        (["*"], ["user", "task", "app_x"]),
        (["user"], ["user"]),
        (["app_*", "user"], ["user", "app_x"]),
        (["app_?"], ["app_x"]),
        (["{user,task}"], ["user", "task"]),
        (["@(user|task)"], ["user", "task"]),
        (["[a-t]*"], ["task", "app_x"]),
        (["USER"], []),
        (["*", "!task"], ["user", "app_x"]),
        (["!task"], ["user", "app_x"]),
        (["!{user,task}"], ["app_x"]),
        (["!task", "!user"], ["app_x"]),
        (["!(user|task)"], ["user", "task", "app_x"]),
        (["app_*", "!app_tmp"], ["user", "task", "app_x"]),
        (["!!task"], ["task"]),
        (["#task"], []),
    ],
)
def test_a_table_gets_in_as_it_does_with_drizzle_kit(patterns: list[str], inside: list[str]) -> None:
    assert [name for name in ("user", "task", "app_x") if lets_in(patterns, name)] == inside


def stack(root: Path, filters: str, *, models: str = MODELS, kit: str = "0.31.11") -> list[str]:
    """The filter of sso, and what is warned of where api has these models."""
    put(root, "sso/package.json", f'{{"dependencies": {{"pg": "8", "drizzle-kit": "{kit}"}}}}')
    put(root, "sso/drizzle.config.ts", CONFIG.replace("FILTER", filters))
    put(root, "sso/schema.ts", 'export const user = pgTable("user", {});\n')
    put(root, "api/requirements.txt", "sqlmodel\n")
    put(root, "api/main.py", models)
    return [each for each in warned(root, compose_yaml=SERVICES) if each.endswith(CODE)]


@pytest.mark.parametrize(
    ("filters", "is_warned"),
    [
        ("[]", True),
        ('"*"', True),
        ('["user", "t*"]', True),
        ('["*", "!task"]', True),
        ('"!(task|apptmp)"', True),
        ('["user", "!task", "!apptmp"]', True),
        ('["user"]', False),
        ('["u*", "v\\\\[x\\\\]"]', False),
        ('"!{task,apptmp}"', False),
        ('["*", "!task", "!apptmp"]', False),
        ("names", False),
        ("[...names, 't*']", False),
        ('"t*t*t*t*t*t*"', False),
        ('"{task"', False),
        ('"t!(a)*"', False),
    ],
)
def test_a_filter_is_judged_by_the_tables_that_the_others_have(tmp_path: Path, filters: str, is_warned: bool) -> None:
    assert stack(tmp_path, filters) == [f"sso/drizzle.config.ts:3 {CODE}"] * is_warned


@pytest.mark.parametrize(
    ("filters", "is_warned"),
    [
        ('"*"', True),
        ('"!(a|b)"', True),
        ('["app_*", "!app_tmp"]', True),
        ('["app_*"],\n  extensionsFilters: ["postgis"]', True),
        ('["app_*"]', False),
        ('["!a", "!b"]', False),
        ('["*", "!a"]', False),
    ],
)
def test_without_names_a_filter_is_judged_by_its_form(tmp_path: Path, filters: str, is_warned: bool) -> None:
    models = "Base.metadata.create_all(engine)  # the models are of a package\n"

    assert stack(tmp_path, filters, models=models) == [f"sso/drizzle.config.ts:3 {CODE}"] * is_warned


def test_a_table_that_both_want_is_another_matter(tmp_path: Path) -> None:
    assert stack(tmp_path, '["user"]', models=MODELS.replace("Task", "User")) == []


def test_a_form_that_is_never_right_is_told_where_there_is_no_other_owner_too(tmp_path: Path) -> None:
    put(tmp_path, "package.json", '{"dependencies": {"pg": "8"}}')
    put(tmp_path, "drizzle.config.ts", CONFIG.replace("FILTER", '"!(a|b)"'))

    assert warned(tmp_path) == [f"drizzle.config.ts:3 {CODE}"]
    assert warned(tmp_path, drizzle_config_ts=CONFIG.replace("FILTER", '"*"')) == []


@pytest.mark.parametrize(
    "more",
    [
        'schemaFilter: ["sso"],',
        'out: "sql", // migrations are there, so nothing is pushed',
    ],
)
def test_what_is_no_push_into_public_needs_no_filter(tmp_path: Path, more: str) -> None:
    put(tmp_path, "sso/sql/0000_user.sql", "create table x();")
    assert stack(tmp_path, f'"*",\n  {more}') == []


def test_owners_that_do_not_share_a_schema_need_no_filter(tmp_path: Path) -> None:
    settings = "bootorder:\n  database: {service: db, name: app, user: app, password: P}\n"

    assert stack(tmp_path, '"*"') != []
    for layout in ("schemas", "databases"):
        put(tmp_path, "invoke.yaml", f"{settings}  layout: {layout}\n")
        assert stack(tmp_path, '"*"') == []


@pytest.mark.parametrize(
    ("version", "layout", "more", "is_warned"),
    [
        ("0.31.11", "schemas", "", False),
        ("^0.31.11", "schemas", "", False),
        ("1.0.0-rc.5", "schemas", "", True),
        ("^1.0.0", "schemas", "", True),
        ("beta", "schemas", "", True),
        ("1.0.0", "schemas", '\n  schemaFilter: ["public"],', False),
        ("1.0.0", "databases", "", False),
    ],
)
def test_drizzle_kit_1_looks_into_every_schema(
    tmp_path: Path, version: str, layout: str, more: str, is_warned: bool
) -> None:
    database = "{service: db, name: app, user: app, password: P}"
    put(tmp_path, "invoke.yaml", f"bootorder:\n  database: {database}\n  layout: {layout}\n")

    found = stack(tmp_path, f'"*",{more}', kit=version)

    assert found == [f"sso/drizzle.config.ts:3 {CODE}"] * is_warned


@pytest.mark.parametrize(
    ("url", "is_warned"), [("postgres://a@db/other", False), ("postgres://a@db/app?schema=sso", True)]
)
def test_nor_do_those_with_another_database_in_their_url(tmp_path: Path, url: str, is_warned: bool) -> None:
    """A schema there is for Prisma: the drivers that drizzle-kit has know nothing of it."""
    assert stack(tmp_path, '"*"') != []

    found = warned(tmp_path, compose_yaml=SERVICES.replace("postgres://a@db/app", url, 1))

    assert [each for each in found if each.endswith(CODE)] == [f"sso/drizzle.config.ts:3 {CODE}"] * is_warned


@pytest.mark.parametrize(
    ("config", "is_warned"),
    [("export default {}", True), ("export default { experimental: { externalTables: true } }", False)],
)
def test_prisma_has_its_own_list_of_what_is_not_its_own(tmp_path: Path, config: str, is_warned: bool) -> None:
    put(tmp_path, "sso/package.json", "{}")
    put(tmp_path, "sso/prisma.config.ts", config)
    put(tmp_path, "sso/schema.prisma", 'datasource db {\n  provider = "postgresql"\n}\n')
    put(tmp_path, "api/requirements.txt", "sqlmodel\n")
    put(tmp_path, "api/main.py", MODELS)

    assert warned(tmp_path, compose_yaml=SERVICES) == [f"sso/schema.prisma:2 {CODE}"] * is_warned
    assert warned(tmp_path, compose_yaml=SERVICES.replace("db/app", "db/app?schema=sso", 1)) == []


def test_a_comment_silences_it(tmp_path: Path) -> None:
    assert stack(tmp_path, f'"*", // bootorder: ignore[{CODE}]\n  x: 1') == []
