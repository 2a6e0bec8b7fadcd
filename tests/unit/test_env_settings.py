from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.env_settings import PREFIX, from_environment, overlay
from scripts.bootorder.errors import SettingsError

PART: dict[str, Any] = {
    "database": {"service": "postgres", "name": "shop", "user": "boss", "password": "POSTGRES_PASSWORD"},
    "owners": {"sso": {"migrator": "drizzle", "service": "sso-setup", "migrate": "pnpm db:push"}},
    "apps": {"web": {}, "sign-in": {}, "mail_out": {}},
    "processes": {"web": {"env": {"NODE_ENV": "production"}}},
}


def read(**variables: str) -> dict[str, Any]:
    return from_environment(PART, {f"{PREFIX}{name}": text for name, text in variables.items()})


def refusal(part: dict[str, Any], **variables: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        from_environment(part, {f"{PREFIX}{name}": text for name, text in variables.items()})
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("RUNTIME", "embedded", {"runtime": "embedded"}),
        ("DATABASE_WAIT", "120", {"database": {"wait": 120}}),
        ("DATABASE_WAIT", "0.5", {"database": {"wait": 0.5}}),
        ("DATABASE_MAJOR", "17", {"database": {"major": 17}}),
        ("DATABASE_PORT", "${MY_PORT:-5433}", {"database": {"port": "${MY_PORT:-5433}"}}),
        ("DATABASE_BESIDE", "pgadmin 'the mail'", {"database": {"beside": ["pgadmin", "the mail"]}}),
        ("DATABASE_BESIDE", '["pgadmin", "mail"]', {"database": {"beside": ["pgadmin", "mail"]}}),
        ("DATABASE_BESIDE", "", {"database": {"beside": []}}),
        ("OWNERS_SSO_MIGRATE", "pnpm 'db push'", {"owners": {"sso": {"migrate": ["pnpm", "db push"]}}}),
        ("OWNERS_SSO_SCHEMA", "login", {"owners": {"sso": {"schema": "login"}}}),
        ("OWNERS_SSO_VARIABLES", '{"user": "A"}', {"owners": {"sso": {"variables": {"user": "A"}}}}),
        ("OWNERS_SSO_VARIABLES_HOST", "DB_HOST", {"owners": {"sso": {"variables": {"host": "DB_HOST"}}}}),
        ("APPS_WEB_WAIT", "90", {"apps": {"web": {"wait": 90}}}),
        ("APPS_WEB_ENDS", "false", {"apps": {"web": {"ends": False}}}),
        ("APPS_WEB_ENDS", "Yes", {"apps": {"web": {"ends": True}}}),
        ("APPS_SIGN_IN_WAIT", "90", {"apps": {"sign-in": {"wait": 90}}}),
        ("APPS_MAIL_OUT_WAIT", "90", {"apps": {"mail_out": {"wait": 90}}}),
        ("PROCESSES_WEB_ENV_NODE_ENV", "1", {"processes": {"web": {"env": {"NODE_ENV": "1"}}}}),
        ("PROCESSES_WEB_ENV_LOG_LEVEL", "debug", {"processes": {"web": {"env": {"LOG_LEVEL": "debug"}}}}),
        ("CHECK_IGNORE", "push-with-force", {"check": {"ignore": ["push-with-force"]}}),
    ],
)
def test_a_variable_is_read_as_its_key_s_type(name: str, text: str, found: dict[str, Any]) -> None:
    assert read(**{name: text}) == found


def test_several_variables_are_one_tree_and_others_are_left_alone() -> None:
    others = {"INVOKE_RUN_ECHO": "1", "INVOKE_BOOTORDERS": "1", "PATH": "/bin"}

    assert from_environment(PART, others) == {}
    assert read(DATABASE_WAIT="5", DATABASE_MAJOR="17") == {"database": {"wait": 5, "major": 17}}
    assert read(OWNERS_SSO_VARIABLES='{"user": "A"}', OWNERS_SSO_VARIABLES_HOST="B") == {
        "owners": {"sso": {"variables": {"user": "A", "host": "B"}}},
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("RUNTIME", "dokcer", "should be 'auto', 'compose' or 'embedded', not 'dokcer'"),
        ("RUNTIME", "", "should be 'auto', 'compose' or 'embedded', not ''"),
        ("DATABASE_WAIT", "soon", "should be a number, not 'soon'"),
        ("DATABASE_WAIT", "-1", "should be more than 0, not -1.0"),
        ("DATABASE_WAIT", "nan", "should be a number, not nan"),
        ("DATABASE_MAJOR", "17.5", "should be a whole number, not '17.5'"),
        ("DATABASE_BESIDE", '["pgadmin"', "cannot be read: expecting ',' delimiter: line 1 column 11 (char 10)"),
        ("OWNERS_SSO_SEED", "sh -c 'x", "cannot be read: no closing quotation"),
        ("OWNERS_SSO_VARIABLES", "{user: A}", "cannot be read: expecting property name"),
        ("OWNERS_SSO_VARIABLES", "[]", "should have names and values below it, not []"),
        ("APPS_WEB_ENDS", "maybe", "should be `true` or `false`, not 'maybe'"),
        ("APPS_WEB_HEALTH", "health", "should be a path that begins with `/`, not 'health'"),
    ],
)
def test_a_value_that_its_key_cannot_have_is_refused_by_the_variables_name(name: str, text: str, said: str) -> None:
    error = refusal(PART, **{name: text})

    assert error.message.startswith(f"{PREFIX}{name} {said}")
    assert f"unset {PREFIX}{name}" in error.hint


@pytest.mark.parametrize(
    ("name", "near"),
    [("RUNTME", "RUNTIME"), ("APPS_WEBB_WAIT", "APPS_WEB_WAIT"), ("DATABASE_WAITS", "DATABASE_WAIT"), ("ZZZ", "")],
)
def test_an_unknown_variable_is_refused_and_names_the_nearest_known_one(name: str, near: str) -> None:
    message = refusal(PART, **{name: "1"}).message

    assert message == f"unknown variable {PREFIX}{name}" + (f"; did you mean {PREFIX}{near}?" if near else "")


def test_what_has_only_keys_below_it_has_no_variable_of_its_own() -> None:
    assert refusal(PART, DATABASE="{}").message.startswith(f"unknown variable {PREFIX}DATABASE")


def test_of_names_that_differ_only_in_what_no_variable_can_have_none_is_guessed() -> None:
    part = PART | {"apps": {"sign-in": {}, "sign_in": {}}}

    message = refusal(part, APPS_SIGN_IN_WAIT="5").message

    assert "`bootorder.apps.sign-in.wait` or `bootorder.apps.sign_in.wait`" in message
    assert from_environment(part, {f"{PREFIX}RUNTIME": "auto"}) == {"runtime": "auto"}, "only where it is asked for"


@pytest.mark.parametrize("part", [{}, {"apps": None}, {"apps": []}, {"apps": {"web": None}, "owners": {1: {}}}])
def test_a_part_of_another_shape_has_no_names(part: dict[str, Any]) -> None:
    assert from_environment(part, {f"{PREFIX}RUNTIME": "auto"}) == {"runtime": "auto"}


@given(st.text(), st.sampled_from(["RUNTIME", "DATABASE_WAIT", "SECRETS", "OWNERS_SSO_VARIABLES", "APPS_WEB_ENDS"]))
def test_properties_of_any_text_something_is_read_or_the_variable_is_named(text: str, name: str) -> None:
    said = f"{PREFIX}{name} "
    try:
        assert read(**{name: text})
    except SettingsError as error:
        said = error.message

    assert said.startswith(f"{PREFIX}{name} ")


def test_values_are_written_over_those_of_the_file() -> None:
    part = {"runtime": "auto", "apps": {"web": {"wait": 5, "health": "/"}}}

    overlay(part, {"layout": "shared", "apps": {"web": {"wait": 7}}})

    assert part == {"runtime": "auto", "layout": "shared", "apps": {"web": {"wait": 7, "health": "/"}}}
