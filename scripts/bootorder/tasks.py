"""The tasks: boot this stack in the safe order. `inv --list` shows them, `inv TASK --help` explains one."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from . import bootstrap

if TYPE_CHECKING:
    from .boot import Boot

# Copied into a repository these tasks are about it; installed as a package, about the folder they are called in.
ROOT = Path(__file__).resolve().parents[2] if __package__ == "scripts.bootorder" else Path.cwd()

RUNTIME = {"runtime": "where services run: compose, embedded, or auto (default: the setting, else auto)"}
VERBOSE = {"verbose": "show what the tools print while they work"}
WITH = {"with_": "an optional service to start too, e.g. pgadmin (may be given several times)"}
RESEED = {"reseed": "an owner whose seed is to be run again, e.g. since it has changed (may be given several times)"}
LAYOUT = {"layout": "where owners keep their tables: shared, schemas or databases (default: the setting, else shared)"}
ACCEPT = {"accept_data_loss": "migrate even where an owner's own rows are lost, which is said row by row"}
AS = {
    "as_": "the owner to be (default: the only one)",
    "as_superuser": "be the tasks' own role, which may do everything to every owner's tables",
}
JSON = {"json": "print one JSON object on stdout"}


@contextlib.contextmanager
def opened(
    c: Context,
    runtime: str = "",
    *,
    verbose: bool = False,
    as_json: bool = False,
    **flags: Any,
) -> Iterator[Boot]:
    """The stack of this folder; errors end the task with their exit code. `flags`: those of `open_boot`."""
    from .console import Console
    from .opening import open_boot
    from .program import configuration, translated

    console = Console(verbose=verbose)
    with translated(console, as_json=as_json):
        yield open_boot(ROOT, configuration(c), console, runtime, **flags)


def run_stage(
    c: Context,
    name: str,
    runtime: str,
    verbose: bool,
    *,
    layout: str = "",
    with_: Sequence[str] = (),
    reseed: Sequence[str] = (),
) -> None:
    """One stage as a task of its own."""
    from .running import run_stages

    with opened(c, runtime, layout=layout, verbose=verbose, asked_for=with_, reseed=reseed) as boot:
        run_stages(boot, [name], dry=c.config.run.dry)


class TaskInVenv(Task[Any]):
    """A task of ours. Where plain `inv` runs it among tasks of other people, a child in .venv does its work."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program = bootstrap.plain_invoke()
        if program is None or __package__ != "scripts.bootorder":
            return super().__call__(*args, **kwargs)
        context, flags = args[0], []
        if context.config.run.dry:
            flags.append("--dry")
        if program.args.config.value:
            flags.append(f"--config={program.args.config.value}")
        signature = inspect.signature(self.body)
        given = list(signature.bind(*args, **kwargs).arguments.items())[1:]  # without the context
        changed = {name: value for name, value in given if value != signature.parameters[name].default}
        if code := bootstrap.run_task(flags, self.name.replace("_", "-"), changed):
            raise Exit(code=code)
        return None


task = partial(task, klass=TaskInVenv)


@task(help=RUNTIME | VERBOSE)
def stop(c: Context, runtime: str = "", verbose: bool = False) -> None:
    """Stop this stack, keep its data."""
    run_stage(c, "stop", runtime, verbose)


@task(help=RUNTIME | VERBOSE)
def clean(c: Context, runtime: str = "", verbose: bool = False) -> None:
    """Remove what this stack ran, its data and what was built."""
    run_stage(c, "clean", runtime, verbose)


@task(help=WITH | RUNTIME | VERBOSE, iterable=["with_"])
def db_up(c: Context, with_: list[str], runtime: str = "", verbose: bool = False) -> None:
    """Start the database and what stands beside it."""
    run_stage(c, "db-up", runtime, verbose, with_=with_)


@task(help=RUNTIME | VERBOSE)
def wait_db(c: Context, runtime: str = "", verbose: bool = False) -> None:
    """Wait until the database answers a real query."""
    run_stage(c, "wait-db", runtime, verbose)


@task(
    help={
        "assign": "give tables that belong to nobody to the owner whose tool makes them",
        "move_to": "move every owner's tables to where this layout has them: schemas or shared",
    }
    | LAYOUT
    | RUNTIME
    | VERBOSE
)
def guard(
    c: Context, assign: bool = False, move_to: str = "", layout: str = "", runtime: str = "", verbose: bool = False
) -> None:
    """Make each owner's role, schema and rights, and the event triggers."""
    from .running import run_guard

    with opened(c, runtime, layout=layout, verbose=verbose) as boot:
        run_guard(boot, assign=assign, move_to=move_to, dry=c.config.run.dry)


@task(
    help={
        "plan": "only say what would change, and touch nothing",
        "build": "with --plan: build first what the tools run in, where their sources changed",
    }
    | ACCEPT
    | LAYOUT
    | RUNTIME
    | VERBOSE
    | JSON
)
def migrate(
    c: Context,
    plan: bool = False,
    build: bool = False,
    accept_data_loss: bool = False,
    layout: str = "",
    runtime: str = "",
    verbose: bool = False,
    json: bool = False,
) -> None:
    """Run each owner's schema tool and verify the catalog."""
    from .running import run_stages
    from .showing import show_changes

    with opened(c, runtime, layout=layout, verbose=verbose, as_json=json, accept_data_loss=accept_data_loss) as boot:
        if plan:
            show_changes(boot, build=build, as_json=json)
        else:
            run_stages(boot, ["migrate"], dry=c.config.run.dry, as_json=json)


@task(help=LAYOUT | RUNTIME | VERBOSE | JSON)
def check_models(c: Context, layout: str = "", runtime: str = "", verbose: bool = False, json: bool = False) -> None:
    """Look whether create_all knows every model, without a database."""
    from .showing import show_models

    with opened(c, runtime, layout=layout, verbose=verbose, as_json=json) as boot:
        show_models(boot, as_json=json)


@task(help=RESEED | LAYOUT | RUNTIME | VERBOSE, iterable=["reseed"])
def seed(c: Context, reseed: list[str], layout: str = "", runtime: str = "", verbose: bool = False) -> None:
    """Run each owner's seed, once."""
    run_stage(c, "seed", runtime, verbose, layout=layout, reseed=reseed)


@task(help=WITH | LAYOUT | RUNTIME | VERBOSE, iterable=["with_"])
def apps_up(c: Context, with_: list[str], layout: str = "", runtime: str = "", verbose: bool = False) -> None:
    """Start the other services."""
    run_stage(c, "apps-up", runtime, verbose, layout=layout, with_=with_)


@task(help=WITH | LAYOUT | RUNTIME | VERBOSE, iterable=["with_"])
def wait_apps(c: Context, with_: list[str], layout: str = "", runtime: str = "", verbose: bool = False) -> None:
    """Wait until every app is healthy."""
    run_stage(c, "wait-apps", runtime, verbose, layout=layout, with_=with_)


@task(
    help={
        "clean": "remove this stack's data and builds first: all its rows are gone",
        "quick": "keep running what runs, rebuild nothing, skip owners that are unchanged",
        "logs": "follow the logs afterwards (Ctrl-C ends the following, not the stack)",
        "until": "the last stage to run, e.g. migrate",
    }
    | ACCEPT
    | RESEED
    | WITH
    | LAYOUT
    | RUNTIME
    | VERBOSE
    | JSON,
    iterable=["with_", "reseed"],
)
def start(
    c: Context,
    with_: list[str],
    reseed: list[str],
    clean: bool = False,
    quick: bool = False,
    logs: bool = False,
    accept_data_loss: bool = False,
    layout: str = "",
    runtime: str = "",
    until: str = "",
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Boot the whole stack, stage by stage, in the safe order."""
    from .running import start_stack
    from .showing import follow_logs

    flags = {"layout": layout, "quick": quick, "accept_data_loss": accept_data_loss, "asked_for": with_}
    flags["reseed"] = reseed
    with opened(c, runtime, verbose=verbose, as_json=json, skips_unchanged=True, **flags) as boot:
        start_stack(boot, with_clean=clean, until=until, as_json=json, dry=c.config.run.dry)
        if logs and not c.config.run.dry:
            follow_logs(boot)


@task(help={"clean": "as in start", "quick": "as in start", "until": "as in start"} | LAYOUT | RUNTIME | JSON)
def plan(
    c: Context,
    clean: bool = False,
    quick: bool = False,
    until: str = "",
    layout: str = "",
    runtime: str = "",
    json: bool = False,
) -> None:
    """Print the stages of a start with their cause, and what each owner's tool would change; touch nothing."""
    from .showing import show_whole_plan

    with opened(c, runtime, layout=layout, quick=quick, as_json=json) as boot:
        show_whole_plan(boot, with_clean=clean, until=until, as_json=json)


@task(help=LAYOUT | RUNTIME | JSON)
def tables(c: Context, layout: str = "", runtime: str = "", json: bool = False) -> None:
    """List every table with its owner, rows and size; what is missing or unowned is marked."""
    from .showing import show_tables

    with opened(c, runtime, layout=layout, as_json=json) as boot:
        show_tables(boot, as_json=json)


@task(help=AS | LAYOUT | RUNTIME)
def url(c: Context, as_: str = "", as_superuser: bool = False, layout: str = "", runtime: str = "") -> None:
    """Print a connection URL with its password, for a tool that is run by hand."""
    from .showing import show_url

    with opened(c, runtime, layout=layout) as boot:
        show_url(boot, as_, as_superuser=as_superuser)


@task(help={"command": "one statement instead of a shell"} | AS | LAYOUT | RUNTIME)
def psql(
    c: Context, as_: str = "", as_superuser: bool = False, command: str = "", layout: str = "", runtime: str = ""
) -> None:
    """Open psql on the database as an owner."""
    from .showing import open_shell

    with opened(c, runtime, layout=layout) as boot:
        code = open_shell(boot, as_, command, as_superuser=as_superuser)
    if code:
        raise Exit(code=code)


@task(help=LAYOUT | RUNTIME | JSON)
def status(c: Context, layout: str = "", runtime: str = "", json: bool = False) -> None:
    """Show services with health and URL, owners with their tables."""
    from .showing import show_status

    with opened(c, runtime, layout=layout, as_json=json) as boot:
        show_status(boot, as_json=json)


@task(
    help={
        "service": "one service only (may be given several times)",
        "follow": "go on until Ctrl-C",
        "tail": "how many past lines of each service",
    }
    | RUNTIME,
    iterable=["service"],
)
def logs(c: Context, service: list[str], follow: bool = False, tail: int = 100, runtime: str = "") -> None:
    """Show the services' logs."""
    from .showing import follow_logs

    with opened(c, runtime) as boot:
        follow_logs(boot, service, tail=tail, follow=follow)


@task(
    help={
        "format": "svg, html, trace (Perfetto opens it) or json (default: svg and html)",
        "output": "the file to write (default: one in .bootorder; json goes to stdout)",
    }
)
def timeline(c: Context, format: str = "", output: str = "") -> None:
    """Draw the last start: what it spent its time on, and its critical path."""
    from .boot import STATE_FOLDER
    from .console import Console
    from .program import translated
    from .showing import show_timeline

    console = Console()
    with translated(console):
        show_timeline(console, ROOT / STATE_FOLDER, wanted=format, output=output)


@task(help=RUNTIME | JSON)
def doctor(c: Context, runtime: str = "", json: bool = False) -> None:
    """Say what this machine has and lacks, and how to correct it."""
    from .showing import show_doctor

    with opened(c, runtime, as_json=json) as boot:
        show_doctor(boot, as_json=json)


@task(help={"path": "the repository to look at (default: this one)"} | JSON)
def detect(c: Context, path: str = "", json: bool = False) -> None:
    """Say what a repository has that these tasks could boot, and what they would have to ask; run nothing of it."""
    from .console import Console
    from .detect.showing import show_detected
    from .program import translated

    console = Console()
    with translated(console, as_json=json):
        show_detected(console, Path(path).expanduser() if path else ROOT, as_json=json)


@task(help={"path": "the repository to look at (default: this one)"} | JSON)
def check(c: Context, path: str = "", json: bool = False) -> None:
    """Warn of what will hurt, by the settings and the files of a repository; exit code 1 where there is something."""
    from .check.showing import show_checked
    from .console import Console
    from .program import configuration, translated

    console = Console()
    with translated(console, as_json=json):
        if path:
            code = show_checked(console, Path(path).expanduser(), as_json=json)
        else:
            code = show_checked(console, ROOT, configuration(c), as_json=json)
    if code:
        raise Exit(code=code)


@task(
    help={
        "path": "the root of the other repository",
        "dry": "only say what would be written",
        "upgrade": "replace what was copied before and not changed since",
    },
    positional=["path"],
)
def copy_to(c: Context, path: str, dry: bool = False, upgrade: bool = False) -> None:
    """Bring these tasks into another repository, with an invoke.yaml made from what is found there."""
    from .console import Console
    from .copying.copying import copy_to
    from .program import translated

    console = Console()
    with translated(console):
        copy_to(console, Path(path).expanduser(), dry=dry or c.config.run.dry, upgrade=upgrade)


@task(help={"session": "one nox session instead of the default ones (see `nox -l`)"}, iterable=["session"])
def test(c: Context, session: list[str]) -> None:
    """Run the proofs: lint, types, unit tests, and a boot in a fresh environment."""
    from .console import Console
    from .program import translated
    from .running import run_nox

    with translated(Console()):
        run_nox(ROOT, session)


ns = Collection(
    stop,
    clean,
    db_up,
    wait_db,
    guard,
    migrate,
    check_models,
    seed,
    apps_up,
    wait_apps,
    start,
    status,
    tables,
    url,
    psql,
    logs,
    timeline,
    doctor,
    detect,
    check,
    copy_to,
    plan,
    test,
)


def beside(module: str, name: str = "boot") -> Collection:
    """The tasks of this module of somebody's own, and these under a name of their own: `inv boot.start`."""
    os.environ.setdefault("BOOTORDER_COMMAND", "./inv")  # whose names hints are right with
    tasks = Collection.from_module(sys.modules[module])
    tasks.add_collection(ns, name=name)
    return tasks
