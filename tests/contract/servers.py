"""Other servers than the one that the tests share: a copy of it with settings of its own, poolers, and impostors."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from scripts.bootorder.database import Target
from tests.conftest import unavailable
from tests.contract.hand import by_hand
from tests.stack import free_ports

_LIMIT = 30.0  # seconds
_OPEN = "host all all 127.0.0.1/32 scram-sha-256\n"
_REPLICATION = "host replication all 127.0.0.1/32 scram-sha-256\n"


# -- a server of its own ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A PostgreSQL that only one test file has. `admin` stays connected, whoever is let in."""

    target: Target
    data: Path
    admin: psycopg.Connection[Any]
    _hba: Path

    def admit(self, lines: str = _OPEN, **settings: str) -> None:
        """Let those in whom these lines of pg_hba.conf let in, with these settings; all in force when this returns."""
        self._hba.write_text(lines, encoding="utf-8")
        for name, value in settings.items():
            self.admin.execute(f"alter system set {name} = '{value}'".encode())
        loaded = "select pg_conf_load_time()"
        before = self.admin.execute(loaded.encode()).fetchone()
        self.admin.execute("select pg_reload_conf()")
        # The server's first process reads them before it takes another connection, and before it tells its sessions.
        while self.admin.execute(loaded.encode()).fetchone() == before:
            pass

    def give(self, name: str, text: bytes) -> Path:
        """A file in its data folder that only it can read."""
        path = self.data / name
        path.write_bytes(text)
        path.chmod(0o600)
        _give(path, self.data.stat())
        return path


@contextlib.contextmanager
def copied(server: Target, folder: Path, *, standby: bool = False) -> Iterator[Server]:
    """A copy of the server as it is now, or a standby of it, in a folder that every account may enter."""
    with by_hand(server) as connection:
        [(programs,)] = connection.execute("select setting from pg_config where name = 'BINDIR'").fetchall()
        [(original,)] = connection.execute("select current_setting('data_directory')").fetchall()
        [(hba,)] = connection.execute("select current_setting('hba_file')").fetchall()
    with _may_be_copied(server, Path(str(hba))):
        data = folder / "data"
        argv = [str(Path(str(programs), "pg_basebackup")), "--pgdata", str(data), "--checkpoint", "fast"]
        argv += ["--host", server.host, "--port", str(server.port), "--username", server.user]
        argv += ["--write-recovery-conf"] if standby else []
        subprocess.run(argv, env={**os.environ, "PGPASSWORD": server.password}, check=True, timeout=_LIMIT)
        account = Path(str(original)).stat()
        _give(data, account)
        own_hba = folder / "pg_hba.conf"
        own_hba.write_text(_OPEN, encoding="utf-8")
        target = replace(server, port=free_ports(["copy"])["copy"])
        settings = {"hba_file": own_hba, "max_prepared_transactions": 5, "log_min_messages": "fatal"}
        argv = [str(Path(str(programs), "postgres")), "-D", str(data), "-p", str(target.port)]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with _running(argv, account), _once(target) as admin:
            yield Server(target, data, admin, own_hba)


@contextlib.contextmanager
def _may_be_copied(server: Target, hba: Path) -> Iterator[None]:
    before = hba.read_text(encoding="utf-8")
    try:
        with by_hand(server) as connection:
            hba.write_text(before + _REPLICATION, encoding="utf-8")
            connection.execute("select pg_reload_conf()")
        yield
    finally:
        with by_hand(server) as connection:
            hba.write_text(before, encoding="utf-8")
            connection.execute("select pg_reload_conf()")


def _give(path: Path, account: os.stat_result) -> None:
    if os.geteuid() == 0:
        for one in (path, *path.rglob("*")):
            os.chown(one, account.st_uid, account.st_gid)


@contextlib.contextmanager
def _running(argv: Sequence[str], account: os.stat_result) -> Iterator[None]:
    """As the account that the server's data belong to: as root neither PostgreSQL nor PgBouncer would run."""
    how: dict[str, Any] = {"cwd": os.sep, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    if os.geteuid() == 0:
        how |= {"user": account.st_uid, "group": account.st_gid, "extra_groups": []}
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL, env={"LC_ALL": "C"}, **how) as process:
        try:
            yield
        finally:
            process.send_signal(2)  # a fast shutdown
            try:
                process.wait(_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()


def _once(target: Target) -> psycopg.Connection[Any]:
    """A connection to it, once it answers."""
    deadline = time.monotonic() + _LIMIT
    while True:
        try:
            return by_hand(target)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


# -- a pooler ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pooler(server: Target, folder: Path, settings: str = "") -> Iterator[Target]:
    """PgBouncer before the server, as it is by default but for these lines. Skips where there is none."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        unavailable("no pgbouncer (Debian: pgbouncer)")
        raise AssertionError
    with by_hand(server) as connection:
        [(data,)] = connection.execute("select current_setting('data_directory')").fetchall()
    account = Path(str(data)).stat()
    port = free_ports(["pooler"])["pooler"]
    password = server.password.replace('"', '""')
    (folder / "users").write_text(f'"{server.user}" "{password}"\n', encoding="utf-8")
    ini = f"""
[databases]
* = host={server.host} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_file = {folder / "users"}
{settings}
"""
    (folder / "pgbouncer.ini").write_text(ini, encoding="utf-8")
    for path in (folder, *folder.iterdir()):
        _give(path, account)
    target = replace(server, port=port)
    with _running([program, str(folder / "pgbouncer.ini")], account):
        wait_until_it_listens(target)
        yield target


def wait_until_it_listens(target: Target) -> None:
    deadline = time.monotonic() + _LIMIT
    while True:
        try:
            socket.create_connection((target.host, target.port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


# -- what only listens ------------------------------------------------------------------------------------------------

Answers = Callable[["Talk"], None]


@dataclass
class Talk:
    """One connection to an impostor. `heard`: every byte that came."""

    wire: socket.socket
    heard: bytearray

    def hear(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self.wire.recv(count - len(got))
            if not more:
                raise ConnectionError
            self.heard += more
            got += more
        return got

    def begin(self) -> None:
        """Until the startup packet has come: requests for encryption are declined."""
        while True:
            length, code = struct.unpack("!ii", self.hear(8))
            self.hear(length - 8)
            if code not in _ENCRYPTIONS:
                return
            self.wire.sendall(b"N")

    def message(self) -> bytes:
        """The body of the next message."""
        self.hear(1)
        [length] = struct.unpack("!i", self.hear(4))
        return self.hear(length - 4)

    def ask(self, kind: int, body: bytes = b"") -> None:
        """A request for authentication."""
        self.wire.sendall(b"R" + struct.pack("!ii", 8 + len(body), kind) + body)

    def hear_all(self) -> None:
        """Whatever comes until the other side hangs up."""
        while more := self.wire.recv(4096):
            self.heard += more


_ENCRYPTIONS = {80877103, 80877104}  # SSLRequest and GSSENCRequest


@dataclass
class Impostor:
    """Something that listens: how often it was connected to, and all that it heard."""

    port: int
    heard: bytearray = field(default_factory=bytearray)
    connections: int = 0


@contextlib.contextmanager
def impostor(answers: Answers, port: int = 0) -> Iterator[Impostor]:
    """Something that is no PostgreSQL, or only pretends to be one, on this port or a free one."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        made = Impostor(listener.getsockname()[1])
        wires: list[socket.socket] = []
        ended = threading.Event()

        def talk(wire: socket.socket) -> None:
            with contextlib.suppress(OSError):
                answers(Talk(wire, made.heard))
            _hang_up(wire)

        def serve() -> None:
            with ThreadPoolExecutor() as talks:
                while not ended.is_set():
                    wire, _ = listener.accept()
                    wires.append(wire)
                    if not ended.is_set():
                        made.connections += 1
                        talks.submit(talk, wire)
                for wire in wires:
                    _hang_up(wire)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield made
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", made.port)).close()  # ends the last wait for one
            serving.join()
            for wire in wires:
                wire.close()


def _hang_up(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


def with_tls(server: Target, context: ssl.SSLContext) -> Answers:
    """Speaks TLS with who connects, and passes on to the server what is said."""

    def answers(talk: Talk) -> None:
        talk.hear(8)
        talk.wire.sendall(b"S")
        with (
            context.wrap_socket(talk.wire.dup(), server_side=True) as client,
            socket.create_connection((server.host, server.port)) as upstream,
            ThreadPoolExecutor(1) as back,
        ):
            back.submit(_pass_on, upstream, client)
            _pass_on(client, upstream)

    return answers


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(4096):
            other.sendall(data)
    _hang_up(other)
