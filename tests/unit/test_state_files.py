"""What the tasks keep in `.bootorder`: closed to others, whole, and no trouble where it is spoilt."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder import state_files
from scripts.bootorder.lock import exclusive
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.owners import rehearsal_file
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded.builds import Builds, Step
from scripts.bootorder.runtimes.embedded.table import ProcessTable
from scripts.bootorder.timeline.spans import Timeline

from .fakes import FakeStack

PACKAGE = Path(state_files.__file__).parent

only_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")

SPOILT = ["", '{"fingerprint": "x", "cat', "[]", "null", "1", '"text"', "{}", "\xff\xfe", "[" * 100_000]


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def notes() -> list[str]:
    return []


# -- closed to others --------------------------------------------------------------------------------------------------


@only_posix
@pytest.mark.usefixtures("umask")
def test_a_file_and_its_folder_are_for_this_user_only_whatever_the_umask(tmp_path: Path) -> None:
    state_files.make_folder(tmp_path / "state" / "deep")
    state_files.write(tmp_path / "state" / "deep" / "x.json", "{}")

    assert mode(tmp_path / "state" / "deep" / "x.json") == 0o600
    for folder in (tmp_path / "state", tmp_path / "state" / "deep"):
        # Nobody else lists it; of root's another account may pass to the database below.
        assert mode(folder) == (0o711 if os.geteuid() == 0 else 0o700)


@only_posix
def test_a_folder_that_was_open_is_closed_and_the_one_above_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)

    state_files.make_folder(tmp_path / "state")

    assert not mode(tmp_path / "state") & 0o066
    assert mode(tmp_path) == 0o755


@only_posix
def test_an_older_file_that_others_can_read_is_closed_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0o644)

    state_files.write(path, "[]")

    assert (mode(path), path.read_text(encoding="utf-8")) == (0o600, "[]")


@only_posix
@pytest.mark.usefixtures("umask")
def test_everything_that_a_boot_keeps_is_for_this_user_only(stack: FakeStack) -> None:
    boot = stack.boot()
    with exclusive(boot.state_folder, "start"):
        boot.note_stopped(["web"])
        timeline = Timeline()
        with timeline.span("migrate", "stage") as span:
            span.came_to(Outcome("done"))
        timeline.recording({}).save(boot.state_folder / "timeline.json")
        boot.owners[0].rehearse(boot.target())

        kept = {path: mode(path) for path in boot.state_folder.rglob("*.json")}

    assert {"holder.json", "stopped.json", "timeline.json"} < {path.name for path in kept}
    assert [path for path in kept if path.parent.name == "rehearsals"]
    assert set(kept.values()) == {0o600}


def test_no_module_writes_a_file_of_its_own_way() -> None:
    """What may write: this helper, .env, files of other repositories, and what must need nothing of ours."""
    allowed = {"state_files.py", "env_file.py", "showing.py", "target.py", "supervisor.py", "stack.py", "own_names.py"}
    allowed |= {"secret_files.py", "bootstrap.py"}  # like .env; before there is anything else
    writes = re.compile(r"\.write_(?:text|bytes)\(|open\([^)]*[\"'][wax]b?\+?[\"']|O_CREAT|mkstemp|NamedTemporaryFile")

    found = {path.name for path in PACKAGE.rglob("*.py") if writes.search(path.read_text(encoding="utf-8"))}

    assert found <= allowed
    assert "state_files.py" in found


# -- whole -------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "x.json"
    state_files.write(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            state_files.write(path, "new")

    assert [one.name for one in tmp_path.iterdir()] == ["x.json"]
    assert path.read_text(encoding="utf-8") == "old"


def test_a_folder_whose_name_a_file_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="utf-8")

    with pytest.raises(FileExistsError):
        state_files.make_folder(tmp_path / "state")


# -- spoilt ------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_nothing_and_no_note(tmp_path: Path, notes: list[str]) -> None:
    assert state_files.read(tmp_path / "x.json", dict, notes.append) is None
    assert notes == []


@pytest.mark.parametrize("text", SPOILT)
def test_a_spoilt_file_is_set_aside_with_one_note(tmp_path: Path, notes: list[str], text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin-1")

    for _ in range(2):
        assert state_files.read(path, lambda data: data["fingerprint"], notes.append) is None

    assert len(notes) == 1
    assert "x.json.spoilt" in notes[0]
    assert [one.name for one in tmp_path.iterdir()] == ["x.json.spoilt"]


def test_a_folder_in_its_place_is_set_aside_too(tmp_path: Path, notes: list[str]) -> None:
    (tmp_path / "x.json").mkdir()

    assert state_files.read(tmp_path / "x.json", dict, notes.append) is None
    assert len(notes) == 1


@pytest.mark.parametrize("text", [*SPOILT, '{"fingerprint": "x", "catalog": [[1]]}', '{"fingerprint": "x"}'])
def test_a_spoilt_rehearsal_is_rehearsed_again(stack: FakeStack, text: str) -> None:
    boot = stack.boot()
    owner = boot.owners[0]
    made = owner.rehearse(boot.target())
    cache = rehearsal_file(boot.state_folder, owner.name)
    cache.write_text(text, encoding="latin-1")

    again = stack.boot()

    assert again.owners[0].rehearse(again.target()).tables() == made.tables()
    assert json.loads(cache.read_text(encoding="utf-8"))["catalog"]
    assert stack.said.count("was cut short or is not what these tasks write") == 1


@pytest.mark.parametrize("text", SPOILT)
def test_a_spoilt_note_of_what_was_stopped_ends_nothing(stack: FakeStack, text: str) -> None:
    boot = stack.boot()
    boot.note_stopped(["web"])
    (boot.state_folder / "stopped.json").write_text(text, encoding="latin-1")

    assert not boot.was_stopped(boot.runtime.services(["web"])["web"])

    boot.note_stopped(["web"])
    assert isinstance(json.loads((boot.state_folder / "stopped.json").read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("text", [*SPOILT, '{"made_of": 1}', '{"made_of": "x", "left": 5}'])
def test_a_spoilt_record_of_a_build_is_a_build_that_was_not_done(tmp_path: Path, notes: list[str], text: str) -> None:
    builds = Builds(tmp_path, notes.append)
    step = Step("building web", [], tmp_path, lambda: "sources")
    builds.do(step, SystemProcesses(), {}, notes.append)
    assert builds.is_done(step)
    [record] = tmp_path.glob("*.json")
    record.write_text(text, encoding="latin-1")

    assert not builds.is_done(step)
    assert len(notes) == 1

    builds.do(step, SystemProcesses(), {}, notes.append)
    assert builds.is_done(step)


@pytest.mark.parametrize("text", [*SPOILT, '{"pid": "x", "token": 1, "made_of": [], "code": {}}'])
def test_a_spoilt_record_of_a_process_is_as_none(tmp_path: Path, notes: list[str], text: str) -> None:
    table = ProcessTable(tmp_path, tmp_path / "processes", tmp_path / "logs", dict, notes.append)
    state_files.make_folder(tmp_path / "processes")
    (tmp_path / "processes" / "web.json").write_text(text, encoding="latin-1")

    assert table.look(["web"])["web"].state == "absent"
    assert len(notes) == 1
