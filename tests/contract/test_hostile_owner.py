"""An owner with its own role and any SQL: nothing that a task does for somebody else runs its code.

Each trap is an object that PostgreSQL evaluates while it plans, runs or reads something. It notes which session ran it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from scripts.bootorder.access import tables
from scripts.bootorder.database import Session
from scripts.bootorder.errors import BootError, GuardError
from scripts.bootorder.guard import layout as layouts
from scripts.bootorder.guard.stage import assign
from scripts.bootorder.migrate import migrate, verify_created_at_start
from scripts.bootorder.processes import Completed
from scripts.bootorder.scratch import scratch_database
from scripts.bootorder.seed import seed
from scripts.bootorder.status import status
from scripts.bootorder.trial import changes
from tests.contract.hand import by_hand

from .guarded import Guarded, makes
from .owners import Tool, says

# What a session of another role would do for the attacker, from where PostgreSQL allows reads only: an IMMUTABLE
# function may call a VOLATILE one. Each run is noted where whoever it is may write: in a sequence and in a setting.
_TRAP = """
create table bites (session text, current text, what text);
grant all on bites to public;
create function bite(what text) returns text language plpgsql volatile as $$
begin
    if session_user <> {role} then
        begin
            execute format('alter role %I superuser', {role});
        exception when others then null;
        end;
        begin
            execute format('insert into {schema}.bites values (session_user, current_user, %L)', what);
        exception when others then null;
        end;
    end if;
    return what;
end $$;
create function trap(x int) returns int language plpgsql immutable as $$
begin perform {schema}.bite('index'); return x; end $$;
create function trap_t(x text) returns text language plpgsql immutable as $$
begin perform {schema}.bite('text'); return x; end $$;
create function trap_b(x int) returns boolean language plpgsql immutable as $$
begin perform {schema}.bite('check'); return true; end $$;
create domain trapped as int check ({schema}.trap_b(value));
create table bait (id int primary key, x int default {schema}.trap(1), label text, guarded trapped);
insert into bait values (1, 1, 'a', 1), (2, 2, 'b', 2);
create index bait_expression on bait ((x + {schema}.trap(1)));
create index bait_predicate on bait (id) where {schema}.trap(2) = 2;
create statistics bait_statistics on ({schema}.trap(3) + x), ({schema}.trap_t('s') || label) from bait;
analyze bait;
alter table bait add constraint bait_check check ({schema}.trap_b(x)) not valid;
alter table bait add column made int generated always as (x + {schema}.trap(4)) stored;
create policy bait_policy on bait using ({schema}.trap(5) = 5);
alter table bait enable row level security;
create rule bait_rule as on update to bait do also select {schema}.bite('rule');
create function fired() returns trigger language plpgsql as $$
begin perform {schema}.bite('trigger'); return new; end $$;
create trigger bait_trigger before insert or update or delete on bait for each row execute function fired();
create trigger bait_statement before truncate on bait for each statement execute function fired();
create view baited as select {schema}.trap(id) as id, {schema}.bite('view') as what from bait;
create materialized view kept as select {schema}.trap(id) as id from bait;
create index kept_expression on kept ((id + {schema}.trap(6)));
create table parted (id int) partition by range (({schema}.trap(7) + id));
create table parted_1 partition of parted for values from (0) to (100);
create index parted_expression on parted ((id + {schema}.trap(8)));
create sequence counted;
create aggregate all_of(*) (sfunc = int8inc, stype = int8, initcond = '0');
create type pair as (a int, b text);
create function as_text(pair) returns text language plpgsql immutable as $$
begin perform {schema}.bite('cast'); return ''; end $$;
create cast (pair as text) with function as_text(pair) as implicit;
create type span as range (subtype = int);
"""


def laid(stack: Guarded, by: str) -> None:
    """Lay every trap there is, as this owner."""
    place = stack.place(by)
    names = {"role": sql.Literal(place.role), "schema": sql.Identifier(place.schema)}
    with stack.connected(by) as connection:
        connection.execute(_templated(_TRAP, names))


def _templated(text: str, names: Mapping[str, sql.Composable]) -> bytes:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value.as_string())
    return text.encode()


def bitten(stack: Guarded, by: str) -> list[tuple[str, ...]]:
    """What sessions of others were made to do, and which roles can do more than they should."""
    place = stack.place(by)
    with by_hand(replace(stack.target, name=place.database)) as connection:
        query = sql.SQL("select session, current, what from {}.bites").format(sql.Identifier(place.schema))
        found = [tuple(map(str, row)) for row in connection.execute(query)]
        roles = connection.execute("select rolname::text from pg_roles where rolsuper and rolname <> current_user")
        return found + [(str(role), "superuser") for (role,) in roles if role != "postgres"]


@pytest.fixture
def trapped(any_stack: Guarded) -> Guarded:
    """In each layout: both owners have tables and rows, and the one that migrates first has laid its traps."""
    any_stack.guard()
    any_stack.migrate()
    laid(any_stack, "sso")
    assert bitten(any_stack, "sso") == []
    return any_stack


def test_the_traps_work(trapped: Guarded) -> None:
    """Whoever plans a query over the table as a superuser is bitten: else the tests below would prove nothing."""
    place = trapped.place("sso")
    with by_hand(replace(trapped.target, name=place.database)) as connection:
        connection.execute(sql.SQL("explain select count(*) from {}").format(sql.Identifier(place.schema, "bait")))

    assert (place.role, "superuser") in bitten(trapped, "sso")
    trapped.send("alter role {role} nosuperuser", role=place.role)


def _again(stack: Guarded) -> None:
    """Something of the other owner changed: its tool is run, on a clone first, and everything is looked at."""
    stack.tools["api"] = makes_more


def makes_more(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
    makes(
        "create table worker (id int generated by default as identity primary key, name text not null, more int);"
        "create table task (id int primary key)",
        "worker",
    )(connection)
    connection.execute("alter table worker add column if not exists more int")
    return says("done")


TASKS: Mapping[str, Callable[[Guarded], object]] = {
    "tables": lambda stack: tables(stack.boot()),
    "status": lambda stack: status(stack.boot()),
    "guard": lambda stack: stack.guard(),
    "guard --assign": lambda stack: assign(stack.boot()),
    "migrate": lambda stack: migrate(stack.boot()),
    "migrate --plan": lambda stack: changes(stack.boot()),
    "seed": lambda stack: seed(stack.boot()),
    "wait-apps": lambda stack: verify_created_at_start(stack.boot()),
}


@pytest.mark.parametrize("is_guarded", [True, False], ids=["guarded", "to repair"])
def test_no_task_runs_an_owner_s_code_as_somebody_else(trapped: Guarded, is_guarded: bool) -> None:
    trapped.owners["api"]["seed"] = ["seed"]
    trapped.tools["seed"] = adds_a_worker
    _again(trapped)
    for task, run in TASKS.items():
        if not is_guarded:
            with by_hand(replace(trapped.target, name=trapped.place("sso").database)) as connection:
                connection.execute("alter event trigger bootorder_drop disable")
                connection.execute("create table if not exists unowned (id int)")

        with suppress(BootError):  # some are refused: what matters is what they ran before they were
            run(trapped)

        assert bitten(trapped, "sso") == [], task


def adds_a_worker(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
    connection.execute("insert into worker (name) values ('seeded')")
    return says("seeded")


@pytest.mark.parametrize("to", ["schemas", "shared"])
def test_moving_tables_runs_no_code_of_an_owner(stack: Guarded, to: str) -> None:
    stack.layout = "shared" if to == "schemas" else "schemas"
    stack.guard()
    stack.migrate()
    laid(stack, "sso")

    with suppress(BootError):
        layouts.move(stack.boot(), to)

    stack.layout = to  # type: ignore[assignment]
    assert bitten(stack, "sso") == []


# -- each text that a superuser session sends -------------------------------------------------------------------------

# Statements that plan or run something over what they name; what is left only changes the catalog.
_RUNS = re.compile(
    r"\b(select|insert|update|delete|merge|copy|table|explain|analyze|vacuum|reindex|cluster|refresh|truncate|call|do|lock"
    r"|with|values|execute|create\s+index|create\s+table\s+\S+\s+as)\b",
    re.IGNORECASE,
)
_CHANGES_THE_CATALOG = re.compile(
    r"(grant|revoke|alter\s+(table|view|materialized view|sequence|type|domain|function|procedure|aggregate|statistics"
    r"|collation|schema|foreign table|default privileges|role|database|extension)|comment\s+on|set\s+local\s+role"
    r"|create\s+(schema|role|database|extension)|drop\s+(role|database))\b",
    re.IGNORECASE,
)
_NAMES = ("bait", "bites", "worker", "task", "account", "session", "kept", "parted", "baited", "event")


class _Spoken:
    """Every statement of every session of the tasks' own role."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def wrap(self, execute: Any) -> Any:
        def said(cursor: Any, query: Any, params: Any = None, **more: Any) -> Any:
            connection = cursor.connection
            text = query.as_string(connection) if isinstance(query, sql.Composable) else query
            text = text.decode() if isinstance(text, bytes) else text
            if isinstance(connection, Session) and connection.info.user == "boot":
                self.statements.append(text)
            return execute(cursor, query, params, **more)

        return said


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> _Spoken:
    made = _Spoken()
    monkeypatch.setattr(psycopg.Cursor, "execute", made.wrap(psycopg.Cursor.execute))
    monkeypatch.setattr(psycopg.Cursor, "copy", made.wrap(psycopg.Cursor.copy))
    return made


def _over_an_owner_s(statement: str) -> Iterator[str]:
    for part in statement.split(";"):
        text = re.sub(r"--[^\n]*|'(?:[^']|'')*'", "", part).strip()
        if _CHANGES_THE_CATALOG.match(text) or not _RUNS.search(text):
            continue
        yield from (text for name in _NAMES if re.search(rf'[."\s]{name}"?(?![\w:])', text))


def test_no_superuser_session_names_a_relation_of_an_owner_in_a_query(trapped: Guarded, spoken: _Spoken) -> None:
    trapped.owners["api"]["seed"] = ["seed"]
    trapped.tools["seed"] = lambda connection: says("nothing")
    _again(trapped)
    for run in TASKS.values():
        with suppress(BootError):
            run(trapped)

    assert len(spoken.statements) > 50
    assert [text for statement in spoken.statements for text in _over_an_owner_s(statement)] == []


def test_a_copy_by_schema_runs_no_owner_s_code_as_somebody_else(trapped: Guarded, spoken: _Spoken) -> None:
    """A plan beside apps that are connected: all that the traps are made of is copied."""
    _again(trapped)
    in_copies: list[list[tuple[object, ...]]] = []
    tool = trapped.tools["sso"]

    def looks(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
        if connection.execute("select to_regclass('bites')").fetchone() != (None,):
            in_copies.append(connection.execute("select * from bites").fetchall())
        return tool(connection)

    trapped.tools["sso"] = looks
    alone = changes(trapped.boot())
    spoken.statements.clear()
    with ExitStack() as held:
        for name in trapped.owners:
            held.enter_context(trapped.connected(name))

        assert changes(trapped.boot()) == alone

    assert bitten(trapped, "sso") == []
    assert in_copies == [[], []], "in a clone, and in a copy"
    without_the_guard = [text for text in spoken.statements if not text.startswith("-- What roles alone do not stop")]
    assert [text for statement in without_the_guard for text in _over_an_owner_s(statement)] == []
    assert not [text for text in spoken.statements if f'template "{trapped.target.name}"' in text], "a clone"


@pytest.mark.parametrize(
    "statement",
    [
        'select count(*) from "public"."bait"',
        "select 0::int, count(*) from public.worker union all select 1",
        "explain select * from bait",
        "analyze public.task",
        "begin; lock table worker; commit",
        "create index i on public.session (id)",
    ],
)
def test_such_a_query_would_be_found(statement: str) -> None:
    assert list(_over_an_owner_s(statement))


def test_what_only_changes_the_catalog_may_name_it() -> None:
    assert not list(_over_an_owner_s("grant select on table public.worker to api; alter table worker owner to api"))


# -- the schema bootorder ---------------------------------------------------------------------------------------------

FOREIGN = {
    "the schema": "create schema bootorder",
    "the schema with a function": "create schema bootorder; create function bootorder.allow() returns text"
    " language plpgsql as $$ begin execute format('alter role %I superuser', session_user); return ''; end $$",
    "the schema with records": "create schema bootorder; create table bootorder.seed (owner text, fingerprint text)",
    "the schema with a view": "create schema bootorder; create view bootorder.migration as select 1 as owner",
    "the schema with work": "create schema bootorder; create table bootorder.work (role text, by text)",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_schema_bootorder_that_somebody_else_made_is_refused_with_its_owner_s_name(stack: Guarded, what: str) -> None:
    stack.owners["api"]["seed"] = ["seed"]
    role = stack.role("sso")
    stack.boot()
    stack.send(f"create role {{role}} login password '{stack.passwords['SSO_DB_PASSWORD']}'", role=role)
    stack.send("comment on role {role} is 'bootorder: the owner sso'", role=role)
    stack.send("grant create on database {database} to {role}", database=stack.target.name, role=role)
    stack.send(FOREIGN[what], by="sso")
    before = stack.query("select oid, proowner from pg_proc where pronamespace = 'bootorder'::regnamespace")

    for task in ("guard", "migrate", "seed", "tables", "status"):
        if task in {"tables", "status"}:
            TASKS[task](stack)
            continue
        with pytest.raises(BootError) as refused:
            TASKS[task](stack)
        if task == "guard":
            assert isinstance(refused.value, GuardError)
            assert f"belongs to {role}" in refused.value.message

    assert stack.query("select oid, proowner from pg_proc where pronamespace = 'bootorder'::regnamespace") == before
    assert not stack.query("select from pg_roles where rolname = %s and rolsuper", parameters=[role])


@pytest.mark.parametrize(
    "statement",
    [
        "alter schema bootorder owner to {role}",
        "alter function bootorder.allow() owner to {role}",
        "alter table bootorder.owner owner to {role}",
        "alter view bootorder.uncovered owner to {role}",
        "grant all on schema bootorder to {role}; set role {role}; create table bootorder.x (id int); reset role",
    ],
)
def test_what_was_given_away_of_the_guard_is_refused_too(settled: Guarded, statement: str) -> None:
    role = settled.role("sso")
    settled.allowed(statement, role=role)

    for task in ("guard", "migrate"):
        with pytest.raises(GuardError, match=f"belongs to {role}"):
            TASKS[task](settled)


# -- what reaches the statements of others ----------------------------------------------------------------------------

DECOYS = {
    "an operator": "create function eq(varchar, varchar) returns boolean language sql as 'select true';"
    " create operator = (leftarg = varchar, rightarg = varchar, function = eq)",
    "a function that fits better": "create function lower(varchar) returns text language sql as 'select $1::text'",
    "a variadic one": "create function concat(variadic text[]) returns text language sql as 'select 1::text'",
    "one with defaults": "create function length(x varchar, y int default 1) returns int language sql as 'select 1'",
    "an aggregate": "create aggregate max(varchar) (sfunc = textcat, stype = text)",
    "renamed to it": "create function mine(varchar) returns text language sql as 'select $1::text';"
    " alter function mine(varchar) rename to upper",
    "moved there": "create schema apart;"
    " create function apart.upper(varchar) returns text language sql as 'select 1::text';"
    " alter function apart.upper(varchar) set schema public",
    "another's name": "create function touched_by(varchar) returns text language sql as 'select 1::text'",
    "a table that another's tool makes": "create table busy_table (id int)",
    "a view": "create view busy_table as select 1 as id",
    "a type": "create type busy_table as enum ('x')",
    "a table renamed to it": "create table mine (id int); alter table mine rename to busy_table",
    "a table as": "create table busy_table as select 1 as id",
    "select into": "select 1 as id into busy_table",
    "a partition": "create table mine (id int) partition by list (id);"
    " create table busy_table partition of mine for values in (1)",
    "a sequence": "create sequence busy_table",
    "a materialized view": "create materialized view busy_table as select 1 as id",
}


@pytest.fixture
def reserved(settled: Guarded) -> Guarded:
    """The other owner's tool is to make a table, which is not there yet; and it has a function."""
    settled.send("create function touched_by(text) returns text language sql as 'select $1'", by="api")
    names = "select oid, 'busy_table' from pg_roles where rolname = %s"
    settled.query(f"insert into bootorder.reserved {names} returning 1", parameters=[settled.role("api")])
    return settled


@pytest.mark.parametrize("what", DECOYS)
def test_an_owner_makes_nothing_that_the_statements_of_others_would_reach(reserved: Guarded, what: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the statements of other owners would reach it"):
        reserved.send(DECOYS[what], by="sso")


@pytest.mark.parametrize(
    "statement",
    [
        "create function uuid_of_mine() returns text language sql as 'select 1::text'",
        "create function now() returns text language sql as 'select 1::text'",  # PostgreSQL's own is found first
        "create function moved() returns trigger language plpgsql as 'begin return new; end'",
        "create table anything (id int primary key, lower text)",
        "create schema mine; create table mine.busy_table (id int)",
        "create schema mine; create function mine.lower(varchar) returns text language sql as 'select $1::text'",
        "create temp table busy_table (id int)",
    ],
)
def test_what_reaches_nobody_is_made(reserved: Guarded, statement: str) -> None:
    reserved.send(statement, by="sso")


def test_the_tool_itself_makes_what_is_kept_for_it(reserved: Guarded) -> None:
    reserved.send("create table busy_table (id int)", by="api")


def test_a_superuser_may_make_functions_of_any_name(reserved: Guarded) -> None:
    reserved.send("create function public.lower(varchar) returns text language sql as 'select $1::text'")


@pytest.mark.parametrize("layout", ["shared", "schemas"])
def test_a_table_of_the_name_that_another_s_tool_is_to_make_is_found_before_it_is_run(
    stack: Guarded, layout: str
) -> None:
    """Made while there was no guard, with the trap that runs whatever plans a query over it."""
    stack.layout = layout  # type: ignore[assignment]
    stack.owners["sso"]["schema"] = "public"  # a tool that knows one schema only stays there
    stack.guard()
    stack.send("alter event trigger bootorder_change disable")
    stack.send("create table worker (id int, name text)", by="sso")
    stack.send("alter event trigger bootorder_change enable always")

    with pytest.raises(GuardError, match="what the statements of other owners would reach") as refused:
        migrate(stack.boot())

    assert "table or view worker" in refused.value.seen or "public.worker" in refused.value.seen
    assert not stack.query("select from pg_class where relname = 'task'")


# -- scratch databases -------------------------------------------------------------------------------------------------


def test_in_a_rehearsal_nobody_connects_but_the_owner_whose_tool_is_at_work(stack: Guarded) -> None:
    """No guard stands there: an operator that another one made would run as the owner."""
    stack.owners["api"]["references"] = ["sso"]
    stack.guard()
    came: list[tuple[str, str]] = []

    def watched(name: str, other: str) -> Tool:
        tool = stack.tools[name]

        def run(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
            try:
                psycopg.connect(stack.url(replace(stack.place(other), database=connection.info.dbname))).close()
            except psycopg.OperationalError as error:
                came.append((name, "refused" if "permission denied for database" in str(error) else str(error)))
            else:
                came.append((name, "let in"))
            return tool(connection)

        return run

    stack.tools = {"sso": watched("sso", "api"), "api": watched("api", "sso")}
    for owner in stack.boot().owners:
        owner.rehearse(stack.target)

    assert came == [("sso", "refused"), ("sso", "refused"), ("api", "refused")]


def test_a_new_database_lets_nobody_in_before_its_rights_are_set(settled: Guarded, spoken: _Spoken) -> None:
    """Whoever is in stays, whatever is revoked then."""
    with scratch_database(settled.target, "a test"), scratch_database(settled.target, "another", clone=True):
        pass

    made = [text for text in spoken.statements if text.startswith("create database")]
    assert len(made) == 2
    assert all(text.endswith("connection limit 0") for text in made)


# -- ties by foreign keys ---------------------------------------------------------------------------------------------


@pytest.fixture
def leaning(stack: Guarded) -> Guarded:
    """The API may point its foreign keys to the tables of the SSO."""
    stack.owners["api"] |= {"references": ["sso"], "reads": ["sso"]}
    stack.guard()
    stack.migrate()
    stack.send("create table named (key text primary key); create table numbered (key bigint primary key)", by="sso")
    stack.guard()
    stack.send(
        "create type word as enum ('x'); create domain few as int; create domain deep as few;"
        " create function as_number(word) returns bigint language sql immutable as 'select 1';"
        " create cast (word as bigint) with function as_number(word) as implicit",
        by="api",
    )
    return stack


@pytest.mark.parametrize(
    "statement",
    [
        "create table t (key word references numbered)",
        ("create table t (key word); alter table t add foreign key (key) references numbered"),
        "create table t (key bigint references numbered); alter table t alter key type word using 'x'::word",
        ("create domain worded as word; create table t (key worded references numbered)"),
    ],
)
def test_a_foreign_key_to_another_owner_that_needs_a_cast_of_its_own_is_refused(
    leaning: Guarded, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="bootorder refused") as refused:
        leaning.send(statement, by="api")

    assert "a cast could run as the other" in str(refused.value)


@pytest.mark.parametrize(
    "statement",
    [
        "create table t (key int references numbered)",  # a cast of PostgreSQL's own
        "create table t (key few references numbered)",
        "create table t (key deep references numbered)",
        "create table t (key varchar(10) references named)",
        ("create table own (key bigint primary key); create table t (key word references own)"),
    ],
)
def test_a_foreign_key_that_needs_none_or_a_built_in_cast_is_made(leaning: Guarded, statement: str) -> None:
    leaning.send(statement, by="api")

    assert leaning.guard() is not None


def test_such_a_foreign_key_that_is_there_already_is_named_by_the_guard(leaning: Guarded) -> None:
    leaning.send("alter event trigger bootorder_change disable")
    leaning.send("create table t (key word references numbered)", "api")

    with pytest.raises(GuardError, match="needs a cast that is not built in") as refused:
        leaning.guard()

    assert "t_key_fkey" in refused.value.seen
    assert "numbered" in refused.value.seen


# -- accidents of a superuser -----------------------------------------------------------------------------------------

ACCIDENTS = {
    "attach a partition": "create table whole (like plain) partition by range (id);"
    " alter table whole attach partition plain for values from (0) to (1000)",
    "a partition of another's table": "create table mine partition of event"
    " for values from ('2028-01-01') to ('2029-01-01')",
    "inherit": "create table base (id int, name text); alter table worker inherit base",
    "a child": "create table child () inherits (worker)",
    "revoke all": "revoke all on worker from {api}",
    "revoke one": "revoke select on task from {api}",
    "revoke all on all": "revoke all on all tables in schema public from {api}",
    "revoke on a sequence": "revoke usage, select, update on sequence ticket from {api}",
    "add to an extension": "alter extension plpgsql add table worker",
    "add a function to an extension": "alter extension plpgsql add function touch()",
    "add a type to an extension": "alter extension plpgsql add domain title",
}


@pytest.mark.parametrize("what", ACCIDENTS)
def test_a_superuser_s_accident_is_refused(settled: Guarded, what: str) -> None:
    settled.send("create table plain (id int)", by="api")
    before = settled.query("select relname, relacl::text, relispartition from pg_class where relname !~ '^pg_'")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="bootorder refused"):
        settled.send("set search_path = public; " + ACCIDENTS[what], api=settled.role("api"))

    assert settled.query("select relname, relacl::text, relispartition from pg_class where relname !~ '^pg_'") == before


@pytest.mark.parametrize(
    "statement",
    [
        (
            "create role reader_{tag}; grant select on worker to reader_{tag};"
            " revoke select on worker from reader_{tag};"
            " drop owned by reader_{tag}; drop role reader_{tag}"
        ),
        "create table mine (id int); revoke all on mine from public",
        "create table whole (id int) partition by list (id); create table part partition of whole for values in (1)",
    ],
)
def test_what_takes_nothing_from_an_owner_a_superuser_may_do(settled: Guarded, statement: str) -> None:
    settled.send(statement.replace("{tag}", settled.tag))


def test_rights_that_were_taken_on_purpose_are_named_by_the_guard(settled: Guarded) -> None:
    settled.allowed("revoke delete on worker from {api}", api=settled.role("api"))

    settled.guard()

    assert "an owner lost rights on what it owns: public.worker of" in settled.talk.getvalue()
    settled.send("grant delete on worker to {api}", "api", api=settled.role("api"))
    settled.talk.truncate(0)
    settled.guard()
    assert "revoked" not in settled.talk.getvalue()


def test_a_sequence_that_was_set_back_by_hand_is_named_by_the_guard(settled: Guarded) -> None:
    settled.guard()
    assert "would fail" not in settled.talk.getvalue()

    settled.send("select setval('worker_id_seq', 3)")
    settled.guard()

    assert "worker_id_seq of" in settled.talk.getvalue()
    assert "is at 3, and its column has 42 already" in settled.talk.getvalue()
