from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from typing import Any, Self

import pytest

from scripts.bootorder.http_get import Answer, get

from .fakes import FakeClock

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class FakeSocket:
    """An app's end of a connection: gives these bytes in pieces of this size, each after a while; the first at once."""

    def __init__(self, clock: FakeClock, text: bytes, piece: int, every: float, fast: int) -> None:
        self.asked = b""
        self.given = 0
        self._clock = clock
        self._text = text
        self._piece = piece
        self._every = every
        self._fast = fast  # bytes
        self._timeout = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0
        self._timeout = seconds

    def sendall(self, data: bytes) -> None:
        self.asked += data

    def recv_into(self, buffer: Any) -> int:
        every = 0.0 if self.given < self._fast else self._every
        if every > self._timeout:
            self._clock.sleep(self._timeout)
            raise TimeoutError("timed out")
        self._clock.sleep(every)
        part = self._text[self.given : self.given + min(self._piece, len(buffer))]
        buffer[: len(part)] = part
        self.given += len(part)
        return len(part)


Serving = Callable[..., FakeSocket]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def serving(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Serving:
    def serve(text: bytes, piece: int = 65536, every: float = 0.0, fast: int = 0) -> FakeSocket:
        fake = FakeSocket(clock, text, piece, every, fast)
        monkeypatch.setattr(socket, "create_connection", lambda address, timeout: fake)
        return fake

    return serve


def ask(clock: FakeClock, path: str = "/health") -> Answer:
    return get("127.0.0.1", 8000, path, 2.0, clock.now)


def test_the_path_is_asked_for_and_status_and_body_are_the_answer(serving: Serving, clock: FakeClock) -> None:
    app = serving(HEAD + b"ok")

    assert ask(clock) == Answer(200, "ok", "")
    assert app.asked.startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
    assert b"\r\nConnection: close\r\n" in app.asked


@pytest.mark.parametrize(
    "text",
    [
        HEAD + b"ok",
        b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 20,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
    ids=["status line", "headers", "body", "chunks", "interim answers"],
)
@pytest.mark.parametrize("fast", [0, 17, 19, 47])
def test_an_answer_that_comes_byte_by_byte_is_given_up_when_its_time_is_over(
    serving: Serving, clock: FakeClock, text: bytes, fast: int
) -> None:
    """Wherever it slows down: each of its bytes comes well within a timeout for one read."""
    serving(text, piece=1, every=0.7, fast=min(fast, len(text) - 5))

    with pytest.raises(TimeoutError, match="no whole answer within 2 s"):
        ask(clock)

    assert clock.now() == pytest.approx(2.0)


def test_a_body_without_an_end_is_read_to_a_bound_and_its_status_counts(serving: Serving, clock: FakeClock) -> None:
    app = serving(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)

    answer = ask(clock)

    assert answer.status == 200
    assert len(answer.body) < 400
    assert app.given <= 64 * 1024


def test_headers_without_an_end_are_no_answer(serving: Serving, clock: FakeClock) -> None:
    app = serving(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 60_000 + b"\r\n") * 100)

    with pytest.raises(ValueError, match="before its body"):
        ask(clock)

    assert app.given <= 64 * 1024


def test_a_body_that_breaks_off_is_no_whole_answer(serving: Serving, clock: FakeClock) -> None:
    serving(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")

    with pytest.raises(http.client.IncompleteRead):
        ask(clock)


def test_a_redirect_is_not_followed_and_its_address_does_nothing_to_a_terminal(
    serving: Serving, clock: FakeClock
) -> None:
    where = b"http://login.example/\x1b[31m?" + b"x" * 1000
    serving(b"HTTP/1.1 302 Found\r\nLocation: " + where + b"\r\nContent-Length: 0\r\n\r\n")

    answer = ask(clock)

    assert answer.is_redirect
    assert answer.location.startswith("http://login.example/?xxx")
    assert answer.location.isprintable()
    assert len(answer.location) < 310


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX-Injected: 1", "/hälth"])
def test_a_path_that_is_none_is_not_sent(serving: Serving, clock: FakeClock, path: str) -> None:
    app = serving(HEAD + b"ok")

    with pytest.raises((ValueError, http.client.HTTPException)):
        ask(clock, path)

    assert app.asked == b""
