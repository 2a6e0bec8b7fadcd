"""A trial beside somebody who is connected: on a copy by schema that has all that each owner has, or on none."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from scripts.bootorder import catalog, schema_copy, scratch
from scripts.bootorder.database import Session, Target
from scripts.bootorder.owners import Owner
from scripts.bootorder.processes import Completed
from scripts.bootorder.schema_copy import NotCopiedError
from scripts.bootorder.trial import changes
from tests.contract.hand import by_hand
from tests.postgres import server_log

from .guarded import API, Guarded, makes, owner

EVERYTHING = Path(__file__).with_name("everything.sql").read_text(encoding="utf-8")
TIES = Path(__file__).with_name("ties.sql").read_text(encoding="utf-8")


@pytest.fixture
def everything(any_stack: Guarded) -> Guarded:
    """Three owners in each layout; the last one has everything, and ties to the others where they share a database."""
    stack, tag = any_stack, any_stack.tag
    stack.owners["crm"] = owner("crm", tag)
    if stack.layout != "databases":
        stack.owners["crm"] |= {"reads": ["sso", "api"], "references": ["sso", "api"]}
    stack.tools["crm"] = makes("create table made (id int primary key)", "made")
    stack.guard()
    stack.migrate("sso", "api", "crm")
    stack.guard()
    send(stack, EVERYTHING)
    if stack.layout != "databases":
        send(stack, TIES)
    stack.guard()
    return stack


def send(stack: Guarded, statements: str, by: str = "crm") -> None:
    places = stack.boot().places
    names = {name: place.schema for name, place in places.items()} | {
        "home": places[by].schema,
        "own": f"own_{stack.tag}",
    }
    for name, schema in names.items():
        statements = statements.replace(f"{{{name}}}", f'"{schema}"')
    stack.send(statements, by=by)


@contextlib.contextmanager
def apps_connected(stack: Guarded) -> Iterator[None]:
    """To each database of the stack, as its owner."""
    with contextlib.ExitStack() as held:
        for name in stack.owners:
            held.enter_context(stack.connected(name))
        yield


@contextlib.contextmanager
def copied(stack: Guarded, owner: Owner) -> Iterator[Target]:
    """A copy of its database, which is in use."""
    with apps_connected(stack), owner.scratch(owner.target(stack.target), "a copy", clone=True) as copy:
        yield copy


def contents(target: Target) -> Mapping[str, object]:
    """All that a person can see of it: definitions, rows, sequences, rules, comments; by hand."""
    found: dict[str, object] = {}
    with by_hand(target) as connection:
        for what, query in LOOKS.items():
            rows = connection.execute(query.replace("{there}", _THERE).encode()).fetchall()
            found[what] = sorted(rows, key=repr)
        for kind, schema, name in connection.execute(_HAVE_ROWS.replace("{there}", _THERE).encode()).fetchall():
            look = _SEQUENCE if kind == "S" else _ROWS
            there = connection.execute(look.format(sql.Identifier(str(schema), str(name)))).fetchall()
            found[f"rows of {schema}.{name}"] = sorted(there, key=repr)
    return found


_THERE = "n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')"
_HAVE_ROWS = """
    select c.relkind::text, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (c.relkind in ('r', 'S') or c.relkind = 'm' and c.relispopulated) and {there}
"""
_ROWS = sql.SQL("select t::text from only {} t")
_SEQUENCE = sql.SQL("select last_value, is_called from {}")
LOOKS = {
    "catalog": catalog.QUERY,
    "owned": """
        select i.type, i.identity, pg_get_userbyid(s.refobjid)
        from pg_shdepend s cross join lateral pg_identify_object(s.classid, s.objid, 0) i
        where s.dbid = (select oid from pg_database where datname = current_database()) and s.deptype = 'o'
          and i.type <> 'default acl'
    """,
    "columns": """
        select c.oid::regclass::text, row_number() over (partition by c.oid order by a.attnum), a.attname, a.attislocal,
               a.attinhcount
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        where a.attnum > 0 and not a.attisdropped and {there} and c.relkind in ('r', 'p', 'v', 'm')
    """,
    "relations": """
        select c.oid::regclass::text, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity,
               c.relforcerowsecurity, c.relispopulated
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where {there}
    """,
    "parts": "select inhrelid::regclass::text, inhparent::regclass::text, inhseqno from pg_inherits",
    "constraints": """
        select conname, conrelid::regclass::text, contype, pg_get_constraintdef(k.oid), convalidated, conislocal,
               coninhcount
        from pg_constraint k join pg_namespace n on n.oid = k.connamespace where {there}
    """,
    "indexes": """
        select pg_get_indexdef(indexrelid), indisvalid, indisprimary, indimmediate
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
        where {there}
    """,
    "rules": """
        select pg_get_ruledef(r.oid), ev_enabled
        from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
        where {there}
    """,
    "triggers": """
        select pg_get_triggerdef(t.oid), tgenabled
        from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
        where {there} and not tgisinternal
    """,
    "casts": """
        select pg_describe_object('pg_cast'::regclass, oid, 0), castcontext, castmethod from pg_cast where oid >= 16384
    """,
    "statistics": "select pg_get_statisticsobjdef(oid) from pg_statistic_ext",
    "comments": """
        select i.type, i.identity, d.description
        from pg_description d cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
        where d.objoid >= 16384 and i.identity !~ 'bootorder'
    """,
    "functions": """
        select pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where {there} and p.prokind <> 'a'
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'i')
    """,
    "domains": """
        select typname, typdefault, typnotnull, typcollation::regcollation::text from pg_type
        where typtype = 'd' and oid >= 16384
    """,
    "collations": "select collname, collprovider, collisdeterministic from pg_collation where oid >= 16384",
    "encoding": """
        select encoding, datcollate, datctype, datlocprovider from pg_database where datname = current_database()
    """,
    "guard": "select evtname, evtenabled from pg_event_trigger",
    "reserved": "select role, schema, name from bootorder.reserved",
}


def test_a_copy_by_schema_has_what_a_clone_has(everything: Guarded) -> None:
    owners = {one.place.database: one for one in everything.boot().owners}
    for one in owners.values():
        target = one.target(everything.target)
        with one.scratch(target, "a clone", clone=True) as clone:
            cloned = contents(clone)
        with copied(everything, one) as copy:
            found = contents(copy)

        assert found.keys() == cloned.keys()
        for what, there in cloned.items():
            assert found[what] == there, what


# -- plans ------------------------------------------------------------------------------------------------------------


def adds_a_column(connection: psycopg.Connection[tuple[object, ...]]) -> Completed:
    """The next version of what the API's tool makes."""
    done = makes(API, "task")(connection)
    connection.execute("alter table worker add column if not exists more int")
    return done


def world(stack: Guarded) -> Mapping[str, object]:
    """What a plan could leave behind; beside a rehearsal that is remembered."""
    files = {
        path.relative_to(stack.root).as_posix(): path.read_bytes()
        for path in stack.root.rglob("*")
        if path.is_file() and path.parent.name != "rehearsals" and path.name != "lock"
    }
    queries = ("select datname from pg_database", "select rolname, rolpassword from pg_authid")
    return {"files": files, **{query: sorted(stack.query(query)) for query in queries}}


def test_a_plan_beside_the_apps_says_the_same_and_leaves_nothing(any_stack: Guarded) -> None:
    any_stack.guard()
    any_stack.migrate()
    any_stack.tools["api"] = adds_a_column
    with any_stack.connected() as connection:
        connection.execute("do $$ begin raise log 'the plan begins'; end $$")
    before = world(any_stack)

    alone = changes(any_stack.boot())
    with apps_connected(any_stack):
        beside = changes(any_stack.boot())

    assert beside == alone
    schema = any_stack.place("api").schema
    assert [change["changes"] for change in beside] == [[], [f"+ column {schema}.worker.more integer"]]
    assert world(any_stack) == before
    _, marked, log = "\n".join(server_log(any_stack.target)).rpartition("the plan begins")
    assert marked
    found = [line for line in log.splitlines() if re.search("ERROR|FATAL|PANIC|WARNING", line)]
    assert [line for line in found if "autovacuum" not in line] == []  # whose worker may come in the last moment


def test_who_connects_in_the_last_moment_makes_it_a_copy_too(settled: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits 5 s for that session, and refuses."""
    monkeypatch.setattr(scratch, "_using", lambda *_: {})

    with apps_connected(settled):
        assert [change["problems"] for change in changes(settled.boot())] == [[], []]


# -- what cannot be copied --------------------------------------------------------------------------------------------

REFUSED = {
    "row level security that hides its rows": (
        "alter table worker enable row level security; alter table worker force row level security",
        "the rows of public.worker are hidden from {api} (row level security is forced)",
    ),
    "an operator": (
        "create schema apart; create operator apart.==== (function = int4eq, leftarg = int, rightarg = int)",
        "operator apart.====(integer,integer) of {api} cannot be copied",
    ),
    "a large object": ("select lo_create(4711)", "large object 4711 of {api} cannot be copied"),
    "a typed table": (
        "create type shape as (id int); create table shaped of shape",
        "table public.shaped of {api} cannot be copied",
    ),
    "a function of nobody": (
        "create table leans (id int default public.of_nobody())",
        "default of public.leans.id of {api}: function public.of_nobody() does not exist",
    ),
    "two that need each other": (
        (
            "create table computed (id int);"
            " create function most(int) returns int language sql immutable"
            " begin atomic select max(id) from computed where id < $1; end;"
            " alter table computed add column twice int generated always as (most(id)) stored"
        ),
        "of {api} need each other",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_copied_is_named_and_nothing_is_tried(settled: Guarded, what: str) -> None:
    settled.send("create function public.of_nobody() returns int language sql immutable as 'select 1'")
    made, named = REFUSED[what]
    settled.send(made, by="api")
    [_, api] = settled.boot().owners

    with pytest.raises(NotCopiedError) as refused, copied(settled, api):
        pytest.fail("copied")

    assert named.format(api=settled.role("api")) in refused.value.seen
    assert "stop the apps first" in refused.value.hint
    assert refused.value.first == ("stop", "db-up", "wait-db")
    assert not settled.query("select from pg_database where datname ~ 'scratch'")
    with api.scratch(settled.target, "x", clone=True) as clone:  # as the hint says
        assert contents(clone)["catalog"] == contents(settled.target)["catalog"]


def test_what_is_changed_while_it_is_copied_is_found_out(settled: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of what was there a moment ago would be a trial on something else."""
    made = schema_copy._make

    def and_meanwhile(*given: object) -> None:
        made(*given)  # type: ignore[arg-type]
        settled.send("alter table session add column if not exists meanwhile int", by="sso")

    monkeypatch.setattr(schema_copy, "_make", and_meanwhile)
    [sso, _] = settled.boot().owners

    with pytest.raises(NotCopiedError) as refused, copied(settled, sso):
        pytest.fail("copied")

    assert "column public.session.meanwhile" in refused.value.seen


def test_rows_that_were_not_all_written_are_found_out(settled: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = schema_copy._compare_rows

    def after_a_loss(there: Session, role: str, counts: Mapping[tuple[str, str], int]) -> None:
        if ("public", "worker") in counts:
            there.execute("delete from public.worker where id = 42")
        compare(there, role, counts)

    monkeypatch.setattr(schema_copy, "_compare_rows", after_a_loss)
    [sso, _] = settled.boot().owners

    with pytest.raises(NotCopiedError) as refused, copied(settled, sso):
        pytest.fail("copied")

    assert f"rows of public.worker of {settled.role('api')}: 42 were copied, 41 are there" in refused.value.seen
