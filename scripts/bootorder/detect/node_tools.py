"""Drizzle, Prisma, TypeORM, Sequelize, MikroORM and Knex, by their configuration."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .documents import script_without_comments
from .files import Repository, folder_of, is_within, joined, line_at
from .findings import Fact, Where
from .manifests import Manifests, NodePackage
from .searching import Sources
from .tools import Draft
from .urls import NAME

_SCRIPT = r"\.(?:ts|js|mts|mjs|cts|cjs)"
_POSTGRES = {"postgresql", "postgres", "pg", "pglite", "aws-data-api"}
_OTHERS = {"mysql": "MySQL", "mysql2": "MySQL", "mariadb": "MariaDB", "sqlite": "SQLite", "sqlite3": "SQLite"}
_OTHERS |= {"better-sqlite": "SQLite", "better-sqlite3": "SQLite", "turso": "SQLite", "libsql": "SQLite"}
_OTHERS |= {"singlestore": "SingleStore", "mssql": "SQL Server", "sqlserver": "SQL Server", "mongodb": "MongoDB"}
_OTHERS |= {"cockroachdb": "CockroachDB", "d1-http": "SQLite", "gel": "Gel", "oracle": "Oracle", "db2": "Db2"}
_VARIABLE = re.compile(
    r"(?:process\.env|Bun\.env|import\.meta\.env|\benv)(?:\.([A-Za-z_]\w*)|\[\s*[\"'](\w+)[\"']\s*\])"
    r"|\b(?:env|getOrThrow|get)(?:<\w+>)?\(\s*[\"'](\w+)[\"']"
)


def node_drafts(repository: Repository, manifests: Manifests, sources: Sources) -> Iterator[Draft]:
    for make in (_drizzle, _prisma, _typeorm, _sequelize, _mikro_orm, _knex):
        yield from make(_Looking(repository, manifests, sources))


@dataclass(frozen=True)
class _Looking:
    repository: Repository
    manifests: Manifests
    sources: Sources

    def config(self, path: str) -> _Config:
        return _Config(path, script_without_comments(self.repository.text(path)))

    def package_of(self, path: str) -> NodePackage:
        return self.manifests.nearest_package(folder_of(path))

    def is_postgres(self, tool: str, dialect: Fact | None) -> bool:
        """Says so where it is another database."""
        other = _OTHERS.get(dialect.value) if dialect else None
        if dialect and other:
            text = f"{tool} is used with {other}"
            self.repository.note(dialect.where.file, text, dialect.where.line)
        return not other

    def has_sql(self, folder: str, *endings: str) -> bool:
        return bool(self.repository.below(folder, *(endings or (".sql",))))


@dataclass(frozen=True)
class _Config:
    """A program that says settings. There is no parser for it: what is no literal is less sure."""

    path: str
    text: str

    def said(self, *keys: str) -> Fact | None:
        """The value of the first of these keys that is there: a text, a list of texts, or the expression itself."""
        for key in keys:
            found = re.search(rf"(?<![\w.$])[\"']?{key}[\"']?\s*:\s*", self.text)
            if found:
                return self._value(found.end())
        return None

    def _value(self, offset: int) -> Fact:
        where = Where(self.path, line_at(self.text, offset))
        rest = self.text[offset : offset + 1000]
        if text := re.match(r"([\"'`])((?:(?!\1)[^\\\n$]|\\.)*)\1\s*[,}\n]", rest):
            return Fact(text[2], where)
        if (texts := re.match(r"\[([^\]\[]*)\]", rest)) and not re.sub(r"[\"'`][^\"'`]*[\"'`]|[\s,]", "", texts[1]):
            return Fact(", ".join(re.findall(r"[\"'`]([^\"'`]*)[\"'`]", texts[1])), where)
        if word := re.match(r"(true|false|\d+)\b\s*[,}\n]", rest):
            return Fact(word[1], where)
        return Fact(_expression(rest), where, "likely")

    @cached_property
    def url(self) -> Fact | None:
        """The environment variable with the URL."""
        found = [(next(filter(None, match.groups())), match.start()) for match in _VARIABLE.finditer(self.text)]
        named = [pair for pair in found if NAME.fullmatch(pair[0])]
        return Fact(named[0][0], Where(self.path, line_at(self.text, named[0][1]))) if named else None

    def settings(self, **keys: str) -> dict[str, Fact]:
        found = {name: self.said(key) for name, key in keys.items()}
        return {name: fact for name, fact in found.items() if fact}


def _expression(text: str) -> str:
    """Up to the comma that ends it."""
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0 or (letter in ",\n" and not depth):
            return " ".join(text[:index].split())[:100]
    return " ".join(text.split())[:100]


def _dialect_of(package: NodePackage, where: Where) -> Fact | None:
    """By the driver that is installed, where only one is."""
    drivers = {"pg": "postgresql", "postgres": "postgresql", "@neondatabase/serverless": "postgresql"}
    drivers |= {
        "mysql2": "mysql",
        "mysql": "mysql",
        "better-sqlite3": "sqlite",
        "@libsql/client": "sqlite",
        "sqlite3": "sqlite",
    }
    found = {drivers[name] for name in drivers if name in package.needs}
    return Fact(found.pop(), where, "likely") if len(found) == 1 else None


def _tool(name: str, path: str, dialect: Fact | None) -> Fact:
    """It is configured in this file, and is as sure as that it speaks to PostgreSQL."""
    return Fact(name, dialect.where, dialect.sure) if dialect else Fact(name, Where(path), "guess")


def _drizzle(look: _Looking) -> Iterator[Draft]:
    folders = set()
    for path in look.repository.like(rf"drizzle(?:[.\-]\w+)?\.config(?:\.\w+)?(?:{_SCRIPT}|\.json)"):
        config, package = look.config(path), look.package_of(path)
        folder = look.manifests.home(path)
        dialect = config.said("dialect", "driver") or _dialect_of(package, Where(path))
        if folder in folders or not look.is_postgres("drizzle", dialect):
            continue
        folders.add(folder)
        settings = config.settings(
            schema="schema",
            out="out",
            tables_filter="tablesFilter",
            schema_filter="schemaFilter",
            extensions_filters="extensionsFilters",
        )
        out = joined(folder, settings["out"].value if "out" in settings else "drizzle")
        migrations = out and look.has_sql(out)
        way = Fact("migrate", Where(out), "likely") if out and migrations else Fact("push", Where(path), "guess")
        if dialect and dialect.value not in _POSTGRES:
            dialect = dialect.at_most("guess")
        tool = _tool("drizzle", path, dialect)
        sql = (out,) if out else ()
        yield Draft(tool, folder, way, None, config.url, settings, sql, programs=_migrators(look, folder))


def _migrators(look: _Looking, folder: str) -> tuple[str, ...]:
    """Programs that run drizzle's migrations by themselves."""
    paths = look.sources.with_word("/migrator", folder)
    return tuple(path for path in paths if re.search(r"drizzle-orm/[\w\-/]+/migrator", look.repository.text(path)))


_DATASOURCE = re.compile(r"^[ \t]*datasource\s+\w+\s*\{([^}]{0,4000})\}", re.MULTILINE)
_PROVIDER = re.compile(r"^[ \t]*provider\s*=\s*\"([\w\-]+)\"", re.MULTILINE)
_PRISMA_SCHEMAS = re.compile(r"^[ \t]*schemas\s*=\s*\[([^\]\n]*)\]", re.MULTILINE)
_PRISMA_DIRECT = re.compile(r"^[ \t]*directUrl\s*=\s*env\(\s*\"(\w+)\"\s*\)", re.MULTILINE)
_PRISMA_URL = re.compile(r"^[ \t]*url\s*=\s*env\(\s*\"(\w+)\"\s*\)", re.MULTILINE)


def _prisma(look: _Looking) -> Iterator[Draft]:
    for path in look.repository.below(".", ".prisma"):
        text = look.repository.text(path)
        source = _DATASOURCE.search(text)
        if not source:
            continue
        provider = _PROVIDER.search(source[1])
        where = Where(path, line_at(text, source.start(1) + (provider.start(1) if provider else 0)))
        dialect = Fact(provider[1], where) if provider else None
        if not look.is_postgres("prisma", dialect):
            continue
        package = look.package_of(path)
        home = look.manifests.home(path)
        configs = [each for each in look.repository.like(rf"prisma\.config{_SCRIPT}") if folder_of(each) == home]
        config = look.config(configs[0]) if configs else _Config("", "")
        url = _PRISMA_URL.search(source[1])
        url_fact = Fact(url[1], Where(path, line_at(text, source.start(1) + url.start(1)))) if url else config.url
        settings = _prisma_settings(look, path, home, package, config)
        if direct := _PRISMA_DIRECT.search(source[1]):
            settings["direct_url"] = Fact(direct[1], Where(path, line_at(text, source.start(1) + direct.start(1))))
        if schemas := _PRISMA_SCHEMAS.search(source[1]):
            line = line_at(text, source.start(1) + schemas.start(1))
            settings["schemas"] = Fact(", ".join(re.findall(r"\"([^\"]*)\"", schemas[1])), Where(path, line))
        yield Draft(
            _tool("prisma", path, dialect),
            home,
            _prisma_way(look, path, home, config),
            url=url_fact,
            settings=settings,
            sql=(posixpath.normpath(posixpath.join(folder_of(path), "migrations")),),
            seed=_prisma_seed(home, package, config),
        )


def _prisma_way(look: _Looking, path: str, home: str, config: _Config) -> Fact:
    folder = folder_of(path)
    said = config.said("path") if "migrations" in config.text else None
    places = [joined(home, said.value)] if said else []
    places += [joined(folder, "migrations"), joined(folder, "../migrations")]
    for place in filter(None, places):
        if is_within(place, home) and look.has_sql(place):
            return Fact("migrate", Where(place), "likely")
    return Fact("push", Where(path), "guess")


def _prisma_settings(look: _Looking, path: str, home: str, package: NodePackage, config: _Config) -> dict[str, Fact]:
    """`schema`: the file, or the folder where there are several."""
    in_package = package.data.get("prisma")
    said = in_package.get("schema") if isinstance(in_package, dict) and package.folder == home else None
    if isinstance(said, str):
        return {"schema": Fact(said, package.where_of("prisma", "schema"))}
    if fact := config.said("schema"):
        return {"schema": fact}
    folder = folder_of(path)
    several = len(look.repository.below(folder, ".prisma")) > 1
    relative = posixpath.relpath(folder if several else path, home)
    return {"schema": Fact(relative, Where(path), "likely" if several else "certain")}


def _prisma_seed(home: str, package: NodePackage, config: _Config) -> Fact | None:
    in_package = package.data.get("prisma")
    if package.folder == home and isinstance(in_package, dict) and isinstance(in_package.get("seed"), str):
        return Fact("prisma db seed", package.where_of("prisma", "seed"))
    seed = config.said("seed")
    return Fact("prisma db seed", seed.where) if seed else None


def _in_sources(
    look: _Looking, package: NodePackage, words: Sequence[str], pattern: re.Pattern[str]
) -> Iterator[_Config]:
    """Sources of this package in which it is configured, from there on."""
    for path in dict.fromkeys(path for word in words for path in look.sources.with_word(word, package.folder)):
        if look.package_of(path) is package and not path.endswith(".d.ts"):
            text = script_without_comments(look.repository.text(path))
            found = pattern.search(text)
            if found:
                # what stands before is no setting of it, but its line ends count
                yield _Config(path, "\n" * text.count("\n", 0, found.start()) + text[found.start() :])


def _with(look: _Looking, *names: str) -> Iterator[NodePackage]:
    return (package for package in look.manifests.packages.values() if any(name in package.needs for name in names))


def _typeorm(look: _Looking) -> Iterator[Draft]:
    pattern = re.compile(
        r"new\s+DataSource\(|TypeOrmModule\.forRoot(?:Async)?\(|:\s*(?:DataSource|TypeOrmModule)Options\s*=\s*\{"
    )
    for package in _with(look, "typeorm", "@nestjs/typeorm"):
        configs = list(_in_sources(look, package, ("DataSource(", "TypeOrmModule"), pattern))
        path = joined(package.folder, "ormconfig.json")
        configs += [_Config(path, look.repository.text(path))] if path and look.repository.has(path) else []
        with_type = [config for config in configs if config.said("type")] or configs
        if not with_type:
            continue
        dialect = with_type[0].said("type") or _dialect_of(package, Where(with_type[0].path))
        if not look.is_postgres("typeorm", dialect):
            continue
        settings: dict[str, Fact] = {}
        for config in with_type:
            settings = {
                **config.settings(synchronize="synchronize", migrations="migrations", runs="migrationsRun"),
                **settings,
            }
        runs = settings.pop("runs", None)
        migrations = settings.get("migrations")
        switches = [each for each in (settings.get("synchronize"), runs) if each and each.value != "false"]
        # one that is an expression is off where there are migrations
        at_start = next((each for each in switches if each.value == "true" or not migrations), None)
        way = Fact("at start", at_start.where, at_start.sure) if at_start else None
        way = way or (Fact("migrate", migrations.where, "likely") if migrations else None)
        url = next((config.url for config in with_type if config.url), None)
        yield Draft(_tool("typeorm", with_type[0].path, dialect), package.folder, way, url=url, settings=settings)


def _sequelize(look: _Looking) -> Iterator[Draft]:
    pattern = re.compile(r"new\s+Sequelize\(|SequelizeModule\.forRoot(?:Async)?\(")
    for package in _with(look, "sequelize", "sequelize-typescript", "@sequelize/core"):
        paths = [
            path
            for path in look.repository.like(rf"(?:config|database)(?:{_SCRIPT}|\.json)")
            if look.package_of(path) is package
        ]
        configs = [config for path in paths if (config := look.config(path)).said("dialect")]
        configs += _in_sources(look, package, ("sequelize",), pattern)
        if not configs:
            continue
        dialect = next((fact for config in configs if (fact := config.said("dialect"))), None)
        dialect = dialect or _dialect_of(package, Where(configs[0].path))
        if not look.is_postgres("sequelize", dialect):
            continue
        folder = next(
            (
                each
                for name in ("migrations", "src/migrations", "db/migrations", "database/migrations")
                if (each := joined(package.folder, name)) and look.has_sql(each, ".js", ".ts", ".cjs")
            ),
            "",
        )
        synced = next(_in_sources(look, package, ("sequelize",), re.compile(r"\bsequelize\w*\.sync\(")), None)
        way = Fact("migrate", Where(folder), "likely") if folder else None
        if synced and not folder:
            way = Fact("at start", Where(synced.path, len(synced.text) - len(synced.text.lstrip("\n")) + 1), "likely")
        named = next((fact for config in configs if (fact := config.said("use_env_variable"))), None)
        url = named or next((config.url for config in configs if config.url), None)
        yield Draft(_tool("sequelize", configs[0].path, dialect), package.folder, way, url=url)


def _mikro_orm(look: _Looking) -> Iterator[Draft]:
    for path in look.repository.like(rf"mikro-orm(?:\.\w+)?(?:\.config)?{_SCRIPT}"):
        config, package = look.config(path), look.package_of(path)
        driver = re.search(
            r"@mikro-orm/(postgresql|mysql|mariadb|sqlite|better-sqlite|libsql|mongodb|mssql)\b", config.text
        )
        dialect = Fact(driver[1], Where(path, line_at(config.text, driver.start()))) if driver else config.said("type")
        dialect = dialect or _dialect_of(package, Where(path))
        if not look.is_postgres("mikro-orm", dialect):
            continue
        migrations = joined(package.folder, "migrations")
        sources = [
            place
            for place in (migrations, joined(package.folder, "src/migrations"))
            if place and look.has_sql(place, ".ts", ".js")
        ]
        way = Fact("migrate", Where(sources[0]), "likely") if sources else Fact("push", Where(path), "guess")
        settings = config.settings(schema="schema", ignore_schema="ignoreSchema", entities="entities")
        yield Draft(
            _tool("mikro-orm", path, dialect),
            package.folder,
            way,
            url=config.url,
            settings=settings,
        )


def _knex(look: _Looking) -> Iterator[Draft]:
    for path in look.repository.like(rf"knexfile{_SCRIPT}"):
        config, package = look.config(path), look.package_of(path)
        dialect = config.said("client") or _dialect_of(package, Where(path))
        if look.is_postgres("knex", dialect):
            way = Fact("migrate", Where(path), "likely")
            settings = config.settings(directory="directory", table="tableName")
            yield Draft(
                _tool("knex", path, dialect),
                package.folder,
                way,
                url=config.url,
                settings=settings,
            )
