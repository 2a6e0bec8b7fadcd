"""Which services are a PostgreSQL, and how its database, user, password and port are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .compose_services import Described
from .dockerfiles import image_of
from .documents import variables_of
from .env_files import is_of_env, templates_in
from .files import Repository, folder_of
from .findings import Database, Fact, Sure
from .urls import url_of

_PORT = "5432"
# By the whole name, without registry and tag: what else has `postgres` in its name may be a tool beside it.
_IMAGES = {"postgres", "postgresql", "pgvector", "postgis", "timescaledb", "timescaledb-ha", "citus", "paradedb", "age"}
_IMAGES |= {"postgresql-repmgr", "pgvecto-rs", "vchord-postgres", "postgres-pgvector", "spilo", "cloudnative-pg"}
# Others count their own versions.
_TAGGED_AS_POSTGRES = {"postgres", "postgresql", "postgis", "postgresql-repmgr"}
_NOT_IT = re.compile(
    r"export|admin|backup|bouncer|pool|postgrest|meta|operator|client|migrat|proxy|rest$|dump|adminer|web"
)
_NAME = re.compile(r"postgres|pgsql|(?:^|[-_])pg(?:[-_]|\d|$)")
_OTHERS = {"mysql": "MySQL", "mariadb": "MariaDB", "percona": "MySQL", "mssql": "SQL Server", "mongo": "MongoDB"}
_OTHERS |= {"mongodb": "MongoDB", "cockroach": "CockroachDB", "yugabyte": "YugabyteDB", "cassandra": "Cassandra"}
_OTHERS |= {"clickhouse-server": "ClickHouse", "oracle-xe": "Oracle", "oracle-free": "Oracle", "mysql-server": "MySQL"}


@dataclass(frozen=True)
class _Names:
    """What an image calls its settings, and what they are without."""

    user: Sequence[str] = ("POSTGRES_USER",)
    name: Sequence[str] = ("POSTGRES_DB",)
    password: Sequence[str] = ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE")


_OFFICIAL = _Names()
_BITNAMI = _Names(
    ("POSTGRESQL_USERNAME", "POSTGRES_USER", "POSTGRESQL_USER"),
    ("POSTGRESQL_DATABASE", "POSTGRES_DB", "POSTGRESQL_DB"),
    ("POSTGRESQL_PASSWORD", "POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD_FILE", "POSTGRES_PASSWORD_FILE"),
)


def other_database(service: Described, repository: Repository) -> str:
    """What it is when it is a database of another make."""
    image = _image(service, repository)
    return _OTHERS.get(_short(image.value), "") if image else ""


def database_of(service: Described, repository: Repository) -> Database | None:
    """What it is as a PostgreSQL; nothing when it is none."""
    image = _image(service, repository)
    sure = _sureness(service, image)
    if sure is None:
        return None
    names = _BITNAMI if image and "bitnami" in image.value else _OFFICIAL
    user = _said(service, names.user) or Fact("postgres", service.where, "likely")
    name = _said(service, names.name)
    if name is None:
        name = (
            Fact(user.value, user.where, "likely") if names is _OFFICIAL else Fact("postgres", service.where, "likely")
        )
    password = _password(service, names.password)
    file = None if password else _password_file(service, names.password)
    return Database(
        service=Fact(service.name, service.where, sure),
        image=image,
        major=_major(image),
        name=name,
        user=user,
        password=password,
        password_file=file,
        service_password=None if password or file else _service_password(service, names.password),
        port=_published(service),
    )


def _sureness(service: Described, image: Fact | None) -> Sure | None:
    """By the image; one that nobody knows is taken for it when it has the settings of one."""
    short = _short(image.value) if image else ""
    if short in _IMAGES:
        return "certain"
    if _NOT_IT.search(short) or short in _OTHERS:
        return None
    if image and _NAME.search(short):
        return "likely"
    is_set = any(name in service.environment for name in ("POSTGRES_PASSWORD", "POSTGRES_HOST_AUTH_METHOD"))
    listens = any(port.target == _PORT for port in service.ports) or "pg_isready" in _test(service)
    own = image is not None and not service.build
    return "guess" if is_set and listens and (own or "pg_isready" in _test(service)) else None


def named_by_urls(database: Database, services: Sequence[Described]) -> Database:
    """With the name that all URLs to it have, where a script made that one, instead of the one that its image makes."""
    server = database.service.value if database.service else ""
    facts = [fact for each in services for fact in each.environment.values()]
    urls = [(fact, url) for fact in facts if (url := url_of(fact.value)) and url.host == server and url.name]
    fact, url = urls[0] if urls else (None, None)
    if fact is None or url is None or "$" in url.name or {each.name for _, each in urls} != {url.name}:
        return database
    is_same = database.name is not None and database.name.value == url.name
    return database if is_same else replace(database, name=Fact(url.name, fact.where, "likely"))


def _test(service: Described) -> str:
    return service.health_test.value if service.health_test else ""


def _image(service: Described, repository: Repository) -> Fact | None:
    """Its own, or what its build begins with."""
    return image_of(repository, service.build).base or service.image


def superuser(database: Database) -> str:
    """Who it is, where the image makes an ordinary role of the user that it is given."""
    image, user = database.image, database.user
    for word, name in (("bitnami", "postgres"), ("supabase/", "supabase_admin")):
        if image and user and word in image.value and user.value != name:
            return name
    return ""


def _short(image: str) -> str:
    """`registry.example.com/someone/postgres:18@sha256:...` is `postgres`."""
    return re.split(r"[:@]", image.rpartition("/")[2])[0].lower()


def _major(image: Fact | None) -> Fact | None:
    """Of PostgreSQL, where the tag says it: `18`, `16.4-alpine`, `pg17`, `16-3.4`, `15.1.1.78`, `latest-pg16`."""
    if image is None:
        return None
    tag = image.value.rpartition("/")[2].partition("@")[0].partition(":")[2]
    found = re.search(r"pg-?(\d{1,2})", tag)
    if not found and _short(image.value) in _TAGGED_AS_POSTGRES:
        found = re.match(r"v?(\d{1,2})(?!\d)", tag)
    return Fact(found[1], image.where, image.sure) if found else None


def _said(service: Described, names: Sequence[str]) -> Fact | None:
    """The first of these variables that has a value. One that is the caller's stays a guess."""
    for name in names:
        fact = service.environment.get(name)
        if fact and fact.value:
            return fact.at_most("guess") if "${" in fact.value else fact
    return None


def _password(service: Described, names: Sequence[str]) -> Fact | None:
    """The variable that holds it: `.env`'s own name for it, where compose.yaml takes it from there."""
    for name in names:
        fact = service.environment.get(name)
        if fact is None:
            continue
        if name.endswith("_FILE"):
            secret = service.secret_at(fact.value)
            if secret and secret.variable:
                return Fact(secret.variable, fact.where)
            continue
        reference = re.match(r"\$\{?(\w+)", fact.written or fact.value)
        if reference:
            return Fact(reference[1], fact.where, written=without_default(fact.written))
        if fact.value and is_of_env(fact.where.file) and folder_of(fact.where.file) in {service.project.folder, "."}:
            return Fact(name, fact.where, fact.sure)
    return None


def _password_file(service: Described, names: Sequence[str]) -> Fact | None:
    for name in names:
        fact = service.environment.get(name)
        secret = service.secret_at(fact.value) if fact and name.endswith("_FILE") else None
        if fact and secret and secret.file:
            return Fact(secret.file, fact.where, fact.sure)
    return None


def _service_password(service: Described, names: Sequence[str]) -> Fact | None:
    """The variable of the service whose value stands in the compose file, or in an `env_file` of another name."""
    for name in names:
        fact = service.environment.get(name)
        if fact and fact.value and not name.endswith("_FILE") and "$" not in (fact.written or fact.value):
            return Fact(name, fact.where, fact.sure)
    return None


def without_default(written: str) -> str:
    """`${PASSWORD:-secret}` as `${PASSWORD:-***}`: nobody's password is shown."""
    return re.sub(r"(:?-)[^}]+", r"\1***", written)


def _published(service: Described) -> Fact | None:
    return next((port.published for port in service.ports if port.target == _PORT), None)


def from_templates(repository: Repository, folders: Sequence[str]) -> Database | None:
    """Without a service: the PostgreSQL that a URL in a template names."""
    for folder in folders:
        for path in (f"{folder}/.env".removeprefix("./"), *templates_in(repository, folder)):
            for fact in variables_of(repository, path).values():
                url = url_of(fact.value)
                if url and url.kind == "PostgreSQL":
                    parts = (url.name, url.user, url.port)
                    name, user, port = (Fact(part, fact.where, "guess") if part else None for part in parts)
                    return Database(None, name=name, user=user, port=port)
    return None
