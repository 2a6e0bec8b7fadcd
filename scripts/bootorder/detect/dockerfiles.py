"""What a Dockerfile makes: the image that its last stage comes from, and what it runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .commands import inner_command
from .compose_services import Build
from .files import Repository
from .findings import Fact, Where
from .variables import expand

_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?")


@dataclass(frozen=True)
class Image:
    """What the wanted stage is at its end."""

    base: Fact | None = None
    entrypoint: Fact | None = None
    command: Fact | None = None
    health: Fact | None = None


@dataclass
class _Stage:
    base: Fact
    name: str
    instructions: dict[str, Fact]


def image_of(repository: Repository, build: Build | None) -> Image:
    """The stage that is wanted, else the last; what a stage does not say, the one that it comes from does."""
    if build is None:
        return Image()
    if build.inline:
        stages = _stages(build.inline.value, build.inline.where, build.args)
    else:
        stages = _stages(repository.text(build.dockerfile), Where(build.dockerfile), build.args)
    if not stages:
        return Image()
    target = build.target
    index = next((i for i, stage in enumerate(stages) if target and stage.name == target.lower()), len(stages) - 1)
    said: dict[str, Fact] = {}
    while True:
        stage = stages[index]
        said = {**stage.instructions, **said}
        before = [i for i in range(index) if stages[i].name and stages[i].name == stage.base.value.lower()]
        if not before:
            break
        index = before[-1]
    return Image(stage.base, said.get("ENTRYPOINT"), said.get("CMD") or said.get("ENTRYPOINT"), said.get("HEALTHCHECK"))


def stage_of(repository: Repository, build: Build) -> str:
    """What stands in the wanted stage alone, else in the last."""
    texts = re.split(r"^(?=FROM\s)", repository.text(build.dockerfile), flags=re.MULTILINE | re.IGNORECASE)
    wanted = re.compile(rf"FROM\s.*\sAS\s+{re.escape(build.target)}\s*$", re.MULTILINE | re.IGNORECASE)
    return next((text for text in texts if build.target and wanted.match(text)), texts[-1])


def _stages(text: str, begins: Where, given: Mapping[str, Fact]) -> list[_Stage]:
    """`given`: what the build gives for each ARG."""
    found: list[_Stage] = []
    arguments: dict[str, Fact] = {}
    for line, word, rest in _instructions(text):
        where = Where(begins.file, begins.line + line)
        if word == "ARG" and not found:
            name, equals, value = rest.partition("=")
            if name.strip() in given:
                arguments[name.strip()] = given[name.strip()]
            elif equals:
                arguments[name.strip()] = Fact(value.strip().strip("\"'"), where, "likely")
        elif word == "FROM" and (match := _FROM.match(rest)):
            image = expand(match[1], arguments)
            written = "" if image.text == match[1] else match[1]
            found.append(_Stage(Fact(image.text, where, image.sure, written), (match[2] or "").lower(), {}))
        elif found and word in {"CMD", "ENTRYPOINT"}:
            found[-1].instructions[word] = Fact(_command(rest), where)
        elif found and word == "HEALTHCHECK":
            found[-1].instructions[word] = Fact(rest, where)
    return found


def _command(rest: str) -> str:
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, list):
            texts: Sequence[str] = [str(word) for word in words]
            return inner_command(texts) or shlex.join(texts)
    return rest


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Each with the line it begins in; continued lines are one, comments and here-documents none."""
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        whole = line.strip()
        if not whole or whole.startswith("#"):
            continue
        parts = []
        while whole.endswith("\\"):
            parts.append(whole[:-1].strip())
            whole = next((each.strip() for _, each in lines if not each.strip().startswith("#")), "")
        parts.append(whole)
        word, _, rest = " ".join(parts).partition(" ")
        yield number, word.upper(), rest.strip()
        if word.upper() in {"RUN", "COPY"}:
            for end in _HEREDOC.findall(rest):
                next((None for _, each in lines if each.strip() == end), None)
