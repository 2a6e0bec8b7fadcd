"""Secrets: made at random on first use in .env, never overwritten, readable by their user only."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import state_files
from .errors import LockedError, SettingsError
from .lock import hold
from .processes import within
from .redaction import SECRETS

if TYPE_CHECKING:
    from dotenv.parser import Binding

# Compose's own variable: the prefix of this stack's containers, volumes and images.
PROJECT = "COMPOSE_PROJECT_NAME"

# Without a name: the beginning of something else.
_REFERENCE = re.compile(
    r"\$\$|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:(?!\$\{)[^}])*))?\})?",
)

_LOCK_SECONDS = 30.0
_PIPE_SECONDS = 10.0

TEMPLATES = (
    *(".env.example", ".env.template", ".env.sample", ".env.dist", ".env.default", ".env.defaults"),
    *("env.example", "env.template", "env.sample", "example.env"),
)
# Of a template's value: that it is none.
_PLACEHOLDER = re.compile(
    r"change.?(?:me|this|it)|replace.?(?:me|this|with)|^<.*>$|^(?:your|my)[-_ ]|^x{3,}$", re.IGNORECASE
)

_HEADER = "# Secrets of this stack, made by bootorder on first use. Keep them out of git.\n"


# Where the name is kept that the stack of a file had at its last start; by that file.
_KEPT_NAMES: dict[Path, Path] = {}
# Files that Compose reads as well, whose variables the file of the stack wins over; by that file.
_BENEATH: dict[Path, Sequence[Path]] = {}


def path_of(root: Path, compose_files: Sequence[str] = ()) -> Path:
    """Return the file that Compose reads last, which wins: of COMPOSE_ENV_FILES, else `.env` of the root or project."""
    if names := [name.strip() for name in os.environ.get("COMPOSE_ENV_FILES", "").split(",") if name.strip()]:
        *beneath, path = (root / name for name in names)
    else:
        path, folder = root / ".env", folder_of(root, compose_files)
        beneath = []
        if compose_files or (folder != root and not path.exists()):
            path = folder / ".env"
        elif folder != root:
            beneath = [folder / ".env"]
    _BENEATH[path] = beneath
    _KEPT_NAMES[path] = root / ".bootorder" / "project.json"
    return path


def folder_of(root: Path, compose_files: Sequence[str] = ()) -> Path:
    """Return the project's folder, as Compose has it: that of its first file."""
    files = list(compose_files) or compose_file_variable(root)
    return root / Path(files[0]).parent if files else root


def compose_file_variable(root: Path) -> Sequence[str]:
    """Return what COMPOSE_FILE names, in the environment or `.env` of the root."""
    if (root / ".env").is_fifo():  # read as rarely as can be: each reading waits for who fills it
        return [name for name in os.environ.get("COMPOSE_FILE", "").split(os.pathsep) if name]
    named = variable(root / ".env", "COMPOSE_FILE")
    return [name for name in named.split(variable(root / ".env", "COMPOSE_PATH_SEPARATOR") or os.pathsep) if name]


def variable(path: Path, name: str) -> str:
    """Return what a variable is for Compose; empty where it is nowhere. A file that cannot be read has none."""
    try:
        return os.environ[name] if name in os.environ else written(path).get(name, "")
    except SettingsError:
        return ""


def read(path: Path) -> dict[str, str]:
    """The variables of the file, over which this process's environment wins, as Compose has it."""
    variables = {name: os.environ.get(name, value) for name, value in written(path).items()}
    SECRETS.learn(variables)
    return variables


def written(path: Path) -> dict[str, str]:
    """The variables as they stand in the file, and in those beneath it; none where there is no file."""
    lines = (line for file in [*_BENEATH.get(path, ()), path] for line in _lines(file))
    variables = {line.key: line.value or "" for line in lines if line.key is not None}
    SECRETS.learn(variables)
    return variables


def without(path: Path, names: Collection[str]) -> str:
    """The text of the file but for these variables; none where there is no file."""
    return "".join(line.original.string for line in _lines(path) if line.key not in names)


def check(path: Path) -> None:
    """Raises SettingsError for a line that is none; what only ends or shows a stack passes over it."""
    for line in _lines(path):
        if line.error:
            text = line.original.string  # the empty lines before it belong to it
            number = line.original.line + text[: -len(text.lstrip())].count("\n")
            raise SettingsError(
                f"{path.name}, line {number}, is not understood",
                expected="NAME=value, or a comment after `#`; a quote that is opened is closed",
                hint=f"correct that line of {path}",
            )


def _lines(path: Path) -> list[Binding]:
    from dotenv.parser import parse_stream  # `dotenv_values` logs what it does not understand, at each reading

    if not path.exists() or path.is_dir():
        return []
    try:
        # A password manager may give it as a pipe, which has no end before somebody has written into it.
        text = within(_PIPE_SECONDS, path.read_text) if path.is_fifo() else path.read_text(encoding="utf-8")
        return list(parse_stream(io.StringIO(text)))
    except TimeoutError:
        raise SettingsError(
            f"{path.name} is a pipe into which nobody writes",
            expected=f"its text within {_PIPE_SECONDS:g} s",
            hint=f"unlock or start what fills it (a password manager), or replace {path} by a file",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"cannot read {path.name}: {error}",
            expected="a text file in UTF-8 that this user can read",
            hint=f"correct {path}, or move it away to have one made",
        ) from None


def expand(text: str, variables: Mapping[str, str], where: str) -> str:
    """`${NAME}`, `${NAME:-default}` and `$$` as Compose has them. Raises SettingsError for a name without a value."""

    def value(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        if found["name"] is None:
            raise SettingsError(
                f"{where} has a `${{` that is not understood",
                expected="`${NAME}` or `${NAME:-default}`, and `$$` for a dollar sign; not one in another",
                seen=text,
                hint="correct it in invoke.yaml",
            )
        known = variables.get(found["name"], "") or found["default"]
        if known is None:
            raise SettingsError(
                f"{where} needs {found['name']}, which has no value",
                hint=f"give {found['name']} a value in .env, or write `${{{found['name']}:-default}}`",
            )
        return known

    return _REFERENCE.sub(value, text)


def complete(path: Path, names: Sequence[str], lock: Path) -> list[str]:
    """Add the missing secrets to the file, or make it; what is there is kept. Returns the names added.

    A new file begins as the template that stands beside it, as people copy it. It also gives the stack a name of its
    own: two checkouts must not take each other's volumes for their own.
    """
    if not _missing(path, names) and not _lacks_name(path, names):
        return []
    if path.is_fifo():
        raise SettingsError(
            f"{path.name} is a pipe, and lacks {', '.join(_missing(path, names))}",
            expected="all secrets in what fills it: nothing can be added to a pipe",
            hint="add them there, or set them in the environment",
        )
    try:
        state_files.make_folder(lock.parent)
        existed = path.exists()
        # Two tasks at once on a fresh checkout must not make two passwords.
        with hold(lock, lock.with_suffix(".json"), "making secrets", _LOCK_SECONDS, _locked(path)):
            missing = _missing(path, names)
            made = {**_own_name(path, names), **_made(missing)}
            _append(path, _from_template(path, made) + "".join(f"{name}={value}\n" for name, value in made.items()))
    except OSError as error:
        raise SettingsError(
            f"cannot write {path.name}: {error.strerror}",
            expected="a file this user can write, for the stack's secrets",
            hint=f"make {path.parent} writable, or set {', '.join(dict.fromkeys(names))} in the environment",
        ) from None
    return [*(name for name in made if name not in missing and existed), *missing]


def _locked(path: Path) -> LockedError:
    return LockedError(
        f"another task has been writing {path.name} for more than {_LOCK_SECONDS:g} s",
        expected="it takes a moment",
        hint="see whether that task was stopped (Ctrl-Z) or its disk hangs; end it, then run this again",
    )


@contextlib.contextmanager
def lent(path: Path, names: Sequence[str]) -> Iterator[None]:
    """What `complete` would write, and values for what is empty, in this process's environment only, for a while.

    For what only looks or stops: compose.yaml cannot be read without them, and the file must not change.
    """
    found = read(path)
    empty = [name for name in names if not os.environ.get(name, found.get(name, ""))]
    before = dict(os.environ)
    template = None if path.exists() else template_of(path)
    begun = read(template) if template else {}
    os.environ.update({**begun, **_own_name(path, names), **_made(empty)})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _own_name(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The stack's name, where neither the file nor the environment has one: that of its last start, else a new one.

    A new one only for a file that is to be made: without it the stack starts under the name that Compose gives it.
    """
    if PROJECT in os.environ or path.is_fifo() or PROJECT in written(path):
        return {}
    kept = _kept_name(path)
    if kept is not None:
        return {PROJECT: kept} if kept else {}
    if path.exists() or not (_missing(path, names) or template_of(path)):
        return {}
    return {PROJECT: project_name(path.parent)}


def _lacks_name(path: Path, names: Sequence[str]) -> bool:
    """Whether a file is to be begun, or one that was replaced is to have the stack's name again."""
    return bool(_own_name(path, names)) or (not path.exists() and template_of(path) is not None)


def keep_name(path: Path) -> None:
    """Note under which name this stack was started: nothing where Compose gives it one.

    One of the environment is for one start.
    """
    if PROJECT in os.environ or path not in _KEPT_NAMES:
        return
    kept = _KEPT_NAMES[path]
    content = json.dumps({"name": written(path).get(PROJECT, ""), "folder": str(path.parent.resolve())})
    if not kept.exists() or kept.read_text(encoding="utf-8") != content:
        state_files.make_folder(kept.parent)
        state_files.write(kept, content)


def _kept_name(path: Path) -> str | None:
    """None before the first start, and for a copy of a checkout: that is another stack."""
    if path not in _KEPT_NAMES:
        return None
    kept = state_files.read(_KEPT_NAMES[path], lambda data: (str(data["name"]), Path(data["folder"])), lambda _: None)
    if kept is None or (kept[1] != path.parent.resolve() and kept[1].exists()):
        return None
    return kept[0]


def template_of(path: Path) -> Path | None:
    """What people copy to make this file."""
    found = (path.with_name(name) for name in TEMPLATES)
    return next((template for template in found if template.is_file()), None)


def _from_template(path: Path, made: Collection[str]) -> str:
    """What a new file begins with: the template's lines, without those of what is made."""
    template = template_of(path)
    if path.exists() or not template:
        return ""
    lines = [line for line in _lines(template) if line.key not in made]
    text = "".join(line.original.string for line in lines)
    return f"{text.rstrip()}\n" if text.strip() else ""


def _made(names: Sequence[str]) -> dict[str, str]:
    made = {name: secrets.token_hex(24) for name in names}
    SECRETS.learn(made, required=names)  # before anybody can print one
    return made


def _missing(path: Path, names: Sequence[str]) -> list[str]:
    present = read(path if path.exists() else template_of(path) or path)
    if not path.exists():  # a template leaves its secrets empty, or says what to put there
        present = {name: value for name, value in present.items() if value and not _PLACEHOLDER.search(value)}
    return [name for name in dict.fromkeys(names) if name not in present and name not in os.environ]


def secret(path: Path, name: str) -> str:
    """One secret. Raises SettingsError where it is neither in the file nor in the environment, or empty."""
    value = os.environ.get(name, read(path).get(name, ""))
    if not value and name in os.environ:
        raise SettingsError(
            f"{name} is empty in the environment, which wins over {path.name}",
            hint=f"unset {name}, or give it a value",
        )
    if not value:
        raise SettingsError(
            f"{name} has no value in {path.name}",
            hint=f"give {name} a value in {path.name}, or remove its line to have one made",
        )
    SECRETS.learn({name: value}, required=[name])
    return value


def project_name(folder: Path) -> str:
    """Follows from the path, so that a lost .env does not hide the volumes that its passwords open."""
    readable = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "stack"
    return f"{readable}-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:6]}"


def _append(path: Path, text: str) -> None:
    # 0600 from the first byte on: the mode is given to open, not set afterwards.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a+", encoding="utf-8") as file:
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), 0o600)
        file.seek(0)
        old = file.read()
        lead = _HEADER if not old else "" if old.endswith("\n") else "\n"
        file.write(lead + text)
