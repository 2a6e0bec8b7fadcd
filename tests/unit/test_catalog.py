from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder import catalog
from scripts.bootorder.catalog import Catalog, Key, differences

from .fakes import FakeConnection, FakeServer, catalog_of, owned_by, table

_names = st.sampled_from(["user", "worker", "task"])
_relations = st.tuples(st.sampled_from(["public", "api"]), _names)
_texts = st.text("abc ", max_size=5)
_members = st.dictionaries(
    st.tuples(
        st.sampled_from(["column", "constraint", "index", "trigger", "policy", "sequence"]),
        st.sampled_from(["id", "name", "id_seq"]),
    ),
    _texts,
    max_size=4,
)


def _table(relation: tuple[str, str], members: dict[tuple[str, str], str]) -> dict[Key, str]:
    schema, name = relation
    return {Key("table", schema, name, name): ""} | {
        Key(kind, schema, name, member): text for (kind, member), text in members.items()
    }


def _alone(relation: tuple[str, str], of: tuple[str, str]) -> dict[Key, str]:
    (schema, name), (kind, text) = relation, of
    return {Key(kind, schema, name, name): text}


@st.composite
def _drawn(draw: st.DrawFn) -> dict[Key, str]:
    """Objects as a database can hold them: tables with what belongs to them, and things that stand alone."""
    objects: dict[Key, str] = {}
    for relation in draw(st.sets(_relations, max_size=4)):
        if draw(st.booleans()):
            objects |= _table(relation, draw(_members))
        else:
            kind = draw(st.sampled_from(["view", "materialized view", "sequence", "enum"]))
            objects |= _alone(relation, (kind, draw(_texts)))
    return objects


_objects = _drawn()
_catalogs = _objects.map(Catalog)


@given(_catalogs)
def test_a_catalog_does_not_differ_from_itself(one: Catalog) -> None:
    assert differences(one, Catalog(dict(one.objects))) == []


@given(_catalogs, _catalogs)
def test_there_are_no_differences_only_between_equal_catalogs(one: Catalog, other: Catalog) -> None:
    assert bool(differences(one, other)) == (one.objects != other.objects)


@given(_catalogs, _catalogs)
def test_differences_are_the_same_from_both_sides_with_the_signs_exchanged(one: Catalog, other: Catalog) -> None:
    def exchanged(line: str) -> str:
        return {"-": "+", "+": "-"}[line[0]] + line[1:]

    assert sorted(map(exchanged, differences(one, other))) == sorted(differences(other, one))


@given(objects=_objects.filter(bool), data=st.data())
def test_every_changed_definition_shows_before_and_after(objects: dict[Key, str], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(objects)))
    changed = Catalog(objects | {key: objects[key].rstrip() + "!"})

    assert differences(Catalog(objects), changed) == [
        f"- {key} {objects[key]}".rstrip(),
        f"+ {key} {objects[key].rstrip()}!",
    ]


@given(objects=_objects.filter(bool), data=st.data())
def test_everything_that_is_gone_shows_itself_or_its_table(objects: dict[Key, str], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(objects)), min_size=1))
    left = Catalog({key: text for key, text in objects.items() if key not in gone})

    shown = differences(Catalog(objects), left)

    for key in gone:
        tables = [k for k in gone if k.kind == "table" and (k.schema, k.relation) == (key.schema, key.relation)]
        assert any(line.startswith(f"- {k}") for k in (key, *tables) for line in shown)


def test_a_missing_table_is_one_line_without_its_columns() -> None:
    assert differences(catalog_of(table("user"), table("task")), catalog_of(table("task"))) == ["- table public.user"]


def test_an_unexpected_table_is_one_line_too() -> None:
    assert differences(catalog_of(table("task")), catalog_of(table("user"), table("task"))) == ["+ table public.user"]


def test_a_missing_column_of_a_table_that_is_there_is_named_with_its_type() -> None:
    expected = catalog_of(table("task", id="integer not null", title="text"))

    assert differences(expected, catalog_of(table("task"))) == ["- column public.task.title text"]


def test_a_sequence_is_called_by_its_own_name() -> None:
    """Its relation is the table it belongs to, which is not what was dropped."""
    sequence = Catalog({Key("sequence", "public", "worker", "worker_id_seq"): "integer"})

    assert "worker_id_seq" in differences(sequence, Catalog({}))[0]


@given(_catalogs, st.sets(_relations))
def test_a_catalog_is_parted_into_what_belongs_to_some_relations_and_the_rest(
    whole: Catalog, relations: set[tuple[str, str]]
) -> None:
    part, rest = whole.only(relations), whole.without(relations)

    assert {**part.objects, **rest.objects} == whole.objects
    assert part.relations() <= relations
    assert not rest.relations() & relations


@given(_catalogs)
def test_a_catalog_survives_being_written_as_json_and_read(whole: Catalog) -> None:
    assert Catalog.from_data(json.loads(json.dumps(whole.as_data()))).objects == whole.objects


def test_tables_are_sorted_and_nothing_else_is_a_table() -> None:
    whole = catalog_of(
        table("worker"),
        table("audit_log"),
        {Key("view", "public", "busy", "busy"): "select 1", Key("enum", "public", "status", "status"): "'open'"},
    )

    assert whole.tables() == [("public", "audit_log"), ("public", "worker")]
    assert ("public", "busy") in whole.relations()


def test_a_role_s_part_is_what_belongs_to_it_with_all_that_belongs_to_that() -> None:
    its = owned_by("sso", table("user"), {Key("index", "public", "user", "user_email"): "unique"})
    enum = owned_by("sso", {Key("enum", "public", "kind", "kind"): "'a'"})
    others = owned_by("api", table("worker")) | table("nobody")

    assert Catalog(its | enum | others).of("sso").objects == its | enum
    assert Catalog(others).of("sso").objects == {}


def test_another_owner_of_the_same_thing_is_a_difference() -> None:
    before, after = Catalog(owned_by("sso", table("user"))), Catalog(owned_by("api", table("user")))

    assert differences(before, after) == ["- owner public.user sso", "+ owner public.user api"]


def test_whose_a_thing_was_is_not_told_beside_the_thing() -> None:
    enum, view = Key("enum", "public", "kind", "kind"), Key("view", "public", "busy", "busy")
    before = Catalog(owned_by("sso", table("user"), {enum: "'a'", view: "select 1"}))

    assert differences(before, Catalog({})) == [
        "- enum public.kind 'a'",
        "- table public.user",
        "- view public.busy select 1",
    ]
    assert differences(Catalog({}), before) == [
        "+ enum public.kind 'a'",
        "+ table public.user",
        "+ view public.busy select 1",
    ]


def connection() -> tuple[FakeServer, Any]:
    server = FakeServer()
    server.main.create(table("user"), table("task", title="text"))
    return server, FakeConnection(server, server.main)


def test_the_catalog_is_read_as_it_stands() -> None:
    server, connected = connection()

    assert catalog.read(connected).objects == owned_by("sso", server.main.objects)


def test_keys_of_the_same_object_are_equal_and_of_another_schema_are_not() -> None:
    key = Key("table", "public", "user", "user")

    assert key == key._replace()
    assert key != key._replace(schema="api")
    assert str(key) == "table public.user"
    assert str(Key("index", "public", "user", "user_email")) == "index public.user.user_email"
