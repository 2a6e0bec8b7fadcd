from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.bootorder.runtimes.embedded import supervisor
from scripts.bootorder.runtimes.embedded.supervisor import LOGS_KEPT, _keep, _listen, _Log, _note, _pump

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


@pytest.fixture(autouse=True)
def _logs_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the end of the supervisor closes them."""
    opened: list[IO[bytes]] = []
    opening = _Log._open

    def spy(log: _Log) -> IO[bytes]:
        opened.append(opening(log))
        return opened[-1]

    monkeypatch.setattr(_Log, "_open", spy)
    yield
    for file in opened:
        file.close()


@pytest.fixture(autouse=True)
def _no_real_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_TAKES_ORPHANS", False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def lines_of(path: Path) -> list[str]:
    """Without the times, each of which must be there."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(STAMP.match(line) for line in lines)
    return [STAMP.sub("", line) for line in lines]


# -- the log -----------------------------------------------------------------------------------------------------------


def test_every_line_has_the_time_it_came(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795366812.0456)

    _Log(str(path)).write([b"one", b"two"])

    assert path.read_text(encoding="utf-8") == "2026-11-22T17:00:12.045Z one\n2026-11-22T17:00:12.045Z two\n"


@posix
def test_times_are_the_same_in_every_zone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        _Log(str(path)).write([b"one"])
    time.tzset()

    assert path.read_text(encoding="utf-8").startswith("1970-01-01T00:00:00.000Z ")


def test_a_line_s_end_is_that_of_this_file_whatever_the_process_writes(path: Path) -> None:
    _Log(str(path)).write([b"one\r", b"\rtwo", b"", b" three \r\r"])

    assert path.read_bytes().count(b"\n") == 4
    assert [STAMP.sub("", line) for line in path.read_bytes().decode().split("\n")[:-1]] == [
        *("one", "\rtwo", "", " three ")
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_its_user_can_read_a_log(path: Path) -> None:
    _Log(str(path))

    assert path.stat().st_mode & 0o077 == 0


def test_a_new_run_begins_a_new_log_and_keeps_the_one_before(path: Path) -> None:
    for run in (b"first", b"second", b"third"):
        _Log(str(path)).write([run])

    assert lines_of(path) == ["third"]
    assert lines_of(path.with_name("web.previous.log")) == ["second"]


def test_a_new_run_keeps_nothing_of_the_full_logs_before(path: Path) -> None:
    for number in range(1, LOGS_KEPT + 1):
        path.with_name(f"web.log.{number}").touch()

    _Log(str(path))

    assert sorted(file.name for file in path.parent.iterdir()) == ["web.log"]


def test_a_full_log_is_turned_and_the_oldest_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES", 40)
    log = _Log(str(path))

    for number in range(5):
        log.write([b"%d" % number, b"-" * 40])

    assert path.read_bytes() == b""
    assert lines_of(path.with_name("web.log.1"))[0] == "4"
    assert lines_of(path.with_name("web.log.2"))[0] == "3"
    assert not path.with_name("web.log.3").exists()


def test_a_log_that_is_not_full_is_not_turned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = len("2026-11-22T17:00:12.045Z one\n")
    monkeypatch.setattr(supervisor, "LOG_BYTES", 2 * line)
    log = _Log(str(path))

    log.write([b"one"])
    log.write([b"two"])

    assert lines_of(path) == ["one", "two"]


class FullDisk:
    """A log file that cannot be written."""

    closed = False

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_lines_that_find_no_room_are_counted_and_told_when_there_is_room_again(path: Path) -> None:
    log = _Log(str(path))
    log.write([b"before"])
    file, full = log._file, FullDisk()

    log._file = full  # type: ignore[assignment]
    log.write([b"one", b"two"])
    log.write([b"three"])
    log._file = file
    log.write([b"after"])
    log.write([b"and on"])

    assert lines_of(path) == ["before", "(3 lines could not be written)", "after", "and on"]


def test_a_log_that_cannot_be_turned_goes_on_when_it_can(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process would stand still at a full pipe if nobody read on."""
    monkeypatch.setattr(supervisor, "LOG_BYTES", 10)
    log = _Log(str(path))
    opened = os.open

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", refuse)
    log.write([b"full"])
    log.write([b"lost"])
    monkeypatch.setattr(os, "open", opened)
    log.write([b"after"])

    assert lines_of(path.with_name("web.log.2")) == ["full"]
    assert lines_of(path.with_name("web.log.1")) == ["(1 lines could not be written)", "after"]


def test_a_log_that_somebody_holds_open_is_turned_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a file that is read cannot be moved."""
    monkeypatch.setattr(supervisor, "LOG_BYTES", 10)
    log = _Log(str(path))

    def held(*_: object) -> None:
        raise PermissionError(errno.EACCES, "The process cannot access the file")

    with monkeypatch.context() as reading:
        reading.setattr(os, "replace", held)
        log.write([b"one"])
    log.write([b"two"])

    assert lines_of(path.with_name("web.log.1")) == ["one", "two"]


# -- from the pipe to the log ------------------------------------------------------------------------------------------


class Kept:
    """Lines instead of a file."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, lines: list[bytes]) -> None:
        self.lines += lines


def pumped(monkeypatch: pytest.MonkeyPatch, *chunks: bytes, hidden: Sequence[str] = ()) -> list[bytes]:
    """What a process writes in these pieces, as lines."""
    left: Iterator[bytes] = iter([*filter(None, chunks), b""])
    monkeypatch.setattr(os, "read", lambda descriptor, size: next(left))
    kept = Kept()
    stream: Any = SimpleNamespace(fileno=lambda: 3)
    log: Any = kept
    _pump(stream, log, list(hidden))
    return kept.lines


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b"one\ntwo\n"], [b"one", b"two"]),
        ([b"o", b"ne\nt", b"wo\n"], [b"one", b"two"]),
        ([b"one\n", b"\n", b"two"], [b"one", b"", b"two"]),
        ([b"one\r\n", b"two\r", b"\n"], [b"one\r", b"two\r"]),
        ([b"caf\xc3", b"\xa9\n"], ["café".encode()]),
        ([b"no end"], [b"no end"]),
    ],
)
def test_lines_are_put_together_again_however_they_arrive(
    monkeypatch: pytest.MonkeyPatch, chunks: list[bytes], lines: list[bytes]
) -> None:
    assert pumped(monkeypatch, *chunks) == lines


@given(st.lists(st.binary(max_size=8)))
@example([b"\n", b"\n"])
def test_nothing_is_lost_and_nothing_is_added_on_the_way(chunks: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        lines = pumped(monkeypatch, *chunks)

    written = b"".join(chunks)
    assert b"\n".join(lines) == written.removesuffix(b"\n")
    assert len(lines) == written.count(b"\n") + (not written.endswith(b"\n") and bool(written))


def test_a_line_without_an_end_is_not_kept_in_memory_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_CHUNK", 10)

    lines = pumped(monkeypatch, b"a" * 8, b"b" * 8, b"c" * 8, b"\n")

    assert lines == [b"a" * 8 + b"b" * 8, b"c" * 8]


@given(st.integers(1, 12), st.integers(0, 30), st.sampled_from(["", "\n"]))
def test_no_secret_is_written_wherever_the_pieces_are_cut(size: int, before: int, end: str) -> None:
    text = ("." * before + "s3cret-päss" + "-" * 7 + "0ther-one" + end).encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(supervisor, "_CHUNK", 10)
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        written = b"".join(pumped(monkeypatch, *chunks, hidden=["s3cret-päss", "0ther-one"]))

    assert written == b"." * before + b"***" + b"-" * 7 + b"***"


# -- the process -------------------------------------------------------------------------------------------------------


class Machine:
    """Signals that are sent, and processes that end with `code`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[int, int]] = []
        self.gone: type[OSError] | None = None
        self.order: dict[str, Any] = {
            "record": str(root / "web.json"),
            "log": str(root / "web.log"),
            "hidden": [],
            "token": "a label",
            "made_of": "sources 1",
        }
        if sys.platform != "win32":
            monkeypatch.setattr(os, "killpg", self.kill)

    def kill(self, group: int, number: int) -> None:
        self.told.append((group, number))
        if self.gone:
            raise self.gone

    def keep(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        left = iter([b"up\n", b""])
        monkeypatch.setattr(os, "read", lambda descriptor, size: next(left))
        process: Any = SimpleNamespace(pid=4711, stdout=SimpleNamespace(fileno=lambda: 3), wait=lambda: code)
        _keep(self.order, process)

    @property
    def record(self) -> Any:
        return json.loads(Path(self.order["record"]).read_text(encoding="utf-8"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(("code", "noted"), [(0, 0), (3, 3), (-9, 137), (-15, 143)])
def test_how_a_process_ended_is_noted_as_a_container_s_end_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, code: int, noted: int
) -> None:
    machine.keep(monkeypatch, code)

    assert machine.record == {"pid": os.getpid(), "token": "a label", "made_of": "sources 1", "code": noted}
    assert lines_of(Path(machine.order["log"])) == ["up"]


@posix
@pytest.mark.parametrize("gone", [None, ProcessLookupError, PermissionError])
def test_with_a_process_ends_all_that_it_started(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, gone: type[OSError] | None
) -> None:
    machine.gone = gone

    machine.keep(monkeypatch, 0)

    assert machine.told == [(4711, signal.SIGKILL)]
    assert machine.record["code"] == 0


@posix
def test_the_request_to_end_is_passed_on_as_the_process_wants_it_and_ctrl_c_is_not(machine: Machine) -> None:
    process: Any = SimpleNamespace(pid=4711)

    _listen(process, signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGHUP)

    assert machine.told == [(4711, signal.SIGINT)]


def test_nobody_reads_half_a_record(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    _note(machine.order, None)
    seen: list[Any] = []
    replace = os.replace

    def spy(old: str, new: str) -> None:
        seen.append(machine.record)
        replace(old, new)

    monkeypatch.setattr(os, "replace", spy)
    _note(machine.order, 1)

    assert [record["code"] for record in (*seen, machine.record)] == [None, 1]
    assert [path.name for path in Path(machine.order["record"]).parent.iterdir()] == ["web.json"]


def test_a_record_that_cannot_be_written_ends_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.order["record"] = str(tmp_path / "gone" / "web.json")

    _note(machine.order, None)
