"""`.env` files and the templates that people copy them from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from .documents import variables_of
from .files import Repository, folder_of
from .findings import Fact

# `.env.example`, `.env.local.sample`, `example.env`, `env.dist`; and what tools read beside `.env` themselves.
_MARK = "(?:example|sample|template|tpl|tmpl|dist|defaults?)"
_TEMPLATE = re.compile(
    rf"\.?env(?:[.\-_]\w+)?[.\-_]{_MARK}|{_MARK}\.env|\.?env[.\-_]{_MARK}(?:[.\-_]\w+)?|\.env\.(?:dev|development|local)"
)


_OF_ENV = re.compile(rf"\.env|\.?env[.\-_]{_MARK}(?:[.\-_]\w+)?|{_MARK}\.env")


def is_of_env(path: str) -> bool:
    """It is `.env`, or what people copy to that name; of another name it is for one service only."""
    return bool(_OF_ENV.fullmatch(posixpath.basename(path)))


def templates_in(repository: Repository, folder: str) -> list[str]:
    return [path for path in repository.like(_TEMPLATE.pattern) if folder_of(path) == folder]


def variables_in(repository: Repository, folders: Iterable[str]) -> dict[str, Fact]:
    """What `.env` says in these folders; where it is silent, what a template beside it does. The first one counts."""
    found: dict[str, Fact] = {}
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        _add(found, variables_of(repository, posixpath.normpath(posixpath.join(folder, ".env"))))
    for folder in folders:
        for path in templates_in(repository, folder):
            _add(found, {name: fact.at_most("likely") for name, fact in variables_of(repository, path).items()})
    return found


def variables_at(repository: Repository, path: str) -> dict[str, Fact]:
    """The variables of an `env_file`; where it is not there, as it is not in git, those of its template."""
    if repository.has(path):
        return variables_of(repository, path)
    folder, name = folder_of(path), posixpath.basename(path)
    found: dict[str, Fact] = {}
    for template in templates_in(repository, folder):
        if posixpath.basename(template).startswith(name) or name == ".env":
            _add(found, {key: fact.at_most("likely") for key, fact in variables_of(repository, template).items()})
    return found


def _add(found: dict[str, Fact], more: Mapping[str, Fact]) -> None:
    for name, fact in more.items():
        found.setdefault(name, fact)
