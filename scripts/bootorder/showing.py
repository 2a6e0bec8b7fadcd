"""Showing a stack: each of these prints what one task was asked for, on stdout."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from . import state_files
from .boot import Boot
from .console import Console
from .errors import BootError, GuardError, MachineError, MigrationError, NotReadyError, SettingsError, command
from .jobs import Job
from .lock import exclusive
from .opening import look_elsewhere, looking, prepare
from .settings import unknown
from .stages import Stage, as_boot_error, beside, jobs, plan
from .terminal import counted, listed
from .timeline.spans import Recording
from .waves import waves


def show_plan(boot: Boot, *, with_clean: bool, until: str, as_json: bool) -> None:
    """The stages of a start and what runs beside them, without looking at anything."""
    stages, beside_them = _planned(boot, with_clean=with_clean, until=until)
    if as_json:
        boot.console.data(_plan_as_data(stages, beside_them))
    else:
        print_plan(boot.console.answering(), stages, beside_them)


def _planned(boot: Boot, *, with_clean: bool, until: str) -> tuple[Sequence[Stage], Sequence[Job]]:
    return plan(with_clean=with_clean, quick=boot.quick, until=until), jobs(boot.settings.apps, quick=boot.quick)


def _plan_as_data(stages: Sequence[Stage], beside_them: Sequence[Job]) -> dict[str, Any]:
    when = beside(stages, beside_them)
    return {
        "stages": [{"stage": stage.name, "does": stage.does, "cause": stage.cause} for stage in stages],
        "jobs": [
            {"job": job.name, "does": job.does, "cause": job.cause, "after": job.after, "beside": when[job.name]}
            for job in beside_them
            if job.name in when
        ],
    }


def print_plan(console: Console, stages: Sequence[Stage], beside_them: Sequence[Job] = ()) -> None:
    rows = [[str(position), stage.name, stage.does, stage.cause] for position, stage in enumerate(stages, start=1)]
    console.table(["", "stage", "does", "because"], rows)
    when = beside(stages, beside_them)
    if when:
        console.say()
        rows = [
            [job.name, when[job.name][0], when[job.name][-1], job.does, job.cause]
            for job in beside_them
            if job.name in when
        ]
        console.table(["beside them", "from", "to", "does", "because"], rows)


def show_url(boot: Boot, owner: str, *, as_superuser: bool) -> None:
    """A connection URL on stdout, with its password."""
    from .access import place_of, url

    place_of(boot, owner, as_superuser=as_superuser)  # a name that is none needs no look at the stack
    with looking(boot):
        boot.console.answering().reveal(url(boot, owner, as_superuser=as_superuser))


def open_shell(boot: Boot, owner: str, statement: str, *, as_superuser: bool) -> int:
    """psql on this terminal. Returns its exit code."""
    from .access import place_of, shell

    place_of(boot, owner, as_superuser=as_superuser)
    with looking(boot):
        return shell(boot, owner, statement, as_superuser=as_superuser)


def show_tables(boot: Boot, *, as_json: bool) -> None:
    """Every table with owner, schema, rows and size."""
    from .access import sized, tables

    with looking(boot):
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
    boot.console.answering().table(heads, rows)


def show_models(boot: Boot, *, as_json: bool) -> None:
    """The models that `create_all` knows; raises MigrationError where it would leave one out. Needs no database."""
    owners = [owner for owner in boot.owners if owner.migrator.check_models]
    answer, found = boot.console if as_json else boot.console.answering(), []
    if owners:
        prepare(boot)
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
                answer.say(f"{owner.name}: {counted(len(models), 'model')}, all known to create_all")
                found.append({"owner": owner.name, "models": models})
    else:
        answer.say("no owner makes its tables from models that can be forgotten (migrator sqlmodel)")
    if as_json:
        boot.console.data(found)


def show_changes(boot: Boot, *, build: bool = False, as_json: bool) -> None:
    """For each owner what its tool would add, change and lose in the database as it is; ends as `migrate` would.

    `build`: make what the tools run in first, as `migrate` does. Otherwise nothing is made, and no file is written.
    """
    from .trial import changes

    if lost := boot.lost_password():
        raise lost
    with looking(boot), exclusive(boot.state_folder, "migrate --plan"):
        boot.check()
        if build:
            boot.build([owner.settings.service for owner in boot.owners])
        _note_older_builds(boot)
        found = changes(boot)
    if as_json:
        boot.console.data(found)
    else:
        _print_changes(boot.console.answering(), found)
    _refuse_what_migrate_would(boot, found)
    _refuse_what_was_not_planned(found)


def _note_older_builds(boot: Boot) -> None:
    """Say which tools are planned as they were built, where that may not be what their sources say now."""
    names = dict.fromkeys(owner.settings.service for owner in boot.owners if owner.settings.run != "host")
    built = [name for name in names if boot.runtime.is_built(name)]
    if older := [name for name in built if boot.runtime.is_stale(name) or boot.runtime.is_touched(name)]:
        boot.console.note(
            f"{listed(older)}: planned as built, which may be older than the sources; build first:"
            f" {command('migrate --plan --build')}"
        )


def _refuse_what_migrate_would(boot: Boot, found: Sequence[Mapping[str, Any]]) -> None:
    from .trial import loses_rows

    for change in found:
        name, problems, losses = change["owner"], change["problems"], change["losses"]
        if change["foreign_losses"]:
            raise GuardError(
                f"{name}: its migration would remove what belongs to others",
                seen=counted(len(change["foreign_losses"]), "loss", "losses"),
                hint=f"narrow what the tool of {name} looks at, e.g. its filter of tables",
            )
        if problems:
            raise MigrationError(
                f"{name}: its migration would fail",
                seen=problems[0],
                hint=change["hint"] or "correct what is listed, and plan again",
            )
        if losses and not boot.accept_data_loss:
            raise loses_rows(name, losses)


def _refuse_what_was_not_planned(found: Sequence[Mapping[str, Any]]) -> None:
    if missing := [change for change in found if change["not_planned"]]:
        raise NotReadyError(
            f"what the migration of {listed([change['owner'] for change in missing])} would change is not known",
            seen="; ".join(dict.fromkeys(change["not_planned"] for change in missing)),
            hint=missing[0]["hint"],
        )


def _print_changes(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    for change in found:
        if change["not_planned"]:
            console.say(f"{change['owner']}: not known: {change['not_planned']}; {change['hint']}")
            continue
        lines, problems = change["changes"], change["problems"]
        said = counted(len(lines), "change") if lines else "nothing would change"
        console.say(f"{change['owner']}: {said}{', and it would fail' if problems else ''}")
        for line in (*lines, *change["losses"], *change["foreign_losses"], *problems):
            console.say(f"  {line}")
        if (lines or change["losses"]) and not problems:
            console.say(f"  it says: {change['said']}")


def show_whole_plan(boot: Boot, *, with_clean: bool, until: str, as_json: bool) -> None:
    """The stages, and what each owner's tool would change where the database can be asked."""
    from .trial import changes

    stages, beside_them = _planned(boot, with_clean=with_clean, until=until)
    found, reason = None, "the rows are given up first" if with_clean else ""
    if not with_clean:
        try:
            with looking(boot), exclusive(boot.state_folder, "plan"):
                _note_older_builds(boot)
                found = changes(boot)
        except (BootError, OSError, psycopg.Error) as cause:
            error = as_boot_error(cause)
            reason = ": ".join(filter(None, (error.message, error.seen)))
    profiles = _active_profiles(boot)
    at_once = [[owner.name for owner in wave] for wave in waves(boot.owners)]
    if as_json:
        planned = _plan_as_data(stages, beside_them)
        boot.console.data({**planned, "waves": at_once, "profiles": profiles, "owners": found})
    else:
        answer = boot.console.answering()
        print_plan(answer, stages, beside_them)
        answer.say()
        for name, services in profiles.items():
            answer.say(f"active profile {name}: {listed(services) if services else 'no service has it'}")
        if len(boot.owners) > 1:
            answer.say(f"owners at work: {', then '.join(map(' beside '.join, at_once))}")
        if found is None:
            answer.say(f"what the owners' tools would change is not known: {reason}")
        else:
            _print_changes(answer, found)
    _refuse_what_migrate_would(boot, found or [])


def _active_profiles(boot: Boot) -> Mapping[str, Sequence[str]]:
    """Those of COMPOSE_PROFILES; none where the compose files cannot be read, which a start would say."""
    with contextlib.suppress(BootError), looking(boot):
        return boot.runtime.profiles()
    return {}


def show_status(boot: Boot, *, as_json: bool = False) -> None:
    """Services with health and URL; owners with what is missing."""
    from .status import status

    lost = boot.lost_password()
    with looking(boot):
        look_elsewhere(boot, [])
        if lost:
            boot.console.say(f"note: {lost.message}; {lost.hint}")
        found = status(boot)
    if as_json:
        boot.console.data(found)
    else:
        print_status(boot.console.answering(), found)


def print_status(console: Console, found: Mapping[str, Any]) -> None:
    console.say()
    services = [
        [
            s["name"],
            f"{s['state']} ({s['replicas']})" if "replicas" in s else s["state"],
            s["health"] or "-",
            s["url"] or "-",
        ]
        for s in found["services"]
    ]
    console.table(["service", "state", "health", "url"], services)
    console.say()
    for owner in found["owners"]:
        if owner["tables"] is None:
            why = (
                f"{command('migrate')} finds them out"
                if found["database"]["answers"]
                else "the database does not answer"
            )
            known = f"tables not known ({why})"
        else:
            known = counted(len(owner["tables"]), "table")
            known += f", missing: {', '.join(owner['missing'])}" if owner["missing"] else ""
        console.say(f"{owner['name']} (role {owner['role']}, schema {owner['schema']}): {known}")


def follow_logs(boot: Boot, names: Sequence[str] = (), *, tail: int = 20, follow: bool = True) -> None:
    """Log lines on stdout, each with its service's name."""
    if tail < 0:
        raise SettingsError(
            f"`--tail {tail}` is no number of lines", expected="0 or more", hint="give the number of past lines to show"
        )
    with looking(boot):
        declared = list(boot.runtime.declared())
        for name in names:
            if name not in declared:
                raise unknown("service", name, declared)
        for service, line in boot.runtime.logs(names, tail=tail, follow=follow):
            boot.console.log_line(service, line, declared.index(service) if service in declared else 0)


TIMELINE = "timeline.json"  # in the folder of the state: the last boot's
_PICTURES = ("svg", "html")


def show_timeline(console: Console, folder: Path, *, wanted: str, output: str) -> None:
    """The last boot as a picture, a trace or data: in files, whose paths are told, or data on stdout."""
    from .timeline.critical import told

    formats = _formats(wanted, output)
    recording = _last_boot(folder / TIMELINE)
    if formats == ["json"] and not output:
        console.data(asdict(recording) | {"critical_path": told(recording)})
        return
    for name in formats:
        path = Path(output) if output else folder / f"timeline.{'trace.json' if name == 'trace' else name}"
        try:
            _write(path, _as_text(recording, name), is_ours=not output)
        except OSError as error:
            raise MachineError(
                f"cannot write {path}", seen=str(error), hint="give another path: --output PATH"
            ) from None
        console.answering().say(str(path))


def _write(path: Path, text: str, *, is_ours: bool) -> None:
    """For this user only. What a person names may be a device or a link, which is not replaced."""
    if is_ours:
        state_files.write(path, text)
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _formats(wanted: str, output: str) -> Sequence[str]:
    wanted = wanted or Path(output).suffix.removeprefix(".")
    if not wanted and not output:
        return _PICTURES
    known = [*_PICTURES, "trace", "json"]
    if wanted not in known:
        raise unknown("format", wanted, known)
    return [wanted]


def _as_text(recording: Recording, wanted: str) -> str:
    from .timeline import drawing, trace

    if wanted == "svg":
        return drawing.svg(recording)
    if wanted == "html":
        return drawing.html(recording)
    return json.dumps(asdict(recording) if wanted == "json" else trace.trace(recording)) + "\n"


def _last_boot(path: Path) -> Recording:
    hint = f"boot it once: {command('start')}"
    try:
        return Recording.load(path)
    except FileNotFoundError:
        raise NotReadyError("this stack was never booted here", seen=f"no {path.name}", hint=hint) from None
    except ValueError as error:
        seen = " ".join(str(error).split())
        raise NotReadyError(f"{path.name} is not what a start writes", seen=seen, hint=hint) from None


def show_doctor(boot: Boot, *, as_json: bool) -> None:
    """Every finding; raises MachineError when something is to be corrected."""
    from .doctor import examine

    findings = list(examine(boot))
    if as_json:
        boot.console.data([finding.as_data() for finding in findings])
    else:
        answer = boot.console.answering()
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            answer.check(finding.ok, finding.name.ljust(width), finding.seen, finding.mend)
    wrong = [finding for finding in findings if not finding.ok]
    if wrong:
        raise MachineError(
            f"{len(wrong)} of {len(findings)} findings are to be corrected",
            seen=", ".join(finding.name for finding in wrong),
            hint=wrong[0].mend,
        )
