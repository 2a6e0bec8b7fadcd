"""Set-ups of other people on a real PostgreSQL 18: additions by hand, views only, odd passwords, moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from scripts.bootorder.database import Target
from scripts.bootorder.errors import MigrationError, SettingsError
from scripts.bootorder.guard.layout import move
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.migrate import migrate, require_tables, verify_created_at_start
from scripts.bootorder.processes import Completed
from scripts.bootorder.seed import seed
from scripts.bootorder.trial import changes

from .guarded import Guarded, guarded
from .owners import (
    API,
    BOTH,
    DRIZZLE,
    SQLMODEL,
    SSO,
    Connection,
    Tool,
    Workbench,
    push,
    says,
    send,
    workbench,
)


@pytest.fixture
def bench(tmp_path: Path, roles: Mapping[str, str], database: Target) -> Workbench:
    """Both have their tables; the SSO's tool makes them, the API's are made when it starts."""
    bench = workbench(tmp_path, database, roles)
    bench.send(API, by="api")
    bench.runtime.tools["create"] = create
    migrate(bench.boot(owners=BOTH))
    bench.runtime.runs.clear()
    bench.talk.truncate(0)
    return bench


def create(connection: Connection) -> Completed:
    """Like create_all: makes what is missing."""
    if connection.execute("select to_regclass('worker')").fetchone() == (None,):
        send(connection, API)
    return says("made")


def said(bench: Workbench | Guarded) -> str:
    """What was said since this was last asked."""
    text = bench.talk.getvalue()
    bench.talk.seek(0)
    bench.talk.truncate(0)
    return text


# -- more than the tool makes ------------------------------------------------------------------------------------------

ADDED = {
    "an index": ("create index fast on session (id)", "index public.session.fast"),
    "a unique index": ('create unique index one on session (id, "userId")', "index public.session.one"),
    "a check": ("alter table session add constraint short check (id <> '')", "constraint public.session.short"),
    "a column": ("alter table session add note text", "column public.session.note"),
    "a filled column": ("alter table session add at date not null default now()", "column public.session.at"),
    "a default": ("alter table session alter id set default 'x'", "column public.session.id"),
    "a view": ("create view ids as select id from session", "view public.ids"),
    "a function": ("create function one() returns int language sql as 'select 1'", "function public.one()"),
    "a policy": (
        "alter table session enable row level security; create policy all_of_them on session using (true)",
        "policy public.session.all_of_them",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "name"), ADDED.values(), ids=ADDED)
def test_what_was_added_by_hand_is_named_once_and_left_alone(bench: Workbench, statements: str, name: str) -> None:
    bench.send(statements, by="sso")

    assert migrate(bench.boot()).text == "sso unchanged, 2 tables verified"
    first = said(bench)
    assert name in first
    assert "`owners.sso.also` lists what is meant to be there" in first

    assert migrate(bench.boot()).text == "sso unchanged, 2 tables verified"
    assert name not in said(bench)


def test_a_trigger_and_its_function_are_named_together_and_what_comes_later_by_itself(bench: Workbench) -> None:
    bench.send(
        "create function touch_it() returns trigger language plpgsql as 'begin return new; end';"
        " create trigger touched before update on session for each row execute function touch_it()",
        by="sso",
    )
    migrate(bench.boot())
    assert "trigger public.session.touched, function public.touch_it()" in said(bench)

    bench.send("create index fast on session (id)", by="sso")
    migrate(bench.boot())

    later = said(bench)
    assert "index public.session.fast" in later
    assert "touched" not in later


def test_what_is_listed_as_meant_is_not_named(bench: Workbench) -> None:
    bench.send("create index fast on session (id); create view ids as select id from session", by="sso")

    migrate(bench.boot(owners={"sso": {**DRIZZLE, "also": ["index public.session.*", "view *.ids"]}}))

    assert "also has" not in said(bench)


HARMFUL = {
    "a column that inserts fail at": (
        "alter table session add note text not null",
        "+ column public.session.note text not null",
    ),
    "a missing index": ("drop index session_by_user", "- index public.session.session_by_user"),
    "a not null more": (
        'alter table session add note text; alter table "user" alter role drop not null',
        "- column public.user.role public.role not null",
    ),
    "another type": ("alter table session alter id type varchar", "- column public.session.id text not null"),
    "another default": (
        "alter table \"user\" alter role set default 'admin'",
        "- column public.user.role public.role not null default 'user'::public.role",
    ),
    "forced row security": (
        "alter table session enable row level security, force row level security",
        "+ row security public.session forced",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "line"), HARMFUL.values(), ids=HARMFUL)
def test_what_is_missing_changed_or_in_the_way_still_blocks(bench: Workbench, statements: str, line: str) -> None:
    bench.send(statements, by="sso")

    with pytest.raises(MigrationError) as refused:
        migrate(bench.boot())

    assert any(detail.startswith(line) for detail in refused.value.details), refused.value.details


def test_a_column_that_inserts_fail_at_can_be_meant(bench: Workbench) -> None:
    bench.send("alter table session add note text not null", by="sso")
    with pytest.raises(MigrationError) as refused:
        migrate(bench.boot())
    assert '`owners.sso.also: ["column public.session.note"]`' in refused.value.hint

    also = {"sso": {**DRIZZLE, "also": ["column public.session.note"]}}

    assert migrate(bench.boot(owners=also)).text == "sso unchanged, 2 tables verified"


# -- an app that alters its own tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("added", ["note text", "at date not null default now()"])
def test_a_column_that_an_app_adds_at_its_start_is_named_once(bench: Workbench, added: str) -> None:
    bench.send(f"alter table worker add {added}", by="api")

    for times in (1, 0):
        migrate(bench.boot(owners=BOTH))
        assert "2 tables of api verified" in verify_created_at_start(bench.boot(owners=BOTH))
        assert said(bench).count("api also has column public.worker.") == times


def test_a_column_in_the_way_that_an_app_adds_is_meant_as_the_hint_says(bench: Workbench) -> None:
    bench.send("alter table worker add nickname text not null default ''", by="api")
    bench.send("alter table worker alter nickname drop default", by="api")
    with pytest.raises(MigrationError) as refused:
        verify_created_at_start(bench.boot(owners=BOTH))
    assert '`owners.api.also: ["column public.worker.nickname"]`' in refused.value.hint

    also = {**BOTH, "api": {**SQLMODEL, "also": ["column public.worker.nickname"]}}

    assert "2 tables of api verified" in verify_created_at_start(bench.boot(owners=also))


def test_an_app_that_alters_a_column_is_led_to_a_command_that_does_so(bench: Workbench) -> None:
    bench.send("alter table worker alter name type varchar(80)", by="api")
    with pytest.raises(MigrationError) as refused:
        migrate(bench.boot(owners=BOTH))
    assert "`owners.api.migrator` to command" in refused.value.hint

    def altered(connection: Connection) -> Completed:
        create(connection)
        send(connection, "alter table worker alter name type varchar(80)")
        return says("made and altered")

    bench.runtime.tools["create"] = altered
    bench.runtime.sources["api"] = "second version"
    command = {**BOTH, "api": {"migrator": "command", "service": "api", "migrate": "create"}}

    assert "api unchanged, 2 tables verified" in migrate(bench.boot(owners=command)).text


# -- owners that make no tables ----------------------------------------------------------------------------------------


def made(statements: str, name: str) -> Tool:
    def run(connection: Connection) -> Completed:
        if connection.execute(name.encode()).fetchone() == (None,):
            send(connection, statements)
        return says("done")

    return run


WITHOUT_TABLES = {
    "views": ("create view one as select 1; create view two as select 2", "select to_regclass('one')", "2 views"),
    "a materialized view": (
        "create materialized view one as select 1",
        "select to_regclass('one')",
        "1 materialized view",
    ),
    "functions": ("create function f() returns int language sql as 'select 1'", "select to_regproc('f')", "1 function"),
    "types": (
        "create type mood as enum ('ok'); create domain d as text",
        "select to_regtype('mood')",
        "1 domain, 1 enum",
    ),
}


@pytest.mark.parametrize(("statements", "is_there", "said_as"), WITHOUT_TABLES.values(), ids=WITHOUT_TABLES)
def test_an_owner_may_make_no_table(bench: Workbench, statements: str, is_there: str, said_as: str) -> None:
    bench.runtime.tools["push"] = made(statements, is_there)
    bench.runtime.sources["sso"] = "views"
    plain: Mapping[str, Any] = {"sso": {**DRIZZLE, "migrator": "command", "seed": ""}}
    bench.send('drop table session, "user"; drop type role', by="sso")

    assert migrate(bench.boot(owners=plain)).text == f"sso migrated, {said_as} verified"
    assert migrate(bench.boot(owners=plain)).text == f"sso unchanged, {said_as} verified"
    require_tables(bench.boot(owners=plain).owners, bench.target)


def test_a_view_that_is_gone_is_missed(bench: Workbench) -> None:
    bench.runtime.tools["push"] = made("create view one as select 1 as n", "select to_regclass('one')")
    bench.runtime.sources["sso"] = "views"
    plain: Mapping[str, Any] = {"sso": {**DRIZZLE, "migrator": "command"}}
    migrate(bench.boot(owners=plain))
    bench.send("drop view one", by="sso")

    with pytest.raises(Exception, match="sso has not migrated") as refused:
        require_tables(bench.boot(owners=plain).owners, bench.target)

    assert "public.one missing" in getattr(refused.value, "seen", "")


def test_a_tool_that_makes_nothing_is_still_refused(bench: Workbench) -> None:
    bench.runtime.tools["push"] = lambda _: says("done")
    bench.runtime.sources["sso"] = "nothing"

    with pytest.raises(MigrationError, match="failed on an empty database"):
        migrate(bench.boot(owners={"sso": {**DRIZZLE, "migrator": "command"}}))


# -- a push that ends in an error, with exit code 0 --------------------------------------------------------------------

PULLED = "[✓] Pulling schema from database...\n"
LEFT = (
    "\n Warning  You are about to execute current statements:\n\n{}\n\n\n Warning  Found data-loss statements:\n· x\n"
)


def pushes(makes: str, left: str) -> dict[str, Tool]:
    """A drizzle-kit push that fails at its end, with exit code 0, and says with --verbose what it has yet to do."""
    return {"push": push(makes=makes), "failing": _failing(makes, left)}


def _failing(makes: str, left: str) -> Tool:
    def run(connection: Connection) -> Completed:
        if connection.execute("select to_regclass('session')").fetchone() == (None,):
            send(connection, makes)
            return says(f"{PULLED}error: cannot drop schema auth because other objects depend on it")
        return says(f"{PULLED}{LEFT.format(left)}Error: Interactive prompts require a TTY terminal")

    return run


REHEARSALS = {
    "only a drop": ('DROP SCHEMA "auth";', True),
    "two drops": ('DROP SCHEMA "auth";\nDROP SEQUENCE "a_id_seq";', True),
    "an index, too": ('CREATE INDEX "late" ON "session" ("id");\nDROP SCHEMA "auth";', False),
    "a key only": ('ALTER TABLE "session" ADD CONSTRAINT "k" FOREIGN KEY ("userId") REFERENCES "user"("id");', False),
}


@pytest.mark.parametrize(("left", "is_believed"), REHEARSALS.values(), ids=REHEARSALS)
def test_a_push_that_failed_at_drops_only_has_made_all_that_it_makes(
    bench: Workbench, left: str, is_believed: bool
) -> None:
    bench.runtime.tools["push"] = _failing(SSO, left)
    bench.runtime.sources["sso"] = "not exported"

    if is_believed:
        assert migrate(bench.boot()).text == "sso unchanged, 2 tables verified"
        assert "it has nothing left to make" in said(bench)
        return
    with pytest.raises(MigrationError, match="failed on an empty database"):
        migrate(bench.boot())


# -- views of one owner on tables of another ---------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path: Path, database: Target) -> Iterator[Guarded]:
    """The API has views on the accounts of the SSO."""
    stack = guarded(tmp_path, database)
    stack.owners["api"]["reads"] = ["sso"]
    stack.guard()
    migrate(stack.boot())
    stack.send("insert into account (email) values ('a@example.com'), ('b@example.com')", by="sso")
    yield stack
    stack.drop()


ALTERS = {
    "another type": "alter table account alter email type varchar(80)",
    "a column dropped": "alter table account drop email, add mail text",
    "truncated first": "truncate account cascade; alter table account alter email type varchar(80)",
}


@pytest.mark.parametrize("alter", ALTERS.values(), ids=ALTERS)
@pytest.mark.parametrize("kind", ["view", "materialized view"])
def test_a_column_under_a_view_of_another_owner_is_said_with_the_view(read: Guarded, alter: str, kind: str) -> None:
    read.send(f"create {kind} mails as table account", by="api")
    make = read.tools["sso"]

    def altering(connection: Connection) -> Completed:
        make(connection)
        for statement in alter.split("; "):
            send(connection, statement)
        return says("altered")

    read.tools["sso"] = altering
    boot = read.boot()
    for one in boot.owners:
        one.settings = one.settings.model_copy(update={"migrate": (*one.settings.migrate, "2")})

    with pytest.raises(MigrationError) as refused:
        migrate(boot)

    assert f"! {kind} public.mails of api reads public.account.email" in refused.value.details
    assert f'inv psql --as api --command "drop {kind} public.mails"' in refused.value.hint
    assert "accept-data-loss" not in refused.value.hint
    assert read.query("select count(*) from account") == [(2,)]

    read.send(f"drop {kind} mails", by="api")
    if "truncate" not in alter and "drop" not in alter:
        assert "sso migrated" in migrate(boot).text


# -- columns with few values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "lost"), [(0, None), (1, "1 row"), (2, "2 rows")])
def test_a_dropped_column_counts_the_rows_that_have_a_value(bench: Workbench, values: int, lost: str | None) -> None:
    bench.send("alter table \"user\" add phone text; insert into \"user\" values ('1', 'a'), ('2', 'b')", by="sso")
    if values:
        bench.send(
            {1: """update "user" set phone = 5 where id = '1'""", 2: 'update "user" set phone = 5'}[values], by="sso"
        )
    bench.runtime.tools["push"] = push('alter table "user" drop column if exists phone')

    found = changes(bench.boot())[0]["losses"]

    assert found == ([f"- public.user.phone (in {lost}) would be lost"] if lost else [])
    if not lost:
        assert migrate(bench.boot()).text == "sso migrated, 2 tables verified"


# -- passwords in URLs -------------------------------------------------------------------------------------------------


def with_password(bench: Workbench, password: str) -> None:
    path = bench.root / ".env"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("SSO_DB_PASSWORD=")]
    path.write_text("\n".join([*lines, f"SSO_DB_PASSWORD='{password}'", ""]), encoding="utf-8")


@pytest.mark.parametrize("password", ["p@ss", "p/ss", "p?ss", "p#ss", "p%40ss", "100%25"])
def test_a_password_that_stands_in_a_url_as_it_is_and_ends_it_is_refused(bench: Workbench, password: str) -> None:
    with_password(bench, password)
    url = f"postgresql://{bench.runtime.roles['sso']}:{password}@{bench.target.address}/{bench.target.name}"
    bench.runtime.variables["DATABASE_URL"] = url

    with pytest.raises(SettingsError, match="sso would connect with another password than SSO_DB_PASSWORD") as refused:
        bench.boot().check()

    assert str(refused.value.seen).startswith("DATABASE_URL of sso has it as it is")
    assert "letters and digits only in .env" in refused.value.hint


@pytest.mark.parametrize(
    ("password", "written"), [("p@ss", "p%40ss"), ("p:ss", "p:ss"), ("a%41", "a%2541"), ("plain", "plain")]
)
def test_a_password_that_a_url_says_rightly_is_not(bench: Workbench, password: str, written: str) -> None:
    with_password(bench, password)
    guard(bench.boot(owners=BOTH))
    url = f"postgresql://{quote(bench.runtime.roles['sso'])}:{written}@{bench.target.address}/{bench.target.name}"
    bench.runtime.variables["DATABASE_URL"] = url

    assert migrate(bench.boot()).text == "sso unchanged, 2 tables verified"


def test_a_percent_encoded_password_in_a_variable_of_its_own_is_refused(bench: Workbench) -> None:
    with_password(bench, "p@ss")
    parts = {"user": "DB_USER", "password": "DB_PASSWORD", "database": "DB_NAME"}
    bench.runtime.variables |= {"DB_USER": bench.runtime.roles["sso"], "DB_NAME": bench.target.name}
    bench.runtime.variables["DB_PASSWORD"] = "p%40ss"

    with pytest.raises(SettingsError, match="another password than SSO_DB_PASSWORD") as refused:
        bench.boot(owners={"sso": {**DRIZZLE, "variables": parts}}).owners[0].check()

    assert str(refused.value.seen).startswith("DB_PASSWORD of sso has it percent-encoded")


def test_another_service_with_the_raw_password_is_named(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with_password(bench, "p@ss")
    plain = bench.runtime.environment

    def environment(service: str) -> Mapping[str, str]:
        return {"SSO_URL": "postgres://u:p@ss@db/x"} if service == "api" else plain(service)

    monkeypatch.setattr(bench.runtime, "environment", environment)

    with pytest.raises(SettingsError, match="owner sso: api would connect with another password") as refused:
        bench.boot().owners[0].check()

    assert str(refused.value.seen).startswith("SSO_URL of api")


# -- seeds, and a move -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["schemas", "shared"])
def test_a_move_to_another_layout_runs_no_seed_again(tmp_path: Path, database: Target, layout: Any) -> None:
    stack = guarded(tmp_path, database, "shared" if layout == "schemas" else "schemas")
    try:
        stack.owners["sso"]["seed"] = ["fill"]
        stack.tools["fill"] = adds
        stack.guard()
        migrate(stack.boot())
        assert seed(stack.boot()).text == "sso +2 rows"

        move(stack.boot(), layout)
        stack.layout = layout
        stack.guard()
        migrate(stack.boot())

        assert seed(stack.boot()).text == "sso already seeded"
        assert stack.query("select count(*) from account", by="sso") == [(2,)]
    finally:
        stack.drop()


def adds(connection: Connection) -> Completed:
    send(connection, "insert into account (email) select gen_random_uuid()::text from generate_series(1, 2)")
    return says("seeded")


# -- a mistyped command ------------------------------------------------------------------------------------------------

MISTYPED = {
    "a shell": says("sh: 1: psuh: not found", 127),
    "a container": says('exec: "psuh": executable file not found in $PATH', 126),
    "npm": says('npm error Missing script: "db:psuh"', 1),
    "pnpm": says(" ERR_PNPM_NO_SCRIPT  Missing script: db:psuh", 1),
    "pnpm exec": says('undefined\n ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL  Command "psuh" not found', 254),
    "python": says("/usr/bin/python3: No module named migrat", 1),
}


@pytest.mark.parametrize("done", MISTYPED.values(), ids=MISTYPED)
def test_a_mistyped_command_is_to_be_corrected_where_it_stands(bench: Workbench, done: Completed) -> None:
    bench.runtime.tools["push"] = lambda _: done
    bench.runtime.sources["sso"] = "mistyped"

    with pytest.raises(MigrationError) as refused:
        migrate(bench.boot())

    assert refused.value.hint.startswith("correct `owners.sso.migrate` in invoke.yaml")


def test_an_import_error_of_the_sources_is_no_mistyped_command(bench: Workbench) -> None:
    bench.runtime.tools["push"] = lambda _: says("Traceback\nModuleNotFoundError: No module named 'app.models'", 1)
    bench.runtime.sources["sso"] = "broken"

    with pytest.raises(MigrationError) as refused:
        migrate(bench.boot())

    assert "owners.sso.migrate" not in refused.value.hint
