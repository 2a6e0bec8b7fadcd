from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.places import places
from scripts.bootorder.pointing import as_owner
from scripts.bootorder.runtimes.compose_given import Given
from scripts.bootorder.settings import Settings, parse

from .fakes import CONFIG

URL = "postgresql+asyncpg://boss:pa$$word@db:5432/shop?timeout=5"


def settings(**owner: Any) -> Settings:
    return parse({"bootorder": {**CONFIG, "owners": {"shop api": {**CONFIG["owners"]["api"], **owner}}}})


def given(path: Path, *services: str, database: str = "", **owner: Any) -> Given:
    its = settings(**owner)
    place = places(its, "shared")["shop api"]
    return Given(path, {name: partial(as_owner, its.owners["shop api"], place) for name in services}, database)


def written(given: Given, **services: Mapping[str, Any]) -> Any:
    assert given.write({"services": services})
    return json.loads(given.path.read_text(encoding="utf-8"))["services"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".bootorder" / "compose.json"


def test_a_service_connects_as_its_owner_on_the_server_that_its_url_names(path: Path) -> None:
    services = written(given(path, "api"), api={"environment": {"DATABASE_URL": URL, "OTHER": "1"}}, web={})

    url = "postgresql+asyncpg://shop%20api:${SHOP_API_DB_PASSWORD}@db:5432/taskflow?timeout=5"
    assert services == {"api": {"environment": {"DATABASE_URL": url}}}


def test_all_urls_of_a_service_are_turned_and_those_that_it_lacks_are_not_added(path: Path) -> None:
    environment = {"DATABASE_URL": "postgresql://boss@pooler/shop", "DIRECT_URL": "postgresql://boss@db/shop"}

    services = written(given(path, "api", more_urls=["DIRECT_URL", "OTHER_URL"]), api={"environment": environment})

    own = "postgresql://shop%20api:${SHOP_API_DB_PASSWORD}@"
    assert services == {
        "api": {"environment": {"DATABASE_URL": f"{own}pooler/taskflow", "DIRECT_URL": f"{own}db/taskflow"}}
    }


def test_a_service_that_has_the_database_in_parts_gets_those_that_say_who_it_is(path: Path) -> None:
    variables = {"host": "DB_HOST", "user": "DB_USER", "password": "DB_PASS", "database": "DB_NAME"}
    environment = {"DB_HOST": "db", "DB_USER": "boss", "DB_PASS": "x", "DB_NAME": "shop"}

    services = written(given(path, "api", variables=variables), api={"environment": environment})

    said = {"DB_USER": "shop api", "DB_PASS": "${SHOP_API_DB_PASSWORD}", "DB_NAME": "taskflow"}
    assert services == {"api": {"environment": said}}


def test_a_database_that_publishes_no_port_gets_a_free_one_on_loopback(path: Path) -> None:
    assert written(given(path, database="db"), db={}) == {"db": {"ports": ["127.0.0.1::5432"]}}


@pytest.mark.parametrize("environment", [None, {}, {"DATABASE_URL": None}])
def test_where_there_is_nothing_to_say_there_is_no_file(path: Path, environment: Any) -> None:
    nothing = given(path, "api", "not-there", database="db")

    assert not nothing.write({"services": {"api": {"environment": environment}, "db": {"ports": [5432]}}})
    assert not path.exists()


def test_no_password_is_written(path: Path) -> None:
    written(given(path, "api"), api={"environment": {"DATABASE_URL": URL}})

    assert "word" not in path.read_text(encoding="utf-8").replace("SHOP_API_DB_PASSWORD", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_it_is_for_this_user_only_and_nothing_is_left_beside_it(path: Path) -> None:
    written(given(path, "api"), api={"environment": {"DATABASE_URL": URL}})

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
