"""The folders that have packages of their own, what those need, and which package manager installs them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .documents import json_of, line_of_key, lines_below, toml_of
from .files import Repository, by_depth, folder_of, is_within, line_at
from .findings import Fact, Packages, Question, Where

_NODE_LOCKS = {
    "pnpm-lock.yaml": "pnpm",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "yarn.lock": "yarn",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
}
_PYTHON_LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv"}
_PYTHON_MANIFESTS = r"pyproject\.toml|requirements(?:[\-_.]\w+)?\.(?:txt|in)|Pipfile|setup\.(?:py|cfg)"
_OTHER_MANIFESTS = (
    *("manage.py", "Gemfile", "go.mod", "pom.xml", "build.gradle", "build.gradle.kts", "Cargo.toml"),
    *("composer.json", "mix.exs", "deno.json"),
)
_REQUIREMENT = re.compile(r"[ \t]*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class NodePackage:
    """A package.json. `scripts`: the command lines; `needs`: each package with its version."""

    folder: str
    name: str = ""
    scripts: Mapping[str, Fact] = field(default_factory=dict)
    needs: Mapping[str, Fact] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def where_of(self, *keys: str) -> Where:
        """Where the last of these keys stands, each below the one before."""
        return Where(_path(self.folder, "package.json"), line_of_key(self.text, *keys))


@dataclass(frozen=True)
class Manifests:
    """All of them, read when they are asked for."""

    repository: Repository

    @cached_property
    def python_files(self) -> Sequence[str]:
        """What says what Python needs; in a folder `requirements` whatever its name."""
        texts = self.repository.below(".", ".txt", ".in")
        apart = [path for path in texts if posixpath.basename(folder_of(path)) == "requirements"]
        return list(dict.fromkeys((*self.repository.like(_PYTHON_MANIFESTS), *apart)))

    @cached_property
    def folders(self) -> Sequence[str]:
        """Those with something to install, or to build, nearest to the root first."""
        paths = [*self.repository.named("package.json", *_OTHER_MANIFESTS), *self.python_files]
        return sorted({_of_folder(path) for path in paths}, key=lambda path: (path != ".", *by_depth(path)))

    @cached_property
    def packages(self) -> Mapping[str, NodePackage]:
        """The package.json of each folder."""
        return {folder_of(path): _package(self.repository, path) for path in self.repository.named("package.json")}

    @cached_property
    def python(self) -> Mapping[str, Mapping[str, Fact]]:
        """What each folder with Python needs."""
        found: dict[str, dict[str, Fact]] = {}
        for path in self.python_files:
            for name, fact in _python_needs(self.repository, path):
                found.setdefault(_of_folder(path), {}).setdefault(name, fact)
        for path in self.python_files:
            found.setdefault(_of_folder(path), {})
        return found

    def home(self, path: str) -> str:
        """The nearest folder with packages that this file or folder is in; else its own."""
        folder = path if path in self.folders else folder_of(path)
        inside = [known for known in self.folders if is_within(folder, known)]
        return max(inside, key=lambda known: (known != ".", known.count("/"), len(known))) if inside else folder

    def nearest_package(self, folder: str) -> NodePackage:
        """The package.json of this folder or of the nearest one above it."""
        return next((self.packages[each] for each in _upwards(folder) if each in self.packages), NodePackage(folder))

    def nearest_python(self, folder: str) -> tuple[str, Mapping[str, Fact]]:
        """The folder with Python that this one is in, and what it needs."""
        return next(((each, self.python[each]) for each in _upwards(folder) if each in self.python), (folder, {}))

    def node_manager(self, folder: str) -> Packages:
        """Said by the nearest folder upwards that says it."""
        for each in _upwards(folder):
            found = _node_manager(self.repository, each, self.packages.get(each))
            if found:
                return Packages(each, found)
        return Packages(folder, Fact("npm", Where(_path(folder, "package.json")), "likely"))

    def python_manager(self, folder: str) -> Packages:
        """As `node_manager`; a requirements.txt means pip where nothing says more."""
        for each in _upwards(folder):
            found = _python_manager(self.repository, each)
            if found:
                return Packages(each, found)
        return Packages(folder, Fact("pip", Where(folder), "likely"))


def managers_in(manifests: Manifests) -> tuple[list[Packages], list[Question]]:
    """Each where it is used, once, with what has two of them."""
    found = [manifests.node_manager(folder) for folder in manifests.packages]
    found += [manifests.python_manager(folder) for folder in manifests.python]
    unique = {(each.folder, each.manager.where): each for each in found}
    questions = []
    for folder in dict.fromkeys(each.folder for each in unique.values()):
        for locks in (_NODE_LOCKS, _PYTHON_LOCKS):
            there = [name for name in locks if manifests.repository.has(_path(folder, name))]
            managers = tuple(dict.fromkeys(locks[name] for name in there))
            if len(managers) > 1:
                text = f"{folder} has {' and '.join(there)}: which package manager installs it?"
                questions.append(Question(f"packages.{folder}", text, managers, Where(_path(folder, there[0]))))
    return sorted(unique.values(), key=lambda each: (each.folder != ".", each.folder, each.manager.value)), questions


def _path(folder: str, name: str) -> str:
    return posixpath.normpath(f"{folder}/{name}")


def _of_folder(path: str) -> str:
    """Requirements in a folder of their own belong to the folder above."""
    folder = folder_of(path)
    return folder_of(folder) if posixpath.basename(folder) == "requirements" else folder


def _upwards(folder: str) -> Iterator[str]:
    while folder != ".":
        yield folder
        folder = folder_of(folder)
    yield "."


def _package(repository: Repository, path: str) -> NodePackage:
    data, text = json_of(repository, path), repository.text(path)
    if not isinstance(data, dict):
        return NodePackage(folder_of(path))

    def facts(key: str) -> dict[str, Fact]:
        values = data.get(key)
        pairs = values.items() if isinstance(values, dict) else ()
        lines = lines_below(text, key)
        return {name: Fact(value, Where(path, lines.get(name, 0))) for name, value in pairs if isinstance(value, str)}

    needs = {**facts("peerDependencies"), **facts("devDependencies"), **facts("dependencies")}
    name = data.get("name")
    return NodePackage(folder_of(path), name if isinstance(name, str) else "", facts("scripts"), needs, data, text)


def _node_manager(repository: Repository, folder: str, package: NodePackage | None) -> Fact | None:
    said = package.data.get("packageManager") if package else None
    if package and isinstance(said, str) and (match := re.match(r"(pnpm|npm|yarn|bun)(?:@|$)", said)):
        return Fact(match[1], package.where_of("packageManager"), written=said)
    there = [name for name in _NODE_LOCKS if repository.has(_path(folder, name))]
    if there:
        one = len({_NODE_LOCKS[name] for name in there}) == 1
        return Fact(_NODE_LOCKS[there[0]], Where(_path(folder, there[0])), "certain" if one else "guess")
    if repository.has(workspace := _path(folder, "pnpm-workspace.yaml")):
        return Fact("pnpm", Where(workspace), "likely")
    return None


def _python_manager(repository: Repository, folder: str) -> Fact | None:
    there = [name for name in _PYTHON_LOCKS if repository.has(_path(folder, name))]
    if there:
        one = len(there) == 1
        return Fact(_PYTHON_LOCKS[there[0]], Where(_path(folder, there[0])), "certain" if one else "guess")
    path = _path(folder, "pyproject.toml")
    text = repository.text(path)
    for manager in ("uv", "poetry", "pdm"):
        if table := re.search(rf"^\[tool\.{manager}(?:\.[\w.\-]+)?\]", text, re.MULTILINE):
            return Fact(manager, Where(path, line_at(text, table.start())), "likely")
    if repository.has(pipfile := _path(folder, "Pipfile")):
        return Fact("pipenv", Where(pipfile), "likely")
    for name in ("requirements.txt", "requirements/base.txt", "requirements.in", "requirements/production.txt"):
        if repository.has(requirements := _path(folder, name)):
            return Fact("pip", Where(requirements), "likely")
    return Fact("pip", Where(path), "likely") if text else None


def _python_needs(repository: Repository, path: str) -> Iterator[tuple[str, Fact]]:
    """The packages, by the names that PyPI compares."""
    name, text = posixpath.basename(path), repository.text(path)
    if name == "pyproject.toml":
        for line in _pyproject_needs(toml_of(repository, path)):
            if match := _REQUIREMENT.match(line):
                at = text.find(match[1])
                yield _plain(match[1]), Fact(line, Where(path, line_at(text, at) if at >= 0 else 0))
    elif name == "Pipfile":
        for group in ("packages", "dev-packages"):
            for needed in _table(toml_of(repository, path), group):
                yield _plain(needed), Fact(needed, Where(path, line_of_key(text, needed)))
    elif name.endswith((".txt", ".in")):
        for number, line in enumerate(text.split("\n"), start=1):
            if match := _REQUIREMENT.match(line):
                yield _plain(match[1]), Fact(match[1], Where(path, number))


def _pyproject_needs(data: Mapping[str, Any]) -> Iterator[str]:
    project, poetry = _table(data, "project"), _table(data, "tool", "poetry")
    groups = [project.get("dependencies")]
    groups += [*_table(project, "optional-dependencies").values(), *_table(data, "dependency-groups").values()]
    for group in groups:
        yield from (line for line in group if isinstance(line, str)) if isinstance(group, list) else ()
    yield from _table(poetry, "dependencies")
    for each in _table(poetry, "group").values():
        yield from _table(each, "dependencies")


def _table(data: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
