"""Alembic, SQLModel and SQLAlchemy, and Django, by their files and sources."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from .documents import without_comment_lines
from .files import Repository, folder_of, is_within, joined, line_at
from .findings import Fact, Where
from .manifests import Manifests
from .searching import Sources
from .tools import Draft
from .urls import NAME, url_of

_VARIABLE = re.compile(
    r"(?:environ(?:\.get\(|\[)|getenv\(|\benv(?:\.\w+)?\(|\bconfig\()\s*[\"'](\w+)[\"']|\bsettings\.([A-Za-z_]\w*)"
)


def python_drafts(repository: Repository, manifests: Manifests, sources: Sources) -> Iterator[Draft]:
    yield from _alembic(repository, manifests)
    yield from _create_all(repository, manifests, sources)
    yield from _django(repository, manifests)


def _url_in(text: str, path: str) -> Fact | None:
    """The variable with the URL; one that a settings object holds is called after it, most often."""
    for match in _VARIABLE.finditer(text):
        name = (match[1] or match[2]).upper()
        if NAME.fullmatch(name):
            return Fact(name, Where(path, line_at(text, match.start())), "certain" if match[1] else "likely")
    return None


def _said_in_ini(text: str, path: str, key: str) -> Fact | None:
    found = re.search(rf"^{re.escape(key)}[ \t]*=[ \t]*(\S[^\n]*)", text, re.MULTILINE)
    return Fact(found[1].strip().strip("\"'"), Where(path, line_at(text, found.start()))) if found else None


# -- Alembic -----------------------------------------------------------------------------------------------------------

_ENV_SETTINGS = {
    "version_table": r"\bversion_table\s*=\s*[\"']([\w.]+)[\"']",
    "version_table_schema": r"\bversion_table_schema\s*=\s*([^\s,)]+)",
    "include_name": r"\binclude_name\s*=\s*([\w.]+)",
    "include_object": r"\binclude_object\s*=\s*([\w.]+)",
    "include_schemas": r"\binclude_schemas\s*=\s*(\w+)",
}


def _alembic(repository: Repository, manifests: Manifests) -> Iterator[Draft]:
    for path in repository.named("alembic.ini", "pyproject.toml"):
        text = repository.text(path)
        if path.endswith(".toml"):
            table = re.search(r"^\[tool\.alembic\]", text, re.MULTILINE)
            if not table or repository.has(posixpath.normpath(f"{folder_of(path)}/alembic.ini")):
                continue
            # what stands before is another table, but its line ends count
            text = "\n" * text.count("\n", 0, table.start()) + text[table.start() :]
        location = _said_in_ini(text, path, "script_location")
        url = _said_in_ini(text, path, "sqlalchemy.url")
        known = url_of(url.value) if url else None
        if url and known and known.kind != "PostgreSQL":
            repository.note(path, f"alembic is used with {known.kind}", url.where.line)
            continue
        yield _of_alembic(repository, manifests, path, location)


def _of_alembic(repository: Repository, manifests: Manifests, path: str, location: Fact | None) -> Draft:
    scripts = _scripts(repository, path, location.value if location else "")
    env = posixpath.join(scripts, "env.py")
    text = without_comment_lines(repository.text(env))
    settings = {"scripts": Fact(scripts, location.where if location else Where(path))}
    for name, pattern in _ENV_SETTINGS.items():
        if found := re.search(pattern, text):
            settings[name] = Fact(found[1].strip("\"'"), Where(env, line_at(text, found.start())))
    home = manifests.home(path)
    _, needs = manifests.nearest_python(home)
    flask = "flask-migrate" in needs and scripts == folder_of(path)
    command = Fact("flask db upgrade", needs["flask-migrate"].where, "likely") if flask else None
    return Draft(
        tool=Fact("alembic", location.where if location else Where(path)),
        folder=home,
        way=Fact("migrate", Where(scripts)),
        command=command,
        url=_url_in(text, env),
        settings=settings,
        sql=(scripts,),
    )


def _scripts(repository: Repository, path: str, location: str) -> str:
    """The folder with env.py: as it stands there, as a package, or beside the file (Flask-Migrate)."""
    folder = folder_of(path)
    plain = re.sub(r"^%\(here\)s/?", "", location)
    for name in (plain, plain.replace(":", "/").replace(".", "/"), "", "alembic", "migrations"):
        place = joined(folder, name or ".")
        if place and repository.has(posixpath.normpath(f"{place}/env.py")):
            return place
    return joined(folder, plain or "alembic") or folder


# -- create_all --------------------------------------------------------------------------------------------------------

_CREATES = re.compile(r"(?<![\w.])([\w.]{1,200})\.create_all\b")
_OTHER_URL = re.compile(r"[\"']((?:sqlite|mysql|mariadb|mssql)(?:\+\w+)?://)")
_DEF = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
_STARTS = re.compile(r"\blifespan\b|on_event|\bstartup\b|\bFastAPI\(|\bFlask\(|\bLitestar\(|\bcreate_app\b")


def _create_all(repository: Repository, manifests: Manifests, sources: Sources) -> Iterator[Draft]:
    """One for each folder with Python: the call that is nearest to a start of the app."""
    found: dict[str, list[Draft]] = {}
    for path in sources.with_word("create_all", "."):
        text = without_comment_lines(repository.text(path))
        call = _CREATES.search(text)
        if call and _is_the_apps(manifests, path, text) and not _is_other(repository, path, text):
            draft = _of_create_all(repository, manifests, sources, path, text, call)
            found.setdefault(draft.folder, []).append(draft)
    for drafts in found.values():
        yield min(
            drafts, key=lambda draft: (draft.tool.sure != "certain", draft.tool.sure != "likely", draft.command is None)
        )


def _is_the_apps(manifests: Manifests, path: str, text: str) -> bool:
    """No test, nor Alembic's, nor a program that only mentions SQLAlchemy."""
    name = posixpath.basename(path)
    _, needs = manifests.nearest_python(folder_of(path))
    has_it = not needs or any("sqlalchemy" in needed or needed == "sqlmodel" for needed in needs)
    is_alembic = name == "env.py" and "alembic" in text
    return has_it and not is_alembic and name != "conftest.py" and not name.startswith("test_")


def _is_other(repository: Repository, path: str, text: str) -> bool:
    """Its engine is of another database, whatever is in the environment."""
    found = _OTHER_URL.search(text)
    known = url_of(found[1]) if found else None
    if not found or not known or "postgres" in text or _VARIABLE.search(text):
        return False
    repository.note(path, f"create_all is used with {known.kind}", line_at(text, found.start()))
    return True


def _of_create_all(
    repository: Repository, manifests: Manifests, sources: Sources, path: str, text: str, call: re.Match[str]
) -> Draft:
    folder, needs = manifests.nearest_python(folder_of(path))
    is_sqlmodel = "SQLModel" in call[1] or ("sqlmodel" in needs and "sqlmodel" in text.lower())
    where = Where(path, line_at(text, call.start()))
    function = _function_around(text, call.start())
    starts = _starts(repository, sources, folder, path, function, call.start())
    way = Fact("at start", starts or where, "certain" if starts else "guess" if function else "likely")
    return Draft(
        tool=Fact("sqlmodel" if is_sqlmodel else "sqlalchemy", where, "certain" if starts else "likely"),
        folder=folder,
        way=way,
        command=_module(path, folder, text) or _called(path, folder, text, function, starts),
        url=_url_in(text, path),
    )


def _function_around(text: str, offset: int) -> str:
    """The name of the function that this stands in; nothing at the top of a module, also below an `if`."""
    lines = text[:offset].split("\n")
    indent = len(lines[-1]) - len(lines[-1].lstrip())
    for line in reversed(lines[:-1]):
        own = len(line) - len(line.lstrip())
        if line.strip() and own < indent:
            indent = own
            if found := _DEF.match(line):
                return found[1]
    return ""


def _starts(
    repository: Repository, sources: Sources, folder: str, path: str, function: str, offset: int
) -> Where | None:
    """Where the app calls it when it starts: there, or where the function is called that it stands in."""
    text = without_comment_lines(repository.text(path))
    is_main = bool(re.search(r"^if __name__", text[:offset], re.MULTILINE)) and not function
    starting = [each for word in ("lifespan", "on_event") for each in sources.with_word(word, folder)]
    for each in dict.fromkeys((path, *starting, *_mains(repository, folder))):
        source = without_comment_lines(repository.text(each))
        if not _STARTS.search(source):
            continue
        if each == path and not is_main and (not function or re.search(r"lifespan|startup|create_app", function)):
            return Where(path, line_at(text, offset))
        called = re.search(rf"(?<!def )\b{re.escape(function)}\(", source) if function else None
        if called:
            return Where(each, line_at(source, called.start()))
    return None


def _mains(repository: Repository, folder: str) -> list[str]:
    return [
        path
        for path in repository.named("main.py", "app.py", "__init__.py", "wsgi.py", "asgi.py")
        if is_within(path, folder)
    ]


def _module(path: str, folder: str, text: str) -> Fact | None:
    """`python -m MODULE`, where the file is meant to be run and is not the app itself."""
    main = re.search(r"^if __name__ == [\"']__main__[\"']", text, re.MULTILINE)
    if not main or re.search(r"uvicorn\.run|app\.run\(|\bcli\b|\bclick\b|\btyper\b|\bargparse\b", text):
        return None
    return Fact(f"python -m {_dotted(path, folder)}", Where(path, line_at(text, main.start())), "likely")


def _called(path: str, folder: str, text: str, function: str, starts: Where | None) -> Fact | None:
    """What the app does at its start, done by itself: the function is called, or the app is started and ended at once.

    The app's own module is imported first, and with it the models that it knows.
    """
    if starts is None:
        return None
    app, module = _dotted(starts.file, folder), _dotted(path, folder)
    plain = (
        re.search(rf"^(async[ \t]+)?def[ \t]+{re.escape(function)}\(\s*\)", text, re.MULTILINE) if function else None
    )
    if plain:
        call = f"asyncio.run({function}())" if plain[1] else f"{function}()"
        first = "import asyncio, " if plain[1] else "import "
        program = f"{first}{app}; from {module} import {function}; {call}"
    elif not function:
        program = f"import {module}"
    elif re.search(r"^app\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(?:FastAPI|Starlette)\(", text, re.MULTILINE):
        program = (
            f"import asyncio; from {module} import app; asyncio.run(app.router.lifespan_context(app).__aenter__())"
        )
    else:
        return None
    return Fact(f'python -c "{program}"', starts, "likely")


def _dotted(path: str, folder: str) -> str:
    """As it is imported from that folder."""
    relative = posixpath.relpath(path, folder).removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
    return relative.replace("/", ".")


# -- Django ------------------------------------------------------------------------------------------------------------

_MODULE = re.compile(r"DJANGO_SETTINGS_MODULE[\"']\s*,\s*[\"']([\w.]+)[\"']")
_ENGINE = re.compile(
    r"[\"']ENGINE[\"']\]?\s*[:=][^\n]{0,100}?django\.(?:db\.backends|contrib\.gis\.db\.backends)\.(\w+)"
)
_BY_URL = re.compile(r"dj_database_url\.(?:config|parse)\(|\benv\.(?:db|db_url|dj_db_url)\(|\bdatabase_url\(")
_ENGINES = {"mysql": "MySQL", "sqlite3": "SQLite", "oracle": "Oracle", "spatialite": "SQLite"}


def _django(repository: Repository, manifests: Manifests) -> Iterator[Draft]:
    for path in repository.named("manage.py"):
        text = repository.text(path)
        module = _MODULE.search(text)
        if not module and "django" not in text.lower():
            continue
        folder, files = (
            folder_of(path),
            list(_settings(repository, folder_of(path), module[1] if module else "settings")),
        )
        engines = [
            (match, each) for each in files for match in _ENGINE.finditer(without_comment_lines(repository.text(each)))
        ]
        by_url = [
            (match, each) for each in files for match in _BY_URL.finditer(without_comment_lines(repository.text(each)))
        ]
        postgres = [pair for pair in engines if pair[0][1].startswith(("postgresql", "postgis"))]
        if not postgres and not by_url and engines:
            match, file = engines[0]
            kind = _ENGINES.get(match[1], match[1])
            line = line_at(repository.text(file), match.start())
            repository.note(file, f"django is used with {kind}", line)
            continue
        best = next(iter(postgres or by_url), None)
        where = (
            Where(best[1], line_at(without_comment_lines(repository.text(best[1])), best[0].start()))
            if best
            else Where(path)
        )
        settings = {"settings": Fact(module[1], Where(path, line_at(text, module.start())))} if module else {}
        yield Draft(
            tool=Fact("django", where, "certain" if postgres else "likely" if by_url else "guess"),
            folder=manifests.home(path) if manifests.home(path) == folder else folder,
            way=Fact("migrate", Where(path)),
            url=_django_url({each: without_comment_lines(repository.text(each)) for each in files}),
            settings=settings,
        )


def _settings(repository: Repository, folder: str, module: str) -> Iterator[str]:
    """The file, or those of the package: one imports the other."""
    place = joined(folder, module.replace(".", "/"))
    if place and repository.has(f"{place}.py"):
        yield f"{place}.py"
        place = folder_of(place) if folder_of(place).endswith("settings") else None
    if place:
        yield from (path for path in repository.below(place, ".py") if path != f"{place}.py")


def _django_url(texts: Mapping[str, str]) -> Fact | None:
    for path, text in texts.items():
        if found := _url_in(text, path):
            return found
        if by_url := _BY_URL.search(text):  # both libraries look for this one
            return Fact("DATABASE_URL", Where(path, line_at(text, by_url.start())), "likely")
    return None
