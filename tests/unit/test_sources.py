from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder import sources


def write(folder: Path, **files: str) -> Path:
    """Files by their name, `src__app_ts` for src/app.ts."""
    for name, text in files.items():
        put(folder, name.replace("__", "/").replace("_", "."), text)
    return folder


def put(folder: Path, name: str, text: str = "x") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, package_json="{}", pnpm__lock_yaml="", src__app_ts="app", src__db_ts="db")


# -- all the sources ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: put(folder, "src/app.ts", "changed"),
        lambda folder: put(folder, "src/new.ts", ""),
        lambda folder: put(folder, "src/deep/er/new.ts", ""),
        lambda folder: put(folder, ".env", ""),
        lambda folder: put(folder, "README.md"),
        lambda folder: (folder / "src/app.ts").unlink(),
        lambda folder: (folder / "src/app.ts").rename(folder / "src/main.ts"),
        lambda folder: (folder / "src/app.ts").rename(folder / "app.ts"),
        lambda folder: write(folder, src__app_ts="db", src__db_ts="app"),
    ],
    ids=["content", "new", "deep", "hidden", "any ending", "deleted", "renamed", "moved", "swapped"],
)
def test_the_digest_changes_with_every_source(folder: Path, change: Callable[[Path], object]) -> None:
    before = sources.of_folder(folder)

    change(folder)

    assert sources.of_folder(folder) != before


@pytest.mark.parametrize(
    "made",
    [
        *("node_modules/pg/index.js", ".next/server.js", "dist/app.js", "build/app.js", ".venv/bin/python"),
        *("src/__pycache__/app.pyc", "src/node_modules/x.js", ".git/HEAD", ".bootorder/lock", ".nox/x"),
        *(".mypy_cache/x", ".pytest_cache/x", ".ruff_cache/x", "app.log", "app.pyc", "tsconfig.tsbuildinfo"),
        "next-env.d.ts",
    ],
)
def test_what_is_made_from_the_sources_is_none_of_them(folder: Path, made: str) -> None:
    before = sources.of_folder(folder)

    put(folder, made)

    assert sources.of_folder(folder) == before


def test_neither_times_nor_the_order_in_which_files_were_made_count(folder: Path) -> None:
    before = sources.of_folder(folder)
    names = ["src/app.ts", "src/db.ts"]
    kept = {name: (folder / name).read_text(encoding="utf-8") for name in names}

    for name in names:
        (folder / name).unlink()
    for name in reversed(names):
        put(folder, name, kept[name])
        os.utime(folder / name, (0, 0))

    assert sources.of_folder(folder) == before


@pytest.mark.parametrize("name", ["apq.ts", "deep/app.ts"])
def test_the_name_and_the_place_of_a_file_count_also_where_its_order_stays(tmp_path: Path, name: str) -> None:
    put(tmp_path, "app.ts")
    before = sources.of_folder(tmp_path)
    put(tmp_path, name)
    (tmp_path / "app.ts").unlink()

    assert sources.of_folder(tmp_path) != before


def test_files_are_read_in_the_order_of_their_names_on_every_machine(tmp_path: Path) -> None:
    names = [f"{letter}/{letter}.ts" for letter in "abcdefgh"]
    for name in names:
        put(tmp_path, name)
        put(tmp_path, name.replace("/", ""))

    found = [path.relative_to(tmp_path).as_posix() for path in sources._files(tmp_path)]

    assert found == [name.replace("/", "") for name in names] + names


def test_the_same_sources_in_another_folder_have_the_same_digest(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", src__app_ts="app"), write(tmp_path / "two", src__app_ts="app")

    assert sources.of_folder(one) == sources.of_folder(two)


def test_a_link_that_leads_nowhere_is_no_source(folder: Path) -> None:
    before = sources.of_folder(folder)
    (folder / "dangling").symlink_to(folder / "gone")

    assert sources.of_folder(folder) == before


def test_text_that_moves_from_the_end_of_one_file_to_the_beginning_of_the_next_is_a_change(tmp_path: Path) -> None:
    one = sources.of_folder(write(tmp_path / "one", a="12", b="3"))
    two = sources.of_folder(write(tmp_path / "two", a="1", b="23"))

    assert one != two


def test_a_folder_that_is_not_there_has_no_sources(tmp_path: Path) -> None:
    assert sources.of_folder(tmp_path / "gone") == sources.of_locks(tmp_path / "gone") == sources.digest([])


# -- what is installed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lock",
    [
        *("package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "package-lock.json", "npm-shrinkwrap.json"),
        *("yarn.lock", ".npmrc", ".yarnrc.yml", "pyproject.toml", "poetry.lock", "uv.lock", "Pipfile.lock"),
        *("requirements.txt", "requirements-dev.txt"),
    ],
)
def test_packages_follow_every_kind_of_lock_file(folder: Path, lock: str) -> None:
    seen = {sources.of_locks(folder)}

    for text in ("one", "two"):
        put(folder, lock, text)
        seen.add(sources.of_locks(folder))

    assert len(seen) == 3


@pytest.mark.parametrize("other", ["src/app.ts", "src/package.json", "README.md", "requirements.md", "my.lock"])
def test_packages_do_not_follow_what_says_nothing_of_them(folder: Path, other: str) -> None:
    before = sources.of_locks(folder)

    put(folder, other, "changed")

    assert sources.of_locks(folder) == before


def test_a_folder_that_is_called_like_a_lock_file_is_none(folder: Path) -> None:
    before = sources.of_locks(folder)
    (folder / "requirements-x.txt").mkdir()

    assert sources.of_locks(folder) == before


# -- what tools left ---------------------------------------------------------------------------------------------------


def test_what_tools_left_is_named_in_order_installs_apart_from_builds(folder: Path) -> None:
    for made in ("node_modules/pg/index.js", "dist/app.js", ".next/server.js"):
        put(folder, made)

    assert sources.made_in(folder, sources.BUILT) == [".next", "dist"]
    assert sources.made_in(folder, sources.PACKAGES) == ["node_modules"]


def test_a_file_of_such_a_name_is_nothing_that_tools_left(folder: Path) -> None:
    put(folder, "build")

    assert sources.made_in(folder, sources.BUILT) == []


# -- digests -----------------------------------------------------------------------------------------------------------

_parts = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3), max_size=4)


@given(_parts, _parts)
def test_other_parts_have_another_digest(one: list[str], two: list[str]) -> None:
    assert (sources.digest(one) == sources.digest(two)) == (one == two or {tuple(one), tuple(two)} == {(), ("",)})


def test_a_digest_is_the_same_in_every_run() -> None:
    """It is written down, and read by the next one."""
    assert sources.digest(["a", "b"]).startswith("59b271ae1bbc")
