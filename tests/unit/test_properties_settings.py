"""Whatever stands in invoke.yaml: settings whose places PostgreSQL can have, or one refusal that says what to do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.bootorder.env_file import expand
from scripts.bootorder.errors import SettingsError
from scripts.bootorder.places import Place, places
from scripts.bootorder.settings import (
    AppSettings,
    DatabaseSettings,
    LayoutName,
    MigratorName,
    OwnerSettings,
    ProcessSettings,
    Settings,
    layout_name,
    parse,
    runtime_name,
)
from scripts.bootorder.stages import STAGES, plan

from .odd import fitting, is_a_refusal, odd_names, odd_text, possible_names

LAYOUTS: Sequence[LayoutName] = get_args(LayoutName)

_variables = st.from_regex("[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
_few_variables = st.sampled_from(
    ["ONE_PASSWORD", "TWO_PASSWORD", "API_DB_PASSWORD", "API_DB_NAME", "POSTGRES_PASSWORD"]
)
_commands = st.sampled_from(["make", ["make"], "python -m 'the tables'", ["a", ""]])


@st.composite
def _owners(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Up to 12, each with some of the settings; they may read any, be they there or not."""
    names = draw(st.lists(st.one_of(possible_names, possible_names, odd_names), max_size=12, unique=True))
    others = st.lists(st.sampled_from([*names, "nobody"]), max_size=3)
    some = {
        "role": odd_names,
        "schema": st.one_of(odd_names, st.just("common")),
        "password": st.one_of(_few_variables, _variables),
        "database": st.one_of(_few_variables, _variables),
    }
    owners = {}
    for position, name in enumerate(names):
        its: dict[str, Any] = {"migrator": draw(st.sampled_from(get_args(MigratorName)))}
        its |= {"service": draw(odd_names), "migrate": draw(_commands)}
        if draw(st.integers(0, 9)):  # else they follow from the owner's name, which may not do
            its |= {"password": f"P{position}", "database": f"N{position}"}
        its |= {key: draw(values) for key, values in some.items() if draw(st.integers(0, 9)) == 0}
        if position and draw(st.integers(0, 2)) == 0:
            before = st.lists(st.sampled_from(names[:position]), max_size=3)
            its[draw(st.sampled_from(["reads", "references"]))] = draw(before if draw(st.integers(0, 9)) else others)
        owners[name] = its
    return owners


_databases = st.fixed_dictionaries(
    {
        "service": possible_names,
        "name": possible_names,
        "user": possible_names,
        "password": st.sampled_from(["POSTGRES_PASSWORD", "API_DB_PASSWORD"]),
    }
)
_stacks = st.fixed_dictionaries(
    {"database": _databases, "owners": _owners()},
    optional={
        "apps": st.dictionaries(odd_names, st.just({}), max_size=3),
        "processes": st.dictionaries(
            st.sampled_from(["web", "my web", "ä"]), st.fixed_dictionaries({"env": st.just({"A": "b"})}), max_size=3
        ),
    },
)


def _found(stack: Any, layout: LayoutName) -> Mapping[str, Place] | None:
    """The places; nothing where they are refused as things are to be refused."""
    try:
        return places(parse({"bootorder": stack}), layout)
    except SettingsError as error:
        is_a_refusal(error)
        return None


def _stack(**owners: Any) -> dict[str, Any]:
    database = {"service": "postgres", "name": "taskflow", "user": "taskflow", "password": "POSTGRES_PASSWORD"}
    needed = {"migrator": "command", "service": "one", "migrate": "make"}
    return {"database": database, "owners": {name: needed | its for name, its in owners.items()}}


@given(_stacks, st.sampled_from(LAYOUTS))
@example(_stack(one={"schema": "common"}, two={"schema": "common"}), "schemas")
@example(_stack(one={"database": "A_NAME"}, two={"database": "A_NAME"}), "databases")
@example(_stack(one={"password": "A", "database": "A"}), "shared")
@example(_stack(one={"password": "A"}, two={"database": "A"}), "shared")
@example(_stack(one={"password": "POSTGRES_PASSWORD"}), "shared")
@example(_stack(one={"role": "a\0b"}), "shared")
@example(_stack(**{"": {"role": "a", "password": "B", "database": "C"}}), "shared")
def test_any_stack_has_places_that_postgres_can_have_or_is_refused(stack: dict[str, Any], layout: LayoutName) -> None:
    found = _found(stack, layout)
    if found is None:
        return
    tasks = stack["database"]

    assert list(found) == list(stack["owners"])
    for owner, place in found.items():
        assert owner == place.owner != ""
        assert all(fitting(name) and "\0" not in name for name in (place.role, place.schema, place.database))
        assert not place.role.startswith("pg_")
        assert not place.schema.startswith("pg_")
    assert tasks["user"] not in {place.role for place in found.values()}
    assert len({place.role for place in found.values()}) == len(found)
    # What a person would have to write into .env says one thing each.
    passwords = [place.password for place in found.values()]
    names = {place.database_variable: place.database for place in found.values()}
    assert len({*passwords, tasks["password"]}) == len(found) + 1
    assert not names.keys() & {*passwords, tasks["password"]}
    assert all(names[place.database_variable] == place.database for place in found.values())
    # Nobody's tables lie in a schema of another one.
    homes = [(place.database, place.schema) for place in found.values()]
    assert len(set(homes)) == len(homes) or {schema for _, schema in homes if homes.count((_, schema)) > 1} == {
        "public"
    }
    assert layout != "databases" or len({place.database for place in found.values()}) == len(found)
    assert layout == "databases" or {place.database for place in found.values()} <= {tasks["name"]}


@given(_stacks, st.sampled_from(LAYOUTS))
def test_owners_migrate_after_all_that_they_read_or_refer_to(stack: dict[str, Any], layout: LayoutName) -> None:
    found = _found(stack, layout)
    order = list(found or ())
    for owner, place in (found or {}).items():
        wanted = {name for key in ("reads", "references") for name in stack["owners"][owner].get(key, [])}
        assert {other.owner for other in place.needs} == wanted
        assert all(order.index(other.owner) < order.index(owner) for other in place.needs)


_few = ["a", "b", "c", "d"]
_graphs = st.lists(st.sampled_from(_few), unique=True, min_size=1).flatmap(
    lambda names: st.fixed_dictionaries({name: st.lists(st.sampled_from(names), max_size=2) for name in names})
)


def _reached(graph: Mapping[str, Sequence[str]], start: str) -> set[str]:
    seen: set[str] = set()
    left = [*graph[start]]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += graph[name]
    return seen


@given(_graphs, st.sampled_from(["reads", "references"]))
def test_of_owners_that_need_each_other_the_circle_is_named_and_of_one_too_late_where_to_write_it(
    graph: dict[str, list[str]], setting: str
) -> None:
    stack = _stack(**{name: {setting: needed} for name, needed in graph.items()})
    order = list(graph)
    late = {(a, b) for a, needed in graph.items() for b in needed if order.index(a) <= order.index(b)}
    circle = {name for name in graph if name in _reached(graph, name)}
    if not late:
        assert list(places(parse({"bootorder": stack}), "shared")) == order
        return
    with pytest.raises(SettingsError) as caught:
        places(parse({"bootorder": stack}), "shared")
    error = caught.value
    is_a_refusal(error)
    if circle:
        # A chain of names from one of them back to it; "write a above b" would go on for ever.
        chain = error.seen.split(" -> ")
        assert chain[0] == chain[-1]
        assert all(b in graph[a] for a, b in itertools.pairwise(chain))
        assert len(chain) == len(set(chain)) + 1
    else:
        assert any(f"write {b} above {a} " in error.hint for a, b in late)


def test_an_owner_that_leans_on_all_before_it_is_no_more_work_than_any_other() -> None:
    names = [f"o{number}" for number in range(40)]
    stack = _stack(**{name: {"reads": names[:at], "references": names[:at]} for at, name in enumerate(names)})

    last = places(parse({"bootorder": stack}), "shared")["o39"]

    assert [place.owner for place in last.needs] == names[:-1]
    assert len(repr(last)) < 1000


# -- nonsense ----------------------------------------------------------------------------------------------------------

_known = sorted(
    {
        field.alias or name
        for part in (Settings, DatabaseSettings, OwnerSettings, AppSettings, ProcessSettings)
        for name, field in part.model_fields.items()
    }
)
_keys = st.one_of(st.sampled_from(_known), st.sampled_from(["bootorder", "ownrs"]), odd_text, st.integers(), st.none())
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**310),
    st.floats(),
    odd_text,
    st.text("'\"\\ a", max_size=6),
    st.sampled_from(["a\0b", "\ud800", "${", "auto", "shared", "command", "A"]),
    st.dates(),  # YAML has them
    st.binary(max_size=3),
)
_anything = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=5)),
    max_leaves=12,
)


def _parsed(config: Any) -> Settings | None:
    try:
        return parse(config)
    except SettingsError as error:
        is_a_refusal(error)
        return None


@given(st.dictionaries(_keys, _anything, max_size=3), _anything)
def test_nonsense_is_refused_and_nothing_else_happens(around: dict[Any, Any], part: Any) -> None:
    _parsed(around)
    _parsed(around | {"bootorder": part})


@given(st.data())
def test_nonsense_in_one_place_of_a_good_stack_is_refused_or_means_something(data: st.DataObject) -> None:
    stack = _stack(one={}, two={"reads": ["one"]}) | {"apps": {"web": {}}, "processes": {"web": {"env": {}}}}
    part: Any = stack
    while isinstance(part, dict):
        key = data.draw(st.one_of(st.sampled_from(sorted(part)), _keys) if part else _keys)
        if isinstance(part.get(key), dict) and data.draw(st.integers(0, 3)):
            part = part[key]
            continue
        part[key] = data.draw(_anything)
        break
    if (good := _parsed({"bootorder": stack})) is not None:
        for layout in LAYOUTS:
            _found(stack, layout)
        assert good.database.name


def test_what_is_nested_very_deeply_is_refused_as_well() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]

    assert _parsed({"bootorder": {"database": deep}}) is None
    assert _parsed({"bootorder": {"database": {}, "owners": {"one": {"service": deep}}}}) is None


@given(odd_text)
def test_a_flag_names_one_of_those_that_there_are_or_is_refused(word: str) -> None:
    settings = parse({"bootorder": _stack()})
    for choose in (runtime_name, layout_name):
        try:
            assert choose(word, settings) == (word or choose("", settings))
        except SettingsError as error:
            is_a_refusal(error)


# -- the plan ----------------------------------------------------------------------------------------------------------

# What must have been done for a stage to find what it works on, where it is done at all.
_NEEDS: Mapping[str, Sequence[str]] = {
    "stop": [],
    "clean": ["stop"],
    "db-up": ["stop", "clean"],
    "wait-db": ["db-up"],
    "guard": ["wait-db"],
    "migrate": ["guard"],
    "seed": ["migrate"],
    "apps-up": ["migrate", "seed"],
    "wait-apps": ["apps-up"],
}


@given(st.booleans(), st.booleans(), st.one_of(st.sampled_from([stage.name for stage in STAGES]), odd_text))
def test_any_flags_give_a_plan_in_which_what_a_stage_needs_comes_first(
    with_clean: bool, quick: bool, until: str
) -> None:
    try:
        names = [stage.name for stage in plan(with_clean=with_clean, quick=quick, until=until)]
    except SettingsError as error:
        is_a_refusal(error)
        assert until
        return
    left_out = {name for name, flag in (("clean", with_clean), ("stop", with_clean or not quick)) if not flag}
    for at, name in enumerate(names):
        assert set(_NEEDS[name]) - left_out <= set(names[:at])
    assert len(names) == len(set(names))
    assert not left_out & set(names)
    assert not until or names[-1] == until


# -- text with variables -----------------------------------------------------------------------------------------------

_pieces = st.sampled_from(["$", "$$", "${", "}", "${A}", "${B:-x}", "${A:-", "${}", ":-", "A", "é", "\n", "\\1"])


@given(st.one_of(st.lists(_pieces).map("".join), odd_text), st.dictionaries(_variables, odd_text, max_size=3))
def test_text_with_variables_is_filled_or_refused(text: str, variables: dict[str, str]) -> None:
    try:
        filled = expand(text, variables, "here")
    except SettingsError as error:
        is_a_refusal(error)
        assert "${" in text
    else:
        assert "$" in text or filled == text
    assert expand(text.replace("$", "$$"), variables, "here") == text


@given(st.lists(st.tuples(odd_text, _variables, odd_text), max_size=3))
def test_each_variable_gives_its_value_and_what_stands_around_stays(parts: list[tuple[str, str, str]]) -> None:
    values = {name: value or "x" for _, name, value in parts}
    written = "".join(before.replace("$", "$$") + f"${{{name}}}" for before, name, _ in parts)

    assert expand(written, values, "here") == "".join(before + values[name] for before, name, _ in parts)
