"""`./inv` on a machine that has nothing but Python: an empty HOME, a bare environment, a folder with a space."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.bootorder.proving.files import copy_files
from tests.stack import NETWORK, ROOT, Ran
from tests.task import until_at_work


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("a fresh machine") / "checkout"
    copy_files(ROOT, made)
    return made


def wrapper(folder: Path, *arguments: str, path: str | None = None, below: str = ".") -> Ran:
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in NETWORK if name in os.environ}
    done = subprocess.run(
        [str(folder / "inv"), *arguments],
        cwd=folder / below,
        env={"HOME": str(home), "PATH": path or os.environ["PATH"], "TERM": "dumb", **kept},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_the_first_use_makes_its_environment_and_the_second_uses_it(folder: Path) -> None:
    first = wrapper(folder, "plan")
    second = wrapper(folder, "plan", below="api")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "making .venv with Python 3." in first.err
    assert "making" not in second.err
    assert "wait-apps" in second.out


def test_hints_name_the_command_as_it_was_typed(folder: Path) -> None:
    ran = wrapper(folder, "start", "--nonsense")

    assert ran.code == 2
    assert f"see {folder}/inv --list" in ran.err


def test_an_interrupted_installation_is_made_anew(folder: Path) -> None:
    (folder / ".venv" / "requirements.txt").unlink()

    ran = wrapper(folder, "plan")

    assert ran.code == 0, ran.err
    assert "making .venv" in ran.err


def test_who_comes_while_it_is_made_waits_and_finds_it_made(folder: Path) -> None:
    shutil.rmtree(folder / ".venv")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(wrapper, folder, "plan")
        while not (folder / ".venv" / "bin").exists() and not first.done():
            time.sleep(0.01)
        second = wrapper(folder, "plan")

    assert (first.result().code, second.code) == (0, 0), first.result().err + second.err
    assert "making .venv" in first.result().err
    assert "waiting for another task, which makes .venv" in second.err
    assert "making .venv" not in second.err


def test_ctrl_c_while_it_makes_its_environment_is_one_line(folder: Path) -> None:
    (folder / ".venv" / "requirements.txt").unlink(missing_ok=True)
    with subprocess.Popen(
        [str(folder / "inv"), "plan"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as ran:
        assert ran.stderr
        assert "making .venv" in ran.stderr.readline()
        until_at_work(ran, "venv")
        os.killpg(ran.pid, signal.SIGINT)
        said = ran.stderr.read()

    assert ran.returncode == 130
    assert said == "interrupted while .venv was made; the next use makes it anew\n"


def test_without_python_it_says_what_it_needs(folder: Path, tmp_path: Path) -> None:
    for name in ("dirname", "sh"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    shutil.rmtree(folder / ".venv")

    ran = wrapper(folder, "plan", path=str(tmp_path))

    assert ran.code == 3
    assert "no Python 3.11 or newer" in ran.err
    assert "hint: install one" in ran.err
