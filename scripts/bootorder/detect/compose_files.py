"""Which compose files there are, and which of them are read together."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .documents import Node, yaml_of
from .env_files import variables_in
from .files import Repository, folder_of, joined, line_at
from .findings import Compose, Fact, Where

# In the order in which Compose looks for them.
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_LIKE = r"(?:docker-)?compose(?:[.\-_][\w.\-]+)?\.ya?ml|[\w\-]+\.(?:docker-)?compose\.ya?ml"
# Of several with other names, the first is what a person boots at home.
_AT_HOME = ("local", "dev", "base", "db")
_ELSEWHERE = re.compile(r"prod|stag|deploy|swarm|ci\b|test|e2e|release")
_USUAL = {"docker", ".docker", "compose", "docker-compose", "deploy", "deployment", "deployments", "infra"}
_USUAL |= {"infrastructure", "ops", "devops", ".devcontainer", "local", "dev", "stack", "env"}
_NAMED_BY_A_COMMAND = re.compile(r"docker[ -]compose((?:[ \t]+(?:-f|--file)[ =][^\s\"'&|;]+)+)")
_COMMANDS = ("package.json", "Makefile", "makefile", "justfile", "Justfile", "Taskfile.yml", "Taskfile.yaml")
_MOST_INCLUDES = 50


@dataclass(frozen=True)
class Layer:
    """One YAML document. `base`: the folder that its paths begin at."""

    base: str
    node: Node

    @cached_property
    def services(self) -> Mapping[str, tuple[Where, Node]]:
        """Each with the place where its name stands."""
        node = self.node.get("services")
        return node.items() if node else {}


@dataclass(frozen=True)
class Project:
    """Compose files that are read together, later ones over earlier ones."""

    found: Compose
    layers: Sequence[Layer]
    variables: Mapping[str, Fact]

    @property
    def folder(self) -> str:
        return self.found.folder


def find_projects(repository: Repository) -> list[Project]:
    """Those that Compose finds by itself or that a file names; without any, the ones that look like it."""
    like = [path for path in repository.like(_LIKE) if _may_be(path)]
    folders = sorted({folder_of(path) for path in like}, key=_nearest)
    found = list(_named_in_env(repository))
    settled = {folder_of(each.where.file) for each in found}  # there Compose looks for no other
    found += [each for folder in folders if folder not in settled and (each := _default(repository, folder))]
    commanded = list(_named_by_commands(repository))
    named = {each.files for each in commanded}
    found = [replace(each, sure="certain") if each.files in named else each for each in found]
    found += [each for each in commanded if not any(set(each.files) <= set(other.files) for other in found)]
    if not found:
        found = [each for folder in folders if (each := _by_another_name(folder, like))]
    unique = list({each.files: each for each in reversed(found)}.values())[::-1]
    whole = [each for each in unique if not any(set(each.files) < set(other.files) for other in unique)]
    projects = [_project(repository, each, like) for each in whole]
    included = {path for project in projects for path in (*project.found.includes, *_extended(project))}
    return [project for project in projects if not set(project.found.files) <= included]


def _extended(project: Project) -> Iterator[str]:
    """The other files that its services extend: they are pieces of it."""
    for layer in project.layers:
        for _, service in layer.services.values():
            file = service.get("extends", "file")
            path = joined(layer.base, file.text) if file and file.text else None
            if path and path not in project.found.files:
                yield path


def named_project(repository: Repository, files: Sequence[str], where: Where) -> Project:
    """These files, whatever others there are. `where` they are named."""
    known = _known(repository, ".", files, where)
    return _project(repository, Compose(folder_of(known[0]) if known else ".", known, where, "certain"), ())


def projects_beside(repository: Repository, projects: Sequence[Project]) -> list[Project]:
    """The files beside those, each by itself: where the database is, when those have none."""
    beside = [path for project in projects for path in project.found.beside]
    return [_project(repository, Compose(folder_of(path), (path,), Where(path), "guess"), ()) for path in beside]


def _nearest(folder: str) -> tuple[bool, bool, int, str]:
    return folder != ".", folder not in _USUAL, folder.count("/"), folder


def _may_be(path: str) -> bool:
    folder = folder_of(path)
    return folder.count("/") <= 2 or posixpath.basename(folder) in _USUAL  # noqa: PLR2004


def _default(repository: Repository, folder: str) -> Compose | None:
    base, override = (
        next((path for name in names if repository.has(path := posixpath.normpath(f"{folder}/{name}"))), "")
        for names in (_NAMES, _OVERRIDES)
    )
    if not base:
        return None
    files = tuple(filter(None, (base, override)))
    return Compose(folder, files, Where(base), "certain" if folder == "." else "likely")


def _named_in_env(repository: Repository) -> Iterator[Compose]:
    """COMPOSE_FILE of each `.env`, or of its template."""
    folders = dict.fromkeys(folder_of(path) for path in repository.like(r".*env.*") if path.count("/") <= 1)
    for folder in folders:
        variables = variables_in(repository, [folder])
        named = variables.get("COMPOSE_FILE")
        if named and named.value:
            separator = variables["COMPOSE_PATH_SEPARATOR"].value if "COMPOSE_PATH_SEPARATOR" in variables else ""
            names = re.split(re.escape(separator) if separator else r"[:;]", named.value)
            files = _known(repository, folder, names, named.where)
            if files:
                yield Compose(folder_of(files[0]), files, named.where, named.sure)


def _named_by_commands(repository: Repository) -> Iterator[Compose]:
    """`docker compose -f ...` in what a person runs."""
    paths = [path for path in repository.named(*_COMMANDS) if path.count("/") <= 1]
    for path in [*paths, *(path for path in repository.below(".", ".sh") if path.count("/") <= 1)]:
        text = repository.text(path)
        for command in _NAMED_BY_A_COMMAND.finditer(text):
            names = re.findall(r"(?:-f|--file)[ =](\S+)", command[1])
            where = Where(path, line_at(text, command.start()))
            folders = (".", folder_of(path))
            files = next((files for each in folders if (files := _known(repository, each, names, None))), ())
            if files and not any(_ELSEWHERE.search(posixpath.basename(name)) for name in files):
                yield Compose(folder_of(files[0]), files, where, "likely")


def _known(repository: Repository, folder: str, names: Sequence[str], where: Where | None) -> tuple[str, ...]:
    files = []
    for name in names:
        path = joined(folder, name.strip())
        if path and repository.has(path):
            files.append(path)
        elif where and name.strip():
            repository.note(where.file, f"names {name.strip()}, which is not there", where.line)
    return tuple(files)


def _by_another_name(folder: str, like: Sequence[str]) -> Compose | None:
    """`docker-compose.dev.yml`: no command reads it by itself."""

    def rank(path: str) -> tuple[bool, int, str]:
        name = posixpath.basename(path)
        at_home = next((place for place, word in enumerate(_AT_HOME) if word in name), len(_AT_HOME))
        return bool(_ELSEWHERE.search(name)), at_home, name

    here = sorted((path for path in like if folder_of(path) == folder), key=rank)
    return Compose(folder, (here[0],), Where(here[0]), "likely" if len(here) == 1 else "guess") if here else None


def _project(repository: Repository, found: Compose, like: Sequence[str]) -> Project:
    folder, files = found.folder, found.files
    beside = tuple(path for path in like if folder_of(path) == folder and path not in files)
    layers = [layer for path in files for layer in _layers(repository, path, folder, set())]
    includes = tuple(dict.fromkeys(layer.node.file for layer in layers if layer.node.file not in files))
    whole = replace(found, includes=includes, beside=beside)
    return Project(whole, layers, variables_in(repository, [folder, "."]))


def _layers(repository: Repository, path: str, base: str, seen: set[str]) -> Iterator[Layer]:
    """The file's documents, and before them what they `include`."""
    if path in seen or len(seen) > _MOST_INCLUDES:
        return
    seen.add(path)
    for node in yaml_of(repository, path):
        for included in (node.get("include") or Node(path, None)).elements():
            named = included.get("path") or included
            directory = included.get("project_directory")
            for name in named.texts():
                other = joined(base, name)
                if other and repository.has(other):
                    below = joined(base, directory.text) if directory and directory.text else folder_of(other)
                    yield from _layers(repository, other, below or ".", seen)
                else:
                    repository.note(path, f"includes {name}, which is not there", included.where.line)
        yield Layer(base, node)
