"""The guard on a real PostgreSQL 18: roles, rights and triggers, what drifts, and what must never be lost."""

# ruff: noqa: S608 - the tests' own words only

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from scripts.bootorder.access import tables
from scripts.bootorder.database import Target
from scripts.bootorder.errors import GuardError, MigrationError, NotReadyError, SettingsError
from scripts.bootorder.guard.layout import move
from scripts.bootorder.guard.snapshots import Seen, foreign_losses
from scripts.bootorder.guard.stage import assign, guard
from scripts.bootorder.migrate import migrate
from scripts.bootorder.probes import Look, NotYet, Ready, SystemClock, wait_for
from scripts.bootorder.processes import Completed
from scripts.bootorder.settings import LayoutName
from tests.conftest import unavailable
from tests.contract.hand import by_hand
from tests.stack import free_ports

from .guarded import API, LAYOUTS, ROWS_API, ROWS_SSO, SSO, Guarded, guarded, makes, owner
from .owners import says

Refused = psycopg.errors.InsufficientPrivilege


# -- from nothing -----------------------------------------------------------------------------------------------------


def test_the_guard_is_made_once(any_stack: Guarded) -> None:
    first, second = any_stack.guard(), any_stack.guard()

    assert not first.was_skipped
    assert "event triggers installed" in any_stack.talk.getvalue()
    assert f"role {any_stack.role('sso')} made" in first.text
    assert (second.was_skipped, second.text) == (True, "roles and triggers of sso, api are in place")


def test_an_owner_may_log_in_with_the_password_of_env_and_nothing_more(any_stack: Guarded) -> None:
    any_stack.guard()

    for name in ("sso", "api"):
        place = any_stack.place(name)
        assert any_stack.query("select current_user, current_database()", by=name) == [(place.role, place.database)]
        rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        assert any_stack.query(f"select {rights} from pg_roles where rolname = current_user", by=name) == [(False,) * 5]
        assert any_stack.query("select from pg_auth_members where member = current_user::regrole", by=name) == []
        assert any_stack.query(
            "select pg_get_userbyid(datdba) from pg_database where datname = current_database()", by=name
        ) == [(any_stack.target.user,)]


def test_nobody_but_owners_creates_in_public(any_stack: Guarded) -> None:
    any_stack.guard()
    for name in ("sso", "api"):
        found = any_stack.query(
            "select has_schema_privilege('public', 'public', 'create'),"
            " has_schema_privilege(current_user, 'public', 'create'), current_setting('search_path'),"
            " has_database_privilege('public', current_database(), 'create')",
            by=name,
        )
        alone = any_stack.layout == "schemas"
        assert found == [(False, not alone, f"{name}, public" if alone else "public", False)]


def test_an_owner_does_not_enter_the_database_of_another(stack: Guarded) -> None:
    stack.layout = "databases"
    stack.guard()
    url = stack.url(replace(stack.place("sso"), database=stack.place("api").database))

    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url)

    stack.target = replace(stack.target, name=stack.place("api").database)
    stack.send("grant connect on database {db} to public", db=stack.target.name)
    stack.target = replace(stack.target, name=stack.target.name.removesuffix("_api"))
    assert stack.guard().text == "nobody else connects to the database"
    assert stack.guard().was_skipped


def test_ten_at_once_do_the_work_once(any_stack: Guarded) -> None:
    boots = [any_stack.boot() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(guard, boots))

    assert sum(not outcome.was_skipped for outcome in outcomes) == 1
    assert any_stack.guard().was_skipped


# -- names ------------------------------------------------------------------------------------------------------------

NAMES = {
    "quotes": "a\"b'c",
    "spaces": " two  words ",
    "upper case": "Owner.Of.It",
    "letters": "größe_ß_日本",
    "percent": "100%s%(x)s%%",
    "braces": "a{}b{0}{",
    "backslash": "a\\b$$c$do$",
    "keyword": "select",
    "longest": "x" * 63,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_are_only_names(any_stack: Guarded, name: str) -> None:
    role = f"{name[: 63 - len(any_stack.tag)]}{any_stack.tag}"
    role = role if len(role.encode()) <= 63 else f"{name}{any_stack.tag}"
    longest = 63 - len(any_stack.target.name) - 1
    key = name[:longest] if any_stack.layout == "databases" else name
    its = owner("sso", any_stack.tag, role=role, schema=name, password="SSO_PW", database="SSO_DB")
    api = (
        owner("api", any_stack.tag)
        if any_stack.layout == "databases"
        else owner("api", any_stack.tag, reads=[key], references=[key])
    )
    any_stack.owners = {key: its, "api": api}
    any_stack.tools["api"] = makes(API, "task")

    any_stack.guard()
    assert any_stack.guard().was_skipped
    any_stack.migrate(key)
    assert any_stack.guard().was_skipped
    home = name if any_stack.layout == "schemas" else "public"
    assert any_stack.query("select current_schema()::text", by=key) == [(home,)]
    with (
        pytest.raises(Refused, match="bootorder refused DROP TABLE"),
        by_hand(replace(any_stack.target, name=any_stack.place(key).database)) as connection,
    ):
        connection.execute(sql.SQL("drop table {} cascade").format(sql.Identifier(home, "account")))


def test_an_owner_named_public_has_a_role_of_another_name(any_stack: Guarded) -> None:
    any_stack.owners["public"] = owner("public", any_stack.tag)
    any_stack.tools["public"] = makes("create table mine (id int)", "mine")

    any_stack.guard()
    any_stack.migrate("public")

    assert any_stack.guard().was_skipped


def test_a_database_with_an_odd_name_is_guarded(tmp_path: Path, odd_database: Target) -> None:
    for layout in LAYOUTS:
        stack = guarded(tmp_path, odd_database, layout)
        stack.tag = odd_database.name[-8:]
        stack.owners = {name: owner(name, stack.tag) for name in stack.owners}
        stack.guard()
        assert stack.guard().was_skipped
        stack.migrate()
        assert stack.guard().was_skipped
        if layout != "databases":
            stack.allowed("drop owned by {a}, {b}", a=stack.role("sso"), b=stack.role("api"))
            for name in ("sso", "api"):
                stack.send("drop role {role}", role=stack.role(name))
        else:
            stack.drop()


# -- drift ------------------------------------------------------------------------------------------------------------

ROLE_DRIFTS = {
    "superuser": "alter role {sso} superuser",
    "makes databases": "alter role {sso} createdb",
    "makes roles": "alter role {sso} createrole",
    "replicates": "alter role {sso} replication",
    "sees every row": "alter role {sso} bypassrls",
    "no login": "alter role {sso} nologin",
    "password": "alter role {sso} password 'another one'",
    "no password": "alter role {sso} password null",
    "expired": "alter role {sso} valid until '2001-01-01'",
    "no connections": "alter role {sso} connection limit 0",
    "member of a group": "grant pg_read_all_data to {sso}",
    "member of another owner": "grant {api} to {sso} with admin option",
    "member by another's grant": "grant {api} to {dba} with admin option; set role {dba}; grant {api} to {sso};"
    " reset role",
    "owns the database": "alter database {db} owner to {sso}",
    "owns public": "begin; select bootorder.allow(); alter schema public owner to {sso}; commit",
    "all create in public": "grant create on schema public to public",
    "all create schemas": "grant create on database {db} to public",
    "may not create": "revoke all on schema public from {sso}",
    "may not connect": "revoke all on database {db} from public, {sso}",
    "search path": "alter role {sso} in database {db} set search_path = pg_temp, public",
    "no search path": "alter role {sso} in database {db} reset all",
    "trigger disabled": "alter event trigger bootorder_drop disable",
    "trigger not on replicas": "alter event trigger bootorder_change enable",
    "trigger dropped": "drop event trigger bootorder_cover",
    "trigger for less": "drop event trigger bootorder_drop; create event trigger bootorder_drop on sql_drop"
    " when tag in ('DROP VIEW') execute function bootorder.refuse_drop();"
    " alter event trigger bootorder_drop enable always",
    "function replaced": "create or replace function bootorder.others() returns oid[] language sql stable"
    " as 'select array[]::oid[]'",
    "function that refuses all": "alter event trigger bootorder_change disable;"
    " create or replace function bootorder.refuse_change() returns event_trigger"
    " language plpgsql as 'begin raise ''no'';end'; alter event trigger bootorder_change enable always",
    "function volatile": "alter function bootorder.refuse_drop() volatile",
    "view replaced": "create or replace view bootorder.uncovered as select null::regclass as relation where false",
    "owners forgotten": "delete from bootorder.owner",
    "owners changed": "update bootorder.owner set role = 10 where role = '{sso}'::regrole",
    "truncate guarded no more": "begin; select bootorder.allow(); drop trigger bootorder on account; commit",
    "truncate trigger disabled": "begin; select bootorder.allow(); alter table task disable trigger bootorder; commit",
    "truncate trigger for origins": "begin; select bootorder.allow(); alter table task enable trigger bootorder;"
    " commit",
    "all dropped": "begin; select bootorder.allow(); drop schema bootorder cascade; commit",
    "nobody may ask": "revoke usage on schema bootorder from public",
    "made while off": "alter event trigger bootorder_cover disable; set role {sso}; create table more (id int);"
    " reset role",
}


@pytest.mark.parametrize("drift", ROLE_DRIFTS.values(), ids=ROLE_DRIFTS)
def test_what_drifts_is_put_right(settled: Guarded, drift: str) -> None:
    dba = f"dba_{settled.tag}"
    settled.made.add(dba)
    names = {"sso": settled.role("sso"), "api": settled.role("api"), "db": settled.target.name, "dba": dba}
    before = state(settled)
    with settled.connected() as connection:
        connection.execute(sql.SQL("create role {}").format(sql.Identifier(dba)))
        for statement in drift.split("; "):
            connection.execute(sql.SQL(statement).format(**{k: sql.Identifier(v) for k, v in names.items()}))

    told = settled.guard()

    assert not told.was_skipped
    assert told.text
    assert settled.guard().was_skipped
    settled.send("revoke all on schema public from {dba}", dba=dba)
    assert state(settled) == [*before[:-1], before[-1] + (1 if "create table more" in drift else 0)]
    assert settled.query("select 1", by="sso") == [(1,)]


STATE = """
select rolname, rolsuper, rolcanlogin, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit
from pg_roles where rolname = any (%s) order by 1

select count(*) from pg_auth_members m join pg_roles r on r.oid = m.member where r.rolname = any (%s)

select datdba from pg_database where datname = current_database()

select nspname, nspowner::regrole::text, has_schema_privilege('public', oid, 'create'),
       has_schema_privilege('public', oid, 'usage')
from pg_namespace where nspname in ('public', 'bootorder') order by 1

select r, has_schema_privilege(r, 'public', 'create'), has_database_privilege(r, current_database(), 'connect')
from unnest(%s::text[]) r

select evtname, evtevent, evtenabled, evttags from pg_event_trigger order by 1

select proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'bootorder'::regnamespace order by 1

select pg_get_viewdef('bootorder.uncovered'::regclass)

select r.rolname, s.setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
where r.rolname = any (%s) order by 1

select role::regrole::text from bootorder.owner order by 1
"""


def state(stack: Guarded) -> list[Any]:
    """What the guard has made, as the catalog says."""
    return [
        stack.query(query, parameters=[[stack.role("sso"), stack.role("api")]] if "%s" in query else None)
        for query in STATE.strip().split("\n\n")
    ] + [len(stack.query("select from pg_trigger where tgname = 'bootorder' and tgenabled = 'A'"))]


def test_what_was_done_is_said(settled: Guarded) -> None:
    settled.send("alter role {sso} superuser password 'x'; grant pg_monitor to {sso}", sso=settled.role("sso"))

    role = settled.role("sso")
    assert settled.guard().text == (
        f"{role} may do what an owner may, and no more; {role} has the password of .env;"
        f" {role} is no member of pg_monitor"
    )


# -- reading and referring --------------------------------------------------------------------------------------------

POINTS_TO_ACCOUNT = API + "create table member (account_id int references {schema}account on delete cascade);"


@pytest.mark.parametrize("layout", ["shared", "schemas"])
def test_a_reader_reads_and_does_nothing_else(stack: Guarded, layout: LayoutName) -> None:
    stack.layout = layout
    stack.guard()
    stack.migrate("sso")
    account = "sso.account" if layout == "schemas" else "account"
    session = "sso.session" if layout == "schemas" else "session"
    with pytest.raises(Refused):
        stack.query(f"select from {account}", by="api")

    stack.owners["api"]["reads"] = ["sso"]
    api, sso = stack.role("api"), stack.role("sso")

    assert f"{api} may read tables of {sso}" in stack.guard().text
    assert stack.guard().was_skipped
    assert stack.query(f"select count(*) from {account}", by="api") == [(3,)]
    for forbidden in (
        f"insert into {account} (email) values ('x')",
        f"update {account} set email = 'x'",
        f"delete from {account}",
        f"truncate {session}",
        f"drop table {session}",
        f"alter table {account} add x int",
        f"create table mine (id int references {account})",
        f"create trigger x before insert on {account} execute function suppress_redundant_updates_trigger()",
        f"create index on {account} (email)",
        f"begin; lock {account} in access exclusive mode",
    ):
        with pytest.raises(Refused):
            stack.send(forbidden, by="api")
    stack.send("create table later (id int); create view newer as select 1 as one", by="sso")
    later = later_of(account)
    assert stack.query(f"select from {later}", by="api") == []
    assert stack.guard().was_skipped

    stack.owners["api"]["reads"] = []
    assert f"{api} may not read tables of {sso} any more" in stack.guard().text
    assert stack.guard().was_skipped
    stack.send("create table last (id int)", by="sso")
    for table in (account, later, account.replace("account", "last")):
        with pytest.raises(Refused):
            stack.query(f"select from {table}", by="api")


def later_of(account: str) -> str:
    return account.replace("account", "later")


@pytest.mark.parametrize("layout", ["shared", "schemas"])
def test_a_foreign_key_of_one_owner_points_to_another(stack: Guarded, layout: LayoutName) -> None:
    stack.layout = layout
    stack.owners["api"]["references"] = ["sso"]
    schema = "sso." if layout == "schemas" else ""
    stack.tools["api"] = makes(POINTS_TO_ACCOUNT.replace("{schema}", schema), "task")
    stack.guard()

    assert not migrate(stack.boot()).was_skipped
    assert stack.guard().was_skipped

    stack.send("insert into account (email) values ('a'), ('b')", by="sso")
    stack.send("insert into member values (1), (2)", by="api")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        stack.send("insert into member values (9)", by="api")
    with pytest.raises(Refused):
        stack.query(f"select from {schema}account", by="api")
    with pytest.raises(Refused, match="bootorder refused DROP TABLE"):
        stack.send("drop table account cascade", by="sso")
    stack.send("delete from account where id = 1", by="sso")  # its key says so
    assert stack.query("select * from member", by="api") == [(2,)]

    stack.owners["api"]["references"] = []
    assert "may not refer to tables" in stack.guard().text
    assert stack.guard().was_skipped
    with pytest.raises(Refused):
        stack.send(f"create table another (id int references {schema}account)", by="api")


def test_who_reads_may_also_refer(stack: Guarded) -> None:
    stack.owners["api"] |= {"references": ["sso"], "reads": ["sso"]}
    stack.guard()
    stack.migrate()
    assert stack.guard().was_skipped
    stack.owners["api"]["reads"] = []
    stack.guard()
    assert stack.guard().was_skipped
    stack.send("create table mine (id int references account)", by="api")
    with pytest.raises(Refused):
        stack.query("select from account", by="api")


# -- an old volume ----------------------------------------------------------------------------------------------------

OF_NOBODY = """
create table notes (id serial primary key, text text);
create function helper() returns int language sql as 'select 1';
create extension if not exists citext;
"""


@pytest.fixture
def old(stack: Guarded) -> Guarded:
    """Everything was made by the superuser."""
    stack.send(SSO + API)
    for statements in ROWS:
        stack.send(statements)
    return stack


ROWS = (ROWS_SSO, ROWS_API)


def rows(stack: Guarded, *schemas: str) -> dict[str, Any]:
    """Every row of every table and view."""
    with stack.connected() as connection:
        query = (
            "select c.relname::text, case c.relkind when 'S' then format('(select last_value, is_called from %%s)',"
            " c.oid::regclass) else c.oid::regclass::text end from pg_class c"
            " where c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relnamespace::regnamespace::text = any (%s) order by 1"
        )
        found = connection.execute(query, [list(schemas or ("public", "sso", "api"))]).fetchall()
        return {
            str(name): connection.execute(
                f"select array_agg(t::text order by t::text) from {table} t".encode()
            ).fetchone()
            for name, table in found
        }


def owners_of(stack: Guarded) -> dict[str, str]:
    query = """
        select c.relname::text, pg_get_userbyid(c.relowner)::text from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relnamespace = 'public'::regnamespace
        union all select t.typname, pg_get_userbyid(t.typowner)::text from pg_type t
        where t.typtype in ('e', 'd') and t.typnamespace = 'public'::regnamespace
        union all select p.proname || '()', pg_get_userbyid(p.proowner)::text from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.probin is null and p.prolang <> 12
    """
    return {str(name): str(role) for name, role in stack.query(query)}


def test_what_belongs_to_nobody_is_listed_and_left(old: Guarded) -> None:
    before, whose = rows(old), owners_of(old)

    with pytest.raises(GuardError) as caught:
        old.guard()

    assert caught.value.exit_code == 6
    assert "belong to no owner" in caught.value.message
    assert "guard --assign" in caught.value.hint
    details = "\n".join(caught.value.details)
    assert f"table public.account of the role boot -> sso (role {old.role('sso')})" in details
    for line in (
        "table public.account of the role boot -> sso",
        "type public.level of the role boot -> sso",
        "table public.task of the role boot -> api",
        "view public.open_task of the role boot -> api",
        "materialized view public.busy of the role boot -> api",
        "sequence public.ticket of the role boot -> api",
        "domain public.title of the role boot -> api",
        "function public.touch() of the role boot -> api",
        "table public.event of the role boot -> api",
        "table public.event_2026 of the role boot -> api",
    ):
        assert line in details
    assert caught.value.seen == "owned by boot, which is no owner's role; nothing was assigned"
    assert (rows(old), owners_of(old)) == (before, whose)


def test_what_belongs_to_nobody_is_assigned_with_its_rows(old: Guarded) -> None:
    old.send(OF_NOBODY)
    before = rows(old)
    citext = old.query(
        "select count(*) from pg_depend d join pg_extension e on e.oid = d.refobjid where extname = 'citext'"
    )

    told = assign(old.boot())

    assert not told.was_skipped
    sso, api, admin = old.role("sso"), old.role("api"), old.target.user
    assert owners_of(old) == {
        **dict.fromkeys(["account", "account_id_seq", "level", "session", "session_id_seq"], sso),
        **dict.fromkeys(["worker", "worker_id_seq", "task", "task_id_seq", "ticket", "title", "touch()"], api),
        **dict.fromkeys(["open_task", "busy", "event", "event_2026"], api),
        **dict.fromkeys(["notes", "notes_id_seq", "helper()"], admin),
    } | {
        name: role
        for name, role in owners_of(old).items()
        if name.endswith("()") and name not in ("touch()", "helper()")
    }
    assert rows(old) == before
    assert old.guard().was_skipped
    assert "no owner's tool makes public.notes: left alone" in old.talk.getvalue()
    assert assign(old.boot()).was_skipped
    assert citext == old.query(
        "select count(*) from pg_depend d join pg_extension e on e.oid = d.refobjid where extname = 'citext'"
    )
    assert all(role == admin for name, role in owners_of(old).items() if name == "helper()")
    with pytest.raises(Refused, match="bootorder refused TRUNCATE"):
        old.send("truncate task")
    old.send("create or replace function touch() returns trigger language plpgsql as 'begin return new; end'", by="api")
    assert not migrate(old.boot()).was_skipped


def test_an_owner_goes_on_in_a_schema_that_its_tool_made_as_somebody_else(stack: Guarded) -> None:
    """As drizzle-kit migrate keeps what it ran in a schema of its own."""
    kept = "create schema if not exists kept; create table if not exists kept.migration (id serial primary key);"
    stack.send(kept + SSO)

    def tool(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
        connection.execute(kept.encode())
        return makes(SSO, "account")(connection)

    stack.tools["sso"] = tool
    assign(stack.boot())

    assert stack.guard().was_skipped
    assert migrate(stack.boot()).text == "sso unchanged, 3 tables verified; api migrated, 4 tables verified"


@pytest.mark.parametrize("layout", ["schemas", "databases"])
def test_what_an_old_volume_has_is_found_in_a_new_layout(old: Guarded, layout: LayoutName) -> None:
    old.layout = layout
    before = rows(old)
    with pytest.raises(GuardError, match="no owner"):
        old.guard()

    if layout == "databases":
        with pytest.raises(GuardError, match="does not look there") as caught:
            old.guard()
        assert "guard --assign --layout shared" in caught.value.hint
        old.layout = "shared"
    assign(old.boot())
    if layout == "schemas":
        with pytest.raises(GuardError, match="has the layout `shared`"):
            old.guard()
        move(old.boot(), "schemas")
    assert old.guard().was_skipped
    assert rows(old) == before


def fails(_: psycopg.Connection[tuple[object, ...]]) -> Completed:
    return says("error: a model is wrong", 1)


def test_a_table_of_nobody_starts_no_tool_where_the_owners_have_theirs(settled: Guarded) -> None:
    settled.send(OF_NOBODY)
    settled.tools["sso"] = fails
    boot = settled.boot()

    assert guard(boot).was_skipped

    assert boot.runtime.runs == []  # type: ignore[attr-defined]
    assert "no owner has public.notes: left alone; inv guard --assign asks every tool" in settled.talk.getvalue()
    with pytest.raises(MigrationError, match="failed on an empty database"):
        assign(settled.boot())


def test_a_tool_that_fails_is_no_matter_of_the_guard(stack: Guarded) -> None:
    stack.send(OF_NOBODY)
    stack.tools["api"] = fails

    assert not stack.guard().was_skipped

    said = stack.talk.getvalue()
    assert "what belongs to no owner is not known: api: command failed on an empty database" in said
    assert "no owner has public.notes: left alone" in said
    assert stack.guard().was_skipped
    with pytest.raises(MigrationError, match="api: command failed on an empty database"):
        migrate(stack.boot())


def test_the_role_that_an_owner_had_before_is_named_until_it_is_gone(settled: Guarded) -> None:
    old, new = settled.role("sso"), f"new_{settled.tag}"
    settled.owners["sso"]["role"] = new
    before = rows(settled)

    with pytest.raises(GuardError, match="belong to no owner") as caught:
        settled.guard()
    assert f"table public.account of the role {old} -> sso (role {new})" in caught.value.details
    note = f"{old} is no owner's role any more, and may still connect; "
    assert f"{note}it owns tables or other objects" in settled.talk.getvalue()

    assign(settled.boot())

    remove = f'drop owned by "{old}"; drop role "{old}"'
    assert f"{note}to remove it: {remove}" in settled.talk.getvalue()
    settled.send(remove)
    assert rows(settled) == before
    settled.talk.truncate(0)
    assert settled.guard().was_skipped
    settled.send(f'grant insert on account to "{settled.role("api")}"', by="sso")
    settled.guard()
    assert old not in settled.talk.getvalue()


def test_what_two_owners_may_have_made_is_assigned_to_neither(stack: Guarded) -> None:
    stack.layout = "schemas"
    stack.tools["api"] = makes("create table account (id int)", "api.account")
    stack.tools["sso"] = makes("create table account (id int)", "sso.account")
    stack.send("create table account (id int)")

    stack.guard()

    assert "no owner's tool makes public.account: left alone" in stack.talk.getvalue()
    assert assign(stack.boot()).was_skipped


# -- another layout ---------------------------------------------------------------------------------------------------

MORE = """
create type pair as (a int, b int);
create type span as range (subtype = int);
create function total(t task, p pair) returns int language sql as 'select 1';
create function "Odd %s {name}"(s status) returns status language sql as 'select s';
create procedure tidy() language sql as 'select 1';
create aggregate own_sum(int) (sfunc = int4pl, stype = int);
create statistics of_task (dependencies) on id, worker_id from task;
create collation plain (locale = 'C');
alter table task add column status status default 'open', add column two pair, add column span span;
create index of_low on task (lower(title::text));
comment on table task is 'all of it';
grant select on worker to pg_monitor;
"""


def definitions(stack: Guarded) -> list[str]:
    """What the catalog says of everything, with the schemas of the owners taken away."""
    queries = {
        "columns": "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,"
        " pg_get_expr(d.adbin, d.adrelid) from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum"
        " where c.relnamespace::regnamespace::text = any ({}) and a.attnum > 0 order by 1, 2",
        "relations": "select c.relname, c.relkind, c.relowner::regrole, c.relacl, obj_description(c.oid)"
        " from pg_class c where c.relnamespace::regnamespace::text = any ({}) order by 1",
        "constraints": "select conname, pg_get_constraintdef(oid) from pg_constraint"
        " where connamespace::regnamespace::text = any ({}) order by 1",
        "indexes": "select relname, pg_get_indexdef(oid) from pg_class where relkind in ('i', 'I')"
        " and relnamespace::regnamespace::text = any ({}) order by 1",
        "views": "select relname, pg_get_viewdef(oid) from pg_class where relkind in ('v', 'm')"
        " and relnamespace::regnamespace::text = any ({}) order by 1",
        "functions": "select proname, proowner::regrole, prokind,"
        " case when prokind <> 'a' then pg_get_functiondef(oid) end from pg_proc"
        " where pronamespace::regnamespace::text = any ({}) order by 1, 4",
        "types": "select typname, typtype, typowner::regrole from pg_type"
        " where typnamespace::regnamespace::text = any ({}) order by 1",
        "triggers": "select tgname, tgenabled, pg_get_triggerdef(t.oid) from pg_trigger t"
        ' where not tgisinternal order by tgname, tgrelid::regclass::text collate "C"',
        "statistics": "select stxname, pg_get_statisticsobjdef(oid) from pg_statistic_ext order by 1",
        "collations": "select collname, collowner::regrole from pg_collation"
        " where collnamespace::regnamespace::text = any ({}) order by 1",
    }
    found = []
    with stack.connected() as connection:
        connection.execute("set search_path = pg_catalog")
        for name, query in queries.items():
            told = connection.execute(query.format("array['public', 'sso', 'api']").encode())
            found += [re.sub(r"\b(public|sso|api)\.", "", f"{name} {row}") for row in told]
    return sorted(found)


@pytest.fixture
def related(stack: Guarded) -> Guarded:
    """One owner's tables point to another's, and there is one of each kind."""
    stack.owners["api"] |= {"references": ["sso"], "reads": ["sso"]}
    more = API + MORE.replace("s status", "s status").replace("create type pair", STATUS + "create type pair")
    member = "create table member (account_id int references account on delete cascade); insert into member values (2)"
    stack.tools["api"] = makes(f"{more} {member}", "task")
    stack.guard()
    stack.migrate()
    return stack


STATUS = "create type status as enum ('open', 'done'); "


def test_everything_moves_to_schemas_and_back(related: Guarded) -> None:
    assert related.guard().was_skipped
    before, rows_before = definitions(related), rows(related)
    schemas = "select nspname::text, nspowner::regrole::text from pg_namespace where nspname !~ '^pg_' order by 1"
    schemas_before = related.query(schemas)

    told = move(related.boot(), "schemas")

    assert "set `layout: schemas`" in told.text
    assert related.query("select relname from pg_class where relnamespace = 'public'::regnamespace") == []
    left = "select proname from pg_proc where pronamespace = 'public'::regnamespace"
    assert related.query(left) == []
    assert related.query("select typname::text from pg_type where typnamespace = 'public'::regnamespace") == []
    assert definitions(related) == before
    assert rows(related) == rows_before
    with pytest.raises(GuardError, match="has the layout `schemas`"):
        related.guard()
    related.layout = "schemas"
    assert related.guard().was_skipped
    assert related.query("select count(*) from task", by="api") == [(7,)]
    assert related.query("select count(*) from sso.account", by="api") == [(3,)]
    related.send("insert into task (title) values ('new'); insert into member values (1)", by="api")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        related.send("insert into member values (9)", by="api")
    assert move(related.boot(), "schemas").was_skipped

    related.send("delete from task where title = 'new'; delete from member where account_id = 1", by="api")
    move(related.boot(), "shared")
    related.layout = "shared"

    assert related.guard().was_skipped
    assert related.query(schemas) == schemas_before
    assert definitions(related) == before
    after = rows(related)
    changed = {name for name in after if after[name] != rows_before[name]}
    assert changed <= {"ticket", "task_id_seq"}  # of the row that was there for a while
    related.send("create table later (id int)", by="api")
    assert related.query("select relnamespace::regnamespace::text from pg_class where relname = 'later'") == [
        ("public",)
    ]


def test_a_column_that_was_dropped_has_no_base_type_and_ends_nothing(settled: Guarded) -> None:
    settled.send("create domain short as text; create domain shorter as short", by="api")
    settled.send("alter table task add column note shorter; alter table task drop column title cascade", by="api")

    asked = """
        select attisdropped, bootorder.base_type(atttypid)::regtype::text from pg_attribute
        where attrelid = 'task'::regclass and (attisdropped or attname = 'note') order by 1
    """
    assert settled.query(asked) == [(False, "text"), (True, "-")]


def test_a_schema_that_holds_something_of_somebody_else_stays_when_its_owner_moves_out(settled: Guarded) -> None:
    move(settled.boot(), "schemas")
    settled.send("create table api.by_hand (id int)")

    move(settled.boot(), "shared")

    assert settled.query("select relname::text from pg_class where relnamespace = 'api'::regnamespace") == [
        ("by_hand",)
    ]


def test_tables_of_another_layout_are_not_told_as_missing(stack: Guarded) -> None:
    stack.guard()
    migrate(stack.boot())
    stack.send("drop table session", by="sso")

    move(stack.boot(), "schemas")

    found = {(table.owner, table.schema, table.name): table.state for table in tables(stack.boot())}
    assert found["sso", "sso", "account"] == ""
    assert found["sso", "public", "account"] == "is in sso"
    assert found["sso", "public", "session"] == "missing"


def test_nothing_moves_while_an_owner_is_connected(settled: Guarded) -> None:
    with settled.connected("api"), pytest.raises(NotReadyError, match="apps are connected") as caught:
        move(settled.boot(), "schemas")
    assert settled.role("api") in caught.value.seen
    assert caught.value.first == ("stop", "db-up", "wait-db")
    assert settled.guard().was_skipped


@pytest.mark.parametrize(
    "clash",
    [
        "create table public.task (id int)",
        "create type public.title as (x int)",
        "create function public.touch() returns int language sql as 'select 1'",
        "create sequence public.ticket",
    ],
)
def test_a_name_that_is_taken_on_the_way_back_moves_nothing(settled: Guarded, clash: str) -> None:
    move(settled.boot(), "schemas")
    settled.layout = "schemas"
    settled.send(clash)
    before = definitions(settled)

    with pytest.raises(GuardError, match="cannot be moved: public has one of that name") as caught:
        move(settled.boot(), "shared")

    assert "nothing was moved" in caught.value.seen
    assert definitions(settled) == before
    assert settled.query("select count(*) from task", by="api") == [(7,)]
    assert settled.guard().was_skipped


@pytest.mark.parametrize("layout", ["shared", "schemas"])
def test_nothing_moves_between_databases(settled: Guarded, layout: LayoutName) -> None:
    with pytest.raises(SettingsError, match="from one database to another"):
        move(settled.boot(layout), "databases")
    with pytest.raises(SettingsError, match="from one database to another"):
        move(settled.boot("databases"), layout)


@pytest.mark.parametrize("there", LAYOUTS)
@pytest.mark.parametrize("wanted", LAYOUTS)
def test_tables_of_another_layout_are_found(stack: Guarded, there: LayoutName, wanted: LayoutName) -> None:
    stack.layout = there
    stack.guard()
    stack.migrate()
    if there == wanted:
        assert stack.guard(wanted).was_skipped
        return

    with pytest.raises(GuardError) as caught:
        stack.guard(wanted)

    assert caught.value.message == f"this stack has the layout `{there}`, and was asked for `{wanted}`"
    assert f"--layout {there}" in caught.value.hint
    assert ("--move-to" in caught.value.hint) == ("databases" not in {there, wanted})
    assert stack.guard().was_skipped


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_stack_may_have_another_layout(stack: Guarded, layout: LayoutName) -> None:
    for other in LAYOUTS:
        stack.guard(other)
    stack.layout = layout
    stack.guard()
    assert stack.guard().was_skipped
    stack.migrate()
    assert stack.guard().was_skipped
    home = {"shared": "public", "databases": "public", "schemas": "api"}[layout]
    found = stack.query("select relnamespace::regnamespace::text from pg_class where relname = 'task'", by="api")
    assert found == [(home,)]


# -- what an owner and a superuser may not do -------------------------------------------------------------------------

BAIT = """
create schema kept;
create table kept.inner (id int);
create table account (id int primary key, email text);
create table session (id serial primary key, account_id int references account);
create type level as enum ('admin', 'user');
create domain short as text check (length(value) < 99);
create function stamp() returns trigger language plpgsql as 'begin return new; end';
create function answer() returns int language sql immutable as 'select 42';
create sequence number;
create view emails as select email from account;
create materialized view counted as select count(*) from account;
create table ruled (id int, level level);
create index ruled_id on ruled (id);
create statistics of_ruled on id, level from ruled;
create rule none_of_it as on delete to ruled do instead nothing;
create trigger stamped before insert on ruled for each row execute function stamp();
alter table ruled enable row level security;
create policy everyone on ruled using (true);
create table parted (id int) partition by range (id);
create table parted_1 partition of parted for values from (0) to (9);
create collation plain (locale = 'C');
create text search configuration words (copy = simple);
"""


@pytest.fixture
def bait(stack: Guarded) -> Guarded:
    """One owner has one of each kind; another has something that depends on what is everybody's."""
    stack.tools["sso"] = makes(BAIT, "account")
    stack.tools["api"] = makes("create table task (id int primary key)", "task")
    stack.guard()
    for name in ("sso", "api"):
        stack.boot().runtime.run_once(name, [name], {}, lambda _: None)
    assert stack.guard().was_skipped
    return stack


# Of a superuser; an owner may do none of it with another's, which PostgreSQL says itself.
HARM = (
    "drop table session",
    "drop table account cascade",
    "drop table if exists nothing, ruled",
    "drop schema public cascade",
    "drop schema kept cascade",
    "drop owned by {sso}",
    "drop owned by {sso} cascade",
    "alter table account drop column email cascade",
    "alter table account add column more int",
    "alter table ruled alter column id type bigint",
    "alter table account rename to other",
    "alter table account rename column email to mail",
    "alter table account rename constraint account_pkey to other",
    "alter table session drop constraint session_account_id_fkey",
    "alter table account set schema kept",
    "alter table account owner to {api}",
    "alter table account owner to current_user",
    "alter table account disable row level security",
    "alter table account disable trigger all",
    "alter table session set unlogged",
    "alter table parted detach partition parted_1",
    "alter table if exists account inherit task",
    "truncate session",
    "truncate account cascade",
    "truncate parted",
    "truncate task, session",
    "alter type level add value 'other'",
    "alter type level rename value 'admin' to 'root'",
    "alter type level rename to other",
    "drop type level cascade",
    "drop domain short",
    "alter domain short drop constraint short_check",
    "alter sequence number restart with 9",
    "alter sequence session_id_seq increment 2",
    "drop sequence number",
    "drop sequence session_id_seq cascade",
    "create or replace view emails as select email, 1 as one from account",
    "drop view emails",
    "drop materialized view counted",
    "alter view emails rename to other",
    "drop function stamp() cascade",
    "drop function answer()",
    "create or replace function answer() returns int language sql as 'select 41'",
    "alter function answer() rename to other",
    "drop index ruled_id",
    "alter index ruled_id rename to other",
    "drop statistics of_ruled",
    "drop collation plain",
    "drop text search configuration words",
    "drop policy everyone on ruled",
    "alter policy everyone on ruled using (false)",
    "create policy nobody on ruled as restrictive using (false)",
    "drop trigger stamped on ruled",
    "drop trigger bootorder on account",
    "create trigger more before insert on account for each row execute function stamp()",
    "drop rule none_of_it on ruled",
    "create rule nothing as on insert to account do instead nothing",
    "alter schema public rename to other",
    "alter schema kept rename to other",
    "alter schema kept owner to {api}",
    "do $$ begin execute 'drop table session'; end $$",
    "do $$ begin drop table session; exception when division_by_zero then null; end $$",
    "begin; drop table session; commit",
    "begin; create table harmless (id int); savepoint here; drop table session; release here; commit",
    "set session_replication_role = replica; drop table session",
    "set session_replication_role = replica; alter table account rename to other",
    "set session_replication_role = replica; truncate session",
    "set session_replication_role = local; truncate session",
    "select bootorder.allow(); drop table session",
    "begin; select bootorder.allow(); commit; drop table session",
    "begin; savepoint here; select bootorder.allow(); rollback to here; drop table session",
    "set bootorder.allowed = '1'; drop table session",
)


@pytest.fixture
def harmed(bait: Guarded) -> Iterator[Guarded]:
    """Looks afterwards whether everything is as it was."""
    before, there = definitions(bait), rows(bait)
    yield bait
    assert definitions(bait) == before
    assert rows(bait) == there
    assert bait.guard().was_skipped


def run(stack: Guarded, statements: str, by: str = "") -> None:
    """One after the other, as a person types them; each is a transaction of its own, if it does not begin one."""
    names = {name: sql.Identifier(stack.role(name)) for name in ("sso", "api")}
    with stack.connected(by) as connection:
        for statement in [statements] if re.search(r"\$\$|'begin|atomic", statements) else statements.split("; "):
            connection.execute(sql.SQL(statement).format(**names))


def test_a_superuser_harms_no_owner_by_accident(harmed: Guarded) -> None:
    let_through = []
    for statement in HARM:
        try:
            run(harmed, statement)
        except Refused as error:
            if "bootorder refused" not in str(error):
                let_through.append(f"{statement}: {error}")
        except psycopg.Error as error:
            let_through.append(f"{statement}: {error}")
        else:
            let_through.append(statement)
    assert "\n".join(let_through) == ""


def test_an_owner_harms_no_other(harmed: Guarded) -> None:
    let_through = []
    for statement in HARM:
        try:
            run(harmed, statement, by="api")
        except (Refused, psycopg.errors.InvalidSchemaName):
            continue
        except psycopg.Error as error:
            let_through.append(f"{statement}: {type(error)} {error}")
        else:
            let_through.append(statement)
    assert "\n".join(let_through) == ""


def test_a_refusal_names_what_would_be_lost(bait: Guarded) -> None:
    with pytest.raises(Refused) as caught:
        run(bait, "drop table account cascade")

    assert caught.value.diag.message_primary == (
        f"bootorder refused DROP TABLE: {bait.target.user} does not own what it would change"
    )
    # the table and what leans on it, not its own keys, indexes and defaults
    assert str(caught.value.diag.message_detail).splitlines() == [
        f"{what} of {bait.role('sso')}"
        for what in (
            "table public.account",
            "view public.emails",
            "materialized view public.counted",
            "table constraint session_account_id_fkey on public.session",
        )
    ]
    assert "select bootorder.allow()" in str(caught.value.diag.message_hint)


def test_a_superuser_who_means_it_may(bait: Guarded) -> None:
    for statement in ("drop view emails", "truncate account cascade", "alter table ruled rename to other"):
        run(bait, f"begin; select bootorder.allow(); {statement}; commit")
    run(bait, "begin; savepoint here; select bootorder.allow(); release here; drop table other; commit")
    with pytest.raises(Refused):
        run(bait, "drop table session")
    with pytest.raises(Refused):
        run(bait, "begin; select bootorder.allow(); drop table session; commit", by="api")


SHARED_THINGS = {
    "a type of one in a column of another": (
        "create type common as enum ('a'); grant usage on type common to public",
        "create table mine (id int, its common)",
        "drop type common cascade",
    ),
    "a domain of one in a column of another": (
        "create domain common as int; grant usage on type common to public",
        "create table mine (id int, its common)",
        "drop domain common cascade",
    ),
    "a function of one in a trigger of another": (
        "create function common() returns trigger language plpgsql as 'begin return new; end'",
        "create table mine (id int); create trigger its before insert on mine for each row execute function common()",
        "drop function common() cascade",
    ),
    "a function of one in a default of another": (
        "create function common() returns int language sql as 'select 1'",
        "create table mine (id int default common())",
        "drop function common() cascade",
    ),
    "a function of one in a check of another": (
        "create function common(int) returns boolean language sql immutable as 'select true'",
        "create table mine (id int check (common(id)))",
        "drop function common(int) cascade",
    ),
    "a function of one in an index of another": (
        "create function common(int) returns int language sql immutable as 'select 1'",
        "create table mine (id int); create index its on mine (common(id))",
        "drop function common(int) cascade",
    ),
    "a function of one in a policy of another": (
        "create function common() returns boolean language sql immutable as 'select true'",
        "create table mine (id int); create policy its on mine using (common())",
        "drop function common() cascade",
    ),
    "a function of one in a rule of another": (
        "create function common() returns boolean language sql immutable as 'select true'",
        "create table mine (id int); create rule its as on delete to mine where common() do instead nothing",
        "drop function common() cascade",
    ),
    "a sequence of one in a default of another": (
        "create sequence common; grant usage on sequence common to public",
        "create table mine (id int default nextval('common'))",
        "drop sequence common cascade",
    ),
    "a table of one in a view of another": (
        "create table common (id int); grant select on common to public",
        "create view mine as select id from common",
        "drop table common cascade",
    ),
    "a column of one in a view of another": (
        "create table common (id int, more int); grant select on common to public",
        "create view mine as select more from common",
        "alter table common drop column more cascade",
    ),
    "a table of one in a function of another": (
        "create table common (id int); grant select on common to public",
        "create function mine() returns bigint language sql begin atomic select count(*) from common; end",
        "drop table common cascade",
    ),
    "a schema of one with a table of another": (
        "create schema common; grant all on schema common to public",
        "create table common.mine (id int)",
        "drop schema common cascade",
    ),
    "a key of one in a foreign key of another": (
        "create table common (id int primary key); grant references on common to public",
        "create table mine (id int references common)",
        "alter table common drop constraint common_pkey cascade",
    ),
    "all of one": (
        "create table common (id int primary key); grant references on common to public",
        "create table mine (id int references common)",
        "drop owned by current_user cascade",
    ),
    "a truncated table of one in a foreign key of another": (
        "create table common (id int primary key); grant references on common to public",
        "create table mine (id int references common)",
        "truncate common cascade",
    ),
}


@pytest.mark.parametrize("shared", SHARED_THINGS.values(), ids=SHARED_THINGS)
def test_a_cascade_does_not_reach_another_owner(settled: Guarded, shared: tuple[str, str, str]) -> None:
    theirs, mine, harm = shared
    run(settled, theirs, by="sso")
    run(settled, mine, by="api")
    before = definitions(settled)

    for by in ("sso", ""):
        if "current_user" not in harm or by:
            with pytest.raises(Refused):
                run(settled, harm, by=by)

    assert definitions(settled) == before


OWN_WORK = """
create table mine (id int primary key, name text)
alter table mine add column more int default 1
alter table mine alter column more type bigint
alter table mine rename column more to less
alter table mine drop column less
create index concurrently mine_name on mine (name)
reindex index concurrently mine_name
reindex table mine
drop index concurrently mine_name
create unique index mine_name on mine (name)
cluster mine using mine_name
comment on table mine is 'mine'
insert into mine values (1, 'a')
vacuum full mine
analyze mine
truncate mine
create temporary table passing (id serial primary key)
alter table passing add column more int
truncate passing
drop table passing
create table copied as select * from mine
select * into another from mine
truncate copied, another
create table if not exists mine (id int)
create table if not exists account (id int)
create sequence if not exists number
create index if not exists mine_name on mine (name)
create schema if not exists kept
create schema own
create table own.inner (id int)
create schema own2 create table first (id int) create view second as select * from first
truncate own2.first
alter table own.inner set schema public
drop schema own
drop schema own2 cascade
create table parts (id int, at date) partition by range (at)
create table parts_1 partition of parts for values from ('2026-01-01') to ('2027-01-01')
create table parts_2 (id int, at date)
alter table parts attach partition parts_2 for values from ('2027-01-01') to ('2028-01-01')
alter table parts detach partition parts_2 concurrently
truncate parts
drop table parts
create table parent (id int)
create table child () inherits (parent)
drop table parent cascade
create type own_level as enum ('a')
alter type own_level add value 'b'
create domain own_short as text
create function own_function() returns int language sql as 'select 1'
create or replace function own_function() returns int language sql as 'select 2'
create view own_view as select * from mine
create or replace view own_view as select *, own_function() as one from mine
create materialized view own_counts as select count(*) from mine
refresh materialized view own_counts
create trigger own_trigger before insert on mine for each row execute function suppress_redundant_updates_trigger()
alter table mine disable trigger own_trigger
create policy own_policy on mine using (true)
create statistics own_statistics on id, name from mine
grant select on mine to public
alter default privileges grant select on tables to public
alter default privileges revoke select on tables from public
begin; alter table mine add column again int; savepoint here; drop table mine cascade; rollback to here; commit
do $$ begin create table of_a_block (id int); drop table of_a_block; end $$
drop function own_function() cascade
drop table mine cascade
drop type own_level, own_short cascade
create extension if not exists citext
create table with_extension (name citext)
drop extension citext cascade
drop table with_extension
drop owned by current_user
create table last (id int)
"""


@pytest.mark.parametrize("replica", ["origin", "member", "role"])
def test_an_owner_is_never_disturbed_in_its_own_work(bait: Guarded, replica: str) -> None:
    dba = f"dba_{bait.tag}"
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(bait.connected("" if replica != "origin" else "api"))
        if replica != "origin":
            bait.made.add(dba)
            names = {"dba": sql.Identifier(dba), "api": sql.Identifier(bait.role("api"))}
            connection.execute(sql.SQL("create role {dba}; grant {api} to {dba}").format(**names))
            connection.execute(sql.SQL("grant create on schema public to {dba}").format(**names))
            connection.execute(sql.SQL("set role {}").format(names["api"] if replica == "role" else names["dba"]))
        for statement in OWN_WORK.strip().splitlines():
            if replica == "member" and statement.startswith(("create schema", "create extension", "drop owned")):
                connection.execute(sql.SQL("set role {}").format(names["api"]))
            connection.execute(statement.encode())
            if replica == "member" and "schema" not in statement and "own" not in statement:
                connection.execute(sql.SQL("set role {}").format(names["dba"]))
        if replica != "origin":
            connection.execute("reset role")
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(dba)))
    assert bait.guard().was_skipped or replica == "member"


def test_a_superuser_is_not_disturbed_in_what_harms_nobody(bait: Guarded) -> None:
    for statement in (
        "create table admins (id int)",
        "alter table admins add column more int",
        "truncate admins",
        "drop table admins",
        "create table if not exists account (id int)",
        "create index concurrently by_email on account (email)",
        "reindex table account",
        "refresh materialized view counted",
        "vacuum full account",
        "comment on table account is 'people'",
        "grant select on account to public",
        "insert into account values (9, 'nine')",
        f"create role somebody_{bait.tag}",
        f"drop role somebody_{bait.tag}",
    ):
        bait.send(statement)


def test_what_an_owner_makes_is_guarded_from_truncate_at_once(settled: Guarded) -> None:
    made = {
        "a": "create table a (id int)",
        "b": "create table b as select 1 as id",
        "c": "select 1 as id into c",
        "d.e": "create schema d create table e (id int)",
        "f": "create unlogged table f (id int generated always as identity)",
        "g": "create table g (id int) partition by list (id)",
        "g1": "create table g1 partition of g default",
        "h": "do $$ begin create table h (id serial); end $$",
        "i": "create table i (like a including all)",
    }
    for table, statement in made.items():
        settled.send(statement, by="api")
        with pytest.raises(Refused, match="bootorder refused TRUNCATE"):
            settled.send(f"truncate {table}")
        settled.send(f"truncate {table}", by="api")
    assert settled.guard().was_skipped


def test_a_table_given_by_a_superuser_is_guarded_next_time(settled: Guarded) -> None:
    settled.send("create table given (id int)")
    settled.send("alter table given owner to {api}", api=settled.role("api"))

    assert "tables and views guarded: 1" in settled.guard().text
    assert settled.guard().was_skipped


# -- what is refused --------------------------------------------------------------------------------------------------


def test_only_a_superuser_guards(stack: Guarded) -> None:
    plain = f"plain_{stack.tag}"
    stack.made.add(plain)
    stack.send("create role {plain} login createrole createdb", plain=plain)
    stack.send(f"alter role {plain} password 'secret'")
    stack.target = replace(stack.target, user=plain, password="secret")
    stack.root.joinpath(".bootorder").mkdir()

    with pytest.raises(SettingsError, match=f"{plain} is not a superuser") as caught:
        stack.guard()
    with pytest.raises(SettingsError, match=f"{plain} is not a superuser"):
        assign(stack.boot())
    with pytest.raises(SettingsError, match=f"{plain} is not a superuser"):
        move(stack.boot(), "schemas")

    assert (caught.value.exit_code, "database.user" in caught.value.hint) == (2, True)
    stack.target = replace(stack.target, user="boot", password="p@ss/wo rd%41'\"")


@pytest.mark.parametrize(
    ("attributes", "seen"),
    [
        ("superuser login", "may do what an owner may, and no more"),
        ("nologin", "may do what an owner may, and no more"),
        ("login password 'theirs'", "has the password of .env"),
        ("login in role pg_monitor", "is no member of pg_monitor"),
    ],
)
def test_a_role_of_somebody_else_is_not_changed(stack: Guarded, attributes: str, seen: str) -> None:
    role = stack.role("sso")
    stack.send(f"create role {role} {attributes}")
    before = stack.query("select * from pg_authid where rolname = %s", parameters=[role])

    with pytest.raises(GuardError, match=f"a role {role} that was not made here") as caught:
        stack.guard()

    assert seen in caught.value.seen
    assert "SSO_DB_PASSWORD" in caught.value.hint
    assert stack.query("select * from pg_authid where rolname = %s", parameters=[role]) == before
    assert stack.query("select from pg_roles where rolname = %s", parameters=[stack.role("api")]) == []


def test_a_role_of_somebody_else_that_is_as_it_should_be_is_used(stack: Guarded) -> None:
    place = stack.place("sso")
    stack.send(f"create role {place.role} login password '{stack.passwords[place.password]}'")

    stack.guard()

    assert stack.guard().was_skipped
    assert stack.query("select 1", by="sso") == [(1,)]


def _answers(target: Target) -> Look:
    """Whether anything does that speaks PostgreSQL's language."""
    try:
        by_hand(target).close()
    except psycopg.OperationalError as error:
        return NotYet(str(error))
    return Ready("it answers")


@pytest.fixture
def pooled(stack: Guarded, new_folder: Callable[[], Path]) -> Iterator[Guarded]:
    """The tasks reach their database through a PgBouncer that gives every transaction another session."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if program is None:
        unavailable("no pgbouncer")
        raise AssertionError  # what is unavailable does not come back
    folder, target, port = new_folder(), stack.target, free_ports(["pooler"])["pooler"]
    quoted = target.password.replace('"', '""')
    (folder / "users").write_text(f'"{target.user}" "{quoted}"\n', encoding="utf-8")
    (folder / "pooler.ini").write_text(
        f"[databases]\n* = host={target.host} port={target.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {folder}/users\n"
        "pool_mode = transaction\nignore_startup_parameters = options,extra_float_digits\n",
        encoding="utf-8",
    )
    for file in folder.iterdir():
        file.chmod(0o644)
    as_nobody = ["-u", "nobody"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with subprocess.Popen([program, "-q", *as_nobody, str(folder / "pooler.ini")], stderr=subprocess.DEVNULL) as pooler:
        stack.target = replace(target, port=port)
        try:
            wait_for(partial(_answers, stack.target), what="pgbouncer", limit=20, clock=SystemClock(), hint="its log")
            yield stack
        finally:
            pooler.terminate()
            stack.target = target


def test_a_pooler_is_refused(pooled: Guarded) -> None:
    for task in (guard, assign, lambda boot: move(boot, "schemas")):
        with pytest.raises(SettingsError, match="through a connection pooler") as caught:
            task(pooled.boot())
        assert caught.value.exit_code == 2
    roles = [pooled.role("sso"), pooled.role("api")]
    assert pooled.query("select from pg_roles where rolname = any (%s)", parameters=[roles]) == []


# -- many tables ------------------------------------------------------------------------------------------------------


def test_ten_thousand_tables_are_guarded_and_seen(stack: Guarded) -> None:
    stack.owners["api"]["reads"] = ["sso"]
    many = "do $$ begin for n in 1..500 loop execute format('create table many_%s (id int)', n + {}); end loop; end $$"
    role = stack.role("sso")
    stack.send("create role {role}", role=role)
    stack.send("grant create on schema public to {role}", role=role)
    with stack.connected() as connection:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        for start in range(0, 10_000, 500):
            connection.execute(many.format(start).encode())
    stack.send(f"alter role {role} login password '{stack.passwords['SSO_DB_PASSWORD']}'")

    stack.guard()

    assert "tables and views guarded: 10000" in stack.talk.getvalue()
    assert stack.guard().was_skipped
    assert stack.query("select count(*) from many_9999", by="api") == [(0,)]
    before = Seen.look(stack.target, stack.boot().logins).of(role)
    assert len(before.own.tables()) == 10_000
    assert foreign_losses(before, Seen.look(stack.target, stack.boot().logins).of(role)) == []
    # by database, as one transaction could not
    with by_hand(replace(stack.target, name="postgres")) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(stack.target.name)))


def test_no_function_of_an_owner_is_taken_for_one_of_postgresqls(stack: Guarded) -> None:
    """Of an exact type in `public` it would be preferred, and be run by the tasks, as a superuser."""
    stack.guard()
    stack.send("alter event trigger bootorder_change disable")  # which refuses them
    mighty = f"alter role {sql.Identifier(stack.role('sso')).as_string()} superuser"
    check = "(select rolsuper from pg_roles where rolname = current_user)"
    body = f"$$begin if {check} then {mighty}; end if; return 'x'; end$$"
    for arguments in ("text, text, oid, text", "text, text", "text, name", "text, text, text"):
        for name in ("concat_ws", "format"):
            stack.send(f"create function public.{name}({arguments}) returns text language plpgsql as {body}", by="sso")
    stack.send("create table mine (id int)", by="sso")

    for task in (guard, migrate):
        with pytest.raises((GuardError, NotReadyError)):
            task(stack.boot())

    assert stack.query("select rolsuper from pg_roles where rolname = %s", parameters=[stack.role("sso")]) == [(False,)]


def test_tables_in_a_schema_that_is_set_no_more_are_found(stack: Guarded) -> None:
    stack.layout = "schemas"
    stack.owners["api"]["schema"] = "custom"
    stack.guard()
    migrate(stack.boot())

    stack.owners["api"]["schema"] = "api"
    with pytest.raises(GuardError, match="has the layout `schemas`, with other schemas"):
        stack.guard()
    stack.layout = "shared"
    with pytest.raises(GuardError, match="was asked for `shared`"):
        stack.guard()

    move(stack.boot(), "shared")
    stack.guard()
    assert stack.query("select count(*) from public.task", by="api") == [(0,)]
