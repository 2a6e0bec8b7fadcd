from __future__ import annotations

import pytest

from scripts.bootorder.errors import NotReadyError, SettingsError
from scripts.bootorder.settings import AppSettings

from .fakes import TARGET, FakeStack


def test_apps_are_all_services_but_the_database_what_is_beside_it_and_one_offs(stack: FakeStack) -> None:
    del stack.config["apps"]["web"]
    stack.config["apps"]["api"] = {"health": "/health", "wait": 5}

    assert stack.boot().apps == {
        "sso": AppSettings(),
        "api": AppSettings(health="/health", wait=5),
        "web": AppSettings(),
    }


def test_a_stack_whose_services_are_all_known_is_in_order(stack: FakeStack) -> None:
    stack.boot().check()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("database", "service"), "wab"),
        (("database", "beside"), ["pgadmin", "wab"]),
        (("owners", "sso", "service"), "wab"),
        (("apps", "wab"), {}),
    ],
)
def test_a_service_that_compose_does_not_know_is_refused_with_the_nearest_one(
    stack: FakeStack, path: tuple[str, ...], value: object
) -> None:
    part = stack.config
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value

    with pytest.raises(SettingsError, match="`wab`; did you mean `web`") as caught:
        stack.boot().check()

    assert caught.value.exit_code == 2


# -- what is started only when it is asked for -------------------------------------------------------------------------


def test_what_is_optional_is_left_out_until_it_is_asked_for(stack: FakeStack) -> None:
    stack.runtime.optional_ones = ["pgadmin", "web"]
    assert (stack.boot().beside, list(stack.boot().apps)) == ([], ["sso", "api"])

    with_pgadmin = stack.boot(asked_for=["pgadmin"])
    assert (with_pgadmin.beside, list(with_pgadmin.apps)) == (["pgadmin"], ["sso", "api"])

    with_web = stack.boot(asked_for=["web"])
    assert (with_web.beside, list(with_web.apps)) == ([], ["sso", "api", "web"])


def test_what_stands_beside_the_database_is_no_app_whether_it_is_started_or_not(stack: FakeStack) -> None:
    stack.runtime.optional_ones = ["pgadmin"]

    for asked_for in ([], ["pgadmin"]):
        assert "pgadmin" not in stack.boot(asked_for=asked_for).apps


def test_what_is_not_optional_may_be_asked_for_too(stack: FakeStack) -> None:
    boot = stack.boot(asked_for=["web"])

    boot.check()

    assert list(boot.apps) == ["sso", "api", "web"]


def test_an_unknown_service_to_start_is_refused_with_the_optional_ones(stack: FakeStack) -> None:
    stack.runtime.optional_ones = ["pgadmin"]

    with pytest.raises(SettingsError) as caught:
        stack.boot(asked_for=["pgadmn"]).check()

    assert caught.value.message == "unknown service to start --with `pgadmn`; did you mean `pgadmin`?"
    assert caught.value.expected == "pgadmin"


def test_where_nothing_is_optional_an_unknown_service_to_start_is_refused_with_all(stack: FakeStack) -> None:
    with pytest.raises(SettingsError) as caught:
        stack.boot(asked_for=["wab"]).check()

    assert "did you mean `web`?" in caught.value.message
    assert caught.value.expected == "postgres, pgadmin, sso-setup, sso, api, web"


def test_what_the_runtime_would_fail_with_is_refused(stack: FakeStack) -> None:
    stack.runtime.wrong = SettingsError("`processes.api.port` is not a port", hint="correct it")

    with pytest.raises(SettingsError, match="is not a port"):
        stack.boot().check()

    stack.boot().check_names()


def test_the_runtime_is_asked_about_what_is_used_only(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(stack.runtime, "check", lambda names: asked.append(list(names)))
    stack.runtime.optional_ones = ["pgadmin", "web"]

    stack.boot(asked_for=["web"]).check()

    assert asked == [["postgres", "sso", "api", "web", "sso-setup"]]


def test_an_owner_whose_tool_could_not_be_told_of_a_database_is_refused(stack: FakeStack) -> None:
    stack.config["owners"]["sso"]["url_variable"] = "OTHER_URL"

    with pytest.raises(SettingsError, match="owner sso: service sso-setup has no OTHER_URL"):
        stack.boot().check()


def test_an_owner_of_this_machine_without_its_folder_is_refused(stack: FakeStack) -> None:
    stack.config["owners"]["sso"] |= {"run": "host", "directory": "sso-platform"}

    with pytest.raises(SettingsError, match="the folder of owner sso is missing"):
        stack.boot().check()

    (stack.root / "sso-platform").mkdir()
    stack.boot().check()


# -- a lost password ---------------------------------------------------------------------------------------------------


_REMOVE = "remove the empty line of POSTGRES_PASSWORD, then inv start --clean"


@pytest.fixture
def with_data(stack: FakeStack) -> FakeStack:
    stack.runtime.holds_data = True
    return stack


def test_a_password_that_is_there_is_not_lost(with_data: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_data.boot().lost_password() is None

    (with_data.root / ".env").unlink()
    monkeypatch.setenv("POSTGRES_PASSWORD", "of the environment")
    assert with_data.boot().lost_password() is None


def test_without_data_no_password_is_lost(stack: FakeStack) -> None:
    (stack.root / ".env").unlink()

    assert stack.boot().lost_password() is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (None, "there is no .env", "put .env back, or give the rows up: inv start --clean"),
        (
            "OTHER=1\n",
            ".env has no POSTGRES_PASSWORD",
            "put POSTGRES_PASSWORD back into .env, or give the rows up: inv start --clean",
        ),
        (
            "POSTGRES_PASSWORD=\n",
            ".env has no POSTGRES_PASSWORD",
            "put POSTGRES_PASSWORD back into .env, or give the rows up: " + _REMOVE,
        ),
    ],
)
def test_a_password_that_is_gone_while_its_data_are_there_is_lost(
    with_data: FakeStack, text: str | None, message: str, hint: str
) -> None:
    path = with_data.root / ".env"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")

    lost = with_data.boot().lost_password()

    assert lost
    assert lost.exit_code == 2
    assert lost.message == f"this stack has data, and their password is lost: {message}"
    assert lost.hint == hint
    assert path.exists() == (text is not None)


# -- the database ------------------------------------------------------------------------------------------------------


def test_the_target_is_where_the_database_is_published_now(stack: FakeStack) -> None:
    assert stack.boot().target() == TARGET

    stack.runtime.becomes("postgres", "running", port=40123)

    assert stack.boot().target().address == "127.0.0.1:40123"


def test_a_database_without_a_published_port_is_refused_with_what_to_write(stack: FakeStack) -> None:
    stack.runtime.becomes("postgres", "running")

    with pytest.raises(SettingsError, match="postgres publishes no port") as caught:
        stack.boot().target()

    assert "127.0.0.1:5432:5432" in caught.value.hint


def test_a_database_that_was_started_by_hand_is_to_be_started_by_the_tasks(stack: FakeStack) -> None:
    """They give it a port; whoever types `docker compose up` starts it without."""
    stack.config["compose"] = ["compose.yaml"]
    stack.runtime.becomes("postgres", "running")

    with pytest.raises(NotReadyError, match="does not answer") as caught:
        stack.boot().target()

    assert caught.value.first == ("db-up", "wait-db")
    assert "the tasks did not start it" in caught.value.seen


def test_a_password_that_is_missing_is_named(stack: FakeStack) -> None:
    (stack.root / ".env").write_text("OTHER=1\n", encoding="utf-8")

    with pytest.raises(SettingsError, match="POSTGRES_PASSWORD has no value"):
        stack.boot().target()


# -- building ----------------------------------------------------------------------------------------------------------


def test_each_image_is_built_once(stack: FakeStack) -> None:
    stack.boot().build(["sso", "api", "sso"])

    assert stack.runtime.changed == ["build sso", "build api"]


def test_an_image_that_an_earlier_stage_built_is_not_built_again(stack: FakeStack) -> None:
    boot = stack.boot()

    boot.build(["sso"])
    boot.build(["sso", "api"])

    assert stack.runtime.changed == ["build sso", "build api"]


def test_quick_builds_only_what_was_never_built(stack: FakeStack) -> None:
    stack.runtime.images["api"] = ""

    stack.boot(quick=True).build(["sso", "api"])

    assert stack.runtime.changed == ["build api"]


def test_quick_says_which_services_run_older_sources(stack: FakeStack) -> None:
    stack.runtime.stale = {"api", "web"}
    stack.runtime.images["web"] = ""  # is built anyway
    boot = stack.boot(quick=True)

    boot.build(["sso", "api", "web"])
    boot.build(["api"])

    assert stack.said == "      api runs what was built of other sources, packages or `env`; inv start builds it anew\n"
    assert stack.runtime.changed == ["build web"]


def test_without_quick_nothing_is_said_of_older_sources(stack: FakeStack) -> None:
    stack.runtime.stale = {"api"}

    stack.boot().build(["api"])

    assert stack.said == ""
    assert stack.runtime.changed == ["build api"]


def test_state_that_may_be_deleted_is_kept_apart_from_the_secrets(stack: FakeStack) -> None:
    boot = stack.boot()

    assert boot.env_path == stack.root / ".env"
    assert boot.state_folder == stack.root / ".bootorder"


def test_an_app_that_makes_tables_when_it_starts_need_not_wait_for_seeds(stack: FakeStack) -> None:
    stack.config["apps"]["api"] = {"after": "migrate"}

    stack.boot().check_names()


def test_an_app_that_makes_tables_when_it_starts_cannot_start_early(stack: FakeStack) -> None:
    stack.config["apps"]["api"] = {"after": "db-up"}

    with pytest.raises(SettingsError) as refused:
        stack.boot().check_names()

    assert refused.value.message == "api cannot start after db-up: it makes the tables of api"
    assert refused.value.hint == "set `apps.api.after` to migrate, or remove it"


def test_a_database_that_was_never_started_is_said_not_to_answer_and_not_to_have_no_port(stack: FakeStack) -> None:
    stack.runtime.becomes("postgres", "exited")

    with pytest.raises(NotReadyError) as caught:
        stack.boot().target()

    assert caught.value.first == ("db-up", "wait-db")
    assert caught.value.seen == "exited"


def test_the_password_of_the_tasks_may_be_what_compose_gives_the_database(stack: FakeStack) -> None:
    del stack.config["database"]["password"]
    stack.config["database"]["service_password"] = "POSTGRES_PASSWORD"
    stack.runtime.environments["postgres"] = {"POSTGRES_PASSWORD": "from compose"}
    stack.runtime.becomes("postgres", "running", port=5432)

    boot = stack.boot()

    assert boot.target().password == "from compose"
    assert "POSTGRES_PASSWORD" not in boot.secrets
    assert boot.lost_password() is None
