"""What detection says of repositories in the shapes that people have, each with its answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.detect.findings import as_data
from scripts.bootorder.settings import parse

from .looked_at import REPOSITORIES, ROOT, printed


def test_there_are_repositories_to_look_at() -> None:
    assert len(REPOSITORIES) >= 12


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_of_a_repository_is_said_what_its_owner_would_say(path: Path, request: pytest.FixtureRequest) -> None:
    golden = path / "detected.json"
    now = json.dumps(as_data(detect(path / "repository")), indent=2, ensure_ascii=False) + "\n"
    if request.config.getoption("write_detected", default=False):
        golden.write_text(now, encoding="utf-8")

    assert json.loads(now) == json.loads(golden.read_text(encoding="utf-8")), (
        "write it: pytest tests/unit --write-detected"
    )


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_place_that_is_named_is_there(path: Path) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            where = value.get("where", ".")
            name, _, line = where.rpartition(":") if ":" in where else (where, "", "0")
            file = path / "repository" / name
            assert file.exists(), where
            assert not file.is_file() or int(line) <= len(file.read_text(encoding="utf-8").splitlines()), where
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(each)

    check(as_data(detect(path / "repository")))


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_guess_is_a_question(path: Path) -> None:
    found = detect(path / "repository")
    asked = {str(question.where) for question in found.questions}

    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert value.get("sure") != "guess" or value["where"] in asked, value
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(each)

    check(as_data(found))


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_repository_is_shown_in_lines_of_text(path: Path) -> None:
    found = detect(path / "repository")

    text = printed(found)

    assert all(owner.name.value in text for owner in found.owners)
    assert all(str(question.where) in text for question in found.questions if question.where)


def test_of_this_repository_is_found_what_its_invoke_yaml_says() -> None:
    config = yaml.safe_load((ROOT / "invoke.yaml").read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
    settings = parse(config)

    found = detect(ROOT)

    [database] = found.databases
    facts = (database.service, database.name, database.user, database.password)
    said = settings.database
    assert [fact.value for fact in facts if fact] == [said.service, said.name, said.user, said.password]
    assert database.port
    assert database.port.written == said.port
    assert database.major
    assert int(database.major.value) == said.major
    owners = {owner.name.value: owner for owner in found.owners}
    assert list(owners) == list(settings.owners)
    for name, owner in settings.owners.items():
        facts = (owners[name].tool, owners[name].service, owners[name].migrate, owners[name].url_variable)
        wanted = [owner.migrator, owner.service, " ".join(owner.migrate), owner.url_variable]
        assert [fact.value for fact in facts if fact] == wanted
    assert owners["sso"].seed
    assert tuple(owners["sso"].seed.value.split()) == settings.owners["sso"].seed
    apps = {service.name: service for service in found.services if service.kind.value == "app"}
    assert {name: app.health.value for name, app in apps.items() if app.health} == {
        name: app.health for name, app in settings.apps.items()
    }
    for name, app in apps.items():
        process = settings.processes[name]
        assert app.folder
        assert app.folder.value == process.directory
        assert app.port
        assert app.port.written == process.port
        assert app.command
        assert app.command.value == " ".join(process.run)
    assert tuple(each.name for each in found.services if each.kind.value == "beside") == settings.database.beside
    assert found.questions == ()
