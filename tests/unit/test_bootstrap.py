"""What plain `inv` and `nox` decide before anything of .venv is imported; tests/boot makes one for real."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from invoke.config import Config
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.program import Program

from scripts.bootorder import bootstrap, program, tasks
from scripts.bootorder.copying import payload

ROOT = Path(__file__).parents[2]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this process one that plain Invoke runs, with these words on its command line."""

    def typed(*arguments: str) -> Program:
        plain = Program(name="Invoke", binary="inv[oke]", version="1")
        plain.normalize_argv(["/somewhere/bin/inv", *arguments])
        plain.parse_core_args()
        monkeypatch.setitem(sys.modules, "invoke.main", SimpleNamespace(program=plain))
        return plain

    return typed


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have gone on as."""
    done: list[Any] = []

    def become(argv: list[str], more: dict[str, str] | None = None) -> NoReturn:
        done.append([argv, more or {}])
        raise SystemExit

    def main() -> NoReturn:
        done.append("here")
        raise SystemExit

    monkeypatch.setenv("BOOTORDER_COMMAND", "")
    monkeypatch.setattr(bootstrap, "_become", become)
    monkeypatch.setattr(bootstrap, "ensure", lambda: False)
    monkeypatch.setattr(program, "main", main)
    return done


def enter(became: list[Any]) -> Any:
    with pytest.raises(SystemExit):
        bootstrap.enter_from_invoke()
    return became[-1]


@pytest.mark.parametrize("arguments", [["start"], ["plan", "--nonsense"], ["nonsense"], ["--dry", "start", "--clean"]])
def test_plain_inv_goes_on_in_venv_with_the_same_arguments(
    invoke: Any, became: list[Any], arguments: list[str]
) -> None:
    invoke(*arguments)

    [argv, _] = enter(became)

    assert argv == [str(ROOT / ".venv/bin/python"), str(ROOT / "scripts/bootorder/__main__.py"), *arguments]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--list"], ["-l"], ["start", "--help"], ["-h", "start"], ["--complete", "--", "inv st"], ["copy-to", "-h"]],
)
def test_what_only_shows_the_tasks_is_shown_without_venv(invoke: Any, became: list[Any], arguments: list[str]) -> None:
    invoke(*arguments)

    assert enter(became) == "here"


def test_where_showing_them_needs_a_package_of_venv_it_is_done_there(
    invoke: Any, became: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> NoReturn:
        raise ModuleNotFoundError(name="colorama")

    monkeypatch.setattr(program, "main", main)
    invoke("--list")

    assert enter(became)[0][-1] == "--list"


def test_what_is_not_run_by_plain_invoke_stays_where_it_is(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "invoke.main", raising=False)

    bootstrap.enter_from_invoke()

    assert became == []


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/somewhere/bin/inv", "inv"),
        ("/somewhere/bin/invoke", "invoke"),
        ("inv.exe", "inv"),
        ("/lib/invoke/__main__.py", "python -m invoke"),
    ],
)
def test_hints_name_the_command_as_it_was_typed(path: str, command: str) -> None:
    assert bootstrap.typed(path) == command


# -- once, and not for ever --------------------------------------------------------------------------------------------


@pytest.fixture
def in_venv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, became: list[Any]) -> None:
    monkeypatch.setattr(bootstrap, "is_in_venv", lambda: True)
    monkeypatch.setattr(bootstrap, "_INSTALLED", tmp_path / "requirements.txt")


@pytest.mark.usefixtures("in_venv")
def test_in_a_venv_that_is_out_of_date_another_python_makes_it_once(
    became: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "is_ready", lambda: False)

    with pytest.raises(SystemExit):
        bootstrap.require_ready(["plan"])

    [[argv, more]] = became
    assert argv[1:] == ["-I", bootstrap.__file__, "plan"]
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    bootstrap.require_ready(["plan"])
    assert len(became) == 1, "whatever came of it, it is tried once"
    assert not [name for name in more if name in os.environ], "the next task may try again"


@pytest.mark.usefixtures("in_venv")
def test_packages_of_another_python_are_not_ready(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "is_ready", lambda: True)
    bootstrap.require_ready([])
    assert became == []

    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if not folder.startswith(sys.prefix)])
    with pytest.raises(SystemExit):
        bootstrap.require_ready([])


def test_any_other_python_runs_the_tasks_as_it_is(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "is_in_venv", lambda: False)

    bootstrap.require_ready([])

    assert became == []


# -- among tasks of other people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("core", "name", "given", "run"),
    [
        ([], "db_up", {"with_": []}, [[], "db-up", []]),
        ([], "db_up", {"with_": ["a", "b"], "verbose": True}, [[], "db-up", ["--with=a", "--with=b", "--verbose"]]),
        (["--config", "x.yaml"], "logs", {"service": [], "tail": 0}, [["--config=x.yaml"], "logs", ["--tail=0"]]),
        ([], "copy_to", {"path": "-shop"}, [[], "copy-to", ["--path=-shop"]]),
        ([], "url", {"as_": "api"}, [[], "url", ["--as=api"]]),
    ],
)
def test_a_task_among_those_of_other_people_is_run_in_venv_with_its_flags(
    invoke: Any, monkeypatch: pytest.MonkeyPatch, core: list[str], name: str, given: dict[str, Any], run: list[Any]
) -> None:
    ran: list[Any] = []

    def run_task(flags: list[str], task: str, changed: dict[str, Any]) -> int:
        ran.append([flags, task, bootstrap.as_flags(changed)])
        return 6

    monkeypatch.setattr(bootstrap, "run_task", run_task)
    invoke(*core)

    with pytest.raises(Exit) as ended:
        getattr(tasks, name)(Context(Config()), **given)

    assert ran == [run]
    assert ended.value.code == 6


def test_a_dry_run_is_one_in_venv_too(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(bootstrap, "run_task", lambda *given: ran.append(given))
    invoke()

    tasks.stop(Context(Config(overrides={"run": {"dry": True}})))

    assert ran == [(["--dry"], "stop", {})]


# -- nox, and what is copied -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "goes_on"),
    [
        (["-l"], None),
        (["--list", "--json"], None),
        ([], []),
        (["-f", "../noxfile.py", "-s", "lint"], ["-f", "../noxfile.py", "-s", "lint"]),
        (["-s", "tests", "--", "-k", "x", "-l"], ["-s", "tests"]),
    ],
)
def test_nox_goes_on_in_venv_unless_it_lists(
    became: list[Any], monkeypatch: pytest.MonkeyPatch, typed: list[str], goes_on: list[str] | None
) -> None:
    monkeypatch.setattr(sys, "argv", ["nox", *typed])
    monkeypatch.setattr(bootstrap, "is_in_venv", lambda: False)
    after = typed[typed.index("--") :] if "--" in typed else []

    if goes_on is None:
        bootstrap.enter_from_nox("2020.1.1")
        assert became == []
    # A nox that is too old cannot even list.
    with pytest.raises(SystemExit):
        bootstrap.enter_from_nox("9999.1" if goes_on is None else "2020.1.1")

    [[argv, _]] = became
    assert argv[1:] == ["-m", "nox", *(goes_on or typed), "--noxfile", str(ROOT / "noxfile.py"), *after]


def test_nox_of_venv_goes_on(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nox"])
    monkeypatch.setattr(bootstrap, "is_in_venv", lambda: True)

    bootstrap.enter_from_nox("9999.1")

    assert became == []


def test_other_repositories_get_the_tasks_py_of_this_one() -> None:
    [copied] = [file for file in payload.payload() if file.path == "tasks.py"]

    assert copied.content == (ROOT / "tasks.py").read_bytes()
