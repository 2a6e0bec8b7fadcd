"""What goes wrong on a person's machine: one clear line, a hint, the right exit code, and nothing lost."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.stack import STACKS, Stack
from tests.task import Task


@pytest.fixture(scope="module", autouse=True)
def nothing_is_lost(stack: Stack) -> Iterator[None]:
    """Whatever these tests do to the stack: every row is there afterwards."""
    assert stack.inv("db-up", "wait-db").code == 0
    before = stack.fingerprint()
    yield
    assert stack.inv("db-up", "wait-db").code == 0
    assert stack.fingerprint() == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("beside:", "besides:", "unknown key `bootorder.database.besides`; did you mean `beside`?"),
        ("migrator: drizzle", "migrator: drizle", "`bootorder.owners.sso.migrator`"),
        ("beside: [pgadmin]", "wait: soon", "`bootorder.database.wait`"),
        ("service: sso-setup", "service: sso-setp", "did you mean `sso-setup`?"),
        ("bootorder:", "bootorde:", "`bootorde` is not it"),
        ("  database:", "  database: [", "invoke.yaml is not YAML"),
    ],
)
def test_a_mistake_in_invoke_yaml_is_named(stack: Stack, old: str, new: str, said: str) -> None:
    with stack.edited("invoke.yaml", old, new):
        ran = stack.inv("start")

    assert ran.code == 2, ran.err
    assert said in ran.err
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.only("compose")
def test_a_mistake_in_compose_yaml_is_told_in_compose_s_words(stack: Stack) -> None:
    with stack.edited("compose.yaml", "services:", "servces:"):
        ran = stack.inv("start")

    assert ran.code == 2, ran.err
    assert "servces" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "--until", "nonsense"], "unknown stage `nonsense`"),
        (["start", "--until", "migrat"], "did you mean `migrate`?"),
        (["start", "--runtime", "nonsense"], "unknown runtime `nonsense`"),
        (["start", "--nonsense"], "no idea what '--nonsense' is"),
        (["nonsense"], "no idea what 'nonsense' is"),
        (["logs", "--service", "webb"], "did you mean `web`?"),
        (["psql", "--as", "nobody"], "unknown owner `nobody`"),
        (["url", "--as", "ssso"], "did you mean `sso`?"),
        (["start", "--reseed", "ssso"], "unknown owner to --reseed `ssso`; did you mean `sso`?"),
        (["seed", "--reseed", "api"], "unknown owner to --reseed `api`"),
        (["guard", "--move-to", "schema"], "did you mean `schemas`?"),
        (["apps-up", "--with", "pgadmn"], "did you mean `pgadmin`?"),
    ],
)
def test_a_wrong_word_on_the_command_line_is_usage(stack: Stack, arguments: list[str], said: str) -> None:
    ran = stack.inv(*arguments)

    assert ran.code == 2, ran.err
    assert said in ran.err


@pytest.mark.only("compose")
def test_without_an_engine_it_says_so_at_once(stack: Stack) -> None:
    begun = time.monotonic()
    ran = stack.inv("start", "--runtime", "compose", env={"DOCKER_HOST": "unix:///nonexistent.sock"})

    assert ran.code == 3, ran.err
    assert "no Docker Engine answers" in ran.err
    assert time.monotonic() - begun < 30  # who waited for it would wait a minute


def test_a_stack_that_runs_with_the_other_runtime_is_not_booted_a_second_time(stack: Stack) -> None:
    other = next(name for name in STACKS if name != stack.runtime)
    before = stack.instances()

    ran = stack.inv("start", "--runtime", other, env={"PATH": os.environ["PATH"]})

    assert ran.code == 3, ran.err
    assert f"this stack already runs with the {stack.runtime} runtime" in ran.err
    assert f"hint: stop it first: inv stop --runtime {stack.runtime}" in ran.err
    assert stack.instances() == before


def test_a_taken_port_names_who_holds_it(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ran = stack.inv("apps-up", env={"WEB_PORT": str(port)})

    assert ran.code == 3, ran.err
    assert f"port {port} for web is taken by" in ran.err
    assert f"(pid {os.getpid()})" in ran.err


def test_what_does_not_build_leaves_the_stack_as_it_was(stack: Stack) -> None:
    with stack.not_building():
        ran = stack.inv("apps-up")

    assert ran.code == 8, ran.err
    assert "failed" in ran.err
    assert "not-there.txt" in ran.err


def test_an_app_that_exits_ends_the_wait_at_once_with_its_log(stack: Stack) -> None:
    with stack.running_instead("api", "python", "-c", "print('the api says no'); raise SystemExit(3)"):
        assert stack.inv("apps-up").code == 0
        begun = time.monotonic()
        ran = stack.inv("wait-apps")

    assert ran.code == 4, ran.err
    assert "api is not running: it exited with code 3" in ran.err
    assert "| the api says no" in ran.err
    assert "go on with: inv apps-up wait-apps" in ran.err
    assert time.monotonic() - begun < 30  # who waited for it would wait a minute


def test_an_app_that_never_gets_healthy_says_what_was_last_seen(stack: Stack) -> None:
    with (
        stack.running_instead("web", "sleep", "600"),
        stack.edited("invoke.yaml", "web: {health: /health,", "web: {health: /health, wait: 2,"),
    ):
        assert stack.inv("apps-up").code == 0
        ran = stack.inv("wait-apps")

    assert ran.code == 4, ran.err
    assert "web was not ready after 2 s" in ran.err
    assert "/health" in ran.err


def test_a_seed_that_fails_is_a_failure_and_is_run_again(stack: Stack) -> None:
    with stack.edited("invoke.yaml", "seed: pnpm seed:setup", "seed: sh -c 'echo the seed says no; exit 1'"):
        changed, *again = stack.inv("seed"), stack.inv("seed", "--reseed", "sso"), stack.inv("seed", "--reseed", "sso")

    assert changed.code == 0, changed.err
    assert "inv seed --reseed sso runs it again" in changed.err
    for ran in again:
        assert ran.code == 5, ran.err
        assert "| the seed says no" in ran.err


def test_a_push_that_failed_is_a_failure_although_it_says_exit_0(stack: Stack) -> None:
    # A column under another name: the tool asks whether it was renamed, nobody answers, and it ends with exit code 0.
    stack.query('alter table "user" rename column image to picture', owner="sso")
    try:
        with stack.connect("sso"):  # as an app is that has just asked something
            beside = stack.inv("migrate")
        assert stack.inv("stop", "db-up", "wait-db").code == 0
        ran = stack.inv("migrate")
    finally:
        stack.query('alter table "user" rename column picture to image', owner="sso")

    for one in (beside, ran):  # tried on a copy by schema, and on a clone
        assert one.code == 5, one.err
        assert "- column public.user.image text" in one.err
        assert "exit code 0 (which means nothing)" in one.err


def test_a_push_that_would_lose_rows_of_its_own_is_tried_on_a_clone_only(stack: Stack) -> None:
    before = stack.fingerprint()["user"]
    assert stack.inv("stop", "db-up", "wait-db").code == 0
    with stack.edited("sso-platform/src/db/schema.ts", '  image: text("image"),\n', ""):
        stack.query("""update "user" set image = 'a picture'""", owner="sso")
        refused = stack.inv("migrate")
        assert stack.query('select distinct image from "user"', owner="sso") == [("a picture",)]
        plan = stack.inv("migrate", "--plan", "--json").json
    stack.query('update "user" set image = null', owner="sso")
    again = stack.inv("migrate")  # from the schema as it was: what follows may rebuild nothing

    assert again.code == 0, again.err
    assert refused.code == 5, refused.err
    assert "- public.user.image (in 1 row) would be lost" in refused.err
    assert plan[0]["losses"] == ["- public.user.image (in 1 row) would be lost"]
    assert stack.fingerprint()["user"] == before


def test_a_wrong_password_is_refused_at_once(stack: Stack) -> None:
    password = stack.secret("POSTGRES_PASSWORD")
    with stack.edited(".env", f"POSTGRES_PASSWORD={password}\n", "POSTGRES_PASSWORD=another\n"):
        ran = stack.inv("start")

    assert ran.code == 4, ran.err
    assert 'postgres refused the password of "taskflow"' in ran.err
    assert "hint: put the password that the data were made with back into .env" in ran.err


def test_a_lost_env_beside_data_is_not_made_anew(stack: Stack) -> None:
    path = stack.folder / ".env"
    away = path.rename(path.with_name("env-away"))
    before = stack.instances()
    try:
        started, looked = stack.inv("start"), stack.inv("status")
        made = path.exists()
    finally:
        away.rename(path)

    assert started.code == 2, started.err
    assert "their password is lost: there is no .env" in started.err
    assert looked.code == 0, looked.err
    assert "note: this stack has data, and their password is lost" in looked.err
    assert not made
    assert stack.instances() == before


def test_a_mistake_in_the_settings_is_found_before_anything_is_stopped(stack: Stack) -> None:
    before = stack.instances()

    with stack.edited("invoke.yaml", "migrate: pnpm db:push", "migrate: pnpm db:push\n      url_variable: OTHER_URL"):
        ran = stack.inv("start")

    assert ran.code == 2, ran.err
    assert "service sso-setup has no OTHER_URL" in ran.err
    assert stack.instances() == before


def test_a_taken_port_is_found_before_anything_is_stopped(stack: Stack) -> None:
    before = stack.instances()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        ran = stack.inv("start", env={"WEB_PORT": str(listener.getsockname()[1])})

    assert ran.code == 3, ran.err
    assert "for web is taken by" in ran.err
    assert stack.instances() == before


FORGOTTEN = """
from sqlmodel import Field, SQLModel


class Forgotten(SQLModel, table=True):
    id: int = Field(primary_key=True)
"""


@pytest.mark.parametrize("flags", [[], ["--clean"]])
def test_a_model_that_nobody_imports_is_found_before_anything_is_stopped(stack: Stack, flags: list[str]) -> None:
    before = stack.instances()

    with stack.added("api/taskflow_api/forgotten.py", FORGOTTEN):
        ran = stack.inv("start", *flags)

    assert ran.code == 5, ran.err
    assert "create_all does not know Forgotten" in ran.err
    assert "found before anything was stopped" in ran.err
    assert stack.instances() == before


def test_a_schema_that_the_tool_refuses_is_found_before_anything_is_stopped(stack: Stack) -> None:
    before = stack.instances()

    with stack.edited("sso-platform/src/db/schema.ts", "import ", "not typescript\nimport "):
        ran = stack.inv("start")

    assert ran.code == 5, ran.err
    assert "drizzle failed on an empty database" in ran.err
    assert "found before anything was stopped" in ran.err
    assert stack.instances() == before


def test_a_table_that_lacks_a_column_is_found_before_anything_is_stopped(stack: Stack) -> None:
    before = stack.instances()

    with stack.edited("api/taskflow_api/models/project.py", "name: str", "owner: str\n    name: str"):
        ran = stack.inv("start")

    assert ran.code == 5, ran.err
    assert "project lacks the column owner" in ran.err
    assert stack.instances() == before


def test_rows_that_would_be_lost_are_found_before_anything_is_stopped(stack: Stack) -> None:
    assert stack.inv("stop", "db-up", "wait-db").code == 0
    before = stack.instances()
    try:
        with stack.edited("sso-platform/src/db/schema.ts", '  image: text("image"),\n', ""):
            stack.query("""update "user" set image = 'a picture'""", owner="sso")
            ran = stack.inv("start")
    finally:
        stack.query('update "user" set image = null', owner="sso")

    assert ran.code == 5, ran.err
    assert "- public.user.image (in 1 row) would be lost" in ran.err
    assert "found before anything was stopped" in ran.err
    assert stack.instances() == before


def test_tables_of_no_owner_are_found_before_anything_is_stopped(stack: Stack) -> None:
    before = stack.instances()
    owner, name = "api", f"{stack.schema('api')}.audit_log"
    with stack.connect(database=stack.database(owner)) as connection:
        connection.execute(f"select bootorder.allow(); alter table {name} owner to taskflow".encode())
    try:
        ran = stack.inv("start")
    finally:
        with stack.connect(database=stack.database(owner)) as connection:
            connection.execute(f"select bootorder.allow(); alter table {name} owner to {owner}".encode())

    assert ran.code == 6, ran.err
    assert "belong to no owner" in ran.err
    assert stack.instances() == before


@pytest.mark.only("embedded")
def test_a_program_that_is_not_there_is_found_before_anything_is_stopped(stack: Stack) -> None:
    before = stack.instances()

    with stack.running_instead("web", "nodee", "src/server.ts"):
        ran = stack.inv("start")

    assert ran.code == 2, ran.err
    assert "`processes.web.run`: there is no command `nodee`" in ran.err
    assert stack.instances() == before


def test_two_starts_at_once_are_one_start_and_one_clear_refusal(stack: Stack) -> None:
    with Task(stack, "start") as first:  # a quick one could be over before the second has begun
        first.until("stop")
        second = stack.inv("start", "--quick")

        assert second.code == 7, second.err
        assert f"`start` (pid {first.process.pid}, since" in second.err
        assert first.end().code == 0


# What is to be seen of the stage after these, while it is at work.
_WITHIN_THE_NEXT: Mapping[str, Callable[[Stack], object]] = {
    "stop": lambda stack: "postgres" in stack.running(),
    "guard": lambda stack: stack.one_offs(),
    "seed": lambda stack: "web" in stack.running(),
}


@pytest.mark.parametrize(
    ("after", "signal_number"),
    [
        *((stage, signal.SIGINT) for stage in ("stop", "db-up", "wait-db", "guard", "migrate", "seed", "apps-up")),
        ("wait-db", signal.SIGTERM),
    ],
)
def test_ctrl_c_stops_what_it_was_doing_and_says_how_to_go_on(
    stack: Stack, after: str, signal_number: signal.Signals
) -> None:
    if after == "guard":  # else no tool would run
        assert stack.inv("start", "--quick").code == 0
        stack.query("update bootorder.migration set fingerprint = 'of older sources' where owner = 'sso'")
    with Task(stack, "start") as task:
        task.until(after)
        if after in _WITHIN_THE_NEXT:
            task.until_seen(lambda: _WITHIN_THE_NEXT[after](stack), f"what comes after {after}")
        task.process.send_signal(signal_number)
        ran = task.end()

    assert ran.code == 130, ran.err
    assert "go on with: inv" in ran.err
    assert stack.one_offs() == []
    if after != "stop":  # then there is no database yet to ask
        assert stack.inv("wait-db").code == 0
        assert stack.query("select datname from pg_database where datname like 'bootorder%'") == []


def test_after_all_that_a_start_boots_the_stack(stack: Stack) -> None:
    ran = stack.inv("start")

    assert ran.code == 0, ran.err
    assert set(stack.running()) == {"api", "postgres", "sso", "web", *stack.beside}
