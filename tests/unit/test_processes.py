from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder import processes
from scripts.bootorder.errors import BootError, BuildError, MachineError, MigrationError
from scripts.bootorder.processes import (
    Completed,
    Limit,
    SystemProcesses,
    at_once,
    build_limit,
    change_limit,
    end_threads,
    question_limit,
    tool_limit,
    within,
)

from .fakes import FakeProcesses

LIMIT = 30.0  # seconds, for what would otherwise wait for ever

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")


class FakePopen:
    """A process that prints, and ends with this code, or goes on until it is told to end.

    `interrupts`: Ctrl-C comes while it is waited for.
    """

    pid = 4711

    def __init__(
        self,
        out: str = "",
        err: str = "",
        code: int | None = 0,
        deaf_to: Sequence[int] = (),
        *,
        interrupts: bool = False,
    ) -> None:
        self._interrupts = interrupts
        self.stdout: Iterator[str] = io.StringIO(out)
        self.stderr: Iterator[str] = io.StringIO(err)
        self.started: dict[str, Any] = {}
        self.told: list[tuple[str, int]] = []
        self._code = code
        self._deaf_to = deaf_to

    def __call__(self, argv: Sequence[str], **options: Any) -> FakePopen:
        self.started = {"argv": argv, **options}
        return self

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            assert timeout is not None, "a wait without an end"
            interrupts, self._interrupts = self._interrupts, False
            if interrupts:
                raise KeyboardInterrupt
            raise subprocess.TimeoutExpired("command", timeout)
        return self._code

    def send_signal(self, number: int) -> None:
        self.tell("process", number)

    def kill(self) -> None:
        self.tell("process", signal.SIGKILL)

    def tell(self, whom: str, number: int) -> None:
        self.told.append((whom, number))
        if number not in self._deaf_to:
            self._code = -number


def starting(monkeypatch: pytest.MonkeyPatch, fake: FakePopen) -> FakePopen:
    def group(pid: int, number: int) -> None:
        assert pid == fake.pid
        fake.tell("group", number)

    monkeypatch.setattr(subprocess, "Popen", fake)
    if sys.platform != "win32":
        monkeypatch.setattr(os, "killpg", group)
    return fake


def test_a_command_gives_its_code_its_data_and_all_it_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    starting(monkeypatch, FakePopen(out="data\n", err="talk\n", code=3))
    lines: list[str] = []

    done = SystemProcesses().run(["tool", "a b"], cwd=tmp_path, on_line=lines.append)

    assert (done.code, done.out) == (3, "data\n")
    assert sorted(done.text.splitlines()) == ["data", "talk"]
    assert sorted(lines) == ["data", "talk"]


def test_a_command_is_an_argument_list_without_a_shell_and_without_a_prompt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = starting(monkeypatch, FakePopen())

    SystemProcesses().run(["tool", "$(reboot); x"], cwd=tmp_path)

    assert started.started["argv"] == ["tool", "$(reboot); x"]
    assert started.started["cwd"] == tmp_path
    assert not started.started.get("shell")
    assert started.started["stdin"] == subprocess.DEVNULL


def test_the_given_environment_is_added_to_this_process_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEPT", "old")
    monkeypatch.setenv("CHANGED", "old")
    started = starting(monkeypatch, FakePopen())

    SystemProcesses().run(["tool"], cwd=tmp_path, env={"CHANGED": "new"})

    environment = started.started["env"]
    assert (environment["KEPT"], environment["CHANGED"]) == ("old", "new")
    assert os.environ["CHANGED"] == "old"


def test_a_command_that_inherits_nothing_has_the_given_environment_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "of another project")

    for env in ({"PATH": "/bin"}, None):
        started = starting(monkeypatch, FakePopen())
        SystemProcesses().run(["tool"], cwd=tmp_path, env=env, inherit=False)

        assert started.started["env"] == (env or {})


def test_a_stream_has_this_process_s_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEPT", "old")
    started = starting(monkeypatch, FakePopen())

    list(SystemProcesses().stream(["tool"], cwd=tmp_path))

    assert started.started["env"]["KEPT"] == "old"


# -- deadlines ---------------------------------------------------------------------------------------------------------

SHORT = Limit(5, "set a longer `owners.sso.wait` in invoke.yaml", error=MigrationError)


@posix
def test_a_command_over_its_limit_is_ended_as_ctrl_c_ends_it_and_said_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running = starting(monkeypatch, FakePopen(out="one\ntwo\n", code=None))

    with pytest.raises(MigrationError) as caught:
        SystemProcesses().run(["pnpm", "db:push"], cwd=tmp_path, limit=SHORT)

    assert running.told == [("group", signal.SIGINT), ("group", signal.SIGKILL)]
    assert caught.value.message == "`pnpm db:push` took longer than 5 s"
    assert caught.value.hint == SHORT.longer
    assert caught.value.log
    assert caught.value.log.lines == ["one", "two"]


@posix
def test_a_command_that_cannot_even_be_killed_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It waits for a disk: no signal ends that."""
    starting(monkeypatch, FakePopen(code=None, deaf_to=[signal.SIGINT, signal.SIGKILL]))

    with pytest.raises(MigrationError) as caught:
        SystemProcesses().run(["tool"], cwd=tmp_path, limit=SHORT)

    assert caught.value.seen == "it could not even be killed, and had printed nothing"


@posix
def test_ctrl_c_does_not_wait_for_what_cannot_be_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    starting(monkeypatch, FakePopen(code=None, deaf_to=[signal.SIGINT, signal.SIGKILL], interrupts=True))

    with pytest.raises(KeyboardInterrupt):
        SystemProcesses().run(["tool"], cwd=tmp_path)


def test_a_command_without_a_limit_has_that_of_a_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    starting(monkeypatch, FakePopen(code=None))

    with pytest.raises(MigrationError, match="took longer than 600 s") as caught:
        SystemProcesses().run(["tool"], cwd=tmp_path)

    assert "owners.NAME.wait" in caught.value.hint


@pytest.mark.parametrize(
    ("limit", "error", "hint"),
    [
        (question_limit(), MachineError, "inv doctor"),
        (change_limit(), MachineError, "inv doctor"),
        (build_limit(60), BuildError, "build_wait"),
        (build_limit(60, MachineError), MachineError, "build_wait"),
        (tool_limit(60, "sso"), MigrationError, "owners.sso.wait"),
    ],
)
def test_each_kind_of_limit_names_what_gives_it_longer(limit: Limit, error: type[BootError], hint: str) -> None:
    raised = limit.exceeded(["tool", "x" * 1000], "")

    assert type(raised) is error
    assert hint in raised.hint
    assert len(raised.message) < 250


@posix
def test_a_stream_over_its_limit_ends_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running = starting(monkeypatch, FakePopen(code=None))
    running.stdout = endless("line\n")
    lines = SystemProcesses().stream(["docker", "compose", "logs"], cwd=tmp_path, limit=replace(SHORT, seconds=0.05))

    with pytest.raises(MigrationError, match="docker compose logs"):
        list(lines)

    assert running.poll() is not None


class endless(io.StringIO):  # noqa: N801  # as it reads where it is used
    """A stream that has this line for ever."""

    def readline(self, size: int = -1) -> str:  # type: ignore[override]  # as typeshed has it for bytes
        return self.getvalue()


def test_a_reader_who_takes_long_for_a_line_does_not_use_up_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starting(monkeypatch, FakePopen(out="one\ntwo\nthree\n"))
    lines = SystemProcesses().stream(["docker", "compose", "logs"], cwd=tmp_path, limit=replace(SHORT, seconds=0.5))
    first = next(iter(lines))
    threading.Event().wait(0.6)

    assert [first, *lines] == ["one", "two", "three"]


def test_a_listener_that_stands_still_keeps_no_line_from_being_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`./inv start --verbose | less`, and nobody turns the page."""
    monkeypatch.setattr(processes, "_LEFT_OVER_SECONDS", 0.05)
    starting(monkeypatch, FakePopen(out="one\ntwo\n"))
    turned = threading.Event()

    def stand_still(_line: str) -> None:
        turned.wait(LIMIT)

    done = SystemProcesses().run(["tool"], cwd=tmp_path, on_line=stand_still)

    turned.set()
    assert done.text == "one\ntwo\n"


def test_what_takes_too_long_is_left_to_itself() -> None:
    over = threading.Event()

    with pytest.raises(TimeoutError):
        within(0.01, lambda: over.wait(LIMIT))

    over.set()
    assert within(LIMIT, lambda: "an answer") == "an answer"


def test_threads_that_wait_for_something_else_do_not_keep_a_failure_from_being_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_THREADS_SECONDS", 0.1)
    asked = []

    def ended(seconds: float) -> bool:
        asked.append(threading.Event().wait(seconds))
        return False

    fake = FakeProcesses()
    end_threads(fake, ended)

    assert fake.ended.is_set()
    assert len(asked) < 20


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@posix
def test_ctrl_c_ends_the_command_and_everything_it_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`docker` hands its work to a plugin, `pnpm` to a script: the one that was started is not the one that works."""
    running = starting(monkeypatch, FakePopen(code=None, interrupts=True))

    with pytest.raises(KeyboardInterrupt):
        SystemProcesses().run(["docker", "compose", "run"], cwd=tmp_path)

    # asked first, then killed: its children may not have listened
    assert running.told == [("group", signal.SIGINT), ("group", signal.SIGKILL)]


@posix
def test_a_command_that_does_not_listen_is_killed_with_everything_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running = starting(monkeypatch, FakePopen(code=None, deaf_to=[signal.SIGINT, signal.SIGTERM], interrupts=True))

    with pytest.raises(KeyboardInterrupt):
        SystemProcesses().run(["tool"], cwd=tmp_path)

    assert running.told[0] == ("group", signal.SIGINT)
    assert running.told[-1] == ("group", signal.SIGKILL)


def test_a_command_that_has_ended_is_not_told_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its id may be somebody else's by now."""
    ended = starting(monkeypatch, FakePopen(code=0))

    SystemProcesses().run(["tool"], cwd=tmp_path)

    assert ended.told == []


def test_a_missing_command_is_the_caller_s_to_explain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("tool")

    monkeypatch.setattr(subprocess, "Popen", missing)

    with pytest.raises(FileNotFoundError):
        SystemProcesses().run(["tool"], cwd=tmp_path)


def test_a_stream_gives_lines_without_their_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    starting(monkeypatch, FakePopen(out="one\r\n  two\n\nthree"))

    assert list(SystemProcesses().stream(["tool"], cwd=tmp_path)) == ["one", "  two", "", "three"]


@posix
def test_a_stream_ends_its_command_when_nobody_reads_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running = starting(monkeypatch, FakePopen(out="one\ntwo\n", code=None))

    for _ in (lines := SystemProcesses().stream(["tool"], cwd=tmp_path)):
        break
    lines.close()  # type: ignore[attr-defined]

    assert running.poll() is not None


@pytest.mark.parametrize(
    ("code", "name"), [(129, "SIGHUP"), (143, "SIGTERM"), (-15, "SIGTERM"), (137, "SIGKILL"), (-2, "SIGINT")]
)
def test_what_was_ended_from_outside_is_not_blamed_for_it(code: int, name: str) -> None:
    assert f"run this again: it was ended from outside ({name})" in Completed(code, "", "").hint("correct the schema")


@pytest.mark.parametrize("code", [0, 1, 128, 255])
def test_what_ended_by_itself_is_corrected(code: int) -> None:
    assert Completed(code, "", "").hint("correct the schema") == "correct the schema"


# -- several at once ---------------------------------------------------------------------------------------------------


def test_all_are_at_work_at_the_same_time_and_answer_in_their_order() -> None:
    all_there = threading.Barrier(3, timeout=LIMIT)

    def work(number: int) -> int:
        all_there.wait()
        return number * number

    assert at_once(FakeProcesses(), [1, 2, 3], work) == [1, 4, 9]


def test_nothing_to_do_is_done() -> None:
    assert at_once(FakeProcesses(), [], lambda thing: thing) == []


def test_one_that_fails_lets_the_others_end_and_its_error_is_raised() -> None:
    failed, ended = threading.Event(), []

    def work(name: str) -> None:
        if name == "sso":
            failed.set()
            raise MigrationError("sso did not finish", hint="correct it")
        failed.wait(LIMIT)
        ended.append(name)

    with pytest.raises(MigrationError, match="sso"):
        at_once(FakeProcesses(), ["api", "sso", "jobs"], work)

    assert sorted(ended) == ["api", "jobs"]
