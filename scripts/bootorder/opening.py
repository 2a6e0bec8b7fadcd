"""What the tasks call: opening a stack, running stages on it, showing it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from . import env_file
from .boot import STATE_FOLDER, Boot
from .choosing import Runtimes
from .console import Console
from .errors import BootError, MachineError, SettingsError, command
from .lock import exclusive
from .outcome import Outcome
from .probes import Ready, SystemClock
from .processes import SystemProcesses
from .settings import layout_name, parse, unknown
from .stages import Record, Stage, as_boot_error, named, plan, run_plan

_ENDING = {"stop", "clean"}  # the stages that start nothing


def open_boot(
    root: Path,
    config: Mapping[str, Any],
    console: Console,
    runtime: str,
    *,
    layout: str = "",
    quick: bool = False,
    accept_data_loss: bool = False,
    asked_for: Sequence[str] = (),
) -> Boot:
    """Settings and runtime of the stack in `root`. Touches nothing."""
    settings = parse(config)
    processes = SystemProcesses()
    chosen = layout_name(layout, settings)
    runtimes = Runtimes(root, root / STATE_FOLDER, settings, processes, console, chosen)
    choice = runtimes.choose(runtime)
    if choice.why:
        console.say(f"runtime: {choice.runtime.name} ({choice.why})")
    return Boot(
        *(root, settings, choice.runtime, processes, console, SystemClock()),
        layout=chosen,
        quick=quick,
        accept_data_loss=accept_data_loss,
        asked_for=asked_for,
        flags={
            "--runtime": [runtime] if runtime else [],
            "--layout": [layout] if layout else [],
            "--with": list(asked_for),
        },
        elsewhere=lambda: runtimes.elsewhere(choice.runtime),
    )


def _prepare(boot: Boot, *, with_clean: bool = False) -> None:
    """For what starts something: makes what compose.yaml asks of .env, and refuses settings that cannot be."""
    env_file.check(boot.env_path)
    lost = None if with_clean else boot.lost_password()
    if lost:
        raise lost
    added = env_file.complete(boot.env_path, boot.secrets, boot.state_folder / "env.lock")
    if added:
        boot.console.say(f"made .env with {', '.join(added)}")
    for name in boot.secrets:
        env_file.secret(boot.env_path, name)  # refuses an empty one, before Compose does with fewer words
    boot.check()


@contextlib.contextmanager
def _looking(boot: Boot) -> Iterator[None]:
    """For what only ends or shows a stack: no file is written, and settings that it does not need may be wrong."""
    with env_file.lent(boot.env_path, boot.secrets):
        boot.check_names()
        yield


def _look_elsewhere(boot: Boot, names: Sequence[str]) -> None:
    """Refuse to boot a stack a second time; what only ends or shows it says so instead."""
    trouble = boot.elsewhere()
    if trouble and set(names) - _ENDING:
        raise trouble
    if trouble:
        boot.console.say(f"note: {trouble.message} ({trouble.seen}); {trouble.hint}")


def run_guard(boot: Boot, *, assign: bool, move_to: str, dry: bool) -> None:
    """The stage, or instead of it giving tables to their owners, or moving them to another layout."""
    from .guard import layout, stage

    if assign and move_to:
        raise SettingsError("--assign and --move-to at once", hint="assign first, then move")
    instead = stage.assign if assign else (lambda boot: layout.move(boot, move_to)) if move_to else None
    run_stages(boot, ["guard"], dry=dry, instead=instead)


def run_stages(
    boot: Boot,
    names: Sequence[str],
    *,
    dry: bool,
    as_json: bool = False,
    instead: Callable[[Boot], Outcome] | None = None,
) -> None:
    """Single stages, as tasks of their own; `instead`: what is run in their place."""
    records: list[Record] = []
    stages = [replace(stage, run=instead or stage.run) for stage in named(*names)]
    if dry:
        _print_plan(boot.console, stages)
        return
    with contextlib.ExitStack() as until_done:
        if _ENDING.issuperset(names):
            until_done.enter_context(_looking(boot))
        else:
            _prepare(boot)
        until_done.enter_context(exclusive(boot.state_folder, " ".join(names)))
        _look_elsewhere(boot, names)
        run_plan(boot, stages, records)
    if as_json:
        boot.console.data(_report(records))


def start_stack(boot: Boot, *, with_clean: bool, until: str, as_json: bool, dry: bool) -> None:
    """The whole boot. With `as_json` one object on stdout, also when it fails."""
    if dry:
        show_plan(boot.console, with_clean=with_clean, quick=boot.quick, until=until, as_json=as_json)
        return
    records: list[Record] = []
    try:
        stages = plan(with_clean=with_clean, quick=boot.quick, until=until)
        _prepare(boot, with_clean=with_clean)
        with exclusive(boot.state_folder, "start"):
            _look_elsewhere(boot, ["start"])
            boot.runtime.check_ports(_to_start(boot, stages))
            _refuse_another_layout(boot, stages)
            run_plan(boot, stages, records)
    except BootError as error:
        if as_json:
            boot.console.data(_report(records, error=error.as_data()))
        raise
    from .status import status

    found = status(boot)
    if not until:
        _print_status(boot.console, found)
    if as_json:
        boot.console.data(_report(records, status=found))


def _refuse_another_layout(boot: Boot, stages: Sequence[Stage]) -> None:
    """Before what runs is stopped, where the database can be asked."""
    from .guard.layout import refuse_another_layout

    if {"clean", "guard"} & {stage.name for stage in stages} != {"guard"}:
        return
    if boot.database_service().running and isinstance((target := boot.target()).look(), Ready):
        with target.connect() as connection:
            refuse_another_layout(boot, target, connection)


def _to_start(boot: Boot, stages: Sequence[Stage]) -> list[str]:
    """The services that these stages start."""
    names = {stage.name for stage in stages}
    first = [boot.settings.database.service, *boot.beside] if "db-up" in names else []
    return [*first, *(boot.apps if "apps-up" in names else ())]


def _report(
    records: Sequence[Record], *, error: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    stages = [record.as_data() for record in records]
    return {"ok": error is None, "stages": stages, "error": error, "status": status}


def show_plan(console: Console, *, with_clean: bool, quick: bool, until: str, as_json: bool) -> None:
    """The stages of a start, without looking at anything."""
    stages = plan(with_clean=with_clean, quick=quick, until=until)
    if as_json:
        console.data(_as_data(stages))
    else:
        _print_plan(console, stages)


def _as_data(stages: Sequence[Stage]) -> list[dict[str, str]]:
    return [{"stage": stage.name, "does": stage.does, "cause": stage.cause} for stage in stages]


def _print_plan(console: Console, stages: Sequence[Any]) -> None:
    rows = [[str(position), stage.name, stage.does, stage.cause] for position, stage in enumerate(stages, start=1)]
    console.table(["", "stage", "does", "because"], rows)


def show_url(boot: Boot, owner: str) -> None:
    """A connection URL on stdout, with its password."""
    from .access import url

    with _looking(boot):
        boot.console.line(url(boot, owner))


def open_shell(boot: Boot, owner: str, statement: str) -> int:
    """psql on this terminal. Returns its exit code."""
    from .access import shell

    with _looking(boot):
        return shell(boot, owner, statement)


def show_tables(boot: Boot, *, as_json: bool) -> None:
    """Every table with owner, schema, rows and size."""
    from .access import sized, tables

    with _looking(boot):
        found = tables(boot)
    if as_json:
        boot.console.data([table.as_data() for table in found])
        return
    heads = ["owner", "schema", "table", "rows", "size", ""]
    apart = len({table.database for table in found}) > 1
    rows = [
        [
            table.owner or "-",
            f"{table.database}.{table.schema}" if apart else table.schema,
            table.name,
            "-" if table.rows is None else str(table.rows),
            sized(table.bytes),
            table.state,
        ]
        for table in found
    ]
    boot.console.table(heads, rows, asked=True)


def show_models(boot: Boot, *, as_json: bool) -> None:
    """The models that `create_all` knows; raises MigrationError where it would leave one out. Needs no database."""
    owners = [owner for owner in boot.owners if owner.migrator.check_models]
    found = []
    if owners:
        _prepare(boot)
        with exclusive(boot.state_folder, "check-models"):
            boot.build([owner.settings.service for owner in owners])
            for owner in owners:
                models = owner.check_models()
                if models is None:
                    raise SettingsError(
                        f"{owner.name}: its models cannot be known",
                        expected=f"`owners.{owner.name}.migrate`: python -m MODULE",
                        seen=" ".join(owner.settings.migrate),
                        hint="let it call Python itself, or leave this check away",
                    )
                boot.console.say(f"{owner.name}: {len(models)} models, all known to create_all")
                found.append({"owner": owner.name, "models": models})
    else:
        boot.console.say("no owner makes its tables from models that can be forgotten (migrator sqlmodel)")
    if as_json:
        boot.console.data(found)


def show_changes(boot: Boot, *, as_json: bool) -> None:
    """For each owner what its tool would add, change and lose in the database as it is."""
    from .trial import changes

    _prepare(boot)
    with exclusive(boot.state_folder, "migrate --plan"):
        found = changes(boot)
    if as_json:
        boot.console.data(found)
    else:
        _print_changes(boot.console, found)


def _print_changes(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    for change in found:
        lines, problems = change["changes"], change["problems"]
        counted = f"{len(lines)} change{'' if len(lines) == 1 else 's'}" if lines else "nothing would change"
        console.say(f"{change['owner']}: {counted}{', and it would fail' if problems else ''}")
        for line in (*lines, *change["losses"], *change["foreign_losses"], *problems):
            console.say(f"  {line}")
        if (lines or change["losses"]) and not problems:
            console.say(f"  it says: {change['said']}")


def show_whole_plan(boot: Boot, *, with_clean: bool, until: str, as_json: bool) -> None:
    """The stages, and what each owner's tool would change where the database can be asked."""
    from .trial import changes

    stages = plan(with_clean=with_clean, quick=boot.quick, until=until)
    found, reason = None, "the rows are given up first" if with_clean else ""
    if not with_clean:
        try:
            with _looking(boot), exclusive(boot.state_folder, "plan"):
                found = changes(boot, build=False)
        except (BootError, OSError, psycopg.Error) as cause:
            error = as_boot_error(cause)
            reason = ": ".join(filter(None, (error.message, error.seen)))
    if as_json:
        boot.console.data({"stages": _as_data(stages), "owners": found})
        return
    _print_plan(boot.console, stages)
    boot.console.say()
    if found is None:
        boot.console.say(f"what the owners' tools would change is not known: {reason}")
    else:
        _print_changes(boot.console, found)


def show_status(boot: Boot, *, as_json: bool = False) -> None:
    """Services with health and URL; owners with what is missing."""
    from .status import status

    lost = boot.lost_password()
    with _looking(boot):
        _look_elsewhere(boot, [])
        if lost:
            boot.console.say(f"note: {lost.message}; {lost.hint}")
        found = status(boot)
    if as_json:
        boot.console.data(found)
    else:
        _print_status(boot.console, found)


def _print_status(console: Console, found: Mapping[str, Any]) -> None:
    console.say()
    services = [[s["name"], s["state"], s["health"] or "-", s["url"] or "-"] for s in found["services"]]
    console.table(["service", "state", "health", "url"], services)
    console.say()
    for owner in found["owners"]:
        if owner["tables"] is None:
            known = f"tables not known (the database does not answer, or {command('migrate')} has yet to learn them)"
        else:
            known = f"{len(owner['tables'])} tables"
            known += f", missing: {', '.join(owner['missing'])}" if owner["missing"] else ""
        console.say(f"{owner['name']} (role {owner['role']}, schema {owner['schema']}): {known}")


def follow_logs(boot: Boot, names: Sequence[str] = (), *, tail: int = 20, follow: bool = True) -> None:
    """Log lines on stdout, each with its service's name."""
    if tail < 0:
        raise SettingsError(
            f"`--tail {tail}` is no number of lines", expected="0 or more", hint="give the number of past lines to show"
        )
    with _looking(boot):
        declared = list(boot.runtime.declared())
        for name in names:
            if name not in declared:
                raise unknown("service", name, declared)
        for service, line in boot.runtime.logs(names, tail=tail, follow=follow):
            boot.console.log_line(service, line, declared.index(service) if service in declared else 0)


def show_doctor(boot: Boot, *, as_json: bool) -> None:
    """Every finding; raises MachineError when something is to be mended."""
    from .doctor import examine

    findings = list(examine(boot))
    if not as_json:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            boot.console.check(finding.ok, finding.name.ljust(width), finding.seen, finding.mend)
    if as_json:
        boot.console.data([finding.as_data() for finding in findings])
    wrong = [finding for finding in findings if not finding.ok]
    if wrong:
        raise MachineError(
            f"{len(wrong)} of {len(findings)} findings need mending",
            seen=", ".join(finding.name for finding in wrong),
            hint=wrong[0].mend,
        )


def run_nox(root: Path, sessions: Sequence[str]) -> None:
    """The proofs, by nox of this environment; its output is shown as it comes."""
    if not (root / "noxfile.py").exists():
        raise SettingsError("no noxfile.py here", hint="run this in a checkout that has one")
    chosen = ["--session", *sessions] if sessions else []
    done = subprocess.run([sys.executable, "-m", "nox", *chosen], cwd=root, check=False)
    if done.returncode:
        raise BootError(
            "the proofs failed", seen=f"nox ended with {done.returncode}", hint="read the session that failed above"
        )
