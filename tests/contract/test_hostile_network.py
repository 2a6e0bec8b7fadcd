"""What listens where the database or an app should, and is neither: it gets no password, and is believed in nothing."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from scripts.bootorder import http_get
from scripts.bootorder.database import CONNECT_SECONDS, Target
from scripts.bootorder.probes import Ready
from scripts.bootorder.processes import within

PASSWORD = "the password of the tasks"
LIMIT = 4 * CONNECT_SECONDS


def message(kind: bytes, body: bytes) -> bytes:
    """One message of the PostgreSQL protocol."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


OK = message(b"R", (0).to_bytes(4, "big"))
READY = message(b"Z", b"I")
VERSION = message(b"S", b"server_version\0" + b"18.0\0")
ANSWERS = {
    "asks for the password itself": [message(b"R", (3).to_bytes(4, "big"))],
    "asks for its MD5": [message(b"R", (5).to_bytes(4, "big") + b"salt")],
    "lets everybody in": [OK + VERSION + READY],
    "asks for another method": [message(b"R", (10).to_bytes(4, "big") + b"PLAIN\0\0")],
    "pretends to know the password": [
        message(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0"),
        message(b"R", (11).to_bytes(4, "big") + b"r=nonce,s=c2FsdA==,i=1"),
        message(b"R", (12).to_bytes(4, "big") + b"v=c2lnbmF0dXJl") + OK + VERSION + READY,
    ],
    "skips the proof": [message(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0"), OK + VERSION + READY],
    "is silent": [],
    "fails without end": [b"E" + (1024**3).to_bytes(4, "big") + b"SFATAL\0M" + b"x" * 100_000],
    "says nonsense": [b"HTTP/1.1 200 OK\r\n\r\n" * 10],
    "breaks off": [b""],
}


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on a free port of loopback that does this with every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=one, args=[connection], daemon=True).start()

        def one(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("how", ANSWERS)
def test_what_is_no_server_of_ours_learns_no_password_and_is_not_believed(how: str) -> None:
    heard = bytearray()
    asked = threading.Event()

    def serve(connection: socket.socket) -> None:
        for answer in ANSWERS[how]:
            heard.extend(connection.recv(65536))
            asked.set()
            if not answer:
                return
            connection.sendall(answer)
        while chunk := connection.recv(65536):
            heard.extend(chunk)
            asked.set()

    with listening(serve) as port:
        looked = within(LIMIT, Target("127.0.0.1", port, "shop", "boss", PASSWORD).look)

    assert asked.is_set()
    assert not isinstance(looked, Ready)
    assert PASSWORD.encode() not in heard
    assert b"md5" not in heard


def test_a_server_that_answers_byte_by_byte_is_given_up() -> None:
    """Each byte comes in time, the whole never does."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for byte in message(b"E", b"SFATAL\0" + b"x" * 10_000):
            connection.sendall(bytes([byte]))
            time.sleep(0.2)

    with listening(serve) as port:
        begun = time.monotonic()
        looked = within(LIMIT, Target("127.0.0.1", port, "shop", "boss", PASSWORD).look)

    assert not isinstance(looked, Ready)
    assert time.monotonic() - begun < LIMIT


# -- an app ------------------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
PAGES = {
    "headers without end": HEAD + b"X: " + b"x" * 1_000_000,
    "many headers": HEAD + b"X: y\r\n" * 100_000,
    "a length that is none": HEAD + b"Content-Length: 99999999999999999999\r\n\r\nx",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\nx",
    "a chunk that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzzzz\r\nx",
    "a chunk of all memory": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + b"x" * 200_000,
    "no status": b"\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a status of three hundred thousand": b"HTTP/1.1 300000 OK\r\n\r\n",
    "zeros": b"\0" * 100_000,
}


@pytest.mark.parametrize("page", PAGES)
def test_no_answer_of_an_app_takes_memory_or_time_or_is_an_unknown_failure(page: str) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(PAGES[page])

    with listening(serve) as port, contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        answer = within(LIMIT, lambda: http_get.get("127.0.0.1", port, "/", 1.0))
        assert len(answer.body) < 400


@pytest.mark.parametrize(
    "text", ["\x1b[2K\x1b[1A[9/9] wait-apps  web healthy", "a\r\n[9/9] wait-apps", "\u202e\u2066x\u2028y", "\x9b1A\0"]
)
def test_what_an_app_says_of_its_health_forges_no_line_of_ours(text: str) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 503 No\r\nContent-Type: text/plain\r\n\r\n" + text.encode())

    with listening(serve) as port:
        answer = http_get.get("127.0.0.1", port, "/", 2.0)

    assert not answer.is_success
    assert answer.body.isprintable()
