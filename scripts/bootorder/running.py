"""Running stages: one of them as a task of its own, or the whole boot."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .boot import Boot
from .errors import BootError, SettingsError
from .lock import exclusive
from .opening import ENDING, look_elsewhere, looking, prepare
from .preflight import preflight
from .settings import require_layout
from .showing import TIMELINE, print_plan, print_status, show_plan
from .stages import LOOKING, Stage, jobs, named, plan, run_plan
from .timeline.critical import told

# nox's exit code where it has no such session, or cannot read its file; it prints which.
_NO_SUCH_SESSION = 3


def run_guard(boot: Boot, *, assign: bool, move_to: str, dry: bool) -> None:
    """The stage, or instead of it giving tables to their owners, or moving them to another layout."""
    from .guard import layout, stage

    if assign and move_to:
        raise SettingsError("--assign and --move-to at once", hint="assign first, then move")
    [plain], instead = named("guard"), None
    if assign:
        instead = replace(plain, run=stage.assign, flags=["--assign"])
    elif move_to:
        require_layout(move_to)
        instead = replace(plain, run=lambda boot: layout.move(boot, move_to), flags=["--move-to", move_to])
    run_stages(boot, ["guard"], dry=dry, instead=instead)


def run_stages(
    boot: Boot,
    names: Sequence[str],
    *,
    dry: bool,
    as_json: bool = False,
    instead: Stage | None = None,
) -> None:
    """Single stages, as tasks of their own; `instead`: what is run in their place."""
    stages = [instead] if instead else named(*names)
    if dry:
        print_plan(boot.console.answering(), stages)
        return
    with contextlib.ExitStack() as until_done:
        if ENDING.issuperset(names):
            until_done.enter_context(looking(boot))
        else:
            prepare(boot)
        until_done.enter_context(exclusive(boot.state_folder, " ".join(names)))
        look_elsewhere(boot, names)
        run_plan(boot, stages)
    if as_json:
        boot.console.data(_report(boot))


def start_stack(boot: Boot, *, with_clean: bool, until: str, as_json: bool, dry: bool) -> None:
    """The whole boot. With `as_json` one object on stdout, also when it fails."""
    if dry:
        show_plan(boot, with_clean=with_clean, until=until, as_json=as_json)
        return
    try:
        stages = plan(with_clean=with_clean, quick=boot.quick, until=until)
        with contextlib.ExitStack() as until_done:
            with boot.timeline.span("prepare", "check", cause="what would fail later is to fail before a stop"):
                prepare(boot, with_clean=with_clean)
                until_done.enter_context(exclusive(boot.state_folder, "start"))
                look_elsewhere(boot, ["start"])
                boot.runtime.check_ports(_to_start(boot, stages))
                preflight(boot, [stage.name for stage in stages])
            try:
                run_plan(boot, stages, jobs(boot.apps, quick=boot.quick))
            finally:
                _keep_timeline(boot)
    except BootError as error:
        if as_json:
            boot.console.data(_report(boot, error=error.as_data()))
        raise
    from .status import status

    found = status(boot)
    if not until:
        print_status(boot.console, found)
        boot.console.say()
    boot.console.say(told(boot.timeline.recording({})))
    if not until and all(span.outcome == "skipped" or span.name in LOOKING for span in boot.timeline.stages):
        boot.console.say("nothing was changed: all that is to run was running already, and is healthy")
    if as_json:
        boot.console.data(_report(boot, status=found))


def _keep_timeline(boot: Boot) -> None:
    """Keep the spans for `timeline`; a boot that came to its end does not fail for it."""
    recording = boot.timeline.recording(_about(boot))
    try:
        recording.save(boot.state_folder / TIMELINE)
    except OSError as error:
        boot.console.note(f"the timeline was not kept: {error}")


def _about(boot: Boot) -> dict[str, str]:
    return {"stack": boot.settings.database.name, "runtime": boot.runtime.name, "layout": boot.layout}


def _to_start(boot: Boot, stages: Sequence[Stage]) -> list[str]:
    """The services that these stages start."""
    names = {stage.name for stage in stages}
    first = [boot.settings.database.service, *boot.beside] if "db-up" in names else []
    return [*first, *(boot.apps if "apps-up" in names else ())]


def _report(
    boot: Boot, *, error: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    stages = [
        {"stage": span.name, "outcome": span.outcome, "text": span.text, "seconds": round(span.seconds, 3)}
        for span in boot.timeline.stages
    ]
    return {"ok": error is None, "stages": stages, "error": error, "status": status}


def run_nox(root: Path, sessions: Sequence[str]) -> None:
    """The proofs, by nox of this environment; its output is shown as it comes."""
    if not (root / "noxfile.py").exists():
        raise SettingsError("no noxfile.py here", hint="run this in a checkout that has one")
    chosen = ["--session", *sessions] if sessions else []
    done = subprocess.run([sys.executable, "-m", "nox", *chosen], cwd=root, check=False)
    if done.returncode == _NO_SUCH_SESSION and sessions:
        raise SettingsError(
            f"nox cannot run {', '.join(sessions)}",
            expected="the name of a session in noxfile.py",
            hint="see them all with `nox -l`",
        )
    if done.returncode:
        raise BootError(
            "the proofs failed", seen=f"nox ended with {done.returncode}", hint="read the session that failed above"
        )
