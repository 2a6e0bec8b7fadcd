"""What a collector gets over HTTP, and what one that is not there costs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from scripts.bootorder.timeline.spans import Recording, Span
from scripts.bootorder.timeline.telemetry import ENDPOINT, send
from tests.stack import free_ports

RECORDING = Recording(1795000000, {"stack": "taskflow"}, (Span(0, None, "db-up", "stage", 0, 1, "done"),))


@dataclass
class Collector:
    """A server that keeps what it is sent."""

    endpoint: str = ""
    code: int = 200
    got: list[tuple[str, Message, Any]] = field(default_factory=list)


def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.got.append((self.path, self.headers, json.loads(body)))
            self.send_response(collector.code)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002  # its name in the base class
            """Nothing: the tests look at what came."""

    for endpoint in serving(Handler):
        collector.endpoint = endpoint
        yield collector


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)


def said(command: str = "start") -> list[str]:
    lines: list[str] = []
    send(RECORDING, command, lines.append)
    return lines


def test_a_collector_gets_the_spans_as_otlp_has_them(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"{collector.endpoint}/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=s%20ecret, x-team = boots")

    assert said() == []

    [(path, headers, document)] = collector.got
    assert path == "/v1/traces"
    assert headers["Content-Type"] == "application/json"
    assert (headers["x-key"], headers["x-team"]) == ("s ecret", "boots")
    [scope] = document["resourceSpans"][0]["scopeSpans"]
    assert [span["name"] for span in scope["spans"]] == ["start", "db-up"]


def test_the_address_for_traces_is_taken_as_it_is(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.endpoint}/mine")

    assert said() == []
    assert collector.got[0][0] == "/mine"


def test_a_collector_that_refuses_is_a_note(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    collector.code = 401
    monkeypatch.setenv(ENDPOINT, collector.endpoint)

    [note] = said()

    assert "no spans were sent" in note
    assert "401" in note


@pytest.mark.parametrize(
    "endpoint",
    [
        lambda: f"http://127.0.0.1:{free_ports(['it'])['it']}",
        lambda: "nonsense",
        lambda: "http://[",
        lambda: "http://a b:x/",
    ],
    ids=["nobody listens", "no address", "half an address", "a broken address"],
)
def test_a_collector_that_is_not_there_is_a_note(endpoint: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, endpoint())

    [note] = said()

    assert ENDPOINT in note


def test_a_key_that_cannot_be_a_header_is_not_told(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=top%0Asecret")

    [note] = said()

    assert "secret" not in note
    assert collector.got == []


def test_a_collector_that_answers_bit_by_bit_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bit is in time, and so no socket's own limit ends it."""
    ended = Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not ended.wait(0.2):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

        thread = Thread(target=drip)
        thread.start()
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{listener.getsockname()[1]}")

        [note] = said()

        assert "no answer within 1 s" in note
        ended.set()
        thread.join()
