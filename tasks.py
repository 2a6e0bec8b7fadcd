"""The tasks: boot this stack in the safe order. `inv --list` shows them, `inv TASK --help` explains one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

if TYPE_CHECKING:
    from scripts.bootorder.boot import Boot

ROOT = Path(__file__).resolve().parent

RUNTIME = {"runtime": "where services run: compose, embedded, or auto (default: the setting, else auto)"}
VERBOSE = {"verbose": "show what the tools print while they work"}
WITH = {"with_": "an optional service to start too, e.g. pgadmin (may be given several times)"}
JSON = {"json": "print one JSON object on stdout"}


@contextlib.contextmanager
def opened(
    c: Context,
    runtime: str = "",
    *,
    quick: bool = False,
    verbose: bool = False,
    with_: Sequence[str] = (),
    as_json: bool = False,
) -> Iterator[Boot]:
    """The stack of this folder; errors end the task with their exit code."""
    from scripts.bootorder.console import Console
    from scripts.bootorder.opening import open_boot
    from scripts.bootorder.program import configuration, translated

    console = Console(verbose=verbose)
    with translated(console, as_json=as_json):
        yield open_boot(ROOT, configuration(c), console, runtime, quick=quick, asked_for=with_)


def run_stage(c: Context, name: str, runtime: str, verbose: bool, with_: Sequence[str] = ()) -> None:
    """One stage as a task of its own."""
    from scripts.bootorder.opening import run_stages

    with opened(c, runtime, verbose=verbose, with_=with_) as boot:
        run_stages(boot, [name], dry=c.config.run.dry)


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
    run_stage(c, "db-up", runtime, verbose, with_)


@task(help=RUNTIME | VERBOSE)
def wait_db(c: Context, runtime: str = "", verbose: bool = False) -> None:
    """Wait until the database answers a real query."""
    run_stage(c, "wait-db", runtime, verbose)


@task(help=RUNTIME | VERBOSE)
def migrate(c: Context, runtime: str = "", verbose: bool = False) -> None:
    """Run each owner's schema tool and verify the catalog."""
    run_stage(c, "migrate", runtime, verbose)


@task(help=RUNTIME | VERBOSE)
def seed(c: Context, runtime: str = "", verbose: bool = False) -> None:
    """Run each owner's seed, once."""
    run_stage(c, "seed", runtime, verbose)


@task(help=WITH | RUNTIME | VERBOSE, iterable=["with_"])
def apps_up(c: Context, with_: list[str], runtime: str = "", verbose: bool = False) -> None:
    """Start the other services."""
    run_stage(c, "apps-up", runtime, verbose, with_)


@task(help=WITH | RUNTIME | VERBOSE, iterable=["with_"])
def wait_apps(c: Context, with_: list[str], runtime: str = "", verbose: bool = False) -> None:
    """Wait until every app is healthy."""
    run_stage(c, "wait-apps", runtime, verbose, with_)


@task(
    help={
        "clean": "remove this stack's data and builds first: all its rows are gone",
        "quick": "keep running what runs, rebuild nothing, skip owners that are unchanged",
        "logs": "follow the logs afterwards (Ctrl-C ends the following, not the stack)",
        "until": "the last stage to run, e.g. migrate",
    }
    | WITH
    | RUNTIME
    | VERBOSE
    | JSON,
    iterable=["with_"],
)
def start(
    c: Context,
    with_: list[str],
    clean: bool = False,
    quick: bool = False,
    logs: bool = False,
    runtime: str = "",
    until: str = "",
    json: bool = False,
    verbose: bool = False,
) -> None:
    """Boot the whole stack, stage by stage, in the safe order."""
    from scripts.bootorder.opening import follow_logs, start_stack

    with opened(c, runtime, quick=quick, verbose=verbose, with_=with_, as_json=json) as boot:
        start_stack(boot, with_clean=clean, until=until, as_json=json, dry=c.config.run.dry)
        if logs and not c.config.run.dry:
            follow_logs(boot)


@task(
    help={"clean": "as in start", "quick": "as in start", "until": "as in start"} | JSON,
)
def plan(c: Context, clean: bool = False, quick: bool = False, until: str = "", json: bool = False) -> None:
    """Print the stages of a start with their cause, and touch nothing."""
    from scripts.bootorder.console import Console
    from scripts.bootorder.opening import show_plan
    from scripts.bootorder.program import translated

    console = Console()
    with translated(console, as_json=json):
        show_plan(console, with_clean=clean, quick=quick, until=until, as_json=json)


@task(help=RUNTIME | JSON)
def status(c: Context, runtime: str = "", json: bool = False) -> None:
    """Show services with health and URL, owners with their tables."""
    from scripts.bootorder.opening import show_status

    with opened(c, runtime, as_json=json) as boot:
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
    from scripts.bootorder.opening import follow_logs

    with opened(c, runtime) as boot:
        follow_logs(boot, service, tail=tail, follow=follow)


@task(help=RUNTIME | JSON)
def doctor(c: Context, runtime: str = "", json: bool = False) -> None:
    """Say what this machine has and lacks, each with its mend."""
    from scripts.bootorder.opening import show_doctor

    with opened(c, runtime, as_json=json) as boot:
        show_doctor(boot, as_json=json)


@task(help={"session": "one nox session instead of the default ones (see `nox -l`)"}, iterable=["session"])
def test(c: Context, session: list[str]) -> None:
    """Run the proofs: lint, types, unit tests, and a boot in a fresh environment."""
    from scripts.bootorder.console import Console
    from scripts.bootorder.opening import run_nox
    from scripts.bootorder.program import translated

    with translated(Console()):
        run_nox(ROOT, session)


ns = Collection(stop, clean, db_up, wait_db, migrate, seed, apps_up, wait_apps, start, status, logs, doctor, plan, test)

if __name__ == "__main__":
    from scripts.bootorder.program import main

    main(ROOT)
