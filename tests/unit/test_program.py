from __future__ import annotations

import io
import json
import shutil
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invoke.config import Config
from invoke.context import Context
from invoke.exceptions import Exit

from scripts.bootorder import opening, program, tasks
from scripts.bootorder.console import Console
from scripts.bootorder.database import Target
from scripts.bootorder.errors import GuardError, MigrationError
from scripts.bootorder.probes import NotYet
from scripts.bootorder.program import configuration, translated
from scripts.bootorder.settings import parse, runtime_name

ROOT = Path(__file__).parents[2]
TASKS = "from invoke.tasks import task\n\n@task\ndef hello(c):\n    '''Say hello.'''\n    print('hello')\n"


def ended(console: Console, error: BaseException) -> int:
    with pytest.raises(Exit) as caught, translated(console):
        raise error
    return int(caught.value.code)


# -- our errors --------------------------------------------------------------------------------------------------------


def test_an_error_of_ours_is_shown_and_becomes_its_exit_code() -> None:
    talk = io.StringIO()

    assert ended(Console(talk), GuardError("tables lost", hint="restore them")) == 6
    assert talk.getvalue() == "error: tables lost\n  hint: restore them\n"


def test_an_error_that_was_shown_with_its_stage_is_not_shown_again() -> None:
    talk = io.StringIO()
    error = MigrationError("it broke", hint="mend it")
    error.shown = True

    assert ended(Console(talk), error) == 5
    assert talk.getvalue() == ""


def test_ctrl_c_becomes_130() -> None:
    assert ended(Console(io.StringIO()), KeyboardInterrupt()) == 130


def test_a_mistake_of_ours_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError), translated(Console(io.StringIO())):
        raise ZeroDivisionError


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_request_to_end_is_as_ctrl_c(name: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"this system has no {name}")

    with pytest.raises(Exit) as caught, translated(Console(io.StringIO())):
        signal.raise_signal(getattr(signal, name))

    assert caught.value.code == 130


class Gone:
    """An object to drop."""


def in_a_weak_reference() -> None:
    gone = Gone()
    weakref.finalize(gone, signal.raise_signal, signal.SIGINT)


def in_the_end_of_an_object() -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    Interrupted()


@pytest.mark.parametrize("ignored", [in_a_weak_reference, in_the_end_of_an_object])
def test_an_interrupt_that_python_ignored_is_repeated(ignored: Callable[[], None]) -> None:
    def work() -> None:
        ignored()
        threading.Event().wait(20)

    with pytest.raises(Exit) as caught, translated(Console(io.StringIO())):
        work()

    assert caught.value.code == 130


def test_another_error_that_python_ignores_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("spoilt")

    with translated(Console(io.StringIO())):
        Broken()

    assert "ValueError: spoilt" in capsys.readouterr().err


def test_a_task_that_works_ends_without_a_word() -> None:
    with translated(Console(io.StringIO())):
        pass


# -- as JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GuardError("tables lost", hint="restore them"), "tables lost"),
        (KeyboardInterrupt(), "interrupted"),
        (OSError("the disk is full"), "the operating system refused an operation"),
    ],
)
def test_a_failure_is_an_object_on_stdout_where_a_program_reads(error: BaseException, message: str) -> None:
    data = io.StringIO()

    with pytest.raises(Exit) as caught, translated(Console(io.StringIO(), data), as_json=True):
        raise error

    found = json.loads(data.getvalue())
    assert list(found) == ["ok", "error"]
    assert found["ok"] is False
    assert found["error"]["message"] == message
    assert found["error"]["exit_code"] == caught.value.code


def test_what_told_more_already_is_not_told_twice() -> None:
    data = io.StringIO()
    console = Console(io.StringIO(), data)
    console.data({"ok": False, "stages": []})

    with pytest.raises(Exit), translated(console, as_json=True):
        raise GuardError("tables lost", hint="restore them")

    assert json.loads(data.getvalue()) == {"ok": False, "stages": []}


@pytest.mark.parametrize("task", ["start", "status", "doctor"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bootorder:\n  databse: {}\n", "unknown key `bootorder.databse`; did you mean `database`?"),
        ("bootorder: [\n", "invoke.yaml is not YAML"),
        ("text", "invoke.yaml is not a mapping"),
    ],
)
def test_wrong_settings_are_told_as_json_whatever_is_asked(
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: str,
    text: str,
    message: str,
) -> None:
    (checkout / "invoke.yaml").write_text(text, encoding="utf-8")

    assert run(checkout, monkeypatch, task, "--json") == 2

    captured = capsys.readouterr()
    assert message in captured.err
    found = json.loads(captured.out)
    assert found["ok"] is False
    assert message in found["error"]["message"]


@pytest.mark.parametrize("arguments", [["plan", "--json", "--until", "nonsense"], ["plan", "-j", "--nonsense"]])
def test_a_wrong_flag_is_told_as_json(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(checkout, monkeypatch, *arguments) == 2

    assert "nonsense" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_what_is_no_number_is_said_plainly(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(checkout, monkeypatch, "logs", "--tail", "x") == 2

    assert capsys.readouterr().err.startswith("error: 'x' is not a number\n")


# -- invoke's configuration --------------------------------------------------------------------------------------------


def test_settings_arrive_as_plain_values_however_deep() -> None:
    config = Config(overrides={"bootorder": {"database": {"beside": ["pgadmin"]}, "apps": {"web": {"wait": 5}}}})

    plain = configuration(Context(config))["bootorder"]

    assert plain == {"database": {"beside": ["pgadmin"]}, "apps": {"web": {"wait": 5}}}
    assert type(plain) is dict
    assert type(plain["apps"]["web"]) is dict


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one task; what Invoke loads of it is forgotten afterwards."""
    (tmp_path / "tasks.py").write_text(TASKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "tasks", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


@pytest.fixture
def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh checkout of the sample stack, as far as the command line needs it."""
    (folder / "tasks.py").unlink()
    shutil.copy(ROOT / "invoke.yaml", folder / "invoke.yaml")
    monkeypatch.setattr(tasks, "ROOT", folder)
    return folder


def run(root: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["inv", *arguments])
    own = ["tasks"] if (root / "tasks.py").exists() else []
    try:
        program.main(root, *own)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_task_runs_from_any_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "deep" / "inside").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "inside")

    assert run(folder, monkeypatch, "hello") == 0
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_a_task_with_a_positional_argument_explains_itself(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert run(checkout, monkeypatch, "copy-to", flag) == 0
    assert "--upgrade" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["helo"], ["hello", "--lowd"], ["hello", "extra"], ["--help", "helo"]])
def test_a_wrong_word_on_the_command_line_is_one_clear_line_and_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(folder, monkeypatch, *arguments) == 2

    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error: ")
    assert arguments[-1] in said[0]
    assert said[1].startswith("  hint: see ")
    assert len(said) == 2


def test_settings_that_are_no_yaml_are_one_clear_line_and_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "invoke.yaml").write_text("bootorder:\n  database: [postgres\n", encoding="utf-8")

    assert run(folder, monkeypatch, "hello") == 2

    said = capsys.readouterr().err
    assert said.startswith("error: invoke.yaml is not YAML\n")
    assert "line 3" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "nothere.yaml", "hello"], "there is no file nothere.yaml"),
        (["--config", "broken.yaml", "hello"], "broken.yaml is not YAML"),
        (["--config", "tasks.txt", "hello"], "'txt'"),
        (["--config", "text.yaml", "hello"], "the files of settings contradict each other"),
        (["--collection", "nothere", "hello"], "there is no collection `nothere`"),
    ],
)
def test_a_wrong_file_on_the_command_line_is_refused_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (folder / "broken.yaml").write_text("[", encoding="utf-8")
    (folder / "text.yaml").write_text("run: text", encoding="utf-8")
    (folder / "tasks.txt").touch()

    assert run(folder, monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err.splitlines()[0]


def test_a_wrong_variable_in_the_environment_ends_a_task_before_it_begins(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INVOKE_BOOTORDER_RUNTME", "embedded")

    assert run(checkout, monkeypatch, "plan", "--json") == 2

    captured = capsys.readouterr()
    assert "unknown variable INVOKE_BOOTORDER_RUNTME; did you mean INVOKE_BOOTORDER_RUNTIME?" in captured.err
    assert json.loads(captured.out)["ok"] is False


def test_the_environment_wins_over_the_file_and_a_flag_over_the_environment(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def open_boot(_root: Path, config: Any, _console: Console, runtime: str, **_: Any) -> None:
        opened.append(runtime_name(runtime, parse(config)))
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "open_boot", open_boot)
    text = (checkout / "invoke.yaml").read_text(encoding="utf-8")
    (checkout / "invoke.yaml").write_text(text.replace("  layout:", "  runtime: compose\n  layout:"), encoding="utf-8")

    run(checkout, monkeypatch, "plan")
    monkeypatch.setenv("INVOKE_BOOTORDER_RUNTIME", "embedded")
    run(checkout, monkeypatch, "plan")
    run(checkout, monkeypatch, "plan", "--runtime", "auto")

    assert opened == ["compose", "embedded", "auto"]


def test_what_is_checked_here_is_passed_over_as_the_environment_says(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INVOKE_BOOTORDER_CHECK_IGNORE", "no-such-check")

    assert run(checkout, monkeypatch, "check") == 2
    assert "unknown check in `check.ignore` `no-such-check`" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["inv", "invoke"])
def test_a_shell_completes_it_by_either_name(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    assert run(checkout, monkeypatch, "--complete", "--", typed, "db") == 0
    assert "db-up" in capsys.readouterr().out.split()

    assert run(checkout, monkeypatch, "--print-completion-script=bash") == 0
    assert "-F _complete_invoke" in (script := capsys.readouterr().out)
    assert "invoke inv" in script


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["plan", "--until", "nonsense"], "nonsense"),
        (["start", "--runtime", "nonsense"], "nonsense"),
        (["start", "--until", "nonsense"], "nonsense"),
        (["nonsense"], "nonsense"),
        (["start", "--nonsense"], "nonsense"),
    ],
)
def test_nonsense_is_refused_by_the_tasks_themselves_and_nothing_is_made(
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    name: str,
) -> None:
    assert run(checkout, monkeypatch, *arguments) == 2

    captured = capsys.readouterr()
    [error] = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert name in error
    assert captured.out == ""
    assert sorted(path.name for path in checkout.iterdir()) == ["invoke.yaml"]


def test_the_plan_of_this_stack_is_data_on_stdout_as_json(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Target, "look", lambda target: NotYet("Connection refused"))

    assert run(checkout, monkeypatch, "plan", "--json", "--quick", "--runtime", "embedded") == 0

    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert data["stages"][0]["stage"] == "db-up"
    assert data["owners"] is None, "the database cannot be asked"
    assert captured.err == ""
