import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from psycopg import sql

from taskflow_api import tables
from taskflow_api.app import create_app
from taskflow_api.database import connect
from taskflow_api.settings import read_database_url, read_settings

from .conftest import VARIABLE, Database, running
from .stand_ins import Api, Sso
from .test_tables import wait_for
from .test_tasks import new_task


def test_healthy_only_while_every_table_is_there(anyone: httpx.Client, database: Database) -> None:
    for table in database.tables:
        database.run(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            answer = anyone.get("/health")
            assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "missing": [table]})
        finally:
            database.run(f"ALTER TABLE elsewhere RENAME TO {table}")
    answer = anyone.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "tables": list(database.tables)})


def test_unhealthy_while_the_database_refuses_and_healthy_again_by_itself(empty_database: Database, sso: Sso) -> None:
    with running(empty_database.url, sso) as api:
        url, name = f"{api.wait().base_url}/health", empty_database.connection.info.dbname
        with psycopg.connect(os.environ[VARIABLE], autocommit=True) as server:
            allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            server.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            answer = httpx.get(url)
            assert (answer.status_code, answer.json()) == (
                503,
                {"status": "unavailable", "database": "does not answer"},
            )
            # who asks is not told more, who runs it is
            assert "unhealthy: connection failed: connection to server at" in api.log()
            server.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
        assert httpx.get(url).status_code == 200


def test_unhealthy_in_time_when_the_database_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskflow_api.routes.health._PATIENCE", 0.2)

    async def health(database_url: str) -> httpx.Response:
        app = create_app(read_settings({"DATABASE_URL": database_url, "SSO_URL": "http://a", "API_URL": "http://b"}))
        app.state.engine, app.state.trouble = connect(read_database_url({"DATABASE_URL": database_url})), ""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await asyncio.wait_for(client.get("/health"), 2)

    with socket.create_server(("127.0.0.1", 0)) as mute:
        answer = asyncio.run(health(f"postgresql://api:secret@127.0.0.1:{mute.getsockname()[1]}/taskflow"))
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "database": "does not answer"})


def test_a_restart_keeps_every_row(api: Api, ada: httpx.Client, database: Database, sso: Sso) -> None:
    new_task(ada)
    before, tasks = database.counts(), ada.get("/tasks").json()
    with running(database.url, sso) as second:
        answer = httpx.get(f"{second.wait().base_url}/tasks", headers=sso.headers())
        assert "tables made: none" in second.log()
    assert answer.json() == tasks
    assert database.counts() == before
    assert "tables made: audit_log, project, task, worker" in api.log()


def test_an_unreachable_database_ends_the_start_with_one_error(sso: Sso) -> None:
    with running("postgresql://api:pa-sword@127.0.0.1:1/taskflow", sso) as api:
        assert api.process.wait(10) != 0
        log = api.log()
    assert log.count("cannot make the tables: connection failed") == 1
    assert "Traceback" not in log
    assert "pa-sword" not in log


def test_terminates_within_a_second_whatever_hangs(empty_database: Database, sso: Sso) -> None:
    with running(empty_database.url, sso) as api:
        with httpx.Client(base_url=api.wait().base_url, headers=sso.headers()) as client:
            task = new_task(client)  # and leaves a connection that is kept alive
        host, port = api.base_url.removeprefix("http://").split(":")
        with (
            ThreadPoolExecutor(1) as thread,
            httpx.Client(base_url=api.base_url, headers=sso.headers()) as idle,
            socket.create_connection((host, int(port))) as half,
            psycopg.connect(empty_database.url) as blocker,
        ):
            idle.get("/me").raise_for_status()
            half.sendall(b"POST /tasks HTTP/1.1\r\nHost: x\r\n")
            blocker.execute("SELECT FROM task FOR UPDATE")
            url = f"{api.base_url}/tasks/{task['id']}"
            hanging = thread.submit(httpx.patch, url, json={"status": "done"}, headers=sso.headers(), timeout=20)
            wait_for(empty_database, "SELECT count(*) FROM pg_locks WHERE NOT granted", 1)
            seconds = api.terminate()
            assert isinstance(hanging.exception(), httpx.TransportError) or not hanging.result().is_success
    assert seconds < 1
    assert empty_database.rows("SELECT completed_at FROM task") == [(None,)]


def test_terminates_within_a_second_while_it_still_starts(empty_database: Database, sso: Sso) -> None:
    with empty_database.connection.transaction():
        empty_database.run(f"SELECT pg_advisory_xact_lock({tables._LOCK})")  # noqa: SLF001
        with running(empty_database.url, sso) as api:
            wait_for(empty_database, "SELECT count(*) FROM pg_locks WHERE NOT granted", 1)
            assert api.terminate() < 1


def test_the_health_checks_stay_out_of_the_log(api: Api, anyone: httpx.Client) -> None:
    anyone.get("/health")
    anyone.get("/tasks")
    assert '"GET /tasks HTTP/1.1" 401' in api.log()
    assert "/health" not in api.log()


def test_a_failed_statement_is_logged_without_what_people_typed(empty_database: Database, sso: Sso) -> None:
    with running(empty_database.url, sso) as api:
        with httpx.Client(base_url=api.wait().base_url, headers=sso.headers()) as client:
            new_task(client)
            empty_database.run("ALTER TABLE task RENAME COLUMN title TO elsewhere")
            answer = client.post("/tasks", json={"title": "the code of the safe"})
        assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
        api.terminate()  # the traceback is written after the answer
        assert "UndefinedColumn" in api.log()
        assert "the code of the safe" not in api.log()
        assert sso.token().split(".")[0] not in api.log()
