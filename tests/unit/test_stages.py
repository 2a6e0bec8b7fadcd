from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.boot import Boot
from scripts.bootorder.errors import (
    BootError,
    BuildError,
    LogTail,
    MachineError,
    MigrationError,
    NotReadyError,
    SettingsError,
    UserInterruptError,
)
from scripts.bootorder.jobs import Beside, Job
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.stages import STAGES, Stage, _told, named, plan, run_plan
from scripts.bootorder.timeline.spans import Span

from .fakes import FakeStack, create_all

ORDER = ["stop", "clean", "db-up", "wait-db", "guard", "migrate", "seed", "apps-up", "wait-apps"]


def names(stages: object) -> list[str]:
    assert isinstance(stages, list | tuple)
    return [stage.name for stage in stages]


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_stages_stand_in_the_order_that_is_safe() -> None:
    assert names(STAGES) == ORDER


def test_every_stage_says_what_it_does_and_why_it_stands_where_it_stands() -> None:
    assert all(stage.does and stage.cause for stage in STAGES)


def test_a_start_keeps_the_data_unless_it_is_told_to_clean() -> None:
    assert names(plan()) == ["stop", "db-up", "wait-db", "guard", "migrate", "seed", "apps-up", "wait-apps"]
    assert names(plan(with_clean=True)) == ORDER


def test_a_quick_start_keeps_running_what_runs() -> None:
    assert names(plan(quick=True)) == ["db-up", "wait-db", "guard", "migrate", "seed", "apps-up", "wait-apps"]


@given(st.booleans(), st.booleans(), st.sampled_from(["", *ORDER]))
def test_any_plan_keeps_the_order_cleans_only_when_asked_and_ends_with_the_stage_wanted(
    with_clean: bool, quick: bool, until: str
) -> None:
    whole = names(plan(with_clean=with_clean, quick=quick))
    assert whole == [name for name in ORDER if name in whole]
    assert ("clean" in whole) == with_clean
    if until and until not in whole:
        with pytest.raises(SettingsError):
            plan(with_clean=with_clean, quick=quick, until=until)
        return

    part = names(plan(with_clean=with_clean, quick=quick, until=until))

    assert part == whole[: len(part)]
    assert part[-1] == (until or "wait-apps")


def test_an_unknown_last_stage_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError) as caught:
        plan(until="migrat")

    assert caught.value.message == "unknown stage `migrat`; did you mean `migrate`?"
    assert "wait-apps" in caught.value.expected
    assert caught.value.exit_code == 2


def test_single_stages_run_in_the_order_that_is_safe_however_they_are_named() -> None:
    assert names(named("wait-db", "db-up")) == ["db-up", "wait-db"]


# -- running it --------------------------------------------------------------------------------------------------------


def stage(name: str, run: Callable[[Boot], Outcome] | BaseException | None = None) -> Stage:
    def default(boot: Boot) -> Outcome:
        boot.clock.sleep(1.26)
        if isinstance(run, BaseException):
            raise run
        return Outcome.done(f"{name} done")

    return Stage(name, "does it", "because", run if callable(run) else default)


def ran(boot: Boot, stages: Sequence[Stage]) -> Sequence[Span]:
    """What was recorded of the stages."""
    run_plan(boot, stages)
    return boot.timeline.stages


def failing(stack: FakeStack, cause: BaseException) -> tuple[BootError, Sequence[Span]]:
    """The second of three stages fails."""
    boot = stack.boot()
    with pytest.raises(BootError) as caught:
        run_plan(boot, [stage("one"), stage("two", cause), stage("three")])
    return caught.value, boot.timeline.stages


def test_stages_run_in_order_and_each_is_told_and_recorded(stack: FakeStack) -> None:
    nothing = stage("two", lambda _: Outcome.skipped("nothing was running"))

    spans = ran(stack.boot(), [stage("one"), nothing])

    assert stack.said.splitlines() == [
        "[1/2] one  one done  1.3 s",
        "[2/2] two  skipped (nothing was running)  0.0 s",
    ]
    assert [(span.name, span.outcome, span.text, span.seconds, span.cause) for span in spans] == [
        ("one", "done", "one done", 1.26, "because"),
        ("two", "skipped", "nothing was running", 0, "because"),
    ]


def test_the_first_failure_ends_the_plan_and_is_recorded(stack: FakeStack) -> None:
    error, spans = failing(stack, MigrationError("sso: drizzle did not finish", hint="correct it"))

    assert error.exit_code == 5
    assert [(span.name, span.outcome) for span in spans] == [("one", "done"), ("two", "failed")]
    assert spans[-1].text == "sso: drizzle did not finish"
    assert spans[-1].seconds == 1.26


def test_a_failure_names_its_stage_and_the_command_that_goes_on_from_there(stack: FakeStack) -> None:
    error, _ = failing(stack, MigrationError("sso: drizzle did not finish", hint="correct it"))

    assert error.go_on == "inv two three"
    assert "error: two: sso: drizzle did not finish" in stack.said
    assert "go on with: inv two three" in stack.said


FLAGS = {"--runtime": ["embedded"], "--layout": ["schemas"], "--with": ["pgadmin", "my mail"]}


def test_the_command_that_goes_on_keeps_the_flags_that_were_given(stack: FakeStack) -> None:
    boot = replace(stack.boot(), flags=FLAGS)
    stack.server.refusal = "FATAL:  password authentication failed"

    with pytest.raises(BootError) as caught:
        run_plan(boot, named("wait-db", "migrate", "apps-up"))

    assert caught.value.go_on == (
        "inv wait-db --runtime embedded migrate --runtime embedded --layout schemas"
        " apps-up --runtime embedded --layout schemas --with pgadmin --with 'my mail'"
    )


def test_the_command_that_goes_on_keeps_what_the_guard_was_asked_for(stack: FakeStack) -> None:
    stack.server.refusal = "FATAL:  password authentication failed"
    [guard] = named("guard")

    with pytest.raises(BootError) as caught:
        run_plan(replace(stack.boot(), flags=FLAGS), [replace(guard, flags=["--move-to", "schemas"])])

    assert caught.value.go_on == "inv guard --move-to schemas --runtime embedded --layout schemas"


def test_a_failure_is_shown_once(stack: FakeStack) -> None:
    error, _ = failing(stack, MigrationError("sso: drizzle did not finish", hint="correct it"))

    assert error.shown
    assert stack.said.count("did not finish") == 1


def test_ctrl_c_ends_the_plan_with_130_and_the_command_that_goes_on(stack: FakeStack) -> None:
    error, spans = failing(stack, KeyboardInterrupt())

    assert isinstance(error, UserInterruptError)
    assert error.exit_code == 130
    assert error.go_on == "inv two three"
    assert (spans[-1].outcome, spans[-1].text) == ("failed", "interrupted")


@pytest.mark.parametrize(("lines", "goes_on"), [(1, "inv two three"), (2, "inv three"), (3, "inv three")])
def test_ctrl_c_between_two_stages_ends_the_plan_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int, goes_on: str
) -> None:
    stack = FakeStack(tmp_path)
    boot = stack.boot()
    step, said = boot.console.step, 0

    def interrupted(*line: Any, **more: Any) -> None:
        nonlocal said
        step(*line, **more)
        said += 1
        if said == lines:
            raise KeyboardInterrupt

    monkeypatch.setattr(boot.console, "step", interrupted)
    with pytest.raises(UserInterruptError) as caught:
        run_plan(boot, [stage(name, lambda _: Outcome.done("done")) for name in ("one", "two", "three")])

    assert caught.value.go_on == goes_on
    assert stack.said.rstrip().endswith(f"go on with: {goes_on}")


def test_a_full_disk_is_passed_on_in_its_own_words(stack: FakeStack) -> None:
    error, _ = failing(stack, OSError(errno.ENOSPC, "No space left on device"))

    assert isinstance(error, MachineError)
    assert "No space left on device" in error.seen
    assert error.hint == "make room on the disk, then run this again"


def test_a_file_that_may_not_be_written_is_named_with_what_to_do(stack: FakeStack) -> None:
    error, _ = failing(stack, PermissionError(errno.EACCES, "Permission denied", "/srv/shop/.env"))

    assert error.hint == "let this user read and write /srv/shop/.env, then run this again"


def test_what_a_server_says_at_length_is_cut(stack: FakeStack) -> None:
    said = "stack depth limit exceeded\nCONTEXT:  " + "PL/pgSQL function base(oid) line 5 at RETURN\n" * 10_000

    error, _ = failing(stack, psycopg.errors.StatementTooComplex(said))

    assert error.seen.startswith("stack depth limit exceeded CONTEXT: PL/pgSQL function")
    assert len(error.seen) <= 500


def test_a_statement_that_the_server_refuses_is_not_called_a_lost_connection(stack: FakeStack) -> None:
    for cause in (psycopg.errors.DiskFull("could not extend file"), psycopg.errors.InsufficientPrivilege("no")):
        error, _ = failing(stack, cause)
        assert error.message == "the database refused a statement of the tasks"

    error, _ = failing(stack, psycopg.errors.AdminShutdown("terminating connection"))
    assert error.message == "the connection to the database was lost"


def test_a_database_that_breaks_off_is_not_ready(stack: FakeStack) -> None:
    error, _ = failing(stack, psycopg.OperationalError("server closed the connection\n\tunexpectedly"))

    assert isinstance(error, NotReadyError)
    assert error.seen == "server closed the connection unexpectedly"


def test_a_database_that_breaks_off_is_shown_with_the_last_lines_of_its_log(stack: FakeStack) -> None:
    stack.runtime.log_lines["postgres"] = ['FATAL:  could not write to file "pg_wal": No space left on device']

    error, _ = failing(stack, psycopg.OperationalError("checkpoint request failed, consult the log"))

    assert error.log
    assert "No space left on device" in error.log.lines[0]


def test_an_engine_that_is_gone_too_does_not_hide_that_the_database_broke_off(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_name: str) -> LogTail:
        raise MachineError("no engine answers", hint="start it")

    monkeypatch.setattr(stack.runtime, "log_tail", gone)

    error, _ = failing(stack, psycopg.OperationalError("gone"))

    assert error.message == "the connection to the database was lost"


def test_a_mistake_of_ours_is_not_dressed_up_as_a_failure_of_the_world(stack: FakeStack) -> None:
    with pytest.raises(ZeroDivisionError):
        run_plan(stack.boot(), [stage("one", ZeroDivisionError())])


@pytest.mark.parametrize(
    "cause",
    [KeyboardInterrupt(), OSError("disk"), psycopg.OperationalError("gone"), NotReadyError("no", hint="start it")],
)
def test_every_failure_has_a_hint_that_starts_with_a_verb(stack: FakeStack, cause: BaseException) -> None:
    error, _ = failing(stack, cause)

    assert error.hint.split()[0] in {"run", "see", "look", "start"}


def test_an_empty_plan_does_nothing(stack: FakeStack) -> None:
    run_plan(stack.boot(), [])

    assert stack.said == ""


# -- the real stages, together -----------------------------------------------------------------------------------------


@pytest.fixture
def stack_that_works(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    """Its API makes its tables when it starts."""
    start = stack.runtime.start

    def starting(started: Sequence[str], on_line: Callable[[str], None]) -> Sequence[str]:
        if "api" in started:
            create_all(stack.database)
        return start(started, on_line)

    monkeypatch.setattr(stack.runtime, "start", starting)
    return stack


def test_a_first_start_does_every_stage(stack_that_works: FakeStack) -> None:
    spans = ran(stack_that_works.boot(), plan(with_clean=True))

    assert [span.name for span in spans] == ORDER
    assert {span.name for span in spans[2:] if span.outcome != "done"} == {"guard"}, "it is in place"
    assert stack_that_works.database.tables == {"user", "session", "worker", "task"}


def test_a_second_start_keeps_every_row_and_seeds_nothing(stack_that_works: FakeStack) -> None:
    run_plan(stack_that_works.boot(), plan())
    stack_that_works.database.rows.update(worker=3, task=41)

    spans = ran(stack_that_works.boot(), plan())

    assert stack_that_works.database.rows == {"user": 1, "session": 0, "worker": 3, "task": 41}
    assert {span.name: span.outcome for span in spans}["seed"] == "skipped"


def test_a_quick_start_of_a_running_stack_skips_all_but_the_waits(stack_that_works: FakeStack) -> None:
    run_plan(stack_that_works.boot(), plan())

    spans = ran(stack_that_works.boot(quick=True), plan(quick=True))

    assert {span.name for span in spans if span.outcome == "done"} == {"wait-db", "wait-apps"}


def test_a_start_prints_no_secret_not_even_with_verbose(stack_that_works: FakeStack) -> None:
    run_plan(stack_that_works.boot(verbose=True), plan())

    assert "c0rrect-horse" not in stack_that_works.said


@pytest.mark.parametrize("first", ["migrate", "seed", "apps-up"])
def test_a_stage_that_comes_too_early_names_the_one_to_run_first_and_changes_nothing(
    stack: FakeStack, first: str
) -> None:
    stack.server.refusal = "Connection refused"

    with pytest.raises(NotReadyError) as caught:
        run_plan(stack.boot(), named(first))

    assert "inv db-up wait-db" in caught.value.hint
    assert stack.runtime.ran == []
    assert stack.runtime.changed == []


def test_what_an_interrupt_ended_beside_a_stage_is_not_told_as_an_error(tmp_path: Path) -> None:
    stack = FakeStack(tmp_path)
    ended = UserInterruptError("`docker compose build web` was interrupted", hint="go on")
    broken = BuildError("building web failed", hint="correct it")

    assert _told(stack.boot(), [("build apps", ended)], "migrate", KeyboardInterrupt(), []).message == "interrupted"
    assert "was interrupted" not in stack.said
    assert _told(stack.boot(), [("build apps", broken)], "migrate", KeyboardInterrupt(), []) is broken


def test_a_stage_says_how_long_it_waited_for_a_build(tmp_path: Path) -> None:
    """Its seconds are the build's: `apps-up  web started  44.8 s` said that the start took them."""
    stack = FakeStack(tmp_path)
    built = threading.Event()

    def build(boot: Boot) -> Outcome:
        assert built.wait(5)
        return Outcome.done("web built")

    def require(self: Beside, name: str) -> None:
        stack.clock.sleep(40)
        built.set()

    job = Job("build apps", "builds", "because", after=[], before="two", run=build)
    stages = [stage("two", lambda _: Outcome.done("web started"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Beside, "require", require)
        run_plan(stack.boot(), stages, [job])

    assert "web started (waited 40.0 s for build apps)  40.0 s" in stack.said
