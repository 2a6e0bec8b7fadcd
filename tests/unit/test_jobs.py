from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from scripts.bootorder.boot import Boot
from scripts.bootorder.errors import BootError, BuildError, MigrationError
from scripts.bootorder.jobs import Job
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.stages import BUILDS, CREATE, STAGES, Stage, beside, jobs, plan, run_plan

from .fakes import FakeStack

ALL = [*BUILDS, CREATE]  # of every stack
LIMIT = 30.0  # seconds, for what would otherwise wait for ever
BUILD_FAILS = BuildError("no such module", hint="correct it")


class Log:
    """What was begun and ended, in the order of time."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, name: str, run: Callable[[], object] = lambda: None) -> Stage:
        return Stage(name, "does it", "because", self._logged(name, run))

    def job(
        self, name: str, *, after: Sequence[str] = (), before: str, run: Callable[[], object] = lambda: None
    ) -> Job:
        return Job(name, "does it", "because", after, before, self._logged(name, run))

    def _logged(self, name: str, run: Callable[[], object]) -> Callable[[Boot], Outcome]:
        def logged(_: Boot) -> Outcome:
            self.lines.append(f"{name} begins")
            run()
            self.lines.append(f"{name} ends")
            return Outcome.done(name)

        return logged


@pytest.fixture
def log() -> Log:
    return Log()


def raises(error: BaseException) -> Callable[[], object]:
    def run() -> object:
        raise error

    return run


class Failing:
    """A stage and a job that fails while the stage is at work."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._at_work = threading.Event()

    def stage(self, name: str, then: Callable[[], object] = lambda: None) -> Stage:
        def run() -> None:
            self._at_work.set()
            for thread in threading.enumerate():
                if thread.name == "build":
                    thread.join(LIMIT)
            then()

        return self._log.stage(name, run)

    def job(self, *, before: str) -> Job:
        def run() -> None:
            assert self._at_work.wait(LIMIT)
            raise BUILD_FAILS

        return self._log.job("build", before=before, run=run)


def failing(boot: Boot, stages: Sequence[Stage], its: Sequence[Job]) -> BootError:
    with pytest.raises(BootError) as caught:
        run_plan(boot, stages, its)
    return caught.value


# -- the data ----------------------------------------------------------------------------------------------------------


def test_every_job_waits_for_what_comes_before_the_stage_that_needs_it() -> None:
    known = [stage.name for stage in STAGES] + [job.name for job in ALL]
    places = {stage.name: number for number, stage in enumerate(STAGES)}

    for number, job in enumerate(ALL):
        assert set(job.after) <= set(known[: len(STAGES) + number])
        assert all(places[name] < places[job.before] for name in job.after if name in places)
        assert job.does
        assert job.cause


def test_builds_begin_when_nothing_is_removed_any_more() -> None:
    assert BUILDS[0].after == ["stop", "clean"]


def test_an_app_starts_early_only_where_the_settings_say_so(stack: FakeStack) -> None:
    assert list(jobs(stack.settings.apps)) == ALL

    stack.config["apps"]["web"] = {"after": "db-up"}
    *_, early = jobs(stack.settings.apps)

    assert (early.name, early.after, early.before) == ("start web", ["db-up", "create apps"], "apps-up")


def test_a_quick_start_makes_and_starts_nothing_beside_the_stages(stack: FakeStack) -> None:
    stack.config["apps"]["web"] = {"after": "db-up"}

    assert jobs(stack.settings.apps, quick=True) == BUILDS


def test_the_plan_shows_which_stages_each_job_runs_beside(stack: FakeStack) -> None:
    stack.config["apps"]["web"] = {"after": "guard"}

    assert beside(STAGES, jobs(stack.settings.apps)) == {
        "build owners": ["db-up", "wait-db", "guard"],
        "build apps": ["db-up", "wait-db", "guard", "migrate", "seed"],
        "create apps": ["wait-db", "guard", "migrate", "seed"],
        "start web": ["migrate", "seed"],
    }


def test_a_job_whose_stage_is_not_in_the_plan_is_not_shown() -> None:
    assert beside(plan(until="migrate"), BUILDS) == {"build owners": ["db-up", "wait-db", "guard"]}


# -- running them ------------------------------------------------------------------------------------------------------


def test_a_job_runs_beside_the_stages_that_do_not_need_it(stack: FakeStack, log: Log) -> None:
    seen = threading.Barrier(2, timeout=LIMIT)
    stages = [log.stage("one"), log.stage("two", seen.wait), log.stage("three")]

    run_plan(stack.boot(), stages, [log.job("build", after=["one"], before="three", run=seen.wait)])

    assert log.lines.index("build begins") > log.lines.index("one ends")
    assert log.lines.index("build ends") < log.lines.index("three begins")


def test_a_job_waits_for_another_one(stack: FakeStack, log: Log) -> None:
    its = [log.job("second", after=["first"], before="one"), log.job("first", before="one")]

    run_plan(stack.boot(), [log.stage("one")], its)

    assert log.lines == [
        *("first begins", "first ends", "second begins", "second ends", "one begins", "one ends"),
    ]


def test_a_job_for_a_stage_that_is_not_run_is_not_run(stack: FakeStack, log: Log) -> None:
    run_plan(stack.boot(), [log.stage("one")], [log.job("build", before="two")])

    assert log.lines == ["one begins", "one ends"]


def test_a_job_does_not_wait_for_a_stage_that_is_not_run(stack: FakeStack, log: Log) -> None:
    run_plan(stack.boot(), [log.stage("one")], [log.job("build", after=["clean"], before="one")])

    assert log.lines[0] == "build begins"


def test_a_job_that_fails_ends_the_boot_at_the_next_stage_under_its_own_name(stack: FakeStack, log: Log) -> None:
    both, boot = Failing(log), stack.boot()

    error = failing(boot, [both.stage("one"), log.stage("two"), log.stage("three")], [both.job(before="three")])

    assert error.exit_code == 8
    assert "two begins" not in log.lines
    assert "error: build: no such module" in stack.said
    assert "error: two" not in stack.said
    assert error.go_on == "inv two three"
    found = {span.name: span for span in boot.timeline.recording({}).spans}
    assert (found["build"].kind, found["build"].outcome, found["build"].parent) == ("job", "failed", None)


def test_of_two_failures_the_first_is_shown_first_and_is_the_boots(stack: FakeStack, log: Log) -> None:
    both, cause = Failing(log), MigrationError("drizzle did not finish", hint="correct it")

    error = failing(stack.boot(), [both.stage("one", raises(cause)), log.stage("two")], [both.job(before="two")])

    first, second = (stack.said.index(f"error: {what}") for what in ("build: no such", "one: drizzle"))
    assert (error.message, first < second) == ("no such module", True)


@pytest.mark.parametrize("cause", [MigrationError("drizzle did not finish", hint="correct it"), KeyboardInterrupt()])
def test_a_stage_that_fails_ends_what_runs_beside_it(stack: FakeStack, log: Log, cause: BaseException) -> None:
    boot, at_work = stack.boot(), threading.Event()

    def build() -> None:
        at_work.set()
        assert stack.processes.ended.wait(LIMIT), "its command was not ended"
        raise BUILD_FAILS

    def fail() -> None:
        assert at_work.wait(LIMIT)
        raise cause

    its = [log.job("build", before="two", run=build), log.job("create", after=["build", "one"], before="two")]

    error = failing(boot, [log.stage("one", fail), log.stage("two")], its)

    assert error.exit_code in {5, 130}
    assert "error: build" not in stack.said
    assert "create begins" not in log.lines
    found = {span.name: span for span in boot.timeline.recording({}).spans}
    assert (found["build"].outcome, found["build"].text) == ("skipped", "given up, as something else failed")


def test_a_mistake_of_ours_in_a_job_is_not_hidden(stack: FakeStack, log: Log) -> None:
    with pytest.raises(TypeError, match="ours"):
        run_plan(stack.boot(), [log.stage("one")], [log.job("build", before="one", run=raises(TypeError("ours")))])
