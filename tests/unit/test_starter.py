from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.copying.starter import starter
from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.settings import parse

REPOSITORIES = Path(__file__).parents[1] / "repositories"
NOT_COPIED_TO = {"mysql-only", "no-compose", "templates-only-bun"}  # which have no service that is a PostgreSQL
NAMES = sorted(path.parent.name for path in REPOSITORIES.glob("*/repository") if path.parent.name not in NOT_COPIED_TO)


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_every_repository_are_written_as_they_are_expected(
    name: str, request: pytest.FixtureRequest
) -> None:
    text = starter(detect(REPOSITORIES / name / "repository"))

    golden = REPOSITORIES / name / "invoke.yaml"
    if request.config.getoption("--write-detected"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_every_repository_are_valid_with_their_questions_unanswered(name: str) -> None:
    text = starter(detect(REPOSITORIES / name / "repository"))

    load: Any = yaml.safe_load
    settings = parse(load(text))

    assert settings.database.service
    assert settings.compose
