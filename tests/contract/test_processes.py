"""Real processes: what is heard of them, and that none is left behind."""

from __future__ import annotations

import gc
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.bootorder import processes
from scripts.bootorder.processes import SystemProcesses

LIMIT = 10.0


def program(text: str) -> list[str]:
    return [sys.executable, "-u", "-c", textwrap.dedent(text)]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pid: int) -> bool:
    """Whether the process ends within a moment."""
    deadline = time.monotonic() + LIMIT / 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


@pytest.fixture(autouse=True)
def _everything_is_closed() -> Iterator[None]:
    """A pipe that was left open is a warning, and warnings are errors."""
    yield
    gc.collect()


def test_a_run_gives_its_code_its_output_and_both_streams(tmp_path: Path) -> None:
    text = "import sys; print('out'); print('err', file=sys.stderr); raise SystemExit(3)"

    done = SystemProcesses().run(program(text), cwd=tmp_path)

    assert (done.code, done.out) == (3, "out\n")
    assert sorted(done.text.splitlines()) == ["err", "out"]


def test_a_run_has_its_folder_its_environment_and_nothing_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_OURS", "ours")
    text = "import os, sys; print(os.getcwd(), os.environ['FROM_OURS'], os.environ['ADDED'], repr(sys.stdin.read()))"

    done = SystemProcesses().run(program(text), cwd=tmp_path, env={"ADDED": "added"})

    assert done.out == f"{tmp_path.resolve()} ours added ''\n"


def test_lines_are_heard_as_they_come(tmp_path: Path) -> None:
    heard: list[float] = []
    text = "import time; print('one'); time.sleep(0.3); print('two')"

    SystemProcesses().run(program(text), cwd=tmp_path, on_line=lambda _: heard.append(time.monotonic()))

    assert heard[1] - heard[0] > 0.1


def test_much_output_on_both_streams_is_read_to_its_end(tmp_path: Path) -> None:
    text = "import sys\nfor n in range(20000): print('o' * 20); print('e' * 20, file=sys.stderr)"

    done = SystemProcesses().run(program(text), cwd=tmp_path)

    assert (len(done.out.splitlines()), len(done.text.splitlines())) == (20000, 40000)


def test_what_is_not_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    done = SystemProcesses().run(
        program("import sys; sys.stdout.buffer.write(b'caf\\xe9 \\xc3\\xbc\\n')"), cwd=tmp_path
    )

    assert done.out == "caf\N{REPLACEMENT CHARACTER} ü\n"


def test_a_program_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SystemProcesses().run(["no-such-program"], cwd=tmp_path)


def test_the_failure_of_a_listener_is_the_failure_of_the_run(tmp_path: Path) -> None:
    """Whoever reads our output may be gone: `inv start --verbose | head`."""

    def fail(_line: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        SystemProcesses().run(program("print('one'); print('two')"), cwd=tmp_path, on_line=fail)


_WITH_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid)
child.wait()
"""


def test_a_stream_ends_with_its_reader_and_so_do_the_children_of_the_command(tmp_path: Path) -> None:
    """`docker` runs Compose as a child of its own."""
    lines = SystemProcesses().stream(program(_WITH_A_CHILD), cwd=tmp_path)
    child = int(next(lines))
    parent = psutil.Process(child).ppid()
    lines.close()  # type: ignore[attr-defined]  # what the end of a `for` does to a generator

    try:
        assert gone(parent)
        assert gone(child)
    finally:
        if is_alive(child):
            psutil.Process(child).kill()


def test_what_does_not_listen_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.2)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + _WITH_A_CHILD
    lines = SystemProcesses().stream(program(deaf), cwd=tmp_path)
    child = int(next(lines))
    parent = psutil.Process(child).ppid()
    lines.close()  # type: ignore[attr-defined]

    try:
        assert gone(parent)
        assert gone(child)
    finally:
        if is_alive(child):
            psutil.Process(child).kill()


def test_a_stream_that_is_read_to_its_end_ends(tmp_path: Path) -> None:
    text = "import sys; print('one'); print('two', file=sys.stderr)"

    assert sorted(SystemProcesses().stream(program(text), cwd=tmp_path)) == ["one", "two"]
