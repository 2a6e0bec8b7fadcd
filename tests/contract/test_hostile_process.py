"""Apps that do not want to be ended, or want somebody else to be: without Docker, where only the tasks hold them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts.bootorder.errors import MachineError
from scripts.bootorder.runtimes.embedded import table
from tests.stack import free_ports

from .tiny import LIMIT, EmbeddedTiny, Part

pytestmark = [
    pytest.mark.usefixtures("postgres_programs", "_short_grace"),
    pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux"),
]

Make = Callable[..., EmbeddedTiny]

# Says what `left.txt` is to hold: the numbers of its processes. They end by themselves after a minute.
_NOTE = """\
import os, signal, subprocess, sys, time
signal.alarm(60)
def note(pid=None):
    with open("left.txt", "a") as file:
        file.write(f"{pid or os.getpid()}\\n")
note()
"""
_READY = "open('ready', 'w').close()"
_WAIT = f"{_READY}\nwhile True: time.sleep(1)\n"


@pytest.fixture
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_GRACE_SECONDS", 0.5)


@pytest.fixture
def make(new_folder: Callable[[], Path]) -> Iterator[Make]:
    with contextlib.ExitStack() as stacks:

        def make(**programs: str) -> EmbeddedTiny:
            parts = {name: Part(_NOTE + textwrap.dedent(program)) for name, program in programs.items()}
            return stacks.enter_context(EmbeddedTiny(new_folder() / "tiny", parts=parts))

        yield make


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def left(stack: EmbeddedTiny, name: str = "app") -> list[int]:
    """What of its processes is alive."""
    noted = (stack.folder / name / "left.txt").read_text(encoding="utf-8").split()
    return [pid for pid in map(int, noted) if is_alive(pid)]


def begin(stack: EmbeddedTiny, name: str = "app") -> None:
    stack.start(name)
    stack.once(name, lambda _: (stack.folder / name / "ready").exists())


HOLDING_ON = {
    "deaf": "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)",
    "stopped": f"{_READY}\nos.kill(os.getpid(), signal.SIGSTOP)",
    "with a stopped supervisor": "os.kill(os.getppid(), signal.SIGSTOP)",
    "with a stopped supervisor and stopped": f"{_READY}\nos.kill(os.getppid(), 19); os.kill(os.getpid(), 19)",
    "killed its supervisor": "os.kill(os.getppid(), 9)",
    "another session": "os.fork() or (os.setsid(), note())",
    "another group": "os.fork() or (os.setpgid(0, 0), note())",
    "a daemon": "os.fork() or (os.setsid(), os.fork() and os._exit(0), note())",
    "a daemon without environment and pipes": (
        "os.fork() or (os.setsid(), os.fork() and os._exit(0), note(), [os.close(one) for one in (0, 1, 2)], "
        "os.execve(sys.executable, ['[kworker/0:1]', '-c', 'import time; time.sleep(60)'], {}))"
    ),
    "a deaf daemon": (
        "os.fork() or (os.setsid(), os.fork() and os._exit(0), note(), signal.signal(15, signal.SIG_IGN), "
        "os.execve(sys.executable, ['sshd', '-c', 'import time; time.sleep(60)'], {}))"
    ),
    "a daemon in another folder": (
        "os.fork() or (os.setsid(), os.fork() and os._exit(0), note(), os.chdir('/'), "
        "os.execve(sys.executable, ['init', '-c', 'import time; time.sleep(60)'], {}))"
    ),
    "many": "for _ in range(300): os.fork() or (os.setsid(), signal.signal(15, 1), note(), time.sleep(60))",
    "a chain": "for _ in range(40):\n    if os.fork(): break\n    note()",
    "nohup": "note(subprocess.Popen(['nohup', 'sleep', '60'], start_new_session=True).pid)",
    "forks when it is asked": "signal.signal(15, lambda *_: os.fork() or (os.setsid(), note()))",
    "burying nobody": "for _ in range(50): os.fork() or os._exit(0)",
    "holding the log": "os.fork() or (os.setsid(), note(), print('ready'), time.sleep(60))",
}


@pytest.mark.parametrize("how", HOLDING_ON)
def test_a_stop_ends_an_app_that_holds_on_in_bounded_time(make: Make, how: str) -> None:
    stack = make(app=f"{HOLDING_ON[how]}\n{_WAIT}")
    begin(stack)
    begun = time.monotonic()

    stack.runtime.stop()

    assert left(stack) == []
    assert stack.alive() == []
    assert time.monotonic() - begun < LIMIT / 3


def test_what_goes_on_starting_itself_anew_is_ended_or_said_to_run(make: Make) -> None:
    """Each of its processes lives some milliseconds, without a name, a parent or a session that the last one had."""
    stack = make(
        app=f"""
        if not os.fork():
            end = time.monotonic() + 20
            while time.monotonic() < end:
                if os.fork(): os._exit(0)
                os.setsid()
                time.sleep(0.002)
            os._exit(0)
        {_WAIT.replace(chr(10), chr(10) + " " * 8)}
    """
    )
    begin(stack)
    begun = time.monotonic()

    try:
        stack.runtime.stop()
    except MachineError as error:
        assert "goes on starting new ones" in error.seen  # noqa: PT017  # either is right
    else:
        time.sleep(0.5)
        assert stack.alive() == []
    assert time.monotonic() - begun < LIMIT


def test_the_dead_of_an_app_are_buried_while_it_runs(make: Make) -> None:
    """Those that lost their parent fall to the supervisor, which would else keep a number for each."""
    stack = make(
        app=f"""
        for _ in range(100):
            if not os.fork():
                os.fork() or (os.setsid(), os._exit(0))
                os._exit(0)
            os.wait()
        {_WAIT.replace(chr(10), chr(10) + " " * 8)}
    """
    )
    begin(stack)
    [supervisor] = [process for process, label in stack.processes() if label in process.cmdline()]

    def dead() -> int:
        with contextlib.suppress(psutil.Error):
            return sum(child.status() == psutil.STATUS_ZOMBIE for child in supervisor.children())
        return 0

    deadline = time.monotonic() + LIMIT
    while dead():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def label_of(folder: Path, service: str = "app", kind: str = "service") -> str:
    stack = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return f"{stack}/{kind}/{service}/{'0' * 16}"


def test_an_app_that_calls_itself_another_s_ends_nobody_else(make: Make) -> None:
    """It has the label of another service, of a one-off, of another stack, and the name and folder of the database."""
    other = make(app=_WAIT)
    begin(other)
    stack = make(app="", second=_WAIT)
    labels = [label_of(stack.folder, "second"), label_of(stack.folder, "app", "one-off"), label_of(other.folder)]
    claims = "\n".join(
        f"note(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', {label!r}], "
        f"env={{'BOOTORDER_PROCESS': {label!r}}}, start_new_session=True).pid)"
        for label in labels
    )
    stack.change("app", program=f"{_NOTE}{claims}\n{_WAIT}")
    begin(stack, "second")
    begin(stack)

    stack.runtime.stop_one_offs()
    assert left(stack, "second") != []
    stack.runtime.stop()

    assert (left(stack), left(stack, "second")) == ([], [])
    assert left(other) != []
    assert other.service("app").state == "running"


def test_this_very_task_is_not_ended_by_a_label_of_its_own(make: Make) -> None:
    """An app or a tool may run tasks itself, which have its environment."""
    stack = make(app=_WAIT)
    program = f"""
import os, sys
from pathlib import Path
from tests.contract.tiny import EmbeddedTiny
print(EmbeddedTiny.open(Path({str(stack.folder)!r})).stop(), flush=True)
"""
    begin(stack)
    given = {**os.environ, "BOOTORDER_PROCESS": label_of(stack.folder)}

    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "['app']\n"), done.stderr


def test_a_decoy_that_only_looks_like_the_stack_s_is_left_alone(make: Make) -> None:
    """It works in the same folder, has half of a label, or the label within a longer word."""
    stack = make(app=_WAIT)
    begin(stack)
    label = label_of(stack.folder)
    decoys = [
        subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)", word], cwd=stack.folder / "app", env={"X": label}
        )
        for word in (label[:-1], f"x{label}", f"--label={label}", "postgres")
    ]
    try:
        stack.runtime.stop()

        assert [decoy.poll() for decoy in decoys] == [None] * 4
    finally:
        for decoy in decoys:
            decoy.kill()
            decoy.wait()


def test_a_log_of_one_endless_line_takes_little_memory_and_room(make: Make) -> None:
    stack = make(app=f"for _ in range(1500): os.write(1, b'x' * 65536)\nprint()\n{_WAIT}")
    begin(stack)

    [supervisor] = [process for process, label in stack.processes() if label in process.cmdline()]
    assert supervisor.memory_info().rss < 60 * 1024 * 1024
    assert sum(path.stat().st_size for path in (stack.state / "logs").iterdir()) < 40 * 1024 * 1024


# -- the port of another -----------------------------------------------------------------------------------------------

_LISTEN = """\
import os, socket, time
server = socket.socket({family})
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(({host!r}, {port}))
server.listen()
open("ready", "w").close()
while True: time.sleep(1)
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104
def test_another_app_that_took_the_port_first_is_not_taken_for_it(new_folder: Callable[[], Path], host: str) -> None:
    """`second` runs and does not listen, or not yet; `first` listens on its port."""
    port = free_ports(["second"])["second"]
    family = "socket.AF_INET6" if ":" in host else "socket.AF_INET"
    parts = {
        "first": Part(_LISTEN.format(family=family, host=host, port=port)),
        "second": Part(f"import time, signal\nsignal.alarm(60)\n{_WAIT}", ports={1: port}),
    }
    with EmbeddedTiny(new_folder() / "tiny", parts=parts) as stack:
        begin(stack, "second")
        begin(stack, "first")

        assert stack.runtime.foreign_listener(stack.service("second"))
        stack.change("second", program=f"import time\n{_WAIT}")
        with pytest.raises(MachineError, match=f"port {port} for second is taken by first of this stack"):
            stack.start("second")


def test_an_app_on_the_other_loopback_takes_the_port_too(new_folder: Callable[[], Path]) -> None:
    """Browsers ask `::1` first for `localhost`."""
    port = free_ports(["second"])["second"]
    parts = {
        "first": Part(_LISTEN.format(family="socket.AF_INET6", host="::1", port=port)),
        "second": Part(f"import time\n{_WAIT}", ports={1: port}),
    }
    with EmbeddedTiny(new_folder() / "tiny", parts=parts) as stack:
        begin(stack, "first")

        with pytest.raises(MachineError, match=f"port {port} for second is taken by first of this stack"):
            stack.start("second")


def test_the_port_of_the_database_that_an_app_took_while_it_was_down_is_refused(new_folder: Callable[[], Path]) -> None:
    ports = free_ports(["database"])
    parts = {
        "database": Part(ports={5432: ports["database"]}),
        "app": Part(_LISTEN.format(family="socket.AF_INET", host="127.0.0.1", port=ports["database"])),
    }
    with EmbeddedTiny(new_folder() / "tiny", parts=parts) as stack:
        begin(stack, "app")

        with pytest.raises(MachineError, match="for database is taken by app of this stack"):
            stack.start("database")
