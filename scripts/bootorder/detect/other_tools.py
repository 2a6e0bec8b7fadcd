"""Flyway, Liquibase, golang-migrate, dbmate, Rails, and plain SQL."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from .files import Repository, by_depth, folder_of, is_within, joined, line_at
from .findings import Fact, Sure, Where
from .manifests import Manifests
from .services import Placed
from .tools import Draft
from .urls import url_of

# Each with the end of its image's name, and where the image looks for its files.
_IMAGES = {
    "flyway": (re.compile(r"(?:^|/)flyway(?:[:@]|$)"), "/flyway/sql"),
    "liquibase": (re.compile(r"(?:^|/)liquibase(?:[:@]|$)"), "/liquibase"),
    "golang-migrate": (re.compile(r"(?:^|/)migrate/migrate(?:[:@]|$)"), "/migrations"),
    "dbmate": (re.compile(r"(?:^|/)dbmate(?:[:@]|$)"), "/db"),
}
_INIT = "/docker-entrypoint-initdb.d"
_CREATES = re.compile(r"^[ \t]*create\s+(?:unlogged\s+)?table", re.IGNORECASE | re.MULTILINE)
_ENGINE = re.compile(r"\bengine\s*=\s*(\w+)", re.IGNORECASE)
_SQL_FOLDERS = {"sql", "db", "database", "schema", "schemas", "migrations", "migration", "ddl", "initdb", "init"}
_MOST_READ = 100  # SQL files


def other_drafts(repository: Repository, manifests: Manifests, services: Sequence[Placed]) -> Iterator[Draft]:
    """Those with a container of their own first; files that one of them runs are nobody else's."""
    by_image = list(_by_image(repository, services))
    yield from by_image
    taken = {draft.tool.value for draft in by_image}
    for name, make in (
        ("flyway", _flyway),
        ("liquibase", _liquibase),
        ("golang-migrate", _golang),
        ("dbmate", _dbmate),
    ):
        if name not in taken:
            yield from make(repository, manifests)
    yield from _rails(repository)


def _by_image(repository: Repository, services: Sequence[Placed]) -> Iterator[Draft]:
    for placed in services:
        image = placed.described.image
        for name, (pattern, place) in _IMAGES.items():
            if image and pattern.search(image.value):
                mounts = [mount for mount in placed.described.mounts if mount.target.rstrip("/").startswith(place)]
                mounts = mounts or [
                    mount for mount in placed.described.mounts if repository.below(mount.source, ".sql", ".xml")
                ]
                folder = mounts[0].source if mounts else placed.described.project.folder
                settings = {"files": Fact(folder, mounts[0].where)} if mounts else {}
                command = placed.command
                yield Draft(
                    tool=Fact(name, image.where),
                    folder=folder,
                    way=Fact("migrate", command.where if command else image.where),
                    command=command,
                    settings=settings,
                    sql=(folder, _dump_beside(folder)) if mounts else (),
                    service=Fact(placed.name, placed.described.where),
                )


def _dump_beside(folder: str) -> str:
    """What tools write of the whole database, beside the folder of its migrations."""
    return posixpath.normpath(f"{folder_of(folder)}/schema.sql")


def _property(repository: Repository, path: str, *keys: str) -> Fact | None:
    """`key=value` of a .properties, .conf or .toml file; `key: value` of a YAML file."""
    text = repository.text(path)
    for key in keys:
        found = re.search(rf"^[ \t]*{re.escape(key)}[ \t]*[=:]\s*[\"'\[]*([^\"'\]\n]+)", text, re.MULTILINE)
        if found:
            return Fact(found[1].strip(), Where(path, line_at(text, found.start(1))))
    return None


def _is_other(repository: Repository, tool: str, url: Fact | None) -> bool:
    known = url_of(url.value) if url else None
    if url and known and known.kind != "PostgreSQL":
        text = f"{tool} is used with {known.kind}"
        repository.note(url.where.file, text, url.where.line)
        return True
    return False


def _in_spring(repository: Repository, manifests: Manifests, path: str, word: str) -> Fact | None:
    """A library of the app: it runs when that starts."""
    home = manifests.home(path)
    for name in ("pom.xml", "build.gradle", "build.gradle.kts"):
        build = posixpath.normpath(f"{home}/{name}")
        found = re.search(word, repository.text(build))
        if found:
            return Fact("at start", Where(build, line_at(repository.text(build), found.start())), "likely")
    return None


def _flyway(repository: Repository, manifests: Manifests) -> Iterator[Draft]:
    configs = repository.named("flyway.conf", "flyway.toml")
    versioned = repository.like(r"V[\d._]+__\w[\w\-]*\.sql")
    places = list(dict.fromkeys(folder_of(path) for path in versioned))
    if not configs and not places:
        return
    path = configs[0] if configs else versioned[0]
    if _is_other(repository, "flyway", _property(repository, path, "flyway.url", "url")):
        return
    place = places[0] if places else folder_of(path)
    way = _in_spring(repository, manifests, path, "flyway") or Fact("migrate", Where(path), "likely")
    sure: Sure = "certain" if configs or way.value == "at start" else "likely"
    yield Draft(
        Fact("flyway", Where(path), sure),
        manifests.home(path),
        way,
        settings={"files": Fact(place, Where(place))},
        sql=tuple(places),
    )


def _liquibase(repository: Repository, manifests: Manifests) -> Iterator[Draft]:
    configs = repository.named("liquibase.properties")
    logs = repository.like(r"(?:db\.)?changelog(?:[\-.](?:master|root|main))?\.(?:ya?ml|xml|json|sql)")
    if not configs and not logs:
        return
    path = (configs or logs)[0]
    if _is_other(repository, "liquibase", _property(repository, path, "url")):
        return
    log = _property(repository, path, "changeLogFile", "changelogFile", "changelog-file") if configs else None
    log = log or (Fact(logs[0], Where(logs[0])) if logs else None)
    way = _in_spring(repository, manifests, path, "liquibase") or Fact("migrate", Where(path), "likely")
    sql = (folder_of(logs[0]),) if logs else ()
    settings = {"changelog": log} if log else {}
    yield Draft(
        Fact("liquibase", Where(path), "certain" if configs else "likely"),
        manifests.home(path),
        way,
        settings=settings,
        sql=sql,
    )


def _golang(repository: Repository, manifests: Manifests) -> Iterator[Draft]:
    places = list(dict.fromkeys(folder_of(path) for path in repository.like(r"\d+_[\w\-]+\.up\.sql")))
    for place in [each for each in places if not _is_elsewhere(repository, each)][:1]:
        home = manifests.home(place)
        module = posixpath.normpath(f"{home}/go.mod")
        needed = re.search(r"golang-migrate/migrate", repository.text(module))
        where = Where(module, line_at(repository.text(module), needed.start())) if needed else Where(place)
        yield Draft(
            Fact("golang-migrate", where, "certain" if needed else "likely"),
            home,
            Fact("migrate", Where(place)),
            settings={"files": Fact(place, Where(place))},
            sql=tuple(places),
        )


def _is_elsewhere(repository: Repository, place: str) -> bool:
    """Its tables have an engine, as those of ClickHouse and MySQL do."""
    texts = [(path, repository.text(path)) for path in repository.below(place, ".sql")[:_MOST_READ]]
    found = next(((path, match) for path, text in texts if (match := _ENGINE.search(text))), None)
    if found:
        path, match = found
        repository.note(path, f"is for {match[1]} tables, which PostgreSQL has not", 0)
    return bool(found)


def _dbmate(repository: Repository, manifests: Manifests) -> Iterator[Draft]:
    for path in repository.below(".", ".sql")[:_MOST_READ]:
        found = re.search(r"^--\s*migrate:up", repository.text(path), re.MULTILINE)
        if found:
            place = folder_of(path)
            where = Where(path, line_at(repository.text(path), found.start()))
            url = Fact("DATABASE_URL", where, "likely")  # its own default
            settings = {"files": Fact(place, Where(place))}
            yield Draft(
                Fact("dbmate", where),
                manifests.home(place),
                Fact("migrate", Where(place)),
                url=url,
                settings=settings,
                sql=(place, _dump_beside(place)),
            )
            return


def _rails(repository: Repository) -> Iterator[Draft]:
    for path in repository.named("database.yml"):
        folder = folder_of(folder_of(path))
        gemfile = posixpath.normpath(f"{folder}/Gemfile")
        adapter = _property(repository, path, "adapter")
        if not repository.has(gemfile) or not re.search(
            r"^[ \t]*gem\s+[\"']rails[\"']", repository.text(gemfile), re.MULTILINE
        ):
            continue
        postgres = re.search(r"^[ \t]*gem\s+[\"']pg[\"']", repository.text(gemfile), re.MULTILINE)
        if adapter and not adapter.value.startswith(("postgres", "postgis", "<%")) and not postgres:
            repository.note(path, f"rails is used with {adapter.value}", adapter.where.line)
            continue
        text = repository.text(path)
        named = re.search(r"ENV(?:\.fetch\(|\[)\s*[\"'](\w*(?:URL|URI))[\"']", text)
        url = (
            Fact(named[1], Where(path, line_at(text, named.start())))
            if named
            else Fact("DATABASE_URL", Where(path), "likely")
        )
        seeds = joined(folder, "db/seeds.rb")
        yield Draft(
            tool=Fact("rails", adapter.where if adapter else Where(path), "certain" if adapter else "likely"),
            folder=folder,
            way=Fact("migrate", Where(posixpath.normpath(f"{folder}/db"))),
            url=url,
            sql=(posixpath.normpath(f"{folder}/db"),),
            seed=Fact("bin/rails db:seed", Where(seeds)) if seeds and repository.text(seeds).strip() else None,
        )


def sql_drafts(
    repository: Repository, manifests: Manifests, databases: Sequence[Placed], taken: Sequence[str]
) -> Iterator[Draft]:
    """SQL that the database runs when its volume is empty, and SQL that nobody runs. `taken`: others' folders."""
    claimed = list(taken)
    for placed in databases:
        for mount in placed.described.mounts:
            if mount.target.startswith(_INIT):
                claimed.append(mount.source)
                tables = _with_tables(repository, mount.source, [])
                if tables:
                    folder = mount.source if not repository.has(mount.source) else folder_of(mount.source)
                    yield Draft(
                        tool=Fact("sql", tables, "certain"),
                        folder=folder,
                        way=Fact("at start", mount.where),
                        settings={"files": Fact(mount.source, mount.where)},
                        service=Fact(placed.name, mount.where),
                    )
    places = {folder_of(path) for path in repository.below(".", ".sql")}
    for place in sorted((each for each in places if posixpath.basename(each) in _SQL_FOLDERS), key=by_depth):
        tables = _with_tables(repository, place, claimed)
        if tables and not _is_elsewhere(repository, place):
            claimed.append(place)
            yield Draft(
                Fact("sql", tables, "guess"), manifests.home(place), settings={"files": Fact(place, Where(place))}
            )


def _with_tables(repository: Repository, place: str, claimed: Sequence[str]) -> Where | None:
    """The first statement there that makes a table."""
    paths = [place] if repository.has(place) else repository.below(place, ".sql")
    for path in paths[:_MOST_READ]:
        if not any(is_within(path, other) for other in claimed):
            text = repository.text(path)
            if found := _CREATES.search(text):
                return Where(path, line_at(text, found.end()))
    return None
