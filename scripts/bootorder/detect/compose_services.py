"""What the compose files say of each service, with the place of each value."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .commands import inner_command, words_of
from .compose_files import Layer, Project
from .documents import Node, yaml_of
from .env_files import variables_at
from .files import Repository, folder_of, is_within, joined
from .findings import Fact, Where
from .variables import expand

_NOTHING = Node("", None)
_MOST_EXTENDED = 10
_LONGEST = 1000  # of a port or a volume, in characters


@dataclass(frozen=True)
class Build:
    """Paths are relative to the repository; one that leads out of it is empty. `inline`: a Dockerfile's text."""

    context: str
    dockerfile: str
    target: str
    where: Where
    args: Mapping[str, Fact] = field(default_factory=dict)
    inline: Fact | None = None


@dataclass(frozen=True)
class Port:
    """`published`: on this machine, at the address `host` (empty: at every one); `target`: in the container."""

    published: Fact
    target: str
    host: str = ""


@dataclass(frozen=True)
class Mount:
    """A folder or file of the repository in the container."""

    source: str
    target: str
    where: Where


@dataclass(frozen=True)
class Secret:
    """What a file in a container comes from: a file of the repository, or else a variable."""

    file: str = ""
    variable: str = ""


@dataclass(frozen=True)
class Described:
    """A service as its compose files describe it. `depends`: the services that it waits for, until they are what.

    `secrets`: by their paths in the container.
    """

    name: str
    where: Where
    project: Project
    image: Fact | None = None
    build: Build | None = None
    environment: Mapping[str, Fact] = field(default_factory=dict)
    ports: Sequence[Port] = ()
    command: Fact | None = None
    working_dir: str = ""
    mounts: Sequence[Mount] = ()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    depends: Mapping[str, Fact] = field(default_factory=dict)
    profile: Fact | None = None
    health_test: Fact | None = None
    health_interval: Fact | None = None
    health_start_interval: Fact | None = None

    def secret_at(self, path: str) -> Secret | None:
        """Return the source of this file of the container; None if it is not from this repository."""
        if found := self.secrets.get(path):
            return found
        for mount in self.mounts:
            if is_within(path, mount.target):
                return Secret(
                    file=posixpath.normpath(posixpath.join(mount.source, posixpath.relpath(path, mount.target)))
                )
        return None


@dataclass(frozen=True)
class _Piece:
    """What one document says of a service."""

    base: str
    node: Node


def services_of(repository: Repository, project: Project) -> list[Described]:
    """In the order in which the files have them."""
    names: dict[str, Where] = {}
    for layer in project.layers:
        for name, (where, _) in layer.services.items():
            names.setdefault(name, where)
    return [_service(repository, project, name, where) for name, where in names.items()]


def _service(repository: Repository, project: Project, name: str, where: Where) -> Described:
    pieces = list(_pieces(repository, project.layers, name, set()))
    command = _last(pieces, "command") or _last(pieces, "entrypoint")
    profile = _last(pieces, "profiles")
    test = _last(pieces, "healthcheck", "test")
    directory = _last(pieces, "working_dir")
    return Described(
        *(name, where, project),
        image=_fact(project, _last(pieces, "image")),
        build=_build(project, pieces),
        environment=_environment(repository, project, pieces),
        ports=[port for piece in pieces for port in _ports(project, piece)],
        command=_command(project, command),
        working_dir=(directory.text or "") if directory else "",
        mounts=[mount for piece in pieces for mount in _mounts(project, piece)],
        secrets=dict(secret for piece in pieces for secret in _secrets(project, piece)),
        depends=_depends(pieces),
        profile=Fact(profile.texts()[0], profile.where) if profile and profile.texts() else None,
        health_test=Fact(" ".join(test.texts()), test.where) if test and test.texts() else None,
        health_interval=_fact(project, _last(pieces, "healthcheck", "interval")),
        health_start_interval=_fact(project, _last(pieces, "healthcheck", "start_interval")),
    )


def _pieces(repository: Repository, layers: Sequence[Layer], name: str, seen: set[tuple[str, str]]) -> Iterator[_Piece]:
    """What the documents say of it, each after what it `extends`."""
    for layer in layers:
        _, node = layer.services.get(name, (None, None))
        if node is None:
            continue
        extends = node.get("extends")
        wanted = (extends.text or _text(extends, "service")) if extends else ""
        path = joined(layer.base, _text(extends, "file")) if extends and extends.get("file") else node.file
        if wanted and path and (path, wanted) not in seen and len(seen) < _MOST_EXTENDED:
            seen.add((path, wanted))
            if path == node.file:
                others: Sequence[Layer] = [layer]
            else:
                others = [Layer(folder_of(path), other) for other in yaml_of(repository, path)]
            yield from _pieces(repository, others, wanted, seen)
        yield _Piece(layer.base, node)


def _last(pieces: Sequence[_Piece], *keys: str) -> Node | None:
    """What the last document that says it says."""
    found = [node for piece in pieces if (node := piece.node.get(*keys)) is not None]
    return found[-1] if found else None


def _text(node: Node | None, key: str) -> str:
    value = node.get(key) if node else None
    return (value.text or "") if value else ""


def _fact(project: Project, node: Node | None) -> Fact | None:
    return valued(node.text, node.where, project.variables) if node and node.text else None


def valued(text: str, where: Where, variables: Mapping[str, Fact]) -> Fact:
    """What comes of a text with `${NAME}` in it."""
    expanded = expand(text, variables)
    return Fact(expanded.text, where, expanded.sure, "" if expanded.text == text else text)


def _build(project: Project, pieces: Sequence[_Piece]) -> Build | None:
    found = None
    for piece in pieces:
        node = piece.node.get("build")
        if node is None:
            continue
        said = {key: expand(_text(node, key), project.variables).text for key in ("context", "dockerfile", "target")}
        context = expand(node.text, project.variables).text if node.text else said["context"]
        folder = joined(piece.base, context or ".") if context or not found else found.context or None
        default = found.dockerfile if found and not context else joined(folder, "Dockerfile") if folder else ""
        dockerfile = joined(folder, said["dockerfile"]) if folder and said["dockerfile"] else default
        target = said["target"] or (found.target if found else "")
        args = {**(found.args if found else {}), **_args(project, node)}
        inline = node.get("dockerfile_inline")
        text = Fact(inline.text, inline.where) if inline and inline.text else found.inline if found else None
        found = Build(folder or "", dockerfile or "", target, node.where, args, text)
    return found


def _args(project: Project, node: Node) -> dict[str, Fact]:
    pairs = _pairs(node.get("args"))
    return {name: valued(text, where, project.variables) for name, (where, text) in pairs if text is not None}


def _environment(repository: Repository, project: Project, pieces: Sequence[_Piece]) -> dict[str, Fact]:
    """`environment` over `env_file`, as in the container."""
    found: dict[str, Fact] = {}
    for piece in pieces:
        for entry in _entries(piece.node.get("env_file")):
            path = joined(piece.base, expand(entry.text or _text(entry, "path"), project.variables).text)
            for name, fact in (variables_at(repository, path) if path else {}).items():
                found[name] = valued(fact.value, fact.where, project.variables).at_most(fact.sure)
    for piece in pieces:
        for name, (where, text) in _pairs(piece.node.get("environment")):
            found[name] = valued(f"${{{name}}}" if text is None else text, where, project.variables)
    return found


def _entries(node: Node | None) -> list[Node]:
    """A list, or a single value as one."""
    return [] if node is None else node.elements() or [node]


def _pairs(node: Node | None) -> Iterator[tuple[str, tuple[Where, str | None]]]:
    """`NAME: value` and `- NAME=value`; without a value it is the caller's."""
    if node is None:
        return
    for name, (where, value) in node.items().items():
        yield name, (where, value.text)
    for element in node.elements():
        name, equals, text = (element.text or "").partition("=")
        if name:
            yield name, (element.where, text if equals else None)


def _ports(project: Project, piece: _Piece) -> Iterator[Port]:
    for node in (piece.node.get("ports") or _NOTHING).elements():
        if node.text is None:
            published, target = node.get("published"), _text(node, "target")
            host = expand(_text(node, "host_ip"), project.variables).text
            if published and published.text:
                yield Port(valued(published.text, published.where, project.variables), target, host)
            continue
        # what stands before them is an address, of IPv6 with colons in brackets
        *address, outside, inside = ["", "", *_at_colons(node.text.split("/")[0])]
        if outside and "." not in outside:
            host = expand(":".join(filter(None, address)), project.variables).text
            target = expand(inside, project.variables).text
            yield Port(valued(outside, node.where, project.variables), target, host)


def _at_colons(text: str) -> list[str]:
    """Apart at each `:` that is not within `${...}`."""
    return re.findall(r"(?:\$\{[^}]*\}|[^:$]|\$)+", text[:_LONGEST])


def _mounts(project: Project, piece: _Piece) -> Iterator[Mount]:
    for node in (piece.node.get("volumes") or _NOTHING).elements():
        if node.text is None:
            source, target = _text(node, "source"), _text(node, "target")
        else:
            source, target, *_ = [*_at_colons(node.text), "", ""]
        source = expand(source, project.variables).text
        # a name without a slash is a volume
        path = joined(piece.base, source) if source.startswith(".") or "/" in source else None
        if path and target:
            yield Mount(path, target, node.where)


def _secrets(project: Project, piece: _Piece) -> Iterator[tuple[str, Secret]]:
    declared = {}
    for layer in project.layers:
        for name, (_, node) in (layer.node.get("secrets") or _NOTHING).items().items():
            declared[name] = (layer.base, node)
    for node in (piece.node.get("secrets") or _NOTHING).elements():
        name = node.text or _text(node, "source")
        if name not in declared:
            continue
        base, source = declared[name]
        file = expand(_text(source, "file"), project.variables).text
        secret = Secret((file and joined(base, file)) or "", _text(source, "environment"))
        if secret != Secret():
            yield posixpath.join("/run/secrets", _text(node, "target") or name), secret


def _command(project: Project, node: Node | None) -> Fact | None:
    """A line for a shell: what `sh -c` gets, else the arguments."""
    if node is None:
        return None
    words = node.texts()
    if node.text is not None:
        words = words_of(node.text)
    text = inner_command(words) or (node.text or shlex.join(words))
    expanded = expand(text, project.variables).text
    return Fact(" ".join(expanded.split()), node.where) if expanded.strip() else None


def _depends(pieces: Sequence[_Piece]) -> dict[str, Fact]:
    found = {}
    for piece in pieces:
        node = piece.node.get("depends_on")
        if node is not None:
            found.update({name: Fact(_text(value, "condition"), at) for name, (at, value) in node.items().items()})
            found.update({each.text: Fact("", each.where) for each in node.elements() if each.text})
    return found
