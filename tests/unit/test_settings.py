from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from invoke.config import Config
from invoke.context import Context

from scripts.bootorder.errors import SettingsError
from scripts.bootorder.program import configuration
from scripts.bootorder.settings import (
    AppSettings,
    DatabaseSettings,
    OwnerSettings,
    ProcessSettings,
    Settings,
    layout_name,
    nearest,
    parse,
    runtime_name,
)

DATABASE = {"service": "postgres", "name": "taskflow", "user": "taskflow", "password": "POSTGRES_PASSWORD"}
OWNER = {"migrator": "drizzle", "service": "sso-setup", "migrate": "pnpm db:push"}


def settings(**parts: Any) -> Settings:
    return parse({"bootorder": {"database": DATABASE, **parts}})


def refusal(**parts: Any) -> str:
    """What a person reads of the error, message and details."""
    with pytest.raises(SettingsError) as caught:
        settings(**parts)
    return "\n".join([caught.value.message, *caught.value.details])


def test_the_smallest_stack_is_one_database() -> None:
    smallest = settings()

    assert smallest.runtime == "auto"
    assert smallest.database.wait == 60
    assert not smallest.owners
    assert not smallest.apps
    assert not smallest.processes
    assert (smallest.database.port, smallest.database.major, smallest.database.binaries) == ("5432", 18, "wheel")


def test_the_sample_stack_is_valid() -> None:
    config = Config(project_location=Path(__file__).parents[2])
    config.load_project()

    sample = parse(configuration(Context(config)))

    assert list(sample.owners) == ["sso", "api"]
    assert sample.owners["sso"].migrate == ("pnpm", "db:push")
    assert set(sample.apps) == {"sso", "api", "web"}
    assert {*sample.apps, *sample.database.beside, "sso-setup"} == set(sample.processes)
    assert [name for name, process in sample.processes.items() if process.optional] == ["pgadmin"]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().database.name = "other"


@pytest.mark.parametrize("config", [{}, {"bootorder": None}, {"bootorder": []}, {"bootorder": "yes"}])
def test_a_missing_or_empty_part_is_said_to_be_missing(config: Mapping[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(config)

    assert "no `bootorder:` part" in caught.value.message
    assert "`bootorder` is not it" not in caught.value.message


def test_a_misspelt_part_is_named() -> None:
    with pytest.raises(SettingsError, match="`bootordr` is not it"):
        parse({"bootordr": {"database": DATABASE}, "run": {}, "sudo": {}})


def test_an_unknown_key_names_where_it_stands_and_the_nearest_known_one() -> None:
    said = refusal(apps={"web": {"halth": "/health"}})

    assert said == "invoke.yaml: unknown key `bootorder.apps.web.halth`; did you mean `health`?"


def test_an_unknown_key_unlike_any_other_is_refused_without_a_guess() -> None:
    assert refusal(zzzzzz=1) == "invoke.yaml: unknown key `bootorder.zzzzzz`"


def test_an_owner_s_schema_is_called_schema() -> None:
    assert settings(owners={"sso": OWNER | {"schema": "login"}}).owners["sso"].in_schema == "login"
    assert settings(owners={"sso": OWNER}).owners["sso"].in_schema == ""


@pytest.mark.parametrize("key", ["shema", "schemas", "in_schema"])
def test_a_misspelt_schema_is_named_as_it_is_written(key: str) -> None:
    said = refusal(owners={"sso": OWNER | {key: "login"}})

    assert said == f"invoke.yaml: unknown key `bootorder.owners.sso.{key}`; did you mean `schema`?"


def test_every_problem_is_told_at_once() -> None:
    said = refusal(owners={"sso": {"migrator": "drizzle"}}, apps={"web": {"halth": ""}})

    assert "`bootorder.owners.sso.service` is missing" in said
    assert "`bootorder.owners.sso.migrate` is missing" in said
    assert "`bootorder.apps.web.halth`" in said


_PARTS: Mapping[str, tuple[type[Any], Mapping[str, Any]]] = {
    "": (Settings, {"database": DATABASE}),
    "database": (DatabaseSettings, DATABASE),
    "owners.sso": (OwnerSettings, OWNER),
    "apps.web": (AppSettings, {}),
    "processes.web": (ProcessSettings, {}),
}


def _one_letter_from(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1:
        return False
    if len(one) == len(other):
        return sum(a != b for a, b in zip(one, other, strict=True)) <= 1
    shorter, longer = sorted((one, other), key=len)
    return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))


@given(data=st.data())
def test_any_key_with_one_wrong_letter_is_refused_and_the_right_key_is_named(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(_PARTS)))
    model, valid = _PARTS[path]
    known = sorted(field.alias or name for name, field in model.model_fields.items())
    right = data.draw(st.sampled_from(known))
    at = data.draw(st.integers(0, len(right)))
    letter = data.draw(st.sampled_from(string.ascii_lowercase + "_"))
    wrong = data.draw(
        st.sampled_from(
            [right[:at] + letter + right[at:], right[:at] + right[at + 1 :], right[:at] + letter + right[at + 1 :]]
        )
    )
    assume(wrong not in known)

    part = {wrong if key == right else key: value for key, value in valid.items()} | {wrong: valid.get(right, "x")}
    for name in reversed(path.split(".") if path else []):
        part = {name: part}
    with pytest.raises(SettingsError) as caught:
        parse({"bootorder": {"database": DATABASE, **part} if path else part})

    said = "\n".join([caught.value.message, *caught.value.details])
    assert ".".join(filter(None, ["bootorder", path, wrong])) in said
    assert any(f"did you mean `{key}`?" in said for key in known if _one_letter_from(wrong, key)), said


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"secrets": "POSTGRES_PASSWORD"}, "bootorder.secrets"),
        ({"owners": 5}, "bootorder.owners"),
        ({"owners": {"sso": OWNER | {"migrate": 5}}}, "bootorder.owners.sso.migrate"),
        ({"owners": {"sso": OWNER | {"migrate": ["pnpm", 5]}}}, "bootorder.owners.sso.migrate.1"),
        ({"owners": {"sso": OWNER | {"migrate": ""}}}, "bootorder.owners.sso.migrate"),
        ({"owners": {"sso": OWNER | {"migrate": "pnpm 'push"}}}, "bootorder.owners.sso.migrate"),
        ({"owners": {"sso": OWNER | {"migrator": "drizle"}}}, "bootorder.owners.sso.migrator"),
        ({"owners": {"sso": OWNER | {"run": "cloud"}}}, "bootorder.owners.sso.run"),
        ({"database": DATABASE | {"name": ""}}, "bootorder.database.name"),
        ({"database": DATABASE | {"name": 5}}, "bootorder.database.name"),
        ({"database": DATABASE | {"wait": 0}}, "bootorder.database.wait"),
        ({"database": DATABASE | {"wait": -1}}, "bootorder.database.wait"),
        ({"database": DATABASE | {"wait": float("nan")}}, "bootorder.database.wait"),
        ({"database": DATABASE | {"wait": float("inf")}}, "bootorder.database.wait"),
        ({"database": DATABASE | {"wait": True}}, "bootorder.database.wait"),
        ({"apps": {"web": {"wait": "soon"}}}, "bootorder.apps.web.wait"),
        ({"apps": {"web": None}}, "bootorder.apps.web"),
        ({"apps": {"web": {"health": True}}}, "bootorder.apps.web.health"),
        ({"apps": {"web": {"health": "health"}}}, "bootorder.apps.web.health"),
        ({"runtime": "nonsense"}, "bootorder.runtime"),
        ({"database": DATABASE | {"port": ""}}, "bootorder.database.port"),
        ({"database": DATABASE | {"port": True}}, "bootorder.database.port"),
        ({"database": DATABASE | {"port": 54.32}}, "bootorder.database.port"),
        ({"database": DATABASE | {"port": None}}, "bootorder.database.port"),
        ({"database": DATABASE | {"major": 13}}, "bootorder.database.major"),
        ({"database": DATABASE | {"major": "18"}}, "bootorder.database.major"),
        ({"database": DATABASE | {"major": 18.0}}, "bootorder.database.major"),
        ({"database": DATABASE | {"binaries": "docker"}}, "bootorder.database.binaries"),
        ({"processes": {"web": None}}, "bootorder.processes.web"),
        ({"processes": {"web": {"directory": ""}}}, "bootorder.processes.web.directory"),
        ({"processes": {"web": {"run": "node 'x"}}}, "bootorder.processes.web.run"),
        ({"processes": {"web": {"port": False}}}, "bootorder.processes.web.port"),
        ({"processes": {"web": {"env": {"DEBUG": True}}}}, "bootorder.processes.web.env.DEBUG"),
        ({"processes": {"web": {"env": {"DEBUG": None}}}}, "bootorder.processes.web.env.DEBUG"),
        ({"processes": {"web": {"env": ["DEBUG=1"]}}}, "bootorder.processes.web.env"),
        ({"processes": {"web": {"optional": "maybe"}}}, "bootorder.processes.web.optional"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_one_line_that_says_where(parts: Mapping[str, Any], path: str) -> None:
    said = refusal(**parts)

    assert f"`{path}`" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"secrets": ["1ST"]},
            "`bootorder.secrets.0` should be a variable's name: letters, digits and `_`, no digit first",
        ),
        ({"processes": {".x": {}}}, "`bootorder.processes..x` should be a name without slashes that does not begin"),
        ({"processes": {"x": {"env": {"A B": ""}}}}, "`bootorder.processes.x.env.A B` should be a variable's name"),
        ({"apps": {"web": {"health": "health"}}}, "should be a path that begins with `/`, not 'health'"),
        ({"apps": {"web": {"wait": 0}}}, "should be more than 0, not 0"),
        ({"apps": {"web": {"wait": "soon"}}}, "should be a number, not 'soon'"),
        ({"apps": {"web": None}}, "`bootorder.apps.web` should have keys below it, not None"),
        ({"database": DATABASE | {"major": 13}}, "should be at least 14, not 13"),
        ({"database": DATABASE | {"name": ""}}, "`bootorder.database.name` should not be empty, not ''"),
        (
            {"database": DATABASE | {"user": "pg_x"}},
            "`bootorder.database.user`: PostgreSQL keeps names that begin with",
        ),
        ({"secrets": "ONE"}, "`bootorder.secrets` should be a list, not 'ONE'"),
        ({"runtime": "nonsense"}, "should be 'auto', 'compose' or 'embedded', not 'nonsense'"),
        ({"processes": {"x": {"optional": "maybe"}}}, "should be `true` or `false`, not 'maybe'"),
        ({"processes": {"x": {"env": {"DEBUG": True}}}}, "should be text, not True"),
    ],
)
def test_a_wrong_value_is_told_in_a_persons_words(parts: Mapping[str, Any], said: str) -> None:
    message = refusal(**parts)

    assert said in message
    assert not any(word in message for word in ("nput should", "pattern", "valid"))


def test_a_host_owner_without_a_folder_is_refused_in_words() -> None:
    said = refusal(owners={"sso": OWNER | {"run": "host"}})

    assert "`bootorder.owners.sso`" in said
    assert "needs `directory`" in said


def test_services_that_are_to_connect_as_an_owner_need_the_compose_files_named() -> None:
    said = refusal(owners={"sso": OWNER | {"connects": ["sso"]}})

    assert "`owners.sso.connects` needs `compose`" in said


@pytest.mark.parametrize("password", [{}, {"password": "PW", "service_password": "PW"}])
def test_the_tasks_have_their_password_from_one_place(password: Mapping[str, str]) -> None:
    database = {name: value for name, value in DATABASE.items() if name != "password"}

    assert "`password`, a variable of .env, is needed" in refusal(database={**database, **password})


def test_processes_need_a_password_in_env() -> None:
    database = {name: value for name, value in DATABASE.items() if name != "password"}
    said = refusal(database={**database, "service_password": "PW"}, processes={"api": {"run": "x"}})

    assert "`processes` needs `database.password`" in said


def test_a_key_below_which_everything_is_commented_out_is_empty() -> None:
    assert settings(owners=None, apps=None, processes=None).owners == {}


def test_parts_of_a_connection_without_whom_it_is_are_refused_in_words() -> None:
    said = refusal(owners={"sso": OWNER | {"variables": {"host": "DB_HOST", "database": "DB_NAME"}}})

    assert "`variables` needs password and user, too" in said
    assert "value error" not in said
    assert "{" not in said, "the whole part is no answer to what is wrong with it"


def test_commands_are_split_as_a_shell_would_but_no_shell_is_needed() -> None:
    owner = settings(owners={"sso": OWNER | {"migrate": "pnpm push --name 'two words'", "seed": ["a b", "c"]}}).owners[
        "sso"
    ]

    assert owner.migrate == ("pnpm", "push", "--name", "two words")
    assert owner.seed == ("a b", "c")


@pytest.mark.parametrize(("written", "read"), [(5433, "5433"), ("5433", "5433"), ("${PORT:-1}", "${PORT:-1}")])
def test_a_port_is_a_number_or_text_from_which_one_is_made_later(written: object, read: str) -> None:
    found = settings(database=DATABASE | {"port": written}, processes={"web": {"port": written}})

    assert (found.database.port, found.processes["web"].port) == (read, read)


def test_numbers_in_an_environment_are_the_text_they_are_written_as() -> None:
    """YAML makes numbers of them; quotes would be easy to forget."""
    env = settings(processes={"web": {"env": {"WORKERS": 4, "RATE": 0.5, "NAME": "web"}}}).processes["web"].env

    assert env == {"WORKERS": "4", "RATE": "0.5", "NAME": "web"}


def test_a_variable_that_no_shell_would_take_is_refused_by_name() -> None:
    assert "`bootorder.processes.web.env.NOT-A-NAME" in refusal(processes={"web": {"env": {"NOT-A-NAME": "1"}}})


@pytest.mark.parametrize("name", ["", ".", "..", "../web", "a/b", "a\\b", ".hidden"])
def test_a_name_that_could_lead_out_of_its_folder_is_refused(name: str) -> None:
    """Records, logs and data of a process are called by its name."""
    assert f"`bootorder.processes.{name}" in refusal(processes={name: {}})


@pytest.mark.parametrize("name", ["a", "web", "web-2", "web.v2", "two words", "wäb"])
def test_any_other_name_will_do(name: str) -> None:
    assert list(settings(processes={name: {}}).processes) == [name]


def test_a_process_needs_nothing_but_its_name() -> None:
    web = settings(processes={"web": {}}).processes["web"]

    assert (web.directory, web.port, web.optional) == (".", None, False)
    assert (web.install, web.build, web.run, web.env) == ((), (), (), {})


def test_commands_of_a_process_are_split_as_a_shell_would() -> None:
    web = settings(processes={"web": {"install": "pnpm install", "build": ["pnpm", "a b"], "run": "node 'x y.js'"}})

    assert web.processes["web"].install == ("pnpm", "install")
    assert web.processes["web"].build == ("pnpm", "a b")
    assert web.processes["web"].run == ("node", "x y.js")


@pytest.mark.parametrize("parts", [{"database": DATABASE | {"major": 14}}, {"database": DATABASE | {"major": 19}}])
def test_another_major_version_may_be_asked_for(parts: Mapping[str, Any]) -> None:
    assert settings(**parts).database.major in {14, 19}


def test_owners_keep_the_order_they_are_written_in() -> None:
    owners = dict.fromkeys(("zebra", "api", "middle"), OWNER)

    assert list(settings(owners=owners).owners) == ["zebra", "api", "middle"]


def test_the_runtime_flag_wins_over_the_setting() -> None:
    assert runtime_name("compose", settings(runtime="auto")) == "compose"
    assert runtime_name("", settings(runtime="compose")) == "compose"


def test_an_unknown_runtime_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        runtime_name("compos", settings())

    assert caught.value.message == "unknown runtime `compos`; did you mean `compose`?"
    assert caught.value.expected == "auto, compose, embedded"
    assert caught.value.exit_code == 2


def test_the_layout_flag_wins_over_the_setting() -> None:
    assert layout_name("", settings()) == "shared"
    assert layout_name("", settings(layout="schemas")) == "schemas"
    assert layout_name("databases", settings(layout="schemas")) == "databases"


def test_an_unknown_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        layout_name("schema", settings())

    assert caught.value.message == "unknown layout `schema`; did you mean `schemas`?"
    assert caught.value.expected == "shared, schemas, databases"
    assert "bootorder.layout" in refusal(layout="schema")


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_the_nearest_word_is_a_known_one_or_nothing(word: str, known: list[str]) -> None:
    assert nearest(word, known) in {"", *known}
