"""What one owner may do with another's things on a real PostgreSQL 18: what invoke.yaml says, whatever was granted."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from scripts.bootorder.errors import GuardError
from scripts.bootorder.guard.stage import assign

from .guarded import Guarded

Refused = psycopg.errors.InsufficientPrivilege

# What somebody granted, as whom (or as the superuser), and what the API may then, which it must not.
GRANTS = {
    "a table to everybody": ("sso", "grant select on account to public", "table 'account' select"),
    "a table to an owner": ("sso", "grant insert, truncate on account to {api}", "table 'account' insert"),
    "a table by a superuser": ("", "grant all on account to {api}", "table 'account' update"),
    "a table with the right to pass on": (
        "sso",
        "grant select on account to {api} with grant option",
        "table 'account' select",
    ),
    "a view": (
        "sso",
        "create view emails as select 1 as one; grant select on emails to {api}",
        "table 'emails' select",
    ),
    "a column to an owner": (
        "sso",
        "grant update (email) on account to {api}",
        "column 'account', 'email' update",
    ),
    "a column to everybody": ("sso", "grant select (email) on account to public", "column 'account', 'email' select"),
    "a sequence": ("sso", "grant usage on sequence account_id_seq to public", "sequence 'account_id_seq' usage"),
    "a function": (
        "sso",
        (
            "create function one() returns int language sql as 'select 1';"
            " revoke execute on function one() from public; grant execute on function one() to {api}"
        ),
        "function 'one()' execute",
    ),
    "a type to everybody": ("sso", "grant usage on type level to public", "type 'level' usage"),
    "a type to an owner": ("", "grant usage on type level to {api}", "type 'level' usage"),
    "the type of a table's rows": ("sso", "grant usage on type account to public", "type 'account' usage"),
    "a schema": ("sso", "create schema own; grant all on schema own to public", "schema 'own' create"),
    "a schema to an owner": ("sso", "create schema own; grant usage on schema own to {api}", "schema 'own' usage"),
    "new tables": (
        "sso",
        "alter default privileges grant select on tables to public; create table later (id int)",
        "table 'later' select",
    ),
    "new tables of a schema": (
        "sso",
        "alter default privileges in schema public grant insert on tables to {api}; create table later (id int)",
        "table 'later' insert",
    ),
    "new sequences": (
        "sso",
        "alter default privileges grant all on sequences to {api}; create sequence later",
        "sequence 'later' usage",
    ),
    "new functions": (
        "sso",
        (
            "alter default privileges revoke execute on functions from public;"
            " alter default privileges grant execute on functions to {api};"
            " create function one() returns int language sql as 'select 1'"
        ),
        "function 'one()' execute",
    ),
    "new types": (
        "sso",
        "alter default privileges grant usage on types to {api}; create type later as enum ('a')",
        "type 'later' usage",
    ),
    "new schemas": (
        "sso",
        "alter default privileges grant all on schemas to {api}; create schema own",
        "schema 'own' create",
    ),
    "a parameter": (
        "",
        "grant set on parameter session_replication_role to {api}",
        "parameter 'session_replication_role' set",
    ),
    "a parameter to everybody": ("", "grant all on parameter work_mem to public", "parameter 'work_mem' alter system"),
}


def granted(stack: Guarded, by: str, statements: str) -> None:
    for statement in statements.split("; "):
        stack.send(statement, by=by, api=stack.role("api"))


def may(stack: Guarded, what: str) -> bool:
    """Whether the API may: `table 'account' select`."""
    kind, _, rest = what.partition(" ")
    thing, _, right = rest.partition("' ")
    query = f"select has_{kind}_privilege(%s, {thing}', %s)"
    return bool(stack.query(query, parameters=[stack.role("api"), right])[0][0])


@pytest.mark.parametrize(("by", "statements", "right"), GRANTS.values(), ids=GRANTS)
def test_a_right_that_was_given_by_hand_is_taken_back(settled: Guarded, by: str, statements: str, right: str) -> None:
    granted(settled, by, statements)
    assert may(settled, right)

    told = settled.guard()

    assert not told.was_skipped
    assert not may(settled, right)
    assert settled.guard().was_skipped
    settled.send("create table latest (id int); create sequence last", by="sso")
    assert not may(settled, "table 'latest' select")
    assert not may(settled, "sequence 'last' usage")


def test_what_was_taken_back_is_said(settled: Guarded) -> None:
    sso, api = settled.role("sso"), settled.role("api")
    granted(settled, "sso", "grant insert, select on account, session to {api}; grant usage on type level to public")

    assert sorted(settled.guard().text.split("; ")) == [
        f"PUBLIC may not use types of {sso} any more",
        f"{api} may not insert into tables of {sso} any more",
        f"{api} may not read tables of {sso} any more",
    ]


def test_the_rights_of_a_person_are_left(settled: Guarded) -> None:
    """Of a role that is no owner's; also where it passed them on to one that is."""
    person = f"person_{settled.tag}"
    settled.made.add(person)
    settled.send("create role {person}", person=person)
    settled.send("grant {sso} to {person}", sso=settled.role("sso"), person=person)
    settled.send(
        "set role {sso}; grant select on account to {person} with grant option;"
        " grant usage on schema public to {person}; grant usage on type level to {person};"
        " alter default privileges grant select on tables to {person}",
        sso=settled.role("sso"),
        person=person,
    )
    assert settled.guard().was_skipped

    settled.send("set role {person}; grant select on account to {api}", person=person, api=settled.role("api"))
    assert not settled.guard().was_skipped
    assert not may(settled, "table 'account' select")
    settled.send("create table later (id int)", by="sso")
    for table in ("account", "later"):
        query = "select has_table_privilege(%s, %s, 'select'), pg_has_role(%s, %s, 'usage')"
        assert settled.query(query, parameters=[person, table, person, settled.role("sso")]) == [(True, True)]
    assert settled.guard().was_skipped
    settled.allowed("drop owned by {person}", person=person)


def test_who_reads_still_reads_when_everybodys_right_is_taken_back(stack: Guarded) -> None:
    stack.send("grant create on schema public to public")
    stack.guard()
    assert stack.guard().was_skipped
    stack.migrate("sso")
    granted(
        stack, "sso", "grant select on account to public; alter default privileges grant select on tables to public"
    )
    stack.owners["api"]["reads"] = ["sso"]

    stack.guard()

    assert stack.guard().was_skipped
    assert stack.query("select count(*) from account", by="api") == [(3,)]
    granted(stack, "", "grant select on account to {api} with grant option")
    assert stack.guard().text == f"{stack.role('api')} may not let others read tables of {stack.role('sso')}"
    assert stack.guard().was_skipped
    assert may(stack, "table 'account' select")


def test_a_schema_is_closed_to_who_reads_no_more(stack: Guarded) -> None:
    stack.layout = "schemas"
    stack.owners["api"]["reads"] = ["sso"]
    stack.guard()
    granted(stack, "sso", "grant all on schema sso to public")
    stack.guard()
    assert stack.guard().was_skipped
    assert (may(stack, "schema 'sso' usage"), may(stack, "schema 'sso' create")) == (True, False)

    stack.owners["api"]["reads"] = []
    stack.guard()

    assert not may(stack, "schema 'sso' usage")
    assert stack.guard().was_skipped


def test_a_database_is_closed_to_the_owner_of_another(stack: Guarded) -> None:
    stack.layout = "databases"
    stack.guard()
    its = stack.place("sso").database
    stack.send("grant connect on database {its} to {api}", its=its, api=stack.role("api"))

    assert stack.guard().text == f"{stack.role('api')} may not use the database"
    assert not may(stack, f"database '{its}' connect")
    assert stack.guard().was_skipped


# -- settings that would switch the guard off -------------------------------------------------------------------------

SETTINGS = {
    "of an owner": "alter role {sso} set event_triggers = off",
    "of an owner here": "alter role {sso} in database {db} set session_replication_role = replica",
    "of another role": "alter role {sso} set role = {api}",
    "of the database": "alter database {db} set event_triggers = off",
    "of everybody": "alter role all set session_replication_role = replica",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_setting_that_switches_the_guard_off_is_taken_back(settled: Guarded, setting: str) -> None:
    names = {"sso": settled.role("sso"), "api": settled.role("api"), "db": settled.target.name}
    settled.send("alter role {sso} set statement_timeout = '9s'", sso=names["sso"])  # its own
    settled.send(setting, **names)

    assert "does not begin with another" in settled.guard().text

    assert settled.guard().was_skipped
    left = "select c from pg_db_role_setting s, unnest(s.setconfig) c where c !~ '^search_path'"
    assert settled.query(left) == [("statement_timeout=9s",)]


# -- types ------------------------------------------------------------------------------------------------------------

TYPES = """
create type pair as (a int, b int);
create type span as range (subtype = int);
create view emails as select 1 as one;
create materialized view counted as select 1 as one;
"""
NAMES = ("level", "pair", "span", "short", "account", "emails", "counted", "level[]", "account[]")
OF_ROWS = ("account", "emails", "counted", "account[]")


@pytest.fixture(params=["shared", "schemas"])
def typed(request: pytest.FixtureRequest, stack: Guarded) -> Guarded:
    """The SSO has types of each kind, in a schema that the API may look into."""
    stack.layout = request.param
    stack.guard()
    stack.migrate()
    stack.send(f"{TYPES} create domain short as text", by="sso")
    assert stack.guard().was_skipped
    return stack


def pinned(stack: Guarded, names: Sequence[str]) -> list[str]:
    """Those that the API can have a column, or an argument, of."""
    schema = stack.place("sso").schema
    found = []
    for name in names:
        its = f"its {schema}.{name}"
        for statement in (
            f"create table mine ({its})",
            f"create function mine({its}) returns int language sql as 'select 1'",
        ):
            try:
                stack.send(f"begin; {statement}; rollback", by="api")
            except Refused:
                continue
            found.append(name)
    return list(dict.fromkeys(found))


def test_no_type_of_an_owner_is_in_a_table_of_another(typed: Guarded) -> None:
    if typed.layout == "schemas":  # of what a superuser let in, the types stay closed
        typed.send("grant usage on schema sso to {api}", api=typed.role("api"))

    assert pinned(typed, NAMES) == []
    typed.send(
        "create table mine (a level, b pair, c span, d short, e account); alter type level add value 'more'", by="sso"
    )
    typed.send("drop table mine; drop type level cascade; drop table account cascade", by="sso")


def test_who_refers_may_have_columns_of_its_types(typed: Guarded) -> None:
    typed.owners["api"]["references"] = ["sso"]
    typed.guard()
    assert typed.guard().was_skipped
    typed.send("create type later as enum ('a')", by="sso")

    assert pinned(typed, (*NAMES, "later")) == [name for name in (*NAMES, "later") if name not in OF_ROWS]
    assert typed.guard().was_skipped

    typed.owners["api"]["references"] = []
    typed.guard()
    assert pinned(typed, (*NAMES, "later")) == []
    assert typed.guard().was_skipped


# -- the trigger that an owner takes off ------------------------------------------------------------------------------

OWN_TRIGGER = (
    "alter table account disable trigger user",
    "alter table account disable trigger bootorder",
    "alter table account enable trigger bootorder",
    "alter table account enable replica trigger bootorder",
    "alter trigger bootorder on account rename to another",
    (
        "create or replace trigger bootorder before truncate on account for each statement"
        " execute function suppress_redundant_updates_trigger()"
    ),
)


@pytest.mark.parametrize("statement", OWN_TRIGGER)
def test_an_owner_does_not_open_its_own_tables_to_truncate(settled: Guarded, statement: str) -> None:
    settled.send(statement, by="sso")

    with pytest.raises(Refused, match="bootorder refused TRUNCATE"):
        settled.send("set session_replication_role = replica; truncate account cascade")
    assert settled.guard().was_skipped
    settled.send("truncate account cascade", by="sso")


def test_an_owner_does_not_drop_what_guards_its_tables(settled: Guarded) -> None:
    with pytest.raises(Refused, match="bootorder refused DROP TRIGGER") as caught:
        settled.send("drop trigger bootorder on account", by="sso")

    assert caught.value.diag.message_detail == "trigger bootorder on public.account of the guard"
    settled.send("drop table account cascade", by="sso")


# -- what commits half-way --------------------------------------------------------------------------------------------

CONCURRENTLY = {
    "an index": (
        "drop index concurrently task_title",
        "select indisvalid and indislive from pg_index where indexrelid = 'task_title'::regclass",
    ),
    "a partition": (
        "alter table event detach partition event_2026 concurrently",
        "select not inhdetachpending from pg_inherits where inhrelid = 'event_2026'::regclass",
    ),
}


@pytest.mark.parametrize(("statement", "whole"), CONCURRENTLY.values(), ids=CONCURRENTLY)
def test_nothing_is_half_dropped_by_a_superuser(settled: Guarded, statement: str, whole: str) -> None:
    with pytest.raises(Refused, match="bootorder refused"):
        settled.send(statement)

    assert settled.query(whole) == [(True,)]
    settled.send(statement, by="api")


def test_what_was_reassigned_is_given_back(settled: Guarded) -> None:
    """No event trigger sees it."""
    settled.send("reassign owned by {api} to current_user", api=settled.role("api"))
    with pytest.raises(GuardError, match="belong to no owner"):
        settled.guard()

    assign(settled.boot())

    assert settled.guard().was_skipped
    assert settled.query("select count(*) from task", by="api") == [(7,)]
    with pytest.raises(Refused, match="bootorder refused TRUNCATE"):
        settled.send("truncate task")
