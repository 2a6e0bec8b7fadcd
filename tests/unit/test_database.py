from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.database import Session, Target
from scripts.bootorder.errors import LockedError, SettingsError
from scripts.bootorder.migration_lock import migration_lock
from scripts.bootorder.probes import Failed, Look, NotYet, Ready
from scripts.bootorder.scratch import drop_left_over, scratch_database
from scripts.bootorder.urls import user_and_database, with_database, with_user

from .fakes import PASSWORD, TARGET, FakeConnection, FakeServer, locked


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    server = FakeServer()
    server.install(monkeypatch)
    return server


# -- looking -----------------------------------------------------------------------------------------------------------


def test_a_database_that_answers_a_query_is_ready(server: FakeServer) -> None:
    assert TARGET.look() == Ready("postgres answers on 127.0.0.1:5432")


@pytest.mark.parametrize(
    "words",
    [
        "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
        "FATAL:  the database system is starting up",
        "server closed the connection unexpectedly",
        "timeout expired",
    ],
)
def test_a_server_that_is_still_starting_is_not_ready_yet(server: FakeServer, words: str) -> None:
    server.refusal = words

    look = TARGET.look()

    assert isinstance(look, NotYet)
    assert " ".join(words.split()) in look.seen
    assert "\n" not in look.seen


def _failed(look: Look) -> Failed:
    assert isinstance(look, Failed), look
    return look


@pytest.mark.parametrize(
    "words",
    [
        'FATAL:  password authentication failed for user "taskflow"',
        "fe_sendauth: no password supplied",
    ],
)
def test_a_refused_password_fails_for_good(server: FakeServer, words: str) -> None:
    server.refusal = words

    error = _failed(TARGET.look()).error

    assert error.exit_code == 4
    assert 'password of "taskflow"' in error.message
    assert ".env" in error.hint
    assert "start --clean" in error.hint


def test_a_missing_database_fails_for_good_and_names_the_setting(server: FakeServer) -> None:
    error = _failed(replace(TARGET, name="taskflw").look()).error

    assert '"taskflw"' in error.message
    assert "database.name" in error.hint


def test_another_missing_database_is_not_taken_for_the_stacks_own(server: FakeServer) -> None:
    server.refusal = 'FATAL:  database "template9" does not exist'

    assert isinstance(TARGET.look(), NotYet)


def test_the_password_shows_nowhere(server: FakeServer) -> None:
    wrong = replace(TARGET, password="hidden-one")

    error = _failed(wrong.look()).error

    assert "hidden-one" not in f"{wrong!r} {wrong} {wrong.url} {wrong.address} {error.as_data()}"


def test_a_connection_leads_to_the_target_and_gives_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}
    monkeypatch.setattr(Session, "connect", lambda **options: said.update(options) or SimpleNamespace())

    TARGET.connect()

    assert {name: said[name] for name in ("host", "port", "dbname", "user", "password", "autocommit")} == {
        "host": "127.0.0.1",
        "port": 5432,
        "dbname": "taskflow",
        "user": "taskflow",
        "password": PASSWORD,
        "autocommit": True,
    }
    assert 0 < said["connect_timeout"] <= 10


@pytest.mark.parametrize("end", [None, psycopg.OperationalError("refused")])
def test_no_pg_variable_of_the_caller_reaches_a_connection_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch, end: Exception | None
) -> None:
    callers = {"PGHOSTADDR": "192.0.2.1", "PGSERVICE": "other", "PGSSLMODE": "verify-full", "PGTZ": "Asia/Tokyo"}
    for name, value in callers.items():
        monkeypatch.setenv(name, value)
    seen: list[str] = []

    def connect(**_: object) -> SimpleNamespace:
        seen.extend(name for name in os.environ if name.startswith("PG"))
        if end:
            raise end
        return SimpleNamespace()

    monkeypatch.setattr(Session, "connect", connect)

    with contextlib.suppress(psycopg.OperationalError):
        TARGET.connect()

    assert seen == []
    assert {name: os.environ.get(name) for name in callers} == callers


# -- one connection for several questions ------------------------------------------------------------------------------


def test_within_a_block_one_connection_serves_all_questions_and_is_closed_after_it(server: FakeServer) -> None:
    """Each new one costs 5 ms of CPU, and its owner's tool a clone that nobody may be connected to."""
    with TARGET.kept():
        assert server.opened == [], "none before the first question"
        for _ in range(3):
            TARGET.look()
        with replace(TARGET, name="postgres").connect():
            pass
        assert [one.closed for one in server.opened] == [False, True], "another database is another connection"
    assert all(one.closed for one in server.opened)

    TARGET.look()
    assert len(server.opened) == 3


def test_a_transaction_of_its_own_and_another_thread_have_their_own_connection(server: FakeServer) -> None:
    with TARGET.kept():
        TARGET.look()
        with TARGET.connect(autocommit=False):
            pass
        thread = threading.Thread(target=TARGET.look)
        thread.start()
        thread.join()

    assert len(server.opened) == 3


def test_the_lock_has_a_session_of_its_own_in_a_database_called_postgres_too(server: FakeServer) -> None:
    """In the one that is kept it would be held on, and open to whoever shares it."""
    stack = replace(TARGET, name="postgres")
    with stack.kept():
        stack.look()
        with migration_lock(stack, 5, print):
            assert len(server.opened) == 2
        assert [one.closed for one in server.opened] == [False, True]


def test_what_fails_within_the_block_leaves_no_connection(server: FakeServer) -> None:
    def ask() -> None:
        with TARGET.kept():
            TARGET.look()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask()

    assert [one.closed for one in server.opened] == [True]


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_a_second_migration_is_refused_and_told_who_is_at_work(server: FakeServer) -> None:
    with locked(), pytest.raises(LockedError) as caught, locked():
        pass

    assert caught.value.exit_code == 7
    assert (
        caught.value.seen
        == "bootorder on host, process 4711 (server process 31, since 2026-11-22 17:00:00 server time)"
    )
    assert "within 5 s" in caught.value.expected


def test_who_is_waited_for_is_said_before_waiting(server: FakeServer) -> None:
    said: list[str] = []

    with locked(say=said.append), contextlib.suppress(LockedError), locked(say=said.append):
        pass

    assert said == [
        "waiting for bootorder on host, process 4711 (server process 31, since 2026-11-22 17:00:00 server time)"
    ]


def test_who_waits_for_nobody_is_told_so(server: FakeServer) -> None:
    with locked() as lock:
        assert lock.waited_for == ""


def test_a_lock_through_a_pooler_is_refused(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may give every transaction another session, and tells its clients a process that is none of the server's."""
    monkeypatch.setattr(FakeConnection, "info", SimpleNamespace(backend_pid=99, host="127.0.0.1", port=6432))

    with pytest.raises(SettingsError, match="pooler") as caught, locked():
        pass

    assert "127.0.0.1:6432" in caught.value.message
    assert "server process 99 at first and 31 later" in caught.value.seen


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_the_lock_is_free_when_its_holder_has_ended(server: FakeServer, end: type[BaseException] | None) -> None:
    try:
        with locked():
            if end:
                raise end
    except KeyboardInterrupt:
        pass

    with locked():
        pass


def test_another_database_of_the_server_has_a_lock_of_its_own(server: FakeServer) -> None:
    server.databases["other"] = type(server.main)()

    with locked(), locked("other"):
        pass


# -- scratch databases -------------------------------------------------------------------------------------------------


def test_a_scratch_database_is_empty_and_gone_afterwards(server: FakeServer) -> None:
    with scratch_database(TARGET, "sso") as scratch:
        assert scratch.name != TARGET.name
        assert replace(scratch, name=TARGET.name) == TARGET
        assert server.databases[scratch.name].objects == {}

    assert list(server.databases) == ["taskflow"]


def test_a_scratch_database_is_gone_also_after_a_failure(server: FakeServer) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_database(TARGET, "sso"):
        raise KeyboardInterrupt

    assert list(server.databases) == ["taskflow"]


def test_what_a_killed_run_left_behind_is_dropped_by_the_next_holder_of_the_lock(server: FakeServer) -> None:
    with scratch_database(TARGET, "sso") as scratch:
        name = scratch.name
    server.databases |= {name: type(server.main)(), f"{name}x": type(server.main)(), "other": type(server.main)()}

    with locked():
        drop_left_over(TARGET)

    assert list(server.databases) == ["taskflow", "other"]


@given(st.text(max_size=100), st.text(max_size=100))
def test_scratch_names_fit_postgres_whatever_the_owner_is_called(database: str, owner: str) -> None:
    server = FakeServer()
    server.databases[database] = type(server.main)()
    with pytest.MonkeyPatch.context() as patch:
        server.install(patch)
        with scratch_database(replace(TARGET, name=database), owner) as scratch:
            assert len(scratch.name.encode()) <= 63


# -- URLs --------------------------------------------------------------------------------------------------------------

_words = st.text("abcdefgh0123456789-_", min_size=1, max_size=12)
_secrets = st.text(min_size=1, max_size=12).map(lambda text: quote(text, safe=""))
_queries = st.dictionaries(_words, _secrets, max_size=3).map(lambda q: "&".join(f"{k}={v}" for k, v in q.items()))
_hosts = st.one_of(_words, st.just("127.0.0.1"), st.just("[::1]"))


@given(
    scheme=st.sampled_from(["postgresql", "postgres", "postgresql+psycopg"]),
    user=_secrets,
    password=_secrets,
    host=_hosts,
    port=st.one_of(st.none(), st.integers(1, 65535)),
    old=_words,
    query=_queries,
    new=st.text(min_size=1, max_size=20),
    from_host=st.booleans(),
)
def test_a_url_turned_to_another_database_keeps_everything_else(
    scheme: str,
    user: str,
    password: str,
    host: str,
    port: int | None,
    old: str,
    query: str,
    new: str,
    from_host: bool,
) -> None:
    address = f"{host}:{port}" if port else host
    url = f"{scheme}://{user}:{password}@{address}/{old}" + (f"?{query}" if query else "")

    turned = urlsplit(with_database(url, new, TARGET.address if from_host else ""))

    assert unquote(turned.path.removeprefix("/")) == new
    assert (turned.scheme, turned.username, turned.password, turned.query) == (scheme, user, password, query)
    assert turned.netloc.rpartition("@")[2] == ("127.0.0.1:5432" if from_host else address)


@pytest.mark.parametrize(
    ("url", "turned"),
    [
        ("postgresql://u:p@postgres:5432/taskflow", "postgresql://u:p@127.0.0.1:5432/scratch"),
        ("postgresql://u:p@postgres/taskflow?schema=x", "postgresql://u:p@127.0.0.1:5432/scratch?schema=x"),
        ("postgresql://u:p@ss@postgres/taskflow", "postgresql://u:p@ss@127.0.0.1:5432/scratch"),
        ("postgresql://postgres:5432/taskflow", "postgresql://127.0.0.1:5432/scratch"),
        ("postgresql://u:p[ss@postgres:5432/taskflow", "postgresql://u:p[ss@127.0.0.1:5432/scratch"),
    ],
)
def test_from_this_machine_a_url_leads_to_the_published_port(url: str, turned: str) -> None:
    assert with_database(url, "scratch", TARGET.address) == turned


def test_a_url_of_a_unix_socket_keeps_its_empty_host() -> None:
    url = "postgresql:///taskflow?host=/run/postgresql"

    assert with_database(url, "scratch") == "postgresql:///scratch?host=/run/postgresql"


@pytest.mark.parametrize(
    ("url", "user", "database"),
    [
        ("postgresql://sso:p%40ss@postgres:5432/taskflow", "sso", "taskflow"),
        ("postgresql+psycopg://sso@postgres/taskflow?sslmode=disable", "sso", "taskflow"),
        ("postgresql://my%20sso:p:w@postgres/task%2Fflow", "my sso", "task/flow"),
        ("postgresql://sso:p@ss@postgres/taskflow", "sso", "taskflow"),
        ("postgresql://postgres:5432/taskflow", "", "taskflow"),
        ("postgresql://sso:p@postgres", "sso", ""),
        ("postgresql:///taskflow?host=/run/postgresql", "", "taskflow"),
        ("nonsense", "", ""),
    ],
)
def test_a_url_says_who_connects_and_where_to(url: str, user: str, database: str) -> None:
    assert user_and_database(url) == (user, database)


@given(user=_secrets, password=_secrets, host=_hosts, database=_secrets)
def test_user_and_database_are_read_from_any_url(user: str, password: str, host: str, database: str) -> None:
    assert user_and_database(f"postgresql://{user}:{password}@{host}:5432/{database}?a=b/c@d") == (
        unquote(user),
        unquote(database),
    )


@pytest.mark.parametrize(
    ("url", "turned"),
    [
        ("postgresql://boss:x@db:5432/shop?a=b@c", "postgresql://api:${PW}@db:5432/shop?a=b@c"),
        ("postgresql+asyncpg://boss:p%40@[::1]/shop", "postgresql+asyncpg://api:${PW}@[::1]/shop"),
        ("postgres://db/shop", "postgres://api:${PW}@db/shop"),
        ("postgresql://boss@/shop?host=/run", "postgresql://api:${PW}@/shop?host=/run"),
    ],
)
def test_a_url_for_somebody_else_keeps_its_server_and_the_rest(url: str, turned: str) -> None:
    assert with_user(url, "api", "${PW}") == turned


def test_a_target_is_called_by_its_address_and_url() -> None:
    odd = Target("127.0.0.1", 5433, "task flow", "a b", PASSWORD)

    assert odd.address == "127.0.0.1:5433"
    assert odd.url == "postgresql://a%20b@127.0.0.1:5433/task%20flow"
