from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.bootorder.console import Console
from scripts.bootorder.copying.copying import copy_to
from scripts.bootorder.copying.payload import LINES, MANIFEST, PACKAGE, payload
from scripts.bootorder.errors import SettingsError

ROOT = Path(__file__).parents[2]
REPOSITORIES = ROOT / "tests" / "repositories"
COMPOSE = """\
services:
  db:
    image: postgres:18
    environment:
      POSTGRES_PASSWORD: literal
      POSTGRES_DB: shop
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A repository of git with a compose file."""
    root = tmp_path / "a shop"
    root.mkdir()
    (root / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    git(root, "init", "--quiet")
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def copied(target: Path, *, dry: bool = False, upgrade: bool = False) -> str:
    """What the person was told."""
    talk = io.StringIO()
    copy_to(Console(talk), target, dry=dry, upgrade=upgrade)
    return talk.getvalue()


def everything(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


# -- what is copied ----------------------------------------------------------------------------------------------------


def test_the_tasks_their_launchers_and_settings_are_copied_and_run_there(target: Path) -> None:
    said = copied(target)

    there = everything(target)
    assert {"inv", "inv.cmd", "tasks.py", "noxfile.py", "invoke.yaml", ".gitignore", MANIFEST} <= there.keys()
    assert there["scripts/bootorder/stages.py"] == (PACKAGE / "stages.py").read_bytes()
    assert not [path for path in there if "__pycache__" in path]
    assert "./inv start" in said
    assert there["scripts/bootorder/docs/settings.md"] == (ROOT / "docs" / "settings.md").read_bytes()
    listed = subprocess.run(
        [sys.executable, str(target / "scripts/bootorder/__main__.py"), "plan", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=target,
        env={**os.environ, "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert json.loads(listed.stdout)["stages"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_the_launcher_can_be_run(target: Path) -> None:
    copied(target)

    assert os.access(target / "inv", os.X_OK)


def test_a_copy_can_be_copied_from_and_is_the_same(target: Path, tmp_path: Path) -> None:
    copied(target)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(target / "compose.yaml", other)
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    main = str(target / "scripts/bootorder/__main__.py")
    subprocess.run([sys.executable, main, "copy-to", str(other)], check=True, capture_output=True, env=env)

    assert everything(other) == everything(target)


def test_the_wheel_copies_the_same(target: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, cwd=ROOT)
    [wheel] = tmp_path.glob("bootorder-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        [sys.executable, "-m", "bootorder", "copy-to", "."], check=True, capture_output=True, env=env, cwd=target
    )

    assert b"./inv start" in said.stderr
    assert (installed / "bootorder" / "py.typed").exists()
    from_wheel = everything(target)
    for name in ("scripts", "invoke.yaml", ".gitignore", "tasks.py", "noxfile.py", "inv", "inv.cmd"):
        path = target / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    copied(target)
    assert everything(target) == from_wheel


def test_this_repository_s_own_tasks_are_those_that_are_copied() -> None:
    [tasks] = [file for file in payload() if file.path == "tasks.py"]

    assert (ROOT / "tasks.py").read_bytes() == tasks.content


def test_a_second_time_nothing_is_written(target: Path) -> None:
    copied(target)
    before = everything(target)

    said = copied(target)

    assert everything(target) == before
    assert "everything is there already" in said


def test_dry_says_the_same_and_writes_nothing(target: Path) -> None:
    before = everything(target)

    said = copied(target, dry=True)

    assert everything(target) == before
    assert "adds     invoke.yaml" in said
    assert "nothing was written" in said


def test_what_a_copy_says_of_its_pages_is_there(target: Path) -> None:
    copied(target)
    (target / "invoke.yaml").write_text("bootorder: {nonsense: 1}", encoding="utf-8")

    main = str(target / "scripts/bootorder/__main__.py")
    ran = subprocess.run([sys.executable, main, "plan"], capture_output=True, text=True, check=False, cwd=target)

    assert "correct invoke.yaml; scripts/bootorder/docs/settings.md lists every key" in ran.stderr


# -- what is somebody else's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tasks.py", "noxfile.py", "inv"])
def test_a_file_that_was_not_written_by_it_is_kept_and_what_it_needs_is_said(target: Path, name: str) -> None:
    (target / name).write_text("# mine\n", encoding="utf-8")

    said = copied(target)
    again = copied(target, upgrade=True)

    assert (target / name).read_text(encoding="utf-8") == "# mine\n"
    assert f"keeps    {name} (somebody else's)" in said
    assert LINES.get(name, "__main__.py") in said
    assert LINES.get(name, "__main__.py") in again


def test_settings_of_their_own_are_kept_and_the_part_to_add_is_said(target: Path) -> None:
    (target / "invoke.yaml").write_text("run: {echo: true}\n", encoding="utf-8")

    said = copied(target)

    assert (target / "invoke.yaml").read_text(encoding="utf-8") == "run: {echo: true}\n"
    assert "  bootorder:" in said.splitlines()  # line by line, to be copied from the terminal
    assert "bootorder:" in said


def test_settings_that_were_copied_are_the_person_s(target: Path) -> None:
    copied(target)
    (target / "invoke.yaml").write_text("bootorder: {}\n", encoding="utf-8")

    copied(target, upgrade=True)

    assert (target / "invoke.yaml").read_text(encoding="utf-8") == "bootorder: {}\n"


def test_the_line_for_tasks_of_their_own_puts_ours_under_a_name(target: Path) -> None:
    (target / "tasks.py").write_text(
        "from invoke import task\n@task\ndef mine(c): pass\n" + LINES["tasks.py"] + "\n", encoding="utf-8"
    )
    copied(target)

    listed = subprocess.run(
        [sys.executable, "-m", "invoke", "--list"], capture_output=True, text=True, check=True, cwd=target
    )

    assert "  mine" in listed.stdout
    assert "  boot.start" in listed.stdout


def test_ours_under_a_name_run_with_the_settings_of_the_repository(target: Path) -> None:
    (target / "tasks.py").write_text(f"{LINES['tasks.py']}\n", encoding="utf-8")
    copied(target)

    ran = subprocess.run(
        [sys.executable, "-m", "invoke", "boot.plan", "--json"], capture_output=True, text=True, check=True, cwd=target
    )

    assert json.loads(ran.stdout)["stages"]


# -- a newer one -------------------------------------------------------------------------------------------------------


def as_an_older_one(target: Path, *paths: str) -> None:
    """These files were copied by an older version."""
    manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    for path in paths:
        (target / path).write_text("# older\n", encoding="utf-8")
        manifest["files"][path] = next(file.digest for file in [type(payload()[0])(path, b"# older\n")])
    (target / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_upgrade_replaces_what_was_not_changed_and_shows_what_was(target: Path) -> None:
    copied(target)
    as_an_older_one(target, "scripts/bootorder/lock.py", "scripts/bootorder/gone.py")
    with (target / "scripts/bootorder/seed.py").open("a", encoding="utf-8") as file:
        file.write("# mended by us\n")

    told = copied(target)
    assert (target / "scripts/bootorder/lock.py").read_text(encoding="utf-8") == "# older\n"
    assert "2 files (older: --upgrade replaces it)" in told

    told = copied(target, upgrade=True)

    assert (target / "scripts/bootorder/lock.py").read_bytes() == (PACKAGE / "lock.py").read_bytes()
    assert not (target / "scripts/bootorder/gone.py").exists()
    assert "# mended by us" in (target / "scripts/bootorder/seed.py").read_text(encoding="utf-8")
    assert "+# mended by us" in told
    assert "keeps    scripts/bootorder/seed.py (changed since it was copied)" in told
    assert "everything is there already" not in copied(target)


def test_line_ends_of_windows_are_no_change(target: Path) -> None:
    copied(target)
    path = target / "scripts/bootorder/lock.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert "everything is there already" in copied(target)


def test_what_was_written_is_known_also_when_it_ended_in_the_middle(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.bootorder.copying.target import Target

    write = Target.write

    def full(self: Target, path: str, content: bytes, *, is_program: bool = False) -> None:
        if path.endswith("seed.py"):
            raise OSError(28, "No space left on device", str(self.root / path))
        write(self, path, content, is_program=is_program)

    with monkeypatch.context() as patch:
        patch.setattr(Target, "write", full)
        with pytest.raises(SettingsError, match="not everything could be copied: No space left"):
            copied(target)

    copied(target)
    assert (target / "scripts/bootorder/seed.py").exists()
    assert (target / "invoke.yaml").exists()


# -- git ---------------------------------------------------------------------------------------------------------------


def test_secrets_and_what_the_tasks_make_are_left_out_of_git_once(target: Path) -> None:
    (target / ".gitignore").write_text(".env*\n!.env.example", encoding="utf-8")

    copied(target)
    copied(target)

    lines = (target / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert lines == [".env*", "!.env.example", ".venv/", ".bootorder/", ".nox/"]


def test_what_is_not_committed_is_respected_and_said(target: Path) -> None:
    git(target, "add", ".")

    said = copied(target)

    assert "note: 1 file here not committed: none is written to" in said
    assert said.index("adds     invoke.yaml") < said.index("note: 1 file")


def test_a_gitignore_that_is_not_committed_is_named(target: Path) -> None:
    (target / ".gitignore").write_text("dist/\n", encoding="utf-8")

    assert "2 files here not committed: to .gitignore lines are added, no other is written to" in copied(target)


# -- bad input ---------------------------------------------------------------------------------------------------------


def refusal(target: Path) -> SettingsError:
    before = everything(target) if target.is_dir() else {}
    with pytest.raises(SettingsError) as caught:
        copied(target)
    assert (everything(target) if target.is_dir() else {}) == before
    return caught.value


def test_a_path_that_is_no_folder_is_refused(target: Path) -> None:
    assert refusal(target / "not there").message.endswith("is not there")
    assert refusal(target / "compose.yaml").message.endswith("is a file")


@pytest.mark.parametrize("inside", [".", "scripts", "scripts/bootorder", "tests/repositories/django-drizzle"])
def test_a_path_inside_what_is_copied_is_refused(inside: str) -> None:
    with pytest.raises(SettingsError, match="inside what would be copied"):
        copied(ROOT / inside, dry=True)


def test_a_folder_that_is_not_writable_is_refused(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # whatever root may do

    assert "not writable" in refusal(target).message


def test_a_link_to_a_repository_is_that_repository(target: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)

    copied(link)

    assert (target / "invoke.yaml").exists()


@pytest.mark.parametrize("name", ["scripts", "scripts/bootorder", "inv", "invoke.yaml", ".gitignore"])
def test_nothing_is_written_through_a_link(target: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).symlink_to(outside)

    assert f"{name} is a link" in refusal(target).message
    assert not list(outside.iterdir())


def test_a_file_where_a_folder_should_be_is_refused(target: Path) -> None:
    (target / "scripts").write_text("x", encoding="utf-8")

    assert refusal(target).message == "scripts is a file where a folder should be"


def test_a_folder_where_a_file_should_be_is_refused(target: Path) -> None:
    (target / "tasks.py").mkdir()

    assert refusal(target).message == "tasks.py is a folder where a file should be"


def test_tasks_that_were_copied_by_hand_are_not_written_over(target: Path) -> None:
    (target / "scripts/bootorder").mkdir(parents=True)
    (target / "scripts/bootorder/seed.py").write_text("# mine", encoding="utf-8")

    assert "scripts/bootorder/seed.py is there, and was not written by copy-to" in refusal(target).message


def test_a_manifest_that_cannot_be_read_is_refused(target: Path) -> None:
    copied(target)
    (target / MANIFEST).write_text("[]", encoding="utf-8")

    assert "manifest.json cannot be read" in refusal(target).message


def test_another_database_is_refused_plainly(tmp_path: Path) -> None:
    target = Path(shutil.copytree(REPOSITORIES / "mysql-only" / "repository", tmp_path / "mysql"))

    error = refusal(target)

    assert "for PostgreSQL" in error.message
    assert "MySQL" in error.seen


def test_a_repository_without_a_compose_file_is_refused(tmp_path: Path) -> None:
    target = Path(shutil.copytree(REPOSITORIES / "no-compose" / "repository", tmp_path / "none"))

    assert "no compose file" in refusal(target).message
