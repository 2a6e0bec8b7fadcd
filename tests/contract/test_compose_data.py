"""Where people let their database keep its rows, and that `clean` removes them or says which it leaves."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.errors import MachineError, SettingsError
from scripts.bootorder.runtimes import compose_data

from .tiny import FOLDER, ComposeTiny, Part, docker

pytestmark = pytest.mark.usefixtures("engine")

HOME = "/var/lib/postgresql"
INIT = "/docker-entrypoint-initdb.d"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ComposeTiny]:
    with ComposeTiny(tmp_path / FOLDER, parts={"database": Part(ports={5432: 0})}) as made:
        yield made


def mount(stack: ComposeTiny, mounts: Sequence[Any], volumes: dict[str, Any] | None = None, **changes: Any) -> None:
    """Let the database of the stack have these mounts, and other changes of its service."""
    path = stack.folder / "compose.yaml"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["services"]["database"].update(ports=["127.0.0.1::5432"], volumes=list(mounts), **changes)
    config["volumes"] = volumes or {}
    path.write_text(json.dumps(config), encoding="utf-8")
    stack.runtime = ComposeTiny.open(stack.folder)


def fill(stack: ComposeTiny) -> None:
    stack.start("database")
    with stack.database().connect() as connection:
        connection.execute("create table public.kept (number int)")


def has_rows(stack: ComposeTiny) -> bool:
    stack.start("database")
    with stack.database().connect() as connection:
        return connection.execute("select to_regclass('public.kept')").fetchone() != (None,)


@pytest.mark.parametrize("kind", ["bind", "below the mount", "volume that is a bind", "symlink within"])
def test_a_folder_of_the_checkout_is_emptied_of_the_data(stack: ComposeTiny, kind: str) -> None:
    folder = stack.folder / "pgdata"
    folder.mkdir()
    (folder / "notes.txt").write_text("not PostgreSQL's", encoding="utf-8")
    if kind == "volume that is a bind":
        options = {"type": "none", "o": "bind", "device": str(folder)}
        mount(stack, [f"data:{HOME}"], {"data": {"driver_opts": options}})
    elif kind == "symlink within":
        (stack.folder / "link").symlink_to(folder)
        mount(stack, [f"./link:{HOME}"])
    elif kind == "below the mount":
        environment = {"PGDATA": "/keeps/data"}
        given = json.loads((stack.folder / "compose.yaml").read_text(encoding="utf-8"))
        mount(stack, ["./pgdata:/keeps"], environment=given["services"]["database"]["environment"] | environment)
    else:
        mount(stack, [f"./pgdata:{HOME}"])
    assert not stack.runtime.has_data("database")
    fill(stack)
    assert stack.runtime.has_data("database")

    stack.runtime.check_removal()
    removed = stack.runtime.remove()

    assert [Path(one).resolve() for one in removed["data folder"]] == [folder.resolve()]
    assert not stack.runtime.has_data("database")
    assert (folder / "notes.txt").exists()
    assert not has_rows(stack)


def test_a_removal_that_was_killed_in_the_middle_leaves_no_half_that_a_server_takes(
    stack: ComposeTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stack.folder / "pgdata"
    folder.mkdir()
    mount(stack, [f"./pgdata:{HOME}"])
    fill(stack)
    with monkeypatch.context() as patch:
        half = "find() { rm -r base; exit 137; }"
        patch.setattr(compose_data, "_EMPTIES", f"{half}\n{compose_data._EMPTIES}")
        with pytest.raises(MachineError, match="could not be removed"):
            stack.runtime.remove()

    assert not list(folder.rglob("PG_VERSION")), "a server would start on what is left"
    assert stack.runtime.has_data("database")
    stack.runtime.remove()

    assert not stack.runtime.has_data("database")
    assert not has_rows(stack)


@pytest.mark.parametrize("kind", ["beside the checkout", "symlink out of it", "volume that is a bind"])
def test_a_folder_outside_of_the_checkout_is_refused_and_left(stack: ComposeTiny, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    if kind == "volume that is a bind":
        options = {"type": "none", "o": "bind", "device": str(folder)}
        mount(stack, [f"data:{HOME}"], {"data": {"driver_opts": options}})
    elif kind == "symlink out of it":
        (stack.folder / "link").symlink_to(folder)
        mount(stack, [f"./link:{HOME}"])
    else:
        mount(stack, [f"../elsewhere:{HOME}"])
    stack.runtime.check_removal()  # nothing is there yet
    fill(stack)

    for act in (stack.runtime.check_removal, stack.runtime.remove):
        with pytest.raises(SettingsError, match="are not this stack's to remove") as refused:
            act()
        assert str(folder) in refused.value.seen
        assert "sudo rm -r" in refused.value.hint
    assert stack.alive(), "nothing was stopped"
    assert stack.runtime.has_data("database")
    assert has_rows(stack)


def test_an_external_volume_with_data_is_refused_and_an_empty_one_is_not(stack: ComposeTiny) -> None:
    name = f"{stack.project}-{secrets.token_hex(4)}"
    mount(stack, [f"data:{HOME}"], {"data": {"external": True, "name": name}})
    docker("volume", "create", name)
    try:
        stack.runtime.check_removal()
        assert not stack.runtime.has_data("database")
        fill(stack)
        with pytest.raises(SettingsError, match="are not this stack's to remove") as refused:
            stack.runtime.remove()
        assert refused.value.exit_code == 2
        assert f"docker volume rm {name}" in refused.value.hint
        assert stack.alive()
        assert has_rows(stack)
    finally:
        stack.wipe()
        docker("volume", "rm", name)


@pytest.mark.parametrize("kind", ["nameless volume", "tmpfs", "init scripts"])
def test_what_ends_with_the_containers_needs_nothing_more(stack: ComposeTiny, kind: str) -> None:
    """A folder with init scripts, or an old backup of a data folder, is nobody's to empty."""
    scripts = stack.folder / "init"
    (scripts / "backup").mkdir(parents=True)
    (scripts / "backup" / "PG_VERSION").write_text("18", encoding="utf-8")
    mounts: dict[str, Sequence[Any]] = {
        "nameless volume": [HOME],
        "tmpfs": [{"type": "tmpfs", "target": HOME}],
        "init scripts": [f"./init:{INIT}:ro", "./init:/backups"],
    }
    mount(stack, mounts[kind])
    fill(stack)
    assert stack.runtime.has_data("database") == (kind != "tmpfs")

    removed = stack.runtime.remove()

    assert "data folder" not in removed
    assert (scripts / "backup" / "PG_VERSION").exists()
    assert not stack.runtime.has_data("database")
    assert not has_rows(stack)
