"""A copy of a repository for a proof: its files, and its name, passwords and settings."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.bootorder import env_file
from scripts.bootorder.console import Console
from scripts.bootorder.errors import BootError
from scripts.bootorder.proving.files import copy_files
from scripts.bootorder.proving.stack import fresh

NOT_COPIED = ("node_modules/left-pad.js", ".bootorder/lock", ".bootorder/postgres/data")
COPIED = ("compose.yaml", "api/app.py", "api/not yet committed.py", "invoke.yaml")
ENVIRONMENTS = (".env", "api/.env.local")

SCRIPTS = Path(__file__).parents[2] / "scripts"
CONFIG = {
    "runtime": "embedded",
    "database": {"service": "db", "name": "shop", "user": "boss", "password": "POSTGRES_PASSWORD"},
    "owners": {"api": {"migrator": "command", "service": "api", "migrate": "true"}},
    "processes": {"db": {}, "api": {"env": {"DATABASE_URL": "postgresql://api:${API_DB_PASSWORD}@127.0.0.1/shop"}}},
}


@pytest.fixture(params=["git", "no git"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / "mein Laden"
    for name in (*NOT_COPIED, *COPIED, *ENVIRONMENTS):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("", encoding="utf-8")
    (made / "invoke.yaml").write_text(json.dumps({"bootorder": CONFIG}), encoding="utf-8")
    shutil.copytree(SCRIPTS, made / "scripts")
    if request.param == "git":
        (made / ".gitignore").write_text("node_modules\n.env*\n", encoding="utf-8")  # it says nothing of .bootorder
        subprocess.run(["git", "init", "--quiet", made], check=True)
    return made


def copied(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "scripts" not in path.parts} - {".gitignore"}


def test_a_copy_has_the_sources_and_nothing_that_was_made_of_them(repository: Path, tmp_path: Path) -> None:
    copy_files(repository, tmp_path / "copy")

    assert copied(tmp_path / "copy") == set(COPIED)


def test_where_it_is_to_run_it_has_the_environments_of_its_services_too(repository: Path, tmp_path: Path) -> None:
    copy_files(repository, tmp_path / "copy", with_env=True)

    assert copied(tmp_path / "copy") == {*COPIED, *ENVIRONMENTS}


def test_a_repository_within_it_is_copied_and_a_link_stays_one(repository: Path, tmp_path: Path) -> None:
    inner = repository / "inner"
    inner.mkdir()
    subprocess.run(["git", "init", "--quiet", inner], check=True)
    (inner / "app.py").write_text("", encoding="utf-8")
    (repository / "shortcut").symlink_to("api")

    copy_files(repository, tmp_path / "copy")

    assert "inner/app.py" in copied(tmp_path / "copy")
    assert (tmp_path / "copy" / "shortcut").readlink() == Path("api")


def test_a_copy_is_a_stack_of_its_own_and_is_gone_afterwards(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = repository.parent / "elsewhere.env"
    said = "POSTGRES_PASSWORD=mine\nCOMPOSE_PROJECT_NAME=shop\nAPI_DB_PASSWORD=mine\nOTHER='a b'  # kept\n"
    elsewhere.write_text(said, encoding="utf-8")
    (repository / ".env").unlink()
    (repository / ".env").symlink_to(elsewhere)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "shop")

    with fresh(repository, Console()) as stack:
        folder = stack.folder
        own = env_file.read(folder / ".env")
        assert stack.boot.runtime.name == "embedded"
        assert json.loads((folder / "invoke.yaml").read_text())["bootorder"]["layout"] == "shared"
        assert stack.asked("status")["database"]["name"] == "shop"

    assert (own["POSTGRES_PASSWORD"], own["OTHER"]) == ("mine", "a b")
    assert own["API_DB_PASSWORD"] != "mine"
    assert own["COMPOSE_PROJECT_NAME"].startswith("mein-laden-")
    assert elsewhere.read_text(encoding="utf-8") == said
    assert not folder.parents[1].exists()


def test_where_it_cannot_be_cleaned_it_stays_to_be_cleaned_by_hand(repository: Path) -> None:
    with pytest.raises(BootError) as refused, fresh(repository, Console()) as stack:
        shutil.rmtree(stack.folder / "scripts")

    assert stack.folder.is_dir()
    assert str(stack.folder) in refused.value.seen
    assert refused.value.hint == "run it there again"
    shutil.rmtree(stack.folder.parents[1])
