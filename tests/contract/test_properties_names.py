"""Whatever owners, their things and the database are called: every statement of the guard means what it says."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from scripts.bootorder.database import Target
from scripts.bootorder.guard.layout import move
from scripts.bootorder.guard.roles import opens
from scripts.bootorder.guard.stage import assign
from scripts.bootorder.migrate import migrate
from scripts.bootorder.settings import LayoutName
from tests.contract.hand import by_hand
from tests.unit.odd import odd_characters, possible_names

from .guarded import LAYOUTS, Guarded, makes, owner

# The names of roles that all databases of the server share begin so, and what is left of them can be dropped.
_PREFIX = "prop"
# Each takes most of a second, and many more to be made smaller.
_few = settings(max_examples=max(1, settings().max_examples // 25), phases=[Phase.explicit, Phase.generate])


def _cut(text: str, length: int) -> str:
    """As long as it may be, and whole."""
    return text.encode()[:length].decode(errors="ignore")


_longest = st.text(odd_characters, min_size=40, max_size=60)
_names = st.one_of(possible_names, _longest).map(lambda text: _cut(text, 50))
_NASTY = "a'b\"c%s {} %(x)s $1 \\ ;-- é🜁("
_CALL = 'f(x"'


@contextlib.contextmanager
def _stack(server: Target, layout: LayoutName, its: Mapping[str, str]) -> Iterator[Guarded]:
    """One owner that makes things with these names and one that reads them, in a database called like them, too."""
    tag = f"{_PREFIX}{secrets.token_hex(3)}"
    name = _cut(tag + its["database"], 63 - len(tag))
    quoted = sql.Identifier(name)
    with by_hand(server) as connection:
        connection.execute(sql.SQL("create database {}").format(quoted))
    owners = {
        "sso": owner("sso", tag, role=_cut(tag + its["role"], 63), schema=_cut(f"s{its['schema']}", 63)),
        "api": owner("api", tag, role=f"{tag}_api", schema=_cut(f"a{its['schema']}", 63)),
    }
    if layout != "databases":
        owners["api"] |= {"reads": ["sso"], "references": ["sso"]}
    things = sql.SQL(_THINGS).format(
        **{key: sql.Identifier(its[key]) for key in ("table", "column", "type", "function")}
    )
    try:
        with TemporaryDirectory() as root:
            target = replace(server, name=name)
            api = makes("create table of_api (id int)", "of_api")
            tools = {"sso": makes(things.as_string(), _quoted(its["table"])), "api": api}
            yield Guarded(
                Path(root), target, tag, owners, tools, layout, passwords={"SSO_DB_PASSWORD": its["password"]}
            )
    finally:
        with by_hand(server) as connection:
            for query, statement in (
                (
                    "select datname::text from pg_database where starts_with(datname, %s)",
                    "drop database {} with (force)",
                ),
                ("select rolname::text from pg_roles where starts_with(rolname, %s)", "drop role {}"),
            ):
                for (found,) in connection.execute(query, [tag]).fetchall():
                    connection.execute(sql.SQL(statement).format(sql.Identifier(str(found))))


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


_THINGS = """
create type {type} as enum ('a', 'b');
create table {table} (id serial primary key, {column} {type});
create function {function}({column} {type}, more {table}) returns int language sql as 'select 1';
create view "a view" as select {column} from {table};
"""
_drawn = st.fixed_dictionaries(
    {
        **dict.fromkeys(["role", "schema", "table", "type", "function", "column"], _names),
        "database": possible_names,
        # Lines of a .env may end as they do on Windows.
        "password": st.text(odd_characters, min_size=1, max_size=20).map(lambda text: text.replace("\r", "\n")),
    }
)
_ODD = dict.fromkeys(["role", "schema", "database", "table", "column", "password"], _NASTY)
_ODD |= {"type": 'type "(%', "function": _CALL}


def _possible(its: Mapping[str, str]) -> None:
    """Names that do not meet in the same database."""
    assume(len({its["table"], its["type"], "a view", "of_api"}) == 4)
    assume(its["column"] not in {"id", "more"})
    assume(not its["column"].startswith(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")))


@pytest.mark.parametrize("layout", LAYOUTS)
@_few
@given(its=_drawn)
@example(its=_ODD)
def test_with_any_names_the_guard_is_made_once_and_the_owners_migrate(
    server: Target, layout: LayoutName, its: dict[str, str]
) -> None:
    _possible(its)
    with _stack(server, layout, its) as stack:
        first, second = stack.guard(), stack.guard()
        text = migrate(stack.boot()).text
        third = stack.guard()
        place = stack.place("sso")
        tables = _tables(stack, "sso")

    assert not first.was_skipped
    assert second.was_skipped, stack.talk.getvalue()
    assert "sso migrated, 1 table verified" in text
    assert third.was_skipped, third.text
    assert tables == [(place.schema, its["table"], place.role)]


def _tables(stack: Guarded, by: str) -> list[tuple[Any, ...]]:
    query = """
        select relnamespace::regnamespace::oid, nspname::text, relname::text, pg_get_userbyid(relowner)::text
        from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind = 'r' and relowner = quote_ident(current_user)::regrole
    """
    return [row[1:] for row in stack.query(query, by=by)]


@_few
@given(its=_drawn)
@example(its=_ODD)
def test_with_any_names_tables_move_from_one_layout_to_the_other_and_back(server: Target, its: dict[str, str]) -> None:
    _possible(its)
    with _stack(server, "shared", its) as stack:
        stack.guard()
        migrate(stack.boot())
        stack.send("insert into {table} default values", by="sso", table=its["table"])

        there = move(stack.boot(), "schemas").text
        stack.layout = "schemas"
        assert stack.guard().was_skipped
        moved = _tables(stack, "sso")
        stack.send("delete from {table} where id = 1", by="sso", table=its["table"])  # it was found, with its row
        unchanged = migrate(stack.boot()).text
        move(stack.boot(), "shared")
        stack.layout = "shared"
        assert stack.guard().was_skipped
        back = _tables(stack, "sso")
        role, schema = stack.role("sso"), stack.boot("schemas").places["sso"].schema

    assert f" of sso to {schema}" in there
    assert moved == [(schema, its["table"], role)]
    assert "sso unchanged" in unchanged
    assert back == [("public", its["table"], role)]


@_few
@given(its=_drawn)
@example(its=_ODD)
def test_with_any_names_what_is_nobody_s_is_given_to_whose_tool_makes_it(server: Target, its: dict[str, str]) -> None:
    _possible(its)
    with _stack(server, "shared", its) as stack:
        with stack.connected() as connection:
            stack.tools["sso"](connection)

        text = assign(stack.boot()).text
        assert stack.guard().was_skipped
        migrated = migrate(stack.boot()).text
        role = stack.role("sso")
        left = stack.query(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace and proowner <> %s::regrole",
            parameters=[_quoted(role)],
        )

    assert text == "4 objects given to sso"
    assert "sso unchanged, 1 table verified" in migrated
    assert left == []


@settings(max_examples=settings().max_examples * 4)
@given(
    st.text(st.one_of(odd_characters, st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=12)
)
@example("soft\u00adhyphen")
@example("no\u00a0break")
@example("\u00ad")
@example("\ufb01 \uff21")
@example("\u0628a")  # of two directions
@example("a\u0007")
def test_it_is_known_of_any_password_whether_the_server_keeps_it(server: Target, password: str) -> None:
    with by_hand(server) as connection:
        kept = connection.pgconn.encrypt_password(password.encode(), b"somebody", b"scram-sha-256").decode()

    assert opens(password, kept)
    assert not opens(password + "x", kept)
