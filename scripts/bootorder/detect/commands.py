"""Command lines, as they stand in compose files, Dockerfiles, scripts and package.json: what runs in the end."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .files import Repository, joined
from .findings import Fact, Where

_SHELLS = {"sh", "bash", "ash", "dash", "zsh", "/bin/sh", "/bin/bash", "/bin/ash"}
_LONGEST = 2000  # characters of a line that is looked at
_DEEPEST = 4  # a script that runs a script


def words_of(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def inner_command(words: Sequence[str]) -> str:
    """What a shell is to run: `sh -c "a && b"`."""
    if len(words) > 2 and words[0] in _SHELLS and words[1].startswith("-") and "c" in words[1]:  # noqa: PLR2004
        return words[2]
    return ""


@dataclass(frozen=True)
class Ran:
    """One command that runs in the end. `script`: the one of package.json that has it, where it has nothing else."""

    text: str
    where: Where
    script: str = ""


# What may stand before a command in a shell.
_BEFORE = re.compile(r"^(?:(?:exec|then|do|else|time|if)\s+|[!(@-]\s*|[A-Za-z_]\w*=\S*\s+)+")
_MANAGER = re.compile(r"^(?:corepack\s+)?(?:pnpm|npm|yarn|bun|turbo|nx)\b")
# Options of package managers that take a value of their own.
_VALUED = {"--filter", "-F", "-C", "--dir", "--prefix", "-w", "--workspace", "--cwd"}
_SCRIPT_FILE = re.compile(r"^(?:(?:sh|bash|ash|\.|source)\s+(?:-\w+\s+)*)?([\w./\-]+)")


def parts(text: str) -> list[str]:
    """The commands of a shell's line, each by itself."""
    found = []
    for part in re.split(r"&&|\|\||[;|\n]", text):
        bare = " ".join(_BEFORE.sub("", part[:_LONGEST].strip()).strip("() \t").split())
        if bare and not bare.startswith("#"):
            found.append(bare)
    return found


def leads_to(
    repository: Repository, folder: str, scripts: Mapping[str, Fact], command: Fact, depth: int = 0
) -> Iterator[Ran]:
    """Every command of this line, and those of the scripts that it calls, in their order."""
    pieces = parts(command.value)
    for piece in pieces:
        yield Ran(piece, command.where)
        if depth >= _DEEPEST:
            continue
        name = script_called(piece, scripts)
        if name:
            inner = parts(scripts[name].value)
            for ran in leads_to(repository, folder, scripts, scripts[name], depth + 1):
                yield Ran(ran.text, command.where, ran.script or (name if len(inner) == 1 else ""))
        elif path := _file_called(repository, folder, piece):
            for line in commands_in(repository, path):
                yield from leads_to(repository, folder, scripts, line, depth + 1)


def script_called(piece: str, scripts: Mapping[str, Fact]) -> str:
    """The script of package.json that this runs, e.g. `pnpm --filter api run db:push`."""
    if not _MANAGER.match(piece):
        return ""
    words = iter(piece.split()[1:])
    for word in words:
        if word in _VALUED:
            next(words, None)
        elif word in scripts:
            return word
        elif not word.startswith("-") and word not in {"run", "run-script", "pnpm", "npm", "yarn", "bun"}:
            return ""
    return ""


def commands_in(repository: Repository, path: str) -> Iterator[Fact]:
    """The lines of a shell script; continued ones are one."""
    whole, begins = "", 0
    for number, line in enumerate(repository.text(path).split("\n"), start=1):
        whole, begins = (f"{whole} {line}", begins) if whole else (line, number)
        if whole.endswith("\\") and len(whole) < _LONGEST:
            whole = whole[:-1]
            continue
        command = " ".join(whole.split())
        if command and not command.startswith("#"):
            yield Fact(command, Where(path, begins))
        whole = ""


def _file_called(repository: Repository, folder: str, piece: str) -> str:
    """A shell script of the repository. In a container it lies elsewhere: then its name decides."""
    match = _SCRIPT_FILE.match(piece)
    if not match or not (match[1].endswith(".sh") or "entrypoint" in match[1]):
        return ""
    beside = joined(folder, match[1])
    if beside and repository.has(beside):
        return beside
    named = repository.named(posixpath.basename(match[1]))
    inside = [path for path in named if folder == "." or path.startswith(f"{folder}/")]
    return next(iter(inside or named), "")


def run_script(manager: str, name: str) -> str:
    """How a person runs a script of package.json."""
    return f"{manager} run {name}" if manager in {"npm", "bun"} else f"{manager} {name}"


def run_tool(manager: str, command: str) -> str:
    """How a person runs a program that the package manager has installed."""
    before = {"npm": "npx", "pnpm": "pnpm exec", "yarn": "yarn", "bun": "bunx"}
    before |= {"uv": "uv run", "poetry": "poetry run", "pipenv": "pipenv run", "pdm": "pdm run"}
    first = before.get(manager, "")
    return command if not first or command.startswith((first, "npx ", "bunx ", "uv run")) else f"{first} {command}"
