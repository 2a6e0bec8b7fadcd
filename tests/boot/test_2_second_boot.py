"""Booting again on the same volume: every row stays, and what is unchanged is not done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.stack import ComposeStack, Ran, Stack
from tests.task import Task

ROWS = """
    insert into worker (sub, name, email) values ('u-1', 'Grace', 'grace@example.com');
    insert into project (name) values ('Compiler');
    insert into task (title, project_id, created_at) select 'task ' || n, p.id, now()
    from project p, generate_series(1, 42) n where p.name = 'Compiler';
"""


def test_a_second_start_keeps_every_row_of_every_owner(stack: Stack) -> None:
    stack.query(ROWS, owner="api")
    before = stack.fingerprint()
    assert before["task"][0] == 42

    ran = stack.inv("start", "--json")

    assert ran.code == 0, ran.err
    assert stack.fingerprint() == before
    stages = {stage["stage"]: stage for stage in ran.json["stages"]}
    assert list(stages) == ["stop", "db-up", "wait-db", "guard", "migrate", "seed", "apps-up", "wait-apps"]
    assert (stages["guard"]["outcome"], stages["seed"]["outcome"]) == ("skipped", "skipped")
    assert stages["migrate"]["text"].startswith("sso unchanged")


@pytest.mark.only("shared")
def test_what_the_tool_said_is_told_beside_what_the_catalog_says(stack: Stack) -> None:
    # drizzle-kit 0.31 tries to drop the sequences of the API's keys and is refused: an error, with exit code 0.
    ran = stack.inv("migrate")

    assert ran.code == 0, ran.err
    assert "must be owner of sequence" in ran.err
    assert "but its tables are complete" in ran.err


def test_a_quick_start_of_what_runs_does_nothing(stack: Stack) -> None:
    before = stack.instances()

    ran = stack.inv("start", "--quick", "--json")

    assert ran.code == 0, ran.err
    assert stack.instances() == before
    outcomes = {stage["stage"]: stage["outcome"] for stage in ran.json["stages"]}
    assert "stop" not in outcomes
    assert "nothing was changed" in ran.err
    assert {outcomes[name] for name in ("db-up", "guard", "migrate", "seed", "apps-up")} == {"skipped"}


@pytest.mark.parametrize("flags", [[], ["--quick"]], ids=["start", "start --quick"])
def test_who_looks_while_it_starts_sees_something_or_is_refused_clearly(stack: Stack, flags: list[str]) -> None:
    """Several at the same time, again and again until the start has ended. A `--quick` one makes an owner anew."""
    if flags:
        stack.query("update bootorder.migration set fingerprint = 'of older sources' where owner = 'sso'")
        assert stack.inv("stop").code == 0
    looks = (["tables", "--json"], ["tables", "--json"], ["status", "--json"])
    with Task(stack, "start", *flags) as task, ThreadPoolExecutor(len(looks)) as pool:
        ran = [one for some in pool.map(partial(look_again_and_again, stack, task), looks) for one in some]
        ended = task.end()

    assert ended.code == 0, ended.err
    assert len(ran) >= len(looks)
    for one in ran:
        assert "Traceback" not in one.err, one.err
        assert one.code in {0, 4}, one.err  # 4: the database does not answer, or not any more
        assert one.json, one.err
        if one.code:
            assert "  hint: " in one.err, one.err
            assert not one.json["ok"]


def look_again_and_again(stack: Stack, task: Task, arguments: list[str]) -> list[Ran]:
    ran = [stack.inv(*arguments)]
    while task.is_at_work:
        ran.append(stack.inv(*arguments))
    return ran


@pytest.mark.only("compose")
@pytest.mark.only("shared", "schemas")  # by hand it is the database that compose.yaml names
def test_compose_up_by_hand_works_and_is_harmless(compose_stack: ComposeStack) -> None:
    before = compose_stack.fingerprint()
    assert compose_stack.inv("stop").code == 0

    ran = compose_stack.docker_compose("up", "--detach")

    assert ran.code == 0, ran.err
    assert compose_stack.inv("wait-apps").code == 0
    assert compose_stack.fingerprint() == before


def test_stop_keeps_the_data_and_takes_a_second(stack: Stack) -> None:
    assert stack.inv("stop").code == 0

    codes = stack.exit_codes()
    assert set(codes) >= {"postgres", "sso", "api", "web"}
    # 137 would be one that did not hear the signal and was killed after ten seconds.
    assert 137 not in codes.values(), codes
    assert stack.instances() == {}
    assert stack.inv("stop").err.count("skipped (nothing was running)") == 1


def test_start_until_ends_there_and_the_rest_goes_on_from_there(stack: Stack) -> None:
    ran = stack.inv("start", "--until", "wait-db")

    assert ran.code == 0, ran.err
    assert "[3/3] wait-db" in ran.err
    assert "api" not in stack.running()
    assert stack.inv("guard", "migrate", "seed", "apps-up", "wait-apps").code == 0


def test_it_works_from_a_sub_folder_too(stack: Stack) -> None:
    ran = stack.inv("status", "--json", cwd=stack.folder / "api")

    assert ran.json["runtime"] == stack.runtime


@pytest.mark.parametrize("arguments", [("plan", "--clean"), ("--dry", "start", "--clean"), ("--dry", "clean")])
def test_a_plan_and_a_dry_run_touch_nothing(stack: Stack, arguments: tuple[str, ...]) -> None:
    before = (stack.running(), stack.fingerprint())

    ran = stack.inv(*arguments)

    assert ran.code == 0, ran.err
    assert "removes what this stack ran" in ran.out
    assert (stack.running(), stack.fingerprint()) == before


def test_nobody_s_secret_is_ever_printed(stack: Stack) -> None:
    secrets = [line.split("=", 1)[1] for line in (stack.folder / ".env").read_text().splitlines() if "=" in line]
    assert len(secrets) == 8

    ran = stack.inv("start", "--quick", "--verbose", "--json")
    printed = ran.out + ran.err + "".join(stack.inv(task).out for task in ("status", "logs", "doctor"))

    assert [secret for secret in secrets if secret in printed] == []


@pytest.mark.only("shared")
def test_a_stack_moves_to_a_schema_for_each_owner_and_back_with_its_rows(stack: Stack) -> None:
    before = stack.fingerprint()
    assert stack.inv("stop", "db-up", "wait-db").code == 0

    moved = stack.inv("guard", "--move-to", "schemas")
    assert moved.code == 0, moved.err
    assert "moved 4 objects of api to api" in moved.err
    refused = stack.inv("start")
    assert refused.code == 6, refused.err
    assert "this stack has the layout `schemas`, and was asked for `shared`" in refused.err
    booted = stack.inv("start", "--layout", "schemas")
    assert booted.code == 0, booted.err
    assert stack.query("select tablename from pg_tables where tablename = 'worker'", owner="api") == [("worker",)]

    assert stack.inv("stop", "db-up", "wait-db").code == 0
    assert stack.inv("guard", "--move-to", "shared").code == 0
    assert stack.fingerprint() == before
    ran = stack.inv("start")
    assert ran.code == 0, ran.err
    assert stack.fingerprint().keys() == before.keys()
