"""Files of an owner's folder, and of `.bootorder`, that are made to stop, fill or mislead whoever reads them."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts.bootorder import sources, state_files
from scripts.bootorder.processes import within
from scripts.bootorder.runtimes.embedded import logs

from .tiny import EmbeddedTiny, Part, ignore, python

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux")

SECONDS = 10.0  # for what should take no time


def digest(folder: Path) -> str:
    return within(SECONDS, lambda: sources.of_folder(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An owner's, with one ordinary file in it."""
    made = tmp_path / "owner"
    made.mkdir()
    (made / "tool.py").write_text("print('the tool')", encoding="utf-8")
    return made


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_its_own_folder(path: Path) -> None:
    path.symlink_to(path.parent)


def a_link_to_endless_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_a_file_of_the_kernel_that_waits(path: Path) -> None:
    path.symlink_to("/proc/kmsg")


def a_link_to_all_memory(path: Path) -> None:
    path.symlink_to("/proc/kcore")


def a_file_of_a_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1024**4)


def a_file_that_nobody_may_read(path: Path) -> None:
    path.write_text("x", encoding="utf-8")
    path.chmod(0)


def a_name_that_is_no_text(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path) + b"\xff\xfe")).touch()


def a_name_of_two_lines(path: Path) -> None:
    path.with_name("one\ntwo\r\x1b[2K").touch()


@posix
@pytest.mark.parametrize(
    "make",
    [
        *(a_pipe, a_socket, a_loop, a_link_to_its_own_folder, a_link_to_endless_zeros, a_link_to_all_memory),
        *(a_link_to_a_file_of_the_kernel_that_waits, a_file_of_a_terabyte, a_file_that_nobody_may_read),
        *(a_name_that_is_no_text, a_name_of_two_lines),
    ],
    ids=lambda make: make.__name__.replace("_", " "),
)
def test_no_file_of_an_owner_holds_up_or_ends_the_look_at_its_sources(
    folder: Path, make: Callable[[Path], None]
) -> None:
    make(folder / "strange")

    seen = digest(folder)

    (folder / "tool.py").write_text("print('another')", encoding="utf-8")
    assert digest(folder) != seen


@posix
def test_a_pipe_that_took_the_place_of_a_file_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a file when it was listed."""
    os.mkfifo(folder / "pipe")
    monkeypatch.setattr(Path, "is_file", lambda _: True)

    assert digest(folder)


def test_a_large_file_that_was_replaced_is_another_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_LARGE", 10)
    large = folder / "large"
    large.write_bytes(b"x" * 11)
    os.utime(large, ns=(1, 1))
    seen = digest(folder)

    large.write_bytes(b"y" * 11)

    assert digest(folder) != seen


def test_names_cannot_be_chosen_so_that_two_folders_are_one(tmp_path: Path) -> None:
    """Neither does a name with a line break stand for two files."""
    found = set()
    for number, names in enumerate((["a\nb"], ["a", "b"], ["ab"], ["a\n", "b"])):
        made = tmp_path / str(number)
        made.mkdir()
        for name in names:
            (made / name).write_text("", encoding="utf-8")
        found.add(digest(made))

    assert len(found) == 4


def test_many_files_are_read_in_seconds(folder: Path) -> None:
    for number in range(100):
        (folder / str(number)).mkdir()
        for file in range(200):
            (folder / str(number) / str(file)).touch()

    assert digest(folder)


# -- the state folder, which programs of the same user can write to ----------------------------------------------------


def spoilt(path: Path, kind: str) -> None:
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a folder":
        (path / "in it").mkdir(parents=True)
    elif kind == "a terabyte":
        with path.open("wb") as file:
            file.truncate(1024**4)
    else:
        path.write_text(kind, encoding="utf-8")


@posix
@pytest.mark.parametrize(
    "kind",
    ["a pipe", "a device", "a folder", "a terabyte", "[" * 100_000, '{"number": 1e999}', '{"number": NaN}', "\0"],
)
def test_no_state_file_is_waited_for_or_believed(tmp_path: Path, kind: str) -> None:
    path, said = tmp_path / "record.json", list[str]()
    spoilt(path, kind)

    found = within(SECONDS, lambda: state_files.read(path, lambda data: int(data["number"]), said.append))

    assert found is None
    assert said == [
        "record.json was cut short or is not what these tasks write: it is record.json.spoilt now, and made again"
    ]
    assert not path.exists()


@posix
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_no_log_is_waited_for(tmp_path: Path, kind: str) -> None:
    spoilt(tmp_path / "web.log", kind)

    assert within(SECONDS, lambda: logs.tail(tmp_path / "web.log", 10)) == []


@pytest.fixture
def stack(postgres_programs: None, new_folder: Callable[[], Path]) -> Iterator[EmbeddedTiny]:
    """One app that runs."""
    with EmbeddedTiny(new_folder() / "tiny", parts={"app": Part("import signal; signal.pause()")}) as made:
        made.start("app")
        yield made


@posix
@pytest.mark.parametrize("number", [0, -1, 1, 2**31, 2**70])
def test_a_record_with_the_number_of_another_process_ends_nobody(stack: EmbeddedTiny, number: int) -> None:
    """Neither that of the first process of the machine, nor a group's, nor one that no process has."""
    [record] = (stack.state / "processes").glob("*.json")
    written = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**written, "pid": number}), encoding="utf-8")

    assert stack.service("app").state == "running"  # by its label
    assert stack.runtime.stop() == ["app"]
    assert stack.alive() == []


@posix
def test_a_record_of_this_test_s_own_number_and_time_ends_nobody(stack: EmbeddedTiny) -> None:
    """A victim has another command line than the record says, and is left alone, whatever else fits."""
    victim = psutil.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    [record] = (stack.state / "processes").glob("*.json")
    written = json.loads(record.read_text(encoding="utf-8"))
    for token in (written["token"], "", "python", sys.executable):
        record.write_text(json.dumps({**written, "pid": victim.pid, "token": token}), encoding="utf-8")
        stack.runtime.stop()
        stack.runtime.stop_one_offs()

    try:
        assert victim.poll() is None
        assert stack.alive() == []
    finally:
        victim.kill()
        victim.wait()


@posix
def test_what_a_link_in_the_state_folder_leads_to_is_not_removed(stack: EmbeddedTiny, tmp_path: Path) -> None:
    """An app has replaced its data folder, its log and its record."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept", encoding="utf-8")
    stack.runtime.stop()
    for path, target in (
        (stack.state / "data" / "app", outside),
        (stack.state / "logs" / "app.log", outside / "kept"),
        (stack.state / "processes" / "app.json", outside / "kept"),
    ):
        state_files.remove(path)
        path.symlink_to(target)

    stack.runtime.remove()

    assert (outside / "kept").read_text(encoding="utf-8") == "kept"
    assert stack.remains() == []
    assert not (stack.state / "data" / "app").is_symlink()


@posix
def test_a_log_that_an_app_replaced_by_a_link_is_not_written_through_at_the_next_start(
    stack: EmbeddedTiny, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept", encoding="utf-8")
    log = stack.state / "logs" / "app.log"
    stack.once("app", lambda _: log.exists())
    log.unlink()
    log.symlink_to(outside)

    stack.change("app", program="print('said', flush=True); import signal; signal.pause()")
    stack.start("app")
    stack.once("app", lambda _: any("said" in line for _, line in logs.tail(log, 10)))

    assert outside.read_text(encoding="utf-8") == "kept"
    assert stat.S_ISREG(log.lstat().st_mode)


@posix
@pytest.mark.usefixtures("postgres_programs")
def test_a_folder_of_the_owner_that_is_a_link_runs_where_it_leads(new_folder: Callable[[], Path]) -> None:
    """A link is the owner's own choice; what is told of it stays within the checkout."""
    with EmbeddedTiny(new_folder() / "tiny", parts={"tool": Part("print('the tool')", one_off=True)}) as stack:
        elsewhere = new_folder()
        (stack.folder / "tool").rmdir()
        (stack.folder / "tool").symlink_to(elsewhere)

        done = stack.runtime.run_once("tool", python("import os; print(os.getcwd())"), {}, ignore)

        assert done.out.strip() == str(elsewhere)
