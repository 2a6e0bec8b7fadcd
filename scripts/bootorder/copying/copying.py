"""`copy-to`: look, say what will be done, do it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..console import Console
from ..detect.detecting import detect
from ..detect.findings import Detected
from ..errors import SettingsError
from ..terminal import counted
from .payload import HOME, digest_of
from .planning import IGNORE, SETTINGS, Step, steps
from .target import Target

_DOES = {"add": "adds", "extend": "extends", "replace": "replaces", "remove": "removes"}
_DOES |= dict.fromkeys(("theirs", "changed", "older"), "keeps")
_WHY = {"theirs": "somebody else's", "changed": "changed since it was copied", "older": "older: --upgrade replaces it"}


def copy_to(console: Console, path: Path, *, dry: bool, upgrade: bool) -> None:
    """Bring the tasks into this repository. What is written is said first, and nothing of theirs is written to."""
    target = Target(path)
    found = detect(target.root)
    _require_stack(target, found)
    planned = steps(target, found, upgrade=upgrade)
    _say(console, planned)
    _say_of_git(console, target, planned)
    if dry:
        console.say("nothing was written (--dry)")
        return
    _do(target, planned)
    _say_what_now(console, target, planned)


def _require_stack(target: Target, found: Detected) -> None:
    others = [note.text for note in found.notes if note.text.startswith("the service ")]
    if not found.compose:
        raise SettingsError(
            f"no compose file was found in {target.root}",
            expected="compose.yaml or another name that Compose knows, in the root or a usual folder",
            hint="write one with a PostgreSQL and the services that use it, then copy again",
        )
    if not any(database.service for database in found.databases):
        raise SettingsError(
            "these tasks are for PostgreSQL, and no service is one",
            expected="a compose service whose image is a PostgreSQL",
            seen="; ".join(others) or f"services: {', '.join(service.name for service in found.services) or 'none'}",
            hint="give the stack a PostgreSQL service, then copy again",
        )


def _say(console: Console, planned: Sequence[Step]) -> None:
    """A line for each file at the root, one for the many below."""
    inside = [step for step in planned if step.path.startswith(f"{HOME}/")]
    for kind, does in _DOES.items():
        if count := sum(step.kind == kind for step in inside):
            why = f" ({_WHY[kind]})" if kind in _WHY else ""
            console.say(f"{does:8} {HOME}/: {counted(count, 'file')}{why}")
    for step in planned:
        if step.kind in _DOES and (step not in inside or step.kind == "changed"):
            why = f" ({_WHY[step.kind]})" if step.kind in _WHY else ""
            console.say(f"{_DOES[step.kind]:8} {step.path}{why}")
        for line in step.diff:
            console.say(f"  {line}")
    if all(step.kind == "same" for step in planned):
        console.say("everything is there already, as it would be copied")


def _say_of_git(console: Console, target: Target, planned: Sequence[Step]) -> None:
    changed = target.changed()
    if not changed or not any(step.writes or step.kind == "remove" for step in planned):
        return
    touched = sorted({step.path for step in planned if step.writes} & {line[3:] for line in changed})
    what = f"to {' and '.join(touched)} lines are added, no other is written to" if touched else "none is written to"
    console.say(f"note: {counted(len(changed), 'file')} here not committed: {what}")


def _do(target: Target, planned: Sequence[Step]) -> None:
    """What was written is in the manifest also when it ends in the middle."""
    digests = dict(target.written())
    try:
        for step in planned:
            if step.writes:
                target.write(step.path, step.content, is_program=step.is_program)
                if step.path not in {SETTINGS, IGNORE}:
                    digests[step.path] = digest_of(step.content)
            elif step.kind == "remove":
                target.remove(step.path)
                del digests[step.path]
    except OSError as error:
        raise SettingsError(
            f"not everything could be copied: {error.strerror or error}",
            expected=f"room and the right to write in {target.root}",
            seen=str(error.filename or target.root),
            hint="correct that, then copy again: what is there already is kept",
        ) from None
    finally:
        if digests != target.written():
            target.note(digests)


def _say_what_now(console: Console, target: Target, planned: Sequence[Step]) -> None:
    for step in planned:
        if step.kind == "theirs":
            console.say()
            console.say(f"{step.path} is your own. Add to its end:")
            for line in step.line.splitlines():
                console.say(f"  {line}")
    console.say()
    written = [line for step in planned if step.path == SETTINGS for line in step.content.decode().splitlines()]
    if asked := sum(line.lstrip().startswith("# ? ") for line in written):
        console.say(f"{SETTINGS} has {counted(asked, 'question')} (`# ?`): answer them first")
    console.say(f"then, in {target.root}: ./inv start")
