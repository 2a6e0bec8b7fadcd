"""Plain `inv` and `nox`, of a virtualenv that has nothing but them, on the machine of test_0_wrapper."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import venv
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.bootorder.proving.files import copy_files
from tests.stack import NETWORK, PORTS, ROOT, Ran, free_ports
from tests.task import until_at_work

pytestmark = pytest.mark.only("embedded")  # once: it boots no apps

MAKING = "making .venv with Python 3."
_RUN_AS_AN_OLD_ONE = """
import runpy, sys
del sys.argv[0]
sys._base_executable = "/not/there"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
OWN_TASKS = """\
import only_here  # a package of the person's own environment, which .venv has not
from invoke.tasks import task
from scripts.bootorder.tasks import {imported}

@task
def hello(c):
    '''Say hello.'''
    print("hello from", only_here.NAME)

{assigned}
"""


@dataclass(frozen=True)
class Person:
    """`folder`: a checkout; `tools`: what was installed with `pip install invoke nox`."""

    folder: Path
    tools: Path

    def environment(self, **more: str) -> dict[str, str]:
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in NETWORK if name in os.environ}
        path = os.pathsep.join([str(self.tools / "bin"), os.environ["PATH"]])
        return {"HOME": str(home), "PATH": path, "TERM": "dumb", **kept, **more}

    def types(
        self, *words: str, below: str = ".", user: int | None = None, env: Mapping[str, str] | None = None
    ) -> Ran:
        done = subprocess.run(
            words,
            cwd=self.folder / below,
            env=self.environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=user,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def spoil(self) -> None:
        """As if the installation had been interrupted."""
        (self.venv / "requirements.txt").unlink(missing_ok=True)


def installed(folder: Path, *packages: str) -> Path:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *packages]
    subprocess.run(pip, check=True)
    return folder


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    machine = tmp_path_factory.mktemp("ein frisches Gerät")
    copy_files(ROOT, machine / "checkout")
    return Person(machine / "checkout", installed(machine / "tools", "invoke", "nox"))


@pytest.mark.parametrize("words", ["--list", "start --help", "copy-to -h", "--complete -- inv", ""])
def test_what_only_shows_the_tasks_needs_no_venv(person: Person, words: str) -> None:
    ran = person.types("inv", *words.split(), below="api")

    assert (ran.code, ran.err) == (0, "")
    assert {"": "Usage: inv", "start --help": "--until"}.get(words, "") in ran.out
    assert not person.venv.exists()


def test_nox_lists_without_venv(person: Person) -> None:
    ran = person.types("nox", "-l")

    assert ran.code == 0, ran.err
    assert "* boot(embedded)" in ran.out
    assert not person.venv.exists()


def test_the_first_use_makes_venv_and_inv_and_the_wrapper_share_it(person: Person) -> None:
    first = person.types("inv", "plan", below="api")
    others = [person.types(*words, "plan") for words in (["./inv"], ["invoke"], ["python", "-m", "invoke"])]

    assert first.code == 0, first.err
    assert first.err.startswith(MAKING)
    assert [other.code for other in others] == [0, 0, 0]
    assert [MAKING in other.err for other in others] == [False, False, False]
    assert {other.out for other in others} == {first.out}


@pytest.mark.parametrize(
    "words",
    [
        "--list",
        "start --help",
        "nonsense --help",
        "--print-completion-script=bash",
        "--complete -- inv start --",
        "plan --until nonsense",
        "start --nonsense",
        "nonsense",
        "logs --tail x",
        "plan --json --runtime nonsense",
        "--dry stop --runtime embedded",
        "-e plan --until stop --runtime embedded",
        "-f nothere.yaml plan",
        "-c tasks plan --until stop --runtime embedded",
    ],
)
def test_it_says_and_ends_as_the_wrapper_does(person: Person, words: str) -> None:
    plain, wrapper = (person.types(command, *words.split()) for command in ("inv", "./inv"))

    assert plain.code == wrapper.code
    assert plain.out == wrapper.out
    assert plain.err == wrapper.err.replace("./inv ", "inv ")


@pytest.mark.parametrize("task", ["--list", "plan"])
def test_a_broken_invoke_yaml_is_one_clear_line(person: Person, task: str) -> None:
    path = person.folder / "invoke.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text("bootorder: [\n", encoding="utf-8")
    try:
        plain, wrapper = (person.types(command, task) for command in ("inv", "./inv"))
    finally:
        path.write_text(text, encoding="utf-8")

    assert (plain.code, plain.err) == (2, wrapper.err)
    assert plain.err.startswith("error: invoke.yaml is not YAML\n")


def test_hints_name_it_as_it_was_typed(person: Person) -> None:
    assert "see inv --list" in person.types("inv", "nonsense").err
    assert "see invoke --list" in person.types("invoke", "nonsense").err
    assert "see python -m invoke --list" in person.types("python", "-m", "invoke", "nonsense").err


def test_the_environment_is_kept(person: Person) -> None:
    ran = person.types("inv", "plan", env={"INVOKE_BOOTORDER_RUNTIME": "dokcer"})

    assert ran.code == 2
    assert "INVOKE_BOOTORDER_RUNTIME should be" in ran.err


def test_it_starts_and_stops_a_stack(person: Person) -> None:
    ports = {name: str(port) for name, port in free_ports(PORTS).items()}
    runtime = ("--runtime", "embedded")
    try:
        started = person.types("inv", "start", *runtime, "--until", "wait-db", env=ports)
        shown = person.types("inv", "status", "--json", *runtime, env=ports)
        stopped = person.types("inv", "stop", *runtime, env=ports)
    finally:
        cleaned = person.types("inv", "clean", *runtime, env=ports)

    assert (started.code, shown.code, stopped.code, cleaned.code) == (0, 0, 0, 0), started.err + stopped.err
    assert "postgres answers on 127.0.0.1" in started.err
    assert [service["state"] for service in shown.json["services"] if service["name"] == "postgres"] == ["running"]


# -- making it ---------------------------------------------------------------------------------------------------------


def test_of_two_at_once_one_makes_it(person: Person) -> None:
    shutil.rmtree(person.venv)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(person.types, "inv", "plan")
        while not (person.venv / "bin").exists() and not first.done():
            time.sleep(0.01)
        second = person.types("inv", "plan")

    assert (first.result().code, second.code) == (0, 0), first.result().err + second.err
    assert MAKING in first.result().err
    assert "waiting for another task, which makes .venv" in second.err
    assert MAKING not in second.err


def test_ctrl_c_while_it_is_made_is_one_line(person: Person) -> None:
    person.spoil()
    with subprocess.Popen(
        ["inv", "plan"],
        cwd=person.folder,
        env=person.environment(),
        executable=person.tools / "bin" / "inv",
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as ran:
        assert ran.stderr
        assert MAKING in ran.stderr.readline()
        until_at_work(ran, "venv")
        os.killpg(ran.pid, signal.SIGINT)
        said = ran.stderr.read()

    assert ran.returncode == 130
    assert said == "interrupted while .venv was made; the next use makes it anew\n"


def test_without_a_network_it_says_so(person: Person) -> None:
    person.spoil()
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}

    plain, wrapper = (person.types(command, "plan", env=unreachable) for command in ("inv", "./inv"))

    assert (plain.code, wrapper.code) == (3, 3)
    for ran in (plain, wrapper):
        assert "error: the packages of the tasks could not be installed\n  hint: connect to the network" in ran.err
        assert "Traceback" not in ran.err


def test_packages_of_a_python_that_was_replaced_are_installed_anew(person: Person) -> None:
    assert person.types("inv", "plan").code == 0
    [packages] = (person.venv / "lib").iterdir()
    packages.rename(packages.with_name("python3.0"))

    ran = person.types("inv", "plan")
    again = person.types("inv", "plan")

    assert (ran.code, again.code) == (0, 0), ran.err
    assert ran.err.count(MAKING) == 1
    assert MAKING not in again.err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
def test_in_a_folder_that_is_not_writable_it_says_so() -> None:
    with tempfile.TemporaryDirectory(prefix="bootorder-plain-") as name:
        machine = Path(name)
        machine.chmod(0o755)
        copy_files(ROOT, machine / "checkout")
        (machine / "home").mkdir(mode=0o777)
        other = Person(machine / "checkout", installed(machine / "tools", "invoke"))
        if subprocess.run(["python", "-c", ""], user=65534, env=other.environment(), check=False).returncode:
            pytest.skip("its Python lies in a folder that other accounts may not enter")

        ran = other.types("inv", "plan", user=65534)

    assert ran.code == 3
    assert f"error: .venv could not be made in {machine}/checkout\n  hint: make the folder writable" in ran.err


def test_without_a_python_that_can_make_it_it_says_so(person: Person, tmp_path: Path) -> None:
    """The only one on PATH runs bootstrap.py, but has no venv, as Debian's without python3-venv."""
    text = f"""#!/bin/sh
    case "$1 $2" in
    "-I -c") exit 1 ;;
    "-I "*) path=$2; shift 2; exec {sys.executable} -c '{_RUN_AS_AN_OLD_ONE}' "$path" "$@" ;;
    esac
    exec {sys.executable} "$@"
    """
    program = tmp_path / "python3"
    program.write_text(textwrap.dedent(text), encoding="utf-8")
    program.chmod(0o755)
    for name in ("readlink", "dirname", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    shutil.rmtree(person.venv)

    ran = person.types("./inv", "plan", env={"PATH": str(tmp_path)})

    assert ran.code == 3
    assert ran.err.startswith("error: no Python 3.11 or newer with venv was found\n  hint: install one")


# -- among tasks of one's own ------------------------------------------------------------------------------------------


@pytest.fixture(params=["beside", "ns"])
def own(request: pytest.FixtureRequest, person: Person) -> Iterator[str]:
    """A tasks.py of somebody's own, with what their environment has; the prefix of ours in it."""
    assigned = {"beside": "ns = beside(__name__)", "ns": "ns.add_task(hello)"}[request.param]
    [packages] = person.tools.glob("lib/*/site-packages")
    (packages / "only_here.py").write_text("NAME = 'here'\n", encoding="utf-8")
    path = person.folder / "tasks.py"
    before = path.read_text(encoding="utf-8")
    path.write_text(OWN_TASKS.format(imported=request.param, assigned=assigned), encoding="utf-8")
    try:
        yield {"beside": "boot.", "ns": ""}[request.param]
    finally:
        path.write_text(before, encoding="utf-8")


def test_tasks_of_ones_own_run_where_they_are_and_ours_in_venv(person: Person, own: str) -> None:
    flags = ("--until", "wait-db", "--runtime", "embedded", "--json")
    both = person.types("inv", "hello", f"{own}plan", *flags)
    wrong = person.types("inv", f"{own}plan", "--until", "nonsense", below="api")

    assert both.code == 0, both.err
    assert both.out.startswith("hello from here\n{")
    assert '"wait-db"' in both.out
    assert wrong.code == 2
    assert "unknown stage `nonsense`" in wrong.err


def test_a_request_to_end_reaches_the_child_and_its_exit_code_comes_back(person: Person) -> None:
    child = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
print("up", flush=True)
signal.pause()
"""
    run = "import sys; from scripts.bootorder import bootstrap; sys.exit(bootstrap._run_child(sys.argv[1:], {}))"
    for number, code in ((signal.SIGTERM, 7), (signal.SIGINT, 130)):
        argv = [str(person.tools / "bin" / "python"), "-c", run, sys.executable, "-c", child]
        with subprocess.Popen(
            argv,
            cwd=person.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=person.environment(),
        ) as ran:
            assert ran.stdout
            ran.stdout.readline()
            if number == signal.SIGINT:  # the terminal sends it to both
                os.killpg(ran.pid, number)
            else:
                ran.send_signal(number)
        assert ran.returncode == code


# -- nox ---------------------------------------------------------------------------------------------------------------


def test_nox_runs_its_sessions_with_the_nox_of_venv(person: Person) -> None:
    shutil.rmtree(person.venv, ignore_errors=True)

    ran = person.types("nox", "-f", "../noxfile.py", "-s", "no-such-session", below="api")

    assert MAKING in ran.err
    assert "Sessions not found: no-such-session" in ran.err
    assert ran.code == 3


def test_a_nox_that_is_too_old_does_it_as_well(person: Person, tmp_path: Path) -> None:
    old = Person(person.folder, installed(tmp_path / "old", "nox==2024.4.15"))

    listed = old.types("nox", "-l")

    assert listed.code == 0, listed.err
    assert "* boot(embedded)" in listed.out
