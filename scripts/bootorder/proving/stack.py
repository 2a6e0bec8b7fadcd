"""A copy of a repository as a stack of its own, with data of its own, in which tasks are run as a person does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from .. import KEY, env_file
from ..boot import STATE_FOLDER, Boot
from ..console import Console
from ..env_settings import PREFIX, from_environment, overlay
from ..errors import BootError, LogTail
from ..opening import open_boot
from ..places import places
from ..processes import Completed, Limit, SystemProcesses
from ..settings import layout_name, parse
from .files import copy_files
from .own_names import compose_files, with_own_names
from .pictures import State, of_databases

CONFIG = "invoke.yaml"
_TASK_SECONDS = 4 * 3600
AT_REST = ("stop", "db-up", "wait-db")  # the database answers, and no app runs


@dataclass(frozen=True)
class Stack:
    """`boot`: the same stack, for who looks without a task."""

    folder: Path
    boot: Boot
    console: Console

    def inv(self, *arguments: str, aloud: bool = False) -> Completed:
        """What a person types in the copy. `aloud`: what it says is shown as it comes."""
        say = (lambda line: self.console.say(f"    {line}")) if aloud else (lambda _: None)
        argv = [sys.executable, str(self.folder / "scripts" / "bootorder" / "__main__.py"), *arguments]
        # Every wait within a task has a limit of its own; this one is for a task that hangs even so.
        limit = Limit(_TASK_SECONDS, "see what it waits for", what=f"inv {' '.join(arguments)}", error=BootError)
        environment = {"BOOTORDER_COMMAND": "inv"}
        return SystemProcesses().run(argv, cwd=self.folder, env=environment, on_line=say, limit=limit)

    def must(self, *arguments: str, aloud: bool = False) -> Completed:
        """The same; raises BootError where it fails."""
        typed = f"inv {' '.join(arguments)}"
        if aloud:
            self.console.say()
            self.console.say(typed)
        done = self.inv(*arguments, aloud=aloud)
        if done.code:
            raise BootError(
                f"`{typed}` ended with exit code {done.code}",
                seen=f"in a copy of this repository, {self.folder}",
                log=None if aloud else LogTail.of(typed, done.text),
                hint="run it there again" if arguments == ("clean",) else "correct what it says, then run this again",
            )
        return done

    def asked(self, *arguments: str) -> Any:
        """What the task answers with `--json`."""
        return json.loads(self.must(*arguments, "--json").out)

    def picture(self) -> State:
        """What the databases hold."""
        return of_databases(self.boot)

    def running(self) -> set[str]:
        return {name for name, service in self.boot.runtime.services().items() if service.running}


@contextlib.contextmanager
def fresh(root: Path, console: Console, *, runtime: str = "", layout: str = "") -> Iterator[Stack]:
    """A copy of the repository in `root`. Leave the block and nothing of it is left."""
    outer = Path(tempfile.mkdtemp(prefix="bootorder-proof-"))
    folder = outer / "copy" / root.name  # so that `..` is of the copy, too
    try:
        copy_files(root, folder, with_env=True)
        stack = Stack(folder, _own_stack(root, folder, console, runtime, layout), console)
    except BaseException:
        shutil.rmtree(outer)
        raise
    try:
        yield stack
    finally:
        stack.must("clean", aloud=True)  # where this fails the folder stays, as what is left can be removed from there
        postgres = folder / STATE_FOLDER / "postgres"
        if postgres.is_symlink():  # for root, whose folders the database's account may not enter
            shutil.rmtree(postgres.resolve())
        shutil.rmtree(outer)


def _own_stack(root: Path, folder: Path, console: Console, runtime: str, layout: str) -> Boot:
    """With a name, volumes and passwords of its own, and everything else of the original. Its invoke.yaml says so."""
    config = yaml.safe_load((root / CONFIG).read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
    overlay(config[KEY], from_environment(config[KEY], os.environ))
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[variable]  # it would win over what the copy's own invoke.yaml says
    settings = parse(config)
    chosen = layout_name(layout, settings)
    files = compose_files(root, settings)
    os.environ.pop(env_file.PROJECT, None)  # it would win over the copy's own
    original, copied = env_file.path_of(root, files), env_file.path_of(folder, files)
    if original.exists():
        not_its_own = {env_file.PROJECT, *(place.password for place in places(settings, chosen).values())}
        name = f"{env_file.PROJECT}={env_file.project_name(copied.parent)}\n"
        _write(copied, name + env_file.without(original, not_its_own))
    boot = open_boot(folder, config, console, runtime, layout=chosen)
    env_file.complete(boot.env_path, boot.secrets, boot.state_folder / "env.lock")
    own: dict[str, Any] = {"runtime": boot.runtime.name, "layout": chosen}
    if boot.runtime.name == "compose":
        own["compose"] = with_own_names(folder, files, settings.database.service, boot.processes)
    config[KEY] |= own
    _write(folder / CONFIG, json.dumps(config, indent=2))  # YAML, too
    return open_boot(folder, config, console, boot.runtime.name, layout=chosen)


def _write(path: Path, text: str) -> None:
    """A file for this user only; not what a link of the same name leads to."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
