"""Nothing waits for ever: for an app's answer, an engine, a command. Real sockets, processes and containers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from scripts.bootorder import http_get, processes
from scripts.bootorder.errors import MachineError, MigrationError
from scripts.bootorder.processes import Limit, SystemProcesses, tool_limit
from scripts.bootorder.runtimes import engine as engine_module
from scripts.bootorder.runtimes.base import Address, Service
from scripts.bootorder.runtimes.engine import Engine
from tests.stack import ROOT, free_ports

from .tiny import _SERVE, _WAIT, LIMIT, ComposeTiny, EmbeddedTiny, Part, docker, ignore, python

SECONDS = 0.5  # what is waited for here
SOON = SECONDS + 9.5  # on a busy machine; what answers byte by byte goes on for longer


@contextlib.contextmanager
def listening(
    kind: socket.AddressFamily, address: tuple[str, int] | str, *said: bytes, every: float = 0.05
) -> Iterator[None]:
    """A server that answers each request with the next of these words at once, and with the last one byte by byte."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not over.is_set() and connection.recv(65536):
                if len(words) > 1:
                    connection.sendall(words.pop(0))
                    continue
                for byte in words[0]:
                    connection.sendall(bytes([byte]))
                    if over.wait(every):
                        return
                over.wait(LIMIT)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()

    words = list(said)
    with socket.socket(kind) as server:
        server.bind(address)
        server.listen()
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield
        finally:
            over.set()


# -- an app's answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK, and that is a long reason",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-Another: and so on and so on\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000,
    ],
    ids=["nothing", "status line", "headers", "body of a length", "body to the end"],
)
def test_an_app_that_answers_byte_by_byte_is_not_waited_for_longer_than_one_that_does_not(text: bytes) -> None:
    port = free_ports(["app"])["app"]
    with listening(socket.AF_INET, ("127.0.0.1", port), text):
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no whole answer within 0\.5 s"):
            http_get.get("127.0.0.1", port, "/", SECONDS)

        assert time.monotonic() - begun < SOON


def test_an_app_that_takes_no_connection_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(3):  # which fills its queue
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            http_get.get("127.0.0.1", server.getsockname()[1], "/", SECONDS)

        assert time.monotonic() - begun < SOON


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/login")
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002  # its name in the base class
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Redirects) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        answer = http_get.get("127.0.0.1", server.server_port, "/", LIMIT)
        server.shutdown()

    assert (answer.status, answer.location) == (302, f"http://127.0.0.1:{server.server_port}/login")
    assert asked == ["/"]


# -- whose answer it is ------------------------------------------------------------------------------------------------

# Its listener has left its parents and their session, as a daemon does.
_DAEMON = f"""
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    exec({_SERVE!r})
signal.pause()
"""


def answered(stack: ComposeTiny | EmbeddedTiny, name: str) -> Service:
    """The service, once somebody answers where it is reached."""
    stack.answer(name)
    return stack.service(name)


@pytest.mark.parametrize("program", [_SERVE, _DAEMON], ids=["a child", "a daemon"])
@pytest.mark.usefixtures("postgres_programs")
def test_a_process_of_the_service_answers_for_it(tmp_path: Path, program: str) -> None:
    parts = {"app": Part(program, ports={8000: free_ports(["app"])["app"]})}
    with EmbeddedTiny(tmp_path / "tiny", parts=parts) as stack:
        stack.start("app")

        assert stack.runtime.foreign_listener(answered(stack, "app")) == ""


@pytest.mark.usefixtures("postgres_programs")
def test_another_program_on_the_port_of_a_process_is_named(tmp_path: Path) -> None:
    port = free_ports(["app"])["app"]
    with EmbeddedTiny(tmp_path / "tiny", parts={"app": Part(_WAIT, ports={8000: port})}) as stack:
        stack.start("app")
        with listening(socket.AF_INET, ("127.0.0.1", port), b""):
            assert f"(pid {os.getpid()})" in stack.runtime.foreign_listener(stack.service("app"))


@pytest.fixture
def on_compose(engine: None, tmp_path: Path) -> Iterator[ComposeTiny]:
    """A program that listens, published on all addresses, in three replicas; and one beside the host's programs."""
    port = free_ports(["app", "host"])
    parts = {"app": Part(_SERVE), "host": Part(_SERVE, environment={"PORT": str(port["host"])})}

    class Stack(ComposeTiny):
        def _service(self, name: str, part: Part) -> dict[str, object]:
            service = super()._service(name, part)
            if name == "host":
                return {**service, "network_mode": "host", "ports": [f"{port['host']}:{port['host']}"]}
            return {**service, "ports": ["8000"], "deploy": {"replicas": 3}}

    with Stack(tmp_path / "tiny", parts=parts) as stack:
        yield stack


def test_all_replicas_count_and_what_is_missing_is_started_again(on_compose: ComposeTiny) -> None:
    stack = on_compose
    stack.start("app")
    service = answered(stack, "app")
    assert (service.state, service.counted) == ("running", "3 of 3 replicas run")
    assert len({address.port for address in service.addresses}) == 3
    assert stack.runtime.foreign_listener(service) == ""

    docker("kill", f"{stack.project}-app-2", f"{stack.project}-app-3")
    dead = stack.once("app", lambda found: found.up == 1)
    assert (dead.state, dead.exit_code, dead.counted) == ("exited", 137, "1 of 3 replicas run")

    assert list(stack.runtime.start(["app"], ignore)) == ["app"]
    assert stack.once("app", lambda found: found.up == 3).running
    assert list(stack.runtime.start(["app"], ignore)) == []

    docker("rm", "--force", f"{stack.project}-app-2")
    assert stack.service("app").state == "absent"


def test_with_the_network_of_the_host_it_is_the_container_s_process_that_answers(on_compose: ComposeTiny) -> None:
    on_compose.start("host")
    service = answered(on_compose, "host")
    assert on_compose.runtime.foreign_listener(service) == ""

    port = free_ports(["another"])["another"]
    with listening(socket.AF_INET, ("127.0.0.1", port), b""):
        elsewhere = Service("host", "running", instance=service.instance, address=Address("127.0.0.1", port))
        foreign = on_compose.runtime.foreign_listener(elsewhere)
    assert f"(pid {os.getpid()})" in foreign


# -- an engine that does not answer ------------------------------------------------------------------------------------

VERSION = b'{"Version": "20.10.24", "ApiVersion": "1.41"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
# What it does with each request: nothing, or an answer a byte at a time.
FROZEN, DRIPPING = b"", HEAD % 1000 + b"[" + b" " * 1000


@pytest.mark.parametrize("answer", [FROZEN, DRIPPING], ids=["frozen", "dripping"])
def test_an_engine_that_does_not_answer_to_the_end_is_one_error_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes
) -> None:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with listening(socket.AF_UNIX, str(path), answer):
        begun = time.monotonic()
        with pytest.raises(MachineError, match="no Docker Engine answers"):
            Engine.connect(SECONDS)
        assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("answer", [FROZEN, DRIPPING], ids=["frozen", "dripping"])
def test_an_engine_that_stops_answering_later_is_one_error_for_every_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes
) -> None:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    for name in ("_LOOK_SECONDS", "_WORK_SECONDS"):
        monkeypatch.setattr(engine_module, name, SECONDS)
    with listening(socket.AF_UNIX, str(path), HEAD % len(VERSION) + VERSION, answer):
        engine = Engine.connect(LIMIT)
        requests: dict[str, Callable[[], object]] = {
            "version": engine.version,
            "containers": lambda: engine.containers({"label": "a"}),
            "inspect": lambda: engine.inspect("a"),
            "log": lambda: engine.log("a", 20),
            "start": lambda: engine.start("a"),
            "stop": lambda: engine.stop("a", SECONDS),
            "volumes": lambda: engine.volumes({"label": "a"}),
            "events": lambda: contextlib.ExitStack().enter_context(engine.events({"label": "a"}, ["start"])),
        }
        for name, request in requests.items():
            begun = time.monotonic()
            if name == "events" and answer is DRIPPING:
                continue  # it has begun to answer, and goes on as it likes: nobody waits for it
            with pytest.raises(MachineError) as caught:
                request()
            assert time.monotonic() - begun < SOON, name
            assert caught.value.exit_code == 3
            assert caught.value.hint


@pytest.fixture
def checkout(engine: None, tmp_path: Path) -> Path:
    """The tasks and the sample's settings; nothing of it is run."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("invoke.yaml", "compose.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_each_task_says_that_a_frozen_engine_does_not_answer(checkout: Path) -> None:
    tasks = ("status", "stop", "start", "doctor", "logs --tail 1")
    environment = {**os.environ, "DOCKER_HOST": f"unix://{checkout}/docker.sock", "BOOTORDER_COMMAND": "inv"}

    def run(task: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "scripts/bootorder/__main__.py", *task.split(), "--runtime", "compose"]
        return subprocess.run(
            argv, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=4 * LIMIT
        )

    with listening(socket.AF_UNIX, f"{checkout}/docker.sock", FROZEN):
        for task in tasks:
            done = run(task)
            said = done.stderr + done.stdout
            assert done.returncode == 3, f"{task}: {said}"
            assert "no Docker Engine answers" in said, task


# -- a command ---------------------------------------------------------------------------------------------------------

SHORT = Limit(1, "set a longer `owners.sso.wait` in invoke.yaml", error=MigrationError)


def hanging(text: str) -> list[str]:
    return [sys.executable, "-u", "-c", textwrap.dedent(text)]


@pytest.mark.parametrize(
    "text",
    [
        "import time; print('begun'); time.sleep(600)",
        "import os, time; print('begun'); os.close(1); os.close(2); time.sleep(600)",
        "import time\nwhile True: print('begun'); time.sleep(0.05)",
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('begun'); time.sleep(600)",
        """
        import subprocess, sys, time
        child = [sys.executable, "-c", "import time; time.sleep(600)"]
        print("begun", subprocess.Popen(child).pid)
        time.sleep(600)
        """,
    ],
    ids=["silent", "closed its pipes", "talks on", "deaf", "with a child"],
)
def test_a_command_over_its_limit_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.3)
    begun = time.monotonic()

    with pytest.raises(MigrationError, match="took longer than 1 s") as caught:
        SystemProcesses().run(hanging(text), cwd=tmp_path, limit=SHORT)

    assert time.monotonic() - begun < LIMIT / 4
    assert caught.value.log
    words = caught.value.log.lines[-1].split() if caught.value.log.lines else ["begun"]
    assert words[0] == "begun"
    assert not [pid for pid in map(int, words[1:]) if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_listener_that_stands_still_stops_neither_the_command_nor_its_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """More than a pipe can hold."""
    monkeypatch.setattr(processes, "_LEFT_OVER_SECONDS", 0.5)
    turned = threading.Event()

    def stand_still(_line: str) -> None:
        turned.wait(LIMIT)

    done = SystemProcesses().run(
        hanging("for number in range(50000): print(number)"),
        cwd=tmp_path,
        on_line=stand_still,
    )

    turned.set()
    assert (done.code, len(done.out.splitlines())) == (0, 50000)


def test_past_logs_that_do_not_end_are_not_waited_for(tmp_path: Path) -> None:
    lines = SystemProcesses().stream(
        hanging("import time\nwhile True: print('line'); time.sleep(0.1)"), cwd=tmp_path, limit=SHORT
    )
    begun = time.monotonic()

    with pytest.raises(MigrationError, match="took longer than 1 s"):
        list(lines)

    assert time.monotonic() - begun < LIMIT / 4


@pytest.mark.parametrize("kind", [ComposeTiny, EmbeddedTiny], ids=lambda kind: kind.kind)
def test_a_one_off_over_its_limit_is_ended_where_it_runs(
    request: pytest.FixtureRequest, tmp_path: Path, kind: type[ComposeTiny | EmbeddedTiny]
) -> None:
    request.getfixturevalue(kind.needs)
    tool = Part("print('the tool')", one_off=True)
    with kind(tmp_path / "tiny", parts={"tool": tool}) as stack:
        with pytest.raises(MigrationError, match="took longer than 6 s") as caught:
            stack.runtime.run_once(
                "tool",
                python("import time; print('begun', flush=True); time.sleep(600)"),
                {},
                ignore,
                tool_limit(6, "sso"),
            )

        assert "owners.sso.wait" in caught.value.hint
        assert caught.value.log
        assert "begun" in caught.value.log.lines
        assert stack.alive() == []
