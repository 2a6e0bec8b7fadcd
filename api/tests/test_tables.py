import subprocess
import sys
import time

import pytest

from taskflow_api import tables

from .conftest import Database
from .stand_ins import API_FOLDER, environment


def make_tables(**variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "taskflow_api.tables"],
        env=environment(**variables),
        cwd=API_FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def catalog(database: Database) -> list[tuple[object, ...]]:
    return database.rows("SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid")


def wait_for(database: Database, query: str, expected: object) -> None:
    deadline = time.monotonic() + 10
    while (seen := database.rows(query)[0][0]) != expected:
        if time.monotonic() > deadline:
            pytest.fail(f"{query}: {seen!r}, expected {expected!r}")
        time.sleep(0.01)


def test_two_at_once_make_each_table_once(empty_database: Database) -> None:
    # Both are held at the lock, so that both really are about to make the tables when it opens.
    with empty_database.connection.transaction():
        empty_database.run(f"SELECT pg_advisory_xact_lock({tables._LOCK})")  # noqa: SLF001
        processes = [make_tables(DATABASE_URL=empty_database.url) for _ in range(2)]
        wait_for(empty_database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 2)
    results = [process.communicate(timeout=10) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert sorted(output for output, _ in results) == [
        "already there audit_log\nalready there project\nalready there task\nalready there worker\n",
        "made          audit_log\nmade          project\nmade          task\nmade          worker\n",
    ]


def test_a_missing_table_is_made_and_the_others_are_left_as_they_are(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database.url)
    assert tables.main() == 0
    empty_database.run("DROP TABLE audit_log")
    before = catalog(empty_database)
    capsys.readouterr()
    assert tables.main() == 0
    assert capsys.readouterr().out.startswith("made          audit_log\nalready there project\n")
    assert set(before) < set(catalog(empty_database))


def test_tables_go_to_the_schema_that_the_search_path_names(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_database.run("CREATE SCHEMA own")
    monkeypatch.setenv("DATABASE_URL", f"{empty_database.url}?options=-c%20search_path%3Down")
    assert tables.main() == 0
    found = empty_database.rows("SELECT schemaname, tablename FROM pg_tables WHERE tablename = 'task'")
    assert found == [("own", "task")]


def test_a_role_that_may_not_create_is_told_so_in_one_line_and_fine_when_nothing_is_missing(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # pg_monitor: some role that every server has and that owns nothing
    as_nobody = f"{empty_database.url}?options=-c%20role%3Dpg_monitor"
    monkeypatch.setenv("DATABASE_URL", as_nobody)
    assert tables.main() == 1
    assert (
        capsys.readouterr().err == "taskflow_api.tables: cannot make the tables: permission denied for schema public\n"
    )
    monkeypatch.setenv("DATABASE_URL", empty_database.url)
    assert tables.main() == 0
    monkeypatch.setenv("DATABASE_URL", as_nobody)
    assert tables.main() == 0


def test_a_database_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://api:pa-sword@127.0.0.1:1/taskflow")
    assert tables.main() == 1
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("taskflow_api.tables: cannot make the tables: ")
    assert len(error.splitlines()) == 1
    assert "pa-sword" not in error


def test_a_missing_url_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert tables.main() == 2
    assert capsys.readouterr().err == "taskflow_api.tables: missing in the environment: DATABASE_URL\n"
