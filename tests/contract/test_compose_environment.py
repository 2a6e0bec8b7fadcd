"""What COMPOSE_PROFILES, COMPOSE_FILE and COMPOSE_ENV_FILES say is what Compose itself makes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.bootorder import env_file
from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.compose import ComposeRuntime

pytestmark = pytest.mark.usefixtures("engine")

FILES = """\
services:
  database: {image: "postgres:18", environment: {POSTGRES_PASSWORD: "${PASSWORD:-none}"}}
  admin: {image: x, profiles: [tools]}
  worker: {image: x, profiles: [worker, all]}
  mail: {image: x, profiles: [mail]}
  web: {image: x}
"""


def by_compose(root: Path) -> set[str]:
    done = subprocess.run(
        ["docker", "compose", "config", "--services"], cwd=root, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def by_us(root: Path) -> set[str]:
    runtime = ComposeRuntime(root, SystemProcesses())
    return set(runtime.declared()) - set(runtime.optional())


@pytest.mark.parametrize(
    ("written", "given", "active"),
    [
        ("", None, []),
        ("COMPOSE_PROFILES=worker\n", None, ["worker"]),
        ("", "worker", ["worker"]),
        ("COMPOSE_PROFILES=worker\n", "tools", ["tools"]),
        ("COMPOSE_PROFILES=worker\n", "", []),
        ("COMPOSE_PROFILES=all, tools\n", None, ["all", "tools"]),
        ("COMPOSE_PROFILES=*\n", None, ["*"]),
        ("COMPOSE_PROFILES=nobody\n", None, ["nobody"]),
    ],
)
def test_the_services_of_active_profiles_are_not_optional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, given: str | None, active: list[str]
) -> None:
    (tmp_path / "compose.yaml").write_text(FILES, encoding="utf-8")
    (tmp_path / ".env").write_text(written, encoding="utf-8")
    if given is not None:
        monkeypatch.setenv("COMPOSE_PROFILES", given)

    assert by_us(tmp_path) == by_compose(tmp_path)
    assert sorted(ComposeRuntime(tmp_path, SystemProcesses()).profiles()) == sorted(active)


def test_profiles_of_each_of_the_files_of_variables_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compose.yaml").write_text(FILES, encoding="utf-8")
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=mail\nPASSWORD=unread\n", encoding="utf-8")
    (tmp_path / "base.env").write_text("COMPOSE_PROFILES=worker\nPASSWORD=first\n", encoding="utf-8")
    (tmp_path / "local.env").write_text("PASSWORD=last\n", encoding="utf-8")
    monkeypatch.setenv("COMPOSE_ENV_FILES", "base.env,local.env")
    path = env_file.path_of(tmp_path)

    assert by_us(tmp_path) == by_compose(tmp_path)
    assert path == tmp_path / "local.env"
    given = ComposeRuntime(tmp_path, SystemProcesses()).environment("database")["POSTGRES_PASSWORD"]
    assert env_file.secret(path, "PASSWORD") == given == "last"


@pytest.mark.parametrize("said_in", ["environment", "root's .env", "both have one"])
def test_the_variables_of_a_project_in_a_folder_of_its_own_are_those_of_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said_in: str
) -> None:
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "stack.yaml").write_text(FILES, encoding="utf-8")
    (folder / ".env").write_text("PASSWORD=project\nCOMPOSE_PROFILES=worker\n", encoding="utf-8")
    if said_in == "environment":
        monkeypatch.setenv("COMPOSE_FILE", "docker/stack.yaml")
    else:
        more = "PASSWORD=root\n" if said_in == "both have one" else ""
        (tmp_path / ".env").write_text(f"COMPOSE_FILE=docker/stack.yaml\n{more}", encoding="utf-8")
    path = env_file.path_of(tmp_path)

    assert by_us(tmp_path) == by_compose(tmp_path)
    given = ComposeRuntime(tmp_path, SystemProcesses()).environment("database")["POSTGRES_PASSWORD"]
    assert env_file.secret(path, "PASSWORD") == given
