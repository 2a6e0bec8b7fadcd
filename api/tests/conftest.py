"""A scratch database, an SSO and a running API for the tests."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from .stand_ins import Api, Sso

VARIABLE = "API_TEST_DATABASE_URL"


def pytest_configure() -> None:
    if not os.environ.get(VARIABLE):
        raise pytest.UsageError(
            f"{VARIABLE} is not set. Set it to the URL of a PostgreSQL and a user who may create databases, e.g."
            " postgresql://postgres:PASSWORD@127.0.0.1:5432/postgres (the tests make their own databases and drop them)"
        )


@contextmanager
def scratch_database() -> Iterator[str]:
    """Make a database and give its URL; it is dropped at the end."""
    server = os.environ[VARIABLE]
    name = f"taskflow_api_test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running(database_url: str, sso: Sso) -> Iterator[Api]:
    api = Api(database_url, sso.url, sso.internal_url)
    try:
        yield api
    finally:
        api.stop()


class Database:
    """The test's own view of the API's database."""

    tables = ("audit_log", "project", "task", "worker")

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(make_conninfo(url), autocommit=True)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def run(self, statement: str) -> None:
        self.connection.execute(statement.encode())

    def counts(self) -> dict[str, object]:
        """Count the rows of every table."""
        return {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in self.tables}  # noqa: S608


@pytest.fixture
def empty_database() -> Iterator[Database]:
    with scratch_database() as url:
        database = Database(url)
        yield database
        database.connection.close()


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    with scratch_database() as url:
        database = Database(url)
        yield database
        database.connection.close()


@pytest.fixture(scope="session")
def sso() -> Iterator[Sso]:
    sso = Sso()
    yield sso
    sso.close()


@pytest.fixture(scope="session")
def api(database: Database, sso: Sso) -> Iterator[Api]:
    with running(database.url, sso) as api:
        yield api.wait()


@pytest.fixture(scope="session")
def anyone(api: Api) -> Iterator[httpx.Client]:
    """Speak to the API without a token."""
    with httpx.Client(base_url=api.base_url, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def ada(api: Api, sso: Sso) -> Iterator[httpx.Client]:
    """Speak to the API as a worker it knows."""
    with httpx.Client(base_url=api.base_url, headers=sso.headers(), trust_env=False) as client:
        client.get("/me").raise_for_status()
        yield client
