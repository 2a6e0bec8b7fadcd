"""What an owner with its own role and any SQL tries against the others, and which tasks somebody else runs then."""

# ruff: noqa: E501, S608  # one attempt a line
from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from scripts.bootorder import catalog
from scripts.bootorder.access import tables
from scripts.bootorder.database import Target
from scripts.bootorder.errors import BootError
from scripts.bootorder.guard import layout as layouts
from scripts.bootorder.guard.stage import assign
from scripts.bootorder.guard.triggers import is_installed
from scripts.bootorder.migrate import migrate, verify_created_at_start
from scripts.bootorder.seed import seed
from scripts.bootorder.settings import LayoutName
from scripts.bootorder.status import status
from scripts.bootorder.trial import changes
from tests.contract.guarded import LAYOUTS, Guarded, guarded
from tests.contract.hand import by_hand
from tests.contract.owners import says

LOST = "**lost**"
BY_ROLE = "refused: role"
BY_TRIGGER = "refused: trigger"
BY_CONNECTION = "refused: connect"
FAILS = "fails"
FOUND = "found: the task refuses"
HARMLESS = "harmless"
NOT_THERE = "-"
MOST_SECONDS = 60.0  # that the tasks of one attempt may take together

# What the application of the other owner asks, with names of PostgreSQL's, an extension's and its own, and no schema.
_STATEMENTS = """
    select count(*) from worker where name::varchar = 'x'::varchar;
    select left(name::varchar, 2), upper(name::varchar), coalesce(make_interval(), null), concat(name::varchar, 'x')
    from worker limit 1;
    select uuid('00000000-0000-0000-0000-000000000000'), next_number(), max(name::varchar) from worker;
    call tidy('x'::varchar);
    insert into worker (name) values ('x');
    update task set title = title;
    delete from worker where name = 'x';
"""
_ITS_FUNCTIONS = """
    create function next_number(start int default 1) returns int language sql as 'select $1';
    create procedure tidy(what text) language sql as 'select 1';
"""


def _statements(stack: Guarded) -> None:
    stack.send(_STATEMENTS, by="api")


def _to(layout: LayoutName) -> Callable[[Guarded], object]:
    def move(stack: Guarded) -> None:
        layouts.move(stack.boot(), layout)
        stack.layout = layout
        _statements(stack)

    return move


TASKS: Mapping[str, Callable[[Guarded], object]] = {
    "guard": lambda stack: stack.guard(),
    "guard --assign": lambda stack: assign(stack.boot()),
    "guard --move-to schemas": _to("schemas"),
    "guard --move-to shared": _to("shared"),
    "migrate": lambda stack: migrate(stack.boot()),
    "migrate --plan": lambda stack: changes(stack.boot()),
    "seed": lambda stack: seed(stack.boot()),
    "wait-apps": lambda stack: verify_created_at_start(stack.boot()),
    "tables": lambda stack: tables(stack.boot()),
    "status": lambda stack: status(stack.boot()),
    "the app of api": _statements,
}
_EVERY = [name for name in TASKS if "--move-to" not in name]
_MOVED = {"guard --move-to schemas": "shared", "guard --move-to shared": "schemas"}


@dataclass(frozen=True)
class Attempt:
    """`sql`: by the attacker, with names in braces; `tasks`: run by somebody else then.

    `where`: the database, where it is not the attacker's own. `first`: what an administrator did before.
    """

    name: str
    sql: str
    tasks: Sequence[str] = ()
    where: str = ""
    first: str = ""
    layouts: Collection[LayoutName] = LAYOUTS


def _app(name: str, statements: str, first: str = "") -> Attempt:
    return Attempt(name, statements, ["the app of api"], first=first)


def _listed(name: str, statements: str, *more: str) -> Attempt:
    return Attempt(name, statements, ["guard", "tables", *more])


_SHARING: Collection[LayoutName] = ("shared", "schemas")
# Runs as whoever is made to call it: a superuser makes the attacker one, another owner gives its password away.
BITE = """
create function {s}.bite() returns int language plpgsql volatile as $$
begin
    if current_user <> {me_text} then
        if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
            execute format('alter role %I superuser', {me_text});
        else
            execute format('alter role %I password %L', current_user, 'bitten');
        end if;
    end if;
    return 1;
end $$;
create function {s}.trap(int) returns int language plpgsql immutable as $$ begin perform {s}.bite(); return $1; end $$;
create function {s}.is_trap(int) returns boolean language plpgsql immutable
as $$ begin perform {s}.bite(); return true; end $$;
create function {s}.fires() returns trigger language plpgsql as $$ begin perform {s}.bite(); return null; end $$;
"""

# -- what PostgreSQL or the guard refuses at once ---------------------------------------------------------------------

RIGHTS = [
    Attempt("`CREATE ROLE`", "create role more"),
    Attempt("`ALTER ROLE` oneself `SUPERUSER`", "alter role {me} superuser"),
    Attempt("`ALTER ROLE` oneself `CREATEROLE`", "alter role {me} createrole"),
    Attempt("`ALTER ROLE … PASSWORD` of the other", "alter role {them} password 'x'"),
    Attempt("`ALTER ROLE … SET` of the other", "alter role {them} set search_path = evil"),
    Attempt("`ALTER ROLE ALL SET`", "alter role all set search_path = evil"),
    Attempt("`GRANT` the other's role to oneself", "grant {them} to {me}"),
    Attempt("`GRANT` one's own role to the other", "grant {me} to {them}"),
    Attempt("`GRANT pg_write_all_data`", "grant pg_write_all_data to {me}"),
    Attempt("`SET ROLE` of the other", "set role {them}"),
    Attempt("`SET SESSION AUTHORIZATION`", "set session authorization {them}"),
    Attempt("`ALTER SYSTEM`", "alter system set event_triggers = off"),
    Attempt("`SET session_replication_role`", "set session_replication_role = replica"),
    Attempt("`ALTER ROLE` oneself `SET session_replication_role`", "alter role {me} set session_replication_role = replica"),
    Attempt("`ALTER ROLE` oneself `SET session_preload_libraries`", "alter role {me} set session_preload_libraries = x"),
    Attempt("`ALTER DATABASE … SET`", "alter database {db} set search_path = evil"),
    Attempt("`ALTER DATABASE … OWNER TO` oneself", "alter database {db} owner to {me}"),
    Attempt("`CREATE DATABASE`", "create database evil"),
    Attempt("`GRANT SET ON PARAMETER`", "grant set on parameter session_replication_role to {me}"),
    Attempt("`COPY … TO PROGRAM`", "copy (select 1) to program 'true'"),
    Attempt("`COPY … FROM` a file", "create temp table t (x text); copy t from '/etc/passwd'"),
    Attempt("`pg_read_file`", "select pg_read_file('PG_VERSION')"),
    Attempt("`lo_import`", "select lo_import('/etc/passwd')"),
    Attempt("`lo_export`", "select lo_export(lo_create(0), '/tmp/evil')"),
    Attempt("`CREATE TABLESPACE`", "create tablespace evil location '/tmp'"),
    Attempt("`CREATE FUNCTION … LANGUAGE internal`", "create function f() returns int language internal as 'x'"),
    Attempt("`CREATE EVENT TRIGGER`", BITE + "create event trigger e on ddl_command_end execute function {s}.fires()"),
    Attempt("`ALTER EVENT TRIGGER … DISABLE` of the guard", "alter event trigger bootorder_drop disable"),
    Attempt("`DROP EVENT TRIGGER` of the guard", "drop event trigger bootorder_drop"),
    Attempt("`CREATE OR REPLACE FUNCTION` of the guard", "create or replace function bootorder.allow() returns text language sql as 'select 1::text'"),
    Attempt("`CREATE TABLE` in the schema of the guard", "create table bootorder.work (role text, by text)"),
    Attempt("`UPDATE` of what the guard remembers", "delete from bootorder.owner"),
    Attempt("`INSERT` into the reserved names", "insert into bootorder.reserved select 1, 'x'"),
    Attempt("`ALTER TABLE` of the guard", "alter table bootorder.owner add x int"),
    Attempt("a column of the type of the guard's table", "create table {s}.t (x bootorder.owner)"),
    Attempt("`CREATE FUNCTION` in `pg_catalog`", "create function pg_catalog.lower(varchar) returns text language sql as 'select 1'"),
    Attempt("`UPDATE` of `pg_catalog`", "update pg_catalog.pg_class set relowner = relowner"),
    Attempt("`CREATE OPERATOR CLASS`", "create operator class {s}.c for type int using btree as operator 1 <"),
    Attempt("`CREATE CAST` between PostgreSQL's types", BITE + "create cast (text as int) with function {s}.trap(int)"),
    Attempt("`CREATE ACCESS METHOD`", "create access method m type index handler bthandler"),
    Attempt("`CREATE TEXT SEARCH TEMPLATE`", "create text search template {s}.t (lexize = dsimple_lexize)"),
    Attempt("`CREATE FOREIGN DATA WRAPPER`", "create foreign data wrapper w"),
    Attempt("`CREATE EXTENSION` that is not trusted", "create extension file_fdw"),
    Attempt("`CREATE SUBSCRIPTION`", "create subscription x connection 'host=127.0.0.1' publication p"),
    Attempt("`CREATE PUBLICATION … FOR ALL TABLES`", "create publication p for all tables"),
    Attempt("`pg_create_physical_replication_slot`", "select pg_create_physical_replication_slot('evil')"),
    Attempt("`pg_terminate_backend` of the others", "select pg_terminate_backend(pid) from pg_stat_activity where usename is distinct from current_user"),
    Attempt("`pg_reload_conf`", "select pg_reload_conf()"),
    Attempt("`REASSIGN OWNED BY` oneself `TO` the other", "reassign owned by {me} to {them}"),
    Attempt("`ALTER DEFAULT PRIVILEGES FOR ROLE` the other", "alter default privileges for role {them} grant all on tables to {me}"),
    Attempt("`CREATE SCHEMA AUTHORIZATION` the other", "create schema evil authorization {them}"),
    Attempt("`ALTER TABLE … OWNER TO` the other", "create table {s}.t (); alter table {s}.t owner to {them}"),
    Attempt("`CREATE TABLE` in the database `postgres`", "create table public.evil (id int)", where="postgres"),
    Attempt("`CREATE SCHEMA` in the database `postgres`", "create schema evil", where="postgres"),
    Attempt("`CREATE TABLE` in `template1`", "create table public.evil (id int)", where="template1"),
    Attempt("connecting to `template0`", "select 1", where="template0"),
    Attempt("connecting to the other's database", "select 1", where="other", layouts=["databases"]),
    Attempt("`PREPARE TRANSACTION`", "begin; create table {s}.t (); prepare transaction 'evil'"),
    # of the other's things
    Attempt("`GRANT` on the other's table", "grant all on {task} to {me}", layouts=_SHARING),
    Attempt("`COMMENT ON` the other's table", "comment on table {task} is 'x'", layouts=_SHARING),
    Attempt("`CREATE TRIGGER` on the other's table", BITE + "create trigger t after insert on {task} for each row execute function {s}.fires()", layouts=_SHARING),
    Attempt("`CREATE POLICY` on the other's table", "create policy p on {task} using (true)", layouts=_SHARING),
    Attempt("`CREATE RULE` on the other's table", "create rule r as on insert to {task} do instead nothing", layouts=_SHARING),
    Attempt("`CREATE INDEX` on the other's table", BITE + "create index i on {task} ({s}.trap(id))", layouts=_SHARING),
    Attempt("`CREATE STATISTICS` on the other's table", "create statistics {s}.x on id, title from {task}", layouts=_SHARING),
    Attempt("`ALTER SEQUENCE … OWNED BY` the other's column", "create sequence {s}.q owned by {task}.id", layouts=_SHARING),
    Attempt("`INHERITS` the other's table", "create table {s}.t () inherits ({task})", layouts=_SHARING),
    Attempt("a foreign key to the other's table", "create table {s}.t (id int references {task})", layouts=_SHARING),
    Attempt("`LOCK TABLE` of the other", "begin; lock table {task} in access share mode", layouts=_SHARING),
    Attempt("`setval` of the other's sequence", "select setval('{ticket}', 1)", layouts=_SHARING),
    Attempt("a view on the other's table, then `UPDATE` through it", "create view {s}.v as select * from {task}; update {s}.v set id = id", layouts=_SHARING),
    Attempt("a `SECURITY DEFINER` function that writes there", "create function {s}.f() returns void security definer language plpgsql as $$ begin execute 'delete from {task}'; end $$; select {s}.f()", layouts=_SHARING),
    Attempt("a `DO` block that drops in `EXECUTE`", "do $$ begin execute 'drop table {task} cascade'; end $$", layouts=_SHARING),
    Attempt("`DROP` after a savepoint was rolled back", "begin; savepoint a; create table {s}.t (); rollback to a; drop table {task} cascade; commit", layouts=_SHARING),
    Attempt("`bootorder.allow()` and its setting, then `DROP`", "begin; select bootorder.allow(); select set_config('bootorder.allowed', pg_current_xact_id()::text, true); drop table {task}; commit", layouts=_SHARING),
]  # fmt: skip

# -- what the statements of the other owner's app would reach ---------------------------------------------------------

_EQ = "create function {p}.eq(varchar, varchar) returns boolean language sql as $$ select {s}.bite() = 1 $$;"
_OPERATOR = "create operator {p}.= (leftarg = varchar, rightarg = varchar, function = {p}.eq)"
_TEXT = "returns text language sql as $$ select {s}.bite()::text $$"

DECOYS = [
    _app("an operator that fits better", BITE + _EQ + _OPERATOR),
    _app("an operator, made in a schema of one's own and moved", BITE + "create schema evil; " + _EQ.replace("{p}", "evil") + _OPERATOR.replace("{p}", "evil") + "; alter operator evil.=(varchar, varchar) set schema {p}"),
    _app("a function that fits better", BITE + "create function {p}.upper(varchar) " + _TEXT),
    _app("one of other arguments, renamed to it", BITE + "create function {p}.mine(varchar) " + _TEXT + "; alter function {p}.mine(varchar) rename to upper"),
    _app("one in a schema of one's own, moved", BITE + "create schema evil; create function evil.upper(varchar) " + _TEXT + "; alter function evil.upper(varchar) set schema {p}"),
    _app("a variadic one of two arguments", BITE + 'create function {p}."left"(variadic varchar[]) ' + _TEXT),
    _app("a polymorphic one", BITE + "create function {p}.upper(anyelement) " + _TEXT),
    _app("one with defaults", BITE + "create function {p}.upper(varchar, int default 1) " + _TEXT),
    _app("one without arguments, before one with defaults only", BITE + "create function {p}.make_interval() returns interval language sql as $$ select make_interval({s}.bite()) $$"),
    _app("the same of the other owner's own function", BITE + "create function {p}.next_number() returns int language sql as $$ select {s}.bite() $$"),
    _app("a function that is taken for a cast", BITE + "create function {p}.uuid(text) returns uuid language sql as $$ select case {s}.bite() when 1 then null::uuid end $$"),
    _app("a procedure", BITE + "create procedure {p}.tidy(varchar) language sql as $$ select {s}.bite() $$"),
    _app("a procedure with an argument that is `OUT`", BITE + "create procedure {p}.tidy(in varchar, out x int) language sql as $$ select {s}.bite() $$"),
    _app("an aggregate", BITE + "create function {s}.step(text, varchar) " + _TEXT + "; create aggregate {p}.max(varchar) (sfunc = {s}.step, stype = text)"),
    _app("a function within `CREATE SCHEMA`, then the schema renamed", BITE + "create schema evil; create function evil.upper(varchar) " + _TEXT + "; alter schema evil rename to {later}"),
    _app("a function by `EXECUTE` in a `DO` block", BITE + "do $x$ begin execute 'create function {p}.upper(varchar) " + _TEXT.replace("$$", "$y$") + "'; end $x$"),
    _app("a function in `pg_temp`", BITE + "create function pg_temp.upper(varchar) " + _TEXT),
    _app("a function with the name in capitals", BITE + 'create function {p}."UPPER"(varchar) ' + _TEXT),
    _app("a table named as one of PostgreSQL's views", "create table {p}.pg_stat_activity (id int)"),
    _app("a type named as one of PostgreSQL's", "create type {p}.int4 as enum ('x')"),
    _app("a text search configuration and a collation of PostgreSQL's names", 'create text search configuration {p}.english (copy = pg_catalog.simple); create collation {p}."C" (locale = \'POSIX\')'),
    Attempt("a schema that the other will have, with an operator in it", BITE + "create schema {later}; " + _EQ.replace("{p}", "{later}") + _OPERATOR.replace("{p}", "{later}"), ["guard --move-to schemas"], layouts=["shared"]),
    Attempt("a schema that the other will have, with one of its tables' names in it", "create schema {later}; create table {later}.task (id int)", ["guard --move-to schemas"], layouts=["shared"]),
    Attempt("an operator that was made before the guard was in place", BITE + _EQ + _OPERATOR, ["guard", "the app of api"], first="off"),
    Attempt("a table named as another's function with its brackets", 'create table {p}."touch()" (id int)', ["migrate"]),
    Attempt("a sequence named as another's domain", "create sequence {p}.later_title", ["migrate"]),
]  # fmt: skip

# -- what runs where something is planned, read or changed: laid together, before every task --------------------------

TRAPS = [
    ("an index on an expression", "create table {s}.a (id int, x int); insert into {s}.a values (1, 1), (2, 2); create index on {s}.a ((x + {s}.trap(1)))"),
    ("a predicate of an index", "create table {s}.b (id int); insert into {s}.b values (1); create index on {s}.b (id) where {s}.trap(1) = 1"),
    ("statistics on an expression", "create statistics {s}.c on ({s}.trap(1) + x), ({s}.trap(2) + id) from {s}.a; analyze {s}.a"),
    ("a partition key", "create table {s}.d (id int) partition by range (({s}.trap(1) + id)); create table {s}.d1 partition of {s}.d for values from (0) to (9); insert into {s}.d values (1)"),
    ("an exclusion constraint", "create table {s}.e (id int, exclude using btree (({s}.trap(1) + id) with =))"),
    ("a generated column", "create table {s}.f (id int, x int generated always as (id + {s}.trap(1)) stored); insert into {s}.f values (1)"),
    ("a default and a check", "create table {s}.g (id int default {s}.trap(1) check ({s}.is_trap(id))); insert into {s}.g default values"),
    ("a domain with a check", "create domain {s}.h as int default {s}.trap(1) check ({s}.is_trap(value)); create table {s}.h1 (id {s}.h); insert into {s}.h1 values (1)"),
    ("an implicit cast", "create type {s}.i as (a int); create function {s}.i_text({s}.i) returns text language plpgsql immutable as $$ begin perform {s}.bite(); return ''; end $$; create cast ({s}.i as text) with function {s}.i_text({s}.i) as implicit; create table {s}.i1 (id {s}.i); insert into {s}.i1 values (row(1))"),
    ("a range with a function of its own", "create function {s}.minus(int, int) returns float8 language plpgsql immutable as $$ begin perform {s}.bite(); return 1; end $$; create type {s}.j as range (subtype = int, subtype_diff = {s}.minus)"),
    ("a policy, forced", "create table {s}.k (id int); alter table {s}.k enable row level security, force row level security; create policy p on {s}.k using ({s}.is_trap(id)); insert into {s}.k values (1)"),
    ("rules", "create rule r as on delete to {s}.a do also select {s}.bite(); create rule r2 as on insert to {s}.b do also select {s}.bite()"),
    ("triggers, also deferred ones", "create trigger t before insert or update or delete or truncate on {s}.b execute function {s}.fires(); create constraint trigger d after insert on {s}.b deferrable initially deferred for each row execute function {s}.fires()"),
    ("triggers by a cascade between one's own tables", "create table {s}.l (id int primary key); create table {s}.l1 (id int references {s}.l on delete cascade); create trigger t after delete on {s}.l1 execute function {s}.fires()"),
    ("views, a materialized one too", "create view {s}.m as select {s}.trap(id) from {s}.a; create materialized view {s}.m1 as select {s}.trap(id) as id from {s}.a; create index on {s}.m1 ((id + {s}.trap(1)))"),
    ("functions that the server or people call by habit", "create function {s}.pg_get_userbyid(text) returns text language sql as $$ select {s}.bite()::text $$" if False else "create function {s}.is_installed() returns int language sql as $$ select {s}.bite() $$"),
    ("a function with a `search_path` and a role of its own settings", "create function {s}.n() returns int language sql set search_path = {s} as $$ select {s}.bite() $$"),
    ("a conversion", "create conversion {s}.o for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8"),
]  # fmt: skip

# -- what tasks read: settings, names, sizes --------------------------------------------------------------------------

_SLOW = "SCRAM-SHA-256$300000:c2FsdHNhbHRzYWx0c2FsdA==$S9DJYIUbTxB1OrVdFWcIVZ3UzQhqGj9yzf5xJTbnTAY=:S9DJYIUbTxB1OrVdFWcIVZ3UzQhqGj9yzf5xJTbnTAY="
_ODD = ["a\n\x1b[2Jb", 'a\'b""c', "%s %(x)s {0}", "語" * 21, "bootorder", "x; drop table task; --"]


READ = [
    Attempt("a password with 300,000 iterations; 2,000,000,000 would take half an hour", f"alter role {{me}} password '{_SLOW}'", ["tables", "status", "guard", "tables"]),
    _listed("another password", "alter role {me} password 'mine'"),
    _listed("`ALTER ROLE` oneself `SET client_encoding`, and names it has not", 'create table {s}."日本" (); alter role {me} set client_encoding = \'LATIN1\'', "migrate"),
    _listed("`ALTER ROLE` oneself `SET local_preload_libraries`", "alter role {me} set local_preload_libraries = nothing"),
    _listed("`ALTER ROLE` oneself `SET statement_timeout`, `default_transaction_read_only`, `row_security`, `search_path`", "alter role {me} set statement_timeout = 1; alter role {me} set default_transaction_read_only = on; alter role {me} set row_security = off; alter role {me} set search_path = evil"),
    _listed("`ALTER ROLE` oneself `SET role`", "alter role {me} set role = none"),
    _listed("`GRANT` of everything to PUBLIC, also what comes", "grant all on all tables in schema {s} to public; alter default privileges grant all on tables to public; grant all on schema {own} to public" ),
    _listed("`GRANT … WITH GRANT OPTION` to the other", "create table {s}.t (a int, b int); grant all on {s}.t to {them} with grant option; grant select (a) on {s}.t to public; alter table {s}.t drop column a"),
    _listed("an index whose function sets the encoding of the session that counts", "create function {s}.f(int) returns int language plpgsql immutable as $$ begin perform set_config('client_encoding', 'LATIN1', false); return 1; end $$; create table {s}.\"日本\" (id int); insert into {s}.\"日本\" values (1); create index on {s}.\"日本\" ((id + {s}.f(1)))"),
    _listed("an index whose function fails", "create function {s}.f(int) returns int language plpgsql immutable as $$ begin if current_setting('application_name') ~ 'bootorder' then raise exception using errcode = '57P01'; end if; return 1; end $$; create table {s}.t (id int); insert into {s}.t values (1); create index on {s}.t ((id + {s}.f(1)))"),
    _listed("a sequence at a column with `NaN`", "create table {s}.t (n numeric primary key); create sequence {s}.q owned by {s}.t.n; insert into {s}.t values ('NaN')"),
    _listed("a sequence whose name is SQL", "create table {s}.t (n int primary key); create sequence {s}.\"x', 1); alter role sso superuser; --\" owned by {s}.t.n; insert into {s}.t values (9)"),
    _listed("tables with a newline, an escape, quotes, `%s`, braces, SQL and 63 bytes in their names, and `bootorder`", ";".join(f'create table {{s}}."{name}" (id int); insert into {{s}}."{name}" values (1)' for name in _ODD), "migrate"),
    _listed("a table of 1,600 columns", "do $$ begin execute (select 'create table {s}.t (' || string_agg('c' || n || ' int', ',') || ')' from generate_series(1, 1600) n); end $$", "migrate"),
    _listed("500 domains one on another", "do $$ begin create domain {s}.d0 as int; for i in 1..500 loop execute format('create domain {s}.d%s as {s}.d%s', i, i - 1); end loop; end $$; create table {s}.t (x {s}.d500)"),
    _listed("200 views one on another", "do $$ begin create view {s}.v0 as select 1 as x; for i in 1..200 loop execute format('create view {s}.v%s as select * from {s}.v%s', i, i - 1); end loop; end $$"),
    _listed("an enum of 5,000 values, and 2,000 sequences", "do $$ begin execute (select 'create type {s}.many as enum (' || string_agg(quote_literal(n), ',') || ')' from generate_series(1, 5000) n); for i in 1..2000 loop execute format('create sequence {s}.q%s', i); end loop; end $$"),
    _listed("an aggregate of no arguments, and functions with `OUT` and `VARIADIC`", "create aggregate {s}.n(*) (sfunc = int8inc, stype = int8, initcond = '0'); create procedure {s}.p(x int, out y int) language sql as 'select 1'; create function {s}.v(variadic x int[]) returns int language sql as 'select 1'; grant execute on all routines in schema {s} to {them}"),
    _listed("large objects, and notifications without end", "select lo_create(0) from generate_series(1, 500); select pg_notify('x', n::text) from generate_series(1, 5000) n"),
    _listed("a trusted extension", "create extension if not exists hstore schema {s}"),
    _listed("the trigger of the guard disabled and renamed", "create table {s}.t (id int); alter table {s}.t disable trigger all; alter trigger bootorder on {s}.t rename to mine; grant usage on type {s}.t to public"),
    _listed("a trigger of the guard's function and a view on its tables", "create table {s}.t (id int); create trigger x before truncate on {s}.t execute function bootorder.refuse_truncate(); create view {s}.v as select * from bootorder.uncovered"),
    _listed("a publication of one's own table", "create table {s}.t (id int); create publication p for table {s}.t"),
]  # fmt: skip

# -- what is held while a task runs -----------------------------------------------------------------------------------

HELD = [
    Attempt("a lock on one's own table", "begin; create view {s}.v as select * from {mine}; lock table {mine}", ["tables"]),
    Attempt("an open transaction over the guard's tables", "begin; select * from bootorder.owner, bootorder.reserved", ["guard", "migrate"]),
    Attempt("the advisory lock of the migration", "select pg_advisory_lock(hashtextextended('bootorder {stack}', 0))", ["migrate"], where="postgres"),
    Attempt("a snapshot of before the names were reserved", "begin isolation level repeatable read; select txid_current()", ["migrate"]),
    Attempt("the name of the tasks as `application_name`", "set application_name = 'bootorder on host, process 1'; begin; lock table {mine}", ["tables"]),
    Attempt("connections, 20 of them", "select 1", ["guard", "tables"]),
]  # fmt: skip

ALL: Sequence[Attempt] = [
    *RIGHTS, *DECOYS, *(Attempt(name, BITE + text, _EVERY) for name, text in TRAPS), *READ, *HELD,
]  # fmt: skip


# -- running them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """`word` is what the table says; `text`: what was raised, and what is not as it was."""

    word: str
    text: str
    seconds: float = 0.0


def run_all(server: Target, folder: Path, layout: LayoutName) -> Mapping[str, Outcome]:
    """What came of each attempt in this layout, by name."""
    found: dict[str, Outcome] = {}
    alone = [attempt for attempt in ALL if attempt.tasks != _EVERY]
    with Field(server, folder, layout) as field:
        for attempt in alone:
            found[attempt.name] = (
                field.run(attempt, held=attempt in HELD) if layout in attempt.layouts else Outcome(NOT_THERE, "")
            )
        found |= field.run_traps()
    return found


class Field:
    """Stacks of one layout, each used until an attempt came through."""

    def __init__(self, server: Target, folder: Path, layout: LayoutName) -> None:
        self._server, self._folder, self._layout = server, folder, layout
        self._number = 0
        self._made: Guarded | None = None
        self._database: object = None
        self._before: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def _stack(self) -> Guarded:
        if self._made is None:
            self._number += 1
            name = f"hostile_{self._layout}_{self._number}"
            with by_hand(self._server) as connection:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            folder = self._folder / name
            folder.mkdir(parents=True)
            self._made = made = guarded(folder, replace(self._server, name=name), self._layout)
            made.lock_wait = 1
            made.owners["api"]["seed"] = ["seed"]
            made.tools["seed"] = lambda connection: says("nothing to do")
            made.guard()
            made.migrate()
            made.send(_ITS_FUNCTIONS, by="api")
            self._before = fingerprint(made, "sso")
        return self._made

    def _drop(self) -> None:
        if self._made:
            self._made.drop()
            self._made = None

    def run(self, attempt: Attempt, *, held: bool = False) -> Outcome:
        stack = self._stack()
        if attempt.first:
            self._administrator(stack, "alter event trigger bootorder_change disable")
        sessions = 20 if held and "connections" in attempt.name else 1
        target = self._target(stack, attempt.where)
        connections: list[psycopg.Connection[tuple[object, ...]]] = []
        try:
            for _ in range(sessions):
                connections.append(by_hand(target))
                connections[-1].execute(templated(attempt.sql, stack))
        except psycopg.Error as error:
            refused: psycopg.Error | None = error
        else:
            refused = None
        if not held:
            for connection in connections:
                connection.close()
        begun = time.monotonic()
        said = "" if refused else self._tasks(stack, attempt.tasks)
        seconds = time.monotonic() - begun
        for connection in connections:
            connection.close()
        if attempt.first:
            self._administrator(stack, "alter event trigger bootorder_change enable always")
        lost = list(differences(self._before, fingerprint(stack, "sso")))
        word = LOST if lost else _refusal(refused) if refused else FOUND if said else HARMLESS
        if not refused or lost or attempt.first:
            self._drop()
        return Outcome(word, "\n".join([*lost, said, str(refused)]), seconds)

    def _administrator(self, stack: Guarded, statement: str) -> None:
        """Somebody who may switch the guard off, where the attacker is at home."""
        with by_hand(replace(stack.target, name=stack.place("sso").database)) as connection:
            connection.execute(statement.encode())

    def run_traps(self) -> Mapping[str, Outcome]:
        """All traps lie at once, and every task is run."""
        stack = self._stack()
        with by_hand(self._target(stack, "")) as connection:
            connection.execute(templated(BITE, stack))
            for _, text in TRAPS:
                connection.execute(templated(text, stack))
        begun = time.monotonic()
        said = self._tasks(stack, _EVERY)
        lost = list(differences(self._before, fingerprint(stack, "sso")))
        self._drop()
        outcome = Outcome(
            LOST if lost else FOUND if said else HARMLESS, "\n".join([*lost, said]), time.monotonic() - begun
        )
        return dict.fromkeys((name for name, _ in TRAPS), outcome)

    def _target(self, stack: Guarded, where: str) -> Target:
        place, other = stack.place("sso"), stack.place("api")
        name = {"": place.database, "other": other.database}.get(where, where)
        return replace(stack.target, name=name, user=place.role, password=stack.passwords[place.password])

    def _tasks(self, stack: Guarded, names: Sequence[str]) -> str:
        """What the tasks refused."""
        said = []
        for name in names:
            if name in _MOVED and stack.layout != _MOVED[name]:
                continue
            try:
                TASKS[name](stack)
            except BootError as error:
                said.append(f"{name}: {error.message}; {error.seen}")
                if names is not _EVERY:
                    break  # a start would end here
        return "\n".join(said)


def templated(text: str, stack: Guarded) -> bytes:
    """The names of this stack, as the attacker writes them."""
    me, them = stack.place("sso"), stack.place("api")
    names = {
        "me": sql.Identifier(me.role),
        "me_text": sql.Literal(me.role),
        "them": sql.Identifier(them.role),
        "s": sql.Identifier(me.schema),
        "p": sql.Identifier("public"),
        "own": sql.Identifier(me.schema),
        "db": sql.Identifier(me.database),
        "stack": sql.SQL(stack.target.name),
        "later": sql.Identifier("api"),
        "task": sql.Identifier(them.schema, "task"),
        "ticket": sql.Identifier(them.schema, "ticket"),
        "mine": sql.Identifier(me.schema, "account"),
    }
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value.as_string())
    return text.replace("{{", "{").replace("}}", "}").encode()


def _refusal(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.OperationalError) and not error.sqlstate:
        return BY_CONNECTION
    if "bootorder refused" in str(error):
        return BY_TRIGGER
    return BY_ROLE if error.sqlstate == "42501" else FAILS


# -- everything that is not the attacker's own ------------------------------------------------------------------------

_ROLES = """
    select 'role ' || rolname, concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
                                         rolbypassrls, rolconnlimit, case when rolname <> %(me)s then md5(rolpassword) end)
    from pg_authid
    union all
    select format('member %%s of %%s', member::regrole, roleid::regrole), admin_option::text from pg_auth_members
    union all
    select format('settings of %%s in %%s', setrole, setdatabase), setconfig::text
    from pg_db_role_setting where setrole <> (select oid from pg_roles where rolname = %(me)s)
    union all
    select 'database ' || datname, concat_ws(' ', datdba::regrole, datacl::text) from pg_database
    where datname !~ 'scratch'
    union all
    select 'parameter ' || parname, paracl::text from pg_parameter_acl
"""
_RIGHTS = """
    select format('owner of %%s and rights on it', c.oid::regclass), concat_ws(' ', c.relowner::regrole, c.relacl::text)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relowner <> %(me)s::regrole and n.nspname !~ '^pg_(toast|temp)' and n.nspname <> 'bootorder'
    union all
    select format('rights on schema %%s', nspname), concat_ws(' ', nspowner::regrole, nspacl::text) from pg_namespace
    where nspowner <> %(me)s::regrole and nspname !~ '^pg_(toast|temp)' and nspname <> 'bootorder'
    union all
    select format('routine %%s', oid::regprocedure), md5(concat_ws(' ', coalesce(proacl, acldefault('f', proowner))::text, prosrc, prosqlbody, proconfig::text))
    from pg_proc where proowner <> %(me)s::regrole and pronamespace <> all (array(select oid from pg_namespace where nspname = 'pg_catalog'))
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = pg_proc.oid and d.deptype in ('e', 'i'))
    union all
    select format('operator %%s', o.oid::regoperator), oprcode::regproc::text from pg_operator o
    where oprowner <> %(me)s::regrole and oprowner <> 10
    union all
    select format('default rights of %%s', defaclrole::regrole), defaclacl::text from pg_default_acl
    where defaclrole <> %(me)s::regrole
    union all
    select 'event trigger ' || evtname, concat_ws(' ', evtenabled, evtfoid::regproc) from pg_event_trigger
"""

_OWN = """
    select false, relnamespace::regnamespace::text, relname::text from pg_class where relowner = %(me)s::regrole
    union all
    select false, typnamespace::regnamespace::text, typname::text from pg_type where typowner = %(me)s::regrole
    union all
    select true, pronamespace::regnamespace::text, format('%%s(%%s)', proname, pg_get_function_identity_arguments(oid))
    from pg_proc where proowner = %(me)s::regrole
"""


def fingerprint(stack: Guarded, attacker: str) -> Mapping[str, str]:
    """Every role, right, definition and row that is not this owner's, in each database, and whether the guard is whole."""
    me = stack.role(attacker)
    found: dict[str, str] = {}
    with by_hand(stack.target) as connection:
        found |= dict(connection.execute(_ROLES, {"me": me}).fetchall())  # type: ignore[arg-type]
    names = dict.fromkeys([stack.target.name, *(place.database for place in stack.boot().places.values()), "postgres"])
    for name in names:
        with by_hand(replace(stack.target, name=name)) as connection:
            found |= {f"{name}: {what}": text for what, text in _look(connection, me)}
    return found


def _look(connection: psycopg.Connection[tuple[object, ...]], me: str) -> Iterator[tuple[str, str]]:
    connection.execute("set search_path = pg_catalog")
    for what, text in connection.execute(_RIGHTS, {"me": sql.Identifier(me).as_string()}):
        yield str(what), str(text)
    seen = catalog.read(connection)
    # By themselves: a table of the attacker's may have the name of another's function, brackets and all.
    own = {tuple(row) for row in connection.execute(_OWN, {"me": sql.Identifier(me).as_string()})}
    others = catalog.Catalog(
        {key: its for key, its in seen.objects.items() if (key.kind == "function", key.schema, key.relation) not in own}
    )
    others = catalog.Catalog({key: its for key, its in others.objects.items() if key.kind != "owner"})
    for key, definition in others.objects.items():
        yield str(key), definition
    for table in others.tables():
        query = sql.SQL("select md5(coalesce(string_agg(t::text, ',' order by t::text), '')) from {} t")
        [(rows,)] = connection.execute(query.format(sql.Identifier(*table))).fetchall()
        yield f"rows of {'.'.join(table)}", str(rows)
    if connection.execute("select to_regclass('bootorder.owner')").fetchone() != (None,):
        yield "the guard", "whole" if is_installed(connection) else "broken"


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for what in sorted({*before, *after}):
        if before.get(what) != after.get(what):
            yield f"{what}: {before.get(what, 'was not there')} -> {after.get(what, 'gone')}"
