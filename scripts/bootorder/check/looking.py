"""What every check is given: the repository as detection sees it, and the settings where there are any."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import KEY
from ..detect.commands import Ran, leads_to
from ..detect.compose_services import Described
from ..detect.detecting import Looked, look
from ..detect.dockerfiles import image_of
from ..detect.documents import plain_values
from ..detect.files import Repository
from ..detect.findings import Fact, Owner, Where
from ..detect.services import Placed
from ..detect.urls import url_of
from ..errors import SettingsError
from ..settings import Settings, parse

FILE = "invoke.yaml"
MOST_LISTED = 3  # of names in a message
# Of a URL: what Prisma and JDBC call it.
_SCHEMA = re.compile(r"[?&](?:schema|currentSchema)=(\w+)")


@dataclass(frozen=True)
class Seen:
    """One thing that will hurt."""

    where: Where
    message: str


@dataclass(frozen=True)
class Check:
    """`code` is also the name of its page in docs/checks; `help` starts with a verb."""

    code: str
    help: str
    look: Callable[[Stack], Iterator[Seen]]


class Stack:
    """A repository. `settings`: of its invoke.yaml; nothing where it has none of ours.

    `config`: what invoke.yaml and the environment say, where Invoke has read them.
    """

    def __init__(self, root: Path, config: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.settings = _settings(root) if config is None else _parse(config)
        self.looked: Looked = look(root, self.settings.compose if self.settings else ())

    @property
    def repository(self) -> Repository:
        return self.looked.known.repository

    @property
    def services(self) -> Mapping[str, Placed]:
        return {each.name: each for each in self.looked.known.services}

    def kind_of(self, service: str) -> str:
        """`database`, `app`, `one-off`, `beside` or `other`; empty for one that is not there."""
        return self.looked.known.kinds.get(service, "")

    def is_postgres(self, service: str) -> bool:
        return service in self.looked.known.databases

    def health_test(self, service: Described) -> Fact | None:
        """Of its compose file; else that of its image."""
        return service.health_test or image_of(self.repository, service.build).health

    def runs(self, service: Placed) -> Iterator[Ran]:
        """Every command that comes of its own, in their order."""
        known, folder = self.looked.known, folder_run_by(service)
        scripts = known.manifests.nearest_package(folder).scripts
        for command in known.commands_of(service.name):
            yield from leads_to(self.repository, folder, scripts, command)

    def are_together(self, one: Owner, other: Owner, *, in_any_schema: bool = False) -> bool:
        """Their tables are in one schema, or `in_any_schema` of one database, as far as the files tell."""
        layout = self.settings.layout if self.settings else "shared"
        if layout == "databases" or (layout == "schemas" and not in_any_schema):
            return False
        places = list(zip(self._place(one), self._place(other), strict=True))
        same = all(mine == its for mine, its in (places[:2] if in_any_schema else places) if mine and its)
        many = len(self.looked.found.databases) > 1
        return same and (not many or bool(one.database and other.database))

    def _place(self, owner: Owner) -> tuple[str, str, str]:
        """Service, database and schema; what is not said is empty. PostgreSQL's own schema is `public`."""
        service = owner.database.value if owner.database else ""
        said = self._url(owner)
        url = url_of(said)
        name = url.name if url and "$" not in url.name else ""
        schemas = owner.settings["schemas"].value.split(", ") if "schemas" in owner.settings else []
        found = _SCHEMA.search(said) if owner.tool.value != "drizzle" else None  # whose drivers know no such thing
        schema = "" if "public" in schemas else found[1] if found else next(iter(schemas), "")
        return service, name, schema or "public"

    def _url(self, owner: Owner) -> str:
        placed = self.services.get(owner.service.value) if owner.service else None
        fact = placed.described.environment.get(owner.url_variable.value) if placed and owner.url_variable else None
        return fact.value if fact else ""


def folder_run_by(service: Placed) -> str:
    return service.folder.value if service.folder else "."


def _settings(root: Path) -> Settings | None:
    """Raises SettingsError where they are wrong."""
    try:
        config = plain_values((root / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SettingsError(f"{FILE} is not YAML", seen=str(error), hint=f"correct {FILE} at that line") from None
    return _parse(config)


def _parse(config: object) -> Settings | None:
    return parse(config) if isinstance(config, Mapping) and KEY in config else None
