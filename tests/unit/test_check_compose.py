"""What `inv check` warns of in compose files, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from .looked_at import POSTGRES, put, warned

APP = "  api:\n    build: api\n"


@pytest.mark.parametrize(
    ("port", "lines"),
    [
        ("- 5432:5432", [5]),
        ("- '0.0.0.0:5432:5432'", [5]),
        ("- '[::]:5432:5432'", [5]),
        ("- '${DB_PORT:-5432}:5432'", [5]),
        ("- {target: 5432, published: 5432}", [5]),
        ("- {target: 5432, published: 5432, host_ip: '0.0.0.0'}", [5]),
        ("- 127.0.0.1:1:1\n      - 5432:5432/tcp", [6]),
        ("- '127.0.0.1:5432:5432'", []),
        ("- '[::1]:5432:5432'", []),
        ("- '${BIND:-127.0.0.1}:5432:5432'", []),
        ("- '${BIND}:5432:5432'", []),
        ("- {target: 5432, published: 5432, host_ip: 127.0.0.1}", []),
        ("- 192.168.1.2:5432:5432", []),
        ("- '127.0.0.1::5432'", []),
        ("- ''", []),
    ],
)
def test_a_database_is_published_for_this_machine_only(tmp_path: Path, port: str, lines: list[int]) -> None:
    found = warned(tmp_path, compose_yaml=f"{POSTGRES}    ports:\n      {port}\n")

    assert found == [f"compose.yaml:{line} port-on-all-interfaces" for line in lines]


@pytest.mark.parametrize(
    ("service", "is_warned"),
    [
        ("image: adminer", True),
        ("image: redis:8", True),
        ("image: registry.example.com/bitnami/mongodb", True),
        ("image: mysql:9", True),
        ("build: api", False),
        ("image: nginx", False),
    ],
)
def test_what_keeps_or_shows_data_is_not_for_the_network_and_an_app_may_be(
    tmp_path: Path, service: str, is_warned: bool
) -> None:
    put(tmp_path, "api/package.json", "{}")

    found = warned(tmp_path, compose_yaml=f"services:\n  it:\n    {service}\n    ports: ['8081:8080']\n")

    assert found == ["compose.yaml:4 port-on-all-interfaces"] * is_warned


@pytest.mark.parametrize(
    ("test", "is_warned"),
    [
        ("pg_isready", True),
        ("pg_isready -U app -d app", True),
        ("[CMD-SHELL, pg_isready -U app || exit 1]", True),
        ("[CMD, pg_isready, -U, app]", True),
        ("pg_isready -h /var/run/postgresql", True),
        ("pg_isready -Uhello", True),
        ("pg_isready -h 127.0.0.1", False),
        ("pg_isready -hlocalhost -U app", False),
        ("pg_isready -qh localhost", False),
        ("pg_isready --host=db", False),
        ("[CMD, pg_isready, --host, 127.0.0.1]", False),
        ("PGHOST=127.0.0.1 pg_isready", False),
        ("pg_isready -d 'host=127.0.0.1 dbname=app'", False),
        ("pg_isready -d postgres://app@127.0.0.1/app", False),
        ("pg_isready && psql -h 127.0.0.1 -c 'select 1'", False),
        ("psql -c 'select 1'", False),
    ],
)
def test_pg_isready_is_asked_over_tcp(tmp_path: Path, test: str, is_warned: bool) -> None:
    quoted = test if test.startswith("[") else f'"{test}"'

    found = warned(tmp_path, compose_yaml=f"{POSTGRES}    healthcheck:\n      test: {quoted}\n")

    assert found == ["compose.yaml:5 pg-isready-without-host"] * is_warned


def test_pg_isready_learns_its_host_from_the_environment_as_well(tmp_path: Path) -> None:
    text = f"{POSTGRES}    environment: {{PGHOST: 127.0.0.1}}\n    healthcheck:\n      test: pg_isready\n"

    assert warned(tmp_path, compose_yaml=text) == []


def test_the_health_check_of_an_image_counts_where_the_compose_file_has_none(tmp_path: Path) -> None:
    put(tmp_path, "db/Dockerfile", "FROM postgres:18\nHEALTHCHECK CMD pg_isready\n")
    text = "services:\n  db:\n    build: db\n"

    assert warned(tmp_path, compose_yaml=text) == ["db/Dockerfile:2 pg-isready-without-host"]
    assert warned(tmp_path, compose_yaml=text + "    healthcheck:\n      test: psql -h db\n") == []


def test_pg_isready_of_a_service_that_waits_for_the_database_is_not_meant(tmp_path: Path) -> None:
    put(tmp_path, "api/package.json", "{}")

    assert warned(tmp_path, compose_yaml=f"{POSTGRES}{APP}    command: sh -c 'pg_isready && npm start'\n") == []


@pytest.mark.parametrize(
    ("depends", "lines"),
    [
        ("[db]", [7]),
        ("\n      - db", [8]),
        ("{db: {condition: service_started}}", [7]),
        ("\n      db:\n        restart: true", [8]),
        ("{db: {condition: service_healthy}}", []),
        ("[cache]", []),
        ("[nowhere]", []),
    ],
)
def test_a_service_waits_for_postgresql_and_not_for_its_container(
    tmp_path: Path, depends: str, lines: list[int]
) -> None:
    put(tmp_path, "api/package.json", "{}")
    cache = "  cache: {image: redis}\n"

    found = warned(tmp_path, compose_yaml=f"{POSTGRES}{cache}{APP}    depends_on: {depends}\n")

    assert found == [f"compose.yaml:{line} depends-on-without-condition" for line in lines]


@pytest.mark.parametrize(
    ("condition", "is_warned"), [("service_started", True), ("service_completed_successfully", False)]
)
def test_a_service_waits_for_the_end_of_a_one_off(tmp_path: Path, condition: str, is_warned: bool) -> None:
    put(tmp_path, "api/package.json", "{}")
    one_off = "  migrate:\n    build: api\n    command: npm run migrate\n"

    found = warned(
        tmp_path, compose_yaml=f"{POSTGRES}{one_off}{APP}    depends_on: {{migrate: {{condition: {condition}}}}}\n"
    )

    assert found == ["compose.yaml:9 depends-on-without-condition"] * is_warned


@pytest.mark.parametrize(
    "command",
    ["./wait-for-it.sh db:5432 -- npm start", "sh -c 'until nc -z db 5432; do :; done; npm start'", "dbmate --wait up"],
)
def test_a_service_that_waits_by_itself_needs_no_condition(tmp_path: Path, command: str) -> None:
    put(tmp_path, "api/package.json", "{}")
    text = f'{POSTGRES}{APP}    command: "{command}"\n    depends_on: [db]\n'

    assert warned(tmp_path, compose_yaml=text) == []


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("", [5]),
        ("      interval: 30s\n", [6]),
        ("      interval: 1m30s\n", [6]),
        ("      interval: ${EVERY:-15s}\n", [6]),
        ("      interval: 30s\n      start_interval: 20s\n", [7]),
        ("      interval: 10s\n", []),
        ("      interval: 500ms\n", []),
        ("      interval: 30s\n      start_interval: 1s\n", []),
        ("      interval: often\n", []),
        ("      interval: ${EVERY}\n", []),
    ],
)
def test_a_health_that_is_waited_for_is_asked_soon(tmp_path: Path, said: str, lines: list[int]) -> None:
    put(tmp_path, "api/package.json", "{}")
    text = f"{POSTGRES}    healthcheck:\n      test: psql -h db\n{said}{APP}    depends_on:\n"

    assert warned(tmp_path, compose_yaml=f"{text}      db: {{condition: service_healthy}}\n") == [
        f"compose.yaml:{line} slow-health-interval" for line in lines
    ]


def test_a_health_that_nobody_waits_for_may_be_asked_when_it_likes(tmp_path: Path) -> None:
    assert warned(tmp_path, compose_yaml=f"{POSTGRES}    healthcheck:\n      test: psql -h db\n") == []


@pytest.mark.parametrize(
    ("dockerfile", "is_warned"),
    [
        ("HEALTHCHECK CMD node alive.js", True),
        ("HEALTHCHECK --interval=20s CMD node alive.js", True),
        ("HEALTHCHECK --interval=1m --start-interval=1s --start-period=9s CMD node alive.js", False),
        ("HEALTHCHECK --interval=2s CMD node alive.js", False),
        ("HEALTHCHECK NONE", False),
        ("HEALTHCHECK CMD curl http://localhost:1/health", False),
    ],
)
def test_an_app_whose_health_only_its_container_knows_is_asked_soon(
    tmp_path: Path, dockerfile: str, is_warned: bool
) -> None:
    """Where there is a path, the tasks ask there themselves."""
    put(tmp_path, "api/package.json", "{}")
    put(tmp_path, "api/Dockerfile", f"FROM node\n{dockerfile}\n")

    found = warned(tmp_path, compose_yaml=f"services:\n{APP}    ports: [1:1]\n")

    assert found == ["api/Dockerfile:2 slow-health-interval"] * is_warned


def test_the_settings_say_whose_path_is_known(tmp_path: Path) -> None:
    put(tmp_path, "api/package.json", "{}")
    put(tmp_path, "api/Dockerfile", "FROM node\nHEALTHCHECK CMD node alive.js\n")
    settings = "bootorder:\n  database: {service: db, name: app, user: app, password: P}\n"
    text = f"{POSTGRES}{APP}"

    assert warned(tmp_path, compose_yaml=text, invoke_yaml=settings) == ["api/Dockerfile:2 slow-health-interval"]
    assert warned(tmp_path, invoke_yaml=f"{settings}  apps: {{api: {{health: /health}}}}\n") == []


def test_what_a_later_compose_file_says_counts(tmp_path: Path) -> None:
    put(tmp_path, "compose.override.yaml", "services:\n  db:\n    healthcheck:\n      test: pg_isready -h 127.0.0.1\n")

    assert warned(tmp_path, compose_yaml=f"{POSTGRES}    healthcheck:\n      test: pg_isready\n") == []
