"""What a tool finds when it begins: the SQL files of the stack and of an owner; and hints where that is what lacks."""

from __future__ import annotations

import pytest

from scripts.bootorder.errors import BootError, MigrationError, SettingsError
from scripts.bootorder.guard.layout import move
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.migrate import migrate
from scripts.bootorder.processes import Completed
from scripts.bootorder.trial import changes

from .guarded import Guarded, makes
from .owners import Connection, Tool, says

# -- database.before --------------------------------------------------------------------------------------------------


def administer(stack: Guarded, **files: str) -> None:
    """Files of the stack's own, in this order."""
    for name, text in files.items():
        (stack.root / f"{name}.sql").write_text(text, encoding="utf-8")
    stack.database["before"] = [f"{name}.sql" for name in files]


def test_a_file_of_the_stack_is_run_once_as_the_superuser(any_stack: Guarded) -> None:
    reader = f"reader_{any_stack.tag}"
    any_stack.made.add(reader)
    name = any_stack.target.name
    administer(
        any_stack,
        roles=f"create role {reader}; comment on database {name} is 'ours'; create schema reports;",
        database=f"alter database {name} set work_mem = '7MB'",
    )

    any_stack.guard()

    query = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
    assert any_stack.query(query) == [("ours",)]
    assert any_stack.query("select current_setting('work_mem')") == [("7MB",)]
    assert any_stack.query("select owner from bootorder.before order by 1") == [("database.sql",), ("roles.sql",)]
    assert "roles.sql run" in any_stack.talk.getvalue()
    assert any_stack.guard().was_skipped
    any_stack.send("drop schema reports")
    assert any_stack.guard().was_skipped


def test_what_cannot_be_in_a_transaction_stands_alone(stack: Guarded) -> None:
    administer(stack, one="alter system set work_mem = '5MB'")
    try:
        stack.guard()
        assert stack.query("select setting from pg_file_settings where name = 'work_mem'") == [("5MB",)]
    finally:
        stack.send("alter system reset work_mem")

    administer(stack, one="alter system set work_mem = '5MB'", two="select 1; alter system set work_mem = '6MB'")
    with pytest.raises(MigrationError) as refused:
        stack.guard()
    assert refused.value.hint.startswith("put that statement alone into a file of its own")


def test_a_name_without_schema_is_no_owner_s(settled: Guarded) -> None:
    settled.send("create table called (as_whom text); grant all on called to public", by="sso")
    settled.send(
        "create function now_or(int) returns int language sql as"
        " 'insert into public.called values (current_user) returning 1'",
        by="sso",
    )
    administer(settled, calls="select now_or(1)")

    with pytest.raises(MigrationError, match=r"calls.sql, line 1: function now_or\(integer\) does not exist"):
        settled.guard()

    assert settled.query("select * from called") == []


def test_a_file_that_fails_is_done_not_at_all_and_tried_again(stack: Guarded) -> None:
    administer(stack, half="create schema half;\nselect 1/0;")
    with pytest.raises(MigrationError, match="division by zero"):
        stack.guard()
    assert stack.query("select nspname from pg_namespace where nspname = 'half'") == []

    administer(stack, half="create schema half;")
    assert not stack.guard().was_skipped
    assert stack.query("select nspname from pg_namespace where nspname = 'half'") == [("half",)]


def test_a_file_that_was_changed_after_its_run_is_refused(stack: Guarded) -> None:
    administer(stack, one="create schema one")
    stack.guard()
    administer(stack, one="create schema one; create schema two", two="create schema three")

    with pytest.raises(SettingsError, match=r"one.sql was changed after it was run") as refused:
        stack.guard()
    assert stack.query("select nspname from pg_namespace where nspname in ('two', 'three')") == []

    # the hint's own command
    stack.send(refused.value.hint.rpartition(' "')[2].rstrip('"'))
    stack.send("drop schema one")
    stack.guard()
    assert len(stack.query("select nspname from pg_namespace where nspname in ('one', 'two', 'three')")) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select 1;\n\\connect other\n", "has a command of psql in line 2"),
        ("copy t (a) from stdin;\n1\n\\.\n", "has a command of psql in line 1"),
        (None, "cannot be read"),
    ],
)
def test_what_only_psql_understands_is_refused(stack: Guarded, text: str | None, said: str) -> None:
    administer(stack, **({"one": text} if text is not None else {}))
    stack.database["before"] = ["one.sql"]

    with pytest.raises(SettingsError, match=said):
        stack.guard()


def test_a_role_of_a_file_may_not_make_an_owner_a_member_of_it(stack: Guarded) -> None:
    group = f"group_{stack.tag}"
    stack.made.add(group)
    stack.guard()
    administer(stack, groups=f"create role {group}; grant {group} to {stack.role('sso')}")

    stack.guard()

    assert stack.query("select from pg_auth_members where member = %s::regrole", parameters=[stack.role("sso")]) == []
    assert stack.guard().was_skipped


# -- owners.NAME.before -----------------------------------------------------------------------------------------------

BASE = """
create table account (id int primary key, email text);
insert into account values (1, 'first@example.com');
"""


def builds_on_base(connection: Connection) -> Completed:
    """A tool that alters what the base has, e.g. Alembic's first revision."""
    connection.execute("alter table account add column if not exists level int")
    connection.execute("create table if not exists session (account_id int references account)")
    return says("done")


def found(stack: Guarded) -> BootError:
    with pytest.raises(BootError) as refused:
        migrate(stack.boot())
    return refused.value


def lay(stack: Guarded, text: str = BASE) -> None:
    (stack.root / "base.sql").write_text(text, encoding="utf-8")
    stack.owners["sso"]["before"] = "base.sql"
    stack.tools["sso"] = builds_on_base


def test_without_its_base_a_tool_cannot_be_rehearsed(stack: Guarded) -> None:
    stack.tools["sso"] = builds_on_base
    stack.guard()

    assert 'relation "account" does not exist' in found(stack).message


@pytest.mark.parametrize("kind", ["file", "command", "two files", "dump"])
def test_the_base_is_laid_in_scratch_and_once_in_the_stack(any_stack: Guarded, kind: str) -> None:
    lay(any_stack)
    if kind == "command":
        any_stack.owners["sso"]["before"] = ["lay", "it"]
        any_stack.tools["lay"] = makes(BASE, "account")
    elif kind == "two files":
        (any_stack.root / "more.sql").write_text("create table more (id int references account)", encoding="utf-8")
        any_stack.owners["sso"]["before"] = ["base.sql", "more.sql"]
    elif kind == "dump":  # as pg_dump writes it, for one schema
        home = any_stack.boot().places["sso"].schema
        dump = """\\restrict x
            select pg_catalog.set_config('search_path', '', false);
            create table HOME.account (id int not null, email text);
            insert into HOME.account values (1, 'first@example.com');
            alter table only HOME.account add constraint account_pkey primary key (id);
            \\unrestrict x
        """.replace("HOME", home)
        lay(any_stack, "\n".join(line.strip() for line in dump.splitlines()))
    any_stack.guard()

    outcome = migrate(any_stack.boot())

    tables = 3 if kind == "two files" else 2
    assert f"sso migrated, {tables} tables verified" in outcome.text
    assert any_stack.query("select email, level from account", by="sso") == [("first@example.com", None)]
    any_stack.send("delete from session; delete from account", by="sso")
    assert "sso unchanged" in migrate(any_stack.boot()).text
    assert any_stack.query("select from account", by="sso") == []
    assert any_stack.query("select owner from bootorder.base") == [("sso",)]


def test_a_plan_of_an_empty_stack_has_the_base(stack: Guarded) -> None:
    lay(stack)
    stack.guard()

    [sso, _] = changes(stack.boot())

    assert sso["problems"] == []
    assert "+ column public.account.level integer" in sso["changes"] or sso["changes"]
    assert stack.query("select to_regclass('account')::text") == [(None,)]


def test_a_base_that_the_image_laid_as_the_superuser_is_given_to_its_owner(stack: Guarded) -> None:
    """As docker-entrypoint-initdb.d does, before these tasks first see the database."""
    lay(stack)
    stack.send(BASE)
    stack.guard()

    migrate(stack.boot())

    owner = "select relowner::regrole::text from pg_class where relname = 'account'"
    assert stack.query(owner) == [(stack.role("sso"),)]
    assert stack.query("select email from account", by="sso") == [("first@example.com",)]
    assert guard(stack.boot()).was_skipped


def test_a_base_that_fails_says_the_line_and_what_to_do(stack: Guarded) -> None:
    lay(stack, "create table account (id int);\ncreate extension vector;")
    stack.guard()

    refused = found(stack)

    assert "permission denied to create extension" in refused.message
    assert refused.hint.startswith("add vector to `database.extensions`")
    assert stack.query("select to_regclass('account')::text") == [(None,)]


# -- hints ------------------------------------------------------------------------------------------------------------

MORE = "create table account (id int);"


def fails_with(statement: str) -> Tool:
    return makes(f"{MORE} {statement}", "account")


@pytest.mark.parametrize(
    "statement",
    [
        "create role app_reader",
        "create user someone password 'x'",
        "alter table account owner to {superuser}",
        "alter table account owner to nobody_at_all",
        "grant select on account to nobody_at_all",
        "comment on database {database} is 'x'",
        "alter database {database} set timezone to 'UTC'",
        "create event trigger t on ddl_command_end execute function pg_catalog.lower()",
        "create publication everything for all tables",
        "set session authorization {superuser}",
        "alter role {superuser} set search_path to x",
        "create function f() returns int language c as 'x'",
        "create foreign data wrapper w",
        "alter schema public owner to {superuser}",
        "comment on schema public is 'x'",
    ],
)
def test_what_only_an_administrator_may_do_is_hinted_at_a_file_of_its_own(stack: Guarded, statement: str) -> None:
    said = statement.format(superuser=stack.target.user, database=stack.target.name)
    stack.tools["sso"] = fails_with(said)
    stack.guard()

    refused = found(stack)

    assert "`database.before`" in refused.hint or refused.hint.startswith("remove `owner to"), refused.hint


def test_alter_system_is_hinted_at_too(stack: Guarded) -> None:
    def run(connection: Connection) -> Completed:
        connection.execute("alter system set work_mem = '5MB'")
        return says("done")

    stack.tools["sso"] = run
    stack.guard()

    assert found(stack).hint.startswith("a setting of the server (work_mem) is a database administrator's: move it out")


def test_a_comment_on_an_extension_of_the_guard_is_to_be_left_out(stack: Guarded) -> None:
    stack.database["extensions"] = ["vector"]
    stack.tools["sso"] = fails_with("comment on extension vector is 'x'")
    stack.guard()
    assert found(stack).hint.startswith("remove the statement")

    stack.tools["sso"] = fails_with("create extension vector")
    assert found(stack).hint.startswith("write `create extension if not exists vector`")


# What the tools say, from their sources.
NOT_EMPTY = {
    "flyway": 'ERROR: Found non-empty schema(s) "public" but no schema history table. Use baseline() or set '
    "baselineOnMigrate to true to initialize the schema history table.",
    "prisma": "Error: P3005\n\nThe database schema is not empty. Read more about how to baseline an existing database",
    "gitea": "The database is not empty: refusing to initialise",
    "nextcloud": "Database 'shop' must be empty",
}


def wants_it_empty(text: str) -> Tool:
    def run(connection: Connection) -> Completed:
        query = "select exists (select from pg_tables where schemaname = current_schema and tablename = 'task')"
        if connection.execute(query).fetchone() == (True,):
            return says(text, 1)
        connection.execute("create table if not exists account (id int)")
        return says("done")

    return run


@pytest.mark.parametrize("tool", NOT_EMPTY)
def test_a_tool_that_wants_an_empty_database_is_given_a_place_of_its_own(stack: Guarded, tool: str) -> None:
    stack.tools["sso"] = wants_it_empty(NOT_EMPTY[tool])
    stack.guard()
    stack.migrate("api")

    refused = found(stack)
    assert refused.hint.startswith(
        "give sso a place of its own, where there are no tables of others: `layout: schemas`"
    )
    [sso, _] = changes(stack.boot())
    assert sso["hint"] == refused.hint

    # as the hint says
    move(stack.boot(), "schemas")
    stack.layout = "schemas"
    stack.guard()
    assert "sso migrated, 1 table verified" in migrate(stack.boot()).text
