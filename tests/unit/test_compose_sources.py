"""Whether what an image was built from was touched since."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.runtimes.compose_sources import BuiltFrom, look


def config(context: Path) -> dict[str, Any]:
    return {"build": {"context": str(context), "dockerfile": "Dockerfile"}}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "api"
    (folder / "node_modules" / "x").mkdir(parents=True)
    (folder / "logs").mkdir()
    for name in ("Dockerfile", "app.py", "node_modules/x/index.js", "logs/today"):
        (folder / name).write_text("1", encoding="utf-8")
    (folder / ".dockerignore").write_text("# not in the image\nlogs\n!node_modules\n", encoding="utf-8")
    return folder


def touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "app.py").write_text("12", encoding="utf-8"),
        lambda folder: touch(folder / "app.py"),
        lambda folder: (folder / "app.py").unlink(),
        lambda folder: (folder / "new.py").write_text("", encoding="utf-8"),
        lambda folder: (folder / "app.py").rename(folder / "other.py"),
        lambda folder: touch(folder / "Dockerfile"),
    ],
    ids=["written", "touched", "removed", "added", "renamed", "Dockerfile"],
)
def test_what_a_build_would_read_changes_the_look(context: Path, change: Callable[[Path], object]) -> None:
    before = look(config(context))
    change(context)

    assert look(config(context)) != before


@pytest.mark.parametrize("name", ["logs/today", "logs/new", "node_modules/x/index.js", "server.log"])
def test_what_no_build_reads_does_not(context: Path, name: str) -> None:
    (context / ".dockerignore").write_text("logs\n*.log\n!node_modules\n", encoding="utf-8")
    before = look(config(context))
    (context / name).write_text("another text", encoding="utf-8")

    assert look(config(context)) == before


def test_other_arguments_of_a_build_change_the_look(context: Path) -> None:
    given = config(context)

    assert look(given) != look({"build": {**given["build"], "args": {"VERSION": "2"}}})


@pytest.mark.parametrize("given", [{}, {"build": {"context": "https://git.test/repository.git"}}])
def test_what_is_built_from_no_folder_of_this_machine_is_never_touched(tmp_path: Path, given: dict[str, Any]) -> None:
    built_from = BuiltFrom(tmp_path / "state" / "images.json", print)
    built_from.keep({"api": look(given)})

    assert not built_from.is_touched("api", given)


def test_a_service_is_touched_since_it_was_built_here(tmp_path: Path, context: Path) -> None:
    built_from = BuiltFrom(tmp_path / "state" / "images.json", print)
    never_built = built_from.is_touched("api", config(context))
    built_from.keep({"api": look(config(context)), "web": ""})
    fresh = built_from.is_touched("api", config(context))
    touch(context / "app.py")

    assert (never_built, fresh) == (False, False)
    assert built_from.is_touched("api", config(context))
    assert BuiltFrom(tmp_path / "state" / "images.json", print).is_touched("api", config(context))
