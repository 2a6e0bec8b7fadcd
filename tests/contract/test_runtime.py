"""What every runtime does. A new runtime is one subclass in tiny.py; these tests say whether it is one."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.bootorder.errors import BuildError, LogTail, MachineError, SettingsError
from scripts.bootorder.processes import Completed
from scripts.bootorder.runtimes.base import Address
from tests.contract.hand import by_hand

from .tiny import FOLDER, LIMIT, RUNTIMES, TinyStack, ignore, python

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
PLAIN = ["database", "app", "dying", "unhealthy"]  # all but the one-off


@pytest.fixture(scope="module", params=list(RUNTIMES))
def kind(request: pytest.FixtureRequest) -> type[TinyStack]:
    kind = RUNTIMES[request.param]
    request.getfixturevalue(kind.needs)
    return kind


@pytest.fixture(scope="module")
def addresses() -> dict[str, Address | None]:
    """Where the running stack's services were said to be before they were started."""
    return {}


@pytest.fixture(scope="module")
def stopping(kind: type[TinyStack], new_folder: Callable[[], Path]) -> Iterator[TinyStack]:
    """A whole stack that will be stopped; started early, because its database makes its files for seconds."""
    with kind(new_folder() / FOLDER) as stack:
        stack.start(*PLAIN)
        yield stack


@pytest.fixture(scope="module")
def running(
    kind: type[TinyStack],
    stopping: TinyStack,
    new_folder: Callable[[], Path],
    addresses: dict[str, Address | None],
) -> Iterator[TinyStack]:
    """A whole stack that runs; for tests that leave it as it is."""
    with kind(new_folder() / FOLDER) as stack:
        addresses |= {name: service.address for name, service in stack.runtime.services().items()}
        stack.start(*PLAIN)
        stack.once("dying", lambda service: not service.running)
        stack.answer("app")
        yield stack


@pytest.fixture
def fresh(kind: type[TinyStack], new_folder: Callable[[], Path]) -> Iterator[TinyStack]:
    """A stack of which nothing was started or built."""
    with kind(new_folder() / FOLDER) as stack:
        yield stack


@contextlib.contextmanager
def _listening() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A process that listens on a loopback port."""
    program = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]); input()"
    argv = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


# -- looking ----------------------------------------------------------------------------------------------------------


def test_declared_names_every_service_one_offs_included(fresh: TinyStack) -> None:
    assert sorted(fresh.runtime.declared()) == sorted(fresh.parts)


def test_what_is_started_by_its_name_only_is_optional(fresh: TinyStack) -> None:
    assert list(fresh.runtime.optional()) == ["tool"]


def test_a_runtime_says_its_name(fresh: TinyStack) -> None:
    assert fresh.runtime.name == fresh.kind


def test_what_a_runtime_needs_is_here_and_says_what_it_is(fresh: TinyStack) -> None:
    found = {name: look() for name, look in fresh.runtime.needs().items()}

    assert found
    assert all(found.values())


def test_every_service_is_absent_before_anything_was_started(fresh: TinyStack) -> None:
    services = fresh.runtime.services()

    assert {name: service.state for name, service in services.items()} == dict.fromkeys(fresh.parts, "absent")
    assert {service.name for service in services.values()} == set(services)
    assert not any(service.running or service.health or service.exit_code for service in services.values())


def test_what_was_started_is_running(running: TinyStack) -> None:
    states = {name: running.service(name).state for name in running.parts}

    assert states == {
        "database": "running",
        "app": "running",
        "unhealthy": "running",
        "dying": "exited",
        "tool": "absent",
    }


def test_what_exited_has_its_exit_code_and_no_health(running: TinyStack) -> None:
    dying = running.service("dying")

    assert (dying.exit_code, dying.health, dying.running) == (3, "", False)


def test_what_runs_has_no_exit_code(running: TinyStack) -> None:
    assert running.service("app").exit_code is None


@pytest.mark.parametrize("name", ["app", "unhealthy", "database"])
def test_health_is_what_the_check_comes_to_and_empty_where_nothing_checks(running: TinyStack, name: str) -> None:
    service = running.once(name, lambda service: service.health != "starting")

    assert (service.health, service.running) == (running.health[name], True)


def test_a_watched_service_is_seen_as_it_becomes(fresh: TinyStack) -> None:
    fresh.runtime.build(["dying"], ignore)
    states = []
    with fresh.runtime.watched(time.sleep) as watched:
        states.append(watched.service("dying").state)
        fresh.runtime.start(["dying"], ignore)
        limit = time.monotonic() + LIMIT
        while (seen := watched.service("dying")).state != "exited" and time.monotonic() < limit:
            states.append(seen.state)
            watched.wait(0.1)

    assert states[0] == "absent"
    assert (seen.state, seen.exit_code) == ("exited", fresh.service("dying").exit_code)


def test_an_address_is_loopback_and_answers(running: TinyStack) -> None:
    address = running.service("app").address

    assert address is not None
    assert address.host == "127.0.0.1"
    assert running.answer("app") == b"hello"


def test_an_address_is_known_before_the_start_and_stays(
    running: TinyStack, addresses: dict[str, Address | None]
) -> None:
    now = {name: service.address for name, service in running.runtime.services().items()}

    assert now == addresses
    assert now["app"] == Address("127.0.0.1", running.parts["app"].ports[8000])
    assert now["dying"] is None


def test_the_address_of_the_database_answers_a_query(running: TinyStack) -> None:
    with by_hand(running.database()) as connection:
        assert connection.execute("select current_database()").fetchone() == ("tiny",)


def test_environment_is_what_the_service_is_given(running: TinyStack, one_off: OneOff) -> None:
    said = running.runtime.environment("tool")

    assert said == {name: one_off.told["environment"][name] for name in said} | {"REPLACED": "by the service"}
    assert said["PRICE"] == "5 $ or $$"


def test_the_log_tail_ends_with_the_last_line(running: TinyStack) -> None:
    tail = running.runtime.log_tail("dying")

    assert tail == LogTail("dying", [f"line {number}" for number in range(11, 31)])


def test_the_log_tail_of_what_never_ran_is_empty(running: TinyStack) -> None:
    assert not running.runtime.log_tail("tool").lines


def test_logs_are_pairs_of_service_and_line(running: TinyStack) -> None:
    found = list(running.runtime.logs(["app", "dying"], tail=2, follow=False))

    assert [line for name, line in found if name == "dying"] == ["line 29", "line 30"]
    assert ("app", "serving | hello") in found
    assert {name for name, _ in found} == {"app", "dying"}


def test_logs_without_names_are_of_all_services(running: TinyStack) -> None:
    found = {name for name, _ in running.runtime.logs([], tail=1, follow=False)}

    assert found == {"database", "app", "dying"}  # `unhealthy` says nothing


def test_followed_logs_end_with_their_reader_and_leave_no_process(running: TinyStack) -> None:
    followed = running.runtime.logs(["app"], tail=5, follow=True)

    assert next(iter(followed)) == ("app", "serving | hello")
    assert bool(running.workers()) == running.follows_with_a_process
    begun = time.monotonic()
    followed.close()  # type: ignore[attr-defined]  # what the end of a `for` does to a generator
    assert time.monotonic() - begun < 8  # what does not listen is killed after 10
    assert running.workers() == []


# -- building and starting --------------------------------------------------------------------------------------------


def test_starting_twice_is_harmless(running: TinyStack) -> None:
    with by_hand(running.database()) as connection:
        begun = connection.execute("select pg_postmaster_start_time()").fetchone()
        assert list(running.runtime.start(["database", "app"], ignore)) == []
        assert connection.execute("select pg_postmaster_start_time()").fetchone() == begun


def test_start_starts_nothing_it_depends_on(fresh: TinyStack) -> None:
    assert list(fresh.runtime.start(["unhealthy"], ignore)) == ["unhealthy"]
    states = {name: service.state for name, service in fresh.runtime.services().items()}
    assert states == {**dict.fromkeys(fresh.parts, "absent"), "unhealthy": "running"}


def test_what_was_created_runs_when_it_is_started_and_not_before(fresh: TinyStack) -> None:
    fresh.runtime.build(["app", "unhealthy"], ignore)
    fresh.runtime.create(["app", "unhealthy"], ignore)
    assert fresh.alive() == []

    assert list(fresh.runtime.start(["app"], ignore)) == ["app"]

    assert fresh.answer("app")
    assert fresh.service("unhealthy").state in {"absent", "created"}
    assert list(fresh.runtime.start(["app", "unhealthy"], ignore)) == ["unhealthy"]


def test_starting_nothing_starts_nothing(fresh: TinyStack) -> None:
    assert list(fresh.runtime.start([], ignore)) == []
    assert fresh.alive() == []


@pytest.mark.parametrize("act", ["build", "start", "run_once", "environment", "fingerprint", "is_built"])
def test_an_unknown_service_is_refused_with_the_nearest_name(fresh: TinyStack, act: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "build": lambda: fresh.runtime.build(["databse"], ignore),
        "start": lambda: fresh.runtime.start(["databse"], ignore),
        "run_once": lambda: fresh.runtime.run_once("databse", ["true"], {}, ignore),
        "environment": lambda: fresh.runtime.environment("databse"),
        "fingerprint": lambda: fresh.runtime.fingerprint("databse"),
        "is_built": lambda: fresh.runtime.is_built("databse"),
    }

    with pytest.raises(SettingsError, match="unknown service `databse`; did you mean `database`") as refused:
        calls[act]()

    assert "tool" in refused.value.expected
    assert fresh.alive() == []


def test_a_build_that_fails_is_reported_with_its_last_lines(fresh: TinyStack) -> None:
    fresh.break_build("app", "no-such-spoon")
    heard: list[str] = []

    with pytest.raises(BuildError, match="building app failed") as failed:
        fresh.runtime.build(["app"], heard.append)

    assert failed.value.log is not None
    assert any("no-such-spoon" in line for line in failed.value.log.lines)
    assert any("no-such-spoon" in line for line in heard)
    assert "no-such-spoon" in failed.value.seen
    assert fresh.runtime.fingerprint("app") == ""


def test_the_fingerprint_follows_the_sources(fresh: TinyStack) -> None:
    before = fresh.runtime.fingerprint("app"), fresh.runtime.is_built("app")
    fresh.runtime.build(["app"], ignore)
    first = fresh.runtime.fingerprint("app")
    fresh.runtime.build(["app"], ignore)
    unchanged = fresh.runtime.fingerprint("app")
    fresh.change("app", program="print('another program')")
    assert fresh.runtime.is_built("app")  # from older sources, but built
    fresh.runtime.build(["app"], ignore)

    assert before == ("", False)
    assert first
    assert unchanged == first
    assert fresh.runtime.fingerprint("app") not in {"", first}


def test_a_changed_service_is_started_anew(fresh: TinyStack) -> None:
    fresh.start("dying", "unhealthy")
    before = {name: fresh.service(name).instance for name in ("dying", "unhealthy")}
    fresh.change("dying", program="raise SystemExit(4)")

    assert list(fresh.runtime.start(["dying", "unhealthy"], ignore)) == ["dying"]
    assert fresh.once("dying", lambda service: not service.running).exit_code == 4
    assert fresh.service("dying").instance not in {"", before["dying"]}
    assert fresh.service("unhealthy").instance == before["unhealthy"]


def test_a_taken_port_is_refused_by_the_name_and_id_of_its_process(fresh: TinyStack) -> None:
    with _listening() as (port, process):
        fresh.change("app", ports={8000: port})
        with pytest.raises(MachineError) as refused:
            fresh.runtime.start(["app"], ignore)
        name = psutil.Process(process.pid).name()

    assert f"port {port} for app is taken by {name} (pid {process.pid})" in str(refused.value)
    assert fresh.alive() == []


# -- one-offs ---------------------------------------------------------------------------------------------------------

SECRET = "not-for-other-eyes"
ODD_ARGUMENTS = ["$HOME", "a b", "; exit 1", "", "*", "'\"", "--flag"]
ODD_VALUE = "'a' \"b\" $HOME ü"

_TELL_ALL = """
import json, os, signal, socket, sys, time
signal.alarm(20)
host, _, port = os.environ["DATABASE_ADDRESS"].partition(":")
socket.create_connection((host, int(port)), timeout=5).close()
told = {
    "environment": dict(os.environ),
    "arguments": sys.argv[1:],
    "read": sys.stdin.read(),
    "terminal": sys.stdin.isatty() or sys.stdout.isatty(),
}
print(json.dumps(told), flush=True)
time.sleep(0.5)  # long enough to be looked at
print("the last words", file=sys.stderr)
raise SystemExit(9)
"""


@dataclass
class OneOff:
    """What one run came to, and what was seen of it from outside."""

    done: Completed
    heard: Sequence[str]
    command_lines: Sequence[str]
    alive: tuple[Sequence[str], Sequence[str]]

    @property
    def told(self) -> Any:
        return json.loads(self.done.out)


@pytest.fixture(scope="module")
def one_off(running: TinyStack) -> OneOff:
    running.database()
    heard: list[str] = []
    command_lines: list[str] = []

    def listen(line: str) -> None:
        heard.append(line)
        command_lines.extend(" ".join(found.info["cmdline"] or ()) for found in psutil.process_iter(["cmdline"]))

    added = {"SECRET": SECRET, "ODD": ODD_VALUE, "REPLACED": "by the caller"}
    before = running.alive()
    done = running.runtime.run_once("tool", [*python(_TELL_ALL), *ODD_ARGUMENTS], added, listen)
    return OneOff(done, heard, command_lines, (before, running.alive()))


def test_a_one_off_gives_its_exit_code_and_both_streams(one_off: OneOff) -> None:
    assert one_off.done.code == 9, one_off.done.text
    assert len(one_off.done.out.splitlines()) == 1
    assert "the last words" in one_off.done.text
    assert one_off.done.out in one_off.done.text


def test_the_lines_of_a_one_off_are_heard_as_they_come(one_off: OneOff) -> None:
    # Compose ends a failed run with an empty line.
    assert [line for line in one_off.heard if line] == one_off.done.text.split("\n")[:2]


def test_a_one_off_has_the_environment_of_its_service(one_off: OneOff) -> None:
    assert one_off.told["environment"]["PRICE"] == "5 $ or $$"


def test_a_one_off_sees_what_is_added_as_it_is(one_off: OneOff) -> None:
    assert one_off.told["environment"]["ODD"] == ODD_VALUE


def test_what_is_added_to_the_environment_wins(one_off: OneOff) -> None:
    assert one_off.told["environment"]["REPLACED"] == "by the caller"


def test_a_secret_for_a_one_off_shows_in_no_process_list(one_off: OneOff) -> None:
    assert one_off.told["environment"]["SECRET"] == SECRET
    assert any("long enough to be looked at" in line for line in one_off.command_lines)
    assert [line for line in one_off.command_lines if SECRET in line] == []


def test_a_one_off_has_nothing_to_read_and_no_terminal(one_off: OneOff) -> None:
    assert (one_off.told["read"], one_off.told["terminal"]) == ("", False)


def test_a_one_off_runs_next_to_the_database(one_off: OneOff) -> None:
    assert one_off.told  # it connected, or would have said nothing


def test_the_arguments_of_a_one_off_pass_no_shell(one_off: OneOff) -> None:
    assert one_off.told["arguments"] == ODD_ARGUMENTS


def test_a_one_off_leaves_nothing_behind(one_off: OneOff) -> None:
    before, after = one_off.alive

    assert after == before


@dataclass(frozen=True)
class Interrupted:
    """A run on a stack of which nothing else was started, ended by Ctrl-C."""

    stack: TinyStack
    states: Mapping[str, str]
    seconds: float


@pytest.fixture(scope="module")
def interrupted(kind: type[TinyStack], new_folder: Callable[[], Path]) -> Iterator[Interrupted]:
    with kind(new_folder() / FOLDER) as stack, stack.running_once(SLEEP) as child:
        states = {name: service.state for name, service in stack.runtime.services().items()}
        begun = time.monotonic()
        child.send_signal(signal.SIGINT)
        child.wait(LIMIT)
        yield Interrupted(stack, states, time.monotonic() - begun)


def test_a_one_off_starts_nothing_it_needs(interrupted: Interrupted) -> None:
    assert interrupted.states == dict.fromkeys(interrupted.stack.parts, "absent")


def test_ctrl_c_ends_the_one_off_too(interrupted: Interrupted) -> None:
    assert interrupted.stack.alive() == []
    assert interrupted.stack.workers() == []
    assert interrupted.seconds < 8  # what does not listen is killed after 10


def test_one_offs_of_killed_runs_can_be_stopped_alone(running: TinyStack) -> None:
    before = running.alive()
    with running.running_once(SLEEP) as child:
        child.kill()
        child.wait(LIMIT)
        assert len(running.alive()) == len(before) + 1

        running.runtime.stop_one_offs()

    assert running.alive() == before


def test_one_offs_of_this_very_run_are_not_stopped_with_them(running: TinyStack) -> None:
    running.database()
    before, begun = running.alive(), threading.Event()
    command = python("import time; print('begins', flush=True); time.sleep(3); print('ends', flush=True)")

    with ThreadPoolExecutor() as pool:
        done = pool.submit(running.runtime.run_once, "tool", command, {}, lambda _: begun.set())
        assert begun.wait(LIMIT)
        running.runtime.stop_one_offs()

    assert (done.result().code, done.result().out.split()) == (0, ["begins", "ends"])
    assert running.alive() == before


# -- stopping ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stopped:
    """What was seen when a stack was stopped in the middle of a run that had been killed."""

    stack: TinyStack
    before: Sequence[str]
    names: Sequence[str]
    seconds: float


@pytest.fixture(scope="module")
def stopped(stopping: TinyStack) -> Iterator[Stopped]:
    with by_hand(stopping.database()) as connection:
        connection.execute("create table kept (id int primary key)")
        connection.execute("insert into kept select generate_series(1, 42)")
    with stopping.running_once(SLEEP) as child:
        child.kill()
        child.wait(LIMIT)
        before = stopping.alive()
        begun = time.monotonic()
        names = stopping.runtime.stop()
        yield Stopped(stopping, before, names, time.monotonic() - begun)


def test_the_one_off_of_a_killed_run_goes_on(stopped: Stopped) -> None:
    assert any("tool" in name for name in stopped.before)


def test_stop_ends_everything_one_offs_of_killed_runs_too(stopped: Stopped) -> None:
    assert stopped.stack.alive() == []
    assert sorted(stopped.names) == ["app", "database", "tool", "unhealthy"]


def test_stop_leaves_no_process_behind(stopped: Stopped) -> None:
    deadline = time.monotonic() + LIMIT
    while stopped.stack.workers() and time.monotonic() < deadline:
        time.sleep(0.05)  # the client of the killed run ends a moment after its container

    assert stopped.stack.workers() == []


def test_stop_asks_and_does_not_kill(stopped: Stopped) -> None:
    """137 would be a service that was killed, for it had not heard that it should end."""
    services = stopped.stack.runtime.services()

    assert 137 not in {services[name].exit_code for name in PLAIN}


def test_what_was_stopped_is_exited(stopped: Stopped) -> None:
    services = stopped.stack.runtime.services()

    assert [services[name].state for name in PLAIN] == ["exited"] * len(PLAIN)


def test_stopping_again_stops_nothing(stopped: Stopped) -> None:
    assert list(stopped.stack.runtime.stop()) == []


def test_rows_survive_a_stop_and_a_start(stopped: Stopped) -> None:
    stopped.stack.runtime.start(["database"], ignore)
    try:
        with by_hand(stopped.stack.database()) as connection:
            assert connection.execute("select count(*) from kept").fetchone() == (42,)
    finally:
        stopped.stack.runtime.stop()


def test_stop_of_what_was_never_started_stops_nothing(fresh: TinyStack) -> None:
    assert list(fresh.runtime.stop()) == []


def test_stop_ends_a_service_that_is_no_longer_declared(fresh: TinyStack) -> None:
    fresh.start("unhealthy")
    del fresh.parts["unhealthy"]
    fresh.change("dying")

    assert list(fresh.runtime.stop()) == ["unhealthy"]
    assert fresh.alive() == []


def test_some_services_can_be_stopped_alone_and_started_anew(fresh: TinyStack) -> None:
    fresh.start("unhealthy", "app")
    before, current = fresh.runtime.services(), fresh.runtime.is_current("app")

    fresh.runtime.stop_services(["app", "dying"])
    current_while_stopped = fresh.runtime.is_current("app")
    between = {name: service.state for name, service in fresh.runtime.services().items()}
    started = fresh.runtime.start(["unhealthy", "app"], ignore)

    assert (between["unhealthy"], between["app"]) == ("running", "exited")
    assert list(started) == ["app"]
    assert (current, current_while_stopped) == (True, False)
    after = fresh.runtime.services()
    assert after["unhealthy"].instance == before["unhealthy"].instance
    fresh.runtime.stop()


# -- removing ---------------------------------------------------------------------------------------------------------


def test_remove_takes_data_and_everything_that_was_made(fresh: TinyStack) -> None:
    fresh.start("database", "app")
    with fresh.running_once(SLEEP) as child:
        child.kill()
        child.wait(LIMIT)
        made = fresh.remains()
        removed = fresh.runtime.remove()

    assert fresh.remains() == []
    assert sorted(name for names in removed.values() for name in names) == made
    assert {kind: len(names) for kind, names in removed.items()} == fresh.makes
    assert {service.state for service in fresh.runtime.services().values()} == {"absent"}
    assert fresh.runtime.fingerprint("app") == ""


def test_remove_of_nothing_is_harmless(fresh: TinyStack) -> None:
    removed = fresh.runtime.remove()

    assert not any(removed.values())
