"""What the commands of a repository do to tables: pushes that ask nobody, and migrations in a start command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .. import KEY
from ..detect.commands import Ran, commands_in, parts, script_called
from ..detect.documents import yaml_of
from ..detect.files import folder_of
from ..detect.findings import Fact, Owner
from ..detect.tools import TOOLS
from .looking import FILE, Check, Seen, Stack, folder_run_by

_FORCED = re.compile(
    r"drizzle-kit\s+push\b.*\s--force\b"
    r"|prisma\s+db\s+push\b.*\s--(?:accept-data-loss|force-reset)\b"
    r"|mikro-orm\S*\s+schema:update\b(?=.*\s(?:--run|-r)\b)(?!.*\s--safe\b)"
)
_HAVE_IT = re.compile(r"push|schema:update")
_FILES = ("Makefile", "makefile", "justfile", "Justfile", "Taskfile.yml", "Taskfile.yaml")
_LONGEST = 60  # characters of a command in a message


def _forced(stack: Stack) -> Iterator[Seen]:
    packages = stack.looked.known.manifests
    for folder, command in _commands(stack):
        scripts = packages.nearest_package(folder).scripts
        for part in parts(command.value):
            if _FORCED.search(_with_arguments(part, scripts)):
                yield Seen(
                    command.where, f"`{_short(part)}` drops what it does not know, with its rows, and asks nobody"
                )


def _with_arguments(part: str, scripts: Mapping[str, Fact]) -> str:
    """Behind the name of a script stand more arguments of its last command; without it tells of itself."""
    called = script_called(part, scripts)
    last = "".join(parts(scripts[called].value)[-1:]) if called else ""
    return "" if _FORCED.search(last) else f"{last} {part}"


def _commands(stack: Stack) -> Iterator[tuple[str, Fact]]:
    """Every command line that somebody wrote down, with the folder whose scripts it may call."""
    known = stack.looked.known
    for package in known.manifests.packages.values():
        yield from ((package.folder, script) for script in package.scripts.values())
    for placed in known.services:
        yield from ((folder_run_by(placed), command) for command in known.commands_of(placed.name))
    for path in dict.fromkeys((*stack.repository.named(*_FILES), *stack.repository.below(".", ".sh"))):
        if _HAVE_IT.search(stack.repository.text(path)):
            yield from ((folder_of(path), command) for command in commands_in(stack.repository, path))
    yield from ((".", command) for command in _of_settings(stack))


def _of_settings(stack: Stack) -> Iterator[Fact]:
    for document in yaml_of(stack.repository, FILE) if stack.settings else ():
        owners = document.get(KEY, "owners")
        for _, owner in owners.items().values() if owners else ():
            for node in (owner.get("migrate"), owner.get("seed")):
                if node and node.texts():
                    yield Fact(" ".join(node.texts()), node.where)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _at_start(stack: Stack) -> Iterator[Seen]:
    owners = stack.looked.found.owners
    for name, placed in stack.services.items():
        for ran in stack.runs(placed) if stack.kind_of(name) == "app" else ():
            if any(_is_migration(owner, ran, name) for owner in owners):
                told = _short(ran.called or ran.text)
                yield Seen(ran.where, f"{name} runs `{told}` at each start, beside the stage migrate")


def _is_migration(owner: Owner, ran: Ran, service: str) -> bool:
    """By the tool's commands; what is no tool of a package manager has common words, and counts in its own service."""
    tool = TOOLS[owner.tool.value]
    is_its_own = owner.service is not None and owner.service.value == service
    is_its_command = owner.migrate is not None and owner.migrate.value in {ran.text, ran.called}
    return (is_its_own and is_its_command) or bool((tool.language or is_its_own) and tool.ways_of(ran.text))


CHECKS = (
    Check(
        "push-with-force",
        "remove the flag: what would be lost is then asked about, and `migrate --accept-data-loss` answers on purpose",
        _forced,
    ),
    Check(
        "migrates-at-start-too",
        "remove it from the start command, or put it into a service of its own that ends: `migrate` runs it once",
        _at_start,
    ),
)
