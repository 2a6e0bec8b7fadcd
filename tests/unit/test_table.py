from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from scripts.bootorder.errors import MachineError
from scripts.bootorder.runtimes.embedded import table
from scripts.bootorder.runtimes.embedded.table import LABEL, Account, Found, Order, ProcessTable, Seen

from .fakes import FakeClock

SECRET = "s3cret-of-the-stack"


class FakeProcess:
    """A process of the system; ends when it is asked to, unless it is deaf to that. A supervisor passes that on."""

    def __init__(
        self,
        pid: int,
        *,
        argv: Sequence[str] = ("node",),
        env: Mapping[str, str] | None = None,
        cwd: Path | str = "/",
        children: Sequence[FakeProcess] = (),
        supervisor: bool = False,
        deaf: Sequence[str] = (),
        error: type[psutil.Error] | None = None,
        another_s: bool = False,
        port: int = 0,
        born: float = 1.0,
    ) -> None:
        self.pid = pid
        self.parent = 1
        self._born = born
        self.told: list[str] = []
        self.alive = True
        self.state = psutil.STATUS_RUNNING
        self._argv = list(argv)
        self._env = dict(env or {})
        self._cwd = str(cwd)
        self.descendants: list[FakeProcess] = []
        for child in children:
            self.begin(child)
        self._supervisor = supervisor
        self._deaf = deaf
        self._error = error
        self._another_s = another_s
        self._port = port

    def begin(self, child: FakeProcess) -> None:
        child.parent = self.pid
        self.descendants += [child, *child.descendants]

    def _look(self) -> None:
        if self._error:
            raise self._error(self.pid)
        if not self.alive:
            raise psutil.NoSuchProcess(self.pid)

    def cmdline(self) -> list[str]:
        self._look()
        return self._argv

    def environ(self) -> dict[str, str]:
        self._look()
        if self._another_s:
            raise psutil.AccessDenied(self.pid)
        return self._env

    def cwd(self) -> str:
        self._look()
        return self._cwd

    def ppid(self) -> int:
        self._look()
        return self.parent

    def create_time(self) -> float:
        return self._born  # psutil keeps it

    def net_connections(self, kind: str) -> list[Any]:
        self._look()
        assert kind == "tcp"
        address = SimpleNamespace(port=self._port)
        return [
            SimpleNamespace(status=psutil.CONN_LISTEN, laddr=address),
            SimpleNamespace(status=psutil.CONN_ESTABLISHED, laddr=SimpleNamespace(port=9)),
        ]

    def is_running(self) -> bool:
        return self.alive

    def status(self) -> str:
        self._look()
        return self.state

    def name(self) -> str:
        return self._argv[0].partition(":")[0]

    def username(self) -> str:
        return "tom"

    def terminate(self) -> None:
        self._tell("terminate")
        for child in self.descendants if self._supervisor else ():
            child.terminate()

    def kill(self) -> None:
        self._tell("kill")

    def _tell(self, what: str) -> None:
        self._look()
        self.told.append(what)
        if what not in self._deaf:
            self.alive = False


class Machine:
    """The stack in `root`, and the processes of the machine it runs on."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.processes: list[FakeProcess] = []
        self.clock = FakeClock()
        monkeypatch.setattr(psutil, "process_iter", self._all)
        monkeypatch.setattr(psutil, "Process", self._process)
        monkeypatch.setattr(time, "monotonic", self.clock.now)
        monkeypatch.setattr(time, "sleep", self.clock.sleep)

    def _all(self) -> Iterator[FakeProcess]:
        its = {below.pid: below for process in self.processes for below in (process, *process.descendants)}
        return iter(its.values())

    def _process(self, pid: int) -> FakeProcess:
        found = [process for process in self.processes if process.pid == pid]
        if not found:
            raise psutil.NoSuchProcess(pid)
        return found[0]

    def table(self, root: Path | None = None) -> ProcessTable:
        return ProcessTable(
            root or self.root,
            self.root / "processes",
            self.root / "logs",
            lambda: {("postgres", self.root / "data"): "database"},
        )

    def has(self, *processes: FakeProcess) -> None:
        self.processes += processes

    def record(self, service: str, **changes: Any) -> dict[str, Any]:
        """As the supervisor writes it."""
        record = {"pid": 7, "token": self.table().label(service), "made_of": "sources 1", "code": None} | changes
        path = self.root / "processes" / f"{service}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record), encoding="utf-8")
        return record

    def look(self, service: str) -> Seen:
        return self.table().look([service])[service]

    def found(self) -> dict[int, tuple[str, bool, bool]]:
        return {one.process.pid: (one.service, one.one_off, one.supervisor) for one in self.table().find()}

    def stop(self) -> None:
        self.table().stop(self.table().find())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


# -- labels ------------------------------------------------------------------------------------------------------------


def test_a_label_names_the_stack_the_kind_the_service_and_one_start_of_it(machine: Machine) -> None:
    stack, kind, service, start = machine.table().label("api").split("/")

    assert (kind, service) == ("service", "api")
    assert machine.table().label("api").split("/")[:3] == [stack, kind, service]
    assert machine.table().label("api").split("/")[3] != start
    assert machine.table().label("api", one_off=True).split("/")[1] == "one-off"
    assert machine.table(machine.root / "another").label("api").split("/")[0] != stack


@pytest.mark.parametrize("name", ["a/b", "../../etc", "two words", "ä", "100%"])
def test_a_service_of_any_name_is_found_again_and_leaves_no_folder(machine: Machine, name: str) -> None:
    machine.has(FakeProcess(7, env={LABEL: machine.table().label(name)}))

    assert machine.found() == {7: (name, False, False)}
    assert machine.table().log(name).parent == machine.root / "logs"


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a right there")
def test_a_link_to_a_folder_is_the_same_stack(machine: Machine, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)

    assert machine.table(link).label("api").split("/")[0] == machine.table().label("api").split("/")[0]


# -- looking -----------------------------------------------------------------------------------------------------------


def test_what_was_never_started_is_absent(machine: Machine) -> None:
    assert machine.look("api") == Seen()
    assert machine.look("api").state == "absent"


def test_what_runs_with_its_label_is_running(machine: Machine) -> None:
    record = machine.record("api")
    machine.has(FakeProcess(7, argv=["python", "supervisor.py", record["token"]]))

    assert machine.look("api") == Seen("running", None, f"7 {record['token']}", "sources 1")


@pytest.mark.parametrize("code", [0, 3, 137])
def test_what_ended_has_the_code_that_was_noted(machine: Machine, code: int) -> None:
    record = machine.record("api", code=code)
    machine.has(FakeProcess(7, argv=["python", record["token"]]))

    assert machine.look("api") == Seen("exited", code, f"7 {record['token']}", "sources 1")


@pytest.mark.parametrize(
    "process",
    [
        [],
        [FakeProcess(7, argv=["vim"])],
        [FakeProcess(7, error=psutil.AccessDenied)],
        [FakeProcess(7, error=psutil.NoSuchProcess)],
    ],
    ids=["gone", "another's number", "another user's number", "going"],
)
def test_what_was_killed_with_its_supervisor_has_exited_and_nobody_knows_how(
    machine: Machine, process: list[FakeProcess]
) -> None:
    machine.record("api")
    machine.has(*process)

    seen = machine.look("api")

    assert (seen.state, seen.code) == ("exited", None)


def test_what_ends_between_two_looks_has_its_code(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    record = machine.record("api")

    def ending(pid: int) -> FakeProcess:
        machine.record("api", **(record | {"code": 3}))
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", ending)

    assert machine.look("api").code == 3


def test_a_new_start_is_another_instance(machine: Machine) -> None:
    machine.record("api")
    first = machine.look("api").instance
    machine.record("api")

    assert machine.look("api").instance != first


def test_a_record_of_another_stack_is_not_believed(machine: Machine) -> None:
    """A folder that was copied with its records; what it names runs, but not here."""
    record = machine.record("api", token=machine.table(machine.root / "another").label("api"))
    machine.has(FakeProcess(7, argv=["python", record["token"]]))

    assert machine.look("api") == Seen()


@pytest.mark.parametrize("text", ["", "{", '{"pid": 7}', "[]", "null", '{"pid": 7, "token": "x", "code": 0}'])
def test_half_a_record_is_none(machine: Machine, text: str) -> None:
    machine.record("api")
    (machine.root / "processes" / "api.json").write_text(text, encoding="utf-8")

    assert machine.look("api") == Seen()


@pytest.mark.parametrize("one_off", [True, False])
def test_what_lost_its_supervisor_and_lives_is_running_but_not_as_it_was_started(
    machine: Machine, one_off: bool
) -> None:
    record = machine.record("api")
    label = machine.table().label("api", one_off=True) if one_off else record["token"]
    machine.has(FakeProcess(8, env={LABEL: label}))

    seen = machine.look("api")

    assert seen.instance == f"7 {record['token']}"
    assert (seen.state, seen.made_of) == (("exited", "sources 1") if one_off else ("running", ""))


def test_what_runs_without_any_record_is_running_but_nobody_knows_as_what(machine: Machine) -> None:
    """`.bootorder/processes` was deleted."""
    label = machine.table().label("api")
    machine.has(
        FakeProcess(7, argv=["python", "supervisor.py", label]),
        FakeProcess(8, env={LABEL: machine.table().label("web", one_off=True)}),
    )

    assert machine.table().look(["api", "web"]) == {"api": Seen("running"), "web": Seen()}


def test_the_system_is_looked_at_once_and_only_where_the_records_may_be_wrong(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what makes `status` slow where many processes run; a wait looks many times."""
    scans: list[int] = []
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(scans.append(1) or ()))  # type: ignore[func-returns-value]
    names = ["api", "web", "never started"]
    machine.table().look(names)
    assert len(scans) == 1

    for name, pid in (("api", 7), ("web", 8)):
        machine.has(FakeProcess(pid, argv=["python", machine.record(name, pid=pid)["token"]]))
    machine.record("gone", code=3)
    machine.table().look([*names, "gone"])
    assert len(scans) == 1

    machine.processes.clear()
    machine.table().look(names)
    assert len(scans) == 2


# -- finding -----------------------------------------------------------------------------------------------------------


def test_what_carries_a_label_is_found_by_its_command_line_or_its_environment(machine: Machine) -> None:
    service, one_off = machine.table().label("api"), machine.table().label("sso-setup", one_off=True)
    machine.has(
        FakeProcess(7, argv=["python", "supervisor.py", service]),
        FakeProcess(8, env={LABEL: service}),
        FakeProcess(9, env={LABEL: one_off}),
        FakeProcess(10, env={"PATH": "/bin"}),
    )

    assert machine.found() == {7: ("api", False, True), 8: ("api", False, False), 9: ("sso-setup", True, False)}


@pytest.mark.parametrize("change", [lambda label: f"{label}0", lambda label: f" {label}", lambda label: label[1:]])
def test_what_only_looks_like_a_label_is_none(machine: Machine, change: Callable[[str], str]) -> None:
    label = change(machine.table().label("api"))
    machine.has(FakeProcess(7, argv=["grep", label]), FakeProcess(8, env={LABEL: label}))

    assert machine.found() == {}


def test_processes_of_another_stack_are_not_ours(machine: Machine) -> None:
    label = machine.table(machine.root / "another").label("api")
    machine.has(FakeProcess(7, argv=["python", label]), FakeProcess(8, env={LABEL: label}))

    assert machine.found() == {}


def test_what_works_in_the_data_folder_is_the_database_s(machine: Machine) -> None:
    """PostgreSQL writes its state over its environment."""
    machine.has(
        FakeProcess(7, argv=["postgres: checkpointer"], cwd=machine.root / "data"),
        FakeProcess(8, argv=["postgres"], cwd=machine.root / "data" / "base"),
        FakeProcess(9, argv=["postgres"], cwd=machine.root),
    )

    assert machine.found() == {7: ("database", False, False)}


def test_a_person_s_shell_in_the_data_folder_is_not_the_database_s(machine: Machine) -> None:
    machine.has(FakeProcess(7, argv=["bash"], cwd=machine.root / "data"))

    assert machine.found() == {}


def test_what_a_process_started_is_found_with_it_whatever_its_own_environment(machine: Machine) -> None:
    cleaned = FakeProcess(9)
    label = machine.table().label("sso-setup", one_off=True)
    machine.has(FakeProcess(7, env={LABEL: label}, children=[cleaned]), cleaned)

    assert machine.found() == {7: ("sso-setup", True, False), 9: ("sso-setup", True, False)}


def test_all_that_was_begun_below_it_is_found_and_nothing_older(machine: Machine) -> None:
    """A process whose parent has ended keeps its number, which another one may get."""
    grandchild = FakeProcess(10, born=3.0)
    child, older = FakeProcess(9, born=2.0, children=[grandchild]), FakeProcess(8, born=0.5)
    machine.has(FakeProcess(7, env={LABEL: machine.table().label("web")}, children=[older, child]))

    assert sorted(machine.found()) == [7, 9, 10]


def test_a_process_of_another_user_is_found_by_its_command_line(machine: Machine) -> None:
    """The system shows no more of it."""
    machine.has(FakeProcess(7, argv=["python", machine.table().label("api")], another_s=True))

    assert machine.found() == {7: ("api", False, True)}


def test_a_child_with_a_label_of_its_own_is_what_that_says(machine: Machine) -> None:
    label = machine.table().label("api")
    supervisor = FakeProcess(8, argv=["python", label])
    machine.has(FakeProcess(7, env={LABEL: machine.table().label("web")}, children=[supervisor]), supervisor)

    assert machine.found()[8] == ("api", False, True)


@pytest.mark.parametrize("error", [psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess])
def test_processes_that_cannot_be_looked_at_are_passed_over(machine: Machine, error: type[psutil.Error]) -> None:
    machine.has(FakeProcess(6, error=error), FakeProcess(7, env={LABEL: machine.table().label("api")}))

    assert list(machine.found()) == [7]


def test_the_task_itself_is_not_found(machine: Machine) -> None:
    """It may be run by what a service started."""
    machine.has(FakeProcess(os.getpid(), env={LABEL: machine.table().label("api")}))

    assert machine.found() == {}


def test_who_listens_on_a_port_is_known() -> None:
    process = FakeProcess(7, port=8000)
    found: Any = process
    one = Found(found, "api", one_off=False, supervisor=False)

    assert one.ports == [8000], "and not those of its connections"
    process.alive = False
    assert one.ports == []


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_a_supervisor_is_asked_and_passes_it_on_to_what_it_keeps(machine: Machine) -> None:
    label = machine.table().label("api")
    kept = FakeProcess(8, env={LABEL: label}, deaf=["terminate"])
    supervisor = FakeProcess(7, argv=["python", label], children=[kept], supervisor=True)
    machine.has(supervisor, kept)

    machine.stop()

    assert supervisor.told == ["terminate"]
    assert kept.told == ["terminate", "kill"], "asked by its supervisor, and by nobody else"


def test_a_process_that_lost_its_supervisor_is_asked_itself(machine: Machine) -> None:
    lost = FakeProcess(8, env={LABEL: machine.table().label("api")})
    machine.has(lost)

    machine.stop()

    assert lost.told == ["terminate"]
    assert machine.clock.now() == 0


def test_what_does_not_listen_is_killed_when_the_grace_is_over_with_all_it_started(machine: Machine) -> None:
    child = FakeProcess(9, deaf=["terminate"])
    deaf = FakeProcess(8, env={LABEL: machine.table().label("api")}, children=[child], deaf=["terminate"])
    machine.has(deaf)
    late = FakeProcess(10)
    found = machine.table().find()
    deaf.begin(late)

    machine.table().stop(found)

    assert [one.told[-1] for one in (deaf, child, late)] == ["kill"] * 3
    assert machine.clock.now() == pytest.approx(10, abs=0.1)


def test_what_cannot_even_be_killed_is_named(machine: Machine) -> None:
    machine.has(FakeProcess(8, env={LABEL: machine.table().label("api")}, deaf=["terminate", "kill"]))

    with pytest.raises(MachineError) as caught:
        machine.stop()

    assert caught.value.message == "node (pid 8) could not be stopped"
    assert caught.value.seen == "it was killed, and goes on"


def test_a_process_of_another_user_is_named_with_that_user(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(process: FakeProcess) -> None:
        raise psutil.AccessDenied(process.pid)

    machine.has(FakeProcess(8, env={LABEL: machine.table().label("api")}))
    monkeypatch.setattr(FakeProcess, "terminate", denied)

    with pytest.raises(MachineError) as caught:
        machine.stop()

    assert caught.value.message == "node (pid 8) of this stack belongs to tom"
    assert caught.value.hint == "stop the stack as tom"


def test_beside_a_process_of_another_user_everything_else_is_stopped(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminate = FakeProcess.terminate

    def denied(process: FakeProcess) -> None:
        if process.pid in {8, 9}:
            raise psutil.AccessDenied(process.pid)
        terminate(process)

    machine.has(*(FakeProcess(pid, env={LABEL: machine.table().label("api")}) for pid in (8, 9, 10)))
    monkeypatch.setattr(FakeProcess, "terminate", denied)

    with pytest.raises(MachineError) as caught:
        machine.stop()

    assert caught.value.message == "node (pid 8) and node (pid 9) of this stack belong to tom"
    assert {found.process.pid for found in machine.table().find()} == {8, 9}


def test_what_nobody_has_buried_yet_has_ended(machine: Machine) -> None:
    dead = FakeProcess(8, env={LABEL: machine.table().label("api")}, deaf=["terminate"])
    machine.has(dead)
    found = machine.table().find()
    dead.state = psutil.STATUS_ZOMBIE

    machine.table().stop(found)

    assert dead.told == ["terminate"]
    assert machine.clock.now() == 0


def test_what_ends_while_it_is_stopped_is_no_trouble(machine: Machine) -> None:
    gone = FakeProcess(8, argv=["python", machine.table().label("api")])
    machine.has(gone)
    found = machine.table().find()
    gone.alive = False

    machine.table().stop(found)

    assert gone.told == []


def test_stopping_nothing_is_harmless(machine: Machine) -> None:
    machine.table().stop([])


# -- starting ----------------------------------------------------------------------------------------------------------


class FakeSupervisor:
    """Takes its order from its pipe, and answers."""

    def __init__(self, answer: Callable[[dict[str, Any]], str]) -> None:
        self.argv: list[list[str]] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self._answer = answer

    def __call__(self, argv: Sequence[str], **options: Any) -> Any:
        assert options["start_new_session"]
        assert "env" not in options
        self.argv.append(list(argv))
        supervisor = self

        class Pipe(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    order = json.loads(self.getvalue())
                    supervisor.orders[order["token"].split("/")[2]] = order
                    answer.write(supervisor._answer(order).encode())
                    answer.seek(0)
                super().close()

        answer = io.BytesIO()
        return SimpleNamespace(stdin=Pipe(), stdout=answer, wait=lambda: 0)


def supervised(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[dict[str, Any]], str] = lambda order: '{"pid": 7}'
) -> FakeSupervisor:
    fake = FakeSupervisor(answer)
    monkeypatch.setattr(subprocess, "Popen", fake)
    return fake


def order(root: Path, **changes: Any) -> Order:
    given = {"argv": ["node", "a b"], "cwd": root, "environment": {"SESSION_SECRET": SECRET}, "made_of": "sources 1"}
    return Order(**{**given, **changes})


def test_a_supervisor_is_told_everything_by_its_pipe_and_shows_only_a_label(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = supervised(monkeypatch)

    machine.table().start({"api": order(machine.root)})

    [argv] = supervisor.argv
    label = argv[-1]
    assert argv[:3] == [sys.executable, "-I", "-S"]
    assert Path(argv[3]).name == "supervisor.py"
    assert supervisor.orders["api"] == {
        "argv": ["node", "a b"],
        "cwd": str(machine.root),
        "env": {"SESSION_SECRET": SECRET, LABEL: label},
        "account": None,
        "stop_signal": signal.SIGTERM,
        "token": label,
        "made_of": "sources 1",
        "record": str(machine.root / "processes" / "api.json"),
        "log": str(machine.root / "logs" / "api.log"),
        "hidden": [],
    }
    assert label.startswith(machine.table().label("api").rpartition("/")[0])
    assert (machine.root / "processes").is_dir()
    assert (machine.root / "logs").is_dir()


def test_a_process_may_belong_to_another_account_and_end_at_another_signal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = supervised(monkeypatch)

    machine.table().start({"postgres": order(machine.root, account=Account(105, 106), stop_signal=signal.SIGINT)})

    assert supervisor.orders["postgres"]["account"] == {"user": 105, "group": 106}
    assert supervisor.orders["postgres"]["stop_signal"] == signal.SIGINT


def test_several_are_started_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervised(monkeypatch)

    machine.table().start({"api": order(machine.root), "web": order(machine.root)})

    assert set(supervisor.orders) == {"api", "web"}


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ('{"error": "[Errno 2] No such file or directory: \'node\'"}', "[Errno 2] No such file or directory: 'node'"),
        ("Traceback ...\nKeyError: 'argv'\n", "Traceback ...\nKeyError: 'argv'"),
        ("", "the supervisor said nothing"),
    ],
)
def test_what_could_not_be_started_says_why(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, answer: str, seen: str
) -> None:
    supervisor = supervised(monkeypatch, lambda order: answer if "/web/" in order["token"] else '{"pid": 7}')

    with pytest.raises(MachineError) as caught:
        machine.table().start({"web": order(machine.root), "api": order(machine.root)})

    assert caught.value.message == "web could not be started"
    assert caught.value.expected == f"`node a b` in {machine.root}"
    assert caught.value.seen == seen
    assert "`processes.web`" in caught.value.hint
    assert "api" in supervisor.orders, "the others are started all the same"
    assert SECRET not in str(caught.value.as_data())


# -- forgetting --------------------------------------------------------------------------------------------------------


def test_forgetting_takes_records_and_logs(machine: Machine) -> None:
    machine.record("api")
    log = machine.table().log("api")
    log.parent.mkdir()
    for path in (log, log.with_name("api.log.1")):
        path.touch()

    assert machine.table().forget() == ["api.json", "api.log", "api.log.1"]

    assert machine.look("api") == Seen()
    assert machine.table().forget() == []


def test_the_grace_is_that_of_a_container() -> None:
    assert table._GRACE_SECONDS == 10


def test_a_supervisor_that_does_not_answer_is_killed_with_what_it_began(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    began: list[FakeProcess] = []

    class Silent(io.BytesIO):
        def read(self, *_: object) -> bytes:
            over.wait(30)
            return b""

    def start(argv: Sequence[str], **_: object) -> Any:
        began.extend([FakeProcess(7, argv=argv), FakeProcess(8, env={LABEL: argv[-1]}), FakeProcess(9)])
        machine.has(*began)
        return SimpleNamespace(pid=7, stdin=io.BytesIO(), stdout=Silent(), wait=lambda timeout=None: 0)

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(table, "_START_SECONDS", 0.05)

    with pytest.raises(MachineError, match="api could not be started") as caught:
        machine.table().start({"api": order(machine.root)})

    over.set()
    assert "supervisor within 0.05 s" in caught.value.expected
    assert [process.told for process in began] == [["kill"], ["kill"], []]


def test_the_processes_of_a_service_are_its_supervisor_and_all_below_it(machine: Machine) -> None:
    label = machine.record("api")["token"]
    supervisor = FakeProcess(7, argv=["supervisor", label], children=[FakeProcess(8, children=[FakeProcess(9)])])
    machine.has(supervisor, FakeProcess(10))

    assert sorted(process.pid for process in machine.table().below("api")) == [7, 8, 9]
    assert machine.table().below("web") == []


def test_a_number_that_another_process_has_by_now_is_not_the_service(machine: Machine) -> None:
    machine.record("api")
    machine.has(FakeProcess(7, argv=["somebody's"]))

    assert machine.table().below("api") == []
