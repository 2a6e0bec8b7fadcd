"""Real processes: what is heard of them, and that none is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from scripts.bootorder import processes
from scripts.bootorder.errors import UserInterruptError
from scripts.bootorder.processes import SystemProcesses
from tests.stack import ROOT

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


def test_a_run_that_inherits_nothing_has_only_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OURS", "ours")
    kept = {"SYSTEMROOT": os.environ.get("SYSTEMROOT", ""), "ADDED": "added"}

    done = SystemProcesses().run(
        program("import os; print('FROM_OURS' in os.environ, os.environ['ADDED'])"),
        cwd=tmp_path,
        env=kept,
        inherit=False,
    )

    assert done.out == "False added\n"


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


_LEAVES_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], start_new_session={detached})
print(child.pid)
"""


@pytest.mark.parametrize("detached", [False, True], ids=["in its group", "in a session of its own"])
def test_a_run_does_not_wait_for_what_its_command_left_behind(tmp_path: Path, detached: bool) -> None:
    """It holds our pipes open, and may do so for ever."""
    begun = time.monotonic()
    done = SystemProcesses().run(program(_LEAVES_A_CHILD.format(detached=detached)), cwd=tmp_path)
    seconds = time.monotonic() - begun
    child = int(done.out)
    try:
        assert seconds < LIMIT
        assert detached or gone(child)
    finally:
        _kill([child])


_IGNORE = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
_LISTENING, _DEAF = "", _IGNORE


@pytest.mark.parametrize(
    ("parent", "child"),
    [(_LISTENING, _LISTENING), (_LISTENING, _DEAF), (_DEAF, _DEAF)],
    ids=["both listen", "deaf child", "both deaf"],
)
def test_a_stream_ends_with_its_reader_and_so_does_all_that_the_command_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parent: str, child: str
) -> None:
    """`docker` runs Compose as a child of its own, `pnpm` runs node."""
    monkeypatch.setattr(processes, "_GRACE_SECONDS", 0.3)
    lines = SystemProcesses().stream(program(parent + _with_a_child(child)), cwd=tmp_path)
    pids = [int(pid) for pid in next(lines).split()]
    try:
        lines.close()  # type: ignore[attr-defined]  # what the end of a `for` does to a generator
        assert [pid for pid in pids if not gone(pid)] == []
    finally:
        _kill(pids)


_RUN = """
import sys
from pathlib import Path
from scripts.bootorder.errors import UserInterruptError
from scripts.bootorder.processes import SystemProcesses

argv = [sys.executable, "-u", "-c", sys.argv[1]]
SystemProcesses().run(argv, cwd=Path.cwd(), on_line=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize(
    ("parent", "child", "times"),
    [(_LISTENING, _LISTENING, 1), (_LISTENING, _DEAF, 1), (_DEAF, _DEAF, 2)],
    ids=["once", "once, with a deaf child", "twice, as nobody listens"],
)
def test_ctrl_c_ends_a_run_and_all_that_it_started(parent: str, child: str, times: int) -> None:
    ours = [sys.executable, "-c", _RUN, parent + _with_a_child(child)]
    with subprocess.Popen(ours, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        try:
            for _ in range(times):
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)  # a person's second Ctrl-C comes no sooner
            process.wait(LIMIT / 2)
            assert [pid for pid in pids if not gone(pid)] == []
        finally:
            _kill([process.pid, *pids])


def _with_a_child(text: str) -> str:
    """A program that starts another one, and says the ids of both once it has."""
    return textwrap.dedent(f"""
        import os, subprocess, sys, time
        text = {text!r} + "print(flush=True); import time; time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(os.getpid(), child.pid, flush=True)
        child.wait()
    """)


def _kill(pids: Sequence[int]) -> None:
    for pid in filter(is_alive, pids):
        psutil.Process(pid).kill()


def test_a_stream_that_is_read_to_its_end_ends(tmp_path: Path) -> None:
    text = "import sys; print('one'); print('two', file=sys.stderr)"

    assert sorted(SystemProcesses().stream(program(text), cwd=tmp_path)) == ["one", "two"]


def test_what_other_threads_run_can_be_ended(tmp_path: Path) -> None:
    processes, told = SystemProcesses(), threading.Event()
    pids: list[int] = []
    text = """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid, flush=True)
        time.sleep(600)
    """

    def heard(line: str) -> None:
        if line.isdecimal():
            pids.append(int(line))
            told.set()

    with ThreadPoolExecutor() as pool:
        running = pool.submit(processes.run, program(text), cwd=tmp_path, on_line=heard)
        assert told.wait(LIMIT)
        processes.end_all()
        with pytest.raises(UserInterruptError):
            running.result(LIMIT)

    assert gone(pids[0])
    processes.end_all()  # nothing is left to be ended


def test_what_is_ended_with_everything_else_was_interrupted_and_did_not_fail(tmp_path: Path) -> None:
    """A tool says what it likes at its end, e.g. exit code 1 and "build failed"."""
    running, said = SystemProcesses(), threading.Event()
    text = (
        "import signal, sys, time\n"
        "def end(*_): print('build failed'); sys.exit(1)\n"
        "signal.signal(signal.SIGINT, end); signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with ThreadPoolExecutor() as pool:
        command = [sys.executable, "-c", text]
        run = pool.submit(lambda: running.run(command, cwd=tmp_path, on_line=lambda line: said.set()))
        assert said.wait(30)
        running.end_all()
        with pytest.raises(UserInterruptError, match="was interrupted"):
            run.result(30)
