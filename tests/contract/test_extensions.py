"""Extensions of the settings on a real PostgreSQL: made where every owner finds them, and by no owner's code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bootorder.errors import GuardError, MachineError, MigrationError, NotReadyError
from scripts.bootorder.migrate import migrate

from .guarded import Guarded, makes

# earthdistance needs cube; vector may be made by a superuser only, the others by whoever creates in the database.
WANTED = ("vector", "citext", "hstore", "earthdistance")
USES = {
    "vector": "create table used (v vector(3)); create index on used using hnsw (v vector_l2_ops)",
    "citext": "create table used (v citext unique)",
    "hstore": "create table used (v hstore)",
    "earthdistance": "create table used (v cube); create index on used using gist (ll_to_earth(1, v -> 1))",
}


def homes(stack: Guarded, database: str = "") -> dict[str, tuple[str, str]]:
    """The schema and the owner of each extension."""
    query = """
        select extname::text, extnamespace::regnamespace::text, extowner::regrole::text from pg_extension
        where extname <> 'plpgsql'
    """
    before = stack.target
    stack.target = replace(before, name=database or before.name)
    try:
        return {name: (schema, owner) for name, schema, owner in stack.query(query)}
    finally:
        stack.target = before


def extend(stack: Guarded, *wanted: str) -> None:
    stack.database["extensions"] = wanted


# -- where they are ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WANTED)
def test_an_owner_s_migration_uses_an_extension_that_the_guard_made(any_stack: Guarded, name: str) -> None:
    extend(any_stack, name)
    for owner in ("sso", "api"):
        table = f"used_{owner}"
        any_stack.tools[owner] = makes(
            f"create extension if not exists {name}; {USES[name].replace('used', table)}", table
        )

    told = any_stack.guard()
    migrate(any_stack.boot())

    assert f"extension {name} made" in any_stack.talk.getvalue()
    assert not told.was_skipped
    assert any_stack.guard().was_skipped
    databases = {any_stack.target.name, any_stack.place("sso").database, any_stack.place("api").database}
    for database in databases:
        assert homes(any_stack, database)[name] == ("public", any_stack.target.user)
    for owner in ("sso", "api"):
        assert any_stack.query(f"select to_regclass('used_{owner}')::text", by=owner) == [(f"used_{owner}",)]
    assert any_stack.query("select nspname from pg_namespace where nspname ~ '^bootorder_'") == []


def test_without_the_setting_the_hint_is_to_add_it(stack: Guarded) -> None:
    stack.tools["sso"] = makes("create extension vector; create table account (id int)", "account")
    stack.guard()

    with pytest.raises(MigrationError) as refused:
        migrate(stack.boot())

    assert 'permission denied to create extension "vector"' in str(refused.value.log)
    assert refused.value.hint.startswith("add vector to `database.extensions` in invoke.yaml, then run ")


def test_what_names_a_type_of_an_extension_is_hinted_at_it(stack: Guarded) -> None:
    stack.tools["sso"] = makes("create table account (id int, v vector(3))", "account")
    stack.guard()

    with pytest.raises(MigrationError) as refused:
        migrate(stack.boot())

    assert refused.value.hint.startswith("add vector to `database.extensions`")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("postgis", "the image postgis/postgis:"),
        ("pgcrypto", "the official image has pgcrypto"),
        ("vector3", "an image that has vector3"),
        ('od"d', 'an image that has od"d'),
    ],
)
def test_one_that_the_server_lacks_is_said_before_anything_is_made(any_stack: Guarded, name: str, where: str) -> None:
    extend(any_stack, "citext", name)

    with pytest.raises(MachineError) as lacks:
        any_stack.guard()

    assert lacks.value.exit_code == 3
    assert lacks.value.message == f"this PostgreSQL does not have the extension {name}"
    assert where in lacks.value.hint
    assert homes(any_stack) == {}


def test_one_that_is_added_later_is_made_beside_what_there_is(settled: Guarded) -> None:
    extend(settled, *WANTED)
    assert not settled.guard().was_skipped
    assert {name for name in WANTED if homes(settled)[name][0] == "public"} == set(WANTED)
    assert settled.guard().was_skipped
    assert settled.query("select count(*) from task", by="api") == [(7,)]


def test_one_that_an_owner_keeps_to_itself_is_moved_to_where_all_find_it(stack: Guarded) -> None:
    stack.layout = "schemas"
    stack.guard()
    stack.send("create extension citext", by="sso")
    assert homes(stack)["citext"][0] == "sso"
    extend(stack, "citext")

    assert stack.guard().text == "extension citext moved to public"

    assert homes(stack)["citext"][0] == "public"
    assert stack.query("select 'A'::citext = 'a'", by="api") == [(True,)]
    assert stack.guard().was_skipped


def test_one_that_a_person_put_elsewhere_stays_there(stack: Guarded) -> None:
    stack.guard()
    stack.send("create schema extensions; create extension vector schema extensions")
    extend(stack, "vector")

    assert stack.guard().was_skipped
    assert homes(stack)["vector"][0] == "extensions"


# -- hostile owners ---------------------------------------------------------------------------------------------------


@pytest.fixture
def scripts(stack: Guarded) -> Iterator[Path]:
    """The folder of the server's extensions, with some of this test's own, gone afterwards."""
    with stack.connected() as connection:
        [(folder,)] = connection.execute(
            "select setting || '/extension' from pg_config where name = 'SHAREDIR'"
        ).fetchall()
    made = Path(str(folder))
    yield made
    for file in made.glob("bootorder_test_*"):
        file.unlink()


# A script as careless as they come: it calls functions and operators that fit an argument not exactly.
CARELESS = """
    create table {name}_ran as select current_user as as_whom;
    select ceil(1);
    select 2 ^ 3;
    create function {name}_works() returns int language sql as 'select 1';
"""
TRAPS = """
    create table trapped (as_whom text);
    grant all on trapped to public;
    create function ceil(x int) returns int language plpgsql as
        $$ begin insert into {home}.trapped values (current_user); return x; end $$;
    create function power_of(x int, y int) returns int language plpgsql as
        $$ begin insert into {home}.trapped values (current_user); return x; end $$;
    create operator ^ (leftarg = int, rightarg = int, function = power_of);
"""


def write(folder: Path, name: str, script: str, **control: str) -> None:
    lines = {"default_version": "'1'", "relocatable": "true", **control}
    (folder / f"{name}.control").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    (folder / f"{name}--1.sql").write_text(script.format(name=name))


def trap(stack: Guarded, home: str = "public") -> None:
    """What an owner could make before the guard looked, or where its triggers were switched off."""
    stack.send("alter event trigger bootorder_change disable")
    stack.send(TRAPS.format(home=home), by="sso")
    stack.send("alter event trigger bootorder_change enable always")


def test_the_traps_work(stack: Guarded, scripts: Path) -> None:
    """Made as anybody would make it, in public, the owner's functions run as the superuser."""
    write(scripts, "bootorder_test_careless", CARELESS)
    stack.guard()
    trap(stack)

    stack.send("create extension bootorder_test_careless schema public")

    assert set(stack.query("select as_whom from trapped")) == {(stack.target.user,)}


def test_no_owner_s_code_runs_when_an_extension_is_made(stack: Guarded, scripts: Path) -> None:
    write(scripts, "bootorder_test_careless", CARELESS)
    stack.guard()
    trap(stack)
    extend(stack, "bootorder_test_careless")

    with pytest.raises(GuardError, match="what the statements of other owners would reach"):
        stack.guard()

    assert stack.query("select as_whom from trapped") == []


def test_an_extension_is_found_by_each_owner(stack: Guarded, scripts: Path) -> None:
    write(scripts, "bootorder_test_careless", CARELESS)
    extend(stack, "bootorder_test_careless")

    stack.guard()

    assert homes(stack)["bootorder_test_careless"] == ("public", stack.target.user)
    assert stack.query("select bootorder_test_careless_works()", by="api") == [(1,)]


@pytest.mark.parametrize("kind", ["not to be moved", "needs one in public", "of a fixed schema"])
def test_one_that_cannot_be_made_apart_is_refused_where_an_owner_s_code_could_run(
    stack: Guarded, scripts: Path, kind: str
) -> None:
    name = "bootorder_test_fixed"
    control = {"not to be moved": {"relocatable": "false"}, "of a fixed schema": {"schema": "public"}}.get(kind, {})
    if kind == "of a fixed schema":
        control |= {"relocatable": "false"}
    if kind == "needs one in public":
        control = {"requires": "bootorder_test_base"}
        write(scripts, "bootorder_test_base", "create table {name}_t (x int);")
        stack.send("create extension bootorder_test_base schema public")
    write(scripts, name, CARELESS, **control)
    stack.guard()
    trap(stack)
    extend(stack, name)

    with pytest.raises(GuardError) as refused:
        stack.guard()

    assert f"function public.ceil(integer) of {stack.role('sso')}" in refused.value.seen
    assert stack.query("select as_whom from trapped") == []
    assert name not in homes(stack)
    # what the owner may do it may again
    stack.send("create table still (id int)", by="sso")

    stack.send(
        "begin; select bootorder.allow(); drop function ceil(int); drop operator ^ (int, int);"
        " drop function power_of; commit"
    )
    stack.guard()
    assert name in homes(stack)
    assert stack.guard().was_skipped


def test_a_schema_that_an_owner_made_under_the_name_that_an_extension_wants_is_refused(
    stack: Guarded, scripts: Path
) -> None:
    write(scripts, "bootorder_test_homed", CARELESS, relocatable="false", schema="bootorder_test_home")
    stack.guard()
    stack.send("create schema bootorder_test_home", by="sso")
    extend(stack, "bootorder_test_homed")

    with pytest.raises(GuardError, match="cannot be made safely") as refused:
        stack.guard()

    assert refused.value.seen.startswith(f"the schema bootorder_test_home belongs to {stack.role('sso')}")


def test_what_an_open_transaction_of_an_owner_made_is_not_overlooked(stack: Guarded, scripts: Path) -> None:
    write(scripts, "bootorder_test_fixed", CARELESS, relocatable="false")
    stack.guard()
    extend(stack, "bootorder_test_fixed")

    with stack.connected("sso") as connection, connection.transaction():
        connection.execute("create function zero(int) returns int language sql as 'select 0'")
        with pytest.raises(NotReadyError) as busy:
            stack.guard()

    assert f"of {stack.role('sso')}" in busy.value.seen
    assert "stop db-up wait-db" in busy.value.hint


def test_the_rights_of_others_in_the_schema_are_as_before(stack: Guarded, scripts: Path) -> None:
    write(scripts, "bootorder_test_fixed", CARELESS, relocatable="false")
    stack.guard()
    other = f"analyst_{stack.tag}"
    stack.made.add(other)
    stack.send("create role {other}; grant create on schema public to {other} with grant option", other=other)
    acl = """
        select a.grantee::regrole::text, a.is_grantable from pg_namespace, aclexplode(nspacl) a
        where nspname = 'public' and a.privilege_type = 'CREATE' order by 1
    """
    before = stack.query(acl)
    extend(stack, "bootorder_test_fixed")

    stack.guard()

    assert stack.query(acl) == before
    stack.send("drop owned by {other}", other=other)


def test_a_name_of_the_extension_that_an_owner_has_taken_is_said(stack: Guarded) -> None:
    stack.guard()
    stack.send("create type citext as enum ('a')", by="sso")
    extend(stack, "citext")

    with pytest.raises(GuardError, match="the extension citext would create an object with a name that is taken"):
        stack.guard()

    assert homes(stack) == {}


def test_an_extension_that_the_server_cannot_load_is_said(stack: Guarded, scripts: Path) -> None:
    write(scripts, "bootorder_test_broken", "select bootorder_no_such_function();")
    extend(stack, "bootorder_test_broken")

    with pytest.raises(MachineError) as broken:
        stack.guard()

    assert broken.value.message == "the server could not make the extension bootorder_test_broken"
    assert "bootorder_no_such_function" in broken.value.seen
