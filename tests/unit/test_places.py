from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.bootorder.errors import SettingsError
from scripts.bootorder.places import Place, places
from scripts.bootorder.settings import LayoutName, Settings, parse

from .fakes import CONFIG


def settings(user: Any = "taskflow", name: Any = "taskflow", **owners: Any) -> Settings:
    """The stack, each of its owners with these settings too; others come after them."""
    config = json.loads(json.dumps(CONFIG))
    config["database"] |= {"user": user, "name": name}
    for owner, more in owners.items():
        config["owners"][owner] = {**config["owners"].get(owner, config["owners"]["api"]), **more}
    return parse({"bootorder": config})


def refused(layout: LayoutName = "shared", /, **given: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        places(settings(**given), layout)
    return caught.value


# -- what follows from an owner's name ---------------------------------------------------------------------------------


def test_in_one_schema_owners_differ_by_role_only() -> None:
    assert places(settings(), "shared") == {
        "sso": Place("sso", "sso", "taskflow", "public", "SSO_DB_PASSWORD", "SSO_DB_NAME"),
        "api": Place("api", "api", "taskflow", "public", "API_DB_PASSWORD", "API_DB_NAME"),
    }


def test_with_schemas_a_tool_that_knows_public_only_stays_there() -> None:
    found = places(settings(), "schemas")

    assert {owner: (place.database, place.schema) for owner, place in found.items()} == {
        "sso": ("taskflow", "public"),  # drizzle
        "api": ("taskflow", "api"),
    }


def test_with_databases_each_owner_has_one_and_its_schema_public() -> None:
    found = places(settings(), "databases")

    assert {owner: (place.database, place.schema) for owner, place in found.items()} == {
        "sso": ("taskflow_sso", "public"),
        "api": ("taskflow_api", "public"),
    }


def test_a_role_s_name_is_its_schema_s_too() -> None:
    assert places(settings(api={"role": "api_owner"}), "schemas")["api"].schema == "api_owner"
    assert places(settings(api={"role": "api_owner", "schema": "tasks"}), "schemas")["api"].schema == "tasks"


def test_a_schema_of_the_settings_is_for_that_layout_only() -> None:
    given = settings(sso={"schema": "login"}, api={"schema": "tasks"})

    assert [place.schema for place in places(given, "schemas").values()] == ["login", "tasks"]
    assert [place.schema for place in places(given, "shared").values()] == ["public", "public"]


def test_variables_can_be_named() -> None:
    found = places(settings(api={"password": "TASKS_PASSWORD", "database": "TASKS_DATABASE"}), "shared")["api"]

    assert (found.password, found.database_variable) == ("TASKS_PASSWORD", "TASKS_DATABASE")


@pytest.mark.parametrize(
    ("owner", "variable"),
    [("back-office", "BACK_OFFICE_DB_PASSWORD"), ("été", "T_DB_PASSWORD"), ("a.b", "A_B_DB_PASSWORD")],
)
def test_a_variable_is_made_of_the_letters_that_one_can_have(owner: str, variable: str) -> None:
    assert places(settings(**{owner: {}}), "shared")[owner].password == variable


@pytest.mark.parametrize("owner", ["é", "1st", "--"])
def test_an_owner_after_whom_no_variable_can_be_named_is_refused(owner: str) -> None:
    error = refused(**{owner: {"role": "other"}})

    assert f"no variable can be named after the owner `{owner}`" in error.message
    assert f"`owners.{owner}.password`" in error.hint
    named = settings(**{owner: {"role": "other", "password": "OTHER_PASSWORD", "database": "OTHER_DATABASE"}})
    assert places(named, "shared")[owner].password == "OTHER_PASSWORD"


# -- reading from others -----------------------------------------------------------------------------------------------


def test_an_owner_may_read_and_refer_to_those_before_it() -> None:
    given = settings(api={"reads": ["sso"]}, web={"references": ["api"], "reads": ["sso", "api"]})

    found = places(given, "shared")

    assert found["api"].reads == (found["sso"],)
    assert found["api"].references == ()
    assert [place.owner for place in found["web"].needs] == ["api", "sso"]


@pytest.mark.parametrize("setting", ["reads", "references"])
@pytest.mark.parametrize("other", ["api", "nobody"])
def test_an_owner_that_does_not_migrate_before_is_refused(setting: str, other: str) -> None:
    error = refused(sso={setting: [other]})

    assert error.message == f"`owners.sso.{setting}` names {other}, which does not migrate before it"
    assert f"write {other} above sso" in error.hint


@pytest.mark.parametrize("setting", ["reads", "references"])
def test_nothing_leads_from_one_database_to_another(setting: str) -> None:
    error = refused("databases", api={setting: ["sso"]})

    assert f"`owners.api.{setting}` cannot be in the layout `databases`" in error.message
    assert "`schemas` or `shared`" in error.hint


def test_without_grants_nobody_reads_anything() -> None:
    """To ask where owners would be, whatever they may read."""
    found = places(settings(api={"reads": ["sso"]}), "databases", grants=False)

    assert found["api"].database == "taskflow_api"
    assert found["api"].needs == []


# -- names that cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["public", "PUBLIC", "none", "current_user", "session_user", "pg_api", "pg_monitor"])
def test_a_role_that_postgres_keeps_for_itself_is_refused(role: str) -> None:
    error = refused(api={"role": role})

    assert f"no role can be called `{role}`" in error.message
    assert "`owners.api.role`" in error.hint


def test_an_owner_is_never_the_superuser() -> None:
    error = refused(user="api")

    assert "the owner api cannot be api: that is the tasks' own role" in error.message
    assert "`owners.api.role`" in error.hint


@pytest.mark.parametrize(
    ("what", "more"), [("role", {"role": "sso"}), ("password", {"role": "other", "password": "SSO_DB_PASSWORD"})]
)
def test_what_two_owners_have_is_refused(what: str, more: dict[str, str]) -> None:
    error = refused(api=more)

    assert f"sso and api have the same {what}" in error.message
    assert f"`owners.api.{what}`" in error.hint


@pytest.mark.parametrize("schema", ["bootorder", "information_schema", "pg_catalog", "pg_toast"])
def test_a_schema_that_is_not_an_owner_s_is_refused(schema: str) -> None:
    assert f"the schema `{schema}` is not an owner's to have" in refused("schemas", api={"schema": schema}).message


@pytest.mark.parametrize(("layout", "more"), [("shared", {"role": "ä" * 32}), ("schemas", {"schema": "x" * 64})])
def test_a_name_is_measured_in_bytes(layout: LayoutName, more: dict[str, str]) -> None:
    error = refused(layout, api=more)

    assert "is too long for a name in PostgreSQL" in error.message
    assert (error.expected, error.seen) == ("63 bytes at most", "64 bytes")


def test_the_longest_names_are_allowed() -> None:
    assert places(settings(api={"role": "ä" * 31 + "x"}), "shared")["api"].role == "ä" * 31 + "x"


def test_a_database_s_name_with_its_owner_s_may_be_too_long() -> None:
    long = "d" * 60

    assert places(settings(name=long), "shared")
    assert f"`{long}_sso` is too long" in refused("databases", name=long).message
