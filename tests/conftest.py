"""What is missing is a skip on a laptop and an error in CI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest

from tests.stack import Stack


@cache
def _engine_trouble() -> str:
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker Engine that answers."""
    trouble = _engine_trouble()
    if trouble:
        unavailable(f"no Docker Engine: {trouble}")


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The checkout that the boot and browser tests share, in a folder with a space and an umlaut. Nothing runs yet."""
    with Stack(tmp_path_factory.mktemp("ein Stück") / "taskflow") as made:
        yield made


def unavailable(what: str) -> None:
    """Skip on a laptop, fail where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
