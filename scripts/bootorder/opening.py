"""Opening a stack: its settings and runtime, and what must be so before it is run or shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import KEY, env_file, secret_files
from .boot import STATE_FOLDER, Boot
from .choosing import Runtimes, remember
from .console import Console
from .errors import BootError
from .probes import SystemClock
from .processes import SystemProcesses, question_limit
from .settings import layout_name, parse, unknown

ENDING = {"stop", "clean"}  # the stages that start nothing


def open_boot(
    root: Path,
    config: Mapping[str, Any],
    console: Console,
    runtime: str,
    *,
    layout: str = "",
    quick: bool = False,
    skips_unchanged: bool = False,
    accept_data_loss: bool = False,
    reseed: Sequence[str] = (),
    asked_for: Sequence[str] = (),
) -> Boot:
    """Settings and runtime of the stack in `root`. Touches nothing."""
    _learn_secrets(root, config)
    settings = parse(config)
    seeded = [name for name, owner in settings.owners.items() if owner.seed]
    for name in reseed:
        if name not in seeded:
            raise unknown("owner to --reseed", name, seeded)
    processes = SystemProcesses()
    chosen = layout_name(layout, settings)
    runtimes = Runtimes(root, root / STATE_FOLDER, settings, processes, console, chosen)
    choice = runtimes.choose(runtime)
    if choice.why:
        console.say(f"runtime: {choice.runtime.name} ({choice.why})")
    boot = Boot(
        *(root, settings, choice.runtime, processes, console, SystemClock()),
        layout=chosen,
        quick=quick,
        skips_unchanged=skips_unchanged,
        accept_data_loss=accept_data_loss,
        reseed=reseed,
        asked_for=asked_for,
        flags={
            "--runtime": [runtime] if runtime else [],
            "--layout": [layout] if layout else [],
            "--with": list(asked_for),
            "--reseed": list(reseed),
        },
        elsewhere=lambda: runtimes.elsewhere(choice.runtime),
    )
    boot.learn_secrets()
    return boot


def _learn_secrets(root: Path, config: Mapping[str, Any]) -> None:
    """Before the settings are known to be right: what is wrong in them is shown."""
    part = config.get(KEY)
    files = part.get("compose") if isinstance(part, Mapping) else None
    names = [name for name in files if isinstance(name, str)] if isinstance(files, list | tuple) else []
    with contextlib.suppress(BootError, ValueError):  # ValueError: a path with a NUL in it
        env_file.read(env_file.path_of(root, names))


def prepare(boot: Boot, *, with_clean: bool = False) -> None:
    """For what starts something: makes what compose.yaml asks of .env, and refuses settings that cannot be."""
    env_file.check(boot.env_path)
    lost = None if with_clean else boot.lost_password()
    if lost:
        raise lost
    was_there = boot.env_path.exists()
    template = None if was_there else env_file.template_of(boot.env_path)
    added = env_file.complete(boot.env_path, boot.secrets, boot.state_folder / "env.lock")
    if added:
        if was_there:
            boot.console.say(f"added {', '.join(added)} to .env")
        else:
            beginning = f"from {template.name}, " if template else ""
            boot.console.say(f"made .env {beginning}with {', '.join(added)}")
    for file in secret_files.complete(boot.root, boot.secret_files, boot.console.note):
        boot.console.say(f"made {file} with a password")
        _note_tracked(boot, file)
    for file in boot.secret_files:
        boot.secret(file)
    for name in boot.secrets:
        env_file.secret(boot.env_path, name)  # refuses an empty one, before Compose does with fewer words
    boot.check()
    boot.learn_declared()
    if with_clean:
        boot.runtime.check_removal()


def _note_tracked(boot: Boot, name: str) -> None:
    """A file that was made just now and that git would take along."""
    if not (boot.root / ".git").exists():
        return
    with contextlib.suppress(FileNotFoundError):
        asked = boot.processes.run(["git", "check-ignore", "--quiet", name], cwd=boot.root, limit=question_limit())
        if asked.code == 1:
            boot.console.note(f"git does not ignore {name}: echo /{name} >> .gitignore")


@contextlib.contextmanager
def looking(boot: Boot) -> Iterator[None]:
    """For what only ends or shows a stack: no file is written, and settings that it does not need may be wrong."""
    with env_file.lent(boot.env_path, boot.secrets):
        boot.check_names()
        boot.learn_declared()
        yield


def look_elsewhere(boot: Boot, names: Sequence[str]) -> None:
    """Refuse to boot a stack a second time; what only ends or shows it says so instead."""
    trouble = boot.elsewhere()
    if trouble and set(names) - ENDING:
        raise trouble
    if trouble:
        boot.console.say(f"note: {trouble.message} ({trouble.seen}); {trouble.hint}")
    if set(names) - ENDING:
        remember(boot.state_folder, boot.runtime)
        if boot.runtime.name == "compose":
            env_file.keep_name(boot.env_path)
