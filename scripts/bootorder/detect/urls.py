"""URLs of databases, and the variables that hold them. A password in one is never kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .findings import Fact

_URL = re.compile(
    r"^(?:jdbc:)?(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://"
    r"(?:(?P<user>[^:@/?]*)(?::(?P<password>[^@/]*))?@)?(?P<host>\[[^\]]*\]|[^:/?]*)(?::(?P<port>[^/?]*))?(?:/(?P<name>[^?]*))?"
)
POSTGRES = frozenset({"postgres", "postgresql", "postgis", "pgsql", "psql", "timescale"})
_OTHERS = {"mysql": "MySQL", "mysql2": "MySQL", "mariadb": "MariaDB", "sqlite": "SQLite", "sqlite3": "SQLite"}
_OTHERS |= {
    "file": "SQLite",
    "mongodb": "MongoDB",
    "sqlserver": "SQL Server",
    "mssql": "SQL Server",
    "libsql": "SQLite",
}

# What tools call the variable with the whole URL, best first; and what they call its parts.
_USUAL = (
    *("DATABASE_URL", "DB_URL", "POSTGRES_URL", "POSTGRES_PRISMA_URL", "PG_URL", "DATABASE_URI", "DATABASE_DSN"),
    *("SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_DATABASE_URL", "DB_URI", "DB_DSN", "POSTGRES_DSN", "PG_DSN"),
)
NAME = re.compile(r"(?:\w+_)?(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG|PRISMA)_(?:\w+_)?(?:URL|URI|DSN)")
_HOST = re.compile(r"(?:\w+_)?(?:POSTGRES|POSTGRESQL|PG|DB|DATABASE|SQL)_?(?:HOST|SERVER|HOSTNAME)")
_PARTS = {
    "host": "HOST|SERVER|HOSTNAME",
    "port": "PORT",
    "user": "USER|USERNAME",
    "password": "PASSWORD|PASS",
    "password_file": "PASSWORD_FILE|PASS_FILE",
    "database": "DB|NAME|DATABASE",
}
_PART = re.compile(rf"(?:\w+_)?(?:POSTGRES|POSTGRESQL|PG|DB|DATABASE|SQL)_?(?:{'|'.join(_PARTS.values())})")


@dataclass(frozen=True)
class Url:
    """The parts of a URL that are no secret. `password`: the variable that it is, where it is one."""

    kind: str  # PostgreSQL, MySQL ...
    user: str
    password: str
    host: str
    port: str
    name: str


def url_of(text: str) -> Url | None:
    """The parts, where it is the URL of a database that we know."""
    found = _URL.match(text.strip()[:1000])
    if not found:
        return None
    scheme = found["scheme"].partition("+")[0].lower()
    kind = "PostgreSQL" if scheme in POSTGRES else _OTHERS.get(scheme, "")
    if not kind:
        return None
    password = re.fullmatch(r"\$\{?(\w+)\}?", found["password"] or "")
    parts = (found[part] or "" for part in ("host", "port", "name"))
    return Url(kind, found["user"] or "", password[1] if password else "", *parts)


def is_postgres(text: str) -> bool:
    url = url_of(text)
    return bool(url and url.kind == "PostgreSQL")


def url_variable(variables: Mapping[str, Fact]) -> Fact | None:
    """The variable whose value is a URL of a PostgreSQL; else one whose name says so, and that has no value here."""
    held = [name for name, fact in variables.items() if is_postgres(fact.value)]
    named = [name for name, fact in variables.items() if NAME.fullmatch(name) and _is_open(fact.value)]
    if not held and not named:
        return None
    best = min(held or named, key=lambda name: _USUAL.index(name) if name in _USUAL else len(_USUAL))
    fact = variables[best]
    stands_there = is_postgres(fact.written or fact.value) and fact.where.file.endswith((".yaml", ".yml"))
    return Fact(best, fact.where, "certain" if stands_there else fact.sure if held else "likely")


def _is_open(value: str) -> bool:
    """It has no value here, or one that is put in later."""
    return not value or "${" in value


def host_of(variables: Mapping[str, Fact]) -> Fact | None:
    """The database's host, where it is a variable of its own."""
    return next((fact for name, fact in variables.items() if _HOST.fullmatch(name)), None)


def parts_of(names: str) -> Mapping[str, str]:
    """Which of these variables is the host, the user and so on; none where they do not say who connects to what."""
    found: dict[str, str] = {}
    for part, pattern in _PARTS.items():
        named = [name for name in names.split(", ") if re.search(rf"(?:^|_|PG)(?:{pattern})$", name)]
        if named:
            found[part] = named[-1]
    if "password" in found:  # of an image that takes either
        found.pop("password_file", None)
    return found if {"user", "database"} < found.keys() and found.keys() & {"password", "password_file"} else {}


def url_parts(variables: Mapping[str, Fact]) -> Fact | None:
    """The names of host, user and the like, where there is no URL."""
    host = host_of(variables)
    names = [name for name in variables if _PART.fullmatch(name)]
    return Fact(", ".join(names), host.where, "likely") if host else None
