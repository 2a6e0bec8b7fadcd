"""`start --clean` begins from nothing, and nothing of anyone else's is touched."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import ComposeStack, Stack, listed

DECOY = """
services:
  box:
    image: postgres:18
    init: true
    command: [sleep, infinity]
    volumes: ["data:/decoy"]
volumes: {data: {}}
"""


def compose(folder: Path, project: str, *arguments: str) -> None:
    subprocess.run(
        ["docker", "compose", "--project-name", project, *arguments], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture
def decoys(stack: Stack, tmp_path: Path) -> Iterator[list[str]]:
    """Two other projects that run beside the stack, one with a name that begins like its."""
    (tmp_path / "compose.yaml").write_text(DECOY)
    projects = [f"{stack.project}-other", f"decoy-{secrets.token_hex(4)}"]
    try:
        for project in projects:
            compose(tmp_path, project, "up", "--detach")
            compose(tmp_path, project, "exec", "-T", "box", "sh", "-c", "echo precious > /decoy/file")
        yield projects
    finally:
        for project in projects:
            compose(tmp_path, project, "down", "--volumes")


@pytest.mark.only("compose")
def test_clean_removes_this_stack_and_leaves_the_decoys(stack: Stack, decoys: list[str], tmp_path: Path) -> None:
    ran = stack.inv("clean")

    assert ran.code == 0, ran.err
    assert stack.remains() == []
    for project in decoys:
        assert listed("container", project, "{{.Names}}") == [f"{project}-box-1"]
        assert listed("volume", project, "{{.Name}}") == [f"{project}_data"]
        compose(tmp_path, project, "exec", "-T", "box", "grep", "precious", "/decoy/file")


@pytest.mark.only("compose")
@pytest.mark.only("shared")  # by hand it is the database that compose.yaml names, and `public`
def test_compose_up_by_hand_boots_from_nothing_too(compose_stack: ComposeStack) -> None:
    ran = compose_stack.docker_compose("up", "--detach")

    assert ran.code == 0, ran.err
    assert compose_stack.inv("wait-apps").code == 0
    assert compose_stack.query('select email from "user"', owner="sso") == [("demo@example.com",)]
    assert compose_stack.tables()["task"] == 0


def test_start_clean_boots_from_nothing(stack: Stack) -> None:
    ran = stack.inv("start", "--clean", "--json")

    assert ran.code == 0, ran.err
    assert [stage["stage"] for stage in ran.json["stages"]][:3] == ["stop", "clean", "db-up"]
    assert stack.tables()["task"] == 0
    assert stack.query('select email from "user"', owner="sso") == [("demo@example.com",)]
