from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bootorder.errors import MachineError
from scripts.bootorder.runtimes.embedded import home
from scripts.bootorder.runtimes.embedded.home import Home
from scripts.bootorder.runtimes.embedded.table import Account

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no accounts of this kind")

ACCOUNT = Account(105, 106)


class Machine:
    """Checkouts of root's, which the account may not enter."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.outside = folder / "var" / "bootorder"
        self.outside.parent.mkdir()
        self.may_enter = False
        self.said: list[str] = []
        monkeypatch.setattr(home, "_OUTSIDE", self.outside)
        monkeypatch.setattr(home, "_can_enter", lambda account, folder: self.may_enter)

    def checkout(self, name: str = "taskflow") -> Path:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def home(self, checkout: Path) -> Home:
        return Home(checkout / ".bootorder" / "postgres", self.said.append)

    def made(self, checkout: Path, account: Account | None = ACCOUNT) -> Path:
        """With something in it."""
        made = self.home(checkout)
        made.make(account)
        made.folder.joinpath("data").mkdir(exist_ok=True)
        return made.folder

    def copy(self, checkout: Path, name: str = "copy") -> Path:
        return Path(shutil.copytree(checkout, self.folder / name, symlinks=True))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path.resolve(), monkeypatch)


def is_empty(home: Home) -> bool:
    """As everybody sees it who looks for something in it."""
    return not home.folder.is_dir() and not (home.folder / "data").exists()


def link(checkout: Path) -> Path:
    return checkout / ".bootorder" / "postgres"


# -- making it ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [None, ACCOUNT], ids=["the user's own", "another that may enter"])
def test_it_lies_in_the_checkout_where_its_account_may_enter_that(machine: Machine, account: Account | None) -> None:
    machine.may_enter = account is not None
    checkout = machine.checkout()

    assert machine.made(checkout, account) == link(checkout)

    assert not link(checkout).is_symlink()
    assert [path.name for path in link(checkout).iterdir()] == ["data"]
    assert machine.said == []


def test_it_lies_outside_where_not_and_that_is_said(machine: Machine) -> None:
    checkout = machine.checkout("task_flow")

    folder = machine.made(checkout)

    assert folder.parent == machine.outside
    assert folder.name.startswith("task-flow-")
    assert link(checkout).readlink() == folder
    assert machine.said == [
        f"the database lives in {folder}: the account it runs as may not enter {checkout / '.bootorder'}"
    ]


def test_the_account_may_enter_what_lies_outside_whatever_the_umask(machine: Machine) -> None:
    before = os.umask(0o077)
    try:
        folder = machine.made(machine.checkout())
    finally:
        os.umask(before)

    modes = [path.stat().st_mode & 0o777 for path in (folder.parent, folder, folder / "checkout")]
    assert modes == [0o755, 0o755, 0o644]


def test_it_is_made_once(machine: Machine) -> None:
    checkout = machine.checkout()
    folder = machine.made(checkout)
    machine.said.clear()

    assert machine.made(checkout) == folder

    assert (list(machine.outside.iterdir()), machine.said) == ([folder], [])


def test_two_checkouts_of_one_name_do_not_share_it(machine: Machine) -> None:
    one, two = (machine.made(machine.checkout(f"{parent}/taskflow")) for parent in ("one", "two"))

    assert one != two


@pytest.mark.parametrize("account", [None, ACCOUNT])
def test_a_link_to_what_is_gone_is_made_anew(machine: Machine, account: Account | None) -> None:
    checkout = machine.checkout()
    link(checkout).parent.mkdir()
    link(checkout).symlink_to(machine.folder / "gone")
    assert is_empty(machine.home(checkout))

    assert machine.made(checkout, account).is_dir()

    assert not any("copy" in line for line in machine.said)


def test_a_file_in_its_place_is_no_link(machine: Machine) -> None:
    checkout = machine.checkout()
    link(checkout).parent.mkdir()
    link(checkout).write_text("precious", encoding="utf-8")

    with pytest.raises(FileExistsError):
        machine.made(checkout, None)

    assert link(checkout).read_text(encoding="utf-8") == "precious"


# -- copied and moved checkouts ----------------------------------------------------------------------------------------


def test_a_copy_has_nothing_and_gets_a_folder_of_its_own_which_is_said(machine: Machine) -> None:
    original = machine.checkout()
    folder = machine.made(original)
    copy = machine.copy(original)
    machine.said.clear()
    assert is_empty(machine.home(copy))

    own = machine.made(copy)

    assert own != folder
    assert machine.home(original).folder == folder
    assert machine.said[0] == f"this checkout is a copy of {original}: it gets a database of its own"


def test_a_copy_of_a_copy_has_nothing_either(machine: Machine) -> None:
    copy = machine.copy(machine.checkout(), "copy")
    machine.made(machine.checkout())
    machine.copy(machine.checkout(), "one")
    machine.made(copy)

    assert is_empty(machine.home(machine.copy(copy, "two")))
    assert is_empty(machine.home(machine.copy(machine.folder / "one", "three")))


def test_a_copy_that_the_account_may_enter_has_it_inside(machine: Machine) -> None:
    folder = machine.made(machine.checkout())
    copy = machine.copy(machine.checkout())
    machine.may_enter = True

    assert machine.made(copy) == link(copy)

    assert (folder / "data").is_dir()


def test_to_look_at_a_copy_changes_nothing(machine: Machine) -> None:
    """Another user may look, and a status is no beginning."""
    folder = machine.made(machine.checkout())
    copy = machine.copy(machine.checkout())

    assert is_empty(machine.home(copy))

    assert link(copy).readlink() == folder


def test_a_copy_with_the_data_is_its_own(machine: Machine) -> None:
    folder = machine.made(machine.checkout())
    copy = Path(shutil.copytree(machine.checkout(), machine.folder / "copy", symlinks=False))

    assert machine.home(copy).folder == link(copy)
    assert machine.home(machine.checkout()).folder == folder


def test_a_moved_checkout_keeps_it_and_the_next_one_there_has_none(machine: Machine) -> None:
    folder = machine.made(machine.checkout())
    moved = machine.checkout().rename(machine.folder / "moved")

    assert machine.made(machine.checkout()) != folder  # even before anything was done in the moved one
    assert machine.home(moved).folder == folder
    assert machine.made(moved) == folder


def test_a_moved_checkout_takes_it_over_when_it_is_used(machine: Machine) -> None:
    """Then also a copy that is put where the checkout was is no more than a copy."""
    folder = machine.made(machine.checkout())
    moved = machine.checkout().rename(machine.folder / "moved")

    machine.made(moved)
    back = machine.copy(moved, "taskflow")

    assert is_empty(machine.home(back))
    assert machine.home(moved).folder == folder


def test_a_checkout_that_was_moved_and_is_still_found_by_its_old_name_is_no_copy(machine: Machine) -> None:
    folder = machine.made(machine.checkout())
    moved = machine.checkout().rename(machine.folder / "moved")
    (machine.folder / "taskflow").symlink_to(moved)

    assert machine.home(moved).folder == folder


def test_a_folder_that_a_person_linked_is_theirs_until_it_is_copied(machine: Machine) -> None:
    disk = machine.checkout("disk")
    link(machine.checkout()).parent.mkdir()
    link(machine.checkout()).symlink_to(disk)

    assert machine.made(machine.checkout(), None) == disk

    assert is_empty(machine.home(machine.copy(machine.checkout())))


def test_what_the_note_says_is_a_path_whatever_its_bytes(machine: Machine) -> None:
    original = machine.checkout(os.fsdecode(b"task\xff\nflow "))
    folder = machine.made(original)

    assert machine.home(original).folder == folder
    assert is_empty(machine.home(machine.copy(original)))


def test_a_note_that_was_never_finished_names_nobody(machine: Machine) -> None:
    folder = machine.made(machine.checkout())
    (folder / "checkout").write_bytes(b"")

    assert machine.home(machine.checkout()).folder == folder


# -- who may enter -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "may"), [(0, True), (1, False)])
def test_the_system_is_asked_as_that_account_whether_it_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, may: bool
) -> None:
    """By a program that it may run: root's PATH may lead through folders that the account may not enter either."""
    asked: list[tuple[Sequence[str], int]] = []

    def run(argv: Sequence[str], *, user: int, **_: object) -> Any:
        asked.append((argv, user))
        return SimpleNamespace(returncode=code)

    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "test").touch(0o755)
    monkeypatch.setattr(subprocess, "run", run)

    assert home._can_enter(Account(105, 106), tmp_path) is may

    [(argv, user)] = asked
    assert argv[1:] == ["-x", str(tmp_path)]
    assert Path(argv[0]).is_absolute()
    assert Path(argv[0]).parent != tmp_path
    assert user == 105


def test_a_disk_that_does_not_answer_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(argv: Sequence[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(subprocess, "run", hang)

    with pytest.raises(MachineError, match="does not answer") as caught:
        home._can_enter(Account(105, 106), tmp_path)

    assert "within 30 s" in caught.value.expected
