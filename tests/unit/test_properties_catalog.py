"""Whatever two catalogs hold: what differs is said, what was lost is named with its rows, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.catalog import Catalog, Key, differences, shortened
from scripts.bootorder.guard.snapshots import Snapshot, foreign_losses, own_losses

from .odd import possible_names

Relation = tuple[str, str]

ROLES = ["sso", "api", "nobody"]
_names = st.one_of(st.sampled_from(["user", "task", "a.b", "b"]), possible_names)
_relations = st.tuples(st.sampled_from(["public", "api", "a"]), _names)
_definitions = st.sampled_from(["", "text", "integer not null", "x -> y", "- z"])
_members = st.dictionaries(
    st.tuples(st.sampled_from(["column", "constraint", "index", "trigger", "policy", "sequence"]), _names),
    _definitions,
    max_size=4,
)
_alone = st.sampled_from(["view", "materialized view", "sequence", "enum", "domain", "function"])


@st.composite
def _things(draw: st.DrawFn) -> dict[Key, str]:
    """As a database can hold them: every relation is one thing, with what belongs to it, and is somebody's."""
    objects: dict[Key, str] = {}
    for schema, name in draw(st.sets(_relations, max_size=5)):
        objects[Key("owner", schema, name, name)] = draw(st.sampled_from(ROLES))
        if draw(st.booleans()):
            objects[Key("table", schema, name, name)] = ""
            for (kind, member), text in draw(_members).items():
                objects[Key(kind, schema, name, member)] = text
        else:
            objects[Key(draw(_alone), schema, name, name)] = draw(_definitions)
    return objects


_objects = _things()


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[dict[Key, str], dict[Key, str]]:
    """Two that have much in common: whole relations are gone or new, others are changed."""
    before, after = draw(_objects), draw(_objects)
    kept = draw(st.sets(st.sampled_from(sorted(_relations_of(before)) or [("", "")])))
    after = {k: v for k, v in after.items() if (k.schema, k.relation) not in kept}
    after |= {k: v for k, v in before.items() if (k.schema, k.relation) in kept}
    for key in draw(st.sets(st.sampled_from(sorted(after)), max_size=3)) if after else ():
        # A thing keeps what it is and whose it is; all else may go.
        if key.kind == "owner":
            after[key] = draw(st.sampled_from(ROLES))
        elif key.kind == "table" or key.name == key.relation or draw(st.booleans()):
            after[key] = "" if key.kind == "table" else draw(_definitions)
        else:
            del after[key]
    return before, after


def _relations_of(objects: Mapping[Key, str]) -> set[Relation]:
    return {(key.schema, key.relation) for key in objects}


def _snapshot(objects: Mapping[Key, str], rows: Mapping[Relation, int], role: str) -> Snapshot:
    whole = Catalog(objects)
    own = whole.of(role)
    mine = set(own.tables())
    counts = {table: rows.get(table, 0) for table in whole.tables()}
    return Snapshot(
        own,
        whole.without(own.relations()),
        {table: count for table, count in counts.items() if table in mine},
        {table: count for table, count in counts.items() if table not in mine},
    )


def _counted(data: st.DataObject, objects: Mapping[Key, str]) -> dict[Relation, int]:
    return {table: data.draw(st.integers(0, 3)) for table in Catalog(objects).tables()}


# -- differences -------------------------------------------------------------------------------------------------------


@given(_pairs())
def test_two_catalogs_differ_exactly_where_a_line_says_so(pair: tuple[dict[Key, str], dict[Key, str]]) -> None:
    before, after = map(Catalog, pair)

    assert differences(before, Catalog(dict(before.objects))) == []
    assert (differences(before, after) == []) == (before == after)


@given(_pairs())
def test_each_change_has_its_line_or_that_of_its_table_and_no_line_is_without_a_change(
    pair: tuple[dict[Key, str], dict[Key, str]],
) -> None:
    before, after = pair
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    expected = set()
    for key in changed:
        table = Key("table", key.schema, key.relation, key.relation)
        there = {(key.schema, key.relation) in _relations_of(each) for each in pair}
        for sign, here, other in (("-", before, after), ("+", after, before)):
            hidden = key.kind != "table" and table in here and table not in other and key not in other
            # It was said to be a view, and a table has its place: whose that is now is a change of its own.
            hidden = hidden or (key.kind == "owner" and there == {True, False})
            hidden = hidden or (key.kind != "table" and key in other and table in after and table not in before)
            if key in here and not hidden:
                expected.add(f"{sign} {key} {here[key]}".rstrip())

    lines = differences(Catalog(before), Catalog(after))

    assert set(lines) == expected
    assert len(shortened(lines)) <= 21
    assert shortened(lines)[:20] == lines[:20]


@given(_objects, st.sampled_from(ROLES))
def test_the_parts_of_the_roles_are_the_whole_and_have_nothing_in_common(objects: dict[Key, str], role: str) -> None:
    whole = Catalog(objects)
    parts = {one: whole.of(one) for one in ROLES}

    assert {key: text for part in parts.values() for key, text in part.objects.items()} == objects
    assert sum(len(part.objects) for part in parts.values()) == len(objects)
    assert whole.without(parts[role].relations()) == whole.only(
        relation for one, part in parts.items() if one != role for relation in part.relations()
    )
    assert whole.of("somebody else").objects == {}


@given(_objects)
def test_a_catalog_is_the_same_after_it_was_written_and_read(objects: dict[Key, str]) -> None:
    assert Catalog.from_data(json.loads(json.dumps(Catalog(objects).as_data()))) == Catalog(objects)


# -- losses ------------------------------------------------------------------------------------------------------------


@given(_pairs(), st.data(), st.sampled_from(ROLES))
def test_what_is_new_is_no_loss(pair: tuple[dict[Key, str], dict[Key, str]], data: st.DataObject, role: str) -> None:
    before, more = pair
    new = {key: text for key, text in more.items() if (key.schema, key.relation) not in _relations_of(before)}
    columns = data.draw(_members)
    for schema, name in Catalog(before).tables():
        new |= {
            Key(kind, schema, name, f"new {member}"): text for (kind, member), text in columns.items()
        }  # none of the old ones is called so
    counts = _counted(data, before)
    more_rows = {table: count + data.draw(st.integers(0, 2)) for table, count in counts.items()}
    new = {key: text for key, text in new.items() if key not in before}
    old, now = _snapshot(before, counts, role), _snapshot(before | new, more_rows, role)

    assert foreign_losses(old, now) == []
    assert own_losses(old, now) == []


@given(_pairs(), st.data(), st.sampled_from(ROLES))
def test_every_table_of_another_that_is_gone_is_named_with_its_rows(
    pair: tuple[dict[Key, str], dict[Key, str]], data: st.DataObject, role: str
) -> None:
    before, after = pair
    old = _snapshot(before, _counted(data, before), role)
    now = _snapshot(after, _counted(data, after), role)

    lines = foreign_losses(old, now)

    gone = [table for table in old.foreign_rows if table not in now.foreign_rows]
    dropped = [line for line in lines if line.endswith(" was dropped")]
    assert sorted(dropped) == sorted(
        f"- {schema}.{name} ({count} row{'' if count == 1 else 's'}) was dropped"
        for (schema, name), count in old.foreign_rows.items()
        if (schema, name) in gone
    )
    fewer = {table for table in now.foreign_rows if (now.foreign_rows[table] or 0) < (old.foreign_rows.get(table) or 0)}
    assert len([line for line in lines if line.endswith(" now")]) == len(fewer)
    unchanged = all(now.foreign.objects.get(key) == text for key, text in old.foreign.objects.items())
    assert (lines == []) == (unchanged and not fewer)


@given(_pairs(), st.data(), st.sampled_from(ROLES))
def test_of_one_s_own_exactly_what_held_rows_can_be_lost(
    pair: tuple[dict[Key, str], dict[Key, str]], data: st.DataObject, role: str
) -> None:
    before, after = pair
    old = _snapshot(before, _counted(data, before), role)
    now = _snapshot(after, _counted(data, after), role)
    full = {table for table, count in old.own_rows.items() if count}
    columns = {key for key in old.own.objects if key.kind == "column" and (key.schema, key.relation) in full}

    kept = all(table in now.own_rows and (now.own_rows[table] or 0) >= (old.own_rows[table] or 0) for table in full)

    assert (own_losses(old, now) == []) == (kept and columns <= now.own.objects.keys())
