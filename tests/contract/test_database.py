"""Reaching a real PostgreSQL 18: what one look tells, the lock, scratch databases."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from scripts.bootorder import catalog
from scripts.bootorder.database import Target, me
from scripts.bootorder.errors import NotReadyError
from scripts.bootorder.migration_lock import migration_lock
from scripts.bootorder.probes import Failed, NotYet, Ready
from scripts.bootorder.scratch import drop_left_over, scratch_database
from scripts.bootorder.urls import with_database
from tests.contract.hand import by_hand, rows_by_hand
from tests.stack import free_ports


def names(server: Target) -> set[str]:
    """Every database of the server."""
    with by_hand(server) as connection:
        return {str(name) for (name,) in connection.execute("select datname from pg_database")}


# -- one look ---------------------------------------------------------------------------------------------------------


def test_a_database_that_answers_is_ready(database: Target) -> None:
    assert database.look() == Ready(f"postgres answers on 127.0.0.1:{database.port}")


def test_an_oddly_named_database_is_ready(odd_database: Target) -> None:
    assert isinstance(odd_database.look(), Ready)


def test_a_wrong_password_fails_at_once(server: Target) -> None:
    begun = time.monotonic()
    look = replace(server, password="guessed").look()

    assert isinstance(look, Failed)
    assert time.monotonic() - begun < 10  # who tried again would do so for a minute
    assert look.error.exit_code == 4
    assert 'refused the password of "boot"' in look.error.message
    assert "password authentication failed" in look.error.seen
    assert ".env" in look.error.hint
    assert "guessed" not in str(look.error.as_data())


def test_an_unknown_user_fails_at_once(server: Target) -> None:
    assert isinstance(replace(server, user='no "body').look(), Failed)


@pytest.mark.parametrize("name", ["nowhere", 'no "where"', "nö where"])
def test_an_unknown_database_fails_at_once(server: Target, name: str) -> None:
    look = replace(server, name=name).look()

    assert isinstance(look, Failed)
    assert look.error.exit_code == 4
    assert f'no database "{name}"' in look.error.message
    assert "database.name" in look.error.hint


def test_nothing_listening_is_not_yet(server: Target) -> None:
    look = replace(server, port=free_ports(["unused"])["unused"]).look()

    assert isinstance(look, NotYet)
    assert "refused" in look.seen


def test_a_port_that_hangs_up_is_not_yet(server: Target) -> None:
    """Docker's proxy listens before the server in the container does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        look = replace(server, port=listener.getsockname()[1]).look()
        hanging_up.join()

    assert isinstance(look, NotYet)


def test_a_server_that_is_full_is_not_yet(server: Target, database: Target) -> None:
    with by_hand(database) as connection:
        connection.execute(sql.SQL("create role visitor login password 'x' connection limit 0"))
        try:
            look = replace(database, user="visitor", password="x").look()
        finally:
            connection.execute("drop role visitor")

    assert isinstance(look, NotYet)
    assert "too many connections" in look.seen


def test_a_look_leaves_no_connection_open(database: Target, server: Target) -> None:
    database.look()
    with by_hand(server) as connection:
        deadline = time.monotonic() + 2
        while (left := _connections(connection, database.name)) and time.monotonic() < deadline:
            time.sleep(0.01)  # the server notices the goodbye a moment later

    assert left == 0


def _connections(connection: psycopg.Connection[tuple[object, ...]], name: str) -> int:
    row = connection.execute("select count(*) from pg_stat_activity where datname = %s", [name]).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_the_password_is_neither_in_the_url_nor_in_repr(server: Target) -> None:
    assert server.password not in repr(server) + server.url
    assert quote(server.password, safe="") not in repr(server) + server.url


HOSTILE = {
    "PGHOST": "192.0.2.1",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGDATABASE": "another",
    "PGUSER": "another",
    "PGPASSWORD": "another",
    "PGPASSFILE": "/nonexistent/pgpass",
    "PGSERVICE": "nonexistent",
    "PGSERVICEFILE": "/nonexistent/pg_service.conf",
    "PGSYSCONFDIR": "/nonexistent",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGAPPNAME": "another",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLROOTCERT": "/nonexistent/root.crt",
    "PGSSLCERTMODE": "require",
    "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
    "PGREQUIRESSL": "1",
    "PGREQUIREAUTH": "gss",
    "PGREQUIREPEER": "nobody",
    "PGCHANNELBINDING": "require",
    "PGGSSENCMODE": "require",
    "PGGSSDELEGATION": "1",
    "PGKRBSRVNAME": "another",
    "PGCONNECT_TIMEOUT": "1",
    "PGCLIENTENCODING": "LATIN1",
    "PGTARGETSESSIONATTRS": "standby",
    "PGLOADBALANCEHOSTS": "random",
    "PGMINPROTOCOLVERSION": "3.2",
    "PGMAXPROTOCOLVERSION": "3.0",
    "PGDATESTYLE": "SQL, DMY",
    "PGTZ": "Asia/Kathmandu",
    "PGGEQO": "off",
}


@pytest.mark.parametrize("variable", HOSTILE)
def test_a_variable_of_the_caller_does_not_leak_into_a_connection(
    database: Target, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    asked = (
        "select current_database(), current_user, current_setting('application_name'),"
        " current_setting('default_transaction_read_only'), current_setting('client_encoding'),"
        " current_setting('datestyle'), current_setting('timezone'), current_setting('geqo'), 'ü'"
    )
    with database.connect() as connection:
        before = connection.execute(asked).fetchone()
    monkeypatch.setenv(variable, HOSTILE[variable])

    assert isinstance(database.look(), Ready)
    with database.connect() as connection:
        assert connection.execute(asked).fetchone() == before


# -- scratch databases ------------------------------------------------------------------------------------------------


def test_a_scratch_database_is_empty_and_gone_afterwards(database: Target) -> None:
    before = names(database)
    with scratch_database(database, "sso") as scratch:
        assert names(database) - before == {scratch.name}
        assert replace(scratch, name=database.name) == database
        with by_hand(scratch) as connection:
            assert catalog.read(connection).objects == {}
            connection.execute("create table made ()")
        with by_hand(database) as connection:
            assert catalog.read(connection).objects == {}

    assert names(database) == before


def test_a_scratch_database_is_empty_whatever_the_server_puts_into_new_ones(database: Target, server: Target) -> None:
    template = replace(server, name="template1")
    with by_hand(template) as connection:
        connection.execute("create table brought_along ()")
    try:
        with scratch_database(database, "sso") as scratch, by_hand(scratch) as connection:
            assert catalog.read(connection).objects == {}
    finally:
        with by_hand(template) as connection:
            connection.execute("drop table brought_along")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_scratch_database_is_gone_after_a_failure(database: Target, error: type[BaseException]) -> None:
    before = names(database)
    with pytest.raises(error), scratch_database(database, "sso"):
        raise error

    assert names(database) == before


def test_a_scratch_database_is_gone_though_somebody_is_connected(database: Target) -> None:
    before = names(database)
    with scratch_database(database, "sso") as scratch:
        lingering = by_hand(scratch)
    try:
        assert names(database) == before
    finally:
        lingering.close()


def test_what_a_killed_run_left_behind_is_dropped_by_who_holds_the_lock(database: Target, odd_database: Target) -> None:
    with scratch_database(database, "sso") as left, scratch_database(odd_database, "sso") as others:
        lingering = by_hand(left)
        with migration_lock(database, 1, print):
            drop_left_over(database)
        lingering.close()

        assert left.name not in names(database)
        assert others.name in names(database)


def test_who_has_lost_the_lock_does_not_drop_what_the_next_one_has_made(database: Target) -> None:
    with scratch_database(database, "sso") as second:
        with scratch_database(database, "sso"):
            pass
        assert second.name in names(database)


def test_nobody_but_the_tasks_may_connect_to_a_new_scratch_database(server: Target, database: Target) -> None:
    with by_hand(server) as connection, scratch_database(database, "sso") as scratch:
        connection.execute("create role stranger login password 'x'")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                by_hand(scratch.as_role("stranger", "x"))
        finally:
            connection.execute("drop role stranger")


def test_a_clone_has_all_rows_and_what_is_done_to_it_stays_in_it(odd_database: Target) -> None:
    with by_hand(odd_database) as connection:
        connection.execute("create table kept (id int); insert into kept select generate_series(1, 42)")

    with scratch_database(odd_database, "trial", clone=True) as clone, by_hand(clone) as connection:
        assert rows_by_hand(connection, [("public", "kept")]) == {("public", "kept"): 42}
        connection.execute("drop table kept")

    with by_hand(odd_database) as connection:
        assert rows_by_hand(connection, [("public", "kept")]) == {("public", "kept"): 42}
    assert clone.name not in names(odd_database)


def test_a_database_that_somebody_is_connected_to_is_not_cloned(database: Target) -> None:
    before = names(database)

    in_use = pytest.raises(NotReadyError, match="is to be cloned")
    with database.connect(), in_use as refused, scratch_database(database, "trial", clone=True):
        pytest.fail("cloned")

    assert refused.value.seen == f"{database.user} ({me()})"
    assert names(database) == before


def test_owners_and_databases_do_not_share_a_scratch_database(database: Target, odd_database: Target) -> None:
    with (
        scratch_database(database, "sso") as first,
        scratch_database(database, "api") as second,
        scratch_database(odd_database, "sso") as third,
    ):
        assert len({first.name, second.name, third.name}) == 3
        assert names(database) >= {first.name, second.name, third.name}


@pytest.mark.parametrize("purpose", ["", 'söme "one\'s" tables; --', "x" * 100])
def test_a_purpose_may_be_any_text(odd_database: Target, purpose: str) -> None:
    with scratch_database(odd_database, purpose) as scratch:
        assert isinstance(scratch.look(), Ready)

    assert scratch.name not in names(odd_database)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_tool_reaches_any_database_by_its_url(server: Target, odd_database: Target, scheme: str) -> None:
    user, password = quote(server.user, safe=""), quote(server.password, safe="")
    url = f"{scheme}://{user}:{password}@unreachable.invalid:1/other?application_name=the%20tool"
    turned = with_database(url, odd_database.name, odd_database.address)

    assert turned.startswith(f"{scheme}://")
    with psycopg.connect(turned.replace("+psycopg", "")) as connection:
        row = connection.execute("select current_database(), current_setting('application_name')").fetchone()
    assert row == (odd_database.name, "the tool")


def test_a_url_keeps_its_host_unless_told_otherwise(database: Target) -> None:
    turned = with_database("postgresql://u:p%40@database:5432/other?sslmode=disable", database.name)

    assert turned == f"postgresql://u:p%40@database:5432/{database.name}?sslmode=disable"


def test_the_folder_of_this_run_is_nothing_to_the_database(
    database: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `~/.pgpass` or `~/.pg_service.conf` says nothing about this stack."""
    (tmp_path / ".pgpass").write_text("*:*:*:*:another\n", encoding="utf-8")
    (tmp_path / ".pgpass").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert isinstance(database.look(), Ready)


@pytest.fixture(autouse=True)
def _no_scratch_is_left(server: Target) -> Iterator[None]:
    yield
    assert [name for name in names(server) if "scratch" in name] == []
