"""The whole look at a repository, in the order in which one thing follows from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SettingsError
from .bases import with_bases
from .compose_files import Project, find_projects, named_project, projects_beside
from .compose_services import Described, services_of
from .database import database_of, from_templates, named_by_urls, other_database, superuser
from .extensions import extensions_of
from .files import Repository, is_within
from .findings import Database, Detected, Fact, Note, Owner, Service, Where
from .health import health_of
from .manifests import Manifests, managers_in
from .node_tools import node_drafts
from .other_tools import other_drafts, sql_drafts
from .owners import Known, owners_of
from .python_tools import python_drafts
from .questions import questions
from .searching import Sources
from .services import Placed, kind_of, placed, published, waited_for
from .urls import url_parts, url_variable


@dataclass(frozen=True)
class Looked:
    """What was found, and what it was found in."""

    known: Known
    sources: Sources
    found: Detected


def detect(root: Path) -> Detected:
    """Everything that is found below this folder. Raises SettingsError where it is none."""
    return look(root).found


def look(root: Path, compose: Sequence[str] = ()) -> Looked:
    """As `detect`. `compose`: the compose files, where invoke.yaml says which."""
    if not root.is_dir():
        raise SettingsError(
            f"{root} is not a folder",
            expected="the root of a repository",
            hint="give the folder to look at: --path PATH",
        )
    repository = Repository(root)
    manifests, sources = Manifests(repository), Sources(repository)
    named = [named_project(repository, compose, Where("invoke.yaml"))] if compose else None
    projects = named or find_projects(repository)
    described, projects = _described(repository, projects)
    stored = _databases(described, repository)
    looked_at = [placed(each, repository, manifests) for each in described]
    apps = [each for each in looked_at if each.name not in stored and not other_database(each.described, repository)]
    services = _services(apps, described, repository, manifests, sources)
    known = Known(repository, manifests, _in_order(looked_at), _kinds(services, looked_at), list(stored))
    drafts = [*node_drafts(repository, manifests, sources), *python_drafts(repository, manifests, sources)]
    drafts += other_drafts(repository, manifests, looked_at)
    taken = [folder for draft in drafts for folder in draft.sql]
    drafts += sql_drafts(repository, manifests, [each for each in looked_at if each.name in stored], taken)
    owners, asked = owners_of(known, with_bases(repository, drafts))
    databases = list(stored.values()) or _without_service(repository, manifests)
    databases = _with_extensions(databases, owners, extensions_of(repository, manifests, sources))
    packages, also_asked = managers_in(manifests)
    files = [project.found for project in projects]
    asked = [*questions(files, databases, owners, services), *asked, *also_asked]
    notes = repository.notes | set(_notes(repository, described, projects, databases))
    found = Detected(
        *(tuple(files), tuple(databases), tuple(owners), tuple(services), tuple(packages), tuple(asked)),
        notes=tuple(sorted(notes)),
    )
    return Looked(known, sources, found)


def _described(repository: Repository, projects: Sequence[Project]) -> tuple[list[Described], list[Project]]:
    """The services of all projects; where none of them is a PostgreSQL, also of the file beside them that has one."""
    described = _each_once([each for project in projects for each in services_of(repository, project)])
    if not any(database_of(each, repository) for each in described):
        for project in projects_beside(repository, projects):
            more = services_of(repository, project)
            if any(database_of(each, repository) for each in more):
                return _each_once([*described, *more]), [*projects, project]
    return described, list(projects)


def _databases(described: Sequence[Described], repository: Repository) -> dict[str, Database]:
    """By service; one that only a profile starts counts where there is no other."""
    found = [(each, database) for each in described if (database := database_of(each, repository))]
    always = [pair for pair in found if not pair[0].profile]
    return {each.name: named_by_urls(database, described) for each, database in always or found}


def _each_once(services: Sequence[Described]) -> list[Described]:
    """Projects may have services of one name: the first one counts."""
    found: dict[str, Described] = {}
    for each in services:
        found.setdefault(each.name, each)
    return list(found.values())


def _services(
    apps: Sequence[Placed],
    described: Sequence[Described],
    repository: Repository,
    manifests: Manifests,
    sources: Sources,
) -> list[Service]:
    ended = waited_for(described)
    found = []
    for each in apps:
        kind = kind_of(each, each.name in ended)
        beside = [other for other in apps if other.folder and each.folder and other.folder.value == each.folder.value]
        could = [other for other in beside if other.described.ports or len(beside) == 1]
        health = health_of(each, repository, manifests, sources, among=could) if kind.value == "app" else None
        found.append(
            Service(
                name=each.name,
                kind=kind,
                folder=each.folder,
                command=each.command,
                port=published(each.described),
                health=health,
                url_variable=url_variable(each.described.environment),
                url_parts=url_parts(each.described.environment),
                profile=each.described.profile,
            )
        )
    return found


def _kinds(services: Sequence[Service], looked_at: Sequence[Placed]) -> dict[str, str]:
    return {**{each.name: "database" for each in looked_at}, **{each.name: each.kind.value for each in services}}


def _in_order(services: Sequence[Placed]) -> list[Placed]:
    """Each after those that it depends on; else as the files have them."""
    by_name = {each.name: each for each in services}
    found: dict[str, Placed] = {}
    waiting = [(name, False) for name in reversed(by_name)]
    entered: set[str] = set()
    while waiting:
        name, is_done = waiting.pop()
        if is_done:
            found.setdefault(name, by_name[name])
        elif name not in entered:
            entered.add(name)
            waiting.append((name, True))
            waiting += [(other, False) for other in by_name[name].described.depends if other in by_name]
    return list(found.values())


def _with_extensions(
    databases: Sequence[Database], owners: Sequence[Owner], extensions: Sequence[Fact]
) -> list[Database]:
    """Each with its own; where there are several, with what the folders of its owners ask for."""
    if len(databases) == 1:
        return [replace(databases[0], extensions=tuple(extensions))]
    found = []
    for database in databases:
        name = database.service.value if database.service else ""
        folders = [owner.folder for owner in owners if owner.database and owner.database.value == name]
        own = [fact for fact in extensions if any(is_within(fact.where.file, folder) for folder in folders)]
        found.append(replace(database, extensions=tuple(own)))
    return found


def _without_service(repository: Repository, manifests: Manifests) -> list[Database]:
    found = from_templates(repository, list(dict.fromkeys((".", *manifests.folders))))
    return [found] if found else []


def _notes(
    repository: Repository, described: Sequence[Described], projects: Sequence[Project], databases: Sequence[Database]
) -> list[Note]:
    found = []
    if not projects:
        found.append(Note(Where("."), "no compose file was found"))
    others = [(each, kind) for each in described if (kind := other_database(each, repository))]
    for service, kind in others:
        text = f"the service {service.name} is {kind}"
        found.append(Note((service.image or Fact("", service.where)).where, text))
    for database in databases:
        if database.user and (name := superuser(database)):
            text = f"{database.user.value} is no superuser in this image, and bootorder needs one: there it is {name}"
            found.append(Note(database.user.where, text))
    if not databases:
        found.append(Note(Where("."), "no PostgreSQL was found: bootorder is for PostgreSQL"))
    return found
