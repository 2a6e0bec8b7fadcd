from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.errors import MigrationError
from scripts.bootorder.processes import Completed, SystemProcesses, at_once

from .fakes import FakeProcesses

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

LIMIT = 30.0  # seconds, for what would otherwise wait for ever


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
