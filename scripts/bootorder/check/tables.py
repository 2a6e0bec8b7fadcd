"""The tables that each owner makes, as far as its sources and its last rehearsal say; and those that two want."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from ..detect.documents import script_without_comments, without_comment_lines
from ..detect.files import folder_of, is_within, line_at
from ..detect.findings import Owner, Where
from ..migrators.models_check import Class, Module, last_name, value
from ..terminal import listed
from .looking import MOST_LISTED, Check, Seen, Stack

_MOST_FILES = 500  # of an owner
_QUOTED = r"[\"'`]([^\"'`$\n]{1,63})[\"'`]"
# No other schema is named before the next operation or function.
_IN_PUBLIC = r"(?!(?:(?!\bop\.|\bdef\s)[\s\S]){0,5000}?[\s,]schema\s*=)"
_SQL_NAME = r"(?:(?:public|\"public\")\.)?\"?(\w{1,63}+)\"?+(?!\"?\s*\.)"
_CREATED = re.compile(rf"^\s*create\s+table\s+(?:if\s+not\s+exists\s+)?{_SQL_NAME}", re.IGNORECASE | re.MULTILINE)
# Of each tool: a word that its files have, and what names a table.
_IN_SOURCES = {
    "drizzle": ("pgTable(", re.compile(rf"\bpgTable\(\s*{_QUOTED}")),
    "knex": ("createTable", re.compile(rf"\.createTable(?:IfNotExists)?\(\s*{_QUOTED}")),
    "sequelize": ("createTable", re.compile(rf"\.createTable\(\s*{_QUOTED}")),
    "typeorm": ("@Entity(", re.compile(rf"@Entity\(\s*(?:\{{\s*name:\s*)?{_QUOTED}")),
    "mikro-orm": ("@Entity(", re.compile(rf"@Entity\(\s*\{{\s*tableName:\s*{_QUOTED}")),
    "alembic": ("create_table", re.compile(rf"\bcreate_table\(\s*{_QUOTED}{_IN_PUBLIC}")),
    "rails": ("create_table", re.compile(r"^\s*create_table\s*\(?\s*[:\"'](\w+)", re.MULTILINE)),
}
_MODELS = ("__tablename__", "table=True")
_DJANGO_BASES = {"Model", "AbstractUser", "AbstractBaseUser"}
_IN_SQL = {"flyway", "golang-migrate", "dbmate", "sql", "liquibase"}
_PRISMA_MODEL = re.compile(r"^model\s+(\w+)\s*\{([^}]*)\}", re.MULTILINE)
_PRISMA_NAME = re.compile(r"@@map\(\s*(?:name:\s*)?\"([^\"]+)\"")
_PRISMA_SCHEMA = re.compile(r"@@schema\(\s*\"(?!public\")")
# Where a tool notes what it has run; what is set to another name is not looked up.
_HISTORY = {
    "prisma": "_prisma_migrations",
    "alembic": "alembic_version",
    "django": "django_migrations",
    "rails": "schema_migrations",
    "golang-migrate": "schema_migrations",
    "dbmate": "schema_migrations",
    "knex": "knex_migrations",
    "sequelize": "SequelizeMeta",
    "typeorm": "migrations",
    "mikro-orm": "mikro_orm_migrations",
    "flyway": "flyway_schema_history",
    "liquibase": "databasechangelog",
}
_OTHER_HISTORY = re.compile(
    r"migrationsTableName|migrationStorageTableName|migrations\s*:\s*\{[^}]*tableName|x-migrations-table|flyway\.table"
    r"|DBMATE_MIGRATIONS_TABLE|schemaHistoryTable"
)


def tables_of(stack: Stack, owner: Owner) -> Mapping[str, Where]:
    """Names in `public`, each with the place that says so."""
    found: dict[str, Where] = {}
    for name, where in (*_in_sources(stack, owner), *_history(stack, owner), *_rehearsed(stack, owner)):
        found.setdefault(name, where)
    return found


def _in_sources(stack: Stack, owner: Owner) -> Iterator[tuple[str, Where]]:
    tool = owner.tool.value
    if tool in _IN_SOURCES:
        word, pattern = _IN_SOURCES[tool]
        for path in _files(stack, owner, word):
            is_script = not path.endswith((".py", ".rb"))
            without_comments = script_without_comments if is_script else without_comment_lines
            yield from _matches(pattern, without_comments(stack.repository.text(path)), path)
    elif tool in {"sqlmodel", "sqlalchemy", "django"}:
        read = _of_django if tool == "django" else _of_sqlalchemy
        for path in _files_with_models(stack, owner):
            yield from ((name, Where(path, each.line)) for name, each in read(stack.repository.text(path), path))
    elif tool == "prisma":
        for path in stack.repository.below(folder_of(owner.tool.where.file), ".prisma"):
            yield from _of_prisma(stack.repository.text(path), path)
    elif tool in _IN_SQL and "files" in owner.settings:
        place = owner.settings["files"].value
        paths = [place] if stack.repository.has(place) else stack.repository.below(place, ".sql")
        for path in paths[:_MOST_FILES]:
            yield from _matches(_CREATED, stack.repository.text(path), path)


def _files(stack: Stack, owner: Owner, word: str) -> Sequence[str]:
    return sources_of(stack, owner, stack.looked.sources.with_word(word, owner.folder))[:_MOST_FILES]


def sources_of(stack: Stack, owner: Owner, paths: Sequence[str]) -> list[str]:
    """Those of these files that are not of an owner within its folder."""
    within = {each.folder for each in stack.looked.found.owners if each.folder != owner.folder}
    others = [folder for folder in within if is_within(folder, owner.folder)]
    return [path for path in paths if not any(is_within(path, other) for other in others)]


def _matches(pattern: re.Pattern[str], text: str, path: str) -> Iterator[tuple[str, Where]]:
    return ((found[1], Where(path, line_at(text, found.start(1)))) for found in pattern.finditer(text))


def _files_with_models(stack: Stack, owner: Owner) -> Sequence[str]:
    if owner.tool.value != "django":
        return list(dict.fromkeys(path for word in _MODELS for path in _files(stack, owner, word)))
    paths = sources_of(stack, owner, stack.repository.below(owner.folder, ".py"))
    return [path for path in paths if path.endswith("/models.py") or "/models/" in path][:_MOST_FILES]


def _of_sqlalchemy(text: str, path: str) -> Iterator[tuple[str, Class]]:
    """Classes with the name of a table; of SQLModel it follows from theirs."""
    module = module_of(text, path)
    for each in module.classes.values() if module else ():
        name = each.assigned.get("__tablename__")
        said = value(name) if name else each.name.lower() if each.table is True else None
        if isinstance(said, str) and not each.is_abstract and not _is_elsewhere(each):
            yield said, each


def _of_django(text: str, path: str) -> Iterator[tuple[str, Class]]:
    """Its models; the name follows from the folder of the app, where they say none."""
    module = module_of(text, path)
    app = path.rpartition("/models")[0].rpartition("/")[2]
    for name, each in module.classes.items() if module else ():
        meta = module.classes[f"{name}.Meta"].assigned if module and f"{name}.Meta" in module.classes else {}
        bases = {last_name(base) for base in each.bases}
        if bases & _DJANGO_BASES and not {"abstract", "proxy", "app_label"} & set(meta):
            said = value(meta.get("db_table"))
            yield (said if isinstance(said, str) else f"{app}_{name.lower()}"), each


def _is_elsewhere(model: Class) -> bool:
    """In another schema."""
    arguments = model.assigned.get("__table_args__")
    return arguments is not None and "schema" in ast.dump(arguments)


def module_of(text: str, path: str) -> Module | None:
    """Nothing where Python cannot read it."""
    parts = tuple(path.removesuffix(".py").split("/"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its author is told by Python is not for here
            return Module(Path(path), parts[:-1] if parts[-1] == "__init__" else parts, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _of_prisma(text: str, path: str) -> Iterator[tuple[str, Where]]:
    for model in _PRISMA_MODEL.finditer(text):
        if not _PRISMA_SCHEMA.search(model[2]):
            name = _PRISMA_NAME.search(model[2])
            yield name[1] if name else model[1], Where(path, line_at(text, model.start()))


def _history(stack: Stack, owner: Owner) -> Iterator[tuple[str, Where]]:
    """The table in which a tool that runs migrations notes them; two of one kind take the other's for theirs."""
    said = owner.settings.get("version_table") or owner.settings.get("table")
    if said and "version_table_schema" not in owner.settings:
        yield said.value, said.where
    elif owner.tool.value in _HISTORY and owner.way and owner.way.value == "migrate":
        text = stack.repository.text(owner.tool.where.file)
        if not _OTHER_HISTORY.search(text) and "version_table_schema" not in owner.settings:
            yield _HISTORY[owner.tool.value], owner.tool.where


def _rehearsed(stack: Stack, owner: Owner) -> Iterator[tuple[str, Where]]:
    """What its tool made on an empty database, where it has been rehearsed here."""
    settings = stack.settings.owners if stack.settings else {}
    service = owner.service.value if owner.service else ""
    names = [owner.name.value] if owner.name.value in settings else []
    names = names or [name for name, its in settings.items() if its.service == service]
    for name in names[:1]:
        yield from ((table, owner.tool.where) for table in rehearsed_tables(stack.root, name))


def rehearsed_tables(root: Path, owner: str) -> Sequence[str]:
    """In `public`."""
    from ..boot import STATE_FOLDER
    from ..catalog import Catalog
    from ..owners import rehearsal_file

    try:
        kept = json.loads(rehearsal_file(root / STATE_FOLDER, owner).read_text(encoding="utf-8"))
        return [name for schema, name in Catalog.from_data(kept["catalog"]).tables() if schema == "public"]
    except (OSError, ValueError, TypeError, LookupError):
        return []


def _twice(stack: Stack) -> Iterator[Seen]:
    owners = [owner for owner in stack.looked.found.owners if owner.tool.sure != "guess"]
    for one, other in combinations(owners, 2):
        if stack.are_together(one, other):
            mine, its = tables_of(stack, one), tables_of(stack, other)
            both = [name for name in its if name in mine]
            if both:
                names = f"{one.name.value} and {other.name.value}"
                yield Seen(
                    its[both[0]], f"{names} both make {listed(both, MOST_LISTED)} (the first one: {mine[both[0]]})"
                )


CHECKS = (
    Check(
        "same-table-twice",
        "rename one of them, or give each owner a schema of its own: `layout: schemas`",
        _twice,
    ),
)
