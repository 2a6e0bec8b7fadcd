"""Connecting to the stack's database: only to a PostgreSQL of its own, which never gets the password itself."""

from __future__ import annotations

import base64
import io
import re
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from scripts.bootorder import access, database
from scripts.bootorder.boot import Boot
from scripts.bootorder.console import Console
from scripts.bootorder.database import Target
from scripts.bootorder.errors import NotReadyError, SettingsError
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.migrate import migrate
from scripts.bootorder.probes import Failed, Look, NotYet, Ready, SystemClock
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.scratch import scratch_database
from scripts.bootorder.seed import seed
from scripts.bootorder.settings import parse
from scripts.bootorder.status import status
from scripts.bootorder.trial import changes
from tests.contract.hand import by_hand

from .owners import Workbench, workbench
from .servers import Answers, Server, Talk, copied, impostor, pooler, with_tls
from .tiny import FOLDER, EmbeddedTiny

AT_ONCE = 10.0  # seconds, on a busy machine; that no time was over says the error


def failed(look: Look) -> NotReadyError | SettingsError:
    assert isinstance(look, Failed), look
    assert isinstance(look.error, (NotReadyError, SettingsError))
    return look.error


# -- a standby --------------------------------------------------------------------------------------------------------


def test_a_standby_is_not_ready_until_it_is_promoted(server: Target, new_folder: Callable[[], Path]) -> None:
    with copied(server, new_folder(), standby=True) as standby:
        seen = standby.target.look()
        assert seen == NotYet(f"the server on {standby.target.address} is a standby: it takes no changes")

        standby.admin.execute("select pg_promote()")
        assert isinstance(standby.target.look(), Ready)


# -- a pooler ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "auth_type = scram-sha-256",
        "auth_type = scram-sha-256\nignore_startup_parameters = extra_float_digits",
        "auth_type = scram-sha-256\nignore_startup_parameters = options",
        "auth_type = scram-sha-256\nignore_startup_parameters = options\npool_mode = transaction",
        "auth_type = scram-sha-256\nignore_startup_parameters = options\npool_mode = statement",
    ],
    ids=["as it comes", "scram", "as JDBC needs it", "session", "transaction", "statement"],
)
def test_a_pooler_is_recognised_at_once(database: Target, new_folder: Callable[[], Path], settings: str) -> None:
    with pooler(database, new_folder(), settings) as target:
        begun = time.monotonic()
        error = failed(target.look())

    assert time.monotonic() - begun < AT_ONCE
    assert error.exit_code == 2
    assert "connection pooler" in error.message
    assert "PostgreSQL's own port" in error.hint
    assert database.password not in str(error.as_data())


def test_no_stage_goes_through_a_pooler(
    tmp_path: Path, roles: Mapping[str, str], database: Target, new_folder: Callable[[], Path]
) -> None:
    bench = workbench(tmp_path, database, roles)
    settings = "auth_type = scram-sha-256\nignore_startup_parameters = options\npool_mode = transaction"
    with pooler(database, new_folder(), settings) as target:
        bench.runtime.target = target
        for stage in (guard, migrate, seed, changes):
            with pytest.raises(SettingsError, match="connection pooler"):
                _run(stage, bench)

    assert bench.runtime.runs == []


def _run(stage: Callable[[Boot], object], bench: Workbench) -> None:
    owners = {"sso": {"migrator": "command", "service": "sso", "migrate": "push", "seed": "seed"}}
    stage(bench.boot(owners=owners))


# -- a server that lets nobody in, or too easily -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(server: Target, new_folder: Callable[[], Path]) -> Iterator[Server]:
    """A server whose settings the tests change as they like."""
    with copied(server, new_folder()) as made:
        made.admin.execute("set password_encryption to md5")
        made.admin.execute("create role old superuser login password 'x'")
        yield made


SCRAM = "host all all 127.0.0.1/32 scram-sha-256\n"


def test_a_server_that_knows_the_way_is_ready(other: Server) -> None:
    other.admit(SCRAM)

    assert isinstance(other.target.look(), Ready)


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        ("host all all 127.0.0.1/32 reject\n", 'does not let "boot" in', "pg_hba.conf"),
        ("host all somebody 127.0.0.1/32 scram-sha-256\n", 'does not let "boot" in', "pg_hba.conf"),
        ("hostssl all all 127.0.0.1/32 scram-sha-256\n", 'does not let "boot" in', "`ssl` on"),
        ("host all all 127.0.0.1/32 trust\n", 'does not ask "boot" for its password', "scram-sha-256"),
        ("host all all 127.0.0.1/32 password\n", 'does not ask "boot" for its password', "scram-sha-256"),
        ("host all all 127.0.0.1/32 ident\n", 'does not ask "boot" for its password', "scram-sha-256"),
    ],
    ids=["reject", "somebody else", "hostssl", "trust", "password", "ident"],
)
def test_what_keeps_the_tasks_out_is_said_at_once(other: Server, lines: str, message: str, hint: str) -> None:
    other.admit(lines)
    begun = time.monotonic()
    error = failed(other.target.look())

    assert time.monotonic() - begun < AT_ONCE
    assert error.exit_code == 4
    assert message in error.message
    assert hint in error.hint
    assert other.target.password not in str(error.as_data())


def test_a_password_that_the_server_keeps_as_md5_is_not_answered(other: Server) -> None:
    """Whoever hears the answer could find the password out."""
    other.admit("host all all 127.0.0.1/32 md5\n")

    assert isinstance(other.target.look(), Ready)  # kept as SCRAM, `md5` means just that
    error = failed(replace(other.target, user="old", password="x").look())
    assert "(md5)" in error.message
    assert "hashed password" in error.seen
    assert "password_encryption" in error.hint


# -- TLS; the PostgreSQL of the wheel has none: something before it speaks it ------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, a certificate that it signed itself, and one that has expired."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db", "-keyout", "key", "-out", "own")
    openssl("req", "-new", "-key", "key", "-subj", "/CN=db", "-out", "request")
    (folder / "index").touch()
    authority = "database=index\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\nrand_serial=yes\n"
    (folder / "ca").write_text(f"[ca]\ndefault_ca=it\n[it]\n{authority}[any]\ncommonName=supplied\n")
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
    signed = ("-selfsign", "-keyfile", "key", "-in", "request", "-out", "expired")
    openssl("ca", "-batch", "-config", "ca", *signed, *dates)
    return folder


def context(certificates: Path, certificate: str = "own") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificates / certificate, certificates / "key")
    return made


@pytest.mark.parametrize("certificate", ["own", "expired"])
def test_a_server_with_tls_is_ready_whoever_signed_it(database: Target, certificates: Path, certificate: str) -> None:
    """SCRAM proves that it knows the password."""
    with impostor(with_tls(database, context(certificates, certificate))) as listening:
        target = replace(database, port=listening.port)
        assert isinstance(target.look(), Ready)
        with target.connect() as connection:
            assert connection.pgconn.ssl_in_use

    assert listening.connections == 2  # none of them without TLS


def says_no(*words: str) -> Answers:
    """Lets nobody in, for the first reason with TLS and for the second without."""
    replies = iter(words)

    def answers(talk: Talk) -> None:
        talk.begin()
        fields = b"SFATAL\0VFATAL\0C28000\0M" + next(replies).encode() + b"\0\0"
        talk.wire.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)

    return answers


def test_a_server_that_wants_a_certificate_of_its_clients_is_said_to(certificates: Path, server: Target) -> None:
    """As PostgreSQL 18 with `hostssl ... clientcert=verify-ca` does."""
    no = says_no(
        "connection requires a valid client certificate",
        'no pg_hba.conf entry for host "127.0.0.1", user "boot", database "postgres", no encryption',
    )
    with impostor(no) as plain:
        with_certificates = with_tls(replace(server, port=plain.port), context(certificates))

        def answers(talk: Talk) -> None:
            (with_certificates if listening.connections == 1 else no)(talk)

        with impostor(answers) as listening:
            error = failed(replace(server, port=listening.port).look())

    assert "no pg_hba.conf entry" in error.seen
    assert "certificate" in error.message
    assert "clientcert" in error.hint


def test_a_tls_that_wants_a_certificate_of_its_clients_is_said_to(certificates: Path, server: Target) -> None:
    wants = context(certificates)
    wants.verify_mode = ssl.CERT_REQUIRED
    wants.load_verify_locations(certificates / "own")

    with impostor(with_tls(server, wants)) as listening:
        error = failed(replace(server, port=listening.port).look())

    assert "certificate" in error.message


def test_a_tls_that_breaks_is_said(server: Target) -> None:
    no = says_no('no pg_hba.conf entry for host "127.0.0.1", user "boot", database "postgres", no encryption')

    def answers(talk: Talk) -> None:
        if listening.connections > 1:
            no(talk)
            return
        talk.hear(8)
        talk.wire.sendall(b"S")
        talk.hear(5)
        talk.wire.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # alert: protocol_version
        talk.hear_all()

    with impostor(answers) as listening:
        error = failed(replace(server, port=listening.port).look())

    assert "do not agree on TLS" in error.message


# -- who only pretends to be the database -----------------------------------------------------------------------------


def cleartext(talk: Talk) -> None:
    talk.begin()
    talk.ask(3)
    talk.hear_all()


def md5(talk: Talk) -> None:
    talk.begin()
    talk.ask(5, b"salt")
    talk.hear_all()


def everybody(talk: Talk) -> None:
    talk.begin()
    talk.ask(0)
    talk.hear_all()


def scram(end: Callable[[Talk], None]) -> Answers:
    """Asks as a server does, and does not know the password."""

    def answers(talk: Talk) -> None:
        talk.begin()
        talk.ask(10, b"SCRAM-SHA-256\0\0")
        found = re.search(rb"r=([^,]+)", talk.message())
        assert found
        talk.ask(11, b"r=" + found[1] + b"x,s=" + base64.b64encode(b"salt") + b",i=4096")
        talk.message()
        end(talk)
        talk.hear_all()

    return answers


wrong_signature = scram(lambda talk: talk.ask(12, b"v=" + base64.b64encode(b"x" * 32)))
no_signature = scram(lambda talk: talk.ask(0))


@pytest.mark.parametrize(
    ("answers", "message", "seen"),
    [
        (cleartext, "does not ask", "cleartext password"),
        (md5, "(md5)", "hashed password"),
        (everybody, "does not ask", "did not complete authentication"),
        (wrong_signature, "is not this stack's database", "incorrect server signature"),
        (no_signature, "", ""),
    ],
    ids=["cleartext", "md5", "trust", "wrong signature", "no signature"],
)
def test_an_impostor_gets_no_password_and_is_not_believed(
    server: Target, answers: Answers, message: str, seen: str
) -> None:
    begun = time.monotonic()
    with impostor(answers) as listening:
        error = failed(replace(server, port=listening.port).look())

    assert time.monotonic() - begun < AT_ONCE
    assert message in error.message
    assert seen in error.seen
    assert server.user.encode() in listening.heard  # so far it came
    assert server.password.encode() not in listening.heard
    assert b"md5" not in listening.heard


def http(talk: Talk) -> None:
    talk.hear(8)
    talk.wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def garbage(talk: Talk) -> None:
    talk.wire.sendall(bytes(range(255, 0, -1)) * 8)
    talk.hear_all()


def garbage_after_the_start(talk: Talk) -> None:
    talk.begin()
    talk.wire.sendall(bytes(range(255, 0, -1)) * 8)
    talk.hear_all()


def ssh(talk: Talk) -> None:
    talk.wire.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    talk.hear_all()


@pytest.mark.parametrize("answers", [http, garbage, garbage_after_the_start])
def test_what_is_no_postgresql_is_said_to_be_none(server: Target, answers: Answers) -> None:
    begun = time.monotonic()
    with impostor(answers) as listening:
        error = failed(replace(server, port=listening.port).look())

    assert time.monotonic() - begun < AT_ONCE
    assert "is not this stack's database" in error.message
    assert "doctor" in error.hint


def silent(talk: Talk) -> None:
    talk.hear_all()


def drips(talk: Talk) -> None:
    talk.begin()
    for byte in b"R" + (8).to_bytes(4) + b"\0" * 4 + b"N" * 60:
        talk.wire.sendall(bytes([byte]))
        if threading.Event().wait(0.25):
            return


@pytest.mark.parametrize("answers", [silent, drips, ssh])
def test_what_says_nothing_or_too_little_is_asked_again_later(
    server: Target, monkeypatch: pytest.MonkeyPatch, answers: Answers
) -> None:
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    begun = time.monotonic()
    with impostor(answers) as listening:
        look = replace(server, port=listening.port).look()
        seconds = time.monotonic() - begun

    assert seconds < AT_ONCE  # all that drips would take 17 s
    assert isinstance(look, NotYet)
    assert "timeout" in look.seen


# -- connections that are kept -----------------------------------------------------------------------------------------


def process(target: Target) -> int:
    with target.connect() as connection:
        return connection.info.backend_pid


def test_within_a_block_a_thread_has_one_connection_to_each_database(database: Target, odd_database: Target) -> None:
    found: list[int] = []
    with database.kept(), odd_database.kept():
        mine = process(database)
        other_thread = threading.Thread(target=lambda: found.append(process(database)))
        other_thread.start()
        other_thread.join()
        with database.kept():
            assert process(database) == mine
        assert process(database) == mine
        assert process(odd_database) != mine
        assert process(replace(database, name="postgres")) not in {mine, process(odd_database)}

    assert found != [mine]
    assert process(database) != mine


def test_nobody_is_connected_when_a_clone_is_made(database: Target) -> None:
    with database.kept():
        before = process(database)
        with scratch_database(database, "trial", clone=True) as clone:
            assert process(clone) != before
        assert process(database) != before


def test_a_transaction_has_a_connection_of_its_own(database: Target) -> None:
    with database.kept(), database.connect() as kept, database.connect(autocommit=False) as own:
        own.execute("create table public.half ()")
        assert kept.execute("select to_regclass('public.half')").fetchone() == (None,)


@pytest.mark.parametrize("way", ["closed", "ended by the server"])
def test_a_kept_connection_that_broke_is_replaced(database: Target, way: str) -> None:
    with database.kept():
        with database.connect() as connection:
            first = connection.info.backend_pid
            if way == "closed":
                connection.close()
            else:
                with by_hand(database) as other:
                    other.execute("select pg_terminate_backend(%s, 5000)", [first])
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("select 1")
        assert process(database) != first


# -- the server that answers is the stack's own ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(postgres_programs: None, new_folder: Callable[[], Path]) -> Iterator[EmbeddedTiny]:
    """A stack without Docker whose database has data and does not run."""
    with EmbeddedTiny(new_folder() / FOLDER) as stack:
        stack.start("database")
        stack.database()
        stack.runtime.stop()
        with (stack.folder / ".env").open("a", encoding="utf-8") as env:
            env.write("TOOL_DB_PASSWORD=secret\n")
        yield stack


def boot_of(stack: EmbeddedTiny) -> Boot:
    asked = stack.asked
    owner = {"migrator": "command", "service": "tool", "migrate": "true", "seed": "true"}
    settings = {
        "database": {"service": "database", "name": asked.name, "user": asked.user, "password": "TINY_PASSWORD"},
        "owners": {"tool": owner},
    }
    runtime = stack.open(stack.folder)
    console = Console(io.StringIO())
    return Boot(stack.folder, parse({"bootorder": settings}), runtime, SystemProcesses(), console, SystemClock())


@pytest.mark.parametrize(
    "asks",
    [
        access.tables,
        lambda boot: access.url(boot, "tool"),
        lambda boot: access.shell(boot, "tool", "select 1"),
        guard,
        migrate,
        seed,
        changes,
    ],
    ids=["tables", "url", "psql", "guard", "migrate", "seed", "plan"],
)
def test_nobody_else_on_the_port_of_a_stopped_database_is_asked(
    stopped: EmbeddedTiny, asks: Callable[[Boot], object]
) -> None:
    with impostor(cleartext, stopped._port) as listening, pytest.raises(NotReadyError) as refused:
        asks(boot_of(stopped))

    assert refused.value.first == ("db-up", "wait-db")
    assert bytes(listening.heard) == b""


def test_a_status_asks_nobody_else_either(stopped: EmbeddedTiny) -> None:
    with impostor(cleartext, stopped._port) as listening:
        found = status(boot_of(stopped))

    assert found["database"]["url"] is None
    assert bytes(listening.heard) == b""
