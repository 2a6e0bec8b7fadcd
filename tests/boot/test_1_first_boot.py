"""The first boot, stage by stage through `inv` as a person types it; after each the world is looked at.

The tests of this folder run in the order of their names, on one stack.
"""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request

import psycopg
import pytest

from tests.stack import ComposeStack, Stack, other_postgres

SSO_TABLES = {
    "account",
    "jwks",
    "oauth_access_token",
    "oauth_client",
    "oauth_consent",
    "session",
    "user",
    "verification",
}
API_TABLES = {"audit_log", "project", "task", "worker"}


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("task", "first"),
    [
        ("wait-db", "db-up"),
        ("guard", "db-up wait-db"),
        ("migrate", "db-up wait-db"),
        ("seed", "db-up wait-db"),
        ("apps-up", "db-up wait-db"),
        ("wait-apps", "apps-up"),
    ],
)
def test_a_stage_before_its_time_names_the_one_to_run_first(stack: Stack, task: str, first: str) -> None:
    ran = stack.inv(task)

    assert ran.code == 4, ran.err
    assert f"start it first: inv {first}" in ran.err
    assert stack.started() == []


def test_secrets_are_made_on_first_use_for_their_user_only(stack: Stack) -> None:
    path = stack.folder / ".env"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(stack.secret("POSTGRES_PASSWORD")) == 48


def test_db_up_starts_the_database_and_what_stands_beside_it(stack: Stack) -> None:
    ran = stack.inv("db-up")

    assert ran.code == 0, ran.err
    assert f"[1/1] db-up  {' and '.join(['postgres', *stack.beside])} started" in ran.err
    assert stack.started() == sorted(["postgres", *stack.beside])


def test_wait_db_ends_when_a_real_query_answers(stack: Stack) -> None:
    ran = stack.inv("wait-db")

    assert ran.code == 0, ran.err
    assert f"postgres answers on 127.0.0.1:{stack.ports['POSTGRES_PORT']}" in ran.err
    assert stack.query("select 1") == [(1,)]
    assert stack.tables() == {}


@pytest.mark.parametrize("task", ["migrate", "seed", "apps-up"])
def test_no_tool_runs_before_the_guard(stack: Stack, task: str) -> None:
    ran = stack.inv(task)

    assert ran.code == 4, ran.err
    assert "run the guard first: inv guard" in ran.err
    assert stack.tables() == {}


def test_guard_makes_a_role_for_each_owner_that_may_do_no_more_than_it_must(stack: Stack) -> None:
    ran = stack.inv("guard")

    assert ran.code == 0, ran.err
    might = "rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls"
    roles = stack.query(f"select rolname, {might} from pg_roles where rolname in ('sso', 'api')")  # noqa: S608
    assert sorted(roles) == [("api", False), ("sso", False)]
    assert stack.query("select current_user", owner="api") == [("api",)]
    assert "guard  skipped (roles and triggers of sso, api are in place)" in stack.inv("guard").err


def test_seed_and_apps_up_refuse_before_migrate(stack: Stack) -> None:
    for task in ("seed", "apps-up"):
        ran = stack.inv(task)

        assert ran.code == 4, ran.err
        assert "migrate first: inv migrate" in ran.err
    assert stack.tables() == {}
    assert "api" not in stack.started()


def test_migrate_makes_the_tables_of_the_sso_and_of_nobody_else(stack: Stack) -> None:
    ran = stack.inv("migrate")

    assert ran.code == 0, ran.err
    assert set(stack.tables()) >= SSO_TABLES
    assert not API_TABLES & set(stack.tables())
    scratch = stack.query("select datname from pg_database where datname like 'bootorder%'")
    assert scratch == []


def test_seed_makes_the_demo_user_and_the_dashboards_client_once(stack: Stack) -> None:
    first = stack.inv("seed")
    rows = stack.tables()
    second = stack.inv("seed")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert stack.query('select email from "user"', owner="sso") == [("demo@example.com",)]
    assert rows["oauth_client"] == 1
    assert "skipped (sso already seeded)" in second.err
    assert stack.tables() == rows


def test_apps_up_and_wait_apps_end_with_every_app_healthy(stack: Stack) -> None:
    assert stack.inv("apps-up").code == 0
    ran = stack.inv("wait-apps")

    assert ran.code == 0, ran.err
    assert "4 tables of api verified" in ran.err
    assert get(stack.url("sso", "/api/health"))[0] == 200
    assert get(stack.url("api", "/health"))[0] == 200
    assert get(stack.url("web", "/health"))[0] == 200
    assert set(stack.tables()) >= API_TABLES


def test_status_says_what_is_there(stack: Stack) -> None:
    status = stack.inv("status", "--json").json

    assert set(status) == {"runtime", "layout", "database", "services", "owners"}
    assert status["runtime"] == stack.runtime
    assert status["database"]["port"] == stack.ports["POSTGRES_PORT"]
    assert stack.secret("POSTGRES_PASSWORD") not in json.dumps(status)
    apps = {service["name"]: service for service in status["services"]}
    assert {apps[name]["health"] for name in ("sso", "api", "web", "postgres")} == {"healthy"}
    assert apps["web"]["url"] == stack.url("web")
    owners = {owner["name"]: owner for owner in status["owners"]}
    assert {f"{stack.schema('api')}.{name}" for name in API_TABLES} == set(owners["api"]["tables"])
    assert owners["sso"]["missing"] == owners["api"]["missing"] == []


def test_tables_are_listed_with_their_owners(stack: Stack) -> None:
    tables = stack.inv("tables", "--json").json

    owners = {table["name"]: (table["owner"], table["state"]) for table in tables}
    assert owners == {**dict.fromkeys(SSO_TABLES, ("sso", "")), **dict.fromkeys(API_TABLES, ("api", ""))} | owners
    assert {table["rows"] for table in tables if table["name"] == "user"} == {1}
    assert "demo" not in stack.inv("tables").err


def test_url_reaches_the_database_as_an_owner(stack: Stack) -> None:
    url = stack.inv("url", "--as", "api").out.strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("select current_user").fetchone() == ("api",)


@pytest.mark.skipif(bool(other_postgres()), reason="this PostgreSQL comes without psql")
def test_psql_is_a_shell_of_an_owner(stack: Stack) -> None:
    ran = stack.inv("psql", "--as", "sso", "--command", "select 'I am ' || current_user")

    assert ran.code == 0, ran.err
    assert "I am sso" in ran.out


@pytest.mark.only("shared", "schemas")
def test_nobody_drops_a_table_of_another_owner(stack: Stack) -> None:
    worker = f"{stack.schema('api')}.worker"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"must be owner of table worker|permission denied"):
        stack.query(f"drop table {worker} cascade", owner="sso")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        stack.query(f"drop table {worker} cascade")

    assert "bootorder refused DROP TABLE: taskflow does not own what it would change" in str(caught.value)
    assert "worker" in stack.tables()


def test_the_api_refuses_whoever_brings_no_token_of_the_sso(stack: Stack) -> None:
    assert get(stack.url("api", "/tasks"))[0] == 401


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    listening = stack.listening()

    assert set(listening) >= {stack.ports[f"{name}_PORT"] for name in ("POSTGRES", "SSO", "API", "WEB")}
    assert set().union(*listening.values()) <= {"127.0.0.1", "::1"}


@pytest.mark.only("compose")
def test_pgadmin_has_the_server_registered(compose_stack: ComposeStack) -> None:
    listed = compose_stack.docker_compose("exec", "-T", "pgadmin", "cat", "/pgadmin4/servers.json")

    assert json.loads(listed.out)["Servers"]["1"]["Host"] == "postgres"


def test_a_password_that_is_not_the_volumes_is_refused_at_once(stack: Stack) -> None:
    ran = stack.inv("wait-db", env={"POSTGRES_PASSWORD": "another"})

    assert ran.code == 4
    assert 'postgres refused the password of "taskflow"' in ran.err
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1", port=stack.ports["POSTGRES_PORT"], dbname="taskflow", user="taskflow", password="another"
        )
