"""Command lines, as they stand in compose files, Dockerfiles, scripts and package.json: what runs in the end."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .files import Repository, joined
from .findings import Fact, Where

_SHELLS = {"sh", "bash", "ash", "dash", "zsh", "/bin/sh", "/bin/bash", "/bin/ash"}
_LONGEST = 2000  # characters of a line that is looked at
_MOST_SCRIPTS = 50  # that one line leads to


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
    """One command that runs in the end.

    `called`: the call of a script of package.json that has nothing else; `installed`: it stands in such a script, where
    the programs of the packages are found.
    """

    text: str
    where: Where
    called: str = ""
    installed: bool = False


# What may stand before a command in a shell.
_BEFORE = re.compile(r"^(?:(?:exec|then|do|else|time|if)\s+|[!(@-]\s*|[A-Za-z_]\w*=\S*\s+)+")
# What a script was called with: nobody knows it.
_PARAMETERS = re.compile(r"\s\"?\$(?:[@*\d]|\{[@*\d]\})\"?(?=\s|$)")
_MANAGER = re.compile(r"^(?:corepack\s+)?(?:pnpm|npm|yarn|bun|turbo|nx)\b")
# Options of package managers that take a value of their own.
_VALUED = {"--filter", "-F", "-C", "--dir", "--prefix", "-w", "--workspace", "--cwd"}
_FOR_A_SHELL = re.compile(r"#!.*\b(?:ba|da|a)?sh\b")
_SCRIPT_FILE = re.compile(r"^(?:(?:sh|bash|ash|\.|source)\s+(?:-\w+\s+)*)?([\w./\-]+)")


def parts(text: str) -> list[str]:
    """The commands of a shell's line, each by itself."""
    found = []
    for part in re.split(r"&&|\|\||[;|\n]", text):
        bare = " ".join(_PARAMETERS.sub("", _BEFORE.sub("", part[:_LONGEST].strip())).strip("() \t").split())
        if bare and not bare.startswith("#"):
            found.append(bare)
    return found


def leads_to(repository: Repository, folder: str, scripts: Mapping[str, Fact], command: Fact) -> list[Ran]:
    """Every command of this line, and those of the scripts that it calls, in their order; each script once."""
    found: list[Ran] = []
    _follow(repository, folder, scripts, command, "", found, set())
    return found


def _follow(
    repository: Repository,
    folder: str,
    scripts: Mapping[str, Fact],
    command: Fact,
    within: str,
    found: list[Ran],
    seen: set[str],
) -> None:
    """`within`: how the script of package.json was called that this line is of."""
    pieces = parts(command.value)
    for piece in pieces:
        # what stands before it prepares it; what comes after it is something else
        called = within if piece == pieces[-1] else ""
        found.append(Ran(piece, command.where, called, bool(within)))
        name = script_called(piece, scripts)
        path = "" if name else _file_called(repository, folder, piece)
        if len(seen) > _MOST_SCRIPTS or {name, path} & seen:
            continue
        if name:
            seen.add(name)
            line = replace(scripts[name], where=command.where)
            _follow(repository, folder, scripts, line, piece, found, seen)
        elif path:
            seen.add(path)
            for each in commands_in(repository, path):
                _follow(repository, folder, scripts, each, "", found, seen)


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
    called = match[1] if match else ""
    is_named_so = called.endswith(".sh") or "entrypoint" in called
    if not is_named_so and "/" not in called:
        return ""
    beside = joined(folder, called)
    named = [path for path in (beside,) if path and repository.has(path)]
    named = named or repository.named(posixpath.basename(called))
    inside = [path for path in named if folder == "." or path.startswith(f"{folder}/")]
    found = inside or named
    return next((path for path in found if is_named_so or _FOR_A_SHELL.match(repository.text(path))), "")


def run_script(manager: str, name: str) -> str:
    """How a person runs a script of package.json."""
    return f"{manager} run {name}" if manager in {"npm", "bun"} else f"{manager} {name}"


def run_tool(manager: str, command: str) -> str:
    """How a person runs a program that the package manager has installed."""
    before = {"npm": "npx", "pnpm": "pnpm exec", "yarn": "yarn", "bun": "bunx"}
    before |= {"uv": "uv run", "poetry": "poetry run", "pipenv": "pipenv run", "pdm": "pdm run"}
    first = before.get(manager, "")
    is_whole = command.startswith((first, "npx ", "bunx ", "uv run", "node "))  # node is no package's
    return command if not first or is_whole else f"{first} {command}"
