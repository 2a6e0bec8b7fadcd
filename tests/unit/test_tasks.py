from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from invoke.config import Config
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser import Parser
from invoke.tasks import Task

from scripts.bootorder import running, showing, tasks
from scripts.bootorder.errors import SettingsError
from scripts.bootorder.guard import stage as guard_stage
from scripts.bootorder.stages import STAGES, _with_flags

from .fakes import FakeStack

ALL: dict[str, Task[Any]] = dict(tasks.ns.tasks)
BESIDE = {
    "start",
    "plan",
    "check-models",
    "status",
    "tables",
    "url",
    "psql",
    "logs",
    "timeline",
    "doctor",
    "copy-to",
    "detect",
    "check",
}
BESIDE |= {"test"}


class Recorder:
    """Takes the place of what the tasks call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: self.calls.append((name, arguments, options))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    @contextlib.contextmanager
    def opened(c: Context, runtime: str = "", **flags: Any) -> Iterator[str]:
        recorder.calls.append(("opened", (runtime,), flags))
        yield "the boot"

    monkeypatch.setattr(tasks, "opened", opened)
    for module in (running, showing):
        for name in vars(module):
            # run_guard is called as it is, and run_plan by what is recorded
            if name.startswith(("run_st", "run_nox", "start_", "show_", "follow_", "open_s")):
                monkeypatch.setattr(module, name, getattr(recorder, name))
    return recorder


def run(name: str, *, dry: bool = False, **flags: Any) -> None:
    lists: dict[str, list[str]] = {flag: [] for flag in ALL[name].iterable}
    ALL[name](Context(Config(overrides={"run": {"dry": dry}})), **{**lists, **flags})


def test_every_stage_has_a_task_of_its_name_and_the_rest_are_known() -> None:
    assert set(ALL) == {stage.name for stage in STAGES} | BESIDE


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_task_says_in_one_sentence_what_it_does(name: str) -> None:
    doc = ALL[name].__doc__ or ""

    assert len(doc.strip().splitlines()) == 1
    assert doc[0].isupper()
    assert doc.strip().endswith(".")


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_parameter_of_every_task_has_help(name: str) -> None:
    without = [argument.name for argument in ALL[name].get_arguments() if not argument.help]

    assert without == []


_PRINTS_JSON = {"dry": False, "as_json": False}


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_the_task_of_a_stage_runs_that_stage(called: Recorder, stage: str) -> None:
    run(stage, runtime="compose", verbose=True)

    opened, ran = called.calls
    assert opened[1] == ("compose",)
    assert opened[2]["verbose"] is True
    name, arguments, options = ran
    assert (name, arguments) == ("run_stages", ("the boot", [stage]))
    assert {key: value for key, value in options.items() if value is not None} in ({"dry": False}, _PRINTS_JSON)


@pytest.mark.parametrize(
    "name", sorted(name for name, task in ALL.items() if "layout" in task.argspec(task.body).parameters)
)
def test_the_layout_is_passed_on(called: Recorder, name: str) -> None:
    run(name, layout="schemas")

    assert called.calls[0][2]["layout"] == "schemas"


def test_instead_of_the_guard_tables_can_be_assigned_or_moved(called: Recorder) -> None:
    run("guard", assign=True)
    run("guard", move_to="schemas")

    [assign, move] = [options["instead"] for name, _, options in called.calls if name == "run_stages"]
    assert assign.run is guard_stage.assign
    assert [assign.typed, move.typed] == ["guard --assign", "guard --move-to schemas"]


def test_tables_are_not_assigned_and_moved_at_once(called: Recorder) -> None:
    with pytest.raises(SettingsError, match="--assign and --move-to"):
        run("guard", assign=True, move_to="schemas")


def test_what_a_migration_would_change_is_asked_for_with_a_flag(called: Recorder) -> None:
    run("migrate", plan=True, json=True)

    assert called.calls[-1] == ("show_changes", ("the boot",), {"build": False, "as_json": True})


@pytest.mark.parametrize("name", ["migrate", "start"])
def test_a_loss_of_rows_is_accepted_only_with_the_flag_for_it(called: Recorder, name: str) -> None:
    run(name)
    run(name, accept_data_loss=True)

    assert [flags["accept_data_loss"] for what, _, flags in called.calls if what == "opened"] == [False, True]


@pytest.mark.parametrize("name", ["db-up", "apps-up", "wait-apps", "start"])
def test_optional_services_are_asked_for_by_name(called: Recorder, name: str) -> None:
    run(name, with_=["pgadmin", "mail"])

    assert called.calls[0][2]["asked_for"] == ["pgadmin", "mail"]


def test_optional_services_are_asked_for_with_one_flag_each() -> None:
    [start] = Parser(tasks.ns.to_contexts()).parse_argv(["start", "--with", "pgadmin", "--with", "mail"])

    assert start.args["with"].value == ["pgadmin", "mail"]


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_the_command_that_goes_on_gives_a_task_only_flags_that_it_has(stack: FakeStack, stage: str) -> None:
    flags = {"--runtime": ["embedded"], "--layout": ["schemas"], "--with": ["pgadmin"]}
    argv = _with_flags(stage, replace(stack.boot(), flags=flags)).split()

    [parsed] = Parser(tasks.ns.to_contexts()).parse_argv(argv)

    assert parsed.args["runtime"].value == "embedded"
    for flag, value in (("with", ["pgadmin"]), ("layout", "schemas")):
        has = flag in parsed.args
        assert (f"--{flag}" in argv) == has
        assert not has or parsed.args[flag].value == value


def test_a_dry_stage_is_not_run(called: Recorder) -> None:
    run("clean", dry=True)

    assert called.calls[-1] == ("run_stages", ("the boot", ["clean"]), {"dry": True})


def test_start_passes_its_flags_on(called: Recorder) -> None:
    run("start", clean=True, quick=True, until="migrate", json=True)

    opened, started = called.calls
    assert opened[2]["quick"] is True
    assert started == (
        "start_stack",
        ("the boot",),
        {"with_clean": True, "until": "migrate", "as_json": True, "dry": False},
    )


def test_start_keeps_the_data_and_follows_no_logs_unless_it_is_told_to(called: Recorder) -> None:
    run("start")

    assert called.calls[-1] == (
        "start_stack",
        ("the boot",),
        {"with_clean": False, "until": "", "as_json": False, "dry": False},
    )


def test_start_follows_the_logs_when_asked_but_not_in_a_dry_run(called: Recorder) -> None:
    run("start", logs=True)
    run("start", logs=True, dry=True)

    assert [name for name, _, _ in called.calls] == ["opened", "start_stack", "follow_logs", "opened", "start_stack"]


def test_the_plan_is_of_a_start_with_these_flags(called: Recorder) -> None:
    run("plan", clean=True, quick=True, until="seed", layout="schemas")

    assert called.calls == [
        ("opened", ("",), {"layout": "schemas", "quick": True, "as_json": False}),
        ("show_whole_plan", ("the boot",), {"with_clean": True, "until": "seed", "as_json": False}),
    ]


def test_logs_pass_services_and_length_on(called: Recorder) -> None:
    run("logs", service=["api", "web"], tail=5, follow=True)

    assert called.calls[-1] == ("follow_logs", ("the boot", ["api", "web"]), {"tail": 5, "follow": True})


@pytest.mark.parametrize("name", ["status", "doctor"])
def test_what_programs_read_is_asked_for_as_json(called: Recorder, name: str) -> None:
    run(name, json=True)

    assert called.calls[-1] == (f"show_{name}", ("the boot",), {"as_json": True})


def test_a_repository_is_looked_at_without_opening_a_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    (tmp_path / "there").mkdir()

    run("detect", path=str(tmp_path / "there"), json=True)

    assert json.loads(capsys.readouterr().out)["databases"] == []


def test_a_path_that_is_none_ends_with_the_code_for_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit) as ended:
        run("detect", path=str(tmp_path / "nowhere"), json=True)

    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2


def test_copying_tells_where_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit) as ended:
        run("copy-to", path=str(tmp_path / "nowhere"))

    assert ended.value.code == 2
    assert "is not there" in capsys.readouterr().err


def test_the_proofs_take_sessions(called: Recorder) -> None:
    run("test", session=["lint"])

    assert called.calls == [("run_nox", (tasks.ROOT, ["lint"]), {})]
