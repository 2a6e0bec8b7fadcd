"""The stages of the boot and the jobs beside them as data, the plan made of them, and running it."""

from __future__ import annotations

import contextlib
import errno
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg

from .boot import Boot
from .errors import BootError, MachineError, NotReadyError, UserInterruptError, command
from .guard.stage import guard
from .jobs import Beside, Job
from .lifecycle import apps_up, build_apps, build_owners, clean, create_apps, db_up, start, stop
from .migrate import migrate
from .outcome import Outcome
from .seed import seed
from .settings import AppSettings, unknown
from .terminal import listed
from .waits import wait_apps, wait_db


@dataclass(frozen=True)
class Stage:
    """One step: its name as a task, what it does, and why it stands where it stands."""

    name: str
    does: str
    cause: str
    run: Callable[[Boot], Outcome]
    flags: Sequence[str] = ()  # of its own, e.g. `guard --assign`

    @property
    def typed(self) -> str:
        """As a person calls it."""
        return shlex.join([self.name, *self.flags])


STAGES: Sequence[Stage] = (
    Stage("stop", "stops this stack, keeps its data", "no app may use a table while its tool changes it", stop),
    Stage("clean", "removes what this stack ran, its data and its builds", "asked for with --clean", clean),
    Stage("db-up", "starts the database and what stands beside it", "everything else needs it", db_up),
    Stage("wait-db", "waits for a real query over TCP", "started is not ready", wait_db),
    Stage("guard", "makes roles, schemas, grants, triggers", "no owner may harm another's tables", guard),
    Stage("migrate", "runs each owner's tool, verifies the catalog", "apps expect their tables", migrate),
    Stage("seed", "runs each owner's seed once", "rows need tables, apps expect rows", seed),
    Stage("apps-up", "starts the other services", "their owners have migrated", apps_up),
    Stage("wait-apps", "waits for health, verifies tables made at start", "started is not healthy", wait_apps),
)


_WORTH_SAYING = 1.0  # seconds that a stage waited for what runs beside it

LOOKING = {"wait-db", "wait-apps"}  # the stages that change nothing

# What takes long and needs little of what the stages do. One after another, as services may share a folder.
BUILDS: Sequence[Job] = (
    Job(
        *("build owners", "builds what the owners' tools run in", "it needs no database"),
        after=["stop", "clean"],
        before="migrate",
        run=build_owners,
    ),
    Job(
        *("build apps", "builds the other services", "it needs no database"),
        after=["build owners"],
        before="apps-up",
        run=build_apps,
    ),
)
CREATE = Job(
    *("create apps", "makes containers, where they run in some", "only the start of an app needs its tables"),
    after=["db-up", "build apps"],  # Compose makes the network with the first service
    before="apps-up",
    run=create_apps,
)


def jobs(apps: Mapping[str, AppSettings], *, quick: bool = False) -> Sequence[Job]:
    """Those of this stack, with the start of each app that waits for less than the seeds.

    A quick start looks at all apps once, when their turn has come: most of them run already.
    """
    if quick:
        return BUILDS
    return [*BUILDS, CREATE, *(_early(name, app.after) for name, app in apps.items() if app.after != "seed")]


def _early(name: str, after: str) -> Job:
    return Job(
        *(f"start {name}", f"starts {name}", f"`apps.{name}.after`: it waits for {after} only"),
        after=[after, "create apps"],
        before="apps-up",
        run=lambda boot: start(boot, [name]),
    )


_LONGEST_SEEN = 500  # characters of what the server says: a function that calls itself is a line for each call

# Flags that not every stage has, as a task of its own.
_TAKES = {
    "--reseed": {"seed"},
    "--with": {"db-up", "apps-up", "wait-apps"},
    "--layout": {"guard", "migrate", "seed", "apps-up", "wait-apps"},
}


def plan(*, with_clean: bool = False, quick: bool = False, until: str = "") -> Sequence[Stage]:
    """The stages of a `start`. A quick one keeps running what runs; `until` is the last stage wanted."""
    left_out = {*(() if with_clean else ("clean",)), *(("stop",) if quick and not with_clean else ())}
    stages = [stage for stage in STAGES if stage.name not in left_out]
    if not until:
        return stages
    names = [stage.name for stage in stages]
    if until not in names:
        raise unknown("stage", until, names)
    return stages[: names.index(until) + 1]


def beside(stages: Sequence[Stage], jobs: Sequence[Job]) -> Mapping[str, Sequence[str]]:
    """The stages that each job may be at work beside, by its name; of those that the plan has."""
    names = [stage.name for stage in stages]
    begin: dict[str, int] = {}  # of each job: the position of the first stage that it runs beside
    for job in jobs:
        stages_before = [names.index(name) + 1 for name in job.after if name in names]
        begin[job.name] = max([*stages_before, *(begin[name] for name in job.after if name in begin)], default=0)
    needed = {job.name: names.index(job.before) for job in jobs if job.before in names}
    return {job: names[begin[job] : end] for job, end in needed.items() if begin[job] < end}


def named(*names: str) -> Sequence[Stage]:
    """Single stages, for the tasks of their own."""
    return [stage for stage in STAGES if stage.name in names]


def run_plan(boot: Boot, stages: Sequence[Stage], jobs: Sequence[Job] = ()) -> None:
    """Run the stages in order, telling each; the timeline has what became of them, also of the one that failed."""
    names = [stage.name for stage in stages]
    ended = 0
    with Beside(boot, jobs, names) as beside:
        try:
            for position, stage in enumerate(stages):
                boot.console.begin(position + 1, len(stages), stage.name)
                try:
                    needs = _needs(stage, names, jobs)
                    with boot.timeline.span(stage.name, "stage", cause=stage.cause, needs=needs) as span:
                        began = boot.clock.now()
                        beside.require(stage.name)
                        waited = boot.clock.now() - began
                        outcome = stage.run(boot)
                        if waited >= _WORTH_SAYING:
                            jobs_before = listed([job.name for job in jobs if job.before == stage.name])
                            outcome = replace(outcome, text=f"{outcome.text} (waited {waited:.1f} s for {jobs_before})")
                        span.came_to(outcome)
                except (BootError, KeyboardInterrupt, OSError, psycopg.Error) as cause:
                    go_on = [stage.typed for stage in stages[position:]]
                    error = _told(boot, beside.failures, stage.name, cause, go_on)
                    span.text = error.message
                    raise error from cause
                finally:
                    boot.console.settle()
                ended = position + 1
                beside.ended(stage.name)
                boot.console.step(
                    position + 1, len(stages), stage.name, outcome.text, span.seconds, skipped=outcome.was_skipped
                )
        except KeyboardInterrupt as cause:  # it came between two stages
            left = stages[ended:] or stages[-1:]
            raise _told(boot, beside.failures, left[0].name, cause, [stage.typed for stage in left]) from cause


def _needs(stage: Stage, names: Sequence[str], jobs: Sequence[Job]) -> Sequence[str]:
    """The stage before it, and the jobs that it waits for."""
    position = names.index(stage.name)
    return [*names[max(0, position - 1) : position], *(job.name for job in jobs if job.before == stage.name)]


def _told(
    boot: Boot, before: Sequence[tuple[str, BaseException]], stage: str, cause: BaseException, go_on: Sequence[str]
) -> BootError:
    """Tell what failed, the first cause first. Returns that one as it is to be raised."""
    if isinstance(cause, KeyboardInterrupt):  # what the interrupt ended beside it is no error
        before = [(where, error) for where, error in before if not isinstance(error, UserInterruptError)]
    failures = [*before, *([] if any(cause is other for _, other in before) else [(stage, cause)])]
    first = as_boot_error(failures[0][1])
    for where, failed in failures:
        error = first if failed is failures[0][1] else as_boot_error(failed)
        if isinstance(failed, psycopg.Error):
            # What it says last is often that it says more in its log. An engine that is gone has none to show.
            with contextlib.suppress(BootError):
                error.log = boot.runtime.log_tail(boot.settings.database.service)
        if error.goes_on and error is first:
            left = dict.fromkeys([*error.first, *go_on])
            error.go_on = command(" ".join(_with_flags(name, boot) for name in left))
        boot.console.error(error, where)
    first.shown = True
    return first


def _with_flags(stage: str, boot: Boot) -> str:
    """The task of a stage as the person would have called it: Invoke's flags are those of the task before them."""
    task, *flags = shlex.split(stage)
    taken = {name: values for name, values in boot.flags.items() if task in _TAKES.get(name, {task})}
    return shlex.join(
        [task, *flags, *(part for name, values in taken.items() for value in values for part in (name, value))]
    )


def as_boot_error(cause: BaseException) -> BootError:
    """What the world threw at us, as an error with a hint; a mistake of ours is not caught and shows its trace."""
    if isinstance(cause, BootError):
        return cause
    if isinstance(cause, KeyboardInterrupt):
        return UserInterruptError(
            "interrupted",
            seen="the commands that were running were ended",
            hint="run it again whenever you like: what is done stays done",
        )
    if isinstance(cause, psycopg.Error):
        # What ends a session has no code, or one of the classes "connection exception" and "operator intervention".
        is_lost = (cause.sqlstate or "08")[:2] in {"08", "57"}
        return NotReadyError(
            "the connection to the database was lost" if is_lost else "the database refused a statement of the tasks",
            expected="a database that answers to the end",
            seen=textwrap.shorten(str(cause), _LONGEST_SEEN, placeholder=" ..."),
            hint=f"look at its log: {command('logs')}",
        )
    return _of_the_system(cause)


def _of_the_system(cause: BaseException) -> MachineError:
    """An OSError, with what it was about."""
    number, name = getattr(cause, "errno", None), getattr(cause, "filename", None)
    hint = f"see what the machine lacks: {command('doctor')}"
    if number in {errno.ENOSPC, errno.EDQUOT}:
        hint = "make room on the disk, then run this again"
    elif isinstance(cause, PermissionError) and name:
        hint = f"let this user read and write {name}, then run this again"
    return MachineError("the operating system refused an operation", seen=str(cause), hint=hint)
