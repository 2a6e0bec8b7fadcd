"""One HTTP request with one deadline for the whole answer, however slowly it comes."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .terminal import plain

_MOST_BYTES = 64 * 1024  # of a whole answer; of a longer body only this much is read
_SHOWN = 300  # characters, of a body or an address


@dataclass(frozen=True)
class Answer:
    """What an app said. `location`: where a redirect points; it is not followed."""

    status: int
    body: str
    location: str

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400  # noqa: PLR2004  # as RFC 9110 has them

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004


def get(host: str, port: int, path: str, seconds: float, now: Callable[[], float] = time.monotonic) -> Answer:
    """Ask for this path, without proxies and redirects. Raises OSError (TimeoutError), ValueError or HTTPException."""
    end = now() + seconds
    connection = http.client.HTTPConnection(host, port)
    with socket.create_connection((host, port), timeout=seconds) as plain_socket:
        connection.sock = _Timed(plain_socket, lambda: end - now(), seconds)
        connection.request("GET", path, headers={"Connection": "close", "User-Agent": "bootorder"})
        with connection.getresponse() as answer:
            return Answer(answer.status, _shown(_body(answer)), _shown(answer.headers.get("Location", "")))


def _body(answer: http.client.HTTPResponse) -> str:
    read = b""
    try:
        while chunk := answer.read1(_MOST_BYTES):
            read += chunk
    except _TooMuchError:
        pass  # what a page says at its end changes nothing
    else:
        if answer.length:
            raise http.client.IncompleteRead(read, answer.length)
    return read[: 4 * _SHOWN].decode(errors="replace")


def _shown(text: str) -> str:
    """Return it as one line of bounded length that does nothing to a terminal."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in plain(text)).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


class _TooMuchError(ValueError):
    pass


class _Timed:
    """A socket whose reads and writes are all over by the same moment, and which gives so many bytes at most."""

    def __init__(self, inner: socket.socket, left: Callable[[], float], seconds: float) -> None:
        self._inner = inner
        self._left = left
        self._seconds = seconds
        self._read = 0

    def _limit(self) -> None:
        left = self._left()
        if left <= 0:
            raise self._late()
        self._inner.settimeout(left)

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no whole answer within {self._seconds:g} s ({self._read} bytes came)")

    def sendall(self, data: bytes) -> None:
        self._limit()
        self._inner.sendall(data)

    def receive_into(self, buffer: Any) -> int:
        if self._read >= _MOST_BYTES:
            raise _TooMuchError(f"more than {_MOST_BYTES} bytes before its body")
        self._limit()
        try:
            count = self._inner.recv_into(memoryview(buffer)[: _MOST_BYTES - self._read])
        except TimeoutError:
            raise self._late() from None
        self._read += count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self))

    def close(self) -> None:
        """Nothing: who opened the socket closes it."""


class _Reads(io.RawIOBase):
    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._timed.receive_into(buffer)
