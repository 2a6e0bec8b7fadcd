"""Repositories that somebody else wrote, booted through copied tasks: `nox -s copy`.

Each of tests/copied has compose files, two schema tools and one database, and knows nothing of these tasks. It gets
them in a fresh folder by `copy-to`, whose questions are answered; nothing else is edited. Then both tools make their
tables as roles of their own, the apps are used, and every row is there after booting again, by the tasks and by hand.

The tests of a repository run in the order in which they stand here, on one stack.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.proofs.faulted import until
from tests.stack import MAIN, NETWORK, PORTS, ROOT, ComposeStack, Ran, free_ports, run

REPOSITORIES = ROOT / "tests" / "copied"


@dataclass(frozen=True)
class Known:
    """What its author would say of it.

    `tables`: of each owner; `rows`: by app, what it is sent, and where that is listed; `silent`: services that nothing
    asks whether they are well. `answers`: to the questions that `copy-to` wrote into invoke.yaml.
    """

    tables: Mapping[str, set[str]]
    rows: Mapping[str, tuple[str, Mapping[str, Any]]]
    silent: frozenset[str] = frozenset()
    answers: Mapping[str, str] = field(default_factory=dict)


KNOWN = {
    "drizzle-sqlmodel": Known(
        {"web": {"users", "links"}, "api": {"campaign", "click"}},
        {
            "web": ("/links", {"email": "ada@example.com", "url": "https://example.com", "title": "notes"}),
            "api": ("/clicks", {"campaign": "spring", "link_id": 1}),
        },
    ),
    "prisma-sqlmodel": Known(
        {"frontend": {"Author", "Recipe", "_prisma_migrations"}, "backend": {"ratings"}},
        {
            "frontend": ("/recipes", {"title": "soup", "author": "Ada"}),
            "backend": ("/ratings", {"recipe_id": 1, "stars": 5}),
        },
    ),
    "drizzle-alembic": Known(
        {"gateway": {"customers", "__drizzle_migrations"}, "billing": {"invoices", "invoice_lines", "alembic_version"}},
        {
            "gateway": ("/customers", {"name": "Ada", "plan": "team"}),
            "billing": ("/invoices", {"customer": "Ada", "text": "a ticket", "amount": "12.50"}),
        },
    ),
    "prisma-alembic": Known(
        {
            "patients": {"patients", "notes", "_prisma_migrations"},
            "schedule": {"appointments", "alembic_version"},
        },
        {
            "patients": ("/patients", {"name": "Ada", "note": "well"}),
            "schedule": ("/api/appointments", {"patient": "Ada", "starts_at": "2040-01-01T10:00:00"}),
        },
        silent=frozenset({"reminders"}),
        answers={"    patients: {}": "    patients: {health: /health}"},
    ),
    "django-drizzle": Known(
        {
            "backend": {
                *("auth_group", "auth_group_permissions", "auth_permission"),
                *("auth_user", "auth_user_groups", "auth_user_user_permissions"),
                *("django_admin_log", "django_content_type", "django_migrations", "django_session"),
                *("events_event", "events_venue"),
            },
            "shop": {"buyers", "orders", "__drizzle_migrations"},
        },
        {
            "backend": ("/events", {"title": "concert", "venue": "hall"}),
            "shop": ("/orders", {"email": "ada@example.com", "eventId": 1}),
        },
    ),
}

# `- 8080:8000`, quoted or not, on loopback or everywhere
_PUBLISHED = re.compile(r"(?<=[\s\"])(127\.0\.0\.1:)?\d+(?=:\d+[\s\"])")
_TABLES = """
    select tableowner, schemaname, tablename from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema', 'bootorder')
"""


class Copy(ComposeStack):
    """A repository in a folder of its own, with the tasks copied into it."""

    def __enter__(self) -> Self:
        shutil.copytree(REPOSITORIES / self.folder.name / "repository", self.folder)
        for path in self.folder.rglob("*compose.y*ml"):
            path.write_text(_with_free_ports(path.read_text(encoding="utf-8")), encoding="utf-8")
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "as it is")
        copied = run([sys.executable, str(ROOT / MAIN), "copy-to", str(self.folder)], env=self.environment)
        assert copied.code == 0, copied.err
        questions = (self.folder / "invoke.yaml").read_text(encoding="utf-8").count("# ?")
        assert questions == len(self.known.answers)
        for written, answer in self.known.answers.items():
            self.declare(written, answer)
        return self

    @property
    def known(self) -> Known:
        return KNOWN[self.folder.name]

    @property
    def environment(self) -> dict[str, str]:
        network = {name: os.environ[name] for name in NETWORK if name in os.environ}
        return {**{name: value for name, value in super().environment.items() if name not in PORTS}, **network}

    def inv(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        """As a person types it there: the first time it makes its own environment."""
        return run([str(self.folder / "inv"), *arguments], cwd or self.folder, {**self.environment, **(env or {})})

    def must(self, *arguments: str) -> Ran:
        ran = self.inv(*arguments)
        assert ran.code == 0, ran.err
        return ran

    def git(self, *arguments: str) -> str:
        author = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
        ran = run(["git", *author, *arguments], self.folder, self.environment)
        assert ran.code == 0, ran.err
        return ran.out

    def by_hand(self, *arguments: str) -> Ran:
        """`docker compose`, as its author types it."""
        path = self.git("ls-files", "*compose.y*ml").strip()
        return run(["docker", "compose", "--file", path, *arguments], self.folder, self.environment)

    def urls(self) -> dict[str, str]:
        """Where each app is sent rows, and lists them."""
        bases = {service["name"]: service["url"] for service in self.must("status", "--json").json["services"]}
        return {app: bases[app] + path for app, (path, _) in self.known.rows.items()}

    def listed(self) -> dict[str, Any]:
        """What each app says of its rows."""
        return {app: asked(url) for app, url in self.urls().items()}

    def send_rows(self) -> None:
        for app, url in self.urls().items():
            asked(url, self.known.rows[app][1])

    def fingerprint(self) -> dict[str, tuple[int, str]]:
        """Every table of the database with its rows, by its owner and name."""
        digest = "select count(*), md5(string_agg(t::text, chr(10) order by t::text))"
        found: dict[str, tuple[int, str]] = {}
        with psycopg.connect(self.must("url", "--as-superuser").out.strip()) as connection:
            for owner, schema, table in connection.execute(_TABLES).fetchall():
                [rows] = connection.execute(f'{digest} from "{schema}"."{table}" t'.encode())
                found[f"{owner}: {table}"] = rows
        return found

    def connected(self) -> set[str]:
        """The roles that are connected beside the one that asks."""
        others = (
            "select usename from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        with psycopg.connect(self.must("url", "--as-superuser").out.strip()) as connection:
            return {name for (name,) in connection.execute(others)}


def _with_free_ports(text: str) -> str:
    """Other stacks of the machine have the usual ones."""
    found = [match[0] for match in _PUBLISHED.finditer(text)]
    ports = free_ports(found)
    return _PUBLISHED.sub(lambda match: f"{match[1] or ''}{ports[match[0]]}", text)


def asked(url: str, row: Mapping[str, Any] | None = None) -> Any:
    """What the app answers: with a row to one that is sent, else to a question."""
    sent = None if row is None else json.dumps(row).encode()
    with urllib.request.urlopen(urllib.request.Request(url, sent, {"content-type": "application/json"})) as answer:
        return json.load(answer)


def answers(url: str) -> bool:
    with suppress(OSError):
        asked(url)
        return True
    return False


@pytest.fixture(scope="module", params=KNOWN)
def copy(request: pytest.FixtureRequest, engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with Copy(tmp_path_factory.mktemp("ein Stück") / request.param) as made:
        yield made


def test_what_was_there_stays_as_it_is(copy: Copy) -> None:
    changed = copy.git("status", "--porcelain").splitlines()

    assert [line for line in changed if not line.startswith("??")] == [" M .gitignore"]
    assert "\n-" not in copy.git("diff", "--unified=0").partition("@@")[2]


def test_the_first_start_makes_the_tables_of_each_as_its_own_role(copy: Copy) -> None:
    copy.must("start")

    status = copy.must("status", "--json").json
    assert {service["state"] for service in status["services"]} == {"running"}
    assert {service["name"] for service in status["services"] if service["health"] != "healthy"} == copy.known.silent
    assert {owner["name"]: owner["missing"] for owner in status["owners"]} == {name: [] for name in copy.known.tables}
    tables = {f"{owner}: {table}" for owner, tables in copy.known.tables.items() for table in tables}
    assert set(copy.fingerprint()) == tables


def test_its_proofs_are_listed(copy: Copy) -> None:
    ran = run([str(copy.folder / ".venv" / "bin" / "nox"), "--list"], copy.folder, copy.environment)

    assert re.findall(r"^[*-] (\w+) ->", ran.out, re.MULTILINE) == ["boot", "orders", "bug"]


def test_the_apps_read_and_write_as_their_owners(copy: Copy) -> None:
    copy.send_rows()

    assert {app: len(rows) for app, rows in copy.listed().items()} == dict.fromkeys(copy.known.rows, 1)
    assert copy.connected() <= set(copy.known.tables)


@pytest.mark.parametrize("flags", [(), ("--quick",)], ids=["start", "quick"])
def test_booting_again_loses_nothing(copy: Copy, flags: tuple[str, ...]) -> None:
    before = copy.fingerprint(), copy.listed()

    copy.must("start", *flags)

    assert (copy.fingerprint(), copy.listed()) == before


def test_what_its_author_types_loses_nothing_either(copy: Copy) -> None:
    """There everybody is the superuser, and no tool knows of the others."""
    before, urls = (copy.fingerprint(), copy.listed()), copy.urls()

    copy.by_hand("up", "--detach")
    for url in urls.values():
        until(partial(answers, url), url)
    listed = {app: asked(url) for app, url in urls.items()}
    copy.must("start")

    assert listed == before[1]
    assert copy.fingerprint() == before[0]


def test_a_service_without_its_owners_role_is_refused_before_anything_stops(copy: Copy) -> None:
    before = copy.instances()
    line = re.findall(r"\n      connects: .*", (copy.folder / "invoke.yaml").read_text(encoding="utf-8"))[-1]

    with copy.edited("invoke.yaml", line, ""):
        ran = copy.inv("start")

    assert (ran.code, copy.instances()) == (2, before), ran.err
    assert "does not connect as its own role" in ran.err
